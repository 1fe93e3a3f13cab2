"""Whatever a Workflow Server answers, the readers bring a value or a WireError."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from arbitrary_answers import json_values, scalars
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workflow_server_answers import PROCESS

from smartflows_provider.wire import workflow_server as wire
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.messages import Exchange, Response
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

KEYS = st.sampled_from(
    [
        "success", "data", "error", "message", "Id", "StateName", "ActivityName", "SchemeId", "SchemeCode",
        "InstanceStatus", "ProcessParameters", "Transitions", "History", "ParentProcessId", "CommandName",
        "Name", "WasExecuted", "ProcessInstance",
    ]
)  # fmt: skip
SCALARS = scalars("Approved", "\ud800", "\x00", 10**400)
JSON = json_values(KEYS, SCALARS)
INFO = st.fixed_dictionaries(
    {"InstanceStatus": st.integers() | SCALARS},
    optional={
        "StateName": JSON,
        "ActivityName": JSON,
        "SchemeCode": JSON,
        "Transitions": JSON,
        "History": JSON,
    },
)
ENVELOPE = st.fixed_dictionaries(
    {"success": st.booleans()},
    optional={"data": JSON | INFO | st.lists(INFO, max_size=2), "error": JSON, "message": JSON},
)
TERMS = ProcessTerms(success_states=("Approved",), on_kill="set_state:Stopped")
CALLS: list[Callable[[], Exchange[Any]]] = [
    lambda: wire.create_instance(PROCESS, scheme_code="S"),
    lambda: wire.exists(PROCESS),
    lambda: wire.get_process(PROCESS),
    lambda: wire.look(PROCESS, terms=TERMS),
    lambda: wire.get_execution(PROCESS, terms=TERMS),
    lambda: wire.cancel(PROCESS, terms=TERMS),
    lambda: wire.cancel(PROCESS, terms=ProcessTerms(on_kill="delete")),
    lambda: wire.available_commands(PROCESS),
    lambda: wire.execute_command(PROCESS, command="go"),
    lambda: wire.available_states(PROCESS),
    lambda: wire.set_state(PROCESS, state="End"),
    lambda: wire.set_parameter(PROCESS, name="A", value=1),
    lambda: wire.get_parameter(PROCESS, name="A"),
    lambda: wire.delete_instance(PROCESS),
    wire.list_schemes,
]
STATUSES = st.sampled_from([200, 200, 200, 200, 201, 204, 302, 400, 401, 404, 410, 429, 500, 503])
BODIES = (ENVELOPE | JSON).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)


def run(exchange: Exchange[Any], status: int, body: bytes) -> Any:
    """Answer everything alike."""
    headers = {"content-type": "application/json", "retry-after": "x"}
    try:
        request = next(exchange)
        while True:
            response = Response(status=status, headers=headers, body=body, request=request)
            assert wire.is_failure(response) in {True, False}
            request = exchange.send(response)
    except StopIteration as stop:
        return stop.value


@settings(derandomize=True, max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(call=st.sampled_from(CALLS), status=STATUSES, body=BODIES)
def test_no_answer_leads_to_anything_but_a_value_or_a_wire_error(
    call: Callable[[], Exchange[Any]], status: int, body: bytes
) -> None:
    with suppress(WireError):
        found = run(call(), status, body)
        str(found).encode("utf-8", "backslashreplace")


@settings(derandomize=True, max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(info=INFO)
def test_only_documented_words_are_stable(info: dict[str, Any]) -> None:
    body = json.dumps({"success": True, "data": info}).encode()
    with suppress(WireError):
        snapshot = run(wire.look(PROCESS, terms=ProcessTerms()), 200, body)
        documented = info["InstanceStatus"] in {0, 1, 2, 3, 4, 5}
        assert (snapshot.phase is RunPhase.UNKNOWN) is not documented
        snapshot.status.encode()
        snapshot.message.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 200_000,
        b'{"success": true, "data": ' + b'{"data":' * 50_000,
        b'{"success": false, "error": ' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"success": true, "data": {"InstanceStatus": ' + b"9" * 5_000 + b"}}",
        b'{"success": true, "data": {"InstanceStatus": 1e999}}',
        b'{"success": true, "data": {"InstanceStatus": 3, "StateName": "\\ud800\\u0000"}}',
        b"\xff\xfe\x00",
        b"<html></html>",
    ],
)
def test_hostile_bodies_do_no_harm(body: bytes) -> None:
    for call in CALLS:
        with suppress(WireError):
            run(call(), 200, body)
