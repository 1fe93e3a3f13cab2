"""What each way in which a flow can end means for its task, the same on a worker and deferred."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.sdk import ObjectStoragePath
from airflow.sdk.execution_time.timeout import timeout
from support.airflow_versions import needs_task_state
from support.outcomes import both, operator_for, outcome
from support.service import LONG, START, asked, cancels, panel_flow, starts, statuses
from support.tasks import MODES, Attempt, Mode, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowEventError,
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowExecutionInterruptedError,
    FlowExecutionWarningError,
    FlowOutputError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
    FlowUserInputRequiredError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.version_compat import RE_ATTACHING

WORK = {"id": "work", "kind": "work", "message": "Working", "duration": 0.1}
OUTPUT = {"id": "out", "kind": "output", "values": {"total": 7, "customer": {"name": "Ada"}}}


@pytest.fixture(autouse=True)
def answers_at_once(server: DevServer) -> None:
    server.configure(hold="ignored")


def shown(outcome: Any, url: str) -> str:
    return (
        "[Smart Flows, connection 'smartflows_default', flow 'Letter', execution "
        f"{outcome.execution_id}, {url}/client]"
    )


# --- ends ---


def test_success_returns_the_manifest_and_pushes_id_and_address(server: DevServer) -> None:
    flow = panel_flow(server, WORK, OUTPUT)
    run = both(server)
    assert run.value["values"] == {"total": 7, "customer": {"name": "Ada"}}
    assert run.value["status"] == "Success"
    assert run.value["flow"] == {"id": flow.id, "name": "Letter"}
    assert run.value["warnings"] == []
    assert run.value["finished_at"] is not None
    assert run.attempt.xcoms == {"execution_id": run.execution_id, "execution_url": f"{server.url}/client"}
    assert run.value["url"] == f"{server.url}/client"
    assert len(run.attempt.deferrals) == 1


def test_a_run_that_ended_before_anybody_waited_is_not_deferred(server: DevServer) -> None:
    panel_flow(server, OUTPUT)
    run = both(server)
    assert run.value["status"] == "Success"
    assert run.attempt.deferrals == []


def test_a_service_that_honours_holds_is_asked_seldom(server: DevServer) -> None:
    server.configure(hold="honoured")
    panel_flow(server, {**WORK, "duration": 0.5}, OUTPUT)
    run = both(server)
    assert run.value["status"] == "Success"
    assert len(asked(server, "GET", f"{run.execution_id}/progress")) == 1


def test_warnings_succeed_by_default_and_are_in_the_manifest(server: DevServer) -> None:
    panel_flow(server, WORK, {"kind": "warning", "message": "The logo is missing"}, OUTPUT)
    run = both(server)
    assert run.value["status"] == "Warning"
    assert run.value["warnings"] == ["The logo is missing"]
    assert run.value["values"]["total"] == 7


def test_warnings_can_fail_the_task(server: DevServer) -> None:
    panel_flow(server, WORK, {"kind": "warning", "message": "The logo is missing"})
    run = both(server, on_warning="fail")
    assert type(run.error) is FlowExecutionWarningError
    assert isinstance(run.error, AirflowFailException)
    assert run.message == (
        "The execution ended in Warning, and on_warning='fail'.\n  - The logo is missing "
        f"{shown(run, server.url)}\nIt is finished; its documents may exist.\n"
        "Mend what the flow warns of, or allow for it with on_warning='succeed'."
    )


def test_an_error_names_the_flows_own_errors_and_the_failing_block(server: DevServer) -> None:
    fail = {
        "kind": "fail",
        "name": "Read customer",
        "message": "No such customer",
        "causes": ["Table is empty"],
    }
    panel_flow(server, WORK, fail)
    run = both(server)
    assert type(run.error) is FlowExecutionFailedError
    assert not isinstance(run.error, AirflowFailException)
    assert run.message.startswith("The execution ended in Error in block 'Read customer'.\n  - ")
    assert "No such customer" in run.message
    assert "Table is empty" in run.message
    assert shown(run, server.url) in run.message
    assert run.message.endswith("Mend what the flow names; a retry starts a new execution.")


def test_a_run_that_somebody_cancels_at_the_service_fails_without_a_retry(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    panel_flow(server, LONG)
    run = both(server, meanwhile=hook.cancel)
    assert type(run.error) is FlowExecutionCanceledError
    assert isinstance(run.error, AirflowFailException)
    assert "somebody stopped it at the service" in run.message


def test_an_interrupted_run_fails_with_a_retry(server: DevServer) -> None:
    panel_flow(server, WORK, {"kind": "interrupt", "message": "Restarted"})
    run = both(server)
    assert type(run.error) is FlowExecutionInterruptedError
    assert not isinstance(run.error, AirflowFailException)


def test_a_run_in_an_undocumented_status_is_waited_for(
    server: DevServer, capsys: pytest.CaptureFixture[str]
) -> None:
    panel_flow(server, {"kind": "status", "status": "Paused", "duration": 0.3}, OUTPUT)
    assert both(server).value["status"] == "Success"
    assert capsys.readouterr().out.count("the status 'Paused', which is not documented") == 2


def test_a_run_that_is_purged_during_the_wait_is_gone(server: DevServer) -> None:
    panel_flow(server, LONG)
    run = both(server, meanwhile=server.expire)
    assert type(run.error) is FlowExecutionGoneError
    assert "answered with 404" in run.message


def test_a_run_that_is_purged_before_its_output_was_read_is_gone_and_the_message_says_that_it_had_ended(
    server: DevServer,
) -> None:
    panel_flow(server, WORK, OUTPUT)
    server.inject(
        Fault(action="status", status=404, path=r"/executions/[0-9a-f-]+$", method="GET", count=None)
    )
    run = both(server)
    assert type(run.error) is FlowExecutionGoneError
    assert run.message.startswith(
        "The execution ended in Success, but was gone when its output was to be read: GET "
    )
    assert "clean-up settings have purged it; what it had made may be gone with it." in run.message
    assert statuses(server) == ["Success", "Success"]


def test_an_outage_that_passes_is_waited_out(server: DevServer) -> None:
    panel_flow(server, {**WORK, "duration": 0.2}, OUTPUT)
    server.inject(Fault(action="status", status=503, path="/progress$", count=1, after=0))
    assert both(server).value["status"] == "Success"


@needs_task_state
def test_an_outage_that_lasts_keeps_the_run_and_a_retry_attaches_to_it(server: DevServer) -> None:
    panel_flow(server, LONG)
    server.inject(Fault(action="status", status=503, path="/progress$", method="GET", count=None))
    run = both(server, max_outage=0.2)
    assert type(run.error) is FlowStateUnknownError
    assert "The execution was kept. Its last known status was none." in run.message
    assert statuses(server) == ["Running", "Running"]
    server.clear_faults()
    server.advance(3600)
    again = outcome(server, "deferrable", attempt=run.attempt)
    assert again.value["execution_id"] == run.execution_id
    assert len(starts(server)) == 2


OUR_EVENT = {"schema_version": 1, "reason": "finished", "execution_id": "e1"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("event", "message"),
    [
        (None, "the event is not one of schema version 1"),
        ({}, "the event is not one of schema version 1"),
        ("finished", "the event is not one of schema version 1"),
        ({"status": "success"}, "the event is not one of schema version 1"),
        ({**OUR_EVENT, "schema_version": 2}, "the event is not one of schema version 1"),
        ({**OUR_EVENT, "reason": "won"}, "the event has the unknown reason 'won'"),
        ({**OUR_EVENT, "execution_id": ""}, "the event names no execution"),
        ({**OUR_EVENT, "deadline": "soon"}, "the event's deadline is no time"),
        ({"chosen_options": ["OK"]}, "is not the answer to a form, although it names chosen options"),
        ({"chosen_options": "OK", "params_input": {}}, "is not the answer to a form"),
        ({"chosen_options": [1], "params_input": {}}, "is not the answer to a form"),
        ({"chosen_options": ["OK"], "params_input": "x"}, "is not the answer to a form"),
    ],
)
def test_an_event_of_no_known_shape_keeps_the_run_and_fails_closed(
    server: DevServer, mode: Mode, event: Any, message: str
) -> None:
    panel_flow(server, LONG)
    with pytest.raises(FlowEventError, match=message) as caught:
        operator_for(mode).execute_complete(Attempt().context(), event)
    assert "The execution was kept." in str(caught.value)
    assert isinstance(caught.value, AirflowFailException)
    assert cancels(server) == []


FORM_ANSWER = {
    "chosen_options": ["OK"],
    "params_input": {},
    "responded_by_user": {"id": "1", "name": "ann"},
    "timedout": False,
}
"""As Airflow resumes a task that somebody has answered a form of."""


@pytest.mark.parametrize("durable", [True, False])
def test_the_answer_to_a_form_of_airflows_resumes_the_task_which_waits_on_for_its_run(
    server: DevServer, durable: bool
) -> None:
    panel_flow(server, WORK, OUTPUT)
    answered = []

    def answer_first(event: dict[str, Any]) -> dict[str, Any]:
        answered.append(event)
        return FORM_ANSWER if len(answered) == 1 else event

    attempt = Attempt(before_resume=answer_first)
    run = outcome(server, "deferrable", attempt=attempt, durable=durable)
    assert run.value["status"] == "Success"
    assert [trigger.execution_id for trigger in attempt.deferrals] == [run.execution_id] * 2
    if durable and RE_ATTACHING.available:
        assert len({trigger.deadline for trigger in attempt.deferrals}) == 1
    assert len(starts(server)) == 1


def test_the_answer_to_a_form_keeps_to_the_execution_timeout_of_the_attempt(server: DevServer) -> None:
    panel_flow(server, LONG)
    attempt = Attempt(started_at=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(TaskDeferred):
        operator_for("deferrable").execute(attempt.context())
    operator = operator_for("deferrable", execution_timeout=timedelta(hours=1))
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute_complete(attempt.context(), FORM_ANSWER)
    assert deferred.value.trigger.deadline == datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp()


def test_the_answer_to_a_form_of_a_task_whose_run_is_not_known_fails_closed(server: DevServer) -> None:
    with pytest.raises(FlowEventError, match="its execution is not known"):
        operator_for("deferrable").execute_complete(Attempt().context(), FORM_ANSWER)


# --- people and events ---

FORM = {
    "id": "ask",
    "kind": "form",
    "fields": [
        {"key": "f1", "title": "Way of delivery", "required": True},
        {"key": "f2", "title": "Copies", "type": "integer", "default": 1},
    ],
}
ANSWERED = {"kind": "output", "values": {"way": "{{ answers.f1 }}", "copies": "{{ answers.f2 }}"}}


def test_a_run_waits_for_a_person_by_default(server: DevServer, hook: SmartFlowsHook) -> None:
    panel_flow(server, FORM, ANSWERED)
    run = both(server, meanwhile=lambda execution_id: hook.answer_form(execution_id, {"f1": "mail", "f2": 2}))
    assert run.value["values"] == {"way": "mail", "copies": 2}
    assert run.value["stages"] == 2


@pytest.mark.parametrize("cancel", [True, False])
def test_a_form_fails_the_task_where_the_author_wants_that(server: DevServer, cancel: bool) -> None:
    panel_flow(server, FORM)
    run = both(server, on_user_input="fail", cancel_on_timeout=cancel)
    assert type(run.error) is FlowUserInputRequiredError
    fate = (
        f"Execution {run.execution_id} is Canceled."
        if cancel
        else f"Execution {run.execution_id} is still UserInput. It was not cancelled, as "
        "cancel_on_timeout=False asks."
    )
    assert run.message == (
        "The execution is in UserInput and needs a person, and on_user_input='fail'. "
        f"{shown(run, server.url)}\n{fate}\nStart it with unattended=True, give answers with "
        "on_user_input='answer', or let it wait with on_user_input='wait'."
    )
    assert statuses(server) == ["Canceled" if cancel else "UserInput"] * 2


def test_a_form_that_somebody_has_answered_before_the_task_could_fail_for_it_counts_no_more(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    panel_flow(server, FORM, ANSWERED)

    def answer(event: dict[str, Any]) -> dict[str, Any]:
        hook.answer_form(event["execution_id"], {"f1": "mail", "f2": 2})
        return event

    attempt = Attempt(before_resume=answer)
    run = outcome(server, "deferrable", attempt=attempt, on_user_input="fail", cancel_on_timeout=False)
    assert attempt.events[0]["reason"] == "needs_person"
    assert run.error is None, run.message
    assert run.value["values"] == {"way": "mail", "copies": 2}


def test_answers_that_no_form_could_take_are_told_before_anything_is_started(server: DevServer) -> None:
    panel_flow(server, WORK, FORM, ANSWERED)
    run = both(server, on_user_input="answer", answers={"f1": {"mail"}})
    assert type(run.error) is FlowConfigurationError
    assert "answers cannot be sent as JSON: 'f1': JSON has no form for a value of type set" in run.message
    assert server.executions() == []


@pytest.mark.parametrize("answers", [{"f1": "mail", "f2": 3}, {"Way of delivery": "mail", "Copies": 3}])
def test_a_form_is_answered_by_key_or_title(server: DevServer, answers: dict[str, Any]) -> None:
    panel_flow(server, WORK, FORM, ANSWERED)
    run = both(server, on_user_input="answer", answers=answers)
    assert run.value["values"] == {"way": "mail", "copies": 3}


def test_a_run_that_ends_with_the_answer_is_not_waited_for_in_the_triggerer_again(server: DevServer) -> None:
    panel_flow(server, FORM, ANSWERED)
    run = outcome(server, "deferrable", on_user_input="answer", answers={"f1": "mail"})
    assert run.value["status"] == "Success"
    assert len(run.attempt.deferrals) == 1


def test_a_field_without_an_answer_keeps_its_default(server: DevServer) -> None:
    panel_flow(server, FORM, ANSWERED)
    run = both(server, on_user_input="answer", answers={"f1": "mail"})
    assert run.value["values"] == {"way": "mail", "copies": 1}


def test_two_forms_with_work_between_are_answered_from_one_set(server: DevServer) -> None:
    second = {"id": "ask2", "kind": "form", "fields": [{"key": "g1", "title": "Greeting"}]}
    result = {"kind": "output", "values": {"way": "{{ answers.f1 }}", "greeting": "{{ answers.g1 }}"}}
    panel_flow(server, FORM, WORK, second, result)
    run = both(server, on_user_input="answer", answers={"f1": "mail", "Greeting": "Dear"})
    assert run.value["values"] == {"way": "mail", "greeting": "Dear"}
    assert len(run.attempt.deferrals) == 2
    assert {trigger.deadline for trigger in run.attempt.deferrals} == {run.attempt.deferrals[0].deadline}


def test_answers_that_do_not_fit_say_what_the_form_asks(server: DevServer) -> None:
    panel_flow(server, FORM)
    run = both(server, on_user_input="answer", answers={"colour": "red"})
    assert type(run.error) is FlowUserInputRequiredError
    assert "none of the answers ['colour'] belongs to the form" in run.message
    assert "The form asks: 'f1' (Way of delivery), 'f2' (Copies)." in run.message
    assert "The execution waits on for a person." in run.message
    assert statuses(server) == ["UserInput"] * 2


def test_an_unattended_run_asks_nobody(server: DevServer) -> None:
    panel_flow(server, FORM, ANSWERED)
    run = both(server, unattended=True, on_user_input="fail")
    assert run.value["values"]["copies"] == 1
    assert all(path.endswith("/executions/start") for path in starts(server))


def test_a_run_that_waits_for_an_event_goes_on_with_it(server: DevServer, hook: SmartFlowsHook) -> None:
    event = {"id": "sign", "kind": "wait_for_event", "callback": "signed"}
    panel_flow(server, event, {"kind": "output", "values": {"by": "{{ events.sign }}"}})
    run = both(
        server,
        meanwhile=lambda execution_id: hook.send_event("signed", execution_id=execution_id, text="Ada"),
    )
    assert run.value["values"] == {"by": "Ada"}


# --- time ---


def test_a_run_that_takes_too_long_is_cancelled(server: DevServer) -> None:
    panel_flow(server, LONG)
    run = both(server, timeout=0.2)
    assert type(run.error) is FlowTimeoutError
    assert not isinstance(run.error, AirflowFailException)
    assert run.message == (
        f"The execution was not finished in time; its last status was Running. {shown(run, server.url)}\n"
        f"Execution {run.execution_id} is Canceled.\n"
        "Raise timeout, or execution_timeout, if it needs longer; a retry has a new time limit."
    )
    assert len(cancels(server)) == 2


def test_a_cancelled_run_that_goes_on_for_a_while_is_told_so(server: DevServer) -> None:
    server.configure(cancel_seconds=600)
    panel_flow(server, LONG)
    run = both(server, timeout=0.2)
    assert f"The service was asked to cancel execution {run.execution_id}, still Running." in run.message


def test_a_run_that_takes_too_long_is_left_alone_where_the_author_wants_that(server: DevServer) -> None:
    panel_flow(server, LONG)
    run = both(server, timeout=0.2, cancel_on_timeout=False)
    assert f"Execution {run.execution_id} is still Running. It was not cancelled, as cancel" in run.message
    assert cancels(server) == []


def test_a_run_that_finishes_just_at_the_deadline_counts(server: DevServer) -> None:
    panel_flow(server, LONG, OUTPUT)

    def resume(event: dict[str, Any]) -> dict[str, Any]:
        server.advance(3600)
        return event

    attempt = Attempt(before_resume=resume)
    run = outcome(server, "deferrable", attempt=attempt, timeout=0.2, cancel_on_timeout=False)
    assert attempt.events[0]["reason"] == "deadline"
    assert run.value["status"] == "Success"


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ({"kind": "fail", "message": "No such customer"}, FlowExecutionFailedError),
        ({"kind": "interrupt", "message": "Restarted"}, FlowExecutionInterruptedError),
    ],
)
def test_a_run_that_ends_badly_just_at_the_deadline_tells_its_own_end(
    server: DevServer, end: dict[str, Any], error: type[Exception]
) -> None:
    panel_flow(server, LONG, end)

    def resume(event: dict[str, Any]) -> dict[str, Any]:
        server.advance(3600)
        return event

    attempt = Attempt(before_resume=resume)
    run = outcome(server, "deferrable", attempt=attempt, timeout=0.2, cancel_on_timeout=False)
    assert type(run.error) is error


def test_a_cancel_that_fails_says_that_the_run_may_go_on(server: DevServer) -> None:
    panel_flow(server, LONG)
    server.inject(Fault(action="status", status=403, method="DELETE", count=None))
    run = both(server, timeout=0.2)
    assert type(run.error) is FlowTimeoutError
    assert f"Execution {run.execution_id} may still be running: it could not be cancelled (" in run.message


def test_the_execution_timeout_counts_while_deferred_too(server: DevServer) -> None:
    panel_flow(server, LONG)
    run = both(server, execution_timeout=timedelta(seconds=0.2))
    assert type(run.error) is FlowTimeoutError
    assert statuses(server) == ["Canceled", "Canceled"]


def as_airflow_limits(operator: Any, attempt: Attempt) -> Any:
    """Execute as Airflow does on a worker: ``execution_timeout`` interrupts, and ``on_kill`` follows."""
    try:
        with timeout(operator.execution_timeout.total_seconds()):
            return operator.execute(attempt.context())
    except AirflowTaskTimeout:
        operator.on_kill()
        raise


@pytest.mark.parametrize("cancel", [True, False])
@pytest.mark.parametrize("hold", ["honoured", "ignored"])
def test_airflows_own_execution_timeout_ends_the_wait_as_the_deadline_does(
    server: DevServer, cancel: bool, hold: Any
) -> None:
    server.configure(hold=hold)
    panel_flow(server, LONG)
    operator = operator_for("sync", execution_timeout=timedelta(seconds=1), cancel_on_timeout=cancel)
    with pytest.raises(FlowTimeoutError) as caught:
        as_airflow_limits(operator, Attempt())
    (execution,) = server.executions()
    assert execution["status"] == ("Canceled" if cancel else "Running")
    assert len(cancels(server)) == int(cancel)
    assert f"Execution {execution['id']} is " in str(caught.value)
    assert cancel or "It was not cancelled, as cancel_on_timeout=False asks." in str(caught.value)


def test_a_run_that_is_finished_when_airflows_execution_timeout_passes_counts_as_finished(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, LONG, OUTPUT)

    def late(*_: Any, **__: Any) -> Any:
        server.advance(3600)
        raise AirflowTaskTimeout

    monkeypatch.setattr("smartflows_provider.operators.remote_run.wait_on_worker", late)
    value = as_airflow_limits(operator_for("sync", execution_timeout=timedelta(seconds=60)), Attempt())
    assert value["status"] == "Success"


@pytest.mark.parametrize("mode", MODES)
def test_an_execution_timeout_while_the_start_is_not_answered_leaves_it_open_and_lists_the_candidates(
    server: DevServer, mode: Mode
) -> None:
    panel_flow(server, LONG)
    server.inject(Fault(action="delay", seconds=4, path=START, method="POST", taken=True))
    with pytest.raises(FlowSubmissionUnclearError) as caught:
        as_airflow_limits(operator_for(mode, execution_timeout=timedelta(seconds=1)), Attempt())
    (execution,) = server.executions()
    assert "execution_timeout passed while the start was not answered" in str(caught.value)
    assert f"  {execution['id']}, Running" in str(caught.value)
    assert len(starts(server)) == 1


@needs_task_state
def test_a_retry_after_a_timeout_that_left_the_run_alive_has_a_new_deadline(server: DevServer) -> None:
    panel_flow(server, LONG, OUTPUT)
    run = both(server, timeout=0.2, cancel_on_timeout=False)
    server.advance(3600)
    again = outcome(server, "deferrable", attempt=run.attempt, timeout=60)
    assert again.value["execution_id"] == run.execution_id


# --- not waiting ---


def test_a_task_that_does_not_wait_returns_what_is_known_at_the_start(server: DevServer) -> None:
    flow = panel_flow(server, LONG)
    run = both(server, wait_for_completion=False)
    assert run.value["execution_id"] == run.execution_id == run.attempt.xcoms["execution_id"]
    assert (run.value["status"], run.value["values"], run.value["documents"]) == ("Running", {}, [])
    assert run.value["flow"] == {"id": flow.id, "name": "Letter"}
    assert run.value["finished_at"] is None
    assert statuses(server) == ["Running", "Running"]


# --- results ---


@pytest.fixture
def with_documents(server: DevServer) -> None:
    server.add_flow(
        name="Letter",
        start_from="panel",
        templates={"page.j2": "<h1>Dear Ada</h1>"},
        steps=[
            WORK,
            {"id": "d1", "kind": "document", "template": "page.j2", "file_name": "Report.pdf"},
            {
                "id": "d2",
                "kind": "document",
                "template": "page.j2",
                "format": "html",
                "file_name": "../../etc/passwd",
            },
            OUTPUT,
        ],
    )


@pytest.mark.usefixtures("with_documents")
def test_documents_are_landed_whole_with_true_hashes(
    server: DevServer, hook: SmartFlowsHook, tmp_path: Path
) -> None:
    for mode in MODES:
        target = tmp_path / mode
        run = outcome(server, mode, documents_path=str(target))
        entries = run.value["documents"]
        files = [path for path in target.rglob("*") if path.is_file()]
        assert len(entries) == len(files) == 2
        assert {path.parent for path in files} == {target / run.execution_id}
        for entry in entries:
            with hook.download_document(entry["id"]) as stream:
                expected = b"".join(stream.chunks)
            landed = ObjectStoragePath(entry["uri"]).read_bytes()
            assert landed == expected
            assert (entry["size"], entry["sha256"]) == (len(expected), hashlib.sha256(expected).hexdigest())
        assert entries[0]["name"] == "Report.pdf"
        assert entries[0]["uri"].endswith(f"/{run.execution_id}/Report.pdf")
        assert ObjectStoragePath(entries[0]["uri"]).read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("with_documents")
def test_without_a_path_documents_are_listed(server: DevServer) -> None:
    run = both(server)
    assert [entry["uri"] for entry in run.value["documents"]] == [None, None]


def test_outputs_keep_and_rename_values(server: DevServer) -> None:
    panel_flow(server, WORK, OUTPUT)
    run = both(server, outputs={"name": "customer.name", "double": "total"})
    assert run.value["values"] == {"name": "Ada", "double": 7}


def test_an_output_that_cannot_be_read_starts_nothing(server: DevServer) -> None:
    panel_flow(server, OUTPUT)
    run = both(server, outputs={"name": "customer["})
    assert type(run.error) is FlowOutputError
    assert run.message.endswith("Nothing was started.")
    assert server.executions() == []


def test_an_output_that_the_run_does_not_have_is_named(server: DevServer) -> None:
    panel_flow(server, OUTPUT)
    run = both(server, outputs={"name": "nobody.name"})
    assert type(run.error) is FlowOutputError
    assert "'name'" in run.message
    assert run.message.endswith("The execution is finished; its output stays at the service.")


BIG = {"kind": "output", "values": {"text": "x" * 5000}}


def test_values_too_large_for_xcom_say_what_to_set(server: DevServer) -> None:
    panel_flow(server, BIG)
    run = both(server, max_xcom_bytes=1000)
    assert type(run.error) is FlowOutputError
    assert re.search(r"over max_xcom_bytes=1,000\. Set documents_path", run.message)


def test_values_too_large_for_xcom_go_to_the_documents(server: DevServer, tmp_path: Path) -> None:
    panel_flow(server, BIG)
    run = both(server, max_xcom_bytes=1000, documents_path=str(tmp_path / "out"))
    assert run.value["values"] is None
    stored = ObjectStoragePath(run.value["values_file"]["uri"]).read_bytes()
    assert stored == b'{"text": "' + b"x" * 5000 + b'"}'
    assert run.value["values_file"]["sha256"] == hashlib.sha256(stored).hexdigest()


# --- progress ---


@pytest.mark.parametrize("mode", MODES)
def test_progress_is_logged_when_it_changes_and_not_at_each_look(
    server: DevServer, mode: Mode, capsys: pytest.CaptureFixture[str]
) -> None:
    panel_flow(server, *({"message": f"Step {number}", "duration": 0.5} for number in (1, 2)))
    run = outcome(server, mode, poll_interval=0.05)
    looks = len(asked(server, "GET", f"{run.execution_id}/progress"))
    lines = [
        line for line in capsys.readouterr().out.splitlines() if f"Execution {run.execution_id}: " in line
    ]
    assert looks >= 6
    assert 2 <= len(lines) <= 4
    assert len({line.split("Execution", 1)[1] for line in lines}) == len(lines)
    assert "Step 2" in lines[-2] + lines[-1]


@needs_task_state
def test_the_trigger_gets_what_the_author_set(server: DevServer) -> None:
    panel_flow(server, WORK)
    run = outcome(
        server,
        "deferrable",
        timeout=1000,
        poll_interval=0.2,
        max_outage=33,
        on_user_input="fail",
        cancel_on_kill=False,
        cancel_on_timeout=False,
    )
    (trigger,) = run.attempt.deferrals
    row = trigger.serialize()[1]
    assert row["deadline"] == pytest.approx(run.attempt.store.get("flow_run")["deadline"])
    assert row == {
        "system": "smartflows",
        "conn_id": "smartflows_default",
        "execution_id": run.execution_id,
        "deadline": row["deadline"],
        "poll_interval": 0.2,
        "max_outage": 33,
        "stop_for_person": True,
        "cancel_on_kill": False,
        "cancel_on_timeout": False,
        "cancel_for_person": False,
        "keep_on_clear": False,
        "owns_run": True,
        "ending": {
            "returns": "manifest",
            "on_warning": "succeed",
            "outputs": {},
            "values_by_title": False,
            "max_xcom_bytes": 48 * 1024,
        },
        "terms": None,
        "open_form": None,
        "schema_version": 5,
    }


def test_a_task_without_task_state_runs_and_remembers_nothing(server: DevServer) -> None:
    panel_flow(server, WORK, OUTPUT)
    run = both(server, fresh_attempt=lambda: Attempt(store=None))
    assert run.value["status"] == "Success"
    forgetful = both(server, fresh_attempt=Attempt, durable=False)
    assert forgetful.attempt.store.entries == {}


def test_the_operator_closes_its_connections(server: DevServer) -> None:
    panel_flow(server, WORK)
    operator = operator_for("sync")
    run_task(operator)
    assert operator.hook._client is None
