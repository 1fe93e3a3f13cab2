"""A person's kill of a deferred task cancels the run; anything else that ends a trigger never does."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from support.service import LONG, cancels, panel_flow, statuses

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.lifecycle.deferred_kill import TaskIdentity, cancel_if_task_is_over, task_is_over
from smartflows_provider.triggers.execution import FlowExecutionTrigger

TASK = TaskIdentity(dag_id="d", run_id="r", task_id="t")
MAPPED = TaskIdentity(dag_id="d", run_id="r", task_id="t", map_index=7)


def over(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    def asked(task: TaskIdentity) -> bool:
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    monkeypatch.setattr(deferred_kill, "task_is_over", asked)


def start(server: DevServer, hook: SmartFlowsHook, how_many: int = 1) -> list[str]:
    server.configure(hold="ignored")
    flow = panel_flow(server, LONG)
    return [hook.start(flow.id).execution_id for _ in range(how_many)]


def trigger(execution_id: str, **arguments: Any) -> FlowExecutionTrigger:
    made = FlowExecutionTrigger(
        system="smartflows",
        conn_id="smartflows_default",
        execution_id=execution_id,
        deadline=4e9,
        **arguments,
    )
    made.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    return made


# --- is the task over? ---


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, True),
        ("failed", True),
        ("success", True),
        ("skipped", True),
        ("upstream_failed", True),
        ("removed", True),
        ("deferred", False),
        ("running", False),
        ("queued", False),
        ("scheduled", False),
        ("up_for_retry", False),
        ("up_for_reschedule", False),
        ("restarting", False),
        ("awaiting_input", False),
        ("a state of some later Airflow", False),
    ],
)
@pytest.mark.parametrize(("task", "key"), [(TASK, "t"), (MAPPED, "t_7")])
def test_a_task_is_over_only_in_states_that_nothing_leaves_by_itself(
    state: str | None, expected: bool, task: TaskIdentity, key: str
) -> None:
    questions: list[dict[str, Any]] = []

    def states(**question: Any) -> dict[str, Any]:
        questions.append(question)
        return {"r": {key: state}}

    assert task_is_over(task, states=states) is expected
    assert questions == [{"dag_id": "d", "task_ids": ["t"], "run_ids": ["r"], "map_index": task.map_index}]


@pytest.mark.parametrize("found", [{}, {"r": {}}, {"other": {"t": "failed"}}, {"r": {"other": "failed"}}])
def test_a_task_whose_state_is_not_told_is_not_over(found: dict[str, Any]) -> None:
    assert not task_is_over(TASK, states=lambda **_: found)


def test_the_identity_of_a_trigger_without_a_task_is_none() -> None:
    assert TaskIdentity.of(None) is None
    unmapped = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=None)
    assert TaskIdentity.of(unmapped) == TASK


# --- cancelling ---


@pytest.mark.parametrize("is_over", [True, False])
async def test_a_killed_trigger_cancels_only_if_its_task_is_over(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, is_over: bool
) -> None:
    (execution_id,) = start(server, hook)
    over(monkeypatch, is_over)
    await trigger(execution_id).on_kill()
    assert statuses(server) == (["Canceled"] if is_over else ["Running"])
    assert len(cancels(server)) == is_over


async def test_a_trigger_that_shall_not_cancel_asks_for_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    over(monkeypatch, RuntimeError("was asked"))
    await trigger("e1", cancel_on_kill=False).on_kill()
    without_task = trigger("e1")
    without_task.task_instance = None
    await without_task.on_kill()


def cancel(execution_id: str, conn_id: str = "smartflows_default") -> None:
    cancel_if_task_is_over(system="smartflows", conn_id=conn_id, execution_id=execution_id, task=TASK)


def test_a_kill_whose_reason_cannot_be_found_out_leaves_the_run_and_names_it(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (execution_id,) = start(server, hook)
    over(monkeypatch, RuntimeError("the API server does not answer"))
    cancel(execution_id)
    assert statuses(server) == ["Running"]
    assert f"execution {execution_id} (smartflows, smartflows_default) was not cancelled" in caplog.text
    assert "the API server does not answer" in caplog.text


def test_a_connection_that_is_gone_leaves_a_message_that_names_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    over(monkeypatch, True)
    cancel("e1", conn_id="no_such_connection")
    assert "execution e1 (smartflows, no_such_connection) was not cancelled" in caplog.text


def test_a_cancel_that_fails_leaves_a_message_that_names_the_run(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (execution_id,) = start(server, hook)
    over(monkeypatch, True)
    server.inject(Fault(action="status", status=500, method="DELETE"))
    cancel(execution_id)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith(
        f"The task was ended, but execution {execution_id} (Smart Flows, smartflows_default) could not be "
        "cancelled and may still run: DELETE"
    )


def test_of_200_kills_at_once_that_the_framework_cancels_none_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count, done = 200, threading.Semaphore(0)
    killed: list[str] = []

    def cancel(*, execution_id: str, **_: Any) -> None:
        killed.append(execution_id)
        done.release()

    monkeypatch.setattr("smartflows_provider.triggers.execution.cancel_if_task_is_over", cancel)

    async def kill_all() -> None:
        tasks = [asyncio.create_task(trigger(f"e{number}").on_kill()) for number in range(count)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(kill_all())
    for _ in range(count):
        assert done.acquire(timeout=60)
    assert sorted(killed) == sorted(f"e{number}" for number in range(count))


def test_a_kill_that_is_cancelled_at_once_still_reaches_the_service(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = start(server, hook, how_many=20)
    over(monkeypatch, True)

    async def kill_all() -> None:
        tasks = [asyncio.create_task(trigger(execution_id).on_kill()) for execution_id in executions]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(kill_all())
    waiting = threading.Event()
    for _ in range(600):
        if set(statuses(server)) == {"Canceled"}:
            break
        waiting.wait(0.1)
    assert statuses(server) == ["Canceled"] * 20
    assert len(cancels(server)) == 20
