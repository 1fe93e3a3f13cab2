"""What every operator that waits for a remote run keeps to, in both modes, on every flow system."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.tasks import MODES, Attempt, FakeStateStore, Mode

from conformance.observing import Seen, killed_while_deferred, run, while_waiting
from conformance.systems import CANARY, CASES, Case
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowException,
    FlowExecutionFailedError,
    FlowKilledError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
)

RETRY = {"max_tries": 3, "try_number": 2}
MANIFEST = {
    *("schema_version", "execution_id", "flow", "status", "created_at", "finished_at", "values"),
    *("documents", "warnings", "stages", "url"),
}
both_modes = pytest.mark.parametrize("mode", MODES)


def names_all(seen: Seen, case: Case, run_id: str) -> None:
    """Insist that a message names system, connection and run, and says what became of it and what to do."""
    error = seen.error
    assert isinstance(error, FlowException)
    assert f"[{case.label}, connection '{case.conn_id}', flow '" in seen.message
    assert f"execution {run_id}" in seen.message
    assert error.fate
    assert error.advice


def first_attempt(store: FakeStateStore) -> Attempt:
    return Attempt(store=store, max_tries=3)


# --- the ends of a run ---


@both_modes
def test_a_run_that_ends_well_brings_the_manifest_and_its_id(runner: Case, mode: Mode) -> None:
    seen = run(runner.operator(mode, seconds=0.2))
    (run_id,) = runner.started()
    assert seen.error is None
    assert set(seen.value) == MANIFEST
    assert seen.value["execution_id"] == run_id == seen.attempt.xcoms["execution_id"]
    assert (runner.total(seen.value), seen.value["documents"]) == (7, [])
    assert len(seen.attempt.deferrals) == (mode == "deferrable")


def test_both_modes_bring_the_same(runner: Case) -> None:
    first, second = (run(runner.operator(mode, seconds=0.2)) for mode in MODES)
    assert first.plain(runner) == second.plain(runner)


@both_modes
def test_a_run_that_ends_badly_fails_with_the_services_reason_and_may_be_retried(
    runner: Case, mode: Mode
) -> None:
    seen = run(runner.operator(mode, seconds=0.1, ends="badly"))
    assert type(seen.error) is FlowExecutionFailedError
    assert not isinstance(seen.error, AirflowFailException)
    names_all(seen, runner, runner.started()[-1])
    assert "gave no reason" not in seen.message


def test_outputs_picks_and_renames_values(runner: Case) -> None:
    seen = run(runner.operator("sync", seconds=0.0, outputs={"sum": runner.total_path}))
    assert seen.value["values"] == {"sum": 7}


def test_a_task_that_does_not_wait_returns_right_after_the_start(runner: Case) -> None:
    seen = run(runner.operator("sync", seconds=3600.0, wait_for_completion=False))
    (run_id,) = runner.started()
    assert (seen.value["execution_id"], seen.value["values"]) == (run_id, {})
    assert runner.status(run_id) == "alive"


# --- the record: retries and clears ---


@both_modes
def test_a_retry_attaches_to_the_run_that_an_attempt_has_left(runner: Case, mode: Mode) -> None:
    store = FakeStateStore()
    operator = runner.operator("deferrable", seconds=3600.0)
    while_waiting(operator, first_attempt(store))
    (run_id,) = runner.started()
    runner.server.advance(3601)
    seen = run(runner.operator(mode, seconds=3600.0), Attempt(store=store, **RETRY))
    assert seen.value["execution_id"] == run_id
    assert runner.started() == [run_id]


@both_modes
def test_a_retry_after_a_failed_run_starts_another(runner: Case, mode: Mode) -> None:
    store = FakeStateStore()
    assert run(runner.operator(mode, seconds=0.0, ends="badly"), first_attempt(store)).error
    seen = run(runner.operator(mode, seconds=0.0), Attempt(store=store, **RETRY))
    first, second = runner.started()
    assert first != second == seen.value["execution_id"]


@both_modes
def test_a_cleared_task_stops_its_run_and_starts_another(stopper: Case, mode: Mode) -> None:
    store = FakeStateStore()
    while_waiting(stopper.operator("deferrable", seconds=3600.0), Attempt(store=store))
    seen = run(
        stopper.operator(mode, seconds=0.0), Attempt(store=store, max_tries=1, try_number=2, clear_number=1)
    )
    first, second = stopper.started()
    assert stopper.status(first) == "stopped"
    assert seen.value["execution_id"] == second != first


@both_modes
def test_a_cleared_task_that_resumes_goes_on_with_its_run(runner: Case, mode: Mode) -> None:
    store = FakeStateStore()
    while_waiting(runner.operator("deferrable", seconds=3600.0), Attempt(store=store))
    runner.server.advance(3601)
    seen = run(
        runner.operator(mode, seconds=3600.0, on_clear="resume"),
        Attempt(store=store, max_tries=1, try_number=2, clear_number=1),
    )
    assert runner.started() == [seen.value["execution_id"]]


# --- starts that are not answered ---


def test_a_start_that_was_not_sent_starts_nothing_and_may_be_retried(runner: Case) -> None:
    operator = runner.operator("sync", seconds=0.0)
    runner.server.stop()
    runner.connect(port=1)
    seen = run(operator)
    runner.server.start()
    assert isinstance(seen.error, FlowException)
    assert seen.error.retry_helps
    assert runner.started() == []


@pytest.mark.parametrize("taken", [True, False])
@both_modes
def test_a_start_whose_answer_is_lost_is_never_doubled(
    runner: Case, monkeypatch: pytest.MonkeyPatch, mode: Mode, taken: bool
) -> None:
    monkeypatch.setattr("smartflows_provider.lifecycle.begin.LOOK_UP_PAUSES", (0.01, 0.01))
    operator = runner.operator(mode, seconds=0.2)
    runner.server.inject(Fault(action="reset", path=runner.start_path, taken=taken))
    seen = run(operator)
    if seen.error is None:
        # Its id was ours, so it could be told, or started again as the same.
        assert len(runner.started()) == 1
        return
    assert type(seen.error) is FlowSubmissionUnclearError
    assert isinstance(seen.error, AirflowFailException)
    assert len(runner.started()) == taken
    assert seen.error.advice


# --- trouble while it is waited ---

PASSING = [
    Fault(action="status", status=503, count=3),
    Fault(action="reset", count=3),
    Fault(action="status", status=429, headers={"retry-after": "0"}, count=2),
    Fault(action="html", count=3),
    Fault(action="truncated", count=3),
]
BODIES = [
    "[]",
    "null",
    "7",
    '"text"',
    "{}",
    "[" * 100_000,
    '{"id": null}',
    '{"id": {"a": []}, "state": 7}',
    "",
]


@pytest.mark.parametrize("trouble", PASSING, ids=lambda fault: f"{fault.action} {fault.status}")
@both_modes
def test_passing_trouble_is_waited_out(runner: Case, mode: Mode, trouble: Fault) -> None:
    operator = runner.operator(mode, seconds=0.3)
    runner.server.inject(Fault(**{**vars(trouble), "path": runner.look_path}))
    seen = run(operator)
    assert seen.error is None
    assert runner.total(seen.value) == 7


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:12] or "nothing")
@both_modes
def test_hostile_answers_are_no_status_and_no_crash(runner: Case, mode: Mode, body: str) -> None:
    operator = runner.operator(mode, seconds=0.2)
    headers = {"content-type": "application/json"}
    runner.server.inject(
        Fault(action="status", status=200, headers=headers, body=body, path=runner.look_path, count=3)
    )
    seen = run(operator)
    assert seen.error is None
    assert runner.total(seen.value) == 7


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


@both_modes
def test_a_credential_that_was_rotated_is_taken_up_within_the_wait(runner: Case, mode: Mode) -> None:
    def rotate(_: str) -> None:
        runner.rotate()
        runner.connect()

    seen = run(runner.operator(mode, seconds=0.8), meanwhile=(runner, rotate))
    assert seen.error is None
    assert runner.total(seen.value) == 7


@both_modes
def test_a_credential_that_no_longer_holds_ends_the_wait_and_keeps_the_run(runner: Case, mode: Mode) -> None:
    seen = run(runner.operator(mode, seconds=3600.0), meanwhile=(runner, lambda _: runner.rotate()))
    (run_id,) = runner.started()
    assert type(seen.error) is FlowAuthenticationError
    assert isinstance(seen.error, AirflowFailException)
    names_all(seen, runner, run_id)
    assert runner.status(run_id) == "alive"


# --- the end of patience, and kills ---


@both_modes
def test_a_run_that_takes_too_long_is_stopped_and_said_to_be(stopper: Case, mode: Mode) -> None:
    seen = run(stopper.operator(mode, seconds=3600.0, timeout=0.4))
    (run_id,) = stopper.started()
    assert type(seen.error) is FlowTimeoutError
    names_all(seen, stopper, run_id)
    assert stopper.status(run_id) == "stopped"


@both_modes
def test_a_run_that_takes_too_long_is_left_where_its_author_wants_that(runner: Case, mode: Mode) -> None:
    seen = run(runner.operator(mode, seconds=3600.0, timeout=0.4, **runner.leaves_alone))
    (run_id,) = runner.started()
    assert type(seen.error) is FlowTimeoutError
    assert "It was not cancelled, " in seen.message
    names_all(seen, runner, run_id)
    assert runner.status(run_id) == "alive"


def test_a_kill_on_a_worker_stops_the_run(stopper: Case) -> None:
    operator = stopper.operator("sync", seconds=3600.0)
    seen = run(operator, meanwhile=(stopper, lambda _: operator.on_kill()))
    (run_id,) = stopper.started()
    assert type(seen.error) is FlowKilledError
    assert stopper.status(run_id) == "stopped"


def test_a_kill_on_a_worker_leaves_the_run_where_its_author_wants_that(runner: Case) -> None:
    operator = runner.operator("sync", seconds=3600.0, **runner.leaves_alone)
    seen = run(operator, meanwhile=(runner, lambda _: operator.on_kill()))
    (run_id,) = runner.started()
    assert type(seen.error) is FlowKilledError
    assert runner.status(run_id) == "alive"


def test_a_kill_of_a_deferred_task_stops_the_run(stopper: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_while_deferred(stopper.operator("deferrable", seconds=3600.0), monkeypatch)
    (run_id,) = stopper.started()
    assert stopper.status(run_id) == "stopped"


# --- what the vendors leave open ---


PROFILES = [(kind, profile) for kind in CASES if kind.runs for profile in kind.profiles]


@pytest.mark.parametrize(
    ("chosen", "profile"),
    PROFILES,
    ids=[f"{kind.name}-{name}" for kind, name in PROFILES],
    indirect=["chosen"],
)
@both_modes
def test_every_reading_of_what_the_vendor_leaves_open_works(chosen: Case, profile: str, mode: Mode) -> None:
    more = chosen.configure(profile)
    seen = run(chosen.operator(mode, seconds=0.2, **more))
    assert seen.message == ""
    assert chosen.total(seen.value) == 7


# --- secrets ---


@both_modes
def test_nothing_that_airflow_stores_or_shows_holds_the_credential(
    runner: Case, mode: Mode, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    store = FakeStateStore()
    attempt = Attempt(store=store)
    seen = run(runner.operator(mode, seconds=0.2), attempt)
    badly = run(runner.operator(mode, seconds=0.0, ends="badly"))
    lost = run(runner.operator(mode, seconds=3600.0), meanwhile=(runner, lambda _: runner.rotate()))
    stored: list[Any] = [seen.value, attempt.xcoms, attempt.events, store.entries]
    stored += [trigger.serialize() for trigger in attempt.deferrals + lost.attempt.deferrals]
    shown = [json.dumps(stored), badly.message, lost.message, *seen.log, *lost.log, caplog.text]
    shown += list(capsys.readouterr())
    shown += [f"{request.path}?{request.query}" for request in runner.server.requests]
    assert [text for text in shown if CANARY in text] == []
