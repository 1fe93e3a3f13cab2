"""A whole DAG where Airflow itself keeps large XComs on object storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.object_store import Bucket, bucket, s3_endpoint

__all__ = ["bucket", "s3_endpoint"]

ROOT = Path(__file__).resolve().parents[2]
THRESHOLD = 300
"""Bytes: ids and addresses stay in the database, manifests go to the bucket."""

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]


@pytest.fixture
def smart_flows_directory() -> Path:
    return ROOT / "example_dags" / "flows"


def test_manifests_pass_through_airflows_backend_on_object_storage_and_documents_land_on_s3(
    bucket: Bucket, smart_flows_server: Any, tmp_path: Path
) -> None:
    smart_flows_server.configure(speed=20.0)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": str(bucket.path / "xcom"),
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": str(THRESHOLD),
        "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": smart_flows_server.connection_json(),
        "AIRFLOW_CONN_FLIGHTS_DB": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "flights.db")}),
        "AIRFLOW_VAR_REPORTS_PATH": str(bucket.path / "reports"),
    }
    command = [sys.executable, str(Path(__file__).with_name("run_example.py")), "chained_flows"]
    done = subprocess.run(
        [*command, json.dumps({"month": 1, "letters": 2})],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.rpartition("RESULT")[2])
    assert result["state"] == "success"

    ranking, letter = result["returned"]["rank_carriers"], result["returned"]["write_letter"]
    assert len(json.dumps(ranking)) > THRESHOLD
    assert ranking["values"]["ranking"][0]["Name"]
    (document,) = letter["documents"]
    key = document["uri"].removeprefix(f"s3://aws_loopback@{bucket.name}/")
    stored = bucket.stored()
    assert len(bucket.read(key)) == document["size"]

    kept = {key.split("/")[3] for key in stored if key.startswith("xcom/chained_flows/")}
    assert {"rank_carriers", "write_letter"} <= kept
    assert len([key for key in stored if key.startswith("xcom/")]) < 5, stored
    assert bucket.pending() == []
