"""The command behind `make bench`.

Invariant: only full sizes and five runs or more get into the page; the exit code is 0 only if all goals
were reached.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.groups import GROUPS
from benchmarks.sheet import Sheet
from benchmarks.table import block, plain, with_block

LEAST_RUNS = 5
"""Runs that a median in the page stands on."""


def main() -> int:
    """Measure what the arguments name and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="group", help=f"of {', '.join(GROUPS)}; all without one")
    parser.add_argument("--runs", type=int, default=LEAST_RUNS, help="how often each is measured")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full size")
    parser.add_argument("--page", type=Path, help="page whose tables are renewed")
    given = parser.parse_args()
    unknown = [name for name in given.rows if name not in GROUPS]
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    missed: list[str] = []
    for name in given.rows or GROUPS:
        sheet = measure_group(name, runs=given.runs, scale=given.scale)
        print(f"\n{name}\n{plain(sheet)}\n", flush=True)
        missed += sheet.missed()
        if given.page and given.runs >= LEAST_RUNS and given.scale == 1:
            told = block(sheet, command=f'make bench ROWS="{name}"', packages=GROUPS[name].packages)
            given.page.write_text(with_block(given.page.read_text(), name, told))
            if sheet.draw is not None:
                sheet.draw(given.page.parent)
    print("\n".join(["Missed:", *missed] if missed else ["All goals were reached."]))
    return 1 if missed else 0


def measure_group(name: str, *, runs: int, scale: float) -> Sheet:
    """
    Measure a group.

    :param runs: how often each figure is measured.
    :param scale: part of the full size.
    """
    with tempfile.TemporaryDirectory(prefix="smartflows-bench-") as folder:
        return GROUPS[name].measure(Path(folder), scale, runs, _say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
