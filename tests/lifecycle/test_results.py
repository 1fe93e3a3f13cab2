"""From a finished execution to manifest and documents; what cannot be had is an error that names the run."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from support.service import CONN_VARIABLE, LONG, panel_flow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowNotFoundError,
    FlowOutputError,
    FlowServiceError,
    FlowStateUnknownError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.results import (
    TRANSFER_ATTEMPTS,
    ResultOptions,
    check_outputs,
    documents_of,
    land_documents,
    take_output,
)
from smartflows_provider.output.manifest import Manifest

log = logging.getLogger("tests.results")
PAGE = {"kind": "document", "template": "page.j2", "format": "html", "file_name": "Letter.html"}


@pytest.fixture
def finished(server: DevServer, hook: SmartFlowsHook) -> str:
    flow = server.add_flow(
        name="Letter",
        start_from="panel",
        templates={"page.j2": "<h1>Dear Ada</h1>"},
        steps=[
            {"id": "one", **PAGE},
            {"id": "two", **PAGE},
            {"id": "out", "kind": "output", "values": {"total": 7, "name": "Ada"}},
        ],
    )
    return hook.start(flow.id).execution_id


def take(hook: SmartFlowsHook, execution_id: str, **options: Any) -> Manifest:
    return take_output(
        hook,
        execution_id,
        options=ResultOptions(**{"max_xcom_bytes": 10_000, **options}),
        on_warning="succeed",
        where=hook.identity(flow="Letter", execution_id=execution_id, url="https://x.example/client"),
        log=log,
    ).manifest


def content(hook: SmartFlowsHook, document_id: str) -> bytes:
    with hook.download_document(document_id) as stream:
        return b"".join(stream.chunks)


def test_documents_of_one_name_are_landed_side_by_side_with_true_hashes(
    hook: SmartFlowsHook, finished: str, tmp_path: Path
) -> None:
    manifest = take(hook, finished, documents_path=ObjectStoragePath(f"file://{tmp_path}"))
    assert [Path(entry["uri"]).name for entry in manifest["documents"]] == ["Letter.html", "Letter_2.html"]
    for entry in manifest["documents"]:
        landed = ObjectStoragePath(entry["uri"]).read_bytes()
        assert landed == content(hook, entry["id"])
        assert entry["sha256"] == hashlib.sha256(landed).hexdigest()
        assert (entry["size"], entry["content_type"]) == (len(landed), "text/html;charset=UTF-8")
    assert manifest["url"] == "https://x.example/client"


def test_without_a_path_documents_are_listed_and_not_fetched(
    server: DevServer, hook: SmartFlowsHook, finished: str
) -> None:
    manifest = take(hook, finished)
    assert [(entry["name"], entry["uri"]) for entry in manifest["documents"]] == [("Letter.html", None)] * 2
    assert not [request for request in server.requests if "/documents/" in request.path]


def test_an_execution_that_is_not_finished_is_no_output(server: DevServer, hook: SmartFlowsHook) -> None:
    running = hook.start(panel_flow(server, LONG, name="Slow").id).execution_id
    with pytest.raises(FlowStateUnknownError, match="its status is Running"):
        take(hook, running)


def test_expressions_that_cannot_be_read_are_refused_before_anything_is_started(
    hook: SmartFlowsHook,
) -> None:
    where = hook.identity(flow="Letter")
    check_outputs(None, where=where)
    check_outputs({"total": "total"}, where=where)
    with pytest.raises(FlowOutputError, match="'bad'") as refused:
        check_outputs({"bad": "a[", "good": "a"}, where=where, fate="Nothing was started.")
    assert str(refused.value).endswith("Nothing was started.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": {"x": "missing"}}, "'x'"),
        ({"max_xcom_bytes": 100}, "Set documents_path"),
        ({"max_document_bytes": 5, "documents_path": "set"}, r"Letter(_2)?\.html"),
    ],
)
def test_an_output_that_cannot_be_had_as_asked_for_fails_for_good(
    hook: SmartFlowsHook, finished: str, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    if "documents_path" in options:
        options = {**options, "documents_path": ObjectStoragePath(f"file://{tmp_path}")}
    with pytest.raises(FlowOutputError, match=message) as refused:
        take(hook, finished, **options)
    assert f"execution {finished}" in str(refused.value)
    assert str(refused.value).endswith("The execution is finished; its output stays at the service.")
    assert not list(tmp_path.rglob("*.html"))


@pytest.mark.parametrize(
    "trouble",
    [
        (Fault(action="cut", size=5, count=2 * TRANSFER_ATTEMPTS), FlowServiceError),
        (Fault(action="status", status=500, count=2 * TRANSFER_ATTEMPTS), FlowServiceError),
        (Fault(action="status", status=404, count=2), FlowNotFoundError),
    ],
)
def test_a_document_that_cannot_be_fetched_leaves_no_file_and_a_retry_brings_it(
    hook: SmartFlowsHook, finished: str, tmp_path: Path, trouble: Any, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("server")
    fault, kind = trouble
    path = ObjectStoragePath(f"file://{tmp_path}")
    server.inject(Fault(**{**vars(fault), "path": "/content$", "method": "GET"}))
    with pytest.raises(kind) as failed:
        take(hook, finished, documents_path=path)
    assert type(failed.value) is kind
    assert str(failed.value).startswith("Document 'Letter.html': ")
    assert f"execution {finished}" in str(failed.value)
    assert not list(tmp_path.rglob("*.html"))
    server.clear_faults()
    assert len(take(hook, finished, documents_path=path)["documents"]) == 2


@pytest.mark.parametrize(
    "trouble", [Fault(action="cut", size=5), Fault(action="status", status=503), Fault(action="reset")]
)
def test_a_transfer_that_fails_once_is_repeated_within_the_attempt(
    hook: SmartFlowsHook, finished: str, tmp_path: Path, trouble: Fault, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("server")
    server.inject(Fault(**{**vars(trouble), "path": "/content$", "method": "GET"}))
    entries = take(hook, finished, documents_path=ObjectStoragePath(f"file://{tmp_path}"))["documents"]
    assert [one["size"] > 0 for one in entries] == [True, True]
    assert len({one["uri"] for one in entries}) == 2


def test_documents_can_be_landed_apart_from_their_execution(
    hook: SmartFlowsHook, finished: str, tmp_path: Path
) -> None:
    where = hook.identity(execution_id=finished)
    _, references = documents_of(hook, finished, where=where)
    entries = land_documents(
        hook,
        references,
        target=ObjectStoragePath(f"file://{tmp_path}/documents"),
        max_bytes=None,
        where=where,
        log=log,
    )
    assert sorted(path.name for path in (tmp_path / "documents").iterdir()) == [
        "Letter.html",
        "Letter_2.html",
    ]
    assert [entry["id"] for entry in entries] == [reference.id for reference in references]


def test_a_key_that_was_rotated_since_the_wait_has_asked_is_taken_up(
    server: DevServer, hook: SmartFlowsHook, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = hook.settings
    server.add_key("new")
    server.revoke_key()
    monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key="new"))
    assert take(hook, finished)["values"]["total"] == 7


@pytest.mark.parametrize("status", [400, 401, 403])
def test_however_a_service_refuses_an_outdated_key_the_reading_is_tried_with_the_present_one(
    server: DevServer, hook: SmartFlowsHook, finished: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    _ = hook.settings
    server.add_key("new")
    monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key="new"))
    server.inject(Fault(action="status", status=status, path=f"/executions/{finished}"))
    assert take(hook, finished)["values"]["total"] == 7
    assert server.pending_faults() == []


def test_a_key_that_is_refused_with_the_connection_as_it_is_now_is_refused(
    server: DevServer, hook: SmartFlowsHook, finished: str
) -> None:
    _ = hook.settings
    server.revoke_key()
    with pytest.raises(FlowAuthenticationError):
        take(hook, finished)
