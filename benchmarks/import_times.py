"""What imports cost, as Python's own `-X importtime` tells it.

Why this module exists: the benchmark of DAG parsing and the test that guards it measure the same thing. The
times of single modules, without those that they import in turn, are added up: that is the work that an import
adds, and varies less than the time on the clock.

Invariants: each measurement is a process of its own; modules are compiled; what the base has loaded already
costs nothing, as in a DAG file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.work import ROOT

DAG_FILE = "from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task"
"""What a DAG file loads that has operators, sensors and decorated tasks of any provider. The names are said
one by one because `airflow.sdk` loads nothing until it is asked for a name."""

DAG_ALONE = "from airflow.sdk import DAG"
"""The least that a DAG file loads."""

PARTS = (
    "smartflows_provider.operators.smart_flows",
    "smartflows_provider.operators.ocp",
    "smartflows_provider.operators.phixflow",
    "smartflows_provider.operators.workflow_server",
    "smartflows_provider.sensors.smart_flows",
    "smartflows_provider.sensors.ocp",
    "smartflows_provider.sensors.workflow_server",
    "smartflows_provider.decorators.smart_flows",
    "smartflows_provider.notifications.smart_flows",
)
"""What a DAG author imports."""

_MARK = "the base is loaded"
_LINE = re.compile(r"import time:\s+(?P<own>\d+) \|\s+\d+ \| +(?P<name>\S+)")


@dataclass(frozen=True)
class Loaded:
    """A module that was imported."""

    name: str
    milliseconds: float
    """Without the modules that it imported in turn."""


@dataclass(frozen=True, kw_only=True)
class ImportTimes:
    """What a process has imported, in the order in which the imports ended."""

    base: Sequence[Loaded]
    """By the base, the interpreter's own start included."""
    added: Sequence[Loaded]
    """By what came after the base."""

    @property
    def base_milliseconds(self) -> float:
        """What the base took."""
        return sum(module.milliseconds for module in self.base)

    @property
    def added_milliseconds(self) -> float:
        """What was added to it."""
        return sum(module.milliseconds for module in self.added)


def import_times(modules: Sequence[str], *, base: str) -> ImportTimes:
    """
    Import modules after a base in a new process, and tell what that took.

    :param modules: names of the modules.
    :param base: statements that come first.
    :raises CalledProcessError: if something cannot be imported; the reason is in its ``stderr``.
    """
    code = f"{base}\nimport sys\nprint({_MARK!r}, file=sys.stderr, flush=True)\nimport {', '.join(modules)}"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        capture_output=True,
        text=True,
        check=True,
    )
    before, _, after = done.stderr.partition(f"{_MARK}\n")
    return ImportTimes(base=_loaded(before), added=_loaded(after))


def _loaded(told: str) -> list[Loaded]:
    return [
        Loaded(found["name"], int(found["own"]) / 1000)
        for line in told.splitlines()
        if (found := _LINE.match(line))
    ]
