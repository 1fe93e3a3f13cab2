"""Makes the fault suite's DAG of one row from the row's description.

Airflow imports this from the DAG files beside it; the suite writes the descriptions.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.execution_time.hitl import upsert_hitl_detail

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

FLOW_TASK = "run_flow"


class FailsAfterTheFlowOperator(SmartFlowsRunFlowOperator):
    """Fails its first attempt once the flow's output is there."""

    def _conclude(self, run: Any) -> Any:
        manifest = super()._conclude(run)
        if get_current_context()["ti"].try_number == 1:
            raise RuntimeError("the first attempt fails after the flow")
        return manifest


class AsksAPersonOperator(SmartFlowsRunFlowOperator):
    """Asks a person in Airflow before it is deferred for the first time."""

    def execute(self, context: Any) -> Any:
        self._question = context["ti"].id
        return super().execute(context)

    def defer(self, **kwargs: Any) -> Any:
        if getattr(self, "_question", None) is not None:
            upsert_hitl_detail(
                ti_id=self._question, options=["Yes", "No"], subject="Shall it go on?", params={}
            )
        super().defer(**kwargs)


OPERATORS = {
    "plain": SmartFlowsRunFlowOperator,
    "fails_first": FailsAfterTheFlowOperator,
    "asks": AsksAPersonOperator,
}


def make_dag(row: dict[str, Any]) -> DAG:
    """Return the DAG of a row.

    :param row: `dag_id`, `deferrable`, `operator` (arguments), `kind`, `retries`, `retry_delay`,
        `execution_timeout` (seconds or None), `pool`, `mapped` (how many, 0 for none), `sibling`
    """
    arguments: dict[str, Any] = {
        "task_id": FLOW_TASK,
        "smart_flows_conn_id": "{{ dag_run.conf['conn_id'] }}",
        "deferrable": row["deferrable"],
        "retries": row["retries"],
        "retry_delay": timedelta(seconds=row["retry_delay"]),
        **row["operator"],
    }
    if row["execution_timeout"]:
        arguments["execution_timeout"] = timedelta(seconds=row["execution_timeout"])
    if row["pool"]:
        arguments["pool"] = row["pool"]
    operator = OPERATORS[row["kind"]]
    flow = "{{ dag_run.conf['flow'] }}"
    with DAG(dag_id=row["dag_id"], schedule=None, max_active_runs=64, max_active_tasks=1000) as dag:
        if row["mapped"]:
            operator.partial(**arguments).expand(flow=[flow] * row["mapped"])
        else:
            operator(flow=flow, **arguments)
        if row["sibling"]:

            @task
            def sibling() -> None:
                """Do nothing, so that somebody can clear it."""

            sibling()
    return dag
