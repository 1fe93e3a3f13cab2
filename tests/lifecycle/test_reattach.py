"""What an attempt does about the run of an earlier one: the whole table."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from smartflows_provider.lifecycle.options import RunOptions
from smartflows_provider.lifecycle.reattach import after_look, first_step
from smartflows_provider.lifecycle.record import AttemptIdentity, Epoch, RunRecord
from smartflows_provider.wire.run import RunPhase

EPOCH = Epoch(max_tries=1, clear_number=0)


def record(*, execution_id: str | None = "e1", epoch: Epoch = EPOCH) -> RunRecord:
    return RunRecord(
        execution_id=execution_id, flow="f", fingerprint="same", epoch=epoch, submitted_at=1.0, deadline=2.0
    )


def step(known: RunRecord | None, *, fingerprint: str = "same", **options: Any) -> str:
    attempt = AttemptIdentity(epoch=EPOCH, number=2)
    return first_step(known, attempt=attempt, fingerprint=fingerprint, options=RunOptions(**options))


@pytest.mark.parametrize(
    ("on_clear", "on_input_changed", "on_ambiguous_submission"),
    [*product(["restart", "resume"], ["attach", "restart", "fail"], ["look_up", "fail", "resubmit"])],
)
def test_without_a_record_a_run_is_started(
    on_clear: str, on_input_changed: str, on_ambiguous_submission: str
) -> None:
    assert (
        step(
            None,
            on_clear=on_clear,
            on_input_changed=on_input_changed,
            on_ambiguous_submission=on_ambiguous_submission,
        )
        == "submit"
    )


@pytest.mark.parametrize(
    "cleared_epoch",
    [
        Epoch(max_tries=2, clear_number=0),
        Epoch(max_tries=1, clear_number=1),
        Epoch(max_tries=3, clear_number=2),
    ],
)
@pytest.mark.parametrize(
    ("situation", "on_clear", "on_input_changed", "expected"),
    [
        # (cleared, has_id, same_input); an intent without an id: only a retry that must not guess is unclear
        ((False, False, True), "restart", "attach", "unclear"),
        ((False, False, False), "restart", "restart", "unclear"),
        ((False, False, False), "resume", "fail", "unclear"),
        # a retry looks at the run it has
        ((False, True, True), "restart", "attach", "look"),
        ((False, True, True), "restart", "restart", "look"),
        ((False, True, True), "restart", "fail", "look"),
        ((False, True, True), "resume", "attach", "look"),
        # ... and the author decides where its input has changed
        ((False, True, False), "restart", "attach", "look"),
        ((False, True, False), "restart", "restart", "supersede"),
        ((False, True, False), "restart", "fail", "input_changed"),
        # a clear starts anew unless it shall resume
        ((True, True, True), "restart", "attach", "supersede"),
        ((True, True, True), "restart", "fail", "supersede"),
        ((True, True, False), "restart", "attach", "supersede"),
        ((True, True, False), "restart", "fail", "supersede"),
        ((True, True, True), "resume", "attach", "look"),
        ((True, True, True), "resume", "fail", "look"),
        ((True, True, False), "resume", "attach", "look"),
        ((True, True, False), "resume", "restart", "supersede"),
        ((True, True, False), "resume", "fail", "input_changed"),
    ],
)
def test_the_first_step_follows_from_record_epoch_input_and_options(
    situation: tuple[bool, bool, bool],
    on_clear: str,
    on_input_changed: str,
    expected: str,
    cleared_epoch: Epoch,
) -> None:
    cleared, has_id, same_input = situation
    known = record(execution_id="e1" if has_id else None, epoch=cleared_epoch if cleared else EPOCH)
    fingerprint = "same" if same_input else "other"
    options = {"on_clear": on_clear, "on_input_changed": on_input_changed}
    assert step(known, fingerprint=fingerprint, **options) == expected


@pytest.mark.parametrize(
    ("max_tries", "clear_number", "told", "expected"),
    [
        (1, 0, True, "unclear"),
        (1, 1, True, "unclear"),
        (2, 1, True, "submit"),
        (3, 1, True, "submit"),
        (2, 1, False, "unclear"),
    ],
)
def test_an_intent_without_an_id_is_started_anew_only_where_somebody_was_told_and_surely_cleared_it(
    max_tries: int, clear_number: int, told: bool, expected: str
) -> None:
    known = replace(record(execution_id=None, epoch=Epoch(max_tries=1, clear_number=0)), told=told)
    attempt = AttemptIdentity(epoch=Epoch(max_tries=max_tries, clear_number=clear_number), number=2)
    assert first_step(known, attempt=attempt, fingerprint="same", options=RunOptions()) == expected


@pytest.mark.parametrize("cleared", [False, True])
def test_an_intent_without_an_id_is_started_anew_where_the_author_wants_that(cleared: bool) -> None:
    known = record(execution_id=None, epoch=Epoch(max_tries=9, clear_number=9) if cleared else EPOCH)
    assert step(known, on_ambiguous_submission="resubmit") == "submit"


@pytest.mark.parametrize("on_clear", ["restart", "resume"])
@pytest.mark.parametrize("fingerprint", ["same", "other"])
def test_a_run_that_an_attempt_has_cancelled_is_waited_for_until_its_end_is_known(
    on_clear: str, fingerprint: str
) -> None:
    known = replace(record(), stopped=True)
    assert step(known, on_clear=on_clear, fingerprint=fingerprint) == "settle"
    cleared = replace(known, epoch=Epoch(max_tries=0, clear_number=0))
    assert step(cleared, on_clear=on_clear) == ("supersede" if on_clear == "restart" else "settle")


@pytest.mark.parametrize("phase", RunPhase)
def test_only_a_run_that_ended_badly_is_started_anew(phase: RunPhase) -> None:
    ended_badly = phase in {RunPhase.FAILED, RunPhase.CANCELED, RunPhase.INTERRUPTED}
    assert after_look(phase) == ("submit" if ended_badly else "attach")


def test_a_run_that_is_known_to_have_ended_badly_is_looked_at_as_somebody_may_have_revived_it() -> None:
    assert step(replace(record(), ended_badly=True)) == "look"


def test_a_cleared_task_still_stops_what_is_left_of_a_run_that_ended_badly() -> None:
    cleared = replace(record(epoch=Epoch(max_tries=2, clear_number=1)), ended_badly=True)
    assert step(cleared, on_clear="restart") == "supersede"
