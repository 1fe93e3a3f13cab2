"""Results as a table: for the screen, and as a block of a page.

Invariant: each group's block stands between two marks, and writing one leaves the rest of the page as it is.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version

from benchmarks.comparison import Figure, Result
from benchmarks.sheet import Sheet

_HEAD = ("", "ours, s", "beside it, s", "speed, beside it = 1", "goal", "memory, MB", "goal", "speed")


def sheet_of(results: Sequence[Result], *, runs: int) -> Sheet:
    """
    Return the table of results.

    :param runs: how many runs stand behind each.
    """
    return Sheet(head=_HEAD, lines=[*map(_line, results)], judged=results, runs=runs)


def plain(sheet: Sheet) -> str:
    """Return a table for the screen."""
    return aligned([sheet.head, *sheet.lines])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells with their columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def block(sheet: Sheet, *, command: str, packages: Sequence[str]) -> str:
    """
    Return a table for a page, with what it was measured by and on.

    :param command: that measures it again.
    :param packages: whose versions are named.
    """
    versions = ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
    )
    told = (
        f"`{command}`, the median of {sheet.runs} runs with the lowest and the highest; {versions}; "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores."
    )
    return "\n".join([told, "", *map(markdown, [sheet.head, ("---",) * len(sheet.head), *sheet.lines])])


def with_block(page: str, name: str, content: str) -> str:
    """
    Return a page with a block renewed.

    :param name: of its two marks, a group's for example.
    :raises ValueError: if the page has no marks of this name.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no place for {name}: it lacks {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", page)


def _line(result: Result) -> tuple[str, ...]:
    row = result.row
    return (
        row.name,
        _figure(result.ours),
        _figure(result.theirs),
        _figure(result.ratio),
        "" if row.least_ratio is None else f"≥ {row.least_ratio}",
        "unknown" if result.memory is None else _figure(result.memory, digits=0),
        "" if row.most_memory is None else f"< {row.most_memory:.0f}",
        f"{result.speed:,.0f} {row.unit}/s",
    )


def _figure(figure: Figure, *, digits: int = 2) -> str:
    return f"{figure.median:.{digits}f} ({figure.lowest:.{digits}f} to {figure.highest:.{digits}f})"


def markdown(cells: Sequence[str]) -> str:
    """Return a line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
