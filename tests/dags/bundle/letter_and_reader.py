"""A flow, and a task that reads the flow's manifest from XCom."""

from __future__ import annotations

from airflow.sdk import DAG, task

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

with DAG("letter_and_reader", schedule=None):

    @task(multiple_outputs=False)
    def read(manifest: dict) -> dict:
        return {"total": manifest["values"]["total"], "size": manifest["documents"][0]["size"]}

    letter = SmartFlowsRunFlowOperator(
        task_id="letter",
        flow="Letter",
        documents_path="{{ var.value.reports_path }}",
        deferrable=True,
        poll_interval=0.05,
    )
    read(letter.output)
