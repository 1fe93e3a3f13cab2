"""The oldest libraries that the package allows, in an environment of their own: its floors are no guesses.

Airflow is the one that the other tests run with: what it asks for itself is not older for being ours too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from smartflows_provider.demo.database import clean_environment

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).with_name("uv")
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "requests-mock", "hypothesis", "pypdf")
TESTS = (
    "tests/payload/test_payload_xsd.py",
    "tests/payload/test_payload_mapping.py",
    "tests/payload/test_payload_tables.py",
    "tests/transport/test_transport_calls.py",
    "tests/transport/test_transport_async.py",
    "tests/transport/test_transport_repetition.py",
    "tests/output/test_landing.py",
    "tests/output/test_selection.py",
    "tests/devserver/test_devserver_documents.py",
    "tests/devserver/test_devserver_inputs.py",
    "tests/test_get_provider_info.py",
)
"""Those that meet each library, and are quick."""

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

IMPORT_ALL = """
import importlib, pkgutil, smartflows_provider
optional = {"smartflows_provider.operators.openlineage"}
for module in pkgutil.walk_packages(smartflows_provider.__path__, "smartflows_provider."):
    if module.name not in optional and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
"""All but what is imported only beside the provider for OpenLineage."""


def run(command: list[str], *, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment({"AIRFLOW_HOME": str(folder / "airflow")}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True, kw_only=True)
class Lowest:
    """The environment."""

    python: str
    pins: str
    """What it was made from, one release in a line."""
    folder: Path

    def does(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run([self.python, *arguments], folder=self.folder)


@pytest.fixture(scope="module")
def lowest(tmp_path_factory: pytest.TempPathFactory) -> Lowest:
    folder = tmp_path_factory.mktemp("lowest")
    [airflow] = re.findall(r"^apache-airflow==.+$", CONSTRAINTS, re.MULTILINE)
    (folder / "airflow.txt").write_text(airflow)
    pins, python = folder / "pins.txt", str(folder / "venv" / "bin" / "python")
    extras = ["--extra", "demo", "--extra", "parquet"]
    for command in (
        ["venv", "--python", sys.executable, str(folder / "venv")],
        [
            *("pip", "compile", "--resolution", "lowest-direct", "--no-annotate", "--no-header", *extras),
            *("--output-file", str(pins), "pyproject.toml", str(folder / "airflow.txt")),
        ],
        [
            *("pip", "install", "--python", python, "--constraints", str(pins), "--compile-bytecode"),
            *("--editable", ".[demo,parquet]", *TOOLS),
        ],
    ):
        done = run([str(UV), "--quiet", *command], folder=folder)
        assert done.returncode == 0, f"uv {' '.join(command)}\n{done.stderr[-3000:]}"
    return Lowest(python=python, pins=pins.read_text(), folder=folder)


def test_the_floors_are_what_is_tried(lowest: Lowest) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for name in ("xmlschema", "lxml", "aiohttp", "jmespath", "tenacity"):
        [floor] = re.findall(rf'"{name}>=([0-9.]+)"', text)
        [tried] = re.findall(rf"^{name}==([0-9.]+)$", lowest.pins, re.MULTILINE)
        assert tried == floor or tried.startswith(f"{floor}.")


def test_the_floors_fit_together(lowest: Lowest) -> None:
    done = run([str(UV), "pip", "check", "--python", lowest.python], folder=lowest.folder)
    assert done.returncode == 0, done.stderr


def test_every_module_can_be_imported(lowest: Lowest) -> None:
    done = lowest.does("-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_libraries_do_what_the_package_asks_of_them(lowest: Lowest) -> None:
    done = lowest.does("-m", "pytest", "--tb=short", "-m", "not full", *TESTS)
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\d+ passed", done.stdout)
