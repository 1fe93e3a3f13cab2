"""The directive `peer-figures`: what the page of benchmarks has measured of us and of peers, in one table.

`make bench` renews that page's tables; taken from there, the comparison always shows the figures of the last
measurement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes

from smartflows_docs.tables import TableDirective

MEASURES = {
    "CPU time per status check": r"CPU time per status check, beside {peer}",
    "memory per additional wait": r"(?:memory per additional wait|the same)[^|]*?, beside {peer}[^|]*?",
    "end of a run to event": r"end to event, beside {peer}, which asks every \d+ s",
    "requests per minute and wait": r"requests per minute and wait, beside {peer}",
}
"""What is compared, and how the row of the page begins."""


class PeerFigures(TableDirective):
    """`peer-figures`, a table of medians."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        page = Path(self.env.srcdir) / "benchmarks.md"
        self.env.note_dependency(str(page))
        found = list(rows(page.read_text(encoding="utf-8")))
        return self.table(("measured", "this package", *peers(page.read_text(encoding="utf-8"))), found)


def peers(page: str) -> list[str]:
    """Return whom the page compares with, in its order."""
    found = re.findall(r"^\| CPU time per status check, beside ([^|]+?) \|", page, re.MULTILINE)
    if not found:
        raise ValueError("the page of benchmarks compares the time of a status check with nobody")
    return found


def rows(page: str) -> Iterator[tuple[str, ...]]:
    """
    Return a row for each measure: its name, our median, then each peer's.

    :param page: the page of benchmarks.
    :raises ValueError: if the page lacks a measure altogether.
    """
    for measure, words in MEASURES.items():
        ours, theirs = "", []
        for peer in peers(page):
            row = re.search(
                rf"^\| {words.format(peer=re.escape(peer))} \| ([^|]+?) \| ([^|]+?) \|", page, re.MULTILINE
            )
            ours = ours or (median(row[1]) if row else "")
            theirs.append(median(row[2]) if row else "")
        if not ours:
            raise ValueError(f"the page of benchmarks has no row for {measure}")
        yield measure, ours, *theirs


def median(cell: str) -> str:
    """Return a cell without the lowest and the highest run."""
    return re.sub(r" \(.*?\)", "", cell)
