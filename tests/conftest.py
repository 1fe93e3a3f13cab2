"""What all tests share: an Airflow of their own, and its database for those that run whole DAGs.

Airflow reads its configuration when it is first imported, so the settings are made while this file is
read, before any test module is. Nothing of the caller's Airflow configuration reaches the tests, and
nothing that they write outlives them.
"""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matrix.selection import WHOLE_DAGS
from smartflows_provider.demo.database import create_database

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(tempfile.mkdtemp(prefix="smartflows-tests-"))
DATABASE = HOME / "airflow.db"

for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{DATABASE}",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
)


LONG = (
    "lifecycle/test_poller.py",
    "lifecycle/test_run_life_machine.py",
    "dags/test_example_dags.py",
    "fuzz/test_fuzz_extractor.py",
    "operators/test_run_ambiguous.py",
    "transport/test_transport_hostile.py",
    "fuzz/test_fuzz_builder.py",
    "devserver/test_devserver_process.py",
    "output/test_landing_on_s3.py",
    "test_parse_cost.py",
    "conformance/test_conformance_sensors.py",
    "conformance/test_conformance_trouble.py",
    "docs/test_code_blocks_python.py",
)
"""The files that take longest, the longest first."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where files are spread over processes, keep those that run whole DAGs in one."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "whole DAGs" if nodeid.startswith(WHOLE_DAGS) else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where files are spread over processes, begin with the long ones: none is left over at the end."""
    if hasattr(config, "workerinput"):
        place = {ROOT / "tests" / name: number for number, name in enumerate(LONG)}
        items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among Airflow and thousands of tests: all that is loaded here stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Remove what the tests' Airflow has written."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    """Return the migrated database of the tests' Airflow, made once for the session.

    With it `dag.test()` works in the test's own process for every DAG of `example_dags/`, which is the
    only configured bundle. Connections and variables are given through the environment
    (`AIRFLOW_CONN_…`, `AIRFLOW_VAR_…`). Tests that use it carry the marker `dag`. All of them share the
    database: a run stays in it for the tests that follow.
    """
    create_database(DATABASE)
    return DATABASE


class UnhurriedConnection(sqlite3.Connection):
    """Leaves it to the operating system when to write to the disk: no test cuts the power."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        super().execute("PRAGMA synchronous=OFF")

    def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
        return super().execute(statement.replace("PRAGMA synchronous=NORMAL", "PRAGMA synchronous"), *args)


@pytest.fixture(scope="session", autouse=True)
def quick_triggers() -> Iterator[None]:
    """Resume tasks at once: where no scheduler is, none needs the time to hear of a worker's end."""
    from smartflows_provider.triggers import execution

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "LEAST_LIFE", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_server() -> Iterator[None]:
    """Start the embedded server fast: thousands of tests have one each, with the same flows."""
    from smartflows_provider.devserver import server, store

    read = server.load_flows
    bundled = cache(lambda: tuple(read(server.bundled_folder())))

    def load_flows(folder: Path) -> list[Any]:
        return list(bundled()) if folder == server.bundled_folder() else read(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "load_flows", load_flows)
        connect = partial(sqlite3.connect, factory=UnhurriedConnection)
        patch.setattr(store, "sqlite3", SimpleNamespace(connect=connect))
        yield
