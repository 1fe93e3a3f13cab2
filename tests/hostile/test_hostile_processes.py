"""Answers of a Workflow Server that are made to break things end in an error, or are read safely."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.output.errors import OutputError
from smartflows_provider.output.manifest import build_manifest, fit
from smartflows_provider.wire import workflow_server as wire
from smartflows_provider.wire.errors import UnreadableAnswer, WireError
from smartflows_provider.wire.messages import Response
from smartflows_provider.wire.run import Execution, RunPhase
from smartflows_provider.wire.workflow_server_process import phase_of, read_process
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

HALF = "\ud800"
NAMED = ProcessTerms(success_states=("Done",), failure_states=("Bad",), on_kill="set_state:Out")


def answered(body: bytes, exchange: Any) -> Any:
    """Run a call whose every request has the same answer."""
    request = next(exchange)
    try:
        while True:
            request = exchange.send(Response(status=200, body=body, request=request))
    except StopIteration as end:
        return end.value


def shown(process: dict[str, Any]) -> bytes:
    return json.dumps({"success": True, "data": process}).encode()


@pytest.mark.parametrize("status", ["3", 3.0, True, None, [3], {"value": 3}, float("nan")])
def test_a_status_that_is_no_whole_number_is_none(status: Any) -> None:
    for terms in (NAMED, ProcessTerms()):
        with pytest.raises(UnreadableAnswer, match="lacks 'InstanceStatus', a whole number"):
            answered(shown({"InstanceStatus": status, "StateName": "Done"}), wire.look("p", terms=terms))


@pytest.mark.parametrize("status", [-(10**400), 10**400, 256, 2**63])
def test_a_status_without_end_is_none_that_is_known_and_shown_short(status: int) -> None:
    snapshot = answered(shown({"InstanceStatus": status, "StateName": "Done"}), wire.look("p", terms=NAMED))
    assert snapshot.phase is RunPhase.UNKNOWN
    assert len(snapshot.status) < 250


def test_a_number_of_thousands_of_digits_is_an_unreadable_answer() -> None:
    body = b'{"success": true, "data": {"InstanceStatus": %s}}' % (b"3" * 5000)
    with pytest.raises(UnreadableAnswer, match="is not JSON"):
        answered(body, wire.look("p", terms=NAMED))


@pytest.mark.parametrize("state", [["Done"], {"Done": 1}, 7, None, "Done\x00", "done", " Done"])
def test_only_a_text_that_is_just_so_is_a_state_that_counts(state: Any) -> None:
    snapshot = answered(shown({"InstanceStatus": 1, "StateName": state}), wire.look("p", terms=NAMED))
    assert snapshot.phase is RunPhase.ACTIVE


@pytest.mark.parametrize(
    "transitions",
    [None, "Out", {"ToStateName": "Out"}, [None, 7, "Out", ["Out"]], [{"ToStateName": ["Out"]}], [{}]],
)
def test_transitions_that_are_none_tell_of_no_stop(transitions: Any) -> None:
    process = read_process({"InstanceStatus": 3, "Transitions": transitions}, process_id="p")
    assert process is not None
    assert phase_of(process, ProcessTerms(on_kill="set_state:Out")) is RunPhase.SUCCEEDED


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'"x"', b"{}", b'{"success": 1}', b'{"success": "true", "data": true}',
     b"{" * 100_000, b'{"success": true}', b'{"success": true, "data": "true"}',
     b'{"success": true, "data": 1}'],
)  # fmt: skip
def test_nothing_but_true_and_false_tells_whether_a_process_is_there(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        answered(body, wire.exists("p"))


@pytest.mark.parametrize(
    "data",
    [None, True, "WasExecuted", [], {}, {"WasExecuted": "true"}, {"WasExecuted": 1}, {"wasExecuted": True}],
)
def test_nothing_but_true_tells_that_a_command_was_carried_out(data: Any) -> None:
    body = json.dumps({"success": True, "data": data}).encode()
    with pytest.raises(UnreadableAnswer, match="lacks 'WasExecuted', true or false"):
        answered(body, wire.execute_command("p", command="go"))


@pytest.mark.parametrize("levels", [200, 5000, 100_000])
def test_parameters_that_are_nested_too_deeply_are_an_error_that_says_so(levels: int) -> None:
    body = b'{"success": true, "data": {"InstanceStatus": 3, "ProcessParameters": %s1%s}}' % (
        b'{"a":' * levels,
        b"}" * levels,
    )
    with pytest.raises((WireError, OutputError), match="nested") as caught:
        WorkflowServerHook().output_of(answered(body, wire.get_execution("p", terms=ProcessTerms())))
    assert len(str(caught.value)) < 300


def test_half_characters_nul_and_numbers_that_json_has_not_never_reach_the_manifest() -> None:
    raw = {
        "InstanceStatus": 3,
        "StateName": f"\x00{HALF}",
        "ActivityName": HALF,
        "SchemeCode": HALF,
        "ProcessParameters": {HALF: HALF, "n": float("nan"), "e": float("inf")},
        "Transitions": [{HALF: "\x00"}, None],
        "History": [HALF, {"a": [float("nan")]}],
    }
    execution: Execution = answered(shown(raw), wire.get_execution("p", terms=ProcessTerms()))
    output = WorkflowServerHook().output_of(execution)
    manifest = build_manifest(
        output,
        execution_id=execution.id,
        flow_id=execution.flow.id,
        flow_name=execution.flow.name,
        status=execution.status,
        created_at=execution.created_at,
        url="",
    )
    text = json.dumps(fit(manifest, max_bytes=10_000, spill_to=None), ensure_ascii=False, allow_nan=False)
    text.encode()
    assert "\\u0000" not in text


def test_names_of_a_megabyte_are_shown_short() -> None:
    raw = {"InstanceStatus": 1, "StateName": "x" * 1_000_000, "ActivityName": "y" * 1_000_000}
    snapshot = answered(shown(raw), wire.look("p", terms=NAMED))
    assert len(snapshot.status) < 250


def test_a_refusal_of_a_megabyte_is_told_in_a_few_lines() -> None:
    body = json.dumps({"success": False, "error": "e" * 1_000_000, "message": "m" * 1_000_000}).encode()
    with pytest.raises(WireError, match="was refused") as caught:
        answered(body, wire.create_instance("p", scheme_code="S"))
    assert len(str(caught.value)) < 5000
