"""A flow's form under *Required Actions*: what it shows, and what its answer does to the flow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from demo.stack import AirflowStack
from smartflows_provider.devserver.server import DevServer
from ui.chromium import keep_picture

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(600)]


def row(page: Page, title: str) -> Locator:
    """Return a field of the form by its title."""
    return page.get_by_role("group").filter(has=page.get_by_text(title, exact=True)).last


def test_a_flows_form_is_filled_in_and_the_flow_goes_on_with_it(
    page: Page, airflow: AirflowStack, server: DevServer
) -> None:
    rest = airflow.rest
    page.goto(f"{airflow.url}/dags/report_approval")
    page.get_by_role("button", name="Trigger", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Remark").or_(dialog.locator("[name='element_remark']")).first.fill("See page 3")
    dialog.get_by_role("button", name="Trigger", exact=True).click()
    expect(dialog).to_be_hidden()
    [run] = rest.dag_runs("report_approval")
    run_id = run["dag_run_id"]

    def states() -> dict[str, str | None]:
        return {one["task_id"]: one["state"] for one in rest.task_instances("report_approval", run_id)}

    airflow.wait_for(lambda: states().get("approval") == "deferred", what="the task to wait for a person")
    page.goto(f"{airflow.url}/dags/report_approval/required_actions")
    page.get_by_role("link", name="approval", exact=True).first.click()

    send = page.get_by_role("button", name="Send", exact=True)
    expect(send).to_be_enabled()
    expect(page.get_by_text("Approval of the report")).to_be_visible()
    expect(row(page, "May it be sent?")).to_contain_text("Nothing is sent without a yes.")
    expect(row(page, "May it be sent?").get_by_role("checkbox")).not_to_be_checked()
    expect(row(page, "Way of delivery")).to_contain_text("*")
    expect(row(page, "Way of delivery")).to_contain_text("e-mail")
    expect(row(page, "Copies").get_by_role("spinbutton")).to_have_value("1")
    expect(row(page, "Remark").get_by_role("textbox")).to_have_value("See page 3")

    row(page, "May it be sent?").locator("label").last.click()
    row(page, "Way of delivery").get_by_role("combobox").click()
    page.get_by_role("option", name="letter").click()
    row(page, "Copies").get_by_role("spinbutton").fill("3")
    row(page, "Remark").get_by_role("textbox").fill("Two staples, please")
    keep_picture(page, "required-action", height=1000)
    send.click()
    expect(send).to_be_disabled()

    airflow.wait_for(lambda: states().get("announce") == "success", what="the DAG to end")
    manifest = rest.xcom("report_approval", run_id, "approval")
    assert manifest["values"] == {
        "approved": True,
        "way": "letter",
        "copies": 3,
        "remark": "Two staples, please",
    }
    assert rest.xcom("report_approval", run_id, "announce") == "Sent by letter."
    answers = [
        one.status
        for one in server.requests
        if (one.method, one.path) == ("POST", f"/api/v1/flows/executions/{manifest['execution_id']}/progress")
    ]
    assert len(answers) == 1
    page.goto(f"{airflow.url}/dags/report_approval/runs/{run_id}/tasks/approval/xcom")
    expect(page.get_by_role("row").filter(has_text="return_value")).to_contain_text("Two staples, please")
