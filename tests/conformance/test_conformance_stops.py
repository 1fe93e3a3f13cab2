"""The end of patience, and people who stop tasks, on every flow system."""

from __future__ import annotations

import pytest
from support.tasks import Mode

from conformance.observing import (
    both_modes,
    killed_while_deferred,
    names_all,
    run,
)
from conformance.systems import Case
from smartflows_provider.exceptions import (
    FlowKilledError,
    FlowTimeoutError,
)

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
