"""Running a process: the same in both modes, however it ends, and never twice."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.airflow_versions import needs_task_state
from support.interruptions import Act, Stop, before_the_reading
from support.outcomes import logged
from support.tasks import MODES, Attempt, Mode, run_task
from support.workflow_server import CREATION, asked, meanwhile, process_task, workflow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowInputError,
    FlowKilledError,
    FlowRequestRefusedError,
    FlowStateUnknownError,
    FlowTimeoutError,
)
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.lifecycle import begin
from smartflows_provider.lifecycle.attempt import TaskAttempt
from smartflows_provider.operators.workflow_process_id import process_id_of
from smartflows_provider.wire import workflow_server as wire

__all__ = ["workflow"]

CANCEL = wire.cancel

pytestmark = pytest.mark.usefixtures("workflow")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


@pytest.fixture
def server(smart_flows_server: DevServer) -> DevServer:
    return smart_flows_server


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a start that was not answered be looked for at once."""
    monkeypatch.setattr(begin, "LOOK_UP_PAUSES", (0.01, 0.02))


def test_a_process_at_rest_is_not_said_to_have_ended(
    workflow: WorkflowServerSection, mode: Mode, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow.add_scheme("Rest", {"name": "Wait", "state": "Waiting", "commands": {"go": "Wait"}})
    manifest = run_task(process_task(mode, scheme_code="Rest", wait_for="idle"))
    told = capsys.readouterr().out
    assert f"Execution {manifest['execution_id']} has reached Idled (Waiting)." in told
    assert "ended in" not in told


def test_a_credential_refused_before_the_process_is_there_names_no_process(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    server.inject(Fault(action="status", status=401, count=None))
    with pytest.raises(FlowAuthenticationError) as caught:
        run_task(process_task(mode))
    assert caught.value.where is not None
    assert (caught.value.where.flow, caught.value.where.execution_id) == ("Quick", None)
    assert workflow.created == []


def test_a_process_is_run_and_its_parameters_are_taken_along(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    attempt = Attempt()
    task = process_task(mode, parameters={"Amount": 7}, persist=["Amount"], identity_id="ada")
    manifest = run_task(task, attempt)
    (process_id,) = workflow.created
    assert process_id == process_id_of(attempt.context())
    assert manifest["execution_id"] == process_id
    assert manifest["status"] == "Finalized (Done)"
    assert manifest["flow"]["name"] == "Quick"
    values = manifest["values"]
    assert values["parameters"] == {"Amount": 7, "Result": 42}
    assert (values["state"], values["activity"], values["history"]) == ("Done", "Done", [])
    assert [way["ToActivityName"] for way in values["transitions"]] == ["Done"]
    assert attempt.xcoms["execution_id"] == process_id
    assert asked(server, "createinstance") == 1
    json.dumps(manifest)


def test_outputs_pick_from_the_values(mode: Mode) -> None:
    manifest = run_task(process_task(mode, outputs={"result": "parameters.Result", "where": "state"}))
    assert manifest["values"] == {"result": 42, "where": "Done"}


def test_arguments_may_come_out_of_templates_as_text(workflow: WorkflowServerSection) -> None:
    task = process_task(parameters='{"Amount": 7}', persist='["Amount"]', success_states='["Done"]')
    assert run_task(task)["values"]["parameters"]["Amount"] == 7


@pytest.mark.parametrize("arguments_in", ["query", "body"])
def test_arguments_travel_as_the_connection_says(
    workflow: WorkflowServerSection,
    server: DevServer,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    arguments_in: str,
) -> None:
    workflow.configure(arguments_in=arguments_in)
    connection = server.section_connection_json(WorkflowServerSection)
    monkeypatch.setenv("AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT", connection)
    manifest = run_task(process_task(mode, parameters={"Amount": 7}, persist=["Amount"]))
    assert manifest["values"]["parameters"] == {"Amount": 7, "Result": 42}


# --- how it ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "fails"), [("approve", False), ("reject", True)])
def test_a_command_elsewhere_decides(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode, command: str, fails: bool
) -> None:
    task = process_task(
        mode, scheme_code="Approval", success_states=["Approved"], failure_states=["Rejected"]
    )

    def decide(process_id: str) -> None:
        server.advance(1)
        with WorkflowServerHook() as hook:
            hook.execute_command(process_id, command=command)

    with meanwhile(server, decide):
        if not fails:
            assert run_task(task)["values"]["parameters"] == {"Decision": "approved"}
            return
        with pytest.raises(FlowExecutionFailedError) as caught:
            run_task(task)
    assert "The execution ended in Finalized (Rejected)." in str(caught.value)
    assert "It is in the state 'Rejected', which is one of failure_states" in str(caught.value)


def test_a_state_ends_the_wait_while_the_process_goes_on(workflow: WorkflowServerSection, mode: Mode) -> None:
    manifest = run_task(process_task(mode, scheme_code="Long", success_states=["Working"]))
    assert manifest["status"] == "Running (Working)"
    manifest = run_task(process_task(mode, scheme_code="Long", success_activities=["Work"]), Attempt())
    assert manifest["status"] == "Running (Working)"


@pytest.mark.parametrize(
    ("becomes", "state", "said"),
    [
        ("move on", "Rejected", "it is in Running (Rejected) by now"),
        ("fail", "Booked", "it is in Error (Booked) by now"),
        ("delete", None, "it is gone by now"),
    ],
)
def test_a_success_that_was_seen_stands_whatever_becomes_of_the_process_then(
    workflow: WorkflowServerSection,
    server: DevServer,
    mode: Mode,
    *,
    monkeypatch: pytest.MonkeyPatch,
    becomes: str,
    state: str | None,
    said: str,
) -> None:
    activities = [{"name": name, "state": name, "seconds": 1000} for name in ("Booked", "Rejected")]
    workflow.add_scheme("Book", *activities)
    acts: dict[str, Act] = {
        "move on": lambda _: server.advance(1500),
        "fail": workflow.fail,
        "delete": workflow.purge,
    }
    before_the_reading(monkeypatch, WorkflowServerHook, acts[becomes])
    with logged() as lines:
        task = process_task(mode, scheme_code="Book", success_states=["Booked"], failure_states=["Rejected"])
        manifest = run_task(task)
    assert manifest["status"] == "Running (Booked)"
    assert manifest["values"].get("state") == state
    gone = "The server has deleted the process; its state and its parameters are not known."
    assert manifest["warnings"] == ([gone] if state is None else [])
    seen = f"Execution {manifest['execution_id']} was seen in Running (Booked), which is a success"
    assert f"{seen}; {said}." in lines


@pytest.mark.parametrize(("passed", "fails"), [("Booked", False), ("Rejected", True)])
def test_a_state_that_the_process_has_left_between_two_looks_counts(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode, passed: str, fails: bool
) -> None:
    draft = {"name": "Draft", "state": "Draft", "seconds": 1000}
    workflow.add_scheme("Pass", draft, {"name": passed, "state": passed}, {"name": "Filed", "state": "Filed"})
    named = {"success_states": ["Booked"], "failure_states": ["Rejected"]}
    with meanwhile(server, lambda _: server.advance(1500)):
        if not fails:
            assert run_task(process_task(mode, scheme_code="Pass", **named))["status"] == "Finalized (Filed)"
            return
        with pytest.raises(FlowExecutionFailedError, match="came through one of failure_states: 'Rejected'"):
            run_task(process_task(mode, scheme_code="Pass", **named))


def test_a_process_at_rest_is_done_only_where_that_is_asked_for(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    workflow.add_scheme("Rest", {"name": "Wait", "state": "Waiting", "commands": {"go": "Wait"}})
    assert run_task(process_task(mode, scheme_code="Rest", wait_for="idle"))["status"] == "Idled (Waiting)"
    with pytest.raises(FlowTimeoutError, match="Idled"):
        run_task(process_task(mode, scheme_code="Rest", timeout=0.3), Attempt(clear_number=1))


@pytest.mark.parametrize(
    ("status", "reason"),
    [(4, "The server has ended it because of an error"), (5, "An error has stopped it")],
)
def test_an_end_by_an_error_fails_with_a_retry(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode, status: int, reason: str
) -> None:
    task = process_task(mode, scheme_code="Long")
    with (
        meanwhile(server, lambda process_id: workflow.fail(process_id, status=status)),
        pytest.raises(FlowExecutionFailedError) as caught,
    ):
        run_task(task)
    assert reason in str(caught.value)
    assert not isinstance(caught.value, AirflowFailException)
    assert "[Workflow Server, connection 'workflowserver_default', flow 'Long', execution" in str(
        caught.value
    )


def test_an_end_elsewhere_names_the_state(workflow: WorkflowServerSection, mode: Mode) -> None:
    with pytest.raises(FlowExecutionFailedError) as caught:
        run_task(process_task(mode, success_states=["Approved"]))
    assert "The execution ended in Finalized (Done)." in str(caught.value)
    assert "It has finished in the state 'Done', and success was to be 'Approved'" in str(caught.value)


def test_an_unknown_status_is_waited_out_and_told_at_the_deadline(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    task = process_task(mode, scheme_code="Long", timeout=0.4)
    with (
        meanwhile(server, lambda process_id: workflow.show(process_id, 254)),
        pytest.raises(FlowTimeoutError, match=r"Unknown \(Working\)"),
    ):
        run_task(task)


# --- purged --------------------------------------------------------------------------------------------


def test_a_process_that_is_gone_has_finished(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    with meanwhile(server, workflow.purge):
        manifest = run_task(process_task(mode, scheme_code="Long"))
    assert (manifest["status"], manifest["values"]) == ("Purged", {})
    assert "The server has deleted the process" in manifest["warnings"][0]
    assert len(workflow.created) == 1


def test_or_has_failed_where_the_author_says_so(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    with (
        meanwhile(server, workflow.purge),
        pytest.raises(FlowExecutionGoneError, match="the scheme's own settings"),
    ):
        run_task(process_task(mode, scheme_code="Long", on_purged="fail"))


def test_a_retry_never_creates_a_purged_process_again(workflow: WorkflowServerSection, mode: Mode) -> None:
    attempt = Attempt()
    process_id = run_task(process_task(mode, scheme_code="Long", wait_for_completion=False), attempt)[
        "execution_id"
    ]
    workflow.purge(process_id)
    attempt.try_number = 2
    assert run_task(process_task(mode, scheme_code="Long"), attempt)["status"] == "Purged"
    assert workflow.created == [process_id]


def test_where_deleting_stops_it_a_process_that_is_gone_counts_as_stopped(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    task = process_task(mode, scheme_code="Long", on_kill="delete")
    with (
        meanwhile(server, workflow.purge),
        pytest.raises(FlowExecutionCanceledError, match="ended in Deleted: somebody stopped it"),
    ):
        run_task(task)


# --- never twice ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    "trouble",
    [
        {"action": "reset"},
        {"action": "status", "status": 500},
        {"action": "status", "status": 503},
        {"action": "html"},
        {"action": "truncated"},
    ],
)
@pytest.mark.parametrize("taken", [True, False])
def test_a_creation_that_was_not_answered_is_repeated_under_the_same_id(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode, trouble: dict[str, Any], taken: bool
) -> None:
    server.inject(Fault(path=CREATION, taken=taken, **trouble))
    attempt = Attempt()
    assert run_task(process_task(mode), attempt)["status"] == "Finalized (Done)"
    assert workflow.created == [process_id_of(attempt.context())]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("arrives_late", [True, False])
def test_where_it_stays_open_a_retry_goes_on_under_the_same_id(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode, arrives_late: bool, durable: bool
) -> None:
    attempt = Attempt()
    process_id = process_id_of(attempt.context())
    server.inject(Fault(action="status", status=500, path=CREATION, count=None))
    with pytest.raises(FlowStateUnknownError) as caught:
        run_task(process_task(mode, durable=durable, on_kill="set_state:Stopped"), attempt)
    assert caught.value.where is not None
    assert caught.value.where.execution_id == process_id
    assert "POST /createinstance/" in caught.value.what
    assert f"Execution {process_id} may have been started" in caught.value.fate
    assert caught.value.advice.startswith("A retry looks for it by its id")
    assert not isinstance(caught.value, AirflowFailException)
    assert attempt.xcoms["execution_left"] == process_id
    server.clear_faults()
    if arrives_late:
        with WorkflowServerHook() as hook:
            hook.create_instance(process_id, scheme_code="Quick")
    attempt.try_number = 2
    assert run_task(process_task(mode, durable=durable), attempt)["execution_id"] == process_id
    assert workflow.created == [process_id]


@pytest.mark.usefixtures("soon")
def test_a_process_that_is_purged_as_soon_as_it_was_found_is_not_created_again(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    server.inject(Fault(action="reset", path=CREATION, taken=True))
    yes = {"body": '{"success": true, "data": true}', "headers": {"content-type": "application/json"}}
    server.inject(Fault(action="status", status=200, path="isexistprocess", after=1, **yes))
    workflow.add_scheme("Brief", {"name": "Done", "state": "Done"}, purges=True)
    with pytest.raises(FlowExecutionGoneError, match="disappeared during the wait"):
        run_task(process_task(mode, scheme_code="Brief", success_states=["Done"]))
    assert len(workflow.created) == 1


def test_without_a_store_a_process_that_is_purged_as_soon_as_it_was_found_is_not_created_again(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    yes = {"body": '{"success": true, "data": true}', "headers": {"content-type": "application/json"}}
    server.inject(Fault(action="status", status=200, path="isexistprocess", **yes))
    with pytest.raises(FlowExecutionGoneError, match="disappeared during the wait"):
        run_task(process_task(mode, success_states=["Done"]), Attempt(store=None, try_number=2))
    assert workflow.created == []


@needs_task_state
@pytest.mark.usefixtures("soon")
def test_an_attempt_that_died_while_creating_is_gone_on_with(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    for taken in (True, False):
        attempt = Attempt(max_tries=int(taken))
        # A worker that dies after its request: the intent stays on record.
        server.inject(Fault(action="status", status=500, path=CREATION, taken=taken, count=1))
        dying = process_task(mode, scheme_code="Long", wait_for_completion=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(begin.RunBeginning, "_send", _die)
            with pytest.raises(KeyboardInterrupt):
                run_task(dying, attempt)
        assert attempt.store is not None
        assert json.loads(attempt.store.entries["flow_run"])["execution_id"] is None
        attempt.try_number = 2
        server.clear_faults()
        again = run_task(process_task(mode, scheme_code="Long", wait_for_completion=False), attempt)
        assert workflow.created[-1] == again["execution_id"] == process_id_of(attempt.context())
    assert len(workflow.created) == 2


def _die(self: Any, submission: Any, request: Any, since: float, **_: Any) -> Any:
    with suppress(Exception):
        submission.send()
    raise KeyboardInterrupt


def test_without_a_store_a_later_attempt_finds_the_process_by_its_id(
    workflow: WorkflowServerSection, mode: Mode
) -> None:
    first = run_task(process_task(mode, scheme_code="Long", wait_for_completion=False), Attempt(store=None))
    again = run_task(
        process_task(mode, scheme_code="Long", wait_for_completion=False), Attempt(store=None, try_number=2)
    )
    assert first["execution_id"] == again["execution_id"]
    workflow.fail(first["execution_id"])
    third = run_task(
        process_task(mode, scheme_code="Long", wait_for_completion=False), Attempt(store=None, try_number=3)
    )
    assert workflow.created == [first["execution_id"], third["execution_id"]]
    assert third["execution_id"] == process_id_of(Attempt(store=None).context(), number=1)


@pytest.mark.parametrize("durable", [True, False])
def test_a_clear_of_another_task_lets_a_retry_make_no_second_process(
    workflow: WorkflowServerSection, mode: Mode, durable: bool
) -> None:
    attempt = Attempt()
    arguments = {"scheme_code": "Long", "wait_for_completion": False, "durable": durable}
    first = run_task(process_task(mode, **arguments), attempt)["execution_id"]
    TaskAttempt(attempt.context(), durable=durable, log=None).failed(RuntimeError("worker lost"), left=None)
    attempt.clear_number, attempt.try_number = 1, 2
    assert run_task(process_task(mode, **arguments), attempt)["execution_id"] == first
    assert workflow.created == [first]


@pytest.mark.parametrize("on_kill", ["none", "set_state:Stopped", "delete"])
def test_without_a_store_a_clear_while_the_task_runs_goes_on_with_what_was_not_stopped(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode, stop: Stop, on_kill: str
) -> None:
    attempt = Attempt(store=None)
    task = process_task("sync", scheme_code="Long", on_kill=on_kill)
    with meanwhile(server, lambda _: stop(task.on_kill)), pytest.raises(FlowKilledError):
        run_task(task, attempt)
    (first,) = workflow.created
    attempt.clear_number, attempt.try_number = 1, 2
    again = process_task(mode, scheme_code="Long", on_kill=on_kill, wait_for_completion=False)
    second = run_task(again, attempt)["execution_id"]
    if on_kill == "none":
        assert second == first
        assert workflow.created == [first]
    else:
        assert workflow.process(second)["StateName"] == "Working"
        assert len(workflow.created) == 2


def test_a_clear_while_the_task_does_not_run_creates_another_process_also_without_a_store(
    workflow: WorkflowServerSection, mode: Mode
) -> None:
    attempt = Attempt(store=None)
    first = run_task(process_task(mode), attempt)["execution_id"]
    attempt.max_tries, attempt.clear_number, attempt.try_number = 1, 1, 2
    second = run_task(process_task(mode), attempt)["execution_id"]
    assert workflow.created == [first, second]
    assert first != second


def test_a_retry_after_a_bad_end_creates_the_next_process(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    attempt = Attempt()
    with meanwhile(server, workflow.fail), pytest.raises(FlowExecutionFailedError):
        run_task(process_task(mode, scheme_code="Long"), attempt)
    attempt.try_number = 2
    run_task(process_task(mode), attempt)
    context = attempt.context()
    assert workflow.created == [process_id_of(context), process_id_of(context, number=1)]


def test_a_clear_stops_the_process_it_had_and_creates_another(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode
) -> None:
    attempt = Attempt()
    arguments = {"scheme_code": "Long", "on_kill": "set_state:Stopped", "wait_for_completion": False}
    first = run_task(process_task(mode, **arguments), attempt)["execution_id"]
    attempt.max_tries, attempt.clear_number, attempt.try_number = 1, 1, 2
    second = run_task(process_task(mode, **arguments), attempt)["execution_id"]
    assert workflow.process(first)["StateName"] == "Stopped"
    assert workflow.process(second)["StateName"] == "Working"
    assert workflow.created == [first, second]


def test_a_clear_leaves_a_process_that_must_not_be_stopped_and_says_so(
    workflow: WorkflowServerSection, mode: Mode
) -> None:
    attempt = Attempt()
    first = run_task(process_task(mode, scheme_code="Long", wait_for_completion=False), attempt)
    attempt.max_tries, attempt.clear_number, attempt.try_number = 1, 1, 2
    with pytest.raises(FlowStateUnknownError, match="is not stopped: on_kill is 'none'"):
        run_task(process_task(mode, scheme_code="Long"), attempt)
    assert workflow.created == [first["execution_id"]]
    attempt.try_number = 3
    resumed = process_task(mode, scheme_code="Long", on_clear="resume", wait_for_completion=False)
    assert run_task(resumed, attempt)["execution_id"] == first["execution_id"]


# --- giving up -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_kill", "state", "told"),
    [
        ("none", "Working", "It was not cancelled, as on_kill='none' or cancel_on_timeout=False asks."),
        ("set_state:Stopped", "Stopped", "Finalized (Stopped)"),
        ("delete", None, "is Deleted."),
    ],
)
def test_at_the_time_limit_the_process_is_stopped_as_on_kill_says(
    workflow: WorkflowServerSection, mode: Mode, on_kill: str, state: str | None, told: str
) -> None:
    with pytest.raises(FlowTimeoutError) as caught:
        run_task(process_task(mode, scheme_code="Long", timeout=0.3, on_kill=on_kill))
    assert told in str(caught.value)
    (process_id,) = workflow.created
    if state is None:
        assert workflow.deleted == [process_id]
    else:
        assert workflow.process(process_id)["StateName"] == state


def test_a_process_can_be_kept_at_the_time_limit(workflow: WorkflowServerSection, mode: Mode) -> None:
    task = process_task(mode, scheme_code="Long", timeout=0.3, on_kill="delete", cancel_on_timeout=False)
    with pytest.raises(FlowTimeoutError, match="cancel_on_timeout=False asks"):
        run_task(task)
    assert workflow.deleted == []


def test_execution_timeout_counts_too(workflow: WorkflowServerSection, mode: Mode) -> None:
    task = process_task(
        mode, scheme_code="Long", on_kill="set_state:Stopped", execution_timeout=timedelta(seconds=0.3)
    )
    with pytest.raises(FlowTimeoutError):
        run_task(task)
    assert workflow.process(workflow.created[0])["StateName"] == "Stopped"


@pytest.mark.parametrize("on_kill", ["set_state:Stopped", "delete"])
def test_after_our_own_stop_a_retry_starts_anew(
    workflow: WorkflowServerSection, mode: Mode, on_kill: str
) -> None:
    attempt = Attempt()
    with pytest.raises(FlowTimeoutError):
        run_task(process_task(mode, scheme_code="Long", timeout=0.3, on_kill=on_kill), attempt)
    attempt.try_number = 2
    again = process_task(mode, scheme_code="Long", on_kill=on_kill, wait_for_completion=False)
    run_task(again, attempt)
    assert len(set(workflow.created)) == 2


@pytest.mark.parametrize("names", [{}, {"failure_states": ["Bad"]}], ids=["no names", "names"])
def test_a_process_that_its_scheme_deletes_once_we_have_stopped_it_is_no_success_and_a_retry_starts_anew(
    workflow: WorkflowServerSection, mode: Mode, names: dict[str, Any]
) -> None:
    workflow.add_scheme(
        "Tidy",
        {"name": "Work", "state": "Working", "seconds": 3600},
        {"name": "Stopped", "state": "Stopped", "ends": 3},
        purges=True,
    )
    arguments = {"scheme_code": "Tidy", "on_kill": "set_state:Stopped", **names}
    attempt = Attempt()
    with pytest.raises(FlowTimeoutError, match="The execution was not finished in time"):
        run_task(process_task(mode, timeout=0.3, **arguments), attempt)
    attempt.try_number = 2
    run_task(process_task(mode, wait_for_completion=False, **arguments), attempt)
    assert len(set(workflow.created)) == 2


def test_a_process_that_has_finished_and_is_gone_when_it_is_to_be_stopped_is_the_success_that_it_was(
    workflow: WorkflowServerSection, server: DevServer, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    workflow.add_scheme("Tidy", {"name": "Work", "state": "Working", "seconds": 3600}, purges=True)
    task = process_task(mode, scheme_code="Tidy", timeout=0.5, on_kill="set_state:Stopped")
    headers = {"content-type": "application/json"}
    at_work = '{"success": true, "data": {"InstanceStatus": 1}}'
    # It seems to be at work until it is to be stopped; by then it is gone.
    monkeypatch.setattr(
        wire, "cancel", lambda process_id, **more: _cancel_of_purged(server, workflow, process_id, more)
    )
    server.inject(
        Fault(action="status", path="getinstanceinfo", status=200, body=at_work, headers=headers, count=None)
    )
    assert run_task(task)["status"] == "Purged"
    assert asked(server, "setstate") == 0


def _cancel_of_purged(
    server: DevServer, workflow: WorkflowServerSection, process_id: str, more: dict[str, Any]
) -> Any:
    server.clear_faults()
    with suppress(KeyError):
        workflow.purge(process_id)
    return CANCEL(process_id, **more)


@pytest.mark.parametrize("trouble", [{"action": "reset"}, {"action": "status", "status": 503}])
def test_after_a_deletion_that_was_repeated_a_retry_starts_anew(
    workflow: WorkflowServerSection, server: DevServer, mode: Mode, trouble: dict[str, Any]
) -> None:
    server.inject(Fault(path="/deleteinstance/", taken=True, **trouble))
    attempt = Attempt()
    with pytest.raises(FlowTimeoutError, match="is Deleted"):
        run_task(process_task(mode, scheme_code="Long", timeout=0.3, on_kill="delete"), attempt)
    assert asked(server, "deleteinstance") == 2
    attempt.try_number = 2
    again = process_task(mode, scheme_code="Long", on_kill="delete", wait_for_completion=False)
    run_task(again, attempt)
    assert len(set(workflow.created)) == 2


def test_an_outage_is_waited_out(workflow: WorkflowServerSection, server: DevServer, mode: Mode) -> None:
    outage = Fault(action="status", status=503, path="getinstanceinfo", count=3)

    def act(process_id: str) -> None:
        server.inject(outage)
        workflow.finish(process_id)

    with meanwhile(server, act):
        assert run_task(process_task(mode, scheme_code="Long"))["status"] == "Finalized (Working)"


# --- arguments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_kill": "cancel"}, "t: on_kill is 'cancel'; it takes 'none', 'delete', or 'set_state:'"),
        ({"on_kill": "delete", "on_purged": "succeed"}, "t: on_kill='delete' and on_purged='succeed'"),
        ({"wait_for": "ever"}, "t: wait_for is 'ever'; it takes one of 'finalized', 'idle'"),
        ({"wait_for": "idle", "success_states": ["Approved"]}, "t: wait_for='idle' does not go with"),
        ({"on_kill": "set_state:A", "success_states": ["A"]}, "t: on_kill sets the state 'A', which is one"),
        ({"success_states": "Approved"}, "t: success_states is 'Approved'; it takes a list of names"),
        ({"persist": "Amount"}, "t: persist is 'Amount'; it takes a list of names"),
        ({"failure_states": [""]}, "failure_states is .* it takes a list of names"),
        ({"on_clear": "forget"}, "on_clear is 'forget'"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_the_dag_is_parsed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        process_task(**arguments)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"scheme_code": ""}, FlowConfigurationError, "The argument scheme_code is ''"),
        ({"parameters": "[1]"}, FlowConfigurationError, "The argument parameters is of type list"),
        ({"persist": ["Amount"]}, FlowInputError, "persist names 'Amount', which is none of the parameters"),
        ({"parameters": {"a": float("nan")}}, FlowInputError, "createinstance cannot be sent as JSON"),
        ({"parameters": {"a": "\ud800"}}, FlowInputError, "half a character"),
        ({"identity_id": " "}, FlowConfigurationError, "The argument identity_id is ' '"),
        ({"scheme_parameters": "x"}, FlowConfigurationError, "The argument scheme_parameters is other text"),
        (
            {"success_states": '["A"]', "wait_for": "idle"},
            FlowConfigurationError,
            "wait_for='idle' does not go",
        ),
        ({"success_states": "{{ x }}"}, FlowConfigurationError, "it takes a list of names"),
        ({"outputs": {"a": "["}}, FlowException, "outputs"),
    ],
)
def test_arguments_that_templates_made_unusable_are_told_and_nothing_is_sent(
    workflow: WorkflowServerSection, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        run_task(process_task(**arguments))
    assert workflow.created == []


def test_a_parameter_named_token_is_refused_where_the_token_stands_there(
    workflow: WorkflowServerSection, server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow.configure(access="token")
    connection = server.section_connection_json(WorkflowServerSection)
    monkeypatch.setenv("AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT", connection)
    with pytest.raises(FlowConfigurationError, match="A process parameter is named 'token'"):
        run_task(process_task(parameters={"token": "mine"}))
    assert workflow.created == []


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("/connect/token", "the server gives no tokens there"),
        ("openid-configuration", "the server names no addresses for tokens there"),
    ],
)
def test_an_address_for_tokens_that_is_not_there_fails_a_start_with_a_retry_and_nothing_is_sent(
    workflow: WorkflowServerSection,
    server: DevServer,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    *,
    address: str,
    why: str,
) -> None:
    workflow.configure(access="openid")
    connection = server.section_connection_json(WorkflowServerSection)
    monkeypatch.setenv("AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT", connection)
    server.inject(Fault(action="status", status=404, path=address, count=None))
    attempt = Attempt()
    with pytest.raises(FlowConnectionError) as caught:
        run_task(process_task(mode), attempt)
    assert f"was answered with 404: {why}" in caught.value.what
    assert caught.value.fate == "The service has taken nothing."
    assert "the connection's extra 'token_url'" in caught.value.advice
    assert not isinstance(caught.value, AirflowFailException)
    server.clear_faults()
    attempt.try_number = 2
    run_task(process_task(mode), attempt)
    assert len(workflow.created) == 1


def test_a_scheme_that_there_is_not_is_a_refusal_without_a_retry(workflow: WorkflowServerSection) -> None:
    with pytest.raises(FlowRequestRefusedError) as caught:
        run_task(process_task(scheme_code="Nowhere"))
    assert "There is no scheme 'Nowhere'" in str(caught.value)
    assert "usually the scheme code" in str(caught.value)
    assert isinstance(caught.value, AirflowFailException)


def test_the_terms_travel_in_the_triggers_row_without_secrets(workflow: WorkflowServerSection) -> None:
    attempt = Attempt()
    task = process_task(
        "deferrable", scheme_code="Long", success_states=["Working"], on_kill="set_state:Stopped",
        identity_id="ada",
    )  # fmt: skip
    run_task(task, attempt)
    (trigger,) = attempt.deferrals
    _, row = trigger.serialize()
    assert row["terms"]["success_states"] == ["Working"]
    assert row["terms"]["on_kill"] == "set_state:Stopped"
    assert workflow.token not in json.dumps(row)
