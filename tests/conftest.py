"""What all tests share: an Airflow of their own, and its database for those that run whole DAGs.

Airflow reads its configuration when it is first imported, so the settings are made while this file is
read, before any test module is. Nothing of the caller's Airflow configuration reaches the tests, and
nothing that they write outlives them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from demo.database import create_database

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
