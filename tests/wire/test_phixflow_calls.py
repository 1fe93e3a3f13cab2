"""The requests that trigger endpoints and ask for their runs, and what the answers mean."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from wire_driving import Reply, drive, reply

from smartflows_provider.wire import phixflow as wire
from smartflows_provider.wire.errors import (
    AccessDenied,
    KeyRefused,
    NotFound,
    OutcomeUntold,
    RedirectAnswered,
    RequestRefused,
    ServiceFault,
    Throttled,
    UnreadableAnswer,
    UnsendableValue,
    WireError,
)
from smartflows_provider.wire.phixflow_answers import FailedRecord, failed_records, result_of
from smartflows_provider.wire.phixflow_terms import ActionflowTerms
from smartflows_provider.wire.run import Reference, RunPhase

PATH = "/action/MyApp/My%20API/trigger"
TERMS = ActionflowTerms()
NAT = type("datetime", (datetime,), {"__eq__": lambda one, other: False, "__hash__": None})(2024, 5, 2)
"""As pandas' NaT, a time that is missing."""


class Way(str, Enum):  # noqa: UP042 - what it mixes in is the point
    FAST = "fast"


RECORDS = ActionflowTerms(records_field="records")


def text(body: str, *, status: int = 200, kind: str = "text/plain;charset=UTF-8") -> Reply:
    return Reply(status=status, headers={"content-type": kind}, body=body.encode())


def waited(given: Reply, terms: ActionflowTerms = TERMS) -> Any:
    return drive(wire.trigger_and_wait(wire.Trigger(path=PATH), terms=terms), given).result


def polled(given: Reply, terms: ActionflowTerms = TERMS) -> Any:
    return drive(wire.trigger_and_poll(wire.Trigger(path=PATH), terms=terms), given).result


def looked(given: Reply, terms: ActionflowTerms = TERMS) -> Any:
    return drive(wire.look("4711", terms=terms), given).result


# --- requests ----------------------------------------------------------------------------------------


def test_a_trigger_is_a_post_that_is_never_repeated() -> None:
    request = wire.Trigger(path=PATH).request()
    assert (request.method, request.path, request.query, request.headers) == ("POST", PATH, (), ())
    assert (request.body, request.repeatable, request.hold_seconds) == (None, False, 0.0)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_method_makes_a_trigger_repeatable(method: wire.Method) -> None:
    request = wire.Trigger(path=PATH, method=method).request()
    assert (request.method, request.repeatable) == (method, False)


def test_input_parameters_and_the_time_limit_stand_in_the_query() -> None:
    query = {
        "Name": "Ü&b", "Count": 3, "Rate": 0.5, "On": True, "Day": date(2024, 5, 2), "Left out": None,
        "At": time(7, 30), "Sum": Decimal("5.00"), "Id": UUID(int=1), "Way": Way.FAST,
    }  # fmt: skip
    request = wire.Trigger(path=PATH, query=query, timeout_ms=90_000).request()
    assert request.query == (
        ("Name", "Ü&b"), ("Count", "3"), ("Rate", "0.5"), ("On", "true"), ("Day", "2024-05-02"),
        ("At", "07:30:00"), ("Sum", "5.00"), ("Id", "00000000-0000-0000-0000-000000000001"), ("Way", "fast"),
        ("timeout", "90000"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ({"query": {"Rows": [1]}}, "^the input parameter 'Rows' is list, but the query takes a text"),
        ({"query": {"Name": "\ud800"}}, "^Name cannot be sent: half a character"),
        ({"query": {"\ud800": "x"}}, "^the name of an input parameter cannot be sent: half a character"),
        ({"query": {"Day": NAT}}, "^the input parameter 'Day' is datetime, but the query takes a text"),
        ({"query": {"Rate": float("nan")}}, "^the input parameter 'Rate' is no number, but nan$"),
        ({"query": {"Rate": Decimal("Infinity")}}, "^the input parameter 'Rate' is no number, but Infinity$"),
        ({"query": {"Count": 10**5000}}, "^the input parameter 'Count' is a number of too many digits$"),
        ({"query": {"Wait": timedelta(1)}}, "^the input parameter 'Wait' is timedelta, but the query takes"),
        (
            {"body": {"Day": {1}}},
            "^the body cannot be sent as JSON: 'Day': JSON has no form for a value of type",
        ),
        ({"query": {1: "x"}}, "^the name of an input parameter is 1, but must be a text$"),
        (
            {"query": {"timeout": 5}, "timeout_ms": 5},
            "^the input parameter 'timeout' is PhixFlow's own time limit",
        ),
        ({"timeout_ms": 0}, "^the time limit is 0 ms, but must be at least 1$"),
        ({"body": {"x": float("nan")}}, "^the body cannot be sent as JSON"),
        ({"body": b"x"}, "^a body of bytes needs its content type$"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(trigger: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsendableValue, match=message):
        wire.Trigger(path=PATH, **trigger).request()


@pytest.mark.parametrize("body", [{"a": [1]}, [{"id": 1}], "text", 0, False])
def test_any_json_value_can_be_the_body(body: Any) -> None:
    request = wire.Trigger(path=PATH, body=body).request()
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == body
    assert request.headers == (("Content-Type", 'application/json; charset="utf-8"'),)


@pytest.mark.parametrize("body", [b"a;b", Path("rows.csv")])
def test_bytes_and_files_go_as_they_are(body: Any) -> None:
    request = wire.Trigger(path=PATH, body=body, content_type="text/csv").request()
    assert (request.body, request.headers) == (body, (("Content-Type", "text/csv"),))


def test_what_a_trigger_carries_is_not_shown() -> None:
    trigger = wire.Trigger(path=PATH, query={"Token": "s3cret"}, body={"Token": "s3cret"})
    assert "s3cret" not in repr(trigger)


@pytest.mark.parametrize(
    ("timeout_ms", "hold_seconds", "held"), [(None, None, 60.0), (1500, None, 1.5), (1500, 7.0, 7.0)]
)
def test_the_answer_of_wait_mode_may_take_as_long_as_the_endpoint(
    timeout_ms: int | None, hold_seconds: float | None, held: float
) -> None:
    call = wire.trigger_and_wait(
        wire.Trigger(path=PATH, timeout_ms=timeout_ms), terms=TERMS, hold_seconds=hold_seconds
    )
    assert drive(call, reply({"status": "Success"})).request.hold_seconds == held


def test_the_status_is_asked_where_the_terms_say_and_may_be_asked_again() -> None:
    request = drive(wire.look("a/7", terms=TERMS), reply({"status": "Running"})).request
    assert (request.method, request.path, request.query) == ("GET", "/action/a%2F7/status", ())
    assert request.repeatable
    terms = ActionflowTerms(status_path="/jobs?key={id}", status_method="POST")
    request = drive(wire.look("a/7", terms=terms), reply({"status": "Running"})).request
    assert (request.method, request.path, request.query) == ("POST", "/jobs", (("key", "a/7"),))
    assert request.repeatable


# --- wait for result ---------------------------------------------------------------------------------


def test_a_run_that_succeeded_has_the_whole_answer() -> None:
    body = {"status": "success", "message": "3 orders", "Out": [1]}
    execution = waited(reply(body, status=201))
    assert (execution.id, execution.status, execution.phase) == ("", "Success", RunPhase.SUCCEEDED)
    raw = {"body": body, "code": 201, "message": "3 orders", "terms": TERMS.as_dict()}
    assert execution.raw == raw


def test_a_run_names_its_endpoint_as_people_do() -> None:
    terms = ActionflowTerms(endpoint="MyApp/My API")
    assert waited(reply({}), terms).flow == Reference(id="MyApp/My API", name="MyApp/My API")


@pytest.mark.parametrize(
    ("given", "status", "phase", "message"),
    [
        (reply({"status": "Fail", "message": "No\nstock"}), "Fail", RunPhase.FAILED, "No stock"),
        (reply({"status": " FAILED "}), "Failed", RunPhase.FAILED, ""),
        (reply({"status": "Fail"}, status=422), "Fail", RunPhase.FAILED, ""),
        (reply({"status": "Fail", "message": "x"}, status=500), "Fail", RunPhase.FAILED, "x"),
        (reply("Success"), "Success", RunPhase.SUCCEEDED, ""),
        (text("Success"), "Success", RunPhase.SUCCEEDED, ""),
        (text("success\n"), "Success", RunPhase.SUCCEEDED, ""),
        (text("Success", kind="text/html"), "Success", RunPhase.SUCCEEDED, ""),
        (text("Fail: no stock"), "Fail", RunPhase.FAILED, "Fail: no stock"),
        (text("Fail: no stock", status=500), "Fail", RunPhase.FAILED, "Fail: no stock"),
        (text("failed"), "Failed", RunPhase.FAILED, "failed"),
        (text("Failure: no stock"), "Failure", RunPhase.FAILED, "Failure: no stock"),
        (text("FAILURE\nno stock"), "Failure", RunPhase.FAILED, "FAILURE no stock"),
        (reply("Failure - no stock"), "Failure", RunPhase.FAILED, "Failure - no stock"),
        (reply({"status": "failure"}), "Failure", RunPhase.FAILED, ""),
        (text("Failover done"), "200", RunPhase.SUCCEEDED, ""),
        (text("3 failures: none of ours"), "200", RunPhase.SUCCEEDED, ""),
        (text("id;name\n1;Bolt", kind="text/csv"), "200", RunPhase.SUCCEEDED, ""),
        (reply({"Out": [1]}), "200", RunPhase.SUCCEEDED, ""),
        (reply([1, 2]), "200", RunPhase.SUCCEEDED, ""),
        (Reply(status=204), "204", RunPhase.SUCCEEDED, ""),
    ],
)
def test_word_and_code_decide_what_became_of_a_run(
    given: Reply, status: str, phase: RunPhase, message: str
) -> None:
    execution = waited(given)
    assert (execution.status, execution.phase) == (status, phase)
    assert execution.raw["message"] == message


def test_a_text_is_kept_as_it_came() -> None:
    assert waited(text("id;name\n1;Bolt", kind="text/csv")).raw["body"] == "id;name\n1;Bolt"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (reply({"status": "Halfway"}), "has the status 'Halfway', which is none of the words that are set"),
        (reply({"status": "Running"}), "says 'Running', so it came before the end"),
        (text("Queued"), "says 'Queued', so it came before the end"),
        (reply({"processId": 7}), "has 'processId' but no status, as one in the mode 'Poll for result'"),
        (text("<html>Sign in</html>", kind="text/html"), "is a web page without a status"),
        (text("<!DOCTYPE html><p>Sign in", kind=""), "is a web page without a status"),
        (text("\ufeff\n <HTML lang='en'>Sign in", kind="text/plain"), "is a web page without a status"),
        (Reply(headers={"content-type": "application/json"}, body=b'{"status": "Suc'), "is not JSON"),
    ],
)
def test_an_answer_that_may_not_be_a_success_is_none(given: Reply, message: str) -> None:
    with pytest.raises(UnreadableAnswer, match=f"^the answer to POST {PATH} {message}"):
        waited(given)


def test_a_status_field_that_is_named_must_be_there() -> None:
    terms = ActionflowTerms(status_field="data.state")
    body = {"zeta": "s3cret", "data": {"text": "s3cret"}, "alpha": 1}
    with pytest.raises(UnreadableAnswer, match=r"lacks 'data.state'; its keys are 'alpha', 'data', 'zeta'$"):
        waited(reply(body), terms)
    with pytest.raises(UnreadableAnswer, match=r"lacks 'data.state': it is a text, not an object$"):
        waited(text("fine"), terms)
    with pytest.raises(UnreadableAnswer, match=r"has 'data.state' that is no word but list$"):
        waited(reply({"data": {"state": ["Success"]}}), terms)
    assert waited(reply({"data": {"state": "Success"}}), terms).phase is RunPhase.SUCCEEDED


def test_a_text_must_begin_with_a_word_that_is_set_where_the_status_is_the_whole_answer() -> None:
    terms = ActionflowTerms(status_field="")
    assert waited(text("Success: 3 orders"), terms).phase is RunPhase.SUCCEEDED
    assert waited(text("Fail"), terms).phase is RunPhase.FAILED
    for words in ("Error: no stock", "3 orders"):
        with pytest.raises(
            UnreadableAnswer, match=r"is a text that begins with none of the words that are set$"
        ) as caught:
            waited(text(words), terms)
        assert words not in str(caught.value)


def test_a_long_answer_shows_some_of_its_keys() -> None:
    body = {f"key{number:03}" + "x" * 100: number for number in range(100)}
    with pytest.raises(UnreadableAnswer, match=r"'key019x+' and 80 more$") as caught:
        waited(reply(body), ActionflowTerms(status_field="state"))
    assert len(str(caught.value)) < 1500


def test_codes_the_author_chose_decide_before_the_body() -> None:
    terms = ActionflowTerms(success_codes=(200, 418), failure_codes=(203, 401))
    assert waited(reply({"Out": 1}, status=418), terms).phase is RunPhase.SUCCEEDED
    assert waited(text("<p>done</p>", kind="text/html"), terms).phase is RunPhase.SUCCEEDED
    failed = waited(reply({"status": "Success", "message": "No stock"}, status=203), terms)
    assert (failed.status, failed.phase, failed.raw["message"]) == ("Success", RunPhase.FAILED, "No stock")
    assert waited(reply({}, status=401), terms).status == "401"
    assert waited(reply({"status": "Fail"}, status=418), terms).phase is RunPhase.FAILED
    with pytest.raises(
        UnreadableAnswer, match=r"came with 202, which is none of success_codes \(200, 418\)$"
    ):
        waited(reply({}, status=202), terms)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, RedirectAnswered), (401, KeyRefused), (403, AccessDenied), (404, NotFound),
        (405, RequestRefused), (408, ServiceFault), (429, Throttled), (503, ServiceFault),
    ],
)  # fmt: skip
def test_a_code_that_does_not_speak_of_the_actionflow_is_the_usual_error(
    status: int, kind: type[WireError]
) -> None:
    for given in (reply({"message": "No."}, status=status), text("<h1>No</h1>", status=status)):
        for call in (waited, polled, looked):
            with pytest.raises(kind, match=f"was answered with {status}"):
                call(given)


@pytest.mark.parametrize("status", [400, 409, 410, 418, 422])
@pytest.mark.parametrize("call", [waited, polled])
def test_a_refusal_that_its_author_may_have_chosen_leaves_open_what_was_done(call: Any, status: int) -> None:
    for given in (
        reply({"message": "No stock."}, status=status),
        reply({"status": "Success"}, status=status),
    ):
        with pytest.raises(OutcomeUntold) as untold:
            call(given)
        assert str(untold.value.without_detail()) == (
            f"POST {PATH} was answered with {status}, which the endpoint's author may have chosen: if so, "
            "name it in failure_codes or success_codes"
        )
    with pytest.raises(OutcomeUntold, match=r"success_codes: No stock$"):
        call(reply({"message": "No stock."}, status=status))
    with pytest.raises(OutcomeUntold, match=r"success_codes$"):
        call(text("<h1>No</h1>", status=status, kind="text/html"))


@pytest.mark.parametrize(("status", "kind"), [(400, RequestRefused), (410, NotFound)])
def test_a_refusal_of_a_status_says_nothing_of_the_run(status: int, kind: type[WireError]) -> None:
    with pytest.raises(kind, match=f"^GET /action/4711/status was answered with {status}: No.$") as refused:
        looked(reply({"message": "No!"}, status=status))
    assert type(refused.value) is kind


@pytest.mark.parametrize(("status", "kind"), [(401, KeyRefused), (403, AccessDenied), (429, Throttled)])
def test_the_servers_own_refusal_is_no_failure_of_the_actionflow(status: int, kind: type[WireError]) -> None:
    for call in (waited, polled, looked):
        with pytest.raises(kind, match="No such key"):
            call(reply({"status": "Fail", "message": "No such key"}, status=status))


# --- poll for result ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "choices", "process_id"),
    [
        ({"processId": 4711}, {}, "4711"),
        ({"processId": "a/7", "status": "Queued"}, {}, "a/7"),
        ({"data": [{"id": "x"}]}, {"id_field": "data.0.id"}, "x"),
        (4711, {"id_field": ""}, "4711"),
        ("x-7", {"id_field": ""}, "x-7"),
        ({"processId": 1, "status": "Success"}, {}, "1"),
    ],
)
def test_a_run_starts_with_its_process_id(body: Any, choices: dict[str, Any], process_id: str) -> None:
    snapshot = polled(reply(body), ActionflowTerms(**choices))
    assert (snapshot.execution_id, snapshot.phase) == (process_id, RunPhase.ACTIVE)


def test_a_process_id_may_come_as_text() -> None:
    assert polled(text("00815\n"), ActionflowTerms(id_field="")).execution_id == "00815"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (reply({"id": 1, "status": "Running"}), "lacks 'processId'; its keys are 'id', 'status'$"),
        (reply({}), "lacks 'processId'; its keys are none at all$"),
        (reply([1]), "lacks 'processId': it is list, not an object$"),
        (Reply(), "lacks 'processId': it is empty, not an object$"),
        (reply({"processId": True}), "has 'processId' that is no id but bool$"),
        (reply({"processId": None}), "lacks 'processId'"),
        (reply({"processId": {}}), "has 'processId' that is no id but dict$"),
        (reply({"processId": " "}), "has 'processId' that is no id but str$"),
        (reply({"processId": "x" * 5000}), "has 'processId' with 5,000 characters, which is no id$"),
        (reply({"processId": "x" * 256}), "has 'processId' with 256 characters, which is no id$"),
        (reply({"processId": "no process"}), "has 'processId' with characters that no id has$"),
        (reply({"processId": "<b>"}), "has 'processId' with characters that no id has$"),
        (reply({"processId": "a\x00"}), "has 'processId' with characters that no id has$"),
        (reply({"processId": "a\ud800"}), "has 'processId' with characters that no id has$"),
        (
            text("<html>Sign in</html>", kind="text/html"),
            "is a web page, as a sign-in page is, and no process",
        ),
    ],
)
def test_a_start_without_a_process_id_is_a_clear_error(given: Reply, message: str) -> None:
    with pytest.raises(UnreadableAnswer, match=message):
        polled(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            text("<html>Sign_in</html>", kind="text/html"),
            "is a web page, as a sign-in page is, and no process id$",
        ),
        (text("<!doctype html><p>x"), "is a web page, as a sign-in page is, and no process id$"),
        (text("Please sign in"), "has a body with characters that no id has$"),
        (text("id\n4711"), "has a body with characters that no id has$"),
        (text("<a/>"), "has a body with characters that no id has$"),
        (text("x" * 256), "has a body with 256 characters, which is no id$"),
        (text("success"), "is the word 'success' and no process id$"),
        (text("Queued"), "is the word 'Queued' and no process id$"),
        (Reply(), "lacks a body: it is empty, not an object$"),
    ],
)
def test_a_whole_answer_that_can_be_no_process_id_is_none(given: Reply, message: str) -> None:
    with pytest.raises(UnreadableAnswer, match=f"^the answer to POST {PATH} {message}"):
        polled(given, ActionflowTerms(id_field=""))


@pytest.mark.parametrize("process_id", ["x" * 255, "run/4711", "{8f-a}:7", "Ünï", "Success-7"])
def test_an_id_may_look_like_anything_that_an_id_looks_like(process_id: str) -> None:
    assert polled(text(process_id), ActionflowTerms(id_field="")).execution_id == process_id
    assert polled(reply({"processId": f" {process_id}\n"})).execution_id == process_id


@pytest.mark.parametrize("process_id", ["x" * 5000, "a b", "<b>"])
def test_an_id_that_is_none_names_no_run_but_shows_the_mode(process_id: str) -> None:
    assert waited(reply({"processId": process_id, "status": "Success"})).id == ""
    with pytest.raises(UnreadableAnswer, match="has 'processId' but no status"):
        waited(reply({"processId": process_id}))


@pytest.mark.parametrize(
    "given",
    [
        reply({"status": "Fail", "message": "No stock"}),
        reply({"status": "Fail", "message": "No stock"}, status=500),
        text("Fail: No stock"),
    ],
)
def test_a_start_that_failed_says_so_with_the_authors_message(given: Reply) -> None:
    with pytest.raises(RequestRefused, match=f"^POST {PATH} was answered with Fail: .*No stock$"):
        polled(given)


@pytest.mark.parametrize(
    ("given", "status", "phase"),
    [
        (reply({"status": "running"}), "Running", RunPhase.ACTIVE),
        (reply({"status": "in  progress"}), "In Progress", RunPhase.ACTIVE),
        (reply({"status": "Success"}), "Success", RunPhase.SUCCEEDED),
        (reply({"status": "Fail"}), "Fail", RunPhase.FAILED),
        (reply({"status": "Fail"}, status=500), "Fail", RunPhase.FAILED),
        (reply({"status": "Halfway"}), "Halfway", RunPhase.UNKNOWN),
        (reply({"status": 3}), "3", RunPhase.UNKNOWN),
        (reply({"status": False}), "false", RunPhase.UNKNOWN),
        (text("Success"), "Success", RunPhase.SUCCEEDED),
        (text("Something else"), "Something else", RunPhase.UNKNOWN),
        (reply({"status": "\ud800\x00"}), "\ufffd\ufffd", RunPhase.UNKNOWN),
    ],
)
def test_a_look_reads_the_status_word_and_never_guesses(given: Reply, status: str, phase: RunPhase) -> None:
    snapshot = looked(given)
    assert (snapshot.execution_id, snapshot.status, snapshot.phase) == ("4711", status, phase)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (reply({"state": "Success"}), "lacks 'status'; its keys are 'state'$"),
        (reply({"status": None}), "has 'status' that is no word but empty$"),
        (reply({"status": 10**400}), "has 'status' that is no word but int$"),
        (reply([]), "lacks 'status': it is list, not an object$"),
        (Reply(status=204), "lacks 'status': it is empty, not an object$"),
        (text("<html>Sign in</html>", kind="text/html"), "lacks 'status': it is a text, not an object$"),
    ],
)
def test_a_look_without_a_status_is_a_clear_error(given: Reply, message: str) -> None:
    with pytest.raises(UnreadableAnswer, match=f"^the answer to GET /action/4711/status {message}"):
        looked(given)


def test_a_run_that_is_gone_is_not_a_failed_one() -> None:
    with pytest.raises(NotFound, match=r"was answered with 404: No such process$"):
        looked(reply({"status": "Fail", "message": "No such process"}, status=404))
    assert looked(reply({}, status=404), ActionflowTerms(failure_codes=(404,))).phase is RunPhase.FAILED


def test_the_codes_of_a_status_answer_may_be_the_authors_too() -> None:
    terms = ActionflowTerms(success_codes=(418,), failure_codes=(299,))
    assert looked(reply({"status": "Running"}, status=418), terms).phase is RunPhase.ACTIVE
    assert looked(reply({"status": "Running"}, status=202), terms).phase is RunPhase.ACTIVE
    assert looked(reply({"status": "Success"}, status=299), terms).phase is RunPhase.FAILED


# --- results and records -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "result"),
    [
        ({}, {"Out": {"n": 1}, "data": {"Order.Out": [2, 3]}}),
        ({"output_name": "Out"}, {"n": 1}),
        ({"output_name": "Order.Out", "result_path": "data.{output}.1"}, 3),
    ],
)
def test_returned_data_is_where_the_terms_say(choices: dict[str, Any], result: Any) -> None:
    body = {"Out": {"n": 1}, "data": {"Order.Out": [2, 3]}}
    assert result_of(body, ActionflowTerms(**choices)) == result


def test_missing_data_is_an_error_with_the_answers_keys() -> None:
    with pytest.raises(
        UnreadableAnswer, match=r"^the actionflow's answer lacks 'data\.Out'; its keys are 'data', 'status'$"
    ):
        result_of({"data": {}, "status": "Success"}, ActionflowTerms(result_path="data.Out"))
    with pytest.raises(UnreadableAnswer, match="lacks 'Out': it is list, not an object"):
        result_of([1], ActionflowTerms(output_name="Out"))


@pytest.mark.parametrize("key", ["1", "99", "x", "²", "9" * 5000])
def test_a_place_that_a_list_does_not_have_is_missing(key: str) -> None:
    with pytest.raises(UnreadableAnswer, match="lacks"):
        result_of([1], ActionflowTerms(result_path=key))


PARTLY = {
    "status": "Success",
    "message": "3 read",
    "records": [
        {"id": 1, "status": "Success"},
        {"id": "b", "status": "Fail", "message": "No\u0000 stock"},
        {"status": "Skipped"},
    ],
}
TOLD = "3 read - 2 of 3 records failed (b: No\ufffd stock; number 3: Skipped)"


def test_records_without_a_success_word_have_failed() -> None:
    assert failed_records(PARTLY, RECORDS) == [
        FailedRecord(index=1, id="b", message="No\ufffd stock"),
        FailedRecord(index=2, id="", message="Skipped"),
    ]
    assert failed_records(PARTLY, TERMS) == []


@pytest.mark.parametrize(
    ("option", "phase"),
    [("fail", RunPhase.FAILED), ("warn", RunPhase.WARNED), ("succeed", RunPhase.SUCCEEDED)],
)
def test_failed_records_make_of_a_run_what_the_option_says(option: Any, phase: RunPhase) -> None:
    terms = ActionflowTerms(records_field="records", on_partial_failure=option)
    execution, snapshot = waited(reply(PARTLY), terms), looked(reply(PARTLY), terms)
    assert (execution.status, execution.phase, execution.raw["message"]) == ("Success", phase, TOLD)
    assert (snapshot.status, snapshot.phase, snapshot.message) == ("Success", phase, TOLD)


def test_records_do_not_save_a_run_that_failed() -> None:
    terms = ActionflowTerms(records_field="records", on_partial_failure="succeed")
    assert waited(reply({"status": "Fail"}), terms).phase is RunPhase.FAILED
    assert looked(reply({"status": "Running"}), terms).phase is RunPhase.ACTIVE


def test_many_failed_records_are_told_in_one_sentence() -> None:
    records = [{"id": number, "status": "Fail", "message": "x" * 5000} for number in range(100)]
    message = waited(reply({"status": "Success", "records": records}), RECORDS).raw["message"]
    assert message.startswith("100 of 100 records failed (0: xxx")
    assert len(message) <= 2000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"status": "Success"}, "^the actionflow's answer lacks 'records'; its keys are 'status'$"),
        ({"status": "Success", "records": {}}, "has 'records' that is no list but dict$"),
        (
            {"status": "Success", "records": [{"status": "Success"}, {"id": 5}]},
            "^record number 2 of the actionflow's answer lacks 'status'; its keys are 'id'$",
        ),
        ({"status": "Success", "records": [7]}, "^record number 1 of .* lacks 'status': it is int"),
    ],
)
def test_a_list_of_records_that_is_not_there_is_a_clear_error(body: Any, message: str) -> None:
    for call in (waited, looked):
        with pytest.raises(UnreadableAnswer, match=message):
            call(reply(body), RECORDS)


# --- what is not asked -------------------------------------------------------------------------------


def test_a_run_cannot_be_stopped_and_nothing_is_sent() -> None:
    with pytest.raises(RequestRefused, match=r"^PhixFlow has no call that stops a run, so process 7 was not"):
        drive(wire.cancel("7"))


def test_what_is_known_already_is_not_asked_for() -> None:
    driven = drive(wire.answered("known"))
    assert (driven.result, driven.requests) == ("known", [])


@pytest.mark.parametrize("status", [200, 400, 404, 405, 410])
def test_a_server_is_there_if_it_answers_at_its_prefix(status: int) -> None:
    driven = drive(wire.probe(None), Reply(status=status))
    assert (driven.result, driven.request.label) == (status, "GET /")


@pytest.mark.parametrize(
    ("path", "given", "kind"),
    [
        (None, Reply(status=401), KeyRefused),
        (None, Reply(status=503), ServiceFault),
        (None, text("<html>", kind="text/html"), UnreadableAnswer),
        ("/ping", Reply(status=404), NotFound),
        ("/ping", Reply(status=405), RequestRefused),
        ("/ping", text("<html>", kind="text/html"), UnreadableAnswer),
        ("/ping", text('{"status', kind="application/json"), UnreadableAnswer),
    ],
)
def test_what_is_no_answer_of_the_servers_is_an_error(
    path: str | None, given: Reply, kind: type[WireError]
) -> None:
    with pytest.raises(kind):
        drive(wire.probe(path), given)


@pytest.mark.parametrize("status", [None, "", [], ["Fail"], {"value": "Fail"}])
def test_a_status_that_is_there_but_no_word_is_never_a_success(status: object) -> None:
    with pytest.raises(UnreadableAnswer, match="'status' that is no word"):
        waited(reply({"status": status}))
