"""Executions as a table, and as JSON for scripts.

Invariants: a column is never dropped; where a terminal is too narrow for one line each, an execution takes
two. Without a terminal nothing depends on a width, so that other programs can search the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from smartflows_provider.cli.selection import age_of
from smartflows_provider.cli.text import UNKNOWN, cells, cut, pad, printable, span
from smartflows_provider.wire.answers import read_moment
from smartflows_provider.wire.run import Execution, Reference

_HEADINGS = ("ID", "FLOW", "STATUS", "AGE", "CREATED (UTC)", "CREATED BY")
_FLOW, _CREATOR = 1, 5
_GAP = "  "
_LONGEST_NAME = 60
_LEAST_FOR_NAMES = 24
"""Columns that flow and creator need together to be told apart on one line."""


def table(executions: Sequence[Execution], *, now: float, width: int | None) -> list[str]:
    """
    Return the lines of a table with its heading.

    :param now: epoch seconds.
    :param width: of the terminal in columns; None if there is no terminal.
    """
    rows = [_HEADINGS, *(_row(execution, now=now) for execution in executions)]
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        names = widths[_FLOW] + widths[_CREATOR]
        room = width - (sum(widths) - names) - len(_GAP) * (len(widths) - 1)
        if room < min(names, _LEAST_FOR_NAMES):
            return _two_lines_each(rows, widths, width=width)
        widths[_CREATOR] = min(widths[_CREATOR], max(room - widths[_FLOW], room // 3))
        widths[_FLOW] = min(widths[_FLOW], room - widths[_CREATOR])
    return [_line(row, widths) for row in rows]


def as_object(execution: Execution, *, now: float) -> dict[str, Any]:
    """Return an execution as JSON for scripts; what the service does not tell is null."""
    age = age_of(execution, now=now)
    return {
        "id": execution.id,
        "flow": _reference(execution.flow),
        "status": execution.status,
        "age_seconds": None if age is None else int(age),
        "created_at": execution.created_at or None,
        "modified_at": execution.modified_at or None,
        "created_by": _reference(execution.created_by),
    }


def moment(text: str) -> str:
    """Return a time of the service to the minute in UTC, and as it came where it cannot be read."""
    seconds = read_moment(text)
    try:
        if seconds is not None:
            return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
    except ValueError:
        # The last microsecond of the year 9999 is rounded into a year that there is not.
        pass
    return printable(text) or UNKNOWN


def name_of(reference: Reference | None) -> str:
    """Return the name that the service points at something with, its id where there is no name."""
    return printable((reference.name or reference.id) if reference else "") or UNKNOWN


def _row(execution: Execution, *, now: float) -> tuple[str, ...]:
    return (
        printable(execution.id),
        cut(name_of(execution.flow), _LONGEST_NAME),
        cut(printable(execution.status), _LONGEST_NAME),
        span(age_of(execution, now=now)),
        cut(moment(execution.created_at), _LONGEST_NAME),
        cut(name_of(execution.created_by), _LONGEST_NAME),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cut_to_size = (pad(cut(text, width), width) for text, width in zip(row, widths, strict=True))
    return _GAP.join(cut_to_size).rstrip()


def _two_lines_each(rows: Sequence[Sequence[str]], widths: Sequence[int], *, width: int) -> list[str]:
    first = [index for index in range(len(_HEADINGS)) if index not in {_FLOW, _CREATOR}]
    lines = []
    for row in rows:
        lines.append(_line([row[index] for index in first], [widths[index] for index in first]))
        creator = min(widths[_CREATOR], width // 3)
        flow = min(widths[_FLOW], width - 2 * len(_GAP) - creator)
        lines.append(_GAP + _line([row[_FLOW], row[_CREATOR]], [flow, creator]))
    return lines


def _reference(reference: Reference | None) -> dict[str, Any] | None:
    if reference is None or not reference.id:
        return None
    return {"id": reference.id, "name": reference.name or None}
