"""Commands, states and parameters of a process that another task has created."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.tasks import Attempt
from support.workflow_server import asked, workflow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowNotFoundError,
    FlowRequestRefusedError,
    FlowServiceError,
)
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.operators.workflow_server import (
    WorkflowServerExecuteCommandOperator,
    WorkflowServerGetParameterOperator,
    WorkflowServerSetParameterOperator,
    WorkflowServerSetStateOperator,
)

__all__ = ["workflow"]


@pytest.fixture
def server(smart_flows_server: DevServer, workflow: WorkflowServerSection) -> DevServer:
    return smart_flows_server


@pytest.fixture
def process_id(server: DevServer) -> str:
    """An instance that rests at its decision."""
    made = str(uuid.uuid4())
    with WorkflowServerHook() as hook:
        hook.create_instance(made, scheme_code="Approval")
    server.advance(1)
    server.clear_requests()
    return made


def run(operator: Any) -> Any:
    return operator.execute(Attempt().context())


def command(process_id: Any, name: Any, **more: Any) -> WorkflowServerExecuteCommandOperator:
    return WorkflowServerExecuteCommandOperator(task_id="t", process_id=process_id, command=name, **more)


def test_a_command_is_carried_out_in_somebodys_name_with_parameters(
    workflow: WorkflowServerSection, process_id: str
) -> None:
    task = command(process_id, "approve", parameters='{"Note": "ok"}', persist=["Note"], identity_id="ada",
                   impersonated_identity_id="bob")  # fmt: skip
    assert run(task) == {
        "process_id": process_id,
        "command": "approve",
        "status": "Finalized (Approved)",
        "state": "Approved",
        "activity": "Approve",
    }
    (done,) = workflow.commands
    assert (done.process_id, done.command, done.identity_id) == (process_id, "approve", "ada")
    assert workflow.process(process_id)["ProcessParameters"] == {"Note": "ok", "Decision": "approved"}


def test_a_command_that_is_not_available_is_refused_with_those_that_are_and_never_sent(
    workflow: WorkflowServerSection, server: DevServer, process_id: str
) -> None:
    with pytest.raises(FlowRequestRefusedError) as caught:
        run(command(process_id, "burn"))
    assert str(caught.value) == (
        "The process does not take the command 'burn' now; it takes 'approve', 'reject'. [Workflow Server, "
        f"connection 'workflowserver_default', execution {process_id}]\n"
        "The service has started and changed nothing.\n"
        "Check the command, in whose name it is given, and that the process is at rest."
    )
    assert isinstance(caught.value, AirflowFailException)
    assert asked(server, "executecommand") == 0
    workflow.finish(process_id)
    with pytest.raises(FlowRequestRefusedError, match="it takes none"):
        run(command(process_id, "approve"))


def test_a_command_that_was_not_executed_is_a_failure(server: DevServer, process_id: str) -> None:
    answer = '{"success": true, "data": {"WasExecuted": false, "ProcessInstance": null}}'
    server.inject(
        Fault(action="status", status=200, path="executecommand", body=answer,
              headers={"content-type": "application/json"})
    )  # fmt: skip
    with pytest.raises(FlowRequestRefusedError, match="the command 'approve' was not executed"):
        run(command(process_id, "approve"))


@pytest.mark.parametrize("trouble", [{"action": "reset"}, {"action": "status", "status": 503}])
def test_a_command_whose_answer_is_lost_is_sent_once(
    workflow: WorkflowServerSection, server: DevServer, process_id: str, trouble: dict[str, Any]
) -> None:
    server.inject(Fault(path="executecommand", taken=True, **trouble))
    with pytest.raises(FlowServiceError):
        run(command(process_id, "approve"))
    assert asked(server, "executecommand") == 1
    assert len(workflow.commands) == 1


def test_a_state_is_set_and_the_process_shown_as_it_is_then(
    workflow: WorkflowServerSection, process_id: str
) -> None:
    task = WorkflowServerSetStateOperator(
        task_id="t", process_id=process_id, state="Withdrawn", parameters={"Why": "late"}, persist=["Why"]
    )
    assert run(task) == {
        "process_id": process_id,
        "status": "Finalized (Withdrawn)",
        "state": "Withdrawn",
        "activity": "Withdraw",
    }
    assert workflow.process(process_id)["ProcessParameters"] == {"Why": "late"}


def test_a_state_that_is_refused_is_told_with_those_that_can_be_set(process_id: str) -> None:
    with pytest.raises(FlowRequestRefusedError) as caught:
        run(WorkflowServerSetStateOperator(task_id="t", process_id=process_id, state="Nowhere"))
    assert "The scheme has no state 'Nowhere'" in str(caught.value)
    assert (
        "The states that it can be set to: 'Draft', 'Approval', 'Approved', 'Rejected', 'Withdrawn'."
        in str(caught.value)
    )


def test_a_process_that_its_scheme_deletes_at_the_state_is_shown_as_gone(
    workflow: WorkflowServerSection, server: DevServer
) -> None:
    workflow.add_scheme("Tidy", {"name": "A", "seconds": 60}, {"name": "B", "state": "B"}, purges=True)
    made = str(uuid.uuid4())
    with WorkflowServerHook() as hook:
        hook.create_instance(made, scheme_code="Tidy")
    shown = run(WorkflowServerSetStateOperator(task_id="t", process_id=made, state="B"))
    assert shown == {"process_id": made, "status": None, "state": None, "activity": None}


@pytest.mark.parametrize("value", ["ä b", "5"])
def test_parameters_are_written_and_read(process_id: str, value: str) -> None:
    given = {"task_id": "t", "process_id": process_id, "parameter": "Amount"}
    assert run(WorkflowServerSetParameterOperator(value=value, **given)) is None
    assert run(WorkflowServerGetParameterOperator(**given)) == value


def test_values_other_than_text_go_as_json(
    workflow: WorkflowServerSection, server: DevServer, process_id: str
) -> None:
    run(
        WorkflowServerSetParameterOperator(
            task_id="t", process_id=process_id, parameter="A", value={"k": [1, None]}
        )
    )
    assert workflow.process(process_id)["ProcessParameters"]["A"] == '{"k": [1, null]}'


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: command("", "approve"), "The argument process_id is ''"),
        (lambda: command("p", None), "The argument command is None"),
        (lambda: command("p", "go", parameters="[]"), "The argument parameters is of type list"),
        (lambda: command("p", "go", persist="x"), "The argument persist is of type"),
        (
            lambda: WorkflowServerSetStateOperator(task_id="t", process_id="p", state=" "),
            "The argument state is ' '",
        ),
        (
            lambda: WorkflowServerSetParameterOperator(task_id="t", process_id="p", parameter="", value=1),
            "The argument parameter is ''",
        ),
        (
            lambda: WorkflowServerGetParameterOperator(task_id="t", process_id="p", parameter=None),
            "The argument parameter is None",
        ),
    ],
)
def test_arguments_that_templates_made_unusable_are_told_and_nothing_is_sent(
    server: DevServer, make: Any, message: str
) -> None:
    server.clear_requests()
    with pytest.raises(FlowConfigurationError, match=message.replace("'", ".")):
        run(make())
    assert server.requests == []


def test_a_process_that_there_is_not_is_told(server: DevServer) -> None:
    unknown = str(uuid.uuid4())
    for task in (
        command(unknown, "approve"),
        WorkflowServerSetParameterOperator(task_id="t", process_id=unknown, parameter="A", value=1),
    ):
        with pytest.raises((FlowRequestRefusedError, FlowNotFoundError), match="There is no process"):
            run(task)
