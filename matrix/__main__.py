"""The command behind `make matrix`, and what gives `make faults AIRFLOW=…` its interpreter.

Invariant: the exit code is 0 only if every version passed; the pages are renewed only by a run of all
versions in which all passed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from matrix import page, trial
from matrix.environment import ROOT, InstallError, ready
from matrix.minors import MINORS, Minor, UnknownMinorError, chosen, version_named
from matrix.selection import LAYERS, QUICK, UnknownLayerError, selected

RESULTS = ROOT / ".demo" / "matrix"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments ask and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="version", help="as 3.1; all without one")
    parser.add_argument("--layers", default="", help=f"of {', '.join(LAYERS)}; or {QUICK}; all without one")
    parser.add_argument("--python", default=sys.executable, help="what environments are made with")
    parser.add_argument("--processes", type=int, default=4, help="that run tests side by side")
    parser.add_argument(
        "--interpreter", action="store_true", help="only install a version, and print its interpreter"
    )
    given = parser.parse_args(arguments)
    try:
        if given.interpreter:
            print(*(ready(version_named(one), python=given.python, say=_say) for one in given.versions))
            return 0
        minors, layers = chosen(given.versions), given.layers.split() or list(LAYERS)
        files = selected(ROOT, layers)
    except (UnknownMinorError, UnknownLayerError) as error:
        parser.error(str(error))
    except InstallError as error:
        _say(str(error))
        return 1
    trials = [_try(minor, python=given.python, files=files, processes=given.processes) for minor in minors]
    print(f"\n{page.screen(trials, layers=layers)}")
    if not all(one.passed for one in trials):
        return 1
    if minors == MINORS:
        page.renew(ROOT, trials, layers=layers)
        print("\nThe tables in README.md and docs/versions.md are renewed.")
    return 0


def _try(minor: Minor, *, python: str, files: Sequence[str], processes: int) -> trial.Trial:
    try:
        interpreter: Path = ready(minor, python=python, say=_say)
    except InstallError as error:
        return trial.Trial(minor=minor, problem=str(error))
    _say(f"testing on Airflow {minor.airflow}; the log is {(RESULTS / minor.name).relative_to(ROOT)}.log")
    found = trial.run(minor, python=interpreter, files=files, folder=RESULTS, processes=processes)
    _say(f"Airflow {minor.airflow}: {found.total('passed')} passed, {found.total('failed')} failed, "
         f"{found.total('skipped')} skipped in {found.seconds:.0f} s")  # fmt: skip
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
