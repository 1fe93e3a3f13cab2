"""DAGs that tests write themselves and run whole under ``dag.test()``.

Airflow takes a DAG for its own only if its file is in a folder that it looks into.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.airflow_versions import DagBag

READS_ONCE = "_load_bundle_config_snapshot"
"""What keeps the folders for the rest of the process, from Airflow 3.4 on."""


def look_into(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make a folder the only one that Airflow looks into for DAGs."""
    from airflow.dag_processing.bundles import manager

    bundle = {
        "name": "dags",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(folder)},
    }
    patch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    if hasattr(manager, READS_ONCE):
        patch.setattr(manager, READS_ONCE, getattr(manager, READS_ONCE).__wrapped__)


def written_dag(folder: Path, code: str) -> Any:
    """Write a DAG file into the folder and return its only DAG."""
    file = folder / "dags.py"
    file.write_text(code)
    bag = DagBag(dag_folder=str(file))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    return dag
