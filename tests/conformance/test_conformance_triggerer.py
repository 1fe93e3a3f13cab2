"""A success takes no worker that is not needed, on every flow system."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from support.airflow_versions import needs_success_in_triggerer
from support.tasks import Attempt
from support.triggerer import to_the_end

from conformance.observing import Seen, names_all, run
from conformance.systems import Case
from smartflows_provider.exceptions import FlowExecutionFailedError

pytestmark = needs_success_in_triggerer


def concluded(task: Any) -> tuple[Seen, int]:
    """Run a task as Airflow does, a sensor from the triggerer on; return also how many workers that took."""
    now, ended = datetime.now(UTC), []

    def to_its_end(task: Any, attempt: Attempt) -> Any:
        ended.append(to_the_end(task, attempt, now=now))
        return ended[0].value

    seen = run(task, Attempt(started_at=now), by=to_its_end)
    return seen, ended[0].workers if ended else 0


def test_a_run_that_ends_well_takes_the_worker_that_starts_it_and_brings_the_same(runner: Case) -> None:
    here, workers = concluded(runner.operator("deferrable", seconds=0.2))
    resumed = run(runner.operator("deferrable", seconds=0.2, resume_on_worker=True))
    assert workers == 1
    assert runner.total(here.value) == 7
    assert here.plain(runner) == resumed.plain(runner)


def test_a_run_that_ends_badly_is_told_by_a_worker(runner: Case) -> None:
    seen, _ = concluded(runner.operator("deferrable", seconds=0.1, ends="badly"))
    assert type(seen.error) is FlowExecutionFailedError
    names_all(seen, runner, runner.started()[-1])


def test_a_sensor_of_a_run_that_ends_well_takes_no_worker(watched: Case) -> None:
    run_id = watched.begin(seconds=0.2)
    seen, workers = concluded(watched.sensor("deferrable", run_id))
    assert workers == 0
    assert seen.value == run(watched.sensor("poke", run_id)).value


def test_a_run_is_judged_in_the_triggerer_on_the_tasks_own_terms(particular_runner: Case) -> None:
    case = particular_runner
    seen, workers = concluded(case.operator("deferrable", seconds=3600.0, **case.own_terms))
    (run_id,) = case.started()
    assert (seen.value["execution_id"], workers) == (run_id, 1)
    assert case.status(run_id) == "alive"


def test_a_sensor_that_starts_in_the_triggerer_waits_on_its_own_terms(particular_watched: Case) -> None:
    case = particular_watched
    run_id = case.begin(seconds=3600.0)
    seen, workers = concluded(case.sensor("deferrable", run_id, **case.own_terms))
    assert (seen.value["execution_id"], workers) == (run_id, 0)
    assert case.status(run_id) == "alive"
