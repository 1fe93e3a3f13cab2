"""Rows: two pieces of work side by side, how they are measured, and what the goal is.

Invariants: a ratio compares what was measured within one run, minutes apart at most; runs alternate the
order, so that neither side always comes first; a work that several rows share is done once per run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.work import Sample, Work

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """Our work beside the bare one."""

    name: str
    ours: Work
    theirs: Work
    amount: int
    """How much is worked on, for the speed."""
    unit: str
    """Of the amount."""
    least_ratio: float | None = None
    """The goal for our speed, as a part of theirs."""
    most_memory: float | None = None
    """The goal for our memory: megabytes above the base."""


@dataclass(frozen=True)
class Figure:
    """The median of several runs, with the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Return the figure of some values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a row."""

    row: Row
    ours: Figure
    """Seconds."""
    theirs: Figure
    """Seconds."""
    ratio: Figure
    """Our speed as a part of theirs."""
    memory: Figure | None
    """Of our work, megabytes above the base; None where it is not known."""

    @property
    def speed(self) -> float:
        """Units per second."""
        return self.row.amount / self.ours.median

    def missed(self, *, margin: float = 1.0) -> list[str]:
        """
        Say which goals were missed.

        :param margin: the part of the ratio's goal that is enough.
        """
        row, found = self.row, []
        if row.least_ratio is not None and self.ratio.median < row.least_ratio * margin:
            found.append(f"{row.name}: the ratio is {self.ratio.median:.2f}, the goal {row.least_ratio}")
        if row.most_memory is not None and self.memory and self.memory.median > row.most_memory:
            found.append(f"{row.name}: it takes {self.memory.median:.0f} MB, the goal is {row.most_memory}")
        return found


def measure(rows: Sequence[Row], *, runs: int, tell: Callable[[str], None]) -> list[Result]:
    """
    Measure rows.

    :param runs: how often each work is done.
    :param tell: takes a line of progress.
    """
    works = list(dict.fromkeys(work for row in rows for work in (row.theirs, row.ours)))
    samples: dict[Work, list[Sample]] = {work: [] for work in works}
    for run in range(runs):
        for work in works if run % 2 == 0 else reversed(works):
            sample = work.measure()
            samples[work].append(sample)
            tell(f"run {run + 1} of {runs}: {work.target.partition(':')[2]} {sample.seconds:.2f} s")
    return [_result(row, samples[row.ours], samples[row.theirs]) for row in rows]


def _result(row: Row, ours: Sequence[Sample], theirs: Sequence[Sample]) -> Result:
    memory = [sample.memory / MEGABYTE for sample in ours if sample.memory is not None]
    return Result(
        row=row,
        ours=Figure.of([sample.seconds for sample in ours]),
        theirs=Figure.of([sample.seconds for sample in theirs]),
        ratio=Figure.of([bare.seconds / own.seconds for own, bare in zip(ours, theirs, strict=True)]),
        memory=Figure.of(memory) if memory else None,
    )
