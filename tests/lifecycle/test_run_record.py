"""What a task remembers of its run: readable by later versions, refused where it is not ours."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tasks import FakeStateStore

from smartflows_provider.lifecycle.record import (
    RECORD_KEY,
    Epoch,
    NoStore,
    RunRecord,
    TaskStateStore,
    epoch_of,
    store_for,
)

RECORD = RunRecord(
    execution_id="e1",
    flow="Order letter",
    fingerprint="ab" * 32,
    epoch=Epoch(max_tries=2, clear_number=1),
    submitted_at=1_700_000_000.25,
    deadline=1_700_604_800.25,
)
GOLDEN = {
    "schema_version": 1,
    "execution_id": "e1",
    "flow": "Order letter",
    "fingerprint": "ab" * 32,
    "epoch": {"max_tries": 2, "clear_number": 1},
    "submitted_at": 1_700_000_000.25,
    "deadline": 1_700_604_800.25,
}
"""A record as version 1 has written it to databases; never to be changed."""


def test_a_record_of_schema_version_1_is_written_and_read_as_ever() -> None:
    assert RECORD.as_dict() == GOLDEN
    assert RunRecord.from_dict(GOLDEN) == RECORD


@pytest.mark.parametrize("execution_id", ["e1", None])
def test_a_record_survives_the_store_and_never_expires(execution_id: str | None) -> None:
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    accessor = FakeStateStore()
    store = store_for({"task_state_store": accessor}, durable=True)
    assert store.load() is None
    record = RunRecord(
        execution_id=execution_id,
        flow=RECORD.flow,
        fingerprint=RECORD.fingerprint,
        epoch=RECORD.epoch,
        submitted_at=RECORD.submitted_at,
        deadline=RECORD.deadline,
    )
    store.save(record)
    assert store.load() == record
    assert accessor.retentions == {RECORD_KEY: NEVER_EXPIRE}
    store.discard()
    assert store.load() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema version 2 is not known"),
        ({"epoch": None}, "not a run record"),
        ({"epoch": {"max_tries": 1}}, "not a run record"),
        ({"epoch": {**GOLDEN["epoch"], "more": 1}}, "not a run record"),
        ({"deadline": None}, "not a run record"),
        ({"deadline": "soon"}, "could not convert"),
        ({"submitted_at": 10**400}, "not a run record"),
    ],
)
def test_a_record_that_is_not_of_this_shape_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunRecord.from_dict({**GOLDEN, **change})


@settings(derandomize=True, max_examples=60, deadline=None)
@given(missing=st.sets(st.sampled_from(sorted(GOLDEN)), min_size=1))
def test_a_record_that_lacks_something_is_refused(missing: set[str]) -> None:
    with pytest.raises(ValueError, match="not a run record"):
        RunRecord.from_dict({key: value for key, value in GOLDEN.items() if key not in missing})


@pytest.mark.parametrize(
    ("context", "durable"), [({}, True), ({"task_state_store": FakeStateStore()}, False)]
)
def test_without_a_store_or_durable_nothing_is_remembered(context: dict[str, Any], durable: bool) -> None:
    store = store_for(context, durable=durable)
    assert isinstance(store, NoStore)
    store.save(RECORD)
    assert store.load() is None
    store.discard()
    assert all(not accessor.entries for accessor in context.values())


@pytest.mark.parametrize("raw", ["text", 5, ["a"], {}])
def test_what_somebody_else_has_written_under_the_key_is_an_error_and_not_the_lack_of_a_record(
    raw: object,
) -> None:
    accessor = FakeStateStore()
    accessor.set(RECORD_KEY, raw)
    with pytest.raises(ValueError, match="not a run record"):
        TaskStateStore(accessor, retention=None).load()


def test_the_epoch_is_read_from_the_context_and_counts_as_0_where_an_airflow_does_not_tell() -> None:
    told = {"ti": SimpleNamespace(max_tries=3), "dag_run": SimpleNamespace(clear_number=2)}
    assert epoch_of(told) == Epoch(max_tries=3, clear_number=2)
    untold = Epoch(max_tries=0, clear_number=0)
    assert epoch_of({}) == epoch_of({"ti": SimpleNamespace(max_tries=None)}) == untold
