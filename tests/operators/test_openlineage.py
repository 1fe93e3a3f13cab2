"""What OpenLineage learns of a task, through the provider's own extractor manager."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.providers.openlineage.sqlparser import DatabaseInfo
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from airflow.sdk import DAG, ObjectStoragePath
from airflow.utils.state import TaskInstanceState
from openlineage.client.event_v2 import RunEvent
from openlineage.client.serde import Serde
from structlog.testing import capture_logs
from support.tasks import MODES, Attempt, Mode, first_event, revive, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowExecutionFailedError
from smartflows_provider.operators import openlineage
from smartflows_provider.operators.smart_flows import (
    SmartFlowsDownloadDocumentsOperator,
    SmartFlowsGetOutputOperator,
    SmartFlowsRunFlowOperator,
)

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Letters"><xs:complexType>
<xs:sequence><xs:element name="Letter" maxOccurs="unbounded"><xs:complexType><xs:sequence>
<xs:element name="Name" type="xs:string"/></xs:sequence></xs:complexType></xs:element></xs:sequence>
</xs:complexType></xs:element></xs:schema>"""
XML = "<Letters><Letter><Name>Ada</Name></Letter></Letters>"
QUERY = "SELECT name AS Name FROM people WHERE name <> 'Secret'"
CONTENT = b"<p>Dear reader</p>"


@pytest.fixture
def flow(server: DevServer) -> Any:
    letter = {"kind": "document", "template": "t.html.j2", "format": "html", "file_name": "letter.html"}
    work = {"kind": "work", "message": "Writing", "duration": 0.2}
    values = {"kind": "output", "values": {"text": "x" * 2_000}}
    return server.add_flow(
        name="Letters",
        start_from="program",
        xsd=XSD,
        steps=[letter, work, values],
        templates={"t.html.j2": CONTENT.decode()},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a DAG file, with input files beside it."""
    (tmp_path / "letters.xsd").write_text(XSD)
    (tmp_path / "letters.xml").write_text(XML)
    (tmp_path / "letters.csv").write_text("Name\nAda\n")
    (tmp_path / "letters.jsonl").write_text(json.dumps({"Name": "Ada"}))
    return tmp_path


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database whose hook says where it is, as those of warehouses do."""
    database = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE people (name TEXT)")
        connection.execute("INSERT INTO people VALUES ('Ada')")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))

    def info(self: Any, connection: Any) -> DatabaseInfo:
        return DatabaseInfo(scheme="sqlite", authority="warehouse.example")

    monkeypatch.setattr(SqliteHook, "get_openlineage_database_info", info)
    monkeypatch.setattr(SqliteHook, "get_openlineage_default_schema", lambda self: "main")


def run_operator(folder: Path, mode: Mode = "sync", **arguments: Any) -> SmartFlowsRunFlowOperator:
    with DAG("d", schedule=None) as dag:
        operator = SmartFlowsRunFlowOperator(
            task_id="task",
            **{"flow": "Letters", "deferrable": mode == "deferrable", "poll_interval": 0.1, **arguments},
        )
    dag.fileloc = str(folder / "dag.py")
    return operator


def extracted(operator: Any, state: TaskInstanceState = TaskInstanceState.SUCCESS) -> OperatorLineage:
    """Return what the listener of the provider would make an event of."""
    found = ExtractorManager().extract_metadata(
        dagrun=SimpleNamespace(run_id="run"), task=operator, task_instance_state=state, task_instance=None
    )
    assert isinstance(found, OperatorLineage)
    return found


def names(datasets: Any) -> list[tuple[str, str]]:
    return [(one.namespace, one.name) for one in datasets]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "arguments",
    [
        {"rows": "letters.csv", "row": "Letter", "root": "Letters"},
        {"rows": Path("letters.jsonl"), "row": "Letter", "root": "Letters"},
        {"xml": "letters.xml"},
    ],
    ids=["csv", "json lines", "xml"],
)
def test_files_are_inputs_and_landed_documents_outputs(
    flow: Any, folder: Path, mode: Mode, arguments: dict[str, Any]
) -> None:
    if "xml" in arguments:
        arguments = {"xml": folder / arguments["xml"]}
    operator = run_operator(folder, mode, **arguments, xsd="letters.xsd", documents_path=str(folder / "out"))
    manifest = run_task(operator, Attempt())
    lineage = extracted(operator)
    given = folder / (arguments.get("rows") or arguments["xml"])
    assert names(lineage.inputs) == [("file", str(given)), ("file", f"{folder}/letters.xsd")]
    execution_id = manifest["execution_id"]
    (output,) = lineage.outputs
    assert names([output]) == [("file", f"{folder}/out/{execution_id}/letter.html")]
    assert output.facets["version"].datasetVersion == hashlib.sha256(CONTENT).hexdigest()
    assert output.outputFacets["outputStatistics"].size == len(CONTENT)
    assert output.outputFacets["outputStatistics"].fileCount == 1


def test_a_resumed_task_knows_its_lineage_in_a_process_that_has_not_read_the_input(
    flow: Any, folder: Path
) -> None:
    arguments = {"rows": "letters.csv", "row": "Letter", "xsd": "letters.xsd", "documents_path": str(folder)}
    attempt = Attempt()
    with pytest.raises(TaskDeferred) as deferred:
        run_operator(folder, "deferrable", **arguments).execute(attempt.context())
    (folder / "letters.csv").unlink()
    resumed = run_operator(folder, "deferrable", **arguments)
    manifest = resumed.execute_complete(attempt.context(), first_event(revive(deferred.value.trigger)))
    lineage = extracted(resumed)
    assert names(lineage.inputs)[0] == ("file", f"{folder}/letters.csv")
    assert names(lineage.outputs) == [("file", f"{folder}/{manifest['execution_id']}/letter.html")]


def test_the_run_is_named_with_the_service(flow: Any, folder: Path, server: DevServer) -> None:
    operator = run_operator(folder, xml=XML)
    manifest = run_task(operator, Attempt())
    lineage = extracted(operator)
    facet = lineage.run_facets["externalQuery"]
    assert (facet.externalQueryId, facet.source) == (manifest["execution_id"], server.url)
    assert (lineage.inputs, lineage.outputs) == ([], [])


def test_values_that_were_too_large_for_xcom_are_an_output(flow: Any, folder: Path) -> None:
    operator = run_operator(folder, xml=XML, documents_path=str(folder / "out"), max_xcom_bytes=2_000)
    manifest = run_task(operator, Attempt())
    file = manifest["values_file"]
    output = extracted(operator).outputs[1]
    assert names([output]) == [("file", file["uri"].removeprefix("file://"))]
    assert output.facets["version"].datasetVersion == file["sha256"]


def test_rows_in_the_dag_and_rows_of_a_function_are_no_datasets(flow: Any, folder: Path) -> None:
    rows = [{"Name": "Ada"}]
    for given in (rows, lambda context: rows, json.dumps(rows)):
        operator = run_operator(folder, rows=given, row="Letter", root="Letters")
        run_task(operator, Attempt())
        assert extracted(operator).inputs == []


def test_an_object_on_any_storage_is_named_without_its_connection(folder: Path) -> None:
    path = ObjectStoragePath("s3://some_connection@lake/people/2013.csv")
    for given in (path, str(path)):
        operator = run_operator(folder, rows=given, row="Letter", root="Letters")
        assert names(extracted(operator).inputs) == [("s3://lake", "people/2013.csv")]


def test_a_relative_path_is_named_as_it_is_read(
    flow: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / "letters.xml").rename(elsewhere / "letters.xml")
    monkeypatch.chdir(elsewhere)
    operator = run_operator(folder, xml=Path("letters.xml"), xsd="letters.xsd")
    run_task(operator, Attempt())
    assert names(extracted(operator).inputs) == [
        ("file", f"{elsewhere}/letters.xml"),
        ("file", f"{folder}/letters.xsd"),
    ]


@pytest.mark.usefixtures("warehouse")
@pytest.mark.parametrize("mode", MODES)
def test_tables_of_the_query_are_inputs_and_the_query_is_told(flow: Any, folder: Path, mode: Mode) -> None:
    operator = run_operator(folder, mode, sql=QUERY, sql_conn_id="warehouse", row="Letter", xsd="letters.xsd")
    run_task(operator, Attempt())
    lineage = extracted(operator)
    assert names(lineage.inputs) == [
        ("file", f"{folder}/letters.xsd"),
        ("sqlite://warehouse.example", "main.people"),
    ]
    assert lineage.job_facets["sql"].query == QUERY


@pytest.mark.usefixtures("warehouse")
def test_with_hide_payload_the_tables_are_told_and_the_query_is_not(flow: Any, folder: Path) -> None:
    operator = run_operator(
        folder, sql=QUERY, sql_conn_id="warehouse", row="Letter", root="Letters", hide_payload=True
    )
    operator.render_template_fields({})
    assert QUERY not in str(vars(operator)["sql"])
    run_task(operator, Attempt())
    lineage = extracted(operator)
    assert names(lineage.inputs) == [("sqlite://warehouse.example", "main.people")]
    assert lineage.job_facets == {}
    assert "Secret" not in str(lineage)


@pytest.mark.usefixtures("warehouse")
@pytest.mark.parametrize("problem", ["silent", "failing", "missing"])
def test_a_hook_that_says_nothing_of_its_database_costs_only_the_tables(
    flow: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    operator = run_operator(
        folder,
        sql=QUERY,
        sql_conn_id="warehouse",
        row="Letter",
        root="Letters",
        documents_path=str(folder / "out"),
    )
    run_task(operator, Attempt())

    def fail(self: Any, connection: Any) -> None:
        raise RuntimeError("no database info today")

    if problem == "silent":
        monkeypatch.setattr(SqliteHook, "get_openlineage_database_info", lambda self, connection: None)
    elif problem == "failing":
        monkeypatch.setattr(SqliteHook, "get_openlineage_database_info", fail)
    else:
        monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE")
    with capture_logs() as logs:
        lineage = extracted(operator)
    assert lineage.inputs == []
    assert len(lineage.outputs) == 1
    assert ("OpenLineage does not learn of the tables of sql" in str(logs)) == (problem != "silent")


@pytest.mark.usefixtures("warehouse")
@pytest.mark.parametrize("hidden", [True, False])
def test_a_parser_that_quotes_the_query_is_not_quoted_with_hide_payload(
    flow: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    def fail(*, sql: str, **_: Any) -> None:
        raise ValueError(f"cannot parse {sql}")

    monkeypatch.setattr(openlineage, "get_openlineage_facets_with_sql", fail)
    operator = run_operator(
        folder, sql=QUERY, sql_conn_id="warehouse", row="Letter", root="Letters", hide_payload=hidden
    )
    operator.render_template_fields({})
    with capture_logs() as logs:
        extracted(operator)
    assert ("Secret" in str(logs)) != hidden
    assert "OpenLineage does not learn of the tables of sql" in str(logs)


def test_a_failed_run_has_inputs_and_no_outputs(server: DevServer, folder: Path) -> None:
    server.add_flow(
        name="Letters", start_from="program", xsd=XSD, steps=[{"kind": "fail", "message": "No paper"}]
    )
    operator = run_operator(folder, rows="letters.csv", row="Letter", root="Letters")
    with pytest.raises(FlowExecutionFailedError):
        run_task(operator, Attempt())
    lineage = extracted(operator, TaskInstanceState.FAILED)
    assert names(lineage.inputs) == [("file", f"{folder}/letters.csv")]
    assert (lineage.outputs, lineage.run_facets) == ([], {})


def test_output_and_documents_that_are_fetched_later_are_outputs(flow: Any, folder: Path) -> None:
    execution_id = run_task(run_operator(folder, xml=XML), Attempt())["execution_id"]
    path = str(folder / "out")
    for operator in (
        SmartFlowsGetOutputOperator(task_id="task", execution_id=execution_id, documents_path=path),
        SmartFlowsDownloadDocumentsOperator(task_id="task", execution_id=execution_id, documents_path=path),
    ):
        run_task(operator, Attempt())
        lineage = extracted(operator)
        assert names(lineage.outputs) == [("file", f"{path}/{execution_id}/letter.html")]
        assert lineage.run_facets["externalQuery"].externalQueryId == execution_id


def test_of_very_many_documents_the_folder_is_told(
    flow: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openlineage, "MAX_DATASETS", 0)
    operator = run_operator(folder, xml=XML, documents_path=str(folder / "out"))
    execution_id = run_task(operator, Attempt())["execution_id"]
    (output,) = extracted(operator).outputs
    assert names([output]) == [("file", f"{folder}/out/{execution_id}")]
    assert output.outputFacets["outputStatistics"].fileCount == 1


def test_the_lineage_can_be_written_as_an_event(flow: Any, folder: Path) -> None:
    operator = run_operator(
        folder, rows="letters.csv", row="Letter", root="Letters", documents_path=str(folder / "out")
    )
    run_task(operator, Attempt())
    lineage = extracted(operator)
    event = RunEvent(
        eventTime="2026-01-01T00:00:00Z", run=None, job=None, inputs=lineage.inputs, outputs=lineage.outputs
    )
    written = json.loads(Serde.to_json(event))
    assert written["inputs"][0]["name"] == f"{folder}/letters.csv"
    assert written["outputs"][0]["facets"]["version"]["_producer"]


def test_without_the_provider_nothing_happens(
    flow: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "smartflows_provider.operators.openlineage", raising=False)
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", None)
    operator = run_operator(folder, xml=XML)
    run_task(operator, Attempt())
    assert operator.get_openlineage_facets_on_complete(None) is None
