"""Whatever an endpoint answers, and whatever its author set, the readers bring a value or a WireError."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from arbitrary_answers import json_values, scalars
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_driving import Reply, drive

from smartflows_provider.wire import phixflow as wire
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.phixflow_answers import failed_records, result_of
from smartflows_provider.wire.phixflow_terms import ActionflowTerms
from smartflows_provider.wire.run import RunPhase

KEYS = st.sampled_from(["processId", "status", "message", "records", "id", "data", "Out", "detail", "errors"])
SCALARS = scalars("Success", "Fail", "running", "\ud800", "\x00", 10**400)
JSON = json_values(KEYS, SCALARS)
BODIES = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)
TERMS = st.builds(
    ActionflowTerms,
    id_field=st.sampled_from(["", "processId", "data.0.id"]),
    status_field=st.sampled_from([None, "", "status", "data.status"]),
    result_path=st.sampled_from([None, "", "data.Out", "0"]),
    records_field=st.sampled_from([None, "", "records"]),
    success_codes=st.sampled_from([(), (200, 404)]),
    failure_codes=st.sampled_from([(), (500, 302)]),
    on_partial_failure=st.sampled_from(["fail", "warn", "succeed"]),
)
TRIGGER = wire.Trigger(path="/action/A/trigger")


def calls_of(terms: ActionflowTerms) -> list[Any]:
    return [
        wire.trigger_and_wait(TRIGGER, terms=terms),
        wire.trigger_and_poll(TRIGGER, terms=terms),
        wire.look("1", terms=terms),
        wire.get_execution("1", terms=terms),
    ]


@settings(derandomize=True, max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    terms=TERMS,
    status=st.sampled_from([200, 200, 201, 204, 302, 400, 401, 404, 429, 500]),
    kind=st.sampled_from(["application/json", "text/plain", "text/html", ""]),
    body=BODIES,
)
def test_no_answer_leads_to_anything_but_a_value_or_a_wire_error(
    terms: ActionflowTerms, status: int, kind: str, body: bytes
) -> None:
    for call in calls_of(terms):
        with suppress(WireError):
            found = drive(call, Reply(status=status, headers={"content-type": kind}, body=body)).result
            found.status.encode()
            if hasattr(found, "raw"):
                found.raw["message"].encode()
                with suppress(WireError):
                    result_of(found.raw["body"], terms)
                with suppress(WireError):
                    failed_records(found.raw["body"], terms)


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"status":' * 100_000,
        b"9" * 100_000,
        b'{"processId":' + b"9" * 100_000 + b"}",
        b"\xff",
    ],
    ids=["arrays", "objects", "digits", "long id", "no utf-8"],
)
def test_hostile_bodies_end_in_wire_errors_or_texts(kind: str, body: bytes) -> None:
    for call in calls_of(ActionflowTerms()):
        with suppress(WireError):
            found = drive(call, Reply(headers={"content-type": kind}, body=body)).result
            # A text that nobody sets words for: the end of a run in wait mode, nothing known in poll mode.
            assert found.status == "200" or found.phase is RunPhase.UNKNOWN
