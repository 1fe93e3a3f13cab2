"""Figures that stand for themselves, beside no other program, as lines of a table with their goals.

Why this module exists: some goals are plain numbers, milliseconds or lost triggers, that no second program is
measured for. Invariant: a goal is judged by the median; a margin widens it, unless it is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.comparison import Figure


class Judged(Protocol):
    """Something with a goal."""

    def missed(self, *, margin: float = 1.0) -> list[str]:
        """Say which goals were missed."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table, and what is judged in it."""

    head: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]
    judged: Sequence[Judged]
    runs: int
    """How many runs stand behind each figure."""
    draw: Callable[[Path], None] | None = None
    """Writes the picture that the page shows beside the table into a folder."""

    def missed(self, *, margin: float = 1.0) -> list[str]:
        """
        Say which goals were missed.

        :param margin: the part of a goal that is enough.
        """
        return [each for judged in self.judged for each in judged.missed(margin=margin)]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A figure, and how much it may be at most."""

    name: str
    figure: Figure
    unit: str
    digits: int = 0
    most: float | None = None
    """The goal; None for none."""
    exact: bool = False
    """Whether the goal is one that no busy machine excuses, such as a number of lost triggers."""

    def missed(self, *, margin: float = 1.0) -> list[str]:
        """
        Say that the goal was missed, if it was.

        :param margin: the part of the goal that is enough.
        """
        if self.most is None or self.figure.median <= self.most / (1.0 if self.exact else margin):
            return []
        return [f"{self.name}: {self.figure.median:,.{self.digits}f} {self.unit}, the goal is {self.goal}"]

    @property
    def goal(self) -> str:
        """The goal in words; empty without one."""
        return "" if self.most is None else f"≤ {self.most:,g}"

    def line(self) -> tuple[str, ...]:
        """Return the line of a table."""
        median, lowest, highest = (
            f"{each:,.{self.digits}f}"
            for each in (self.figure.median, self.figure.lowest, self.figure.highest)
        )
        spread = "" if lowest == highest else f" ({lowest} to {highest})"
        return (self.name, f"{median}{spread} {self.unit}".rstrip(), self.goal)


def readings(found: Sequence[Reading], *, runs: int) -> Sheet:
    """
    Return readings as a table.

    :param runs: how many runs stand behind each.
    """
    lines = [each.line() for each in found]
    return Sheet(head=("", "measured", "goal"), lines=lines, judged=found, runs=runs)
