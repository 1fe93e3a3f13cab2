"""The long poll, and everything from outside that makes an execution go on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from devserver_calling import Caller, panel_flow

FORM = {
    "id": "ask",
    "kind": "form",
    "name": "Delivery",
    "message": "How shall it be delivered?",
    "fields": [
        {"key": "way", "title": "Way", "choices": ["mail", "post"], "default": "mail", "required": True},
        {"key": "copies", "title": "Copies", "type": "integer", "description": "How many"},
        {"key": "express", "title": "Express", "type": "boolean"},
    ],
}


def test_a_call_is_held_until_the_status_changes(caller: Caller) -> None:
    flow = panel_flow(caller.server, {"message": "One", "duration": 0.2}, {"message": "Two", "duration": 0.2})
    execution = caller.started(flow)
    began = time.monotonic()
    shown = caller.progress(execution, timeout=30)
    assert shown["status"] == "Success"
    assert 0.1 < time.monotonic() - began < 10


def test_a_call_is_held_no_longer_than_its_timeout(caller: Caller) -> None:
    execution = caller.started(panel_flow(caller.server, {"duration": 600}))
    began = time.monotonic()
    assert caller.progress(execution, timeout=1)["status"] == "Running"
    assert 0.9 < time.monotonic() - began < 10


def test_until_change_a_message_or_percentage_ends_the_hold(caller: Caller) -> None:
    caller.server.configure(long_poll_until="change")
    flow = panel_flow(caller.server, {"message": "One", "duration": 0.3}, {"message": "Two", "duration": 600})
    execution = caller.started(flow)
    shown = caller.progress(execution, timeout=30)
    assert (shown["status"], shown["message"], shown["percentage"]) == ("Running", "Two", 50)


@pytest.mark.parametrize("timeout", [5, -1])
def test_a_held_call_ends_early_when_somebody_cancels(caller: Caller, timeout: int) -> None:
    execution = caller.started(panel_flow(caller.server, {"duration": 600}))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(Caller(caller.server).progress, execution, timeout)
        _until_watched(caller, execution)
        caller.call("DELETE", f"/flows/executions/{execution}/progress")
        assert held.result(20)["status"] == "Canceled"


def test_held_calls_end_when_the_server_stops(caller: Caller) -> None:
    execution = caller.started(panel_flow(caller.server, {"duration": 600}))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(Caller(caller.server).progress, execution, 15)
        _until_watched(caller, execution)
        began = time.monotonic()
        caller.server.stop()
        assert time.monotonic() - began < 10
        assert held.result(20)["status"] == "Running"
    with pytest.raises(requests.ConnectionError):
        caller.get("/users/me")


def test_a_held_call_is_given_up_when_its_caller_hangs_up(caller: Caller) -> None:
    execution = caller.started(panel_flow(caller.server, {"duration": 600}))
    with pytest.raises(requests.ReadTimeout):
        caller.call("GET", f"/flows/executions/{execution}/progress", params={"timeout": 60}, timeout=0.3)
    patience = time.monotonic() + 20
    while execution in caller.server.service._watchers:
        assert time.monotonic() < patience, "the held call was not given up"
        time.sleep(0.01)


def test_many_calls_can_be_held_at_once(caller: Caller) -> None:
    flow = panel_flow(caller.server, {"duration": 600})
    executions = [caller.started(flow) for _ in range(30)]
    with ThreadPoolExecutor(30) as pool:
        held = [pool.submit(Caller(caller.server).progress, one, 20) for one in executions]
        for one in executions:
            _until_watched(caller, one)
        caller.server.advance(600)
        assert {future.result(20)["status"] for future in held} == {"Success"}


def test_a_timeout_that_is_no_number_is_refused(caller: Caller) -> None:
    execution = caller.started(panel_flow(caller.server))
    answer = caller.get(f"/flows/executions/{execution}/progress", timeout="soon")
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "'timeout' must be a whole number of seconds.",
    )


def test_a_form_is_shown_and_its_answer_makes_the_flow_go_on(caller: Caller) -> None:
    output = {
        "kind": "output",
        "values": {
            "way": "{{ answers.way }}",
            "copies": "{{ answers.copies }}",
            "none": "{{ answers.express }}",
        },
    }
    flow = panel_flow(caller.server, FORM, {"message": "Sending", "duration": 10}, output)
    execution = caller.started(flow)
    shown = caller.progress(execution)
    assert (shown["status"], shown["message"]) == ("UserInput", "How shall it be delivered?")
    assert shown["schema"] == {
        "type": "object",
        "title": "Delivery",
        "properties": {
            "way": {"type": "string", "title": "Way", "enum": ["mail", "post"], "default": "mail"},
            "copies": {"type": "integer", "title": "Copies"},
            "express": {"type": "boolean", "title": "Express"},
        },
        "required": ["way"],
    }
    assert shown["model"] == {"way": "mail"}
    assert shown["form"][0]["items"][1] == {
        "key": "copies",
        "title": "Copies",
        "description": "How many",
        "type": "integer",
    }
    answered = _answer(caller, execution, {"way": "post", "copies": 2})
    assert answered.json()["status"] == "Running"
    caller.server.advance(10)
    assert caller.progress(execution)["model"] == {"way": "post", "copies": 2, "none": None}
    stages = caller.execution(execution)["state"]["stages"]
    assert [stage["lastProgress"]["status"] for stage in stages] == ["UserInput", "Success"]
    assert stages[1]["input"] == {"way": "post", "copies": 2, "express": None}
    assert stages[0]["end"] == stages[1]["start"]


def test_answers_that_do_not_suit_the_form_are_refused_one_by_one(caller: Caller) -> None:
    execution = caller.started(panel_flow(caller.server, FORM))
    answer = _answer(caller, execution, {"way": "pigeon", "copies": True, "colour": "red"})
    assert answer.status_code == 400
    assert answer.json()["message"] == "The answers do not suit the form."
    assert [entry["message"] for entry in answer.json()["errors"]] == [
        "there is no field 'colour'",
        "'way' (Way) must be one of mail, post",
        "'copies' (Copies) must be of type integer",
    ]
    missing = _answer(caller, execution, {})
    assert [entry["message"] for entry in missing.json()["errors"]] == ["'way' (Way) is required"]
    assert _answer(caller, execution, ["way"]).json()["message"] == "The answers must be a JSON object."
    assert caller.progress(execution)["status"] == "UserInput"


def test_an_answer_that_nobody_asked_for_is_refused(caller: Caller) -> None:
    execution = caller.started(panel_flow(caller.server))
    answer = _answer(caller, execution, {"way": "post"})
    assert (answer.status_code, answer.json()["message"]) == (
        409,
        "The execution asks for no input; its status is Success.",
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_event_resumes_the_execution_that_waits_for_it(caller: Caller, method: str) -> None:
    flow = panel_flow(
        caller.server,
        {"id": "sign", "kind": "wait_for_event", "name": "Signature", "message": "Waiting for a signature"},
        {"kind": "output", "values": {"text": "{{ events.sign }}"}},
    )
    execution, other = caller.started(flow), caller.started(flow)
    assert caller.progress(execution)["status"] == "Waiting"
    waiting_for = caller.execution(execution)["state"]["waitingFor"]
    assert waiting_for["displayName"] == "Signature"
    body = {"data": "signed by Łukasz".encode()} if method == "POST" else {}
    answer = caller.call(method, f"/flows/callback/{waiting_for['callbackId']}", **body)
    assert answer.json() == {"executionId": execution, "callback": "Signature", "resumed": True}
    assert caller.progress(execution)["model"] == {"text": "signed by Łukasz" if method == "POST" else ""}
    assert caller.progress(other)["status"] == "Waiting"


def test_a_shared_callback_needs_the_execution_where_several_wait(caller: Caller) -> None:
    flow = panel_flow(caller.server, {"kind": "wait_for_event", "callback": "signed"})
    one, other = caller.started(flow), caller.started(flow)
    unclear = caller.call("POST", "/flows/callback/signed")
    assert (unclear.status_code, unclear.json()["message"]) == (
        400,
        "2 executions wait for the callback 'signed'; name one with 'executionId'.",
    )
    assert caller.call("POST", "/flows/callback/signed", params={"executionId": one}).status_code == 200
    assert caller.progress(one)["status"] == "Success"
    assert caller.call("POST", "/flows/callback/signed").json()["executionId"] == other
    late = caller.call("POST", "/flows/callback/signed")
    assert (late.status_code, late.json()["message"]) == (
        404,
        "No execution waits for the callback 'signed'.",
    )


def test_a_cancelled_execution_stays_cancelled_and_can_be_cancelled_again(caller: Caller) -> None:
    flow = panel_flow(caller.server, {"id": "long", "duration": 60})
    execution = caller.started(flow)
    for _ in range(2):
        answer = caller.call("DELETE", f"/flows/executions/{execution}/progress")
        assert (answer.status_code, answer.json()["status"]) == (200, "Canceled")
        caller.server.advance(100)
    state = caller.execution(execution)["state"]
    assert state["report"][0]["blocks"][0]["step"]["status"] == "Skipped"
    assert state["stages"][-1]["lastProgress"]["status"] == "Canceled"
    assert state["stages"][-1]["end"] is not None


def test_cancelling_what_is_finished_changes_nothing(caller: Caller) -> None:
    execution = caller.started(panel_flow(caller.server))
    answer = caller.call("DELETE", f"/flows/executions/{execution}/progress")
    assert (answer.status_code, answer.json()["status"]) == (200, "Success")


@pytest.mark.parametrize("steps", [[FORM], [{"kind": "wait_for_event"}]])
def test_what_waits_can_be_cancelled(caller: Caller, steps: list[dict[str, Any]]) -> None:
    execution = caller.started(panel_flow(caller.server, *steps))
    caller.call("DELETE", f"/flows/executions/{execution}/progress")
    assert caller.progress(execution)["status"] == "Canceled"


def test_a_slow_cancellation_takes_its_time_and_loses_against_the_end(caller: Caller) -> None:
    caller.server.configure(cancel_seconds=20.0)
    flow = panel_flow(caller.server, {"duration": 60})
    execution = caller.started(flow)
    caller.call("DELETE", f"/flows/executions/{execution}/progress")
    caller.server.advance(19)
    assert caller.progress(execution)["status"] == "Running"
    caller.server.advance(1)
    assert caller.progress(execution)["status"] == "Canceled"

    late = caller.started(flow)
    caller.server.advance(50)
    caller.call("DELETE", f"/flows/executions/{late}/progress")
    caller.server.advance(20)
    assert caller.progress(late)["status"] == "Success"


def test_a_restart_keeps_everything(caller: Caller) -> None:
    flow = panel_flow(
        caller.server,
        {"id": "page", "kind": "document", "template": "p.html.j2", "format": "html"},
        FORM,
        {"duration": 10},
        templates={"p.html.j2": "<p>kept</p>"},
    )
    execution = caller.started(flow)
    _answer(caller, execution, {"way": "post"})
    caller.server.restart()
    assert caller.progress(execution)["status"] == "Running"
    caller.server.advance(10)
    document = caller.progress(execution)["model"]["page"]["id"]
    caller.server.restart()
    assert caller.progress(execution)["status"] == "Success"
    assert caller.get(f"/documents/{document}/content").text == "<p>kept</p>"
    assert caller.server.executions()[0]["state"]["stages"][1]["input"]["way"] == "post"


def test_an_execution_keeps_the_definition_it_began_with(caller: Caller) -> None:
    flow = panel_flow(caller.server, {"message": "Old", "duration": 60})
    execution = caller.started(flow)
    assert panel_flow(caller.server, {"message": "New", "duration": 60}) == flow
    caller.server.restart()
    assert caller.progress(execution)["message"] == "Old"
    assert caller.progress(caller.started(flow))["message"] == "New"
    assert len(caller.get(f"/flows/{flow}/executions").json()) == 2


def _answer(caller: Caller, execution: str, values: Any) -> requests.Response:
    return caller.call("POST", f"/flows/executions/{execution}/progress", json=values)


def _until_watched(caller: Caller, execution: str) -> None:
    """Return when a progress call of the execution is held."""
    held = threading.Event()
    patience = time.monotonic() + 20
    while not held.wait(0.01):
        assert time.monotonic() < patience, "the call was not held"
        if execution in caller.server.service._watchers:
            held.set()
