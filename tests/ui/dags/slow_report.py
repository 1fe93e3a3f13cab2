"""A flow that goes on until the test lets time pass."""

from __future__ import annotations

from airflow.sdk import DAG

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

with DAG("slow_report", schedule=None):
    SmartFlowsRunFlowOperator(
        task_id="run_report",
        flow="Slow report",
        deferrable=True,
        poll_interval=1.0,
    )
