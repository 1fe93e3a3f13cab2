"""What a DAG file that uses this package loads each time Airflow parses it, and what that costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from statistics import median

import pytest

from benchmarks.import_times import DAG_ALONE, DAG_FILE, PARTS, Loaded, _loaded, import_times
from benchmarks.work import ROOT

HEAVY = {
    *("aiohttp", "requests", "urllib3", "httpx", "http", "ssl", "asyncio", "concurrent", "multiprocessing"),
    *("lxml", "xmlschema", "elementpath", "xml", "jmespath", "pyarrow", "sqlite3", "csv"),
    *("starlette", "uvicorn", "fpdf", "yaml", "upath", "fsspec", "tenacity", "jinja2"),
    *("sqlalchemy", "pydantic"),
}
"""Libraries, and parts of Python, that only a running task or a trigger needs."""

ROOMS = {
    f"smartflows_provider.{room}"
    for room in (
        *("cli", "devserver", "exceptions", "hooks", "output"),
        *("transport", "triggers", "waiting", "wire"),
    )
}
"""Rooms of this package that a DAG file needs nothing of, but for the words of options that some have."""

WORDS = {
    *("smartflows_provider.payload", "smartflows_provider.payload.options"),
    *("smartflows_provider.wire", "smartflows_provider.wire.workflow_server_terms"),
}

AIRFLOW = ("airflow.sdk", "airflow.providers.common.compat")
"""All of Airflow that may come with this package: its triggers alone take some 20 ms, and its models more."""

PART_OF_THE_BASE = 1 / 40
"""What imports may add at most, as a part of what the base takes in the same process. Where the base takes
1.2 s, this is the goal of 30 ms; a busy machine slows down both."""


def reason(name: str) -> str | None:
    """Say why a module may not be loaded; None for one that may."""
    root = name.partition(".")[0]
    room = ".".join(name.split(".")[:2])
    if root in HEAVY:
        return "is heavy"
    if name not in WORDS and (room in ROOMS or room == "smartflows_provider.payload"):
        return "belongs to a room that only running tasks and triggers need"
    if root == "smartflows_provider":
        return None
    if root == "airflow":
        return None if name.startswith(AIRFLOW) else "is more of Airflow than a DAG file loads anyway"
    return None if root in sys.stdlib_module_names else "is a library that a DAG file does not load anyway"


def not_allowed(loaded: Iterable[Loaded]) -> str:
    """Name the modules that may not be loaded, with what each takes and the sum; empty if there is none."""
    found = [(module, why) for module in loaded if (why := reason(module.name))]
    lines = [f"{module.milliseconds:7.1f} ms  {module.name} {why}" for module, why in found]
    total = sum(module.milliseconds for module, _ in found)
    return "\n".join([*lines, f"{total:7.1f} ms  in all"] if found else [])


TRIGGER = "smartflows_provider.triggers.execution"
"""Loads what no DAG file may."""

IN_A_CHILD_EACH = """
import os, sys
for module in {modules}:
    print("next module", file=sys.stderr, flush=True)
    if not (child := os.fork()):
        __import__(module)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{{module}} cannot be imported")
"""


@cache
def loaded_alone(base: str) -> Mapping[str, list[Loaded]]:
    """Tell what each part, and a trigger, loads in a process of its own that has loaded the base only."""
    modules = [*PARTS, TRIGGER]
    code = base + IN_A_CHILD_EACH.format(modules=modules)
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    told = done.stderr.split("next module\n")[1:]
    return dict(zip(modules, map(_loaded, told), strict=True))


@pytest.mark.parametrize("base", [DAG_FILE, DAG_ALONE], ids=["DAG file", "DAG alone"])
@pytest.mark.parametrize("part", PARTS)
def test_importing_loads_nothing_that_only_running_tasks_need(part: str, base: str) -> None:
    added = loaded_alone(base)[part]
    assert part in {module.name for module in added}
    assert not not_allowed(added), f"importing {part} loads\n{not_allowed(added)}"


@pytest.mark.full
def test_importing_everything_takes_a_small_part_of_what_airflow_takes() -> None:
    runs = [import_times(PARTS, base=DAG_FILE) for _ in range(3)]
    part = median(run.added_milliseconds / run.base_milliseconds for run in runs)
    slowest = sorted(runs[-1].added, key=lambda module: -module.milliseconds)
    assert part < PART_OF_THE_BASE, "\n".join(
        [
            f"importing {', '.join(PARTS)} adds {part:.3f} of what Airflow takes:",
            *(f"{module.milliseconds:7.1f} ms  {module.name}" for module in slowest),
            f"{runs[-1].added_milliseconds:7.1f} ms  in all",
        ]
    )


def test_what_is_not_allowed_is_named_with_what_it_takes() -> None:
    told = not_allowed(loaded_alone(DAG_FILE)[TRIGGER])
    assert "smartflows_provider.waiting.wait belongs to a room" in told
    assert "jmespath is heavy" in told
    assert "airflow.triggers.base is more of Airflow" in told
    assert told.splitlines()[-1].endswith("in all")
    assert "smartflows_provider.lifecycle.options" not in told


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("smartflows_provider.operators.smart_flows", True),
        ("smartflows_provider.payload.options", True),
        ("smartflows_provider.payload.xml_writer", False),
        ("smartflows_provider.wire.workflow_server_terms", True),
        ("smartflows_provider.wire.messages", False),
        ("airflow.sdk.bases.decorator", True),
        ("airflow.models.trigger", False),
        ("contextlib", True),
        ("ssl", False),
        ("pandas", False),
    ],
)
def test_modules_are_told_apart(name: str, allowed: bool) -> None:
    assert (reason(name) is None) is allowed
