"""An upgrade with tasks deferred loses nothing: every shape that was ever written is read and worked with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from support.airflow_versions import needs_task_state
from support.service import LONG, panel_flow, server, starts
from support.tasks import Attempt, first_event, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.lifecycle.record import RECORD_KEY, RECORD_SCHEMA, RunRecord
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.operators.workflow_server import WorkflowServerRunProcessOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
from smartflows_provider.triggers.execution import TRIGGER_SCHEMA, FlowExecutionTrigger
from smartflows_provider.waiting.event import EVENT_SCHEMA, WaitEvent
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

__all__ = ["server"]

GOLDEN = Path(__file__).parent / "golden"


def rows(kind: str) -> dict[int, dict[str, Any]]:
    """Return the rows of a kind by schema version."""
    found = [json.loads(path.read_text()) for path in sorted(GOLDEN.glob(f"{kind}-*.json"))]
    return {row["schema_version"]: row for row in found}


def versions(kind: str) -> list[Any]:
    return [pytest.param(row, id=f"schema {version}") for version, row in rows(kind).items()]


def run_operator() -> SmartFlowsRunFlowOperator:
    return SmartFlowsRunFlowOperator(task_id="t", flow="Letter", deferrable=True, poll_interval=0.05)


@pytest.mark.parametrize(
    ("kind", "newest"), [("record", RECORD_SCHEMA), ("trigger", TRIGGER_SCHEMA), ("event", EVENT_SCHEMA)]
)
def test_every_version_up_to_the_newest_has_its_row(kind: str, newest: int) -> None:
    assert sorted(rows(kind)) == list(range(1, newest + 1))


def test_the_newest_rows_are_what_is_written_today() -> None:
    record, trigger, event = (
        rows("record")[RECORD_SCHEMA],
        rows("trigger")[TRIGGER_SCHEMA],
        rows("event")[EVENT_SCHEMA],
    )
    assert RunRecord.from_dict(record).as_dict() == record
    assert FlowExecutionTrigger(**trigger).serialize()[1] == trigger
    # Keys that came later, which an older worker passes over.
    assert WaitEvent.from_dict(event).as_dict() == {**event, "phase": None}


@needs_task_state
@pytest.mark.parametrize("row", versions("record"))
def test_a_retry_attaches_to_the_run_of_a_record_that_an_earlier_version_has_written(
    server: DevServer, row: dict[str, Any]
) -> None:
    panel_flow(server, LONG)
    with SmartFlowsHook() as hook:
        started = hook.start(hook.find_flow("Letter").id).execution_id
    attempt = Attempt(max_tries=row["epoch"]["max_tries"], clear_number=row["epoch"]["clear_number"])
    assert attempt.store is not None
    attempt.store.set(RECORD_KEY, {**row, "execution_id": started, "deadline": 4e9})
    server.advance(3600)
    assert run_task(run_operator(), attempt)["execution_id"] == started
    assert len(starts(server)) == 1


@pytest.mark.parametrize("row", versions("trigger"))
def test_a_trigger_that_an_earlier_version_has_deferred_is_revived_and_its_event_resumes_the_task(
    server: DevServer, row: dict[str, Any]
) -> None:
    panel_flow(server, LONG)
    with SmartFlowsHook() as hook:
        started = hook.start(hook.find_flow("Letter").id).execution_id
    server.advance(3600)
    event = first_event(FlowExecutionTrigger(**{**row, "execution_id": started}))
    assert (event["reason"], event["status"]) == ("finished", "Success")
    manifest = run_operator().execute_complete(Attempt().context(), event)
    assert manifest["execution_id"] == started


@pytest.mark.parametrize("row", versions("event"))
@pytest.mark.parametrize("kind", ["operator", "sensor"])
def test_an_event_that_an_earlier_version_has_sent_resumes_the_task(
    server: DevServer, row: dict[str, Any], kind: str
) -> None:
    panel_flow(server, LONG)
    with SmartFlowsHook() as hook:
        started = hook.start(hook.find_flow("Letter").id).execution_id
    server.advance(3600)
    event = {**row, "execution_id": started}
    task = (
        run_operator()
        if kind == "operator"
        else SmartFlowsExecutionSensor(task_id="s", execution_id=started, deferrable=True)
    )
    assert task.execute_complete(Attempt().context(), event)["execution_id"] == started


PROCESS_TERMS = {
    "success_states": ["Approved"],
    "failure_states": ["Rejected"],
    "success_activities": [],
    "passed_states_count": True,
    "wait_for": "finalized",
    "on_kill": "set_state:Withdrawn",
    "on_purged": None,
    "identity_id": "ada",
    "impersonated_identity_id": None,
}
"""The terms of a process as they stand in the rows of triggers."""


def test_the_terms_of_a_process_are_what_is_written_today() -> None:
    assert ProcessTerms.from_dict(PROCESS_TERMS).as_dict() == PROCESS_TERMS


@pytest.mark.parametrize(
    ("terms", "state", "status"),
    [
        (PROCESS_TERMS, "Approved", "Finalized (Approved)"),
        ({**PROCESS_TERMS, "of_tomorrow": {"a": 1}}, "Approved", "Finalized (Approved)"),
        ({"success_states": ["Approval"]}, None, "Idled (Approval)"),
        ({}, "Approved", "Finalized (Approved)"),
    ],
    ids=["today", "tomorrow", "few", "none"],
)
def test_a_trigger_of_a_process_is_revived_with_its_terms_and_its_event_resumes_the_task(
    server: DevServer,
    monkeypatch: pytest.MonkeyPatch,
    terms: dict[str, Any],
    state: str | None,
    status: str,
) -> None:
    connection = server.section_connection_json(WorkflowServerSection)
    monkeypatch.setenv("AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT", connection)
    process_id = str(uuid4())
    with WorkflowServerHook() as hook:
        hook.create_instance(process_id, scheme_code="Approval")
        server.advance(1)
        if state is not None:
            hook.set_state(process_id, state=state)
    row = {
        **rows("trigger")[TRIGGER_SCHEMA],
        "system": "workflowserver",
        "conn_id": "workflowserver_default",
        "execution_id": process_id,
        "terms": terms,
    }
    event = first_event(FlowExecutionTrigger(**row))
    assert (event["reason"], event["status"]) == ("finished", status)
    names = {name: terms[name] for name in ("success_states", "failure_states") if name in terms}
    task = WorkflowServerRunProcessOperator(task_id="t", scheme_code="Approval", deferrable=True, **names)
    assert task.execute_complete(Attempt().context(), event)["status"] == status
