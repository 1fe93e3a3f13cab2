"""Whatever a service answers, the readers bring a value or a WireError."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from arbitrary_answers import answer_all, json_values, scalars
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.messages import Exchange
from smartflows_provider.wire.smart_flows_answers import match_answers, read_answers
from smartflows_provider.wire.smart_flows_forms import AnswersDoNotFit, read_form

KEYS = st.sampled_from(
    [
        "id", "status", "percentage", "message", "schema", "form", "model", "flow", "createdBy", "createdAt",
        "displayName", "content", "error", "errors", "causes", "detail", "properties", "items", "key",
        "title", "required", "contentType", "name", "enum", "minimum", "format", "titleMap", "readonly",
    ]
)  # fmt: skip
SCALARS = scalars("Running", "User input", "SUCCESS", "Warning")
JSON = json_values(KEYS, SCALARS)
PROGRESS = st.fixed_dictionaries({"id": JSON, "status": SCALARS}, optional={"percentage": JSON, "form": JSON})
CALLS: list[Callable[[], Exchange[Any]]] = [
    lambda: wire.start(flow_id="f"),
    lambda: wire.start_unattended(flow="f"),
    lambda: wire.start_flow("Letter"),
    lambda: wire.progress("e", hold_seconds=2),
    lambda: wire.answer_form("e", {}),
    lambda: wire.cancel("e"),
    lambda: wire.get_execution("e"),
    lambda: wire.get_outputs("e"),
    lambda: wire.find_executions(limit=3),
    lambda: wire.send_event("cb"),
    wire.list_flows,
    lambda: wire.get_flow("f"),
    lambda: wire.find_flow("Letter"),
    lambda: wire.get_document("d"),
    wire.current_user,
    wire.public_settings,
    wire.system_info,
]
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 404, 405, 422, 429, 500, 503])
BODIES = (JSON | PROGRESS | st.lists(PROGRESS, max_size=3)).map(lambda value: json.dumps(value).encode())


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


@settings(derandomize=True, max_examples=60, deadline=None)
@given(form=st.dictionaries(KEYS, JSON, max_size=4), answers=st.dictionaries(KEYS, SCALARS, max_size=4))
def test_no_form_does_harm(form: dict[str, Any], answers: dict[str, Any]) -> None:
    read = read_form(form)
    asked = {field.key for field in read.fields}
    for post in (match_answers, read_answers):
        with suppress(AnswersDoNotFit):
            assert set(post(read, answers)) <= asked
