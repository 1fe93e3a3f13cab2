"""What came of a run, as tables: on the screen, in the README, and in `docs/versions.md`.

Invariant: a page's table is replaced between its two marks only, and holds every version of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks.table import aligned, markdown, with_block
from matrix.selection import LAYERS
from matrix.trial import Outcome, Trial

SUPPORTED, TESTED, FEATURES = "versions", "tested versions", "features by version"
"""Names of the marks: in the README; in `docs/versions.md`, twice."""


def screen(trials: Sequence[Trial], *, layers: Sequence[str]) -> str:
    """
    Return the table for the screen, and below it what failed, what was skipped and why, and what is missing.

    :param trials: of the versions that ran.
    :param layers: that ran.
    """
    head = ("Airflow", "version", "Python", "passed", "failed", "skipped", "seconds", "")
    lines = [
        (
            trial.minor.name,
            trial.minor.airflow,
            trial.python or "?",
            str(trial.total("passed")),
            str(trial.total("failed")),
            str(trial.total("skipped")),
            f"{trial.seconds:.0f}",
            "ok" if trial.passed else "FAILED",
        )
        for trial in trials
    ]
    told = [f"layers: {' '.join(layers)}", "", aligned([head, *lines])]
    for trial in trials:
        told += ["", f"Airflow {trial.minor.airflow}:"]
        told += [f"  {trial.problem}"] if trial.problem else []
        told += [f"  failed: {name}" for name in trial.failures]
        told += [f"  {count} skipped: {reason}" for reason, count in sorted(trial.skips.items())]
        there = [one for one in trial.features if one.here]
        told.append(f"  {len(there)} of {len(trial.features)} features available")
        told += [f"  not here: {one.name}; {one.before}" for one in trial.features if not one.here]
    sums = [f"{sum(trial.total(word) for trial in trials)} {word}" for word in get_args(Outcome)]
    told += ["", f"{', '.join(sums)}, over {len(trials)} versions of Airflow"]
    return "\n".join(told)


def renew(root: Path, trials: Sequence[Trial], *, layers: Sequence[str]) -> None:
    """
    Write the tables of a run into the pages.

    :param root: the project's.
    :param trials: of all versions, passed.
    :param layers: that ran.
    :raises ValueError: if a page lacks the marks.
    """
    _renew(root / "README.md", SUPPORTED, supported(trials))
    _renew(root / "docs" / "versions.md", TESTED, tested(trials, layers=layers))
    _renew(root / "docs" / "versions.md", FEATURES, features(trials))


def _renew(path: Path, name: str, table: str) -> None:
    path.write_text(with_block(path.read_text(encoding="utf-8"), name, table), encoding="utf-8")


def supported(trials: Sequence[Trial]) -> str:
    """Return the README's table."""
    lines = [("Airflow", "tested with", "without"), ("---",) * 3]
    for trial in trials:
        missing = sum(not one.here for one in trial.features)
        what = "feature" if missing == 1 else "features"
        without = f"[{missing} {what}](docs/versions.md#what-a-version-lacks)" if missing else "nothing"
        lines.append((trial.minor.name, trial.minor.airflow, without))
    return _table(lines)


def tested(trials: Sequence[Trial], *, layers: Sequence[str]) -> str:
    """
    Return the table of the tests that passed, by version and layer, under the command that ran them.

    :param layers: that ran.
    """
    whole = set(LAYERS) <= set(layers)
    command = "make matrix" if whole else f'make matrix MATRIX_LAYERS="{" ".join(layers)}"'
    head = ("Airflow", "Python", "nothing newer than", *LAYERS, "skipped", "seconds")
    lines = [head, ("---",) * len(head)]
    for trial in trials:
        passed = [f"{trial.counts.get(layer, {}).get('passed', 0):,}" for layer in LAYERS]
        ran = (f"{trial.total('skipped'):,}", f"{trial.seconds:.0f}")
        lines.append((trial.minor.airflow, trial.python, trial.minor.newest, *passed, *ran))
    return f"Tests that passed, by layer, `{command}`:\n\n{_table(lines)}"


def features(trials: Sequence[Trial]) -> str:
    """Return the table of what depends on the version, as each version's own environment tells it."""
    head = ("", *(trial.minor.name for trial in trials), "where it is missing")
    lines = [head, ("---",) * len(head)]
    for number, feature in enumerate(trials[-1].features):
        marks = ["yes" if trial.features[number].here else "no" for trial in trials]
        lines.append((feature.name, *marks, feature.before))
    return _table(lines)


def _table(lines: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(map(markdown, lines))
