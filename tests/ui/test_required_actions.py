"""A flow's form under *Required Actions*: what it shows, and what its answer does to the flow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.server import DevServer
from ui.chromium import keep_picture
from ui.forms import control, row, switch

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(600)]

ENDED_WORKER = (
    "Received executor event with state success for task instance"
    " TaskInstanceKey(dag_id='report_approval', task_id='approval'"
)


def test_a_flows_form_is_filled_in_and_the_flow_goes_on_with_it(
    page: Page, airflow: AirflowStack, server: DevServer
) -> None:
    rest = airflow.rest
    run_id = rest.trigger("report_approval", conf={"remark": "See page 3"})

    def states() -> dict[str, str | None]:
        return {one["task_id"]: one["state"] for one in rest.task_instances("report_approval", run_id)}

    airflow.wait_for(lambda: states().get("approval") == "deferred", what="the task to wait for a person")
    address = f"{airflow.url}/dags/report_approval/runs/{run_id}/tasks/approval"
    page.goto(address)
    page.get_by_role("link", name="Required Action").click()

    send = page.get_by_role("button", name="Send", exact=True)
    expect(send).to_be_enabled()
    expect(page.get_by_text("Approval of the report")).to_be_visible()
    expect(row(page, "approved")).to_contain_text("May it be sent?")
    expect(row(page, "approved")).not_to_contain_text("May it be sent? *")
    expect(row(page, "approved")).to_contain_text("Nothing is sent without a yes.")
    expect(control(page, "approved")).not_to_be_checked()
    expect(row(page, "way")).to_contain_text("Way of delivery *")
    expect(control(page, "way")).to_have_value("e-mail")
    expect(row(page, "copies")).to_contain_text("Copies")
    expect(control(page, "copies")).to_have_value("1")
    expect(row(page, "remark")).to_contain_text("Goes to the recipient.")
    expect(control(page, "remark")).to_have_value("See page 3")

    control(page, "remark").fill("Two staples, please")
    row(page, "way").get_by_role("combobox").click()
    page.keyboard.press("Backspace")
    expect(send).to_be_disabled()
    expect(row(page, "way")).to_contain_text("This field is required")
    row(page, "way").get_by_role("combobox").click()
    expect(page.get_by_role("option")).to_have_text(["e-mail", "letter"])
    page.get_by_role("option", name="letter").click()
    switch(page, "approved")
    control(page, "copies").fill("3")
    keep_picture(page, "required-action", height=1000, for_pages=True)
    # A scheduler that hears of a worker's end only when the next one is at work fails the task.
    airflow.wait_for(
        lambda: (
            airflow.processes.log_of("scheduler").read_text().count(ENDED_WORKER)
            == rest.log("report_approval", run_id, "approval").count("Pausing task as DEFERRED")
        ),
        what="the scheduler to hear that the worker has ended",
    )
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
        one
        for one in server.requests
        if (one.method, one.path) == ("POST", f"/api/v1/flows/executions/{manifest['execution_id']}/progress")
    ]
    assert len(answers) == 1, answers
    page.goto(f"{address}/xcom")
    page.get_by_role("button", name="Expand all extra JSON").click()
    expect(page.get_by_role("row").filter(has_text="return_value")).to_contain_text("Two staples, please")
