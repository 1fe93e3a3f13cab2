"""Commands, states and parameters of a process that another task has created."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout
from support.tasks import Attempt
from support.workflow_server import asked, workflow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowException,
    FlowNotFoundError,
    FlowPermissionError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.operators.workflow_server import (
    WorkflowServerExecuteCommandOperator,
    WorkflowServerGetParameterOperator,
    WorkflowServerSetParameterOperator,
    WorkflowServerSetStateOperator,
)
from smartflows_provider.transport.blocking import BlockingClient

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


LOST = [{"action": "reset"}, {"action": "status", "status": 503}, {"action": "html"}, {"action": "truncated"}]


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("trouble", LOST, ids=lambda one: one["action"])
def test_a_command_whose_answer_is_lost_is_sent_once_and_no_retry_follows(
    workflow: WorkflowServerSection, server: DevServer, process_id: str, trouble: dict[str, Any], taken: bool
) -> None:
    taken = taken or trouble["action"] == "truncated"
    server.inject(Fault(path="executecommand", taken=taken, **trouble))
    with pytest.raises(FlowSubmissionUnclearError) as caught:
        run(command(process_id, "approve"))
    error = caught.value
    assert error.what.startswith("It is open whether the process has carried out the command 'approve': ")
    assert "POST /executecommand/" in error.what
    now = "Finalized (Approved), in the activity 'Approve'" if taken else "Idled (Approval), in the activity"
    assert error.fate.startswith(f"The process is now {now}")
    assert error.advice == (
        "See whether it has done its work, and then mark the task as a success; if it has not, clear the "
        "task to give the command again."
    )
    assert str(error.where) == (
        f"Workflow Server, connection 'workflowserver_default', execution {process_id}"
    )
    assert isinstance(error, AirflowFailException)
    assert asked(server, "executecommand") == 1
    assert len(workflow.commands) == taken


@pytest.mark.parametrize("trouble", LOST, ids=lambda one: one["action"])
def test_a_state_whose_answer_is_lost_is_set_once_and_no_retry_follows(
    workflow: WorkflowServerSection, server: DevServer, process_id: str, trouble: dict[str, Any]
) -> None:
    server.inject(Fault(path="setstate", taken=True, **trouble))
    with pytest.raises(FlowSubmissionUnclearError) as caught:
        run(WorkflowServerSetStateOperator(task_id="t", process_id=process_id, state="Withdrawn"))
    assert caught.value.what.startswith("It is open whether the process was put into the state 'Withdrawn': ")
    assert caught.value.fate == "The process is now Finalized (Withdrawn), in the activity 'Withdraw'."
    assert "clear the task to set the state again" in caught.value.advice
    assert isinstance(caught.value, AirflowFailException)
    assert asked(server, "setstate") == 1


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        ({"status": 503}, "How the process stands now could not be asked: GET /getinstanceinfo/"),
        (
            {"status": 200, "body": '{"success": true, "data": {"InstanceStatus": 255}}'},
            "The server has no such process, or no longer.",
        ),
    ],
)
def test_an_answer_that_is_lost_is_told_also_where_the_process_cannot_be_seen(
    server: DevServer, process_id: str, answer: dict[str, Any], fate: str
) -> None:
    server.inject(Fault(action="reset", path="executecommand", taken=True))
    headers = {"content-type": "application/json"}
    server.inject(Fault(action="status", path="getinstanceinfo", count=None, headers=headers, **answer))
    with pytest.raises(FlowSubmissionUnclearError) as caught:
        run(command(process_id, "approve"))
    assert caught.value.fate.startswith(fate)


@pytest.mark.parametrize("operation", ["executecommand", "getinstanceinfo"])
def test_an_execution_timeout_after_a_command_has_left_leaves_it_open(
    workflow: WorkflowServerSection,
    server: DevServer,
    process_id: str,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
) -> None:
    ask = BlockingClient.send

    def timed_out(client: BlockingClient, request: Any, **more: Any) -> Any:
        found = ask(client, request, **more)
        if operation in request.path:
            raise AirflowTaskTimeout("Timeout")
        return found

    monkeypatch.setattr(BlockingClient, "send", timed_out)
    if operation == "getinstanceinfo":
        server.inject(Fault(action="reset", path="executecommand", taken=True))
    with pytest.raises(FlowSubmissionUnclearError, match="execution_timeout passed") as caught:
        run(command(process_id, "approve"))
    assert isinstance(caught.value, AirflowFailException)
    assert len(workflow.commands) == 1


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ({"status": 429}, FlowServiceError),
        ({"status": 401}, FlowAuthenticationError),
        ({"status": 403}, FlowPermissionError),
    ],
)
def test_what_was_not_taken_is_no_doubt(
    workflow: WorkflowServerSection,
    server: DevServer,
    process_id: str,
    trouble: dict[str, Any],
    kind: type[FlowException],
) -> None:
    server.inject(Fault(action="status", path="executecommand", count=None, **trouble))
    with pytest.raises(kind) as caught:
        run(command(process_id, "approve"))
    assert type(caught.value) is kind
    assert workflow.commands == []


@pytest.mark.parametrize("trouble", LOST, ids=lambda one: one["action"])
def test_a_state_that_was_set_is_not_set_again_because_the_process_cannot_be_read(
    server: DevServer, process_id: str, trouble: dict[str, Any]
) -> None:
    server.inject(Fault(path="getinstanceinfo", count=None, **trouble))
    shown = run(WorkflowServerSetStateOperator(task_id="t", process_id=process_id, state="Withdrawn"))
    assert shown == {"process_id": process_id, "status": None, "state": None, "activity": None}
    assert asked(server, "setstate") == 1


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
