"""The operators that act on an execution which another task, or somebody else, has started."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import ObjectStoragePath
from support.tasks import Attempt, run_task

from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowExecutionFailedError,
    FlowNotFoundError,
    FlowOutputError,
    FlowStateUnknownError,
    FlowUserInputRequiredError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.operators.smart_flows import (
    SmartFlowsAnswerFormOperator,
    SmartFlowsCancelExecutionOperator,
    SmartFlowsDownloadDocumentsOperator,
    SmartFlowsGetOutputOperator,
    SmartFlowsSendEventOperator,
)

LETTER = {"id": "letter", "kind": "document", "template": "letter.html.j2", "format": "html"}
FORM = {
    "id": "ask",
    "kind": "form",
    "name": "Approval",
    "fields": [
        {"key": "approved", "title": "Approved?", "type": "boolean"},
        {"key": "remark", "title": "Remark", "type": "string", "default": "none"},
    ],
}


@pytest.fixture(autouse=True)
def connection(smart_flows_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMARTFLOWS_DEFAULT", smart_flows_server.connection_json())


def started(server: Any, *steps: dict[str, Any], settled: bool = True) -> str:
    """Start an execution of a flow with these steps and return its id."""
    flow = server.add_flow(
        name=f"Flow {len(server.executions())}",
        steps=list(steps),
        templates={"letter.html.j2": "<p>Dear reader</p>"},
    )
    with SmartFlowsHook() as hook:
        execution_id = hook.start(flow.id).execution_id
    if settled:
        server.advance(60)
    return execution_id


def status_of(server: Any, execution_id: str) -> str:
    return next(one["status"] for one in server.executions() if one["id"] == execution_id)


def test_get_output_returns_the_manifest_of_a_finished_execution(smart_flows_server: Any) -> None:
    execution_id = started(
        smart_flows_server, LETTER, {"kind": "output", "values": {"total": 3, "other": {"deep": "x"}}}
    )
    attempt = Attempt()
    operator = SmartFlowsGetOutputOperator(
        task_id="t", execution_id=execution_id, outputs={"sum": "total", "deep": "other.deep"}
    )
    manifest = run_task(operator, attempt)
    assert manifest["execution_id"] == execution_id
    assert manifest["status"] == "Success"
    assert manifest["values"] == {"sum": 3, "deep": "x"}
    assert [one["uri"] for one in manifest["documents"]] == [None]
    assert attempt.xcoms["execution_url"] == manifest["url"]


def test_get_output_of_an_execution_that_is_not_finished_is_unknown_and_may_be_retried(
    smart_flows_server: Any,
) -> None:
    execution_id = started(smart_flows_server, {"kind": "work", "duration": 600}, settled=False)
    with pytest.raises(FlowStateUnknownError, match="status is Running") as caught:
        run_task(SmartFlowsGetOutputOperator(task_id="t", execution_id=execution_id))
    assert not isinstance(caught.value, AirflowFailException)
    assert execution_id in str(caught.value)


def test_get_output_of_a_failed_execution_says_why_it_failed(smart_flows_server: Any) -> None:
    execution_id = started(smart_flows_server, {"kind": "fail", "name": "Convert", "message": "No template"})
    with pytest.raises(FlowExecutionFailedError, match="in block 'Convert'") as caught:
        run_task(SmartFlowsGetOutputOperator(task_id="t", execution_id=execution_id))
    assert "No template" in str(caught.value)
    assert "a retry looks again, and starts none" in str(caught.value)


def test_download_lands_the_documents_of_an_execution(smart_flows_server: Any, tmp_path: Path) -> None:
    execution_id = started(smart_flows_server, LETTER, {**LETTER, "id": "again"})
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="t", execution_id=execution_id, documents_path=tmp_path.as_uri()
    )
    first, second = run_task(operator)
    for entry in (first, second):
        assert entry["uri"].startswith(f"{tmp_path.as_uri()}/{execution_id}/")
        content = ObjectStoragePath(entry["uri"]).read_bytes()
        assert b"Dear reader" in content
        assert entry["size"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["content_type"].startswith("text/html")
    assert first["uri"] != second["uri"]
    assert run_task(operator) == [first, second]


def test_download_takes_ids_of_documents(smart_flows_server: Any, tmp_path: Path) -> None:
    execution_id = started(smart_flows_server, LETTER)
    (known,) = run_task(SmartFlowsGetOutputOperator(task_id="g", execution_id=execution_id))["documents"]
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="t", document_ids=[known["id"]], documents_path=str(tmp_path)
    )
    (entry,) = run_task(operator)
    assert entry["id"] == known["id"]
    assert ObjectStoragePath(entry["uri"]).is_file()


def test_download_refuses_a_document_over_the_limit(smart_flows_server: Any, tmp_path: Path) -> None:
    execution_id = started(smart_flows_server, LETTER)
    folder = tmp_path / "documents"
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="t", execution_id=execution_id, documents_path=str(folder), max_document_bytes=5
    )
    with pytest.raises(FlowOutputError, match="max_document_bytes"):
        run_task(operator)
    assert [one for one in folder.rglob("*") if one.is_file()] == []


@pytest.mark.parametrize("both", [True, False])
def test_download_takes_either_an_execution_or_documents(both: bool) -> None:
    given = {"execution_id": "e", "document_ids": ["d"]} if both else {}
    with pytest.raises(ValueError, match="give either execution_id or document_ids"):
        SmartFlowsDownloadDocumentsOperator(task_id="t", documents_path="x", **given)


@pytest.mark.parametrize("answers", [{"approved": True}, {"Approved?": True}], ids=["by key", "by title"])
def test_answering_a_form_lets_the_execution_go_on(smart_flows_server: Any, answers: dict[str, Any]) -> None:
    execution_id = started(
        smart_flows_server,
        FORM,
        {
            "kind": "output",
            "values": {"said": "{{ answers.approved }}", "remark": "{{ answers.remark }}"},
        },
    )
    assert status_of(smart_flows_server, execution_id) == "UserInput"
    run_task(SmartFlowsAnswerFormOperator(task_id="t", execution_id=execution_id, answers=answers))
    smart_flows_server.advance(60)
    values = run_task(SmartFlowsGetOutputOperator(task_id="g", execution_id=execution_id))["values"]
    assert values == {"said": True, "remark": "none"}


def test_answers_that_do_not_fit_list_what_the_form_asks(smart_flows_server: Any) -> None:
    execution_id = started(smart_flows_server, FORM)
    operator = SmartFlowsAnswerFormOperator(task_id="t", execution_id=execution_id, answers={"colour": "red"})
    with pytest.raises(FlowUserInputRequiredError, match=r"'approved' \(Approved\?\), 'remark' \(Remark\)"):
        run_task(operator)
    assert status_of(smart_flows_server, execution_id) == "UserInput"


def test_an_event_resumes_the_execution_that_waits_for_it(smart_flows_server: Any) -> None:
    execution_id = started(
        smart_flows_server, {"id": "signed", "kind": "wait_for_event", "callback": "signature"}
    )
    assert status_of(smart_flows_server, execution_id) == "Waiting"
    operator = SmartFlowsSendEventOperator(
        task_id="t", callback_id="signature", execution_id=execution_id, text="signed"
    )
    run_task(operator)
    smart_flows_server.advance(60)
    assert status_of(smart_flows_server, execution_id) == "Success"


def test_an_event_that_nobody_waits_for_is_a_clear_error() -> None:
    with pytest.raises(FlowNotFoundError, match="connection 'smartflows_default'"):
        run_task(SmartFlowsSendEventOperator(task_id="t", callback_id="nobody"))


def test_cancelling_waits_until_the_execution_has_stopped(smart_flows_server: Any) -> None:
    smart_flows_server.configure(cancel_seconds=1.5)
    execution_id = started(smart_flows_server, {"kind": "work", "duration": 600}, settled=False)
    fate = run_task(SmartFlowsCancelExecutionOperator(task_id="t", execution_id=execution_id))
    assert fate == f"Execution {execution_id} is Canceled."
    assert status_of(smart_flows_server, execution_id) == "Canceled"


def test_cancelling_what_has_ended_by_itself_succeeds(smart_flows_server: Any) -> None:
    execution_id = started(smart_flows_server, {"kind": "work", "duration": 1})
    fate = run_task(SmartFlowsCancelExecutionOperator(task_id="t", execution_id=execution_id))
    assert fate == f"Execution {execution_id} is Success."


def test_cancelling_what_is_gone_succeeds_and_says_so(smart_flows_server: Any) -> None:
    execution_id = started(smart_flows_server, {"kind": "work", "duration": 1})
    smart_flows_server.expire(execution_id)
    fate = run_task(SmartFlowsCancelExecutionOperator(task_id="t", execution_id=execution_id))
    assert fate == f"The service no longer has execution {execution_id}."


def test_cancelling_what_does_not_stop_in_time_says_so(smart_flows_server: Any) -> None:
    smart_flows_server.configure(cancel_seconds=600)
    execution_id = started(smart_flows_server, {"kind": "work", "duration": 900}, settled=False)
    operator = SmartFlowsCancelExecutionOperator(task_id="t", execution_id=execution_id, settle_seconds=1)
    with pytest.raises(FlowStateUnknownError, match="The execution has not stopped"):
        run_task(operator)


@pytest.mark.parametrize("unusable", ["", "  ", "..", None, 5, {"id": "x"}], ids=str)
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (SmartFlowsGetOutputOperator, {}),
        (SmartFlowsDownloadDocumentsOperator, {"documents_path": "documents", "document_ids": None}),
        (SmartFlowsAnswerFormOperator, {"answers": {}}),
        (SmartFlowsCancelExecutionOperator, {}),
    ],
)
def test_an_id_that_a_template_has_made_unusable_is_named(
    smart_flows_server: Any, kind: Any, arguments: dict[str, Any], unusable: Any
) -> None:
    operator = kind(task_id="t", execution_id="{{ id }}", **arguments)
    operator.execution_id = unusable
    with pytest.raises(FlowConfigurationError, match="The argument execution_id is"):
        run_task(operator)
    assert smart_flows_server.requests == []


@pytest.mark.parametrize("ids", ["", [""], [None], [{"name": "no id"}]], ids=str)
def test_ids_of_documents_that_are_none_are_refused(ids: Any, tmp_path: Path) -> None:
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="t", document_ids=ids, documents_path=str(tmp_path)
    )
    with pytest.raises(FlowConfigurationError, match="The argument document_ids is"):
        run_task(operator)


def test_download_takes_the_entries_of_a_manifest(smart_flows_server: Any, tmp_path: Path) -> None:
    execution_id = started(smart_flows_server, LETTER)
    entries = run_task(SmartFlowsGetOutputOperator(task_id="g", execution_id=execution_id))["documents"]
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="t", document_ids=entries, documents_path=str(tmp_path)
    )
    assert [one["id"] for one in run_task(operator)] == [entries[0]["id"]]


def test_download_from_an_execution_that_is_not_finished_may_be_retried(
    smart_flows_server: Any, tmp_path: Path
) -> None:
    execution_id = started(smart_flows_server, {"kind": "work", "duration": 600}, settled=False)
    operator = SmartFlowsDownloadDocumentsOperator(
        task_id="t", execution_id=execution_id, documents_path=str(tmp_path)
    )
    with pytest.raises(FlowStateUnknownError, match="its status is Running"):
        run_task(operator)


def test_answering_an_execution_that_asks_nothing_says_so_and_may_be_retried(smart_flows_server: Any) -> None:
    execution_id = started(smart_flows_server, {"kind": "work", "duration": 600}, settled=False)
    operator = SmartFlowsAnswerFormOperator(task_id="t", execution_id=execution_id, answers={"a": 1})
    with pytest.raises(FlowStateUnknownError, match="The execution asks nothing, its status is Running"):
        run_task(operator)


def test_cancelling_with_a_wrong_key_says_that_it_is_the_key(smart_flows_server: Any) -> None:
    execution_id = started(smart_flows_server, {"kind": "work", "duration": 600}, settled=False)
    smart_flows_server.revoke_key()
    with pytest.raises(FlowAuthenticationError):
        run_task(SmartFlowsCancelExecutionOperator(task_id="t", execution_id=execution_id))


def test_an_event_without_a_callback_is_refused() -> None:
    with pytest.raises(FlowConfigurationError, match="The argument callback_id is ''"):
        run_task(SmartFlowsSendEventOperator(task_id="t", callback_id=""))


def test_get_output_refuses_an_unknown_option_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="on_warning is 'ignore'"):
        SmartFlowsGetOutputOperator(task_id="t", execution_id="e", on_warning="ignore")
