"""Tasks of the flow systems besides Smart Flows, as a DAG author writes them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from smartflows_provider.operators.ocp import OcpGetFlowOperator
from smartflows_provider.operators.phixflow import PhixFlowRunActionflowOperator
from smartflows_provider.operators.workflow_server import (
    WorkflowServerExecuteCommandOperator,
    WorkflowServerRunProcessOperator,
)
from smartflows_provider.sensors.ocp import OcpFlowStatusSensor
from smartflows_provider.sensors.workflow_server import WorkflowServerProcessSensor

DEFERRED = {"deferrable": True, "poll_interval": 1.0}
WATCHING = {"deferrable": True, "poke_interval": 1.0, "timeout": 300}


@task
def read(*found: Any) -> list[str]:
    """Return the types of what was handed over, and what it holds."""
    return [f"{type(one).__name__}: {one['status']}" for one in found]


with DAG("systems", schedule=None):
    process = WorkflowServerRunProcessOperator(task_id="process", scheme_code="TestScheme", **DEFERRED)
    on_worker = WorkflowServerRunProcessOperator(
        task_id="on_worker", scheme_code="TestScheme", poll_interval=1.0
    )
    mapped = WorkflowServerRunProcessOperator.partial(task_id="mapped", **DEFERRED).expand(
        scheme_code=["TestScheme"] * 2
    )
    actionflow = PhixFlowRunActionflowOperator(
        task_id="actionflow", application="MyApp", actionflow="Nightly", mode="poll", **DEFERRED
    )
    waited = PhixFlowRunActionflowOperator(task_id="waited", application="MyApp", actionflow="My API")
    flow = OcpGetFlowOperator(task_id="flow", name="greeting")
    started = OcpFlowStatusSensor(
        task_id="started", flow_id="{{ ti.xcom_pull('flow')['flow_id'] }}", **WATCHING
    )
    flow >> started
    read(process.output, actionflow.output, started.output)

with DAG("approval", schedule=None):
    request = WorkflowServerRunProcessOperator(
        task_id="request", scheme_code="Approval", wait_for="idle", on_kill="set_state:Withdrawn", **DEFERRED
    )
    approve = WorkflowServerExecuteCommandOperator(
        task_id="approve", process_id=request.output["execution_id"], command="approve"
    )
    approved = WorkflowServerProcessSensor(
        task_id="approved", process_id=request.output["execution_id"], success_states=["Approved"], **WATCHING
    )
    approve >> approved

with DAG("long", schedule=None):
    for name in ("ended", "cleared", "goes_on"):
        WorkflowServerRunProcessOperator(
            task_id=name, scheme_code="Long", on_kill="set_state:Withdrawn", **DEFERRED
        )
