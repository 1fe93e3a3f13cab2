"""The event between triggerer and worker: what is written comes back, what is malformed is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartflows_provider.waiting.event import (
    MAX_DETAIL,
    EndReason,
    WaitEvent,
    read_resumption,
    start_on_worker,
    why_start_on_worker,
)
from smartflows_provider.wire.run import RunPhase

repeatable = settings(derandomize=True, max_examples=150, deadline=None)
events = st.builds(
    WaitEvent,
    reason=st.sampled_from(get_args(EndReason)),
    execution_id=st.text(min_size=1),
    status=st.none() | st.text(),
    phase=st.none() | st.sampled_from(RunPhase),
    detail=st.text(),
    canceled=st.booleans(),
    deadline=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
GOOD = WaitEvent(
    reason="finished", execution_id="e1", status="Success", phase=RunPhase.SUCCEEDED, deadline=12.0
).as_dict()


@repeatable
@given(event=events)
def test_an_event_survives_its_way_through_the_database(event: WaitEvent) -> None:
    assert WaitEvent.from_dict(json.loads(json.dumps(event.as_dict()))) == event


@repeatable
@given(event=json_values)
def test_whatever_is_no_event_is_refused_with_a_value_error(event: Any) -> None:
    with pytest.raises(ValueError, match="the event"):
        WaitEvent.from_dict(event)


@repeatable
@given(changed=st.dictionaries(st.sampled_from(sorted(GOOD)), json_values, min_size=1))
def test_a_damaged_event_is_read_or_refused_and_nothing_else(changed: dict[str, Any]) -> None:
    with suppress(ValueError):
        event = WaitEvent.from_dict({**GOOD, **changed})
        assert event.reason in get_args(EndReason)
        assert event.execution_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "the event is not one of schema version 1"),
        ({"schema_version": [1]}, "the event is not one of schema version 1"),
        ({"reason": "failed"}, "the event has the unknown reason 'failed'"),
        ({"reason": ["finished"]}, r"the event has the unknown reason \['finished'\]"),
        ({"execution_id": ""}, "the event names no execution"),
        ({"execution_id": 7}, "the event names no execution"),
        ({"deadline": 10**400}, "the event's deadline is no time"),
    ],
)
def test_a_refusal_says_what_is_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WaitEvent.from_dict({**GOOD, **change})


def test_no_event_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="schema version 1"):
        WaitEvent.from_dict(None)


def test_a_success_in_the_shape_of_another_trigger_is_not_taken_for_one() -> None:
    with pytest.raises(ValueError, match="schema version 1"):
        WaitEvent.from_dict({"status": "success", "execution_id": "e1"})


def test_a_start_that_is_left_to_a_worker_is_told_apart_from_all_else() -> None:
    told = json.loads(json.dumps(start_on_worker("why")))
    assert why_start_on_worker(told) == "why"
    with pytest.raises(ValueError, match="unknown reason"):
        read_resumption(told)
    assert why_start_on_worker(GOOD) is None
    assert why_start_on_worker(None) is None
    assert len(why_start_on_worker(start_on_worker("x" * 5000)) or "") == MAX_DETAIL
