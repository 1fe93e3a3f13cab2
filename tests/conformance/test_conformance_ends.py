"""How a run is brought about and ends, in both modes, on every flow system."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.tasks import MODES, Attempt, FakeStateStore, Mode

from conformance.observing import (
    RETRY,
    both_modes,
    first_attempt,
    names_all,
    run,
    while_waiting,
)
from conformance.systems import Case, ToyCase
from conformance.toy_system import PAPER
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import (
    FlowException,
    FlowExecutionFailedError,
    FlowSubmissionUnclearError,
)

MANIFEST = {
    *("schema_version", "execution_id", "flow", "status", "created_at", "finished_at", "values"),
    *("documents", "warnings", "stages", "url"),
}


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


@both_modes
def test_a_link_is_there_where_an_address_is_known_and_only_there(runner: Case, mode: Mode) -> None:
    url = runner.hook.execution_url("e")
    seen = run(runner.operator(mode, seconds=0.2))
    assert seen.error is None
    assert ("execution_url" in seen.attempt.xcoms) == bool(url)
    assert bool(url) == (runner.name == "smartflows")


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


@pytest.mark.parametrize("chosen", [ToyCase], indirect=True)
@both_modes
def test_the_documents_of_a_further_system_are_landed(chosen: ToyCase, mode: Mode, tmp_path: Path) -> None:
    chosen.section.papers = ["p1", "p2"]
    seen = run(chosen.operator(mode, seconds=0.1, documents_path=tmp_path.as_uri()))
    names = [document["name"] for document in seen.value["documents"]]
    assert names == ["p1.txt", "p2.txt"]
    (run_id,) = chosen.started()
    assert [(tmp_path / run_id / name).read_bytes() for name in names] == [PAPER, PAPER]


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
