"""One version's tests: run in its environment, counted by layer, every skip with its reason.

Invariant: a version has passed only if tests ran, none failed, and its environment could tell what it is.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET

from matrix.environment import ROOT
from matrix.minors import Minor
from matrix.selection import layer_of
from smartflows_provider.demo.database import clean_environment

Outcome = Literal["passed", "failed", "skipped"]
_ASK = """
import json, platform
from smartflows_provider.version_compat import AIRFLOW_VERSION, FEATURES
features = [{"name": one.name, "before": one.before, "here": one.available} for one in FEATURES]
told = {"airflow": AIRFLOW_VERSION, "python": platform.python_version(), "features": features}
print("\\n" + json.dumps(told))
"""
"""Asks an environment what it is."""


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether an Airflow has what a feature of the package needs."""

    name: str
    before: str
    """What happens where it has not."""
    here: bool


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of one version."""

    minor: Minor
    python: str = ""
    features: tuple[Availability, ...] = ()
    counts: Mapping[str, Mapping[Outcome, int]] = field(default_factory=dict)
    """By layer."""
    failures: tuple[str, ...] = ()
    """Names of the tests that failed."""
    skips: Mapping[str, int] = field(default_factory=dict)
    """How many tests were skipped, by the reason."""
    seconds: float = 0.0
    problem: str = ""
    """What else went wrong: the installation, or the collection of the tests."""

    @property
    def passed(self) -> bool:
        """Whether all was well."""
        return not self.problem and not self.failures and self.total("passed") > 0

    def total(self, outcome: Outcome) -> int:
        """Return how many tests ended so, over all layers."""
        return sum(counts.get(outcome, 0) for counts in self.counts.values())


def run(minor: Minor, *, python: Path, files: Sequence[str], folder: Path, processes: int) -> Trial:
    """
    Run tests on a version.

    :param minor: the version.
    :param python: the interpreter of its environment.
    :param files: of the tests.
    :param folder: receives the log and the report; made if it does not exist.
    :param processes: how many run tests side by side.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log, report = folder / f"{minor.name}.log", folder / f"{minor.name}.xml"
    report.unlink(missing_ok=True)
    began = time.monotonic()
    command = [str(python), "-m", "pytest", *files, "-m", "not full", "-rs", "--tb=short"]
    command += ["--numprocesses", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]
    command += [f"--junit-xml={report}", "-o", "junit_family=xunit1"]
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            command, cwd=ROOT, env=clean_environment({}), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    problem = ""
    if done.returncode not in {0, 1} or not report.exists():
        problem = f"pytest ended with exit code {done.returncode}, see {log}"
    told = _told(python)
    if told["airflow"] != minor.airflow:
        problem = f"the environment has Airflow {told['airflow']}; remove {python.parent.parent}"
    return read_report(
        report.read_text(encoding="utf-8") if report.exists() else "<testsuites/>",
        minor=minor,
        python=told["python"],
        features=tuple(Availability(**one) for one in told["features"]),
        seconds=time.monotonic() - began,
        problem=problem,
    )


def read_report(
    text: str,
    *,
    minor: Minor,
    python: str,
    features: tuple[Availability, ...],
    seconds: float,
    problem: str = "",
) -> Trial:
    """
    Return what pytest's report in JUnit's XML says of a version.

    :param text: the report; of the family `xunit1`, which names each test's file.
    """
    counts: dict[str, Counter[Outcome]] = {}
    failures: list[str] = []
    skips: Counter[str] = Counter()
    for case in ET.fromstring(text).iter("testcase"):  # noqa: S314 - pytest has just written it
        file = case.get("file", "")
        outcome: Outcome = "passed"
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
            failures.append(f"{file}::{case.get('name')}")
        elif (skipped := case.find("skipped")) is not None:
            outcome = "skipped"
            skips[skipped.get("message", "").removeprefix("Skipped: ")] += 1
        counts.setdefault(layer_of(file) or "", Counter())[outcome] += 1
    return Trial(
        minor=minor,
        python=python,
        features=features,
        counts=counts,
        failures=tuple(failures),
        skips=skips,
        seconds=seconds,
        problem=problem,
    )


def _told(python: Path) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), "-c", _ASK], cwd=ROOT, env=clean_environment({}), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told
