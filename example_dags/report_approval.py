"""A flow asks a person, and Airflow shows its form under *Required Actions*.

Needs the connection `smartflows_default` and a flow `Report approval` that asks for `approved`, `way`,
`copies` and `remark`, as the embedded server's does.

`approval` waits without a worker until somebody has answered, in Airflow or in the flow's own panel. Its
form begins with the remark that the DAG run was started with.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

with DAG(
    dag_id="report_approval",
    schedule=None,
    params={"remark": Param("With kind regards", type="string", description="The form begins with it.")},
    tags=["smart flows"],
    doc_md=__doc__,
):
    approval = SmartFlowsRunFlowOperator(
        task_id="approval",
        flow="Report approval",
        on_user_input="ask",
        answers={"remark": "{{ params.remark }}"},
        answer_timeout=timedelta(days=2).total_seconds(),
        deferrable=True,
        poll_interval=5,
        retries=2,
    )

    @task
    def announce(manifest: dict) -> str:
        """Say what was decided."""
        decided = manifest["values"]
        return f"Sent by {decided['way']}." if decided["approved"] else "Not sent."

    announce(approval.output)
