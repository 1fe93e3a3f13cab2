"""The DAGs of the page on lineage, whose documents go to an S3 server."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from airflow.sdk import DAG, Asset, AssetAlias
from support.airflow_versions import DagBag, EventsByAsset
from support.object_store import CONN_ID, CREDENTIALS, s3_endpoint
from support.tasks import Attempt, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.operators.openlineage import lineage_of

__all__ = ["s3_endpoint"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lineage.md"


@pytest.fixture
def aws_default(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's bucket, behind the page's connection."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"])
    # Airflow keeps a connection's storage for the life of the process.
    monkeypatch.setattr("airflow.sdk.io.store._STORE_CACHE", {})
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", **CREDENTIALS)
    client.create_bucket(Bucket="reports")


@pytest.fixture
def dags(tmp_path: Path) -> Mapping[str, DAG]:
    """The DAGs of the page's code, as Airflow reads them from a file."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "lineage.py").write_text(code)
    bag = DagBag(dag_folder=str(tmp_path / "lineage.py"))
    assert bag.import_errors == {}
    return bag.dags


@pytest.mark.usefixtures("aws_default")
def test_the_dags_of_the_page_work_and_assets_have_no_connection_in_them(
    server: DevServer, dags: Mapping[str, DAG]
) -> None:
    document = {"kind": "document", "template": "t.html.j2", "format": "html", "file_name": "May.html"}
    server.add_flow(
        name="Flight report", start_from="panel", steps=[document], templates={"t.html.j2": "<p>Fine</p>"}
    )
    attempt = Attempt()
    manifest = run_task(dags["make_report"].get_task("report"), attempt)

    folder = f"reports/flights/{manifest['execution_id']}"
    (event,) = attempt.outlet_events[AssetAlias("flight_documents")].asset_alias_events
    assert event.dest_asset_key.uri == Asset(f"s3://{folder}/May.html").uri == f"s3://{folder}/May.html"
    assert event.extra["uri"] == manifest["documents"][0]["uri"] == f"s3://aws_default@{folder}/May.html"

    extra = attempt.outlet_events[Asset("flight_report")].extra
    sizes = dags["check_report"].get_task("sizes").python_callable
    assert sizes(EventsByAsset(Asset("flight_report"), [SimpleNamespace(extra=extra)])) == {"May.html": 11}

    (output,) = lineage_of(dags["make_report"].get_task("report")).outputs
    assert (output.namespace, output.name) == ("s3://reports", f"flights/{manifest['execution_id']}/May.html")
