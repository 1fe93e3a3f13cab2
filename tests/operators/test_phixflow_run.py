"""Actionflows run from tasks: what is sent, what comes of it, and what a DAG author reads, in both modes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.sdk import DAG
from structlog.testing import capture_logs
from support.airflow_versions import needs_task_state
from support.phixflow import TRIGGER, WAYS, Bench, Way, bench
from support.tasks import MODES, Attempt, FakeStateStore, Mode, first_event, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.phixflow_profiles import PROFILES
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowDocumentError,
    FlowException,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowKilledError,
    FlowNotFoundError,
    FlowOutputError,
    FlowRecordError,
    FlowRequestRefusedError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
)
from smartflows_provider.lifecycle.record import RECORD_KEY
from smartflows_provider.operators.base import RunOperator
from smartflows_provider.operators.hidden_input import HIDDEN
from smartflows_provider.operators.phixflow import PhixFlowRunActionflowOperator
from smartflows_provider.operators.run_actionflow import ActionflowRun
from smartflows_provider.transport import blocking
from smartflows_provider.transport.settings import ClientSettings

__all__ = ["bench"]


# --- what is sent ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_run_returns_the_manifest(bench: Bench, way: Way) -> None:
    bench.add(way, seconds=0.1, result={"rows": 3})
    attempt = Attempt()
    manifest = bench.run(way, attempt=attempt, output_name="Out")
    (call,) = bench.section.calls
    assert manifest == {
        "schema_version": 1,
        "execution_id": manifest["execution_id"] if way == "wait" else call.process_id,
        "flow": {"id": "MyApp/Job", "name": "MyApp/Job"},
        "status": "Success",
        "created_at": None,
        "finished_at": None,
        "values": {"rows": 3},
        "documents": [],
        "warnings": [],
        "stages": 0,
        "url": None,
    }
    assert (way != "wait") or manifest["execution_id"].startswith("call-")
    assert attempt.xcoms["execution_id"] == manifest["execution_id"]
    assert bool(attempt.deferrals) is (way == "deferrable")


@pytest.mark.parametrize(
    "endpoint",
    [
        {"application": "MyApp", "actionflow": "My Job"},
        {"application": None, "actionflow": "My Job"},
        {"application": None, "actionflow": None, "path": "/action/in/jobs/trigger"},
        {"application": None, "actionflow": None, "path": "/phixflow/api/1/action/MyApp/My%20Job/trigger"},
    ],
    ids=["version 11", "version 10", "alias", "full path"],
)
def test_an_endpoint_is_named_in_each_way(bench: Bench, endpoint: dict[str, Any]) -> None:
    bench.add(actionflow="My Job", alias="in/jobs")
    assert bench.run(**endpoint)["status"] == "Success"
    assert bench.section.started == 1


def test_method_parameters_body_and_time_limit_are_sent(bench: Bench) -> None:
    bench.add(method="PUT")
    bench.run(method="PUT", parameters={"Name": "Ü", "Dry": True}, body={"rows": [1]}, timeout_ms=5000)
    (call,) = bench.section.calls
    assert (call.method, call.query) == ("PUT", {"Name": "Ü", "Dry": "true", "timeout": "5000"})
    assert json.loads(call.body) == {"rows": [1]}
    assert call.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("arguments", "body", "content_type"),
    [
        ({"body": '{"rows": [1]}'}, b'{"rows": [1]}', "application/json"),
        ({"body": "id;name", "content_type": "text/csv"}, b"id;name", "text/csv"),
        ({"body": [1, 2]}, b"[1, 2]", "application/json"),
    ],
)
def test_a_body_is_json_or_a_text_of_its_own_type(
    bench: Bench, arguments: dict[str, Any], body: bytes, content_type: str
) -> None:
    bench.add()
    bench.run(**arguments)
    (call,) = bench.section.calls
    assert call.body == body
    assert call.headers["content-type"].startswith(content_type)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"body": "no JSON"}, "The argument body is no JSON text."),
        ({"body": "\ud800", "content_type": "text/csv"}, "The argument body holds half a character."),
        ({"parameters": "no JSON"}, "The argument parameters is other text; it takes a mapping"),
        (
            {"body": {"Rows": {1, 2}}},
            "the body cannot be sent as JSON: 'Rows': JSON has no form for a value of",
        ),
        ({"parameters": {"Rows": [1]}}, "the input parameter 'Rows' is list, but the query takes a text"),
        (
            {"parameters": {"timeout": 5}, "timeout_ms": 5},
            "the input parameter 'timeout' is PhixFlow's own time limit",
        ),
        ({"actionflow": " "}, "The argument actionflow is ' '; it takes an id or a name as text."),
        ({"outputs": {"x": "["}}, "'['"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_what_templates_have_made_unusable_is_refused_before_anything_is_sent(
    bench: Bench, way: Way, arguments: dict[str, Any], message: str
) -> None:
    bench.add(way)
    operator = bench.task(way)
    for name, value in arguments.items():
        setattr(operator, name, value)
    with pytest.raises(FlowException) as caught:
        run_task(operator)
    assert message in str(caught.value)
    assert isinstance(caught.value, FlowConfigurationError | FlowOutputError)
    assert bench.section.started == 0


def test_names_in_the_status_address_are_quoted(bench: Bench) -> None:
    bench.section.configure(status_address="endpoint")
    bench.add("sync", actionflow="My Job")
    path = "/action/{application}/{actionflow}/status/{id}"
    assert bench.run("sync", actionflow="My Job", status_path=path)["status"] == "Success"


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("way", WAYS)
def test_each_reading_of_what_is_not_documented_can_be_set(bench: Bench, way: Way, name: str) -> None:
    profile = bench.section.profile = PROFILES[name]
    bench.connect()
    bench.add(way, seconds=0.1, result={"rows": 3})
    bench.add(way, actionflow="Bad", outcome="Fail", message="No stock")
    is_json = profile.body_form == "json"
    settings: dict[str, Any] = {
        "status_path": {
            "process": None,
            "endpoint": "/action/{application}/{actionflow}/status/{id}",
            "query": "/action/status?processId={id}",
        }[profile.status_address],
        "id_field": {"processId": None, "id": "id", "nested": "data.processId"}[profile.id_field],
    }
    if profile.words == "other":
        settings |= {
            "success_words": [profile.success_word],
            "failure_words": [profile.failure_word],
            "running_words": [profile.running_word],
        }
    if not is_json:
        settings["id_field"] = ""
    result = {"output_name": "Out"} if is_json else {}
    if is_json and profile.result_form == "nested":
        result["result_path"] = "data.{output}"
    manifest = bench.run(way, **settings, **result)
    assert manifest["status"] == profile.success_word
    assert manifest["values"] == ({"rows": 3} if is_json else {"result": profile.success_word})
    error = bench.error(way, actionflow="Bad", **settings)
    assert isinstance(error, FlowExecutionFailedError)
    assert f"The execution ended in {profile.failure_word}.\n  - " in str(error)
    assert "No stock" in str(error)


# --- what comes of it --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_fails_the_task_with_the_authors_message(bench: Bench, way: Way) -> None:
    bench.add(way, outcome="Fail", message="No stock", seconds=0.1)
    error = bench.error(way)
    assert type(error) is FlowExecutionFailedError
    assert str(error).startswith("The execution ended in Fail.\n  - No stock [PhixFlow, connection "
                                 "'phixflow_default', flow 'MyApp/Job', execution ")  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_retry_after_a_failure_calls_the_endpoint_again(bench: Bench, way: Way) -> None:
    store = FakeStateStore()
    bench.add(way, outcome="Fail")
    bench.error(way, attempt=Attempt(store=store, max_tries=1))
    bench.add(way)
    manifest = bench.run(way, attempt=Attempt(store=store, max_tries=1, try_number=2))
    assert (manifest["status"], bench.section.started) == ("Success", 2)


@pytest.mark.parametrize("way", WAYS)
def test_a_cleared_task_calls_the_endpoint_again(bench: Bench, way: Way) -> None:
    store = FakeStateStore()
    bench.add(way)
    first = bench.run(way, attempt=Attempt(store=store))
    second = bench.run(way, attempt=Attempt(store=store, max_tries=1, try_number=2, clear_number=1))
    assert first["execution_id"] != second["execution_id"]
    assert bench.section.started == 2


RECORDS = [
    {"id": 1, "status": "Success"},
    {"id": "b", "status": "Fail", "message": "No stock"},
    {"status": "Skipped"},
]
TOLD = ["record b: No stock", "record number 3: Skipped"]


@pytest.mark.parametrize("way", WAYS)
def test_failed_records_fail_the_task_which_lists_them(bench: Bench, way: Way) -> None:
    bench.add(way, records=RECORDS, message="3 read")
    error = bench.error(way, records_field="records")
    assert type(error) is FlowExecutionFailedError
    assert "\n  - ".join(["The execution ended in Success.", "3 read", *TOLD]) in str(error)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("option", "warnings"), [("warn", TOLD), ("succeed", [])])
def test_failed_records_may_be_warnings_or_the_flows_own_affair(
    bench: Bench, way: Way, option: Any, warnings: list[str]
) -> None:
    bench.add(way, records=RECORDS)
    manifest = bench.run(way, records_field="records", on_partial_failure=option)
    assert (manifest["status"], manifest["warnings"]) == ("Success", warnings)
    assert manifest["values"]["records"] == RECORDS


@pytest.mark.parametrize("way", WAYS)
def test_many_failed_records_are_cut_short(bench: Bench, way: Way) -> None:
    bench.add(way, records=[{"id": number, "status": "Fail"} for number in range(150)])
    warnings = bench.run(way, records_field="records", on_partial_failure="warn")["warnings"]
    assert (len(warnings), warnings[-1]) == (101, "and 50 more records")


@pytest.mark.parametrize("way", WAYS)
def test_codes_that_the_author_chose_are_followed(bench: Bench, way: Way) -> None:
    bench.add(way, status_code=418, result=1)
    codes: dict[str, Any] = {"success_codes": [200, 418], "failure_codes": [203]}
    assert bench.run(way, output_name="Out", **codes)["values"] == {"Out": 1}
    bench.add(way, outcome="Fail", failure_code=203, body="gone", message="No stock")
    assert "No stock" in str(bench.error(way, **codes))
    bench.add(way, outcome="Fail", failure_code=500, message="No stock")
    assert type(bench.error(way, **codes)) is FlowExecutionFailedError


@pytest.mark.parametrize(
    ("body", "kind", "values"),
    [
        ("id;name\n1;Bolt", "text/csv", {"result": "id;name\n1;Bolt"}),
        ("[1, 2]", "application/json", {"result": [1, 2]}),
        ("Success", "text/plain", {"result": "Success"}),
        ("", "text/plain", {}),
    ],
)
def test_an_answer_of_any_type_is_taken_along(
    bench: Bench, body: str, kind: str, values: dict[str, Any]
) -> None:
    bench.add(body=body, content_type=kind)
    assert bench.run()["values"] == values


@pytest.mark.parametrize("way", WAYS)
def test_returned_data_that_is_missing_is_told_with_the_answers_keys(bench: Bench, way: Way) -> None:
    bench.add(way, message="s3cret", result=1)
    error = bench.error(way, output_name="Orders")
    assert type(error) is FlowOutputError
    assert str(error).startswith("the actionflow's answer lacks 'Orders'; its keys are 'Out', 'message', "
                                 "'status'. Set output_name and result_path to where")  # fmt: skip
    assert "s3cret" not in str(error)


# --- what stays open ---------------------------------------------------------------------------------


def test_a_client_that_waits_no_longer_says_that_the_server_aborts_the_work(bench: Bench) -> None:
    bench.connect(read_timeout=0.2)
    bench.add(seconds=600, limit_seconds=900)
    store = FakeStateStore()
    error = bench.error(attempt=Attempt(store=store), endpoint_limit=0.1)
    assert type(error) is FlowSubmissionUnclearError
    assert isinstance(error, AirflowFailException)
    lines = str(error).split("\n")
    assert lines[0].startswith(
        "The endpoint has not answered within 0.3 s: POST /action/MyApp/Job/trigger at "
    )
    assert lines[1] == (
        "Nothing needs to be stopped: the server aborts the work by itself at the endpoint's limit of 0.1 s. "
        "Whether the work was done before is open."
    )
    assert "Give timeout_ms, or endpoint_limit, if the work needs longer, or use mode='poll'." in lines[2]
    assert bench.section.started == 1

    bench.add()
    cleared = Attempt(store=store, max_tries=1, try_number=2, clear_number=1)
    assert bench.run(attempt=cleared)["status"] == "Success"


@pytest.mark.parametrize(
    "arguments", [{"timeout_ms": 2000}, {"endpoint_limit": 2.0}], ids=["timeout_ms", "endpoint_limit"]
)
def test_the_read_limit_grows_by_the_endpoints_limit(bench: Bench, arguments: dict[str, Any]) -> None:
    bench.connect(read_timeout=0.2)
    bench.add(seconds=0.6)
    assert bench.run(**arguments)["status"] == "Success"


def test_a_run_that_the_server_aborts_has_failed(bench: Bench) -> None:
    bench.add(seconds=600)
    error = bench.error(timeout_ms=100)
    assert type(error) is FlowExecutionFailedError
    assert "Aborted by the server after 0.1 s" in str(error)


LOST: dict[str, dict[str, Any]] = {
    "reset": {"action": "reset"},
    "502": {"action": "status", "status": 502, "body": "Bad gateway"},
    "sign-in page": {"action": "html"},
    "half an answer": {"action": "truncated"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lost", LOST)
def test_a_lost_answer_is_never_a_reason_to_call_twice(bench: Bench, way: Way, lost: str) -> None:
    bench.add(way)
    bench.server.inject(Fault(path=TRIGGER, **{"taken": True, **LOST[lost]}))
    store = FakeStateStore()
    error = bench.error(way, attempt=Attempt(store=store))
    assert type(error) is FlowSubmissionUnclearError
    assert "Look at PhixFlow's console for what was done; then clear the task" in str(error)
    assert bench.section.started == 1
    cleared = Attempt(store=store, max_tries=1, try_number=2, clear_number=1)
    assert bench.run(way, attempt=cleared)["status"] == "Success"
    assert bench.section.started == 2


@needs_task_state
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [400, 409, 410, 422])
def test_a_code_that_the_author_may_have_chosen_leaves_open_whether_the_work_was_done(
    bench: Bench, way: Way, status: int
) -> None:
    bench.add(way)
    bench.server.inject(
        Fault(
            path=TRIGGER,
            action="status",
            status=status,
            taken=True,
            headers={"content-type": "application/json"},
            body='{"message": "No s3cret in stock"}',
            count=2,
        )
    )
    store = FakeStateStore()
    error = bench.error(way, attempt=Attempt(store=store, max_tries=1))
    assert type(error) is FlowSubmissionUnclearError
    assert isinstance(error, AirflowFailException)
    assert error.what == (
        "The endpoint has answered, but what became of the actionflow cannot be told: POST "
        f"/action/MyApp/Job/trigger was answered with {status}, which the endpoint's author may have chosen: "
        "if so, name it in failure_codes or success_codes: No s3cret in stock."
    )
    assert error.fate == (
        "Whether the work was done is not known. It was not called a second time; a run that it has started "
        "goes on."
    )
    assert "Nothing was started" not in str(error)
    retry = bench.error(way, attempt=Attempt(store=store, max_tries=1, try_number=2))
    assert type(retry) is FlowSubmissionUnclearError
    assert bench.section.started == 1
    cleared = Attempt(store=store, max_tries=2, try_number=2, clear_number=1)
    hidden = bench.error(way, attempt=cleared, hide_payload=True)
    assert "s3cret" not in str(hidden)
    assert bench.section.started == 2


@pytest.mark.parametrize("way", WAYS)
def test_an_address_that_is_not_there_says_that_nothing_was_started_unless_the_code_is_the_authors(
    bench: Bench, way: Way
) -> None:
    bench.add(way)
    store = FakeStateStore()
    error = bench.error(way, actionflow="Jobs s3cret", attempt=Attempt(store=store))
    assert type(error) is FlowNotFoundError
    assert error.what.startswith("There is no such endpoint: POST /action/MyApp/Jobs%20s3cret/trigger was")
    assert error.fate == "Nothing was started, unless the endpoint's author answers with 404 after the work."
    assert error.advice.startswith("Check application and actionflow, or the path, and the connection's API")
    assert error.advice.endswith(" Name a 404 of its author's in failure_codes.")
    assert store.entries == {}
    hidden = bench.error(way, actionflow="Jobs", hide_payload=True)
    assert hidden.what.endswith("/action/MyApp/Jobs/trigger was answered with 404.")


@pytest.mark.parametrize("way", WAYS)
def test_a_code_that_is_the_servers_own_has_started_nothing(bench: Bench, way: Way) -> None:
    bench.add(way, method="PUT")
    store = FakeStateStore()
    error = bench.error(way, attempt=Attempt(store=store))
    assert type(error) is FlowRequestRefusedError
    assert error.fate == "Nothing was started."
    assert store.entries == {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answered",
    [
        {"action": "status", "status": 409},
        {"action": "html"},
        {"action": "oversized", "size": 3000},
        {"action": "status", "status": 200, "body": '{"status": ["?"]}'},
    ],
    ids=["409", "page", "too large", "no word"],
)
def test_an_answer_that_has_come_is_no_reason_to_call_again_whatever_is_to_be_done_about_lost_ones(
    bench: Bench, way: Way, answered: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults: Any = ClientSettings.__init__
    monkeypatch.setitem(defaults.__kwdefaults__, "max_body_bytes", 2000)
    bench.add(way)
    bench.server.inject(Fault(**{"path": TRIGGER, "taken": True, **answered}))
    error = bench.error(way, on_ambiguous_submission="resubmit")
    assert type(error) is FlowSubmissionUnclearError
    assert error.what.startswith(
        "The endpoint has answered, but what became of the actionflow cannot be told:"
    )
    assert "on_ambiguous_submission" not in str(error)
    assert bench.section.started == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("second", [{"action": "html"}, {"action": "status", "status": 409}])
def test_a_call_that_was_repeated_says_so_whatever_came_of_it(
    bench: Bench, way: Way, second: dict[str, Any]
) -> None:
    bench.add(way)
    bench.server.inject(Fault(path=TRIGGER, action="reset", taken=True))
    bench.server.inject(Fault(**{"path": TRIGGER, "taken": True, **second}))
    error = bench.error(way, on_ambiguous_submission="resubmit")
    assert type(error) is FlowSubmissionUnclearError
    assert "It was sent once more: " in error.what
    assert "not called a second time" not in str(error)
    assert bench.section.started == 2


@pytest.mark.parametrize("way", WAYS)
def test_an_execution_timeout_within_the_call_is_told_as_a_lost_answer(
    bench: Bench, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(way)

    def time_out(*_: Any, **__: Any) -> None:
        raise AirflowTaskTimeout

    monkeypatch.setattr(blocking.BlockingClient, "run", time_out)
    error = bench.error(way)
    assert type(error) is FlowSubmissionUnclearError
    assert "actionflow was started: execution_timeout passed before the endpoint has answered." in str(error)
    aborts = "the server aborts the work by itself at the endpoint's limit of 60 s"
    assert (aborts in str(error)) is (way == "wait")


@pytest.mark.parametrize("way", WAYS)
def test_the_author_may_have_a_lost_call_repeated_once(bench: Bench, way: Way) -> None:
    bench.add(way)
    bench.server.inject(Fault(path=TRIGGER, action="reset", taken=True))
    assert bench.run(way, on_ambiguous_submission="resubmit")["status"] == "Success"
    assert bench.section.started == 2
    bench.server.inject(Fault(path=TRIGGER, action="reset", taken=True, count=2))
    assert type(bench.error(way, on_ambiguous_submission="resubmit")) is FlowSubmissionUnclearError
    assert bench.section.started == 4


class Died(BaseException):
    """Stands for SIGKILL: nothing runs after it."""


@needs_task_state
@pytest.mark.parametrize("way", WAYS)
def test_an_attempt_that_died_in_its_call_is_told_and_not_repeated(
    bench: Bench, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add(way)
    store = FakeStateStore()

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as dying, suppress(Died):
        dying.setattr(blocking.BlockingClient, "run", die)
        bench.run(way, attempt=Attempt(store=store, max_tries=1))
    error = bench.error(way, attempt=Attempt(store=store, max_tries=1, try_number=2))
    assert type(error) is FlowSubmissionUnclearError
    assert "An earlier attempt ended while it was starting it." in str(error)
    assert error.fate == "The service cannot list its executions."
    assert error.advice == (
        "Look at PhixFlow's console for what was done; then clear the task to call the endpoint again."
    )
    assert bench.section.started == 0


@needs_task_state
@pytest.mark.parametrize("way", WAYS)
def test_a_record_that_cannot_be_read_says_what_to_look_for_in_phixflows_own_terms(
    bench: Bench, way: Way
) -> None:
    bench.add(way)
    store = FakeStateStore()
    store.set(RECORD_KEY, {"schema_version": 99})
    error = bench.error(way, attempt=Attempt(store=store))
    assert type(error) is FlowSubmissionUnclearError
    assert error.advice.startswith("Look at PhixFlow's console for what was done; then delete the task state")
    assert bench.section.started == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("answered", "message"),
    [
        ({"action": "html"}, "is a web page, as a sign-in page is, and no process id"),
        ({"body": "Please sign in"}, "has a body with characters that no id has"),
        ({"body": "Success"}, "is the word 'Success' and no process id"),
    ],
)
def test_a_text_that_is_no_process_id_is_never_asked_about(
    bench: Bench, mode: Mode, answered: dict[str, Any], message: str
) -> None:
    bench.add(mode)
    given = {"path": TRIGGER, "action": "status", "status": 200, "taken": True, **answered}
    bench.server.inject(Fault(**given))
    error = bench.error(mode, id_field="")
    assert type(error) is FlowSubmissionUnclearError
    assert message in error.what
    assert (bench.section.started, bench.section.looks) == (1, [])


@pytest.mark.parametrize(
    ("body", "arguments", "kind"),
    [
        ("Failure: no stock", {}, FlowExecutionFailedError),
        ("Fehler: kein Bestand", {"failure_words": ["Fehler"]}, FlowExecutionFailedError),
        ("Error: no stock", {"status_field": ""}, FlowSubmissionUnclearError),
    ],
)
def test_a_text_of_wait_mode_is_read_by_its_first_word(
    bench: Bench, body: str, arguments: dict[str, Any], kind: type[FlowException]
) -> None:
    bench.add(body=body, content_type="text/plain")
    assert type(bench.error(**arguments)) is kind


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("wait", "has 'processId' but no status, as one in the mode 'Poll for result' has"),
        ("sync", "lacks 'processId'; its keys are 'message', 'status'"),
    ],
)
def test_the_wrong_mode_is_told_by_the_answers_keys(bench: Bench, way: Way, message: str) -> None:
    bench.add("sync" if way == "wait" else "wait")
    error = bench.error(way)
    assert type(error) is FlowSubmissionUnclearError
    assert message in str(error)
    assert "It was not called a second time; a run that it has started goes on.\nSet mode, or" in str(error)


@pytest.mark.parametrize("mode", MODES)
def test_a_status_field_that_is_missing_is_told_with_the_keys_and_keeps_the_run(
    bench: Bench, mode: Mode
) -> None:
    bench.add(mode)
    error = bench.error(mode, status_field="state", max_outage=0.2)
    assert type(error) is FlowStateUnknownError
    assert "lacks 'state'; its keys are 'message', 'status'" in str(error)
    assert "The execution was kept." in str(error)


# --- waiting, giving up, stopping --------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_word_is_waited_on(bench: Bench, mode: Mode) -> None:
    bench.section.configure(words="other")
    bench.add(mode, seconds=0.3)
    manifest = bench.run(mode, success_words=["Completed OK"], running_words=[])
    assert manifest["status"] == "Completed OK"


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_given_up_goes_on_and_the_message_says_why(bench: Bench, mode: Mode) -> None:
    bench.add(mode, seconds=600)
    error = bench.error(mode, timeout=0.2)
    assert type(error) is FlowTimeoutError
    assert "It was not cancelled, as PhixFlow has no call that stops a run." in str(error)


@pytest.mark.parametrize("mode", MODES)
def test_a_retry_attaches_to_a_run_that_goes_on(bench: Bench, mode: Mode) -> None:
    bench.add(mode, seconds=600)
    store = FakeStateStore()
    bench.error(mode, timeout=0.2, attempt=Attempt(store=store, max_tries=1))
    (call,) = bench.section.calls
    bench.section.finish(call.process_id)
    manifest = bench.run(mode, attempt=Attempt(store=store, max_tries=1, try_number=2))
    assert (manifest["execution_id"], bench.section.started) == (call.process_id, 1)


def test_a_cleared_task_starts_nothing_beside_a_run_that_goes_on(bench: Bench) -> None:
    bench.add("sync", seconds=600)
    store = FakeStateStore()
    bench.run("sync", wait_for_completion=False, attempt=Attempt(store=store))
    cleared = Attempt(store=store, max_tries=1, try_number=2, clear_number=1)
    error = bench.error("sync", attempt=cleared)
    assert type(error) is FlowStateUnknownError
    assert "PhixFlow has no call that stops a run, so process 4711 was not stopped" in str(error)
    assert bench.section.started == 1


@contextmanager
def once_looked_at(bench: Bench, act: Callable[[], object]) -> Iterator[None]:
    """Do something once a run's status has been asked for."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            if bench.section.looks:
                act()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


def test_a_task_that_is_stopped_leaves_its_run_and_says_so(bench: Bench) -> None:
    bench.add("sync", seconds=600)
    operator = bench.task("sync")
    with once_looked_at(bench, operator.on_kill), pytest.raises(FlowKilledError) as killed:
        run_task(operator)
    assert "\nThe execution was not cancelled, as PhixFlow has no call that stops a run.\n" in str(
        killed.value
    )
    assert bench.section.status_of("4711") == "Running"


@pytest.mark.parametrize("durable", [True, False])
def test_an_answer_that_comes_while_the_task_is_being_stopped_is_taken_along(
    bench: Bench, durable: bool
) -> None:
    bench.add(seconds=600, limit_seconds=900, result={"rows": 3})
    operator, attempt = bench.task(output_name="Out", durable=durable), Attempt(max_tries=1)

    def stop() -> None:
        while not bench.section.started:
            time.sleep(0.01)
        operator.on_kill()
        bench.section.finish("4711")

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    with capture_logs() as logs:
        manifest = run_task(operator, attempt)
    stopping.join()
    # Nobody can ask for it again, and nothing of it is left to be stopped.
    assert (manifest["status"], manifest["values"]) == ("Success", {"rows": 3})
    assert attempt.xcoms["execution_id"] == manifest["execution_id"]
    assert "The task was stopped, but the endpoint has answered by then" in str(logs)
    assert bench.section.started == 1


def test_a_failure_that_comes_while_the_task_is_being_stopped_is_told(bench: Bench) -> None:
    bench.add(seconds=600, limit_seconds=900)
    operator = bench.task()

    def stop() -> None:
        while not bench.section.started:
            time.sleep(0.01)
        operator.on_kill()
        bench.section.fail("4711", message="No stock")

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    with pytest.raises(FlowExecutionFailedError, match="No stock"):
        run_task(operator)
    stopping.join()


@needs_task_state
def test_a_task_that_is_stopped_before_its_call_makes_none(bench: Bench) -> None:
    bench.add()
    operator = bench.task()
    attempt = Attempt()
    context = attempt.context()

    class StoppingStore(FakeStateStore):
        def get(self, key: str, default: Any = None) -> Any:
            operator.on_kill()
            return super().get(key, default)

    context["task_state_store"] = StoppingStore()
    with pytest.raises(FlowKilledError, match=r"\nNo execution was started\.\n"):
        operator.execute(context)
    assert bench.section.started == 0


def test_a_retry_after_an_answer_that_was_not_taken_along_calls_nothing_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add()
    store = FakeStateStore()

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as dying, suppress(Died):
        dying.setattr(ActionflowRun, "conclude", die)
        bench.run(attempt=Attempt(store=store, max_tries=1))
    error = bench.error(attempt=Attempt(store=store, max_tries=1, try_number=2))
    assert type(error) is FlowExecutionGoneError
    assert "came to a process that has ended, and is not kept" in error.what
    assert error.fate == (
        "The endpoint has answered, so the work is over, well or not; it was not called a second time."
    )
    assert error.advice == (
        "Look at PhixFlow's console for what was done; then clear the task to call the endpoint again."
    )
    assert bench.section.started == 1
    cleared = Attempt(store=store, max_tries=2, try_number=2, clear_number=1)
    assert bench.run(attempt=cleared)["status"] == "Success"


@pytest.mark.parametrize(
    "arguments",
    [
        {"output_name": "Orders"},
        {"max_xcom_bytes": 1000},
        {"max_xcom_bytes": 1000, "documents_path": "/dev/null/x"},
    ],
    ids=["no data", "too large", "storage"],
)
@pytest.mark.parametrize("way", WAYS)
def test_an_error_of_the_output_says_where_the_answer_is_and_never_has_the_endpoint_called_again(
    bench: Bench, way: Way, arguments: dict[str, Any]
) -> None:
    bench.add(way, result={"rows": "x" * 2000})
    error = bench.error(way, **arguments)
    if way == "wait":
        assert type(error) is FlowOutputError
        assert error.fate == (
            "The actionflow has ended in Success; its answer ended with this task, and is not kept."
        )
        assert error.advice.startswith("Look at PhixFlow's console for what was done")
    else:
        assert type(error) is (FlowDocumentError if "documents_path" in arguments else FlowOutputError)
        assert error.fate == "The execution is finished; its output stays at the service."


def unwritable(attempt: Attempt) -> Attempt:
    """Return an attempt whose XComs are not taken while the task is run."""

    def refuse(key: str, value: Any) -> None:
        raise OSError("the API server does not answer")

    attempt._push = refuse  # type: ignore[method-assign]
    return attempt


@pytest.mark.parametrize("durable", [True, False])
def test_an_answer_is_not_lost_where_airflow_does_not_take_its_name(bench: Bench, durable: bool) -> None:
    bench.add(result={"rows": 3})
    with capture_logs() as logs:
        manifest = bench.run(attempt=unwritable(Attempt()), durable=durable)
    assert manifest["status"] == "Success"
    assert "Airflow could not note that the answer is called" in str(logs)
    assert bench.section.started == 1


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
def test_a_run_whose_name_airflow_does_not_take_is_kept(bench: Bench, mode: Mode) -> None:
    bench.add(mode, seconds=600)
    error = bench.error(mode, attempt=unwritable(Attempt()))
    assert type(error) is FlowRecordError
    assert error.advice == "A retry attaches to it."


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_not_waited_for_is_not_asked_about(bench: Bench, mode: Mode) -> None:
    bench.add(mode, seconds=600)
    manifest = bench.run(mode, wait_for_completion=False, status_path="/nowhere/{id}")
    assert (manifest["execution_id"], manifest["status"]) == ("4711", "started")
    assert bench.section.looks == []


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_was_cleaned_up_is_gone(bench: Bench, mode: Mode) -> None:
    bench.add(mode, seconds=600)
    with once_looked_at(bench, lambda: bench.section.forget("4711")):
        error = bench.error(mode)
    assert type(error) is FlowExecutionGoneError
    assert error.fate == "PhixFlow's clean-up settings may have purged it; how it ended is not known."
    assert error.advice == (
        "Look into PhixFlow's clean-up settings; clear the task to start a new execution. If status_path "
        "was not where its status is asked, set it, and clear the task with on_clear='resume', which goes on "
        "with this one."
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_status_asked_in_the_wrong_place_can_be_mended_and_the_run_be_taken_up(
    bench: Bench, mode: Mode
) -> None:
    bench.add(mode, seconds=0.1)
    store = FakeStateStore()
    first = Attempt(store=store, max_tries=1)
    error = bench.error(mode, status_path="/nowhere/{id}", attempt=first)
    assert type(error) is FlowExecutionGoneError
    assert "If status_path was not where its status is asked, set it" in error.advice
    later = Attempt(store=store, max_tries=1, try_number=2)
    error = bench.error(mode, status_path="/nowhere/{id}", attempt=later)
    assert type(error) is FlowExecutionGoneError
    assert "If status_path was not where its status is asked, set it" in error.advice
    cleared = Attempt(store=store, max_tries=2, try_number=2, clear_number=1)
    assert bench.run(mode, on_clear="resume", attempt=cleared)["execution_id"] == "4711"
    assert bench.section.started == 1


@pytest.mark.parametrize("mode", MODES)
def test_an_outage_is_waited_out(bench: Bench, mode: Mode) -> None:
    bench.add(mode, seconds=0.2)
    bench.server.inject(Fault(path="/status$", action="status", status=503))
    assert bench.run(mode)["status"] == "Success"


@pytest.mark.parametrize("mode", MODES)
def test_a_rotated_key_is_read_again(bench: Bench, mode: Mode) -> None:
    bench.add(mode, seconds=600)

    def rotate() -> None:
        bench.section.rotate("new-key")
        bench.connect()
        bench.section.finish("4711")

    with once_looked_at(bench, rotate):
        assert bench.run(mode)["status"] == "Success"


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_key_and_a_wrong_name_start_nothing(bench: Bench, way: Way) -> None:
    bench.add(way)
    assert type(bench.error(way, actionflow="Jobs")) is FlowNotFoundError
    bench.section.rotate("another-key")
    error = bench.error(way)
    assert type(error) is FlowAuthenticationError
    assert "Nothing was started." in str(error)
    assert bench.section.started == 0


def test_a_start_that_fails_at_once_is_refused(bench: Bench) -> None:
    bench.add("wait", outcome="Fail", message="No stock")
    for mode in MODES:
        store = FakeStateStore()
        error = bench.error(mode, attempt=Attempt(store=store))
        assert type(error) is FlowRequestRefusedError
        assert error.what == (
            "The endpoint says that the actionflow failed: POST /action/MyApp/Job/trigger was answered with "
            "Fail: No stock."
        )
        assert error.fate == "It is over; what it had done before it failed may stay done."
        assert store.entries == {}


# --- at parse time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"deferrable": True}, "deferrable=True does not go with mode='wait', whose answer comes at the end"),
        ({"wait_for_completion": False}, "wait_for_completion=False does not go with mode='wait'"),
        ({"mode": "watch"}, "mode is 'watch'; it takes wait, poll."),
        ({"method": "PATCH"}, "method is 'PATCH'; it takes GET, POST, PUT, DELETE."),
        (
            {"on_ambiguous_submission": "look_up"},
            "on_ambiguous_submission is 'look_up'; it takes fail, resub",
        ),
        ({"actionflow": None}, "name the endpoint by actionflow, with or without application, or by path."),
        ({"path": "/x"}, "name the endpoint by actionflow, with or without application, or by path."),
        ({"actionflow": None, "path": "/x"}, "name the endpoint by actionflow, with or without application"),
        ({"timeout_ms": 0}, "timeout_ms is 0; it takes whole milliseconds above 0."),
        ({"timeout_ms": True}, "timeout_ms is True; it takes whole milliseconds above 0."),
        ({"endpoint_limit": 0}, "endpoint_limit is 0; it takes seconds above 0."),
        ({"endpoint_limit": "60"}, "endpoint_limit is '60'; it takes seconds above 0."),
        (
            {"timeout": 59},
            (
                "timeout is 59 s, but the endpoint may take 60 s in mode='wait'. Give timeout_ms=59000 to "
                "have the server abort the work then, or leave timeout out."
            ),
        ),
        (
            {"timeout": 30.5, "timeout_ms": 90_000},
            "timeout is 30.5 s, but the endpoint may take 90 s in mode='wai",
        ),
        (
            {"timeout": 7, "endpoint_limit": 8},
            "timeout is 7 s, but the endpoint may take 8 s in mode='wait'.",
        ),
        (
            {"on_clear": "resume"},
            (
                "on_clear='resume' does not go with mode='wait': when the task is cleared, nothing goes on. "
                "Leave on_clear out."
            ),
        ),
        ({"success_codes": [429]}, "success_codes has 429, by which a server refuses a call that it has not"),
        ({"failure_codes": [429, 500]}, "failure_codes has 429, by which a server refuses a call"),
        ({"cancel_on_kill": True}, "PhixFlow has no call that stops a run; leave out cancel_on_kill."),
        ({"cancel_on_timeout": True}, "PhixFlow has no call that stops a run; leave out cancel_on_timeout."),
        ({"success_words": "Done"}, "success_words is 'Done', but must be a list of words."),
        ({"status_path": "/{process}"}, "status_path is '/{process}', but must be a path with {id} in it."),
        ({"status_path": 5}, "status_path is 5, but must be a path with {id} in it."),
        ({"on_partial_failure": "?"}, "on_partial_failure is '?', but can be fail, warn, succeed."),
    ],
)
def test_what_cannot_work_is_refused_when_the_dag_is_parsed(
    bench: Bench, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=r"^t: ") as caught:
        bench.task(**arguments)
    assert str(caught.value).startswith(f"t: {message}")


def test_a_time_limit_that_the_endpoint_keeps_is_taken(bench: Bench) -> None:
    assert bench.task(timeout=60).options.timeout == 60
    assert bench.task(timeout=30, timeout_ms=30_000).options.timeout == 30
    assert bench.task("sync", timeout=1).options.timeout == 1
    assert bench.task("sync", on_clear="resume").options.on_clear == "resume"


def test_the_configurations_default_for_deferral_is_not_applied_to_wait_mode(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults: Any = RunOperator.__init__
    monkeypatch.setitem(defaults.__wrapped__.__kwdefaults__, "deferrable", True)
    poll = {"task_id": "t", "actionflow": "Job", "mode": "poll"}
    assert PhixFlowRunActionflowOperator(**poll).deferrable is True
    assert PhixFlowRunActionflowOperator(**poll, deferrable=False).deferrable is False
    assert PhixFlowRunActionflowOperator(task_id="t", actionflow="Job").deferrable is False


def test_a_mapped_task_calls_one_endpoint_for_each_copy() -> None:
    with DAG(dag_id="mapped", schedule=None):
        mapped = PhixFlowRunActionflowOperator.partial(task_id="t", application="MyApp", mode="poll").expand(
            actionflow=["One", "Two"]
        )
    assert mapped.operator_class is PhixFlowRunActionflowOperator
    operator = mapped.unmap({"actionflow": "One"})
    assert (operator.actionflow, operator.mode, operator.options.cancel_on_kill) == ("One", "poll", False)


# --- secrets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_hidden_payload_is_sent_and_not_shown(bench: Bench, way: Way) -> None:
    bench.add(way, outcome="Fail", failure_code=422, message="Bad token s3cret")
    operator = bench.task(
        way, parameters={"Token": "{{ token }}"}, body={"Token": "{{ token }}"}, hide_payload=True
    )
    operator.render_template_fields({"token": "s3cret"})
    operator.render_template_fields({"token": "s3cret"})
    assert (operator.parameters, operator.body) == (HIDDEN, HIDDEN)
    with pytest.raises(FlowException):
        run_task(operator)
    (call,) = bench.section.calls
    assert call.query == {"Token": "s3cret"}
    assert json.loads(call.body) == {"Token": "s3cret"}


def test_a_hidden_body_that_cannot_be_sent_is_not_quoted(bench: Bench) -> None:
    operator = bench.task(body={"s3cret": {1}}, hide_payload=True)
    with pytest.raises(FlowConfigurationError) as refused:
        run_task(operator)
    assert refused.value.what == "the body cannot be sent as JSON"
    assert "s3cret" not in str(refused.value)
    assert bench.section.started == 0


def test_the_endpoints_words_about_a_hidden_payload_are_left_out(bench: Bench) -> None:
    bench.section.configure(failure_code=422)
    bench.add("wait", outcome="Fail", message="Bad token s3cret")
    assert "s3cret" in str(bench.error("sync"))
    assert "s3cret" not in str(bench.error("sync", hide_payload=True))


def test_a_triggers_row_holds_no_secret(bench: Bench, tmp_path: Path) -> None:
    bench.add("deferrable", seconds=600)
    operator = bench.task("deferrable", parameters={"Token": "s3cret"}, body="{}")
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(Attempt().context())
    row = json.dumps(deferred.value.trigger.serialize())
    assert bench.section.key not in row
    assert "s3cret" not in row
    bench.section.finish("4711")
    assert first_event(deferred.value.trigger)["reason"] == "finished"
