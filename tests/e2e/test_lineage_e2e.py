"""Assets and OpenLineage on a real Airflow: events start other DAGs, and the listener writes what it saw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from smartflows_provider.demo.flow_server import FlowServer
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.stack import AirflowStack

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(900)]

DAGS = Path(__file__).with_name("lineage_dags")
FOLLOWERS = ("follows_the_run", "follows_the_document", "follows_the_alias")


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was seen of one run of the DAG that makes documents, and of those that it has started."""

    reports: Path
    manifest: dict[str, Any]
    seen: dict[str, dict[str, list[dict[str, Any]]]]
    """Extras of the triggering events by asset, for each DAG that was started."""
    lineage: list[dict[str, Any]]
    """Events of OpenLineage, in order."""


@contextmanager
def stack(folder: Path) -> Iterator[AirflowStack]:
    with ProcessTree(logs=folder / "components") as processes:
        flows = FlowServer(
            processes, flows=ROOT / "example_dags" / "flows", state=folder / "flow-server" / "state.db"
        )
        airflow = AirflowStack(
            processes,
            dags_folder=DAGS,
            home=folder / "airflow",
            env={
                "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": flows.connection(),
                "AIRFLOW_VAR_REPORTS_PATH": (folder / "reports").as_uri(),
                "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                    {"type": "file", "log_file_path": str(folder / "lineage.jsonl"), "append": True}
                ),
                "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "120",
            },
        )
        flows.start()
        airflow.start()
        airflow.wait_for(flows.is_up, what="the Smart Flows server to answer")
        airflow.wait_until_up()
        for dag_id in ("makes_documents", *FOLLOWERS):
            airflow.wait_for_dag(dag_id)
        yield airflow


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observation:
    folder = tmp_path_factory.mktemp("lineage")
    with stack(folder) as airflow:
        rest = airflow.rest
        run_id = rest.trigger("makes_documents")
        airflow.wait_for(
            lambda: rest.dag_run("makes_documents", run_id)["state"] in DAG_RUN_ENDED,
            what="the documents to be made",
            timeout=600,
        )
        failed = [
            rest.log("makes_documents", run_id, one["task_id"])
            for one in rest.task_instances("makes_documents", run_id)
            if one["state"] == "failed"
        ]
        assert rest.dag_run("makes_documents", run_id)["state"] == "success", "\n".join(failed)
        seen = {}
        for dag_id in FOLLOWERS:
            airflow.wait_for(
                lambda dag_id=dag_id: any(one["state"] in DAG_RUN_ENDED for one in rest.dag_runs(dag_id)),
                what=f"{dag_id} to be started by an asset",
                timeout=600,
            )
            (started,) = rest.dag_runs(dag_id)
            seen[dag_id] = rest.xcom(dag_id, started["dag_run_id"], "read")
        manifest = rest.xcom("makes_documents", run_id, "report")
    lines = (folder / "lineage.jsonl").read_text().splitlines()
    return Observation(
        reports=folder / "reports", manifest=manifest, seen=seen, lineage=[json.loads(one) for one in lines]
    )


def completed(observed: Observation, task_id: str) -> dict[str, Any]:
    """Return the event of a task's success."""
    (event,) = (
        one
        for one in observed.lineage
        if one["job"]["name"] == f"makes_documents.{task_id}" and one["eventType"] == "COMPLETE"
    )
    return event


def test_an_asset_that_stands_for_the_run_starts_a_dag_which_reads_what_was_made(observed: Observation):
    manifest = observed.manifest
    (document,) = manifest["documents"]
    assert observed.seen["follows_the_run"] == {
        "route_report": [
            {
                "execution_id": manifest["execution_id"],
                "flow": manifest["flow"],
                "status": "Success",
                "document_count": 1,
                "documents": [{key: document[key] for key in ("name", "uri", "sha256")}],
                "sha256": document["sha256"],
            }
        ]
    }


def test_a_document_that_was_published_through_an_alias_starts_the_dag_that_is_scheduled_by_its_uri(
    observed: Observation,
):
    path = observed.reports / "documents" / "Route JFK-LAX.pdf"
    ((uri, (extra,)),) = observed.seen["follows_the_document"].items()
    assert uri == extra["uri"] == path.as_uri().replace("%20", " ")
    assert extra["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert extra["document_id"] == observed.manifest["documents"][0]["id"]


def test_a_dag_that_is_scheduled_by_the_alias_is_started_by_the_same_event(observed: Observation):
    assert observed.seen["follows_the_alias"] == observed.seen["follows_the_document"]


def test_openlineage_learns_of_the_file_that_was_read_and_the_document_that_was_written(
    observed: Observation,
):
    event = completed(observed, "report")
    (document,) = observed.manifest["documents"]
    assert [(one["namespace"], one["name"]) for one in event["inputs"]] == [
        ("file", str(DAGS / "carriers.csv"))
    ]
    (output,) = event["outputs"]
    assert (output["namespace"], output["name"]) == ("file", document["uri"].removeprefix("file://"))
    assert output["facets"]["version"]["datasetVersion"] == document["sha256"]
    assert output["outputFacets"]["outputStatistics"]["size"] == document["size"]
    assert event["run"]["facets"]["externalQuery"]["externalQueryId"] == observed.manifest["execution_id"]


def test_openlineage_learns_of_documents_that_are_fetched_by_their_ids(observed: Observation):
    (output,) = completed(observed, "publish")["outputs"]
    assert output["name"] == str(observed.reports / "documents" / "Route JFK-LAX.pdf")
