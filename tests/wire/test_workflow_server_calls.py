"""What Workflow Server is asked, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from wire_driving import Reply, drive, reply
from workflow_server_answers import PROCESS, bad, good, process_info

from smartflows_provider.wire import workflow_server as wire
from smartflows_provider.wire.errors import (
    AccessDenied,
    KeyRefused,
    NotFound,
    RequestRefused,
    ServiceFault,
    Throttled,
    UnreadableAnswer,
    UnsendableValue,
    UnusableId,
)
from smartflows_provider.wire.messages import Exchange, Request, Response
from smartflows_provider.wire.run import Reference, RunPhase
from smartflows_provider.wire.workflow_server import Dialect
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

BODY = Dialect(arguments_in="body")
VALUE = {"name": "A", "value": "x"}
TERMS = ProcessTerms()
STOPPING = ProcessTerms(on_kill="set_state:Stopped", identity_id="ada")
DELETING = ProcessTerms(on_kill="delete")


def sent(request: Request) -> tuple[str, str, dict[str, str], Any]:
    """Return method, path, query and decoded body."""
    body = json.loads(request.body) if isinstance(request.body, bytes) else None
    assert (body is None) == (request.headers == ())
    return request.method, request.path, dict(request.query), body


# --- how arguments travel ----------------------------------------------------------------------------


def test_arguments_go_in_the_query_and_parameters_in_a_flat_body() -> None:
    exchange = wire.create_instance(
        PROCESS,
        scheme_code="Test Scheme",
        parameters={"Amount": 1, "Note": "ä"},
        persist=["Amount", "Note"],
        identity_id="ada",
        impersonated_identity_id="bob",
        scheme_parameters={"Region": "EU"},
    )
    assert sent(drive(exchange, good()).request) == (
        "POST",
        f"/createinstance/{PROCESS}",
        {
            "schemeCode": "Test Scheme",
            "identityId": "ada",
            "impersonatedIdentityId": "bob",
            "schemeParameters": '{"Region": "EU"}',
            "persist": "Amount,Note",
        },
        {"Amount": 1, "Note": "ä"},
    )


def test_or_everything_goes_in_the_body() -> None:
    exchange = wire.create_instance(
        PROCESS,
        scheme_code="TestScheme",
        parameters={"Amount": 1, "Note": "ä"},
        persist=["Note"],
        identity_id="ada",
        scheme_parameters={"Region": "EU"},
        dialect=Dialect(arguments_in="body", tenant_id="t1"),
    )
    assert sent(drive(exchange, good()).request) == (
        "POST",
        f"/createinstance/{PROCESS}",
        {},
        {
            "schemeCode": "TestScheme",
            "identityId": "ada",
            "schemeParameters": {"Region": "EU"},
            "tenantId": "t1",
            "parameters": [
                {"name": "Amount", "value": 1, "persist": False},
                {"name": "Note", "value": "ä", "persist": True},
            ],
        },
    )


@pytest.mark.parametrize(
    ("call", "given", "method", "path", "query"),
    [
        (wire.create_instance, {"scheme_code": "S"}, "POST", "createinstance", {"schemeCode": "S"}),
        (wire.exists, {}, "GET", "isexistprocess", {}),
        (wire.get_process, {}, "GET", "getinstanceinfo", {}),
        (wire.available_commands, {}, "GET", "getavailablecommands", {}),
        (wire.available_commands, {"identity_id": "a"}, "GET", "getavailablecommands", {"identityId": "a"}),
        (wire.execute_command, {"command": "go"}, "POST", "executecommand", {"command": "go"}),
        (wire.available_states, {}, "GET", "getavailablestatetoset", {}),
        (wire.set_state, {"state": "End"}, "POST", "setstate", {"state": "End"}),
        (wire.set_parameter, VALUE, "POST", "setparameter", {"parameter": "A", "value": "x"}),
        (wire.get_parameter, {"name": "A"}, "GET", "getparameter", {"parameter": "A"}),
        (wire.delete_instance, {}, "POST", "deleteinstance", {}),
    ],
)
def test_each_operation_has_its_verb_and_its_arguments(
    call: Callable[..., Exchange[Any]], given: dict[str, Any], method: str, path: str, query: dict[str, str]
) -> None:
    def asked(dialect: Dialect) -> tuple[str, str, dict[str, str], Any]:
        return sent(next(call(PROCESS, **given, dialect=dialect)))

    path, body = f"/{path}/{PROCESS}", {} if method == "POST" else None
    assert asked(Dialect()) == (method, path, query, body)
    assert asked(Dialect(tenant_id="t1")) == (method, path, {**query, "tenantId": "t1"}, body)
    in_body = ("POST", path, {}, query) if query or method == "POST" else ("GET", path, {}, None)
    assert asked(BODY) == in_body
    of_tenant = Dialect(arguments_in="body", tenant_id="t1")
    assert asked(of_tenant) == ("POST", path, {}, {**query, "tenantId": "t1"})


def test_schemes_are_listed_by_tags() -> None:
    driven = drive(wire.list_schemes(tags=["a", "b"]), good(["One", "Two"]))
    assert sent(driven.request) == ("GET", "/getschemelist", {"tags": "a,b"}, None)
    assert driven.result == ["One", "Two"]
    assert sent(drive(wire.list_schemes(), good([])).request) == ("GET", "/getschemelist", {}, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a b", "a b"), (1, "1"), (True, "true"), (None, "null"), ({"k": ["ä"]}, '{"k": ["ä"]}')],
)
def test_a_parameters_value_goes_as_text_or_as_json(value: Any, text: str) -> None:
    request = next(wire.set_parameter(PROCESS, name="A", value=value))
    assert dict(request.query)["value"] == text
    request = next(wire.set_parameter(PROCESS, name="A", value=value, dialect=BODY))
    assert json.loads(request.body) == {"parameter": "A", "value": value}  # type: ignore[arg-type]


def test_what_is_a_question_or_harmless_twice_may_be_repeated_and_nothing_else() -> None:
    def repeatable(exchange: Exchange[Any]) -> bool:
        return next(exchange).repeatable

    assert not repeatable(wire.create_instance(PROCESS, scheme_code="S"))
    assert not repeatable(wire.execute_command(PROCESS, command="go"))
    assert not repeatable(wire.set_state(PROCESS, state="End"))
    for harmless in (
        wire.exists(PROCESS),
        wire.get_process(PROCESS),
        wire.available_commands(PROCESS, identity_id="a", dialect=BODY),
        wire.available_states(PROCESS),
        wire.set_parameter(PROCESS, name="A", value=1),
        wire.get_parameter(PROCESS, name="A"),
        wire.delete_instance(PROCESS),
        wire.list_schemes(),
    ):
        assert repeatable(harmless)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"persist": ["Amount"]}, "persist names 'Amount', which is none of the parameters"),
        ({"parameters": {"a,b": 1}, "persist": ["a,b"]}, "has a comma in its name, which parts the names"),
        ({"parameters": {"a": float("nan")}}, "what goes with createinstance cannot be sent as JSON"),
        ({"parameters": {"a": "\ud800"}}, "what goes with createinstance cannot be sent: half a character"),
        ({"scheme_parameters": {"a": float("inf")}}, "schemeParameters cannot be sent as JSON"),
        ({"identity_id": "\ud800"}, "identityId cannot be sent: half a character"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(more: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsendableValue, match=message):
        next(wire.create_instance(PROCESS, scheme_code="S", **more))


def test_a_kept_name_may_have_a_comma_where_the_names_are_a_list() -> None:
    request = next(
        wire.create_instance(PROCESS, scheme_code="S", parameters={"a,b": 1}, persist=["a,b"], dialect=BODY)
    )
    assert sent(request)[3]["parameters"] == [{"name": "a,b", "value": 1, "persist": True}]


@pytest.mark.parametrize("process_id", ["", ".", "..", "\ud800"])
def test_an_id_that_is_none_is_never_asked_for(process_id: str) -> None:
    with pytest.raises(UnusableId):
        next(wire.get_process(process_id))


def test_an_id_stays_one_segment() -> None:
    assert next(wire.exists("../stop?a=b#c")).path == "/isexistprocess/..%2Fstop%3Fa%3Db%23c"


def test_another_dialect_is_refused() -> None:
    with pytest.raises(ValueError, match="arguments_in is 'form'; it takes one of 'query', 'body'"):
        Dialect(arguments_in="form")  # type: ignore[arg-type]


# --- envelopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "text"),
    [
        ("Not valid", "The scheme S is not valid.", "The scheme S is not valid; Not valid"),
        ("Not valid", None, "Not valid"),
        (None, "No scheme.", "No scheme"),
        ("", "", "the server does not say why"),
        (None, "Two\nlines\x00.", "Two lines"),
    ],
)
def test_success_false_is_a_refusal_with_error_and_message(
    error: str | None, message: str | None, text: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        drive(wire.create_instance(PROCESS, scheme_code="S"), bad(error, message))
    assert str(caught.value) == f"POST /createinstance/{PROCESS} was refused: {text}"
    assert caught.value.status == 200
    assert str(caught.value.without_detail()) == f"POST /createinstance/{PROCESS} was refused"


def test_a_refusal_is_read_whatever_its_content_type_is() -> None:
    plain = Reply(headers={"content-type": "text/plain"}, body=bad("Short", "Long").body)
    with pytest.raises(RequestRefused, match="was refused: Long; Short"):
        drive(wire.set_state(PROCESS, state="End"), plain)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, KeyRefused),
        (403, AccessDenied),
        (400, RequestRefused),
        (409, RequestRefused),
        (429, Throttled),
        (500, ServiceFault),
        (503, ServiceFault),
    ],
)
def test_other_statuses_than_2xx_mean_what_they_mean_everywhere(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"was answered with {status}: Long; Short"):
        drive(wire.execute_command(PROCESS, command="go"), bad("Short", "Long", status=status))


@pytest.mark.parametrize(
    "body",
    [
        [], None, 3, "text", {}, {"data": 1}, {"success": "true"}, {"success": 1}, {"success": None},
        {"Success": True},
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_unreadable(body: Any) -> None:
    with pytest.raises(UnreadableAnswer, match=r"is not an object|lacks 'success', true or false"):
        drive(wire.set_state(PROCESS, state="End"), reply(body))


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (good(), False),
        (bad(), True),
        (bad(status=400), True),
        (reply({"success": True}, status=500), True),
        (reply([], status=200), False),
        (reply({"success": 0}), False),
        (Reply(body=b"<html>"), False),
        (Reply(body=b"[" * 100_000), False),
        (Reply(status=204), False),
    ],
)
def test_a_refusal_is_told_apart_by_status_and_envelope(answer: Reply, failure: bool) -> None:
    request = Request(method="GET", path="/x")
    response = Response(status=answer.status, headers=answer.headers, body=answer.body, request=request)
    assert wire.is_failure(response) is failure


# --- instances ---------------------------------------------------------------------------------------


def test_an_instance_is_read_with_all_it_shows() -> None:
    info = process_info(2, History=[{"Step": 1}], ParentProcessId="p0")
    process = drive(wire.get_process(PROCESS), good(info)).result
    assert (process.id, process.status, process.state, process.activity) == (
        PROCESS,
        2,
        "Draft",
        "DraftActivity",
    )
    assert (process.scheme_code, process.scheme_id) == ("TestScheme", info["SchemeId"])
    assert (process.parent_id, process.root_id) == ("p0", PROCESS)
    assert process.parameters == {"Amount": 7}
    assert process.transitions == tuple(info["Transitions"])
    assert process.history == ({"Step": 1},)
    assert process.raw == info


def test_an_instance_may_lack_all_but_its_status() -> None:
    process = drive(wire.get_process(PROCESS), good({"InstanceStatus": 1})).result
    assert (process.state, process.activity, process.parameters, process.transitions) == ("", "", {}, ())


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"InstanceStatus": "3"}, {"InstanceStatus": True}, {"InstanceStatus": 3.0}]
)
def test_an_instance_without_a_whole_number_for_its_status_is_unreadable(data: Any) -> None:
    with pytest.raises(UnreadableAnswer, match="lacks 'InstanceStatus', a whole number"):
        drive(wire.get_process(PROCESS), good(data))


@pytest.mark.parametrize("refusal", [bad("Not found", "No process."), bad(status=400), bad(status=404)])
def test_a_refused_look_at_an_instance_that_is_not_there_means_not_found(refusal: Reply) -> None:
    with pytest.raises(NotFound, match=f"the server has no process '{PROCESS}', or no longer"):
        drive(wire.get_process(PROCESS), refusal, good(False))


def test_a_refused_look_at_an_instance_that_is_there_is_the_refusal() -> None:
    with pytest.raises(RequestRefused, match=r"getinstanceinfo/.* was refused: Broken; Error"):
        drive(wire.get_process(PROCESS), bad("Error", "Broken."), good(True))
    with pytest.raises(RequestRefused, match=r"answered with 404.*, although the server says .* exists"):
        drive(wire.get_process(PROCESS), bad(status=404), good(True))


def test_the_status_not_found_means_not_found() -> None:
    with pytest.raises(NotFound, match="the server has no process"):
        drive(wire.get_process(PROCESS), good(process_info(255)))


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_trouble_with_a_look_is_not_taken_for_an_instance_that_is_gone(status: int) -> None:
    with pytest.raises((KeyRefused, AccessDenied, Throttled, ServiceFault)):
        drive(wire.look(PROCESS, terms=TERMS), bad(status=status))


def test_a_wrong_address_is_not_taken_for_an_instance_that_is_gone() -> None:
    nothing = Reply(status=404, headers={"content-type": "text/html"}, body=b"<h1>404</h1>")
    for exchange in (wire.look(PROCESS, terms=TERMS), wire.delete_instance(PROCESS)):
        with pytest.raises(RequestRefused, match="the server has no Workflow API there; check the"):
            drive(exchange, nothing, nothing)
    for exchange in (
        wire.exists(PROCESS),
        wire.create_instance(PROCESS, scheme_code="S"),
        wire.list_schemes(),
    ):
        with pytest.raises(RequestRefused, match="the server has no Workflow API there; check the"):
            drive(exchange, nothing)


def test_a_look_shows_status_state_and_activity() -> None:
    snapshot = drive(wire.look(PROCESS, terms=TERMS), good(process_info(2))).result
    assert (snapshot.execution_id, snapshot.status, snapshot.phase) == (
        PROCESS,
        "Idled (Draft)",
        RunPhase.ACTIVE,
    )
    assert (snapshot.message, snapshot.percentage) == ("DraftActivity", None)


def test_an_instance_that_ended_elsewhere_says_where() -> None:
    terms = ProcessTerms(success_states=("Approved",))
    snapshot = drive(wire.look(PROCESS, terms=terms), good(process_info(3, StateName="Rejected"))).result
    assert (snapshot.status, snapshot.phase) == ("Finalized (Rejected)", RunPhase.FAILED)


def test_a_purged_instance_has_succeeded_or_failed_by_the_terms() -> None:
    snapshot = drive(wire.look(PROCESS, terms=TERMS), bad(), good(False)).result
    assert (snapshot.execution_id, snapshot.status, snapshot.phase) == (PROCESS, "Purged", RunPhase.SUCCEEDED)
    execution = drive(wire.get_execution(PROCESS, terms=TERMS), bad(), good(False)).result
    assert (execution.id, execution.status, execution.phase, execution.raw) == (
        PROCESS,
        "Purged",
        RunPhase.SUCCEEDED,
        {},
    )
    strict = ProcessTerms(on_purged="fail")
    for exchange in (wire.look(PROCESS, terms=strict), wire.get_execution(PROCESS, terms=strict)):
        with pytest.raises(NotFound):
            drive(exchange, bad(), good(False))


def test_an_execution_shows_its_scheme_and_keeps_the_whole_object() -> None:
    info = process_info(3)
    execution = drive(wire.get_execution(PROCESS, terms=TERMS), good(info)).result
    assert execution.flow == Reference(id=info["SchemeId"], name="TestScheme")
    assert (execution.status, execution.phase) == ("Finalized (Draft)", RunPhase.SUCCEEDED)
    assert (execution.created_at, execution.raw) == ("", info)
    without_id = drive(
        wire.get_execution(PROCESS, terms=TERMS), good({"InstanceStatus": 1, "SchemeCode": "S"})
    ).result
    assert without_id.flow == Reference(id="S", name="S")


@pytest.mark.parametrize("data", [None, "true", 1, {}])
def test_whether_an_instance_exists_is_true_or_false(data: Any) -> None:
    assert drive(wire.exists(PROCESS), good(True)).result is True
    assert drive(wire.exists(PROCESS), good(False)).result is False
    with pytest.raises(UnreadableAnswer, match="has 'data' that is neither true nor false"):
        drive(wire.exists(PROCESS), good(data))


# --- stopping ----------------------------------------------------------------------------------------


def test_a_state_is_set_to_stop_an_instance_in_the_given_name() -> None:
    driven = drive(wire.cancel(PROCESS, terms=STOPPING), good(process_info(1)), good())
    assert sent(driven.requests[1]) == (
        "POST", f"/setstate/{PROCESS}", {"state": "Stopped", "identityId": "ada"}, {},
    )  # fmt: skip
    assert driven.result is None


def test_or_it_is_deleted() -> None:
    driven = drive(wire.cancel(PROCESS, terms=DELETING), good(process_info(1)), good())
    assert sent(driven.requests[1]) == ("POST", f"/deleteinstance/{PROCESS}", {}, {})
    assert (driven.result.status, driven.result.phase) == ("Deleted", RunPhase.CANCELED)


def test_or_nothing_is_sent_at_all() -> None:
    with pytest.raises(RequestRefused, match=f"the process {PROCESS} is not stopped: on_kill is 'none'"):
        drive(wire.cancel(PROCESS, terms=TERMS))


def test_where_deleting_stops_it_an_instance_that_is_gone_is_stopped() -> None:
    for exchange in (wire.look(PROCESS, terms=DELETING), wire.get_execution(PROCESS, terms=DELETING)):
        gone = drive(exchange, bad(), good(False)).result
        assert (gone.status, gone.phase) == ("Deleted", RunPhase.CANCELED)
    driven = drive(wire.cancel(PROCESS, terms=DELETING), bad(), good(False))
    assert driven.result.phase is RunPhase.CANCELED
    strict = ProcessTerms(on_kill="delete", on_purged="fail")
    with pytest.raises(NotFound):
        drive(wire.look(PROCESS, terms=strict), bad(), good(False))


@pytest.mark.parametrize("terms", [STOPPING, DELETING])
@pytest.mark.parametrize("status", [3, 4, 5])
def test_an_instance_that_has_ended_is_neither_set_nor_deleted(terms: ProcessTerms, status: int) -> None:
    driven = drive(wire.cancel(PROCESS, terms=terms), good(process_info(status)))
    assert driven.result.phase.is_stable


def test_an_instance_that_is_stopped_already_stays_so() -> None:
    driven = drive(wire.cancel(PROCESS, terms=STOPPING), good(process_info(2, StateName="Stopped")))
    assert (driven.result.status, driven.result.phase) == ("Idled (Stopped)", RunPhase.CANCELED)


def test_a_refused_stop_is_a_refusal() -> None:
    with pytest.raises(RequestRefused, match=r"setstate/.* was refused: No such state; Error"):
        drive(wire.cancel(PROCESS, terms=STOPPING), good(process_info(1)), bad("Error", "No such state."))


def test_deleting_what_is_not_there_means_not_found_and_else_the_refusal() -> None:
    with pytest.raises(NotFound, match="the server has no process"):
        drive(wire.delete_instance(PROCESS), bad(), good(False))
    with pytest.raises(RequestRefused, match=r"deleteinstance/.* was refused: Locked; Error"):
        drive(wire.delete_instance(PROCESS), bad("Error", "Locked."), good(True))


# --- commands, states, parameters --------------------------------------------------------------------


def test_commands_and_states_are_read() -> None:
    raw = {"CommandName": "approve", "LocalizedName": "Approve", "Classifier": "Direct", "Parameters": []}
    commands = drive(wire.available_commands(PROCESS), good([raw, {"CommandName": "reject"}])).result
    assert commands[0] == wire.Command(name="approve", localized_name="Approve", classifier="Direct", raw=raw)
    assert commands[1].name == "reject"
    states = drive(wire.available_states(PROCESS), good([{"Name": "End", "VisibleName": "The end"}])).result
    assert [(state.name, state.visible_name) for state in states] == [("End", "The end")]


@pytest.mark.parametrize(
    "data", [None, {}, "x", [None], [{}], [{"CommandName": ""}], [{"CommandName": 3}], [["a"]]]
)
def test_a_list_of_commands_that_is_none_is_unreadable(data: Any) -> None:
    with pytest.raises(UnreadableAnswer, match=r"has 'data' that is no list|an entry without 'CommandName'"):
        drive(wire.available_commands(PROCESS), good(data))


@pytest.mark.parametrize("data", [None, {}, "x", [None], [1]])
def test_a_list_of_schemes_that_is_none_is_unreadable(data: Any) -> None:
    with pytest.raises(UnreadableAnswer, match="has 'data' that is no list of scheme codes"):
        drive(wire.list_schemes(), good(data))


def test_an_executed_command_brings_the_instance() -> None:
    info = process_info(1)
    driven = drive(
        wire.execute_command(
            PROCESS, command="approve", parameters={"Note": "ok"}, persist=["Note"], identity_id="ada"
        ),
        good({"WasExecuted": True, "ProcessInstance": info}),
    )
    assert sent(driven.request) == (
        "POST",
        f"/executecommand/{PROCESS}",
        {"command": "approve", "identityId": "ada", "persist": "Note"},
        {"Note": "ok"},
    )
    assert driven.result == info
    without = drive(wire.execute_command(PROCESS, command="a"), good({"WasExecuted": True}))
    assert without.result == {}


def test_a_command_that_was_not_executed_is_a_failure_of_its_own() -> None:
    with pytest.raises(wire.CommandNotExecuted) as caught:
        drive(wire.execute_command(PROCESS, command="approve"), good({"WasExecuted": False}))
    assert str(caught.value) == (
        f"the command 'approve' was not executed, says the answer to POST /executecommand/{PROCESS}"
    )
    assert isinstance(caught.value, RequestRefused)
    assert isinstance(caught.value.without_detail(), wire.CommandNotExecuted)


@pytest.mark.parametrize("data", [None, [], {}, {"WasExecuted": 1}, {"WasExecuted": None}, True])
def test_whether_a_command_was_executed_is_true_or_false(data: Any) -> None:
    with pytest.raises(UnreadableAnswer, match="lacks 'WasExecuted', true or false"):
        drive(wire.execute_command(PROCESS, command="approve"), good(data))


@pytest.mark.parametrize("value", [None, 1, "x", {"a": [1]}, False])
def test_a_parameter_is_read_as_it_is(value: Any) -> None:
    assert drive(wire.get_parameter(PROCESS, name="A"), good(value)).result == value
