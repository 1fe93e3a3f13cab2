"""What a task's pages show of a run: the link into the product, and the manifest."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.server import DevServer
from ui.chromium import keep_picture

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(600)]

LINK = "Flow execution"


def test_the_link_leads_to_the_execution_while_the_task_is_deferred_and_after(
    page: Page, airflow: AirflowStack, server: DevServer
) -> None:
    rest = airflow.rest
    run_id = rest.trigger("slow_report")
    address = f"{airflow.url}/dags/slow_report/runs/{run_id}/tasks/run_report"

    def state() -> str | None:
        return rest.task_instance("slow_report", run_id, "run_report")["state"]

    airflow.wait_for(lambda: state() == "deferred", what="the task to be deferred")
    execution_id = str(rest.xcom("slow_report", run_id, "run_report", key="execution_id"))
    execution_url = f"{server.url}/client/executions/{execution_id}"

    page.goto(f"{address}/details")
    expect(page.get_by_text("Deferred").first).to_be_visible()
    link = page.get_by_role("link", name=LINK)
    expect(link).to_have_attribute("href", execution_url)
    keep_picture(page, "task-deferred", for_pages=True)
    with page.context.expect_page() as opened:
        link.click()
    panel = opened.value
    expect(panel).to_have_url(execution_url)
    line = panel.get_by_role("row").filter(has_text=execution_id)
    expect(line).to_contain_text("Slow report")
    expect(line).to_contain_text("Running")
    panel.close()

    server.advance(4000)
    airflow.wait_for(lambda: state() == "success", what="the task to succeed")
    page.goto(f"{address}/details")
    expect(page.get_by_text("Success").first).to_be_visible()
    expect(page.get_by_role("link", name=LINK)).to_have_attribute("href", execution_url)
    keep_picture(page, "task-succeeded")

    page.goto(f"{address}/xcom")
    page.get_by_role("button", name="Expand all extra JSON").click()
    entry = page.get_by_role("row").filter(has_text="return_value")
    expect(entry).to_contain_text("execution_id")
    expect(entry).to_contain_text(execution_id)
    expect(entry).to_contain_text("400")
    keep_picture(page, "task-manifest", for_pages=True)
