"""A whole DAG where Airflow itself keeps large XComs on object storage."""

from __future__ import annotations

import hashlib
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
HERE = Path(__file__).parent
THRESHOLD = 300
"""Bytes: ids and addresses stay in the database, manifests go to the bucket."""

pytestmark = [pytest.mark.dag, pytest.mark.full, pytest.mark.usefixtures("airflow_db")]


def test_manifests_pass_through_airflows_backend_on_object_storage_and_documents_land_on_s3(
    bucket: Bucket, smart_flows_server: Any
) -> None:
    page = {"kind": "document", "template": "page.j2", "format": "html", "file_name": "Letter.html"}
    smart_flows_server.add_flow(
        name="Letter",
        start_from="panel",
        templates={"page.j2": "<h1>Dear Ada</h1>"},
        steps=[{"id": "one", **page}, {"id": "out", "kind": "output", "values": {"total": 7}}],
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "bundle"),
        "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": str(bucket.path / "xcom"),
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": str(THRESHOLD),
        "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": smart_flows_server.connection_json(),
        "AIRFLOW_VAR_REPORTS_PATH": str(bucket.path / "reports"),
    }
    done = subprocess.run(
        [
            sys.executable,
            str(HERE / "run_dag.py"),
            str(HERE / "bundle" / "letter_and_reader.py"),
            "letter_and_reader",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.rpartition("RESULT")[2])
    assert result["state"] == "success", done.stdout[-6000:]

    # The database has the address, the bucket the manifest, and the reading task gets the manifest.
    address = result["returned"]["letter"]
    assert address.startswith(f"s3://aws_loopback@{bucket.name}/xcom/letter_and_reader/")
    kept = [key for key in bucket.stored() if key.startswith("xcom/")]
    assert kept == [address.removeprefix(f"s3://aws_loopback@{bucket.name}/")], (
        "only it is over the threshold"
    )
    manifest = json.loads(bucket.read(kept[0]))
    assert manifest["values"] == {"total": 7}
    (document,) = manifest["documents"]
    assert result["returned"]["read"] == {"total": 7, "size": document["size"]}
    content = bucket.read(document["uri"].removeprefix(f"s3://aws_loopback@{bucket.name}/"))
    assert hashlib.sha256(content).hexdigest() == document["sha256"]
    assert bucket.pending() == []
