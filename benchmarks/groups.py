"""The groups of figures there are, by the names that `make bench ROWS=…` takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from benchmarks import output, parse, payload
from benchmarks.comparison import Row, measure
from benchmarks.sheet import Sheet
from benchmarks.table import sheet_of
from benchmarks.triggerer import report as triggerer
from benchmarks.waits import growth, waiting
from benchmarks.waits.contenders import CONTENDERS

Tell: TypeAlias = Callable[[str], None]
"""Takes a line of progress."""


class Measuring(Protocol):
    """Measures a group."""

    def __call__(self, folder: Path, scale: float, runs: int, tell: Tell, /) -> Sheet:
        """Measure in an empty folder, with a part of the full size, so many times."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Figures that are measured together."""

    measure: Measuring
    packages: Sequence[str]
    """Whose versions matter."""


def beside(rows: Callable[[Path, float], AbstractContextManager[Sequence[Row]]]) -> Measuring:
    """
    Return what measures rows, each beside a bare program.

    :param rows: makes what the rows need in a folder; the second argument is the part of the full size.
    """

    def measuring(folder: Path, scale: float, runs: int, tell: Tell, /) -> Sheet:
        with rows(folder, scale) as made:
            return sheet_of(measure(made, runs=runs, tell=tell), runs=runs)

    return measuring


GROUPS = {
    "payload": Group(measure=beside(payload.rows), packages=["lxml", "xmlschema"]),
    "output": Group(measure=beside(output.rows), packages=["requests", "urllib3", "universal-pathlib"]),
    "triggerer": Group(measure=triggerer.crowd_sheet, packages=["apache-airflow", "aiohttp"]),
    "kill": Group(measure=triggerer.killed_sheet, packages=["apache-airflow", "aiohttp"]),
    "workers": Group(measure=triggerer.workers_sheet, packages=["apache-airflow"]),
    "parse": Group(measure=parse.sheet, packages=["apache-airflow"]),
    "waiting": Group(
        measure=waiting.sheet, packages=["apache-airflow", *(each.package for each in CONTENDERS.values())]
    ),
    "growth": Group(measure=growth.sheet, packages=["apache-airflow", "aiohttp"]),
}
