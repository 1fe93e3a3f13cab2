"""The connection forms as people fill them in: fields, saving, opening again, and *Test*."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.ocp import OcpSection
from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.sections import Section
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.get_provider_info import get_provider_info
from ui.chromium import keep_picture
from ui.forms import control, row, switch

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(600)]

FORMS: dict[str, dict[str, Any]] = {
    form["connection-type"]: form for form in get_provider_info()["connection-types"]
}
STANDARD = {"host": "Host", "login": "Login", "password": "Password", "port": "Port", "schema": "Schema"}


def open_new_form(page: Page, airflow: AirflowStack, conn_type: str, conn_id: str) -> Locator:
    """Open the form of a new connection, and select its type as a person does."""
    page.goto(f"{airflow.url}/connections")
    page.get_by_role("button", name="Add Connection").first.click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill(conn_id)
    form.get_by_role("combobox").click()
    page.keyboard.type(FORMS[conn_type]["hook-name"])
    page.get_by_role("option", name=FORMS[conn_type]["hook-name"], exact=True).click()
    expect(form.get_by_role("button", name="Extra Fields", exact=True)).to_be_visible()
    return form


def show_extra_fields(form: Locator) -> None:
    opener = form.get_by_role("button", name="Extra Fields", exact=True)
    opener.click()
    expect(opener).to_have_attribute("aria-expanded", "true")


def expect_standard_fields(form: Locator, conn_type: str) -> None:
    """Hold the upper part of a form against the provider info: labels, placeholders, what is hidden."""
    behaviour = FORMS[conn_type]["ui-field-behaviour"]
    for name, label in STANDARD.items():
        field = form.locator(f"[name='{name}']")
        if name in behaviour["hidden-fields"]:
            expect(field).to_have_count(0)
            continue
        expect(field).to_be_visible()
        expect(form.get_by_text(behaviour["relabeling"].get(name, label), exact=True)).to_be_visible()
        expect(field).to_have_attribute("placeholder", behaviour["placeholders"][name])
    expect(form.locator("[name='password']")).to_have_attribute("type", "password")


def expect_extra_fields(form: Locator, conn_type: str) -> None:
    """Hold the lower part of a form against the provider info: order, labels, help, types and defaults."""
    fields = FORMS[conn_type]["conn-fields"]
    shown = form.locator("[name^=element_]")
    expect(shown).to_have_count(len(fields))
    assert shown.evaluate_all("all => all.map(one => one.name)") == [f"element_{name}" for name in fields]
    for name, field in fields.items():
        kind, default = field["schema"]["type"][0], field["schema"].get("default")
        expect(row(form, name)).to_contain_text(field["label"])
        expect(row(form, name)).to_contain_text(field["description"])
        if kind == "boolean":
            expect(control(form, name)).to_have_attribute("type", "checkbox")
            expect(control(form, name)).to_be_checked(checked=bool(default))
        elif kind in {"number", "integer"}:
            expect(control(form, name)).to_have_role("spinbutton")
            expect(control(form, name)).to_have_value(str(default))
        else:
            expect(control(form, name)).to_have_value("" if default is None else default)
        if "enum" in field["schema"]:
            row(form, name).get_by_role("combobox").click()
            options = form.page.get_by_role("option")
            expect(options).to_have_text(field["schema"]["enum"])
            options.get_by_text(default, exact=True).click()
        if field["schema"].get("format") == "password":
            expect(control(form, name)).to_have_attribute("type", "password")


def save(page: Page, form: Locator) -> None:
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()


def line_of(page: Page, conn_id: str) -> Locator:
    """Return a connection's line in the list."""
    return page.get_by_role("row").filter(has=page.get_by_text(conn_id, exact=True))


def press_test(page: Page, conn_id: str) -> None:
    line_of(page, conn_id).get_by_role("button", name="Test Connection").click()


def test_a_smart_flows_connection_is_filled_in_tested_and_opened_again(
    page: Page, airflow: AirflowStack, server: DevServer
) -> None:
    form = open_new_form(page, airflow, "smartflows", "reports")
    expect_standard_fields(form, "smartflows")
    form.locator("[name='host']").fill("http://127.0.0.1")
    form.locator("[name='port']").fill(str(server.port))
    form.locator("[name='password']").fill("no such key")
    keep_picture(page, "connection-standard-fields", of=form)
    show_extra_fields(form)
    expect_extra_fields(form, "smartflows")
    control(form, "long_poll_seconds").fill("5")
    control(form, "read_timeout").fill("45")
    control(form, "execution_url").fill(f"{server.url}/client/executions/{{execution_id}}")
    switch(form, "batch_status")
    expect(control(form, "batch_status")).to_be_checked()
    keep_picture(page, "connection-all-fields", of=form, for_pages=True)
    save(page, form)

    press_test(page, "reports")
    refused = page.get_by_role("status").filter(has_text="Test Connection Failed")
    expect(refused).to_contain_text("The key is wrong, revoked or expired")
    expect(refused).not_to_contain_text("no such key")
    keep_picture(page, "connection-test-failed", height=500)

    line_of(page, "reports").get_by_role("button", name="Edit Connection").click()
    form.locator("[name='password']").fill(server.api_key)
    save(page, form)
    page.reload()
    press_test(page, "reports")
    succeeded = page.get_by_role("status").filter(has_text="Test Connection Successful")
    expect(succeeded).to_contain_text("as Devserver super user.")
    keep_picture(page, "connection-test", height=500, for_pages=True)

    line_of(page, "reports").get_by_role("button", name="Edit Connection").click()
    expect(form.locator("[name='host']")).to_have_value("http://127.0.0.1")
    expect(form.locator("[name='port']")).to_have_value(str(server.port))
    expect(form.locator("[name='password']")).to_have_value("***")
    show_extra_fields(form)
    expect(control(form, "long_poll_seconds")).to_have_value("5")
    expect(control(form, "read_timeout")).to_have_value("45")
    expect(control(form, "batch_status")).to_be_checked()
    expect(control(form, "verify")).to_be_checked()
    expect(control(form, "execution_url")).to_have_value(f"{server.url}/client/executions/{{execution_id}}")
    assert server.api_key not in page.content()


@pytest.mark.parametrize(
    ("conn_type", "kind", "message"),
    [
        ("workflowserver", WorkflowServerSection, "Connected to Workflow Server"),
        ("phixflow", PhixFlowSection, "Connected: the server answers"),
        ("ocp", OcpSection, "Connected"),
    ],
)
def test_a_connection_to_another_system_is_filled_in_and_tested(
    page: Page,
    airflow: AirflowStack,
    server: DevServer,
    *,
    conn_type: str,
    kind: type[Section],
    message: str,
) -> None:
    known = server.section(kind).connection(host="http://127.0.0.1", port=server.port)
    form = open_new_form(page, airflow, conn_type, f"{conn_type}_by_form")
    expect_standard_fields(form, conn_type)
    for name in ("host", "port", "login", "password"):
        if known.get(name):
            form.locator(f"[name='{name}']").fill(str(known[name]))
    show_extra_fields(form)
    expect_extra_fields(form, conn_type)
    keep_picture(page, f"connection-{conn_type}", of=form)
    save(page, form)
    press_test(page, f"{conn_type}_by_form")
    succeeded = page.get_by_role("status").filter(has_text="Test Connection Successful")
    expect(succeeded).to_contain_text(message)
