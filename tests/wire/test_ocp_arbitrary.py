"""Whatever an Orchestrator API answers, the readers bring a value or a WireError."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from arbitrary_answers import answer_all, json_values, scalars
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ocp_answers import FLOW_ID
from wire_driving import Reply, drive

from smartflows_provider.wire import ocp as wire
from smartflows_provider.wire.messages import Exchange

KEYS = st.sampled_from(
    [
        "id", "name", "group", "input_fields", "output_fields", "canvas_id", "status", "results", "content",
        "next", "last", "detail", "message", "errors", "non_field_errors",
    ]
)  # fmt: skip
SCALARS = scalars("x", "started", "Not deployed", "\ud800", "\x00")
JSON = json_values(KEYS, SCALARS)
FLOW = st.fixed_dictionaries({"name": SCALARS}, optional={"id": JSON, "group": JSON, "input_fields": JSON})
CALLS: list[Callable[[], Exchange[Any]]] = [
    lambda: wire.get_flow(FLOW_ID),
    lambda: wire.find_flow(name="x"),
    lambda: wire.find_flow(name="x", group="x", needs_id=True),
    lambda: wire.create_flow(name="x"),
    lambda: wire.update_flow(FLOW_ID, input_fields=["x"]),
    lambda: wire.delete_flow(FLOW_ID),
    lambda: wire.look(FLOW_ID),
    lambda: wire.get_execution(FLOW_ID),
    lambda: wire.probe("x"),
]
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 404, 405, 409, 422, 429, 500, 503])
BODIES = (JSON | FLOW | st.lists(FLOW, max_size=3)).map(lambda value: json.dumps(value).encode())


@settings(derandomize=True, max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    call=st.sampled_from(CALLS),
    status=STATUSES,
    body=BODIES | st.binary(max_size=20),
    location=st.text(max_size=12),
)
def test_no_answer_leads_to_anything_but_a_value_or_a_wire_error(
    call: Callable[[], Exchange[Any]], status: int, body: bytes, location: str
) -> None:
    answer_all(call(), status=status, body=body, location=location)


DEEP = {depth: b'{"name": ' * depth + b'"x"' + b"}" * depth for depth in (50, 900, 100_000)}


@pytest.mark.parametrize(
    "body",
    [
        *DEEP.values(),
        *(b"[" * depth + b"]" * depth for depth in (900, 100_000)),
        b'{"name": "x", "id": ' + b"9" * 5000 + b"}",
        b'{"status": ' + b"9" * 5000 + b"}",
        b'{"name": "\\ud800", "canvas_id": "\\u0000"}',
        b'{"status": "\\ud800\\u0000"}',
        b"null",
        b"",
        b"\xff",
    ],
    ids=lambda body: f"{body[:12]!r}x{len(body)}",
)
@pytest.mark.parametrize("status", [200, 400, 409])
@pytest.mark.parametrize("call", CALLS)
def test_a_hostile_body_is_a_value_or_a_wire_error(
    call: Callable[[], Exchange[Any]], status: int, body: bytes
) -> None:
    answer_all(call(), status=status, body=body)


def test_texts_are_made_fit_for_databases() -> None:
    texts = b'"group": "\\u0000", "input_fields": ["\\ud800"], "canvas_id": "\\u0000"'
    body = b'{"name": "a\\u0000\\ud800", ' + texts + b"}"
    flow = drive(wire.get_flow(FLOW_ID), Reply(body=body)).result
    assert (flow.name, flow.group, flow.canvas_id) == ("a\ufffd\ufffd", "\ufffd", "\ufffd")
    assert flow.input_fields == ("\ufffd",)
    assert drive(wire.get_status(FLOW_ID), Reply(body=b'{"status": "\\u0000"}')).result == "\ufffd"
