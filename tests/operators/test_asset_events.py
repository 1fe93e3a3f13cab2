"""What the events of a task's outlets carry, for each operator that lands documents."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias, ObjectStoragePath
from structlog.testing import capture_logs
from support.tasks import MODES, Attempt, Mode, run_task

from smartflows_provider.decorators.smart_flows import SmartFlowDecoratedOperator
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowDocumentError, FlowExecutionFailedError
from smartflows_provider.operators.openlineage import lineage_of
from smartflows_provider.operators.smart_flows import (
    SmartFlowsDownloadDocumentsOperator,
    SmartFlowsGetOutputOperator,
    SmartFlowsRunFlowOperator,
)

LETTERS = AssetAlias("letters")
FOLDER = Asset("all-letters")
LETTER = {"kind": "document", "template": "t.html.j2", "format": "html"}


@pytest.fixture
def flow(server: DevServer) -> Any:
    return server.add_flow(
        name="Letters",
        start_from="panel",
        steps=[{"id": f"l{n}", "file_name": f"letter {n}.html", **LETTER} for n in (1, 2)],
        templates={"t.html.j2": "<p>Dear reader</p>"},
    )


def run_operator(mode: Mode, documents: Path | None, **arguments: Any) -> SmartFlowsRunFlowOperator:
    return SmartFlowsRunFlowOperator(
        task_id="task",
        **{"flow": "Letters", "deferrable": mode == "deferrable", "poll_interval": 0.1, **arguments},
        documents_path=str(documents) if documents else None,
    )


def alias_events(attempt: Attempt) -> dict[str, dict[str, Any]]:
    """Return the extras of an alias's events by the assets' names and URIs, which are equal."""
    events = attempt.outlet_events[LETTERS].asset_alias_events
    assert all(event.dest_asset_key.name == event.dest_asset_key.uri for event in events)
    return {event.dest_asset_key.uri: event.extra for event in events}


@pytest.mark.parametrize("mode", MODES)
def test_an_alias_gets_each_landed_document_as_an_asset_with_an_extra_of_its_own(
    flow: Any, mode: Mode, tmp_path: Path
) -> None:
    attempt = Attempt()
    manifest = run_task(run_operator(mode, tmp_path, outlets=[LETTERS]), attempt)
    folder = f"file://{tmp_path}/{manifest['execution_id']}"
    assert alias_events(attempt) == {
        f"{folder}/letter {n}.html": {
            "execution_id": manifest["execution_id"],
            "flow": {"id": flow.id, "name": "Letters"},
            "document_id": document["id"],
            "name": f"letter {n}.html",
            "uri": f"{folder}/letter {n}.html",
            "sha256": hashlib.sha256(b"<p>Dear reader</p>").hexdigest(),
            "size": 18,
            "content_type": "text/html;charset=UTF-8",
        }
        for n, document in zip((1, 2), manifest["documents"], strict=True)
    }


@pytest.mark.parametrize("mode", MODES)
def test_documents_that_are_too_many_for_the_manifest_have_their_events(
    flow: Any, mode: Mode, tmp_path: Path
) -> None:
    attempt = Attempt()
    operator = run_operator(mode, tmp_path, outlets=[LETTERS, FOLDER], max_xcom_bytes=900)
    manifest = run_task(operator, attempt)
    assert manifest["documents"] is None
    listed = json.loads(ObjectStoragePath(manifest["documents_file"]["uri"]).read_bytes())
    assert [extra["uri"] for extra in alias_events(attempt).values()] == [one["uri"] for one in listed]
    assert attempt.outlet_events[FOLDER].extra["document_count"] == len(listed) == 2
    assert [output.name for output in lineage_of(operator).outputs] == [
        one["uri"].removeprefix("file://") for one in (*listed, manifest["documents_file"])
    ]


@pytest.mark.parametrize("mode", MODES)
def test_a_function_that_gives_the_input_has_the_same_events(flow: Any, mode: Mode, tmp_path: Path) -> None:
    operator = SmartFlowDecoratedOperator(
        task_id="task",
        python_callable=lambda: None,
        op_args=[],
        op_kwargs={},
        flow="Letters",
        deferrable=mode == "deferrable",
        documents_path=str(tmp_path),
        outlets=[LETTERS],
    )
    attempt = Attempt()
    manifest = run_task(operator, attempt)
    assert [extra["uri"] for extra in alias_events(attempt).values()] == [
        document["uri"] for document in manifest["documents"]
    ]
    assert len(lineage_of(operator).outputs) == 2


@pytest.mark.parametrize("mode", MODES)
def test_an_asset_that_is_no_document_gets_what_is_known_of_the_run(
    flow: Any, mode: Mode, tmp_path: Path
) -> None:
    attempt = Attempt()
    attempt.outlet_events[FOLDER].extra = {"month": 2}
    manifest = run_task(run_operator(mode, tmp_path, outlets=[FOLDER, "no asset"]), attempt)
    assert attempt.outlet_events[FOLDER].extra == {
        "month": 2,
        "execution_id": manifest["execution_id"],
        "flow": {"id": flow.id, "name": "Letters"},
        "status": "Success",
        "document_count": 2,
        "documents": [
            {key: document[key] for key in ("name", "uri", "sha256")} for document in manifest["documents"]
        ],
    }
    assert len(attempt.outlet_events) == 1


def test_documents_that_are_not_landed_are_no_assets(flow: Any) -> None:
    attempt = Attempt()
    run_task(run_operator("sync", None, outlets=[LETTERS, FOLDER]), attempt)
    assert alias_events(attempt) == {}
    assert attempt.outlet_events[FOLDER].extra["documents"] == []


def test_a_run_that_nobody_waits_for_is_named_in_the_event(flow: Any, tmp_path: Path) -> None:
    attempt = Attempt()
    manifest = run_task(run_operator("sync", tmp_path, outlets=[FOLDER], wait_for_completion=False), attempt)
    extra = attempt.outlet_events[FOLDER].extra
    assert (extra["execution_id"], extra["status"]) == (manifest["execution_id"], manifest["status"])
    assert extra["documents"] == []


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_run_describes_no_event(server: DevServer, mode: Mode, tmp_path: Path) -> None:
    server.add_flow(name="Letters", start_from="panel", steps=[{"kind": "fail", "message": "No paper"}])
    attempt = Attempt()
    with pytest.raises(FlowExecutionFailedError):
        run_task(run_operator(mode, tmp_path, outlets=[LETTERS, FOLDER]), attempt)
    assert len(attempt.outlet_events) == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_retry_that_attaches_describes_the_event_of_the_run_that_an_earlier_attempt_has_started(
    flow: Any, server: DevServer, mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Attempt(max_tries=1)
    with monkeypatch.context() as patched:

        def fail(*_: Any, **__: Any) -> Any:
            raise FlowDocumentError("The storage is down.")

        patched.setattr("smartflows_provider.operators.remote_run.take_output", fail)
        with pytest.raises(FlowDocumentError):
            run_task(run_operator(mode, tmp_path, outlets=[LETTERS]), first)
    assert len(first.outlet_events) == 0
    again = Attempt(store=first.store, max_tries=1, try_number=2)
    manifest = run_task(run_operator(mode, tmp_path, outlets=[LETTERS]), again)
    (execution,) = server.executions()
    assert {one["execution_id"] for one in alias_events(again).values()} == {execution["id"]}
    assert len(alias_events(again)) == len(manifest["documents"]) == 2


def finished(flow: Any, tmp_path: Path) -> str:
    return str(run_task(run_operator("sync", None), Attempt())["execution_id"])


def test_an_output_that_is_taken_later_describes_events_as_the_run_does(flow: Any, tmp_path: Path) -> None:
    execution_id = finished(flow, tmp_path)
    attempt = Attempt()
    operator = SmartFlowsGetOutputOperator(
        task_id="task", execution_id=execution_id, documents_path=str(tmp_path), outlets=[LETTERS, FOLDER]
    )
    run_task(operator, attempt)
    assert len(alias_events(attempt)) == 2
    assert attempt.outlet_events[FOLDER].extra["execution_id"] == execution_id


def test_downloaded_documents_are_assets_with_their_run(flow: Any, tmp_path: Path) -> None:
    execution_id = finished(flow, tmp_path)
    attempt = Attempt()
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="task", execution_id=execution_id, documents_path=str(tmp_path), outlets=[LETTERS, FOLDER]
    )
    entries = run_task(operator, attempt)
    assert [extra["uri"] for extra in alias_events(attempt).values()] == [one["uri"] for one in entries]
    extra = attempt.outlet_events[FOLDER].extra
    assert (extra["execution_id"], extra["status"]) == (execution_id, "Success")
    assert extra["flow"] == {"id": flow.id, "name": "Letters"}


def test_documents_that_are_downloaded_by_their_ids_belong_to_no_run_that_is_known(
    flow: Any, tmp_path: Path
) -> None:
    document_id = run_task(run_operator("sync", None), Attempt())["documents"][0]["id"]
    uri = f"file://{tmp_path}/documents/letter 1.html"
    attempt = Attempt()
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="task", document_ids=[document_id], documents_path=str(tmp_path), outlets=[Asset(uri)]
    )
    run_task(operator, attempt)
    extra = attempt.outlet_events[Asset(uri)].extra
    assert (extra["document_id"], extra["execution_id"], extra["flow"]) == (document_id, None, None)
    assert extra["sha256"] == hashlib.sha256(b"<p>Dear reader</p>").hexdigest()


def test_an_asset_that_is_a_document_gets_what_is_known_of_it_whatever_the_connection(
    flow: Any, tmp_path: Path
) -> None:
    document_id = run_task(run_operator("sync", None), Attempt())["documents"][0]["id"]
    outlet = Asset(f"file://some_connection@{tmp_path}/documents/letter 1.html")
    attempt = Attempt()
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="task", document_ids=document_id, documents_path=str(tmp_path), outlets=[outlet]
    )
    run_task(operator, attempt)
    assert attempt.outlet_events[outlet].extra["name"] == "letter 1.html"


def test_a_document_that_cannot_be_an_asset_is_said_and_costs_no_other_its_event(
    server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [{"id": name, "file_name": f"{name}.html", **LETTER} for name in ("größe", "plain")]
    server.add_flow(name="Letters", start_from="panel", steps=steps, templates={"t.html.j2": "<p/>"})
    monkeypatch.setattr("airflow.sdk.definitions.asset.SQL_ALCHEMY_CONN", "mysql://airflow")
    operator, attempt = run_operator("sync", tmp_path, outlets=[LETTERS, FOLDER]), Attempt()
    with capture_logs() as logs:
        run_task(operator, attempt)
    assert [extra["name"] for extra in alias_events(attempt).values()] == ["plain.html"]
    assert attempt.outlet_events[FOLDER].extra["document_count"] == 2
    assert "must only consist of ASCII characters" in str(logs)
