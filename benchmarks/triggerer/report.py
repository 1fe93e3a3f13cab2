"""The figures of the triggerer's group: many waits in one triggerer, and worker processes of whole DAGs.

Invariants: what was lost, wrong or doubled is exact; each figure is the median of the runs there were.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.comparison import MEGABYTE, Figure
from benchmarks.sheet import Reading, Sheet, readings
from benchmarks.triggerer.crowd import Crowd, Outcome, run
from benchmarks.triggerer.workers import Kind, Observed, observe

WAITS = 10_000
SECONDS = 240.0
"""Over which the executions end."""
KILLED = Crowd(waits=2000, seconds=60.0, kill_after=0.3)
"""Waits amid whose ends the triggerer is killed."""
TASKS = 100
RUNS, SENSORS, PEER_RUNS, PEER_SENSORS = "runs", "sensors", "runs_on_workers", "sensors_on_workers"
STARTS = {SENSORS: "there", PEER_SENSORS: "on workers"}
KINDS = (
    Kind(dag_id=SENSORS, kind="sensors"),
    Kind(dag_id=RUNS, kind="runs"),
    Kind(dag_id=PEER_RUNS, kind="runs", arguments={"resume_on_worker": True}),
    Kind(dag_id=PEER_SENSORS, kind="sensors", arguments={"resume_on_worker": True}),
)


def crowd_sheet(folder: Path, scale: float, runs: int, tell: Callable[[str], None]) -> Sheet:
    """
    Have triggerers work off many waits.

    :param folder: an empty one.
    :param scale: part of the full size.
    :param runs: how often.
    :param tell: takes a line of progress.
    """
    crowd = Crowd(waits=round(WAITS * scale), seconds=SECONDS * scale)
    return readings(crowd_readings(_runs(crowd, folder, runs, tell)), runs=runs)


def killed_sheet(folder: Path, scale: float, runs: int, tell: Callable[[str], None]) -> Sheet:
    """
    Have triggerers work off waits, and kill each amid that.

    :param folder: an empty one.
    :param scale: part of the full size.
    :param runs: how often.
    :param tell: takes a line of progress.
    """
    crowd = replace(KILLED, waits=round(KILLED.waits * scale), seconds=KILLED.seconds * scale)
    return readings(killed_readings(_runs(crowd, folder, runs, tell)), runs=runs)


def workers_sheet(folder: Path, scale: float, runs: int, tell: Callable[[str], None]) -> Sheet:
    """
    Count the worker processes of whole DAGs.

    :param folder: an empty one.
    :param scale: part of the full size.
    :param runs: how often.
    :param tell: takes a line of progress.
    """
    tasks = max(1, round(TASKS * scale))
    found = [observe(KINDS, _folder(folder), tasks=tasks, tell=tell) for _ in range(runs)]
    return readings(workers_readings(found, tasks), runs=runs)


def crowd_readings(outcomes: Sequence[Outcome]) -> list[Reading]:
    """Return the figures of some runs of a crowd."""
    reading = partial(_crowd_reading, outcomes)
    return [
        reading("waits in one triggerer", lambda one: one.waits, "waits"),
        reading("of these lost", lambda one: one.lost, "waits", most=0),
        reading("ended with another's end, or a failure", lambda one: one.wrong, "waits", most=0),
        reading("ended twice", lambda one: one.repeated, "waits", most=0),
        reading("from its start until the service was asked about all", lambda one: one.starting, "s"),
        reading("from an execution's end to its task's, median", lambda one: one.typical_lag, "s", digits=1),
        reading("the same, one in a hundred takes longer", lambda one: one.long_lag, "s", digits=1),
        reading("requests", lambda one: one.requests, "requests"),
        reading(
            "longest block of the loop until then",
            lambda one: one.block_starting,
            "s",
            digits=2,
        ),
        reading("longest block of the loop after that", lambda one: one.block, "s", digits=2),
        reading("processor, runner of the triggers", lambda one: one.taken.runner.seconds, "s"),
        reading("processor, Airflow's supervisor", lambda one: one.taken.supervisor.seconds, "s"),
        reading("memory, runner", lambda one: one.taken.runner.memory / MEGABYTE, "MB"),
        reading("memory, supervisor", lambda one: one.taken.supervisor.memory / MEGABYTE, "MB"),
        reading("open files, runner", lambda one: one.taken.runner.files, "files"),
        reading("of these connections", lambda one: one.taken.runner.connections, "connections"),
        reading("open files, supervisor", lambda one: one.taken.supervisor.files, "files"),
    ]


def killed_readings(outcomes: Sequence[Outcome]) -> list[Reading]:
    """
    Return the figures of some runs of a crowd whose triggerer was killed.

    An event may have been fired and not handed over before the kill; then the next triggerer fires it again.
    """
    reading = partial(_crowd_reading, outcomes)
    return [
        reading("waits in a triggerer that is killed amid their ends", lambda one: one.waits, "waits"),
        reading("of these lost by the next triggerer", lambda one: one.lost, "waits", most=0),
        reading("ended there with another's end, or a failure", lambda one: one.wrong, "waits", most=0),
        reading("of whose events it fired again, as far as logs tell", lambda one: one.repeated, "waits"),
        reading(
            "from an execution's end to its task's, in either, median",
            lambda one: one.typical_lag,
            "s",
            digits=1,
        ),
        reading("the same, one in a hundred takes longer", lambda one: one.long_lag, "s", digits=1),
    ]


def _crowd_reading(
    outcomes: Sequence[Outcome],
    name: str,
    of: Callable[[Outcome], float],
    unit: str,
    *,
    digits: int = 0,
    most: float | None = None,
) -> Reading:
    figure = Figure.of([of(outcome) for outcome in outcomes])
    return Reading(name=name, figure=figure, unit=unit, digits=digits, most=most, exact=most is not None)


def workers_readings(found: Sequence[Observed], tasks: int) -> list[Reading]:
    """Return the figures of some runs of the DAGs."""

    def reading(name: str, of: Callable[[Observed], float], unit: str, most: float | None = None) -> Reading:
        return Reading(
            name=name,
            figure=Figure.of([of(one) for one in found]),
            unit=unit,
            digits=2 if unit == "s" else 0,
            most=most,
            exact=most is not None,
        )

    def triggerer_readings(dag_id: str) -> list[Reading]:
        """Say what the sensors of one DAG cost the triggerer."""
        where = f"triggerer, {tasks} sensors that start {STARTS[dag_id]}"
        return [
            reading(f"{where}: longest block of the loop", lambda one: one.used[dag_id].block, "s"),
            reading(f"{where}: processor, runner", lambda one: one.used[dag_id].taken.runner.seconds, "s"),
            reading(
                f"{where}: processor, supervisor",
                lambda one: one.used[dag_id].taken.supervisor.seconds,
                "s",
            ),
            reading(
                f"{where}: memory, runner",
                lambda one: one.used[dag_id].taken.runner.memory / MEGABYTE,
                "MB",
            ),
            reading(
                f"{where}: open files, both",
                lambda one: one.used[dag_id].taken.runner.files + one.used[dag_id].taken.supervisor.files,
                "files",
            ),
        ]

    worker = "worker processes"
    return [
        reading(f"{tasks} deferred runs", lambda one: one.used[RUNS].processes, worker, tasks),
        reading(f"{tasks} sensors", lambda one: one.used[SENSORS].processes, worker, 0),
        reading(f"{tasks} runs, resumed on workers", lambda one: one.used[PEER_RUNS].processes, worker),
        reading(f"{tasks} sensors, started on workers", lambda one: one.used[PEER_SENSORS].processes, worker),
        reading(
            "tasks that did not succeed",
            lambda one: sum(used.tasks - used.succeeded for used in one.used.values()),
            "tasks",
            0,
        ),
        *(each for kind in (SENSORS, PEER_SENSORS) for each in triggerer_readings(kind)),
    ]


def _runs(crowd: Crowd, folder: Path, count: int, tell: Callable[[str], None]) -> list[Outcome]:
    """Return what came of a crowd so many times, with another seed each time."""
    return [run(replace(crowd, seed=seed), _folder(folder), tell=tell) for seed in range(count)]


def _folder(folder: Path) -> Path:
    """Return a new folder in one."""
    return Path(tempfile.mkdtemp(dir=folder))
