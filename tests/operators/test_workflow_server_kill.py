"""A task that is stopped stops its process as on_kill says: none, a state, or deleting it; in both modes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support.interruptions import Stop
from support.tasks import Attempt, revive, run_task
from support.workflow_server import asked, meanwhile, process_task, workflow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.exceptions import FlowKilledError
from smartflows_provider.lifecycle import deferred_kill

__all__ = ["workflow"]


@pytest.fixture
def server(smart_flows_server: DevServer, workflow: WorkflowServerSection) -> DevServer:
    return smart_flows_server


def killed_on_a_worker(server: DevServer, stop: Stop, attempt: Attempt, **arguments: Any) -> FlowKilledError:
    task = process_task("sync", scheme_code="Long", **arguments)
    with meanwhile(server, lambda _: stop(task.on_kill)), pytest.raises(FlowKilledError) as killed:
        run_task(task, attempt)
    return killed.value


def test_a_kill_on_a_worker_sets_the_state_and_the_next_attempt_starts_anew(
    workflow: WorkflowServerSection, server: DevServer, stop: Stop
) -> None:
    attempt = Attempt()
    error = killed_on_a_worker(server, stop, attempt, on_kill="set_state:Stopped", identity_id="ada")
    assert "The service was asked to cancel it." in str(error)
    (process_id,) = workflow.created
    assert workflow.process(process_id)["StateName"] == "Stopped"
    (query,) = [one.query for one in server.requests if "/setstate/" in one.path]
    assert query == "state=Stopped&identityId=ada"
    attempt.try_number = 2
    again = process_task(scheme_code="Long", on_kill="set_state:Stopped", wait_for_completion=False)
    assert run_task(again, attempt)["execution_id"] != process_id
    assert len(workflow.created) == 2


def test_a_kill_on_a_worker_deletes_and_the_next_attempt_starts_anew(
    workflow: WorkflowServerSection, server: DevServer, stop: Stop
) -> None:
    attempt = Attempt()
    killed_on_a_worker(server, stop, attempt, on_kill="delete")
    assert workflow.deleted == workflow.created
    attempt.try_number = 2
    again = process_task(scheme_code="Long", on_kill="delete", wait_for_completion=False)
    assert run_task(again, attempt)["execution_id"] != workflow.created[0]
    assert len(set(workflow.created)) == 2


def test_a_kill_on_a_worker_leaves_the_process_where_nothing_stops_it_and_a_retry_goes_on_with_it(
    workflow: WorkflowServerSection, server: DevServer, stop: Stop
) -> None:
    attempt = Attempt()
    error = killed_on_a_worker(server, stop, attempt)
    assert "The execution was not cancelled, as on_kill='none' asks." in str(error)
    (process_id,) = workflow.created
    assert workflow.process(process_id)["StateName"] == "Working"
    assert asked(server, "setstate") == asked(server, "deleteinstance") == 0
    attempt.try_number = 2
    with meanwhile(server, workflow.finish):
        assert run_task(process_task(scheme_code="Long"), attempt)["execution_id"] == process_id
    assert workflow.created == [process_id]


def test_a_kill_never_touches_a_process_that_has_ended(
    workflow: WorkflowServerSection, server: DevServer, stop: Stop
) -> None:
    task = process_task("sync", scheme_code="Long", on_kill="delete")

    def act(process_id: str) -> None:
        workflow.finish(process_id)
        stop(task.on_kill)

    with meanwhile(server, act), pytest.raises(FlowKilledError):
        run_task(task)
    assert workflow.deleted == []


def test_a_kill_that_the_server_refuses_says_that_the_process_may_go_on(
    workflow: WorkflowServerSection, server: DevServer, stop: Stop
) -> None:
    error = killed_on_a_worker(server, stop, Attempt(), on_kill="set_state:Nowhere")
    assert "The execution may still be running: it could not be cancelled (POST /setstate/" in str(error)
    assert "The scheme has no state 'Nowhere'; State not found" in str(error)


# --- deferred ------------------------------------------------------------------------------------------


def deferred(**arguments: Any) -> Any:
    """Return the trigger of a task that has deferred, as the triggerer has it."""
    with pytest.raises(TaskDeferred) as raised:
        process_task("deferrable", scheme_code="Long", **arguments).execute(Attempt().context())
    trigger = revive(raised.value.trigger)
    trigger.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    return trigger


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Airflow say that a person has marked the task failed."""
    told = SimpleNamespace(get_task_states=lambda **_: {"r": {"t": "failed"}})
    monkeypatch.setattr(deferred_kill, "RuntimeTaskInstance", told)
    monkeypatch.setattr(deferred_kill, "XCom", SimpleNamespace(get_one=lambda **_: None))
    deferred_kill._states_of.cache_clear()
    yield
    deferred_kill._states_of.cache_clear()


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("access", ["none", "token", "openid"])
async def test_a_person_who_ends_a_deferred_task_stops_its_process(
    workflow: WorkflowServerSection, server: DevServer, monkeypatch: pytest.MonkeyPatch, access: str
) -> None:
    workflow.configure(access=access)
    connection = server.section_connection_json(WorkflowServerSection)
    monkeypatch.setenv("AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT", connection)
    await deferred(on_kill="set_state:Stopped").on_kill()
    assert workflow.process(workflow.created[0])["StateName"] == "Stopped"
    assert workflow.leaks == []


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("rotated", [False, True])
async def test_a_kill_goes_on_with_the_access_token_of_the_wait_unless_the_connection_was_changed(
    workflow: WorkflowServerSection, server: DevServer, monkeypatch: pytest.MonkeyPatch, rotated: bool
) -> None:
    def connect() -> None:
        connection = server.section_connection_json(WorkflowServerSection)
        monkeypatch.setenv("AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT", connection)

    workflow.configure(access="openid")
    connect()
    trigger = deferred(on_kill="set_state:Stopped")
    waiting = asyncio.create_task(anext(trigger.run()))
    while not asked(server, "getinstanceinfo"):
        await asyncio.sleep(0.01)
    issued = len(workflow.issued)
    if rotated:
        workflow.rotate("another")
        connect()
    await trigger.on_kill()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert workflow.process(workflow.created[0])["StateName"] == "Stopped"
    assert len(workflow.issued) == issued + rotated


@pytest.mark.usefixtures("failed")
async def test_or_deletes_it(workflow: WorkflowServerSection, server: DevServer) -> None:
    await deferred(on_kill="delete").on_kill()
    assert workflow.deleted == workflow.created


@pytest.mark.usefixtures("failed")
async def test_or_leaves_it_and_says_so(
    workflow: WorkflowServerSection, server: DevServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await deferred().on_kill()
    assert workflow.process(workflow.created[0])["StateName"] == "Working"
    assert "was not cancelled, as on_kill='none' asks" in caplog.text


@pytest.mark.usefixtures("failed")
async def test_a_stop_that_fails_is_told_with_the_processs_id(
    workflow: WorkflowServerSection, server: DevServer, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = deferred(on_kill="delete")
    server.inject(Fault(action="status", status=500, path="/deleteinstance/", count=None))
    await trigger.on_kill()
    (process_id,) = workflow.created
    assert (
        f"execution {process_id} (workflowserver, workflowserver_default) could not be cancelled"
        in caplog.text
    )


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_process_that_was_stopped_and_is_gone_by_then_is_no_success_of_the_next_attempt(
    workflow: WorkflowServerSection, server: DevServer, stop: Stop, mode: Any
) -> None:
    attempt = Attempt()
    killed_on_a_worker(server, stop, attempt, on_kill="set_state:Stopped")
    workflow.purge(workflow.created[0])
    attempt.try_number = 2
    again = process_task(mode, on_kill="set_state:Stopped")
    assert run_task(again, attempt)["values"]["parameters"] == {"Result": 42}
    first, second = workflow.created
    assert first != second
