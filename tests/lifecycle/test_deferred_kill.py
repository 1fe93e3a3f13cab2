"""A person's kill of a deferred task cancels the run; anything else that ends a trigger never does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from support.airflow_versions import needs_any_thread
from support.service import LONG, cancels, panel_flow, statuses

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.lifecycle.deferred_kill import TaskIdentity, WaitedRun, release
from smartflows_provider.triggers.execution import FlowExecutionTrigger

TASK = TaskIdentity(dag_id="d", run_id="r", task_id="t")
PATIENCE = 30.0
"""Seconds after which a test stops to wait for a thread."""


class Airflow:
    """What Airflow tells of task instances, and how often it was asked."""

    def __init__(self) -> None:
        self.states: dict[str, str | None] = {"t": "deferred"}
        self.xcoms: dict[tuple[str, int, str], object] = {}
        self.questions: list[dict[str, Any]] = []
        self.problem: Exception | None = None
        self.gone = False
        self.denies = 0

    def get_task_states(self, **question: Any) -> dict[str, dict[str, str | None]]:
        self.questions.append(question)
        time.sleep(0.02)
        if self.problem is not None:
            raise self.problem
        return {} if self.gone else {"r": dict(self.states)}

    def get_one(self, *, key: str, dag_id: str, task_id: str, run_id: str, map_index: int) -> object:
        assert (dag_id, run_id) == ("d", "r")
        if self.denies:
            raise AirflowRuntimeError(
                ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": self.denies})
            )
        return self.xcoms.get((task_id, map_index, key))

    def starts(self, execution_id: str, *, map_index: int = -1) -> None:
        self.xcoms["t", map_index, "execution_id"] = execution_id


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    made = Airflow()
    monkeypatch.setattr(deferred_kill, "RuntimeTaskInstance", made)
    monkeypatch.setattr(deferred_kill, "XCom", made)
    monkeypatch.setattr(deferred_kill, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(deferred_kill, "LONGEST_PAUSE", 0.05)
    deferred_kill._states_of.cache_clear()
    yield made
    # What is still looked for would ask the real Airflow from now on.
    made.problem = RuntimeError("the test is over")
    until(lambda: not deferred_kill._later()._pending)
    time.sleep(0.05)
    deferred_kill._states_of.cache_clear()


def start(server: DevServer, hook: SmartFlowsHook, how_many: int = 1) -> list[str]:
    server.configure(hold="ignored")
    flow = panel_flow(server, LONG)
    return [hook.start(flow.id).execution_id for _ in range(how_many)]


def trigger(execution_id: str, *, map_index: int = -1, **arguments: Any) -> FlowExecutionTrigger:
    made = FlowExecutionTrigger(
        system="smartflows",
        conn_id="smartflows_default",
        execution_id=execution_id,
        deadline=4e9,
        **arguments,
    )
    made.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=map_index)
    return made


def run(execution_id: str, **changes: Any) -> WaitedRun:
    given = {
        "system": "smartflows",
        "conn_id": "smartflows_default",
        "execution_id": execution_id,
        "task": TASK,
        "cancel": True,
        **changes,
    }
    return WaitedRun(**given)


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.01)


# --- which kills reach the service ---


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "upstream_failed", "removed", None])
async def test_a_person_who_ends_the_task_stops_its_run(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow, state: str | None
) -> None:
    (execution_id,) = start(server, hook)
    airflow.states["t"] = state
    await trigger(execution_id).on_kill()
    assert statuses(server) == ["Canceled"]
    assert len(cancels(server)) == 1
    assert airflow.questions == [{"dag_id": "d", "run_ids": ["r"], "task_ids": ["t"]}]


async def test_a_trigger_that_moves_to_another_triggerer_stops_nothing(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow
) -> None:
    (execution_id,) = start(server, hook)
    airflow.starts(execution_id)
    await trigger(execution_id).on_kill()
    assert cancels(server) == []


@pytest.mark.parametrize("then", ["running", "deferred"])
def test_a_form_answer_that_resumes_the_task_stops_nothing(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow, then: str
) -> None:
    (execution_id,) = start(server, hook)
    airflow.starts(execution_id)
    airflow.states["t"] = "scheduled"
    release(run(execution_id)).result(PATIENCE)
    airflow.states["t"] = then
    asked = len(airflow.questions)
    until(lambda: len(airflow.questions) > asked)
    time.sleep(0.2)
    assert cancels(server) == []
    assert len(airflow.questions) <= asked + 2, "it is looked for no longer once that is clear"


async def test_a_frozen_triggerer_that_wakes_after_its_task_has_left_the_run_alive_stops_nothing(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow
) -> None:
    (execution_id,) = start(server, hook)
    airflow.states["t"] = "failed"
    airflow.xcoms["t", -1, "execution_left"] = execution_id
    await trigger(execution_id).on_kill()
    assert cancels(server) == []


async def test_a_frozen_triggerer_that_wakes_after_its_task_has_succeeded_asks_for_nothing_but_the_status(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (execution_id,) = start(server, hook)
    server.advance(3600)
    airflow.states["t"] = "success"
    await trigger(execution_id).on_kill()
    assert cancels(server) == []
    assert caplog.messages == []


def test_an_attempt_that_has_begun_anew_with_another_execution_leaves_the_old_one_to_be_stopped(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow
) -> None:
    old, new = start(server, hook, how_many=2)
    airflow.states["t"] = "queued"
    airflow.starts(old)
    release(run(old)).result(PATIENCE)
    assert cancels(server) == []
    airflow.xcoms.clear()
    airflow.states["t"] = "running"
    time.sleep(0.1)
    assert cancels(server) == []
    airflow.starts(new)
    until(lambda: statuses(server) == ["Canceled", "Running"])


class Standstill:
    def __init__(self, *, recent: bool) -> None:
        self._recent = recent

    def stood_still_within(self, seconds: float) -> bool:
        return self._recent


def test_an_attempt_that_airflow_lets_read_nothing_any_more_was_replaced(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferred_kill, "pulse", lambda: Standstill(recent=False))
    (execution_id,) = start(server, hook)
    airflow.states["t"], airflow.denies = "running", 403
    release(run(execution_id)).result(PATIENCE)
    assert statuses(server) == ["Canceled"]


@pytest.mark.parametrize(
    ("status", "frozen", "keep"), [(403, True, False), (403, False, True), (500, False, False)]
)
def test_what_airflow_lets_nobody_read_stops_nothing_where_a_later_attempt_may_go_on_with_the_run(
    airflow: Airflow,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    frozen: bool,
    keep: bool,
) -> None:
    monkeypatch.setattr(deferred_kill, "pulse", lambda: Standstill(recent=frozen))
    stopped: list[WaitedRun] = []
    monkeypatch.setattr(deferred_kill, "_stop", lambda run, why: stopped.append(run))
    said: list[str] = []
    monkeypatch.setattr(deferred_kill.log, "error", lambda text, *values: said.append(text % values))
    airflow.states["t"], airflow.denies = "running", status
    release(run("e1", keep_on_clear=keep)).result(PATIENCE)
    assert stopped == []
    (line,) = said
    assert line.startswith(
        "The wait for execution e1 (smartflows, smartflows_default) was ended, and it was not"
    )


def test_a_person_who_ends_the_task_between_the_event_and_its_resumption_stops_the_run(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow
) -> None:
    (execution_id,) = start(server, hook)
    airflow.starts(execution_id)
    release(run(execution_id, handing_over=True)).result(PATIENCE)
    airflow.states["t"] = "queued"
    time.sleep(0.1)
    assert cancels(server) == []
    airflow.states["t"] = "failed"
    until(lambda: statuses(server) == ["Canceled"])


def test_a_dag_run_that_was_deleted_leaves_no_run_behind(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow
) -> None:
    (execution_id,) = start(server, hook)
    airflow.gone = True
    release(run(execution_id)).result(PATIENCE)
    assert statuses(server) == ["Canceled"]


async def test_a_mapped_task_is_asked_about_by_its_own_index(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow
) -> None:
    first, second = start(server, hook, how_many=2)
    airflow.states = {"t_0": "deferred", "t_1": "failed"}
    airflow.starts(first, map_index=0)
    await trigger(first, map_index=0).on_kill()
    await trigger(second, map_index=1).on_kill()
    assert statuses(server) == ["Running", "Canceled"]


async def test_a_sensors_trigger_asks_for_nothing_and_stops_nothing(airflow: Airflow) -> None:
    await trigger("e1", owns_run=False).on_kill()
    without_task = trigger("e1")
    without_task.task_instance = None
    await without_task.on_kill()
    assert airflow.questions == []


# --- what is said ---


def test_a_run_that_shall_not_be_cancelled_is_left_alone_and_named(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (execution_id,) = start(server, hook)
    airflow.states["t"] = "failed"
    release(run(execution_id, cancel=False)).result(PATIENCE)
    assert cancels(server) == []
    assert (
        f"The task was ended: execution {execution_id} (smartflows, smartflows_default) was not cancelled, "
        "as cancel_on_kill=False asks." in caplog.messages
    )


def test_a_kill_whose_reason_cannot_be_found_out_leaves_the_run_and_names_it(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow, caplog: pytest.LogCaptureFixture
) -> None:
    (execution_id,) = start(server, hook)
    airflow.problem = RuntimeError("the API server does not answer")
    release(run(execution_id)).result(PATIENCE)
    assert statuses(server) == ["Running"]
    (message,) = caplog.messages
    assert message == (
        f"The wait for execution {execution_id} (smartflows, smartflows_default) was ended, and it was not "
        "cancelled: whether the task was ended, or how to reach the service, could not be found out "
        "(RuntimeError: the API server does not answer). If the task was ended, cancel it there."
    )


def test_a_state_that_is_not_told_leaves_the_run_and_names_it(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow, caplog: pytest.LogCaptureFixture
) -> None:
    (execution_id,) = start(server, hook)
    airflow.states = {"other": "failed"}
    release(run(execution_id)).result(PATIENCE)
    assert cancels(server) == []
    assert "(LookupError: Airflow tells no state of t)" in caplog.text


def test_a_connection_that_is_gone_leaves_a_message_that_names_the_run(
    airflow: Airflow, caplog: pytest.LogCaptureFixture
) -> None:
    airflow.states["t"] = "failed"
    release(run("e1", conn_id="no_such_connection")).result(PATIENCE)
    assert "The wait for execution e1 (smartflows, no_such_connection) was ended" in caplog.text
    assert "The Airflow connection 'no_such_connection' does not exist." in caplog.text


def test_a_cancel_that_fails_leaves_a_message_that_names_the_run(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow, caplog: pytest.LogCaptureFixture
) -> None:
    (execution_id,) = start(server, hook)
    airflow.states["t"] = "failed"
    server.inject(Fault(action="status", status=500, method="DELETE"))
    release(run(execution_id)).result(PATIENCE)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith(
        f"The task was ended, but execution {execution_id} (smartflows, smartflows_default) could not be "
        "cancelled and may still run: DELETE"
    )


def test_what_stays_open_for_too_long_is_left_alone_and_named(
    server: DevServer,
    hook: SmartFlowsHook,
    airflow: Airflow,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deferred_kill, "PATIENCE", 0.2)
    (execution_id,) = start(server, hook)
    airflow.states["t"] = "queued"
    release(run(execution_id)).result(PATIENCE)
    until(lambda: "cannot be told whether the task goes on with it" in caplog.text)
    assert f"The wait for execution {execution_id} (smartflows, smartflows_default) was ended" in caplog.text
    assert cancels(server) == []


# --- many at once, with an event loop that is torn down ---


def kill_all(triggers: list[FlowExecutionTrigger]) -> None:
    """Kill triggers as a framework does that gives them no time at all."""

    async def kill() -> None:
        tasks = [asyncio.create_task(one.on_kill()) for one in triggers]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(kill())


@needs_any_thread
def test_of_200_kills_at_once_none_is_lost_and_airflow_is_asked_a_few_times_only(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow
) -> None:
    executions = start(server, hook, how_many=200)
    airflow.states = {f"t_{index}": "failed" for index in range(200)}
    kill_all([trigger(one, map_index=index) for index, one in enumerate(executions)])
    until(lambda: statuses(server) == ["Canceled"] * 200)
    assert len(cancels(server)) == 200
    assert len(airflow.questions) <= 3


def test_a_kill_is_never_judged_by_a_state_that_was_asked_for_before_it(
    server: DevServer, hook: SmartFlowsHook, airflow: Airflow
) -> None:
    first, second = start(server, hook, how_many=2)
    airflow.states = {"t_0": "deferred", "t_1": "deferred"}
    airflow.starts(first, map_index=0)
    airflow.starts(second, map_index=1)
    task = TaskIdentity(dag_id="d", run_id="r", task_id="t", map_index=0)
    release(run(first, task=task)).result(PATIENCE)
    airflow.states["t_1"] = "failed"
    release(run(second, task=TaskIdentity(dag_id="d", run_id="r", task_id="t", map_index=1))).result(PATIENCE)
    assert statuses(server) == ["Running", "Canceled"]
    assert len(airflow.questions) == 2


def test_what_looks_again_does_not_keep_its_process_alive(airflow: Airflow) -> None:
    airflow.states["t"] = "queued"
    release(run("e1")).result(PATIENCE)
    (later,) = [one for one in threading.enumerate() if one.name == "flow-cancel-later"]
    assert later.daemon


def test_the_identity_of_a_trigger_without_a_task_is_none() -> None:
    assert TaskIdentity.of(None) is None
    unmapped = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=None)
    assert TaskIdentity.of(unmapped) == TASK


def test_airflow_is_asked_once_beforehand_because_its_first_answer_takes_long(airflow: Airflow) -> None:
    deferred_kill.get_ready.cache_clear()
    airflow.problem = RuntimeError("whatever it answers")
    for _ in range(3):
        deferred_kill.get_ready()
    until(lambda: len(airflow.questions) == 1)
    time.sleep(0.1)
    assert len(airflow.questions) == 1
