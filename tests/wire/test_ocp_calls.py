"""The calls of the Orchestrator API: what is asked, and what the answers become."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ocp_answers import FLOW_ID, OTHER_ID, flow_of
from wire_driving import Reply, drive, reply

from smartflows_provider.wire import ocp as wire
from smartflows_provider.wire.errors import (
    AccessDenied,
    FlowAmbiguous,
    FlowNotFound,
    KeyRefused,
    NotFound,
    RequestRefused,
    ServiceFault,
    Throttled,
    UnreadableAnswer,
    UnsendableValue,
    UnusableId,
    WireError,
)
from smartflows_provider.wire.messages import Exchange
from smartflows_provider.wire.run import RunPhase

# --- reading -----------------------------------------------------------------------------------------


def test_a_flow_is_read_by_its_id_which_the_answer_need_not_show() -> None:
    done = drive(wire.get_flow(FLOW_ID), reply(flow_of()))
    assert (done.request.method, done.request.path) == ("GET", f"/flows/{FLOW_ID}/")
    assert done.request.repeatable
    flow = done.result
    assert (flow.id, flow.name, flow.group) == (FLOW_ID, "my_flow", "")
    assert flow.input_fields == ("inputField1", "inputField2")
    assert flow.output_fields == ("outputField1",)
    assert flow.canvas_id == "8101c262-be18-40c7-a85a-78b47dcdf80d"
    assert flow.raw == flow_of()


def test_an_id_stays_one_part_of_the_path() -> None:
    assert drive(wire.get_flow("a/../b"), reply(flow_of())).request.path == "/flows/a%2F..%2Fb/"


@pytest.mark.parametrize("flow_id", ["", ".", "..", "\ud800"])
@pytest.mark.parametrize("call", [wire.get_flow, wire.get_status, wire.look, wire.delete_flow])
def test_an_id_that_cannot_be_is_refused_before_the_call(
    call: Callable[[str], Exchange[Any]], flow_id: str
) -> None:
    with pytest.raises(UnusableId, match="is not a usable id"):
        drive(call(flow_id))


@pytest.mark.parametrize(
    "answer",
    [
        flow_of(id=FLOW_ID),
        [flow_of(id=FLOW_ID)],
        {"count": 1, "next": None, "results": [flow_of(id=FLOW_ID)]},
        {"content": [flow_of(id=FLOW_ID)], "last": True},
        [flow_of("other", id=OTHER_ID), flow_of("MY_FLOW", id=FLOW_ID)],
    ],
)
def test_a_name_is_found_in_every_form_of_answer(answer: Any) -> None:
    done = drive(wire.find_flow(name="my_flow", needs_id=True), reply(answer))
    assert (done.request.method, done.request.path) == ("GET", "/flows/")
    assert done.request.query == (("name__iexact", "my_flow"),)
    assert done.result.id == FLOW_ID


def test_the_group_is_asked_for_and_held_against_what_the_answer_shows() -> None:
    flows = [flow_of(id=OTHER_ID, group="Sales"), flow_of(id=FLOW_ID, group={"name": "SUPPORT"})]
    done = drive(wire.find_flow(name="my_flow", group="support"), reply(flows))
    assert done.request.query == (("name__iexact", "my_flow"), ("group__iexact", "support"))
    assert (done.result.id, done.result.group) == (FLOW_ID, "SUPPORT")


@pytest.mark.parametrize(
    "answer", [Reply(status=404), reply([]), reply({"results": []}), reply([flow_of("x")])]
)
def test_a_name_that_no_flow_has_is_not_found(answer: Reply) -> None:
    with pytest.raises(FlowNotFound, match=r"^no flow is named 'my_flow'$"):
        drive(wire.find_flow(name="my_flow"), answer)
    assert drive(wire.find_flows(name="my_flow"), answer).result == []


def test_a_name_that_is_in_other_groups_only_says_in_which() -> None:
    elsewhere = reply([flow_of(id=FLOW_ID, group="Sales"), flow_of()])
    with pytest.raises(FlowNotFound) as missing:
        drive(wire.find_flow(name="my_flow", group="Support"), Reply(status=404), elsewhere)
    assert str(missing.value) == (
        "no flow is named 'my_flow' in the group 'Support'; those of the name are: 'my_flow' (group Sales, "
        f"id {FLOW_ID}); 'my_flow' (group not shown, id not shown)"
    )
    with pytest.raises(FlowNotFound, match="in the group 'Support', nor in any other group"):
        drive(wire.find_flow(name="my_flow", group="Support"), Reply(status=404), Reply(status=404))


def test_several_flows_of_a_name_are_listed() -> None:
    flows = [flow_of(id=FLOW_ID, group="Sales"), flow_of(id=OTHER_ID, group="Support")]
    with pytest.raises(FlowAmbiguous) as several:
        drive(wire.find_flow(name="my_flow"), reply(flows))
    assert str(several.value) == (
        f"2 flows are named 'my_flow': 'my_flow' (group Sales, id {FLOW_ID}); 'my_flow' (group Support, id "
        f"{OTHER_ID})"
    )
    with pytest.raises(FlowAmbiguous, match=r"12 flows are named .* and 2 more"):
        drive(wire.find_flow(name="my_flow"), reply([flow_of()] * 12))


def test_an_id_that_is_needed_but_not_shown_is_an_error_that_says_so() -> None:
    assert drive(wire.find_flow(name="my_flow"), reply(flow_of())).result.id == ""
    with pytest.raises(wire.FlowIdNotShown, match=r"shows no id \('id'\) for the flow 'my_flow'"):
        drive(wire.find_flow(name="my_flow", needs_id=True), reply([flow_of()]))


@pytest.mark.parametrize(("shown", "flow_id"), [("abc", "abc"), (17, "17"), (None, ""), ([], ""), (True, "")])
def test_the_id_is_where_the_connection_says(shown: Any, flow_id: str) -> None:
    found = drive(wire.find_flow(name="my_flow", id_field="uuid"), reply(flow_of(uuid=shown, id="other")))
    assert found.result.id == flow_id


@pytest.mark.parametrize("more", [{"next": "https://x.example/flows/?page=2"}, {"last": False}])
def test_a_page_that_goes_on_is_no_answer_about_one_name(more: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswer, match="goes on on further pages"):
        drive(wire.find_flow(name="my_flow"), reply({"results": [flow_of()], **more}))


@pytest.mark.parametrize("name", ["", "  ", None, 5])
def test_an_empty_filter_is_not_sent_because_it_would_find_everything(name: Any) -> None:
    with pytest.raises(UnusableId, match="is not a usable name of a flow"):
        drive(wire.find_flows(name=name))
    if name is not None:
        with pytest.raises(UnusableId, match="is not a usable name of a group"):
            drive(wire.find_flows(name="my_flow", group=name))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([5], "has a flow without a 'name'"),
        ([{"id": "1", "title": "x"}], "has a flow without a 'name'; it has 'id', 'title'"),
        ({}, "has a flow without a 'name'; it has no keys"),
        ({"name": ""}, "has a flow without a 'name'"),
        ([flow_of(input_fields="a")], "has 'input_fields' that is no array of texts"),
        ([flow_of(output_fields=[1])], "has 'output_fields' that is no array of texts"),
        ("text", "is neither an object nor an array but str"),
        (None, "is neither an object nor an array but NoneType"),
    ],
)
def test_what_is_not_documented_is_unreadable(answer: Any, says: str) -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        drive(wire.find_flow(name="my_flow"), reply(answer))
    assert str(caught.value).startswith(f"the answer to GET /flows/ {says}")


# --- changing ----------------------------------------------------------------------------------------


def test_a_flow_is_created_with_its_fields_and_never_twice_by_itself() -> None:
    exchange = wire.create_flow(name="my_flow", input_fields=["a"], output_fields=("b", "c"))
    done = drive(exchange, reply(flow_of(id=FLOW_ID), status=201))
    request = done.request
    assert (request.method, request.path, request.repeatable) == ("POST", "/flows/", False)
    assert json.loads(request.body or b"") == {
        "name": "my_flow",
        "input_fields": ["a"],
        "output_fields": ["b", "c"],
    }
    assert dict(request.headers)["Content-Type"] == 'application/json; charset="utf-8"'
    assert done.result.id == FLOW_ID


@pytest.mark.parametrize("name", ["my flow", "my-flow", "", "ä", "a\n", "\ud800", None, 7])
def test_a_name_that_cannot_be_is_refused_before_the_call(name: Any) -> None:
    with pytest.raises(UnusableId, match="letters A to Z, digits and underscores only"):
        drive(wire.create_flow(name=name))


@pytest.mark.parametrize("fields", ["a", {"a": 1}, [1], [""], None, [["a"]]])
def test_fields_that_are_no_names_are_refused_before_the_call(fields: Any) -> None:
    with pytest.raises(UnsendableValue, match=r"^input_fields takes a list of names$"):
        drive(wire.create_flow(name="x", input_fields=fields))


def test_an_update_replaces_both_lists() -> None:
    exchange = wire.update_flow(FLOW_ID, input_fields=["a"], output_fields=[])
    done = drive(exchange, reply(flow_of(input_fields=["a"], output_fields=[])))
    assert (done.request.method, done.request.path) == ("PUT", f"/flows/{FLOW_ID}/")
    assert done.request.repeatable
    assert json.loads(done.request.body or b"") == {
        "input_fields": ["a"],
        "output_fields": [],
    }
    assert (done.result.id, done.result.input_fields) == (FLOW_ID, ("a",))


@pytest.mark.parametrize("missing", [{}, {"output_fields": None}])
def test_a_list_that_the_answer_does_not_show_is_never_emptied(missing: dict[str, None]) -> None:
    flow = {**flow_of(input_fields=["a"]), "output_fields": None}
    shown = {key: value for key, value in flow.items() if value is not None} | missing
    with pytest.raises(UnusableId, match=r"does not show its output_fields.*give output_fields too"):
        drive(wire.update_flow(FLOW_ID, input_fields=["b"]), reply(shown))


def test_a_list_that_is_not_given_is_kept_as_the_flow_has_it() -> None:
    done = drive(wire.update_flow(FLOW_ID, output_fields=["z"]), reply(flow_of()), reply(flow_of()))
    read, put = done.requests
    assert (read.method, read.path) == ("GET", f"/flows/{FLOW_ID}/")
    assert json.loads(put.body or b"") == {
        "input_fields": ["inputField1", "inputField2"],
        "output_fields": ["z"],
    }
    with pytest.raises(UnsendableValue, match="there is nothing to replace"):
        drive(wire.update_flow(FLOW_ID))


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_flow_is_deleted_once(status: int) -> None:
    done = drive(wire.delete_flow(FLOW_ID), Reply(status=status))
    assert (done.request.method, done.request.path) == ("DELETE", f"/flows/{FLOW_ID}/")
    assert not done.request.repeatable


def test_a_flow_in_use_is_not_deleted_and_the_message_lists_by_whom() -> None:
    used = "Cannot delete the Flow, because it is used by these apps/flows: some_app,some_flow"
    with pytest.raises(wire.FlowInUse) as refused:
        drive(wire.delete_flow(FLOW_ID), reply({"detail": used}, status=409))
    assert str(refused.value) == f"DELETE /flows/{FLOW_ID}/ was answered with 409: {used}"
    with pytest.raises(wire.FlowInUse, match="the flow is in use; the service does not say by what"):
        drive(wire.delete_flow(FLOW_ID), Reply(status=409))


# --- statuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "status", "phase"),
    [
        ("started", "started", RunPhase.SUCCEEDED),
        ("STARTED", "started", RunPhase.SUCCEEDED),
        ("stopped", "stopped", RunPhase.FAILED),
        ("not-deployed", "not-deployed", RunPhase.ACTIVE),
        ("Not deployed", "not-deployed", RunPhase.ACTIVE),
        ("not_deployed", "not-deployed", RunPhase.ACTIVE),
        ("starting", "starting", RunPhase.UNKNOWN),
        ("started?", "started?", RunPhase.UNKNOWN),
    ],
)
def test_a_status_means_what_the_terms_say(word: str, status: str, phase: RunPhase) -> None:
    terms = wire.StatusTerms(target="started", failure=("stopped",))
    done = drive(wire.look(FLOW_ID, terms=terms), reply({"status": word}))
    assert (done.request.method, done.request.path) == ("GET", f"/apps/{FLOW_ID}/status/")
    assert (done.result.execution_id, done.result.status, done.result.phase) == (FLOW_ID, status, phase)
    execution = drive(wire.get_execution(FLOW_ID, terms=terms), reply({"status": word, "x": 1})).result
    assert (execution.id, execution.status, execution.phase) == (FLOW_ID, status, phase)
    assert (execution.flow.id, execution.raw) == (FLOW_ID, {"status": word, "x": 1})
    assert drive(wire.get_status(FLOW_ID), reply({"status": word})).result == status


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"state": "started"}, "lacks a 'status'; it has 'state'"),
        ({"status": None}, "lacks a 'status'"),
        ({"status": ["started"]}, "lacks a 'status'"),
        ({"status": " "}, "lacks a 'status'"),
        (["started"], "is not an object but list"),
    ],
)
def test_an_answer_without_a_status_is_unreadable(answer: Any, says: str) -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        drive(wire.look(FLOW_ID), reply(answer))
    assert says in str(caught.value)


# --- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused),
        (401, KeyRefused),
        (403, AccessDenied),
        (404, NotFound),
        (405, RequestRefused),
        (409, RequestRefused),
        (429, Throttled),
        (500, ServiceFault),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda: wire.get_flow(FLOW_ID),
        lambda: wire.create_flow(name="x"),
        lambda: wire.update_flow(FLOW_ID, input_fields=[], output_fields=[]),
        lambda: wire.delete_flow(FLOW_ID),
        lambda: wire.get_status(FLOW_ID),
    ],
)
def test_each_refusal_has_its_error(
    call: Callable[[], Exchange[Any]], status: int, kind: type[WireError]
) -> None:
    with pytest.raises(kind) as refused:
        drive(call(), reply({"detail": "no"}, status=status))
    assert refused.value.status == status
    assert str(refused.value).endswith(f" was answered with {status}: no")


INVALID = (
    "Invalid flow name. Flow name must contain only alphanumeric characters and the underscore character."
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": [INVALID]}, f": name: {INVALID[:-1]}"),
        ({"name": ["One.", "Two."], "input_fields": "Three."}, ": name: One; name: Two; input_fields: Three"),
        ({"input_fields": {"0": ["Not a text."]}}, ": input_fields.0: Not a text"),
        ({"detail": "No.", "name": ["Bad."]}, ": No; name: Bad"),
        ({"non_field_errors": ["a\n\u001b[31mb"]}, ": non_field_errors: a [31mb"),
        ({"name": [[[[[["too deep"]]]]]]}, ""),
        ({"name": 5, "x": None}, ""),
        ([1, 2], ""),
        ({}, ""),
    ],
)
def test_what_is_said_of_single_fields_is_told(body: Any, said: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        drive(wire.create_flow(name="x"), reply(body, status=400))
    assert str(refused.value) == f"POST /flows/ was answered with 400{said}"


def test_a_long_refusal_is_cut_and_one_without_json_is_told_by_its_status() -> None:
    with pytest.raises(RequestRefused) as refused:
        drive(wire.create_flow(name="x"), reply({"name": ["y" * 9000]}, status=400))
    assert len(str(refused.value)) < 2100
    for answer in (
        Reply(status=400, body=b"<h1>no</h1>"),
        Reply(status=400, headers={"content-type": "x/json"}),
    ):
        with pytest.raises(RequestRefused, match=r"^POST /flows/ was answered with 400$"):
            drive(wire.create_flow(name="x"), answer)


def test_no_error_text_holds_what_was_sent() -> None:
    with pytest.raises(RequestRefused) as refused:
        drive(wire.create_flow(name="canary", input_fields=["canary"]), reply({"name": ["no"]}, status=400))
    assert "canary" not in f"{refused.value} {refused.value!r}"


# --- a connection's test -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (reply({"detail": "Not found."}, status=404), "told"),
        (reply([]), "looked"),
        (Reply(status=404), "untold"),
        (Reply(status=404, headers={"content-type": "text/html"}, body=b"<h1>Not Found</h1>"), "untold"),
    ],
)
def test_a_probe_tells_no_such_flow_from_no_such_address(answer: Reply, found: str) -> None:
    assert drive(wire.probe("connection_test"), answer).result == found
