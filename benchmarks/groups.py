"""The groups of rows there are, by the names that `make bench ROWS=…` takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import output, payload
from benchmarks.comparison import Row


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that are measured together."""

    rows: Callable[[Path, float], AbstractContextManager[Sequence[Row]]]
    """Makes what the rows need in a folder; the second argument is the part of the full size."""
    packages: Sequence[str]
    """Whose versions matter."""


GROUPS = {
    "payload": Group(rows=payload.rows, packages=["lxml", "xmlschema"]),
    "output": Group(rows=output.rows, packages=["requests", "urllib3", "universal-pathlib"]),
}
