"""A function that gives a task its rows, kept from Airflow's templating.

Airflow calls functions in template fields itself while it renders them, with arguments of its own, and then
shows and stores what they return. Wrapped, the function is called on the worker, when its rows are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RowsFunction:
    """A function of the task's context that returns rows."""

    function: Callable[[Any], Iterable[Any]]

    def __str__(self) -> str:
        """Return what the UI shows: the function's name, the same at every parse."""
        return f"rows from {getattr(self.function, '__qualname__', type(self.function).__name__)}"

    __repr__ = __str__
