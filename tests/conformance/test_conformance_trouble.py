"""Trouble while a run is waited for, in both modes, on every flow system."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.tasks import Attempt, FakeStateStore, Mode

from conformance.observing import (
    BODIES,
    PASSING,
    RETRY,
    both_modes,
    first_attempt,
    hostile_answers,
    names_all,
    run,
    trouble_with_looks,
)
from conformance.systems import CANARY, CASES, Case
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowException,
    FlowStateUnknownError,
)

# --- trouble while it is waited ---


@both_modes
def test_passing_trouble_of_every_kind_is_waited_out(runner: Case, mode: Mode) -> None:
    operator = runner.operator(mode, seconds=0.3)
    trouble_with_looks(runner, PASSING)
    seen = run(operator)
    assert seen.error is None
    assert runner.total(seen.value) == 7
    assert runner.server.pending_faults() == []


@both_modes
def test_hostile_answers_are_no_status_and_no_crash(runner: Case, mode: Mode) -> None:
    operator = runner.operator(mode, seconds=0.2)
    trouble_with_looks(runner, hostile_answers())
    seen = run(operator)
    assert seen.error is None
    assert runner.total(seen.value) == 7
    assert runner.server.pending_faults() == []


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [200, 201, 400])
def test_a_hostile_answer_to_a_start_crashes_nothing_and_doubles_nothing(
    runner: Case, monkeypatch: pytest.MonkeyPatch, status: int, body: str
) -> None:
    monkeypatch.setattr("smartflows_provider.lifecycle.begin.LOOK_UP_PAUSES", (0.01, 0.01))
    store = FakeStateStore()
    fault = {"status": status, "body": body, "headers": {"content-type": "application/json"}}
    operator = runner.operator("sync", seconds=0.1, timeout=5.0)
    runner.server.inject(Fault(action="status", path=runner.start_path, **fault))
    seen = run(operator, first_attempt(store))
    assert runner.server.pending_faults() == []
    assert seen.error is None or isinstance(seen.error, FlowException)
    assert CANARY not in seen.message
    if seen.error is not None and seen.error.retry_helps:
        seen = run(runner.operator("sync", seconds=0.1), Attempt(store=store, **RETRY))
    assert len(runner.started()) == (seen.error is None)


@both_modes
def test_an_outage_that_lasts_keeps_the_run_for_a_retry(runner: Case, mode: Mode) -> None:
    store = FakeStateStore()
    operator = runner.operator(mode, seconds=3600.0, max_outage=0.3)
    runner.server.inject(Fault(action="status", status=503, path=runner.look_path, count=None))
    seen = run(operator, first_attempt(store))
    (run_id,) = runner.started()
    assert type(seen.error) is FlowStateUnknownError
    assert "kept" in seen.error.fate
    names_all(seen, runner, run_id)
    assert runner.status(run_id) == "alive"
    runner.server.clear_faults()
    runner.server.advance(3601)
    again = run(runner.operator(mode, seconds=3600.0), Attempt(store=store, **RETRY))
    assert again.value["execution_id"] == run_id
    assert runner.started() == [run_id]


SIGN_INS = [(kind, profile) for kind in CASES if kind.runs for profile in kind.sign_ins]


@pytest.mark.parametrize(
    ("chosen", "profile"),
    SIGN_INS,
    ids=[f"{kind.name}-{name}" for kind, name in SIGN_INS],
    indirect=["chosen"],
)
@both_modes
def test_a_credential_that_was_rotated_is_taken_up_within_the_wait(
    chosen: Case, profile: str, mode: Mode
) -> None:
    def rotate(_: str) -> None:
        chosen.rotate()
        chosen.connect()

    more = chosen.configure(profile)
    seen = run(chosen.operator(mode, seconds=0.8, **more), meanwhile=(chosen, rotate))
    assert seen.error is None
    assert chosen.total(seen.value) == 7
    assert len(chosen.started()) == 1


@both_modes
def test_a_credential_that_no_longer_holds_ends_the_wait_and_keeps_the_run(runner: Case, mode: Mode) -> None:
    seen = run(runner.operator(mode, seconds=3600.0), meanwhile=(runner, lambda _: runner.rotate()))
    (run_id,) = runner.started()
    assert type(seen.error) is FlowAuthenticationError
    assert isinstance(seen.error, AirflowFailException)
    names_all(seen, runner, run_id)
    assert f"The service refused the {runner.hook.hints.credential} during the wait" in str(seen.error)
    assert f"Put a valid {runner.hook.hints.credential} into" in str(seen.error)
    assert runner.status(run_id) == "alive"
