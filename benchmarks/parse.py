"""Figures about DAG parsing: what importing the package adds to what is loaded anyway, and what a task costs.

Invariant: modules are compiled and in the disk's cache before anything is measured.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from airflow.sdk import DAG, BaseOperator

from benchmarks.comparison import Figure
from benchmarks.import_times import DAG_ALONE, DAG_FILE, PARTS, import_times
from benchmarks.sheet import Reading, Sheet, readings
from benchmarks.work import ROOT
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

GOAL = 30.0
"""Milliseconds."""

TASKS = 1000
"""In each DAG that is made."""
TURNS = 5
"""How often one DAG of each kind is made, by turns."""


def sheet(folder: Path, scale: float, runs: int, tell: Callable[[str], None]) -> Sheet:
    """
    Measure.

    :param folder: not needed.
    :param scale: part of the full size.
    :param runs: how often each is measured.
    :param tell: takes a line of progress.
    """
    del folder
    added: dict[str, list[float]] = {DAG_FILE: [], DAG_ALONE: []}
    made: list[float] = []
    for base in added:
        import_times(PARTS, base=base)
    for run in range(runs):
        for base, taken in added.items():
            taken.append(import_times(PARTS, base=base).added_milliseconds)
        made.append(_making(max(1, int(TASKS * scale))))
        shown = ", ".join(f"{taken[-1]:.1f} ms" for taken in (*added.values(), made))
        tell(f"run {run + 1} of {runs}: {shown}")
    return readings(
        [
            Reading(
                name="imports, added to DAG, BaseOperator, BaseSensorOperator and task",
                figure=Figure.of(added[DAG_FILE]),
                unit="ms",
                digits=1,
                most=GOAL,
            ),
            Reading(
                name="the same, added to DAG alone",
                figure=Figure.of(added[DAG_ALONE]),
                unit="ms",
                digits=1,
                most=GOAL,
            ),
            Reading(
                name="one task made, added to a BaseOperator",
                figure=Figure.of(made),
                unit="ms",
                digits=2,
            ),
        ],
        runs=runs,
    )


def _making(tasks: int) -> float:
    """Return the milliseconds that one of our tasks takes above one of Airflow's, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, str(tasks)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])


def _seconds(kind: Callable[..., object], tasks: int, **arguments: Any) -> float:
    with DAG("made", schedule=None):
        began = time.perf_counter()
        for number in range(tasks):
            kind(task_id=f"task_{number}", **arguments)
        return time.perf_counter() - began


def _make(tasks: int) -> None:
    added = [
        _seconds(SmartFlowsRunFlowOperator, tasks, flow="report") - _seconds(BaseOperator, tasks)
        for _ in range(1 + TURNS)
    ]
    # What is done once for all tasks of a kind falls into the first turn.
    print(median(added[1:]) / tasks * 1000)


if __name__ == "__main__":
    _make(int(sys.argv[1]))
