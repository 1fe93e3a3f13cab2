"""What a task remembers of its run: readable by later versions, refused where it is not ours."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.airflow_versions import needs_task_state
from support.tasks import FakeStateStore

from smartflows_provider.lifecycle import record
from smartflows_provider.lifecycle.record import (
    RECORD_KEY,
    AttemptIdentity,
    Epoch,
    NoStore,
    RunRecord,
    TaskStateStore,
    attempt_of,
    store_for,
)
from smartflows_provider.version_compat import AIRFLOW_VERSION, RE_ATTACHING

RECORD = RunRecord(
    execution_id="e1",
    flow="Order letter",
    fingerprint="ab" * 32,
    epoch=Epoch(max_tries=2, clear_number=1),
    submitted_at=1_700_000_000.25,
    deadline=1_700_604_800.25,
    correlation="c0ffee",
    started_try=2,
    ended_try=3,
    retries=2,
    told=True,
    stopped=True,
    ended_badly=True,
)
OPTIONAL = {"correlation", "started_try", "ended_try", "retries", "told", "stopped", "ended_badly"}
"""Keys that version 1 did not have."""


@needs_task_state
@pytest.mark.parametrize("execution_id", ["e1", None])
def test_a_record_survives_the_store_and_never_expires(execution_id: str | None) -> None:
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    accessor = FakeStateStore()
    store = store_for({"task_state_store": accessor}, durable=True)
    assert store.load() is None
    record = replace(RECORD, execution_id=execution_id)
    store.save(record)
    assert store.load() == record
    assert accessor.retentions == {RECORD_KEY: NEVER_EXPIRE}
    store.discard()
    assert store.load() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 4}, "schema version 4 is not known"),
        ({"epoch": None}, "not a run record"),
        ({"epoch": {"max_tries": 1}}, "not a run record"),
        ({"epoch": {"max_tries": 1, "clear_number": 1, "more": 1}}, "not a run record"),
        ({"deadline": None}, "not a run record"),
        ({"deadline": "soon"}, "could not convert"),
        ({"submitted_at": 10**400}, "not a run record"),
    ],
)
def test_a_record_that_is_not_of_this_shape_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunRecord.from_dict({**RECORD.as_dict(), **change})


@settings(derandomize=True, max_examples=60, deadline=None)
@given(missing=st.sets(st.sampled_from(sorted(set(RECORD.as_dict()) - OPTIONAL)), min_size=1))
def test_a_record_that_lacks_something_is_refused(missing: set[str]) -> None:
    with pytest.raises(ValueError, match="not a run record"):
        RunRecord.from_dict({key: value for key, value in RECORD.as_dict().items() if key not in missing})


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


def test_an_airflow_without_task_state_remembers_nothing_and_says_so_to_whoever_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record, "RE_ATTACHING", replace(RE_ATTACHING, since="99.1"))
    store = store_for({"task_state_store": FakeStateStore()}, durable=True)
    assert not store.remembers
    assert store.notice == (
        f"Airflow {AIRFLOW_VERSION} keeps no task state, as 99.1 and later do: a retry or a clear starts a "
        "new run, and neither attaches to the earlier one nor stops it."
    )
    assert store_for({}, durable=False).notice is None


@pytest.mark.parametrize("raw", ["text", 5, ["a"], {}])
def test_what_somebody_else_has_written_under_the_key_is_an_error_and_not_the_lack_of_a_record(
    raw: object,
) -> None:
    accessor = FakeStateStore()
    accessor.set(RECORD_KEY, raw)
    with pytest.raises(ValueError, match="not a run record"):
        TaskStateStore(accessor, retention=None).load()


def test_the_attempt_is_read_from_the_context_and_counts_as_0_where_an_airflow_does_not_tell() -> None:
    told = {"ti": SimpleNamespace(max_tries=3, try_number=4), "dag_run": SimpleNamespace(clear_number=2)}
    assert attempt_of(told) == attempt(max_tries=3, clear_number=2, number=4, retries=None)
    assert attempt_of({**told, "task": SimpleNamespace(retries=5)}).retries == 5
    untold = attempt(max_tries=0, clear_number=0, number=0, retries=None)
    assert attempt_of({}) == attempt_of({"ti": SimpleNamespace(max_tries=None)}) == untold


# --- was the task cleared? ---


def attempt(
    *, max_tries: int = 2, clear_number: int = 1, number: int = 4, retries: int | None = 2
) -> AttemptIdentity:
    epoch = Epoch(max_tries=max_tries, clear_number=clear_number)
    return AttemptIdentity(epoch=epoch, number=number, retries=retries)


def test_a_retry_changes_neither_number() -> None:
    assert not attempt().was_cleared(RECORD)
    assert not attempt(number=9).was_cleared(replace(RECORD, ended_try=None))


@pytest.mark.parametrize("retries_now", [0, 1, 5, 9])
def test_a_clear_is_seen_whether_retries_were_raised_or_lowered_in_between(retries_now: int) -> None:
    ended = replace(RECORD, epoch=Epoch(max_tries=3, clear_number=0), ended_try=None)
    cleared = attempt(max_tries=1 + retries_now, clear_number=1, number=2)
    assert cleared.was_cleared(ended)


def test_a_clear_is_seen_where_lowered_retries_leave_the_number_of_tries_as_it_was() -> None:
    given_up = replace(RECORD, epoch=Epoch(max_tries=3, clear_number=0), ended_try=None)
    assert attempt(max_tries=3, clear_number=1, number=2).was_cleared(given_up)


def test_a_retry_after_another_tasks_clear_is_known_by_the_attempt_before_it_that_failed_by_itself() -> None:
    assert not attempt(clear_number=2, number=4).was_cleared(replace(RECORD, ended_try=3))


@pytest.mark.parametrize("ended_try", [None, 1, 2, 4])
def test_what_may_be_a_clear_or_a_retry_counts_as_a_clear(ended_try: int | None) -> None:
    assert attempt(clear_number=2, number=4).was_cleared(replace(RECORD, ended_try=ended_try))


def test_a_clear_of_a_failed_attempt_is_seen_where_retries_were_lowered_just_so() -> None:
    known = replace(RECORD, ended_try=1, epoch=Epoch(max_tries=3, clear_number=0), retries=3)
    assert attempt(max_tries=3, clear_number=1, number=2, retries=2).was_cleared(known)
    assert not attempt(max_tries=3, clear_number=1, number=2, retries=3).was_cleared(known)


def test_a_clear_that_raises_the_number_of_tries_is_one_even_after_a_failure() -> None:
    assert attempt(max_tries=6, clear_number=2, number=4).was_cleared(replace(RECORD, ended_try=3))
