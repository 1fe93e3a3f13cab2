"""DAGs that tell of themselves by a flow: from workers, the DAG processor, and the triggerer."""

from __future__ import annotations

from datetime import timedelta
from time import sleep
from typing import Any

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback, task

from smartflows_provider.notifications.smart_flows import SmartFlowsNotifier


def about(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "flow": "Event",
        "root": "Event",
        "data": {"Kind": kind, "Run": "{{ dag_run.run_id or dag_run.dag_run_id }}", **more},
    }


def tells(kind: str, *, conn: str = "smartflows_default", **more: Any) -> SmartFlowsNotifier:
    return SmartFlowsNotifier(smart_flows_conn_id=conn, timeout=20, **about(kind, **more))


with DAG("succeeds", schedule=None, on_success_callback=tells("dag done", Dag="{{ dag.dag_id }}")):

    @task(on_execute_callback=tells("begun"), on_success_callback=tells("done", Task="{{ ti.task_id }}"))
    def works() -> None: ...

    works()

with DAG("fails", schedule=None, on_failure_callback=tells("dag failed", Why="{{ reason }}")):

    @task(
        retries=1,
        retry_delay=timedelta(seconds=0),
        on_retry_callback=tells("retry"),
        on_failure_callback=tells("failed", Why="{{ exception }}"),
    )
    def fails() -> None:
        raise ValueError("the shop is closed")

    fails()

for name, conn in (("unreachable", "smartflows_down"), ("silent", "smartflows_silent")):
    with DAG(
        name,
        schedule=None,
        on_success_callback=SmartFlowsNotifier(flow="Event", smart_flows_conn_id=conn, timeout=3),
    ):
        quiet = SmartFlowsNotifier(flow="Event", smart_flows_conn_id=conn, timeout=3)

        @task(on_execute_callback=quiet, on_success_callback=quiet)
        def goes_on() -> str:
            return "done"

        goes_on()

late = about("late", Dag="{{ dag_run.dag_id }}")
with DAG(
    "late",
    schedule=None,
    deadline=[
        DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=timedelta(seconds=1),
            callback=callback,
        )
        for callback in (
            AsyncCallback(SmartFlowsNotifier, kwargs=late),
            SyncCallback(SmartFlowsNotifier, kwargs=about("late, on an executor")),
        )
    ],
):

    @task
    def takes_long() -> None:
        sleep(8)

    takes_long()
