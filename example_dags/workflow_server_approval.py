"""An approval on a Workflow Server: small amounts are approved by the DAG, for others a person decides.

Needs the connection `workflowserver_default`, and a scheme `Approval` that rests in the state `Approval`
until the command `approve` or `reject`, as the embedded server's does.

`request_approval` creates the process and is content when it is at rest. Its id follows from the task
instance, so no retry creates a second one; a task that is stopped withdraws it. `wait_for_decision` waits
without a worker for as long as the decision takes.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from smartflows_provider.operators.workflow_server import (
    WorkflowServerExecuteCommandOperator,
    WorkflowServerGetParameterOperator,
    WorkflowServerRunProcessOperator,
)
from smartflows_provider.sensors.workflow_server import WorkflowServerProcessSensor

with DAG(
    dag_id="workflow_server_approval",
    schedule=None,
    params={
        "amount": Param(
            250, type="integer", minimum=1, description="Up to 1000 nobody is asked, above a person."
        )
    },
    tags=["workflow server"],
    doc_md=__doc__,
):
    request = WorkflowServerRunProcessOperator(
        task_id="request_approval",
        scheme_code="Approval",
        parameters={"Amount": "{{ params.amount }}"},
        persist=["Amount"],
        wait_for="idle",
        on_kill="set_state:Withdrawn",
        poll_interval=5,
        retries=2,
    )
    process_id = request.output["execution_id"]

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_small(params: dict) -> bool:
        """Tell whether nobody needs to look at it."""
        return params["amount"] <= 1000

    approve = WorkflowServerExecuteCommandOperator(
        task_id="approve", process_id=process_id, command="approve", identity_id="airflow"
    )
    decided = WorkflowServerProcessSensor(
        task_id="wait_for_decision",
        process_id=process_id,
        success_states=["Approved"],
        failure_states=["Rejected", "Withdrawn"],
        deferrable=True,
        poke_interval=5,
        timeout=timedelta(days=7).total_seconds(),
        # Also where the DAG did not approve by itself.
        trigger_rule="none_failed",
    )
    decision = WorkflowServerGetParameterOperator(
        task_id="read_decision", process_id=process_id, parameter="Decision"
    )

    @task
    def announce(decision: str) -> str:
        """Say what was decided."""
        return f"The amount was {decision}."

    request >> is_small() >> approve >> decided >> decision
    announce(decision.output)
