"""Runs in every mode, each with an end of its own, for a test that counts what metrics say of them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor


def run_flow(task_id: str, flow: str = "Briefly", **arguments: Any) -> SmartFlowsRunFlowOperator:
    return SmartFlowsRunFlowOperator(task_id=task_id, flow=flow, poll_interval=1.0, **arguments)


with DAG("measured", schedule=None):
    run_flow("on_a_worker")
    here = run_flow("in_the_triggerer", deferrable=True)
    run_flow("resumed", deferrable=True, resume_on_worker=True)
    run_flow("failing", flow="Broken", deferrable=True)
    run_flow("too_late", flow="Lasting", deferrable=True, timeout=5.0)
    run_flow("ended_by_a_person", flow="Lasting", deferrable=True)
    SmartFlowsExecutionSensor(
        task_id="watching",
        execution_id=here.output["execution_id"],
        deferrable=True,
        poke_interval=1.0,
        timeout=600,
    )
