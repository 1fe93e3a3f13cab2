"""The group ``growth``: what more and more waits in one process cost, as a table and as a plot.

Invariants: all sides and sizes run side by side, with the settings that a DAG author gets who sets nothing;
what is counted is counted while no wait begins.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.comparison import MEGABYTE, Figure
from benchmarks.sheet import Sheet
from benchmarks.waits.contenders import BARE, OURS, Contender
from benchmarks.waits.driver import Step
from benchmarks.waits.plot import Panel, Series, draw
from benchmarks.waits.trial import Endings, Outcome, Trial, carry_out
from tests.support.loopback_certificates import make_certificates

PLOT = "benchmarks-growth.png"
PARTS = ("CPU time per minute, s", "memory, MB", "requests per minute", "end of a run to event, median, s")
LEAST_ENDINGS = 5
_WATCHED = 1
"""The step in which no wait begins."""


@dataclass(frozen=True)
class Side:
    """A contender with settings of its connection."""

    name: str
    contender: Contender
    extra: Mapping[str, Any] = field(default_factory=dict)


SIDES = (
    Side("ours", OURS),
    Side("ours, shared queries", OURS, {"batch_status": True}),
    Side(BARE.name, BARE),
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    waits: Sequence[int]
    """How many in one process; all numbers are measured side by side."""
    interval: float | None
    """Seconds between two questions; None for what the sides do by themselves."""
    second: float
    """Seconds that stand for a second of the full size."""


FULL = Sizes(waits=(10, 100, 1000, 3000, 10_000), interval=None, second=1.0)
SMALL = Sizes(waits=(10, 100), interval=4.0, second=1 / 15)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One side at one size."""

    side: str
    waits: int
    figures: tuple[Figure, ...]
    """One for each of :data:`PARTS`."""


def sheet(folder: Path, scale: float, runs: int, tell: Callable[[str], None]) -> Sheet:
    """
    Measure.

    :param folder: where certificates go.
    :param scale: 1 for the full size; all below is one small size.
    :param runs: how often each is measured.
    :param tell: takes a line of progress.
    """
    sizes, certificates = FULL if scale >= 1 else SMALL, make_certificates(folder)
    named = [(waits, side) for waits in sizes.waits for side in SIDES]
    found: dict[tuple[int, str], list[tuple[float, ...]]] = {}
    for run in range(runs):
        tell(f"run {run + 1} of {runs}: {', '.join(f'{each:,}' for each in sizes.waits)} waits")
        trials = [_trial(side, waits, sizes) for waits, side in named]
        outcomes = carry_out(trials, certificates, seed=f"growth {run}")
        for (waits, side), outcome in zip(named, outcomes, strict=True):
            found.setdefault((waits, side.name), []).append(_figures(outcome))
    points = [
        Point(side=side, waits=waits, figures=tuple(map(Figure.of, zip(*values, strict=True))))
        for (waits, side), values in found.items()
    ]
    return Sheet(
        head=("waits", "side", *PARTS),
        lines=[
            (f"{point.waits:,}", point.side, *(_shown(figure) for figure in point.figures))
            for point in points
        ],
        judged=(),
        runs=runs,
        draw=partial(_draw, points),
    )


def _trial(side: Side, waits: int, sizes: Sizes) -> Trial:
    second = sizes.second
    return Trial(
        contender=side.contender,
        steps=[
            Step(waits=waits, ramp=30 * second, rest=30 * second),
            Step(waits=waits, ramp=0, rest=60 * second),
            Step(waits=waits, ramp=0, rest=60 * second),
        ],
        interval=sizes.interval,
        extra=side.extra,
        endings=Endings(count=max(LEAST_ENDINGS, waits // 10), first=60 * second, last=119 * second),
    )


def _figures(outcome: Outcome) -> tuple[float, ...]:
    minutes = outcome.seconds_of(_WATCHED) / 60
    return (
        outcome.cpu_of(_WATCHED) / minutes,
        (outcome.marks[_WATCHED + 1].rss - outcome.marks[0].rss) / MEGABYTE,
        len(outcome.asked_in(_WATCHED)) / minutes,
        statistics.median(outcome.latencies),
    )


def _shown(figure: Figure) -> str:
    """Return a figure whose size may be anything."""
    median, lowest, highest = (
        f"{each:,.0f}" if each >= 100 else f"{each:.3g}"
        for each in (figure.median, figure.lowest, figure.highest)
    )
    return f"{median} ({lowest} to {highest})"


def _draw(points: Sequence[Point], folder: Path) -> None:
    draw(
        [
            Panel(
                title=part,
                series=[
                    Series(
                        name=side.name,
                        values={
                            point.waits: point.figures[number] for point in points if point.side == side.name
                        },
                    )
                    for side in SIDES
                ],
            )
            for number, part in enumerate(PARTS)
        ],
        axis="waits in one process",
        target=folder / PLOT,
    )
