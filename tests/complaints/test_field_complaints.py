"""What users of providers for long remote jobs complain about, thread by thread, and what happens here.

The number in a test's name is that of the thread in the issue tracker of Apache Airflow.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import Connection
from support.airflow_versions import (
    AirflowSensorTimeout,
    deserialize,
    needs_connection_forms,
    needs_task_state,
    serialize,
)
from support.outcomes import acting, both, operator_for, outcome
from support.service import CONN_VARIABLE, LONG, START, asked, cancels, panel_flow, starts, statuses
from support.tasks import MODES, Attempt, FakeStateStore, Mode, first_event, revive, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionInterruptedError,
    FlowExecutionWarningError,
    FlowOutputError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
)
from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import deferred_kill, poller
from smartflows_provider.operators.run_flow import FlowRun
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.version_compat import SUCCESS_IN_TRIGGERER, TRIGGER_ON_KILL
from smartflows_provider.waiting.clock import Moment, read_clocks

SHORT = {"kind": "work", "duration": 0.2}
FORM = {"kind": "form", "fields": [{"key": "way", "title": "Way"}]}


class WorkerLost(BaseException):
    """What no code of a task sees: its process is no longer there."""


def deferred(operator: Any, attempt: Attempt) -> FlowExecutionTrigger:
    """Run a task until it is deferred, and return its trigger as the triggerer gets it."""
    with pytest.raises(TaskDeferred) as raised:
        operator.execute(attempt.context())
    trigger = revive(raised.value.trigger)
    assert isinstance(trigger, FlowExecutionTrigger)
    trigger.task_instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)
    return trigger


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def in_triggerer(
    trigger: FlowExecutionTrigger,
    server: DevServer,
    *,
    end: Callable[[], Awaitable[object]],
    afterwards: Callable[[], bool] = lambda: True,
) -> None:
    """
    Let a trigger wait until it has asked the service, then end it as its triggerer does.

    :param afterwards: what is waited for then, as the triggerer goes on: before Airflow 3.3 a run is stopped
        in the background.
    """

    async def run() -> None:
        before = len(asked(server, "GET", "/progress"))
        running = asyncio.create_task(anext(aiter(trigger.run())))
        await until(lambda: len(asked(server, "GET", "/progress")) > before)
        await end()
        running.cancel()
        # A run that was stopped may be seen to have ended before the trigger is gone: nobody listens then.
        with suppress(asyncio.CancelledError):
            await running
        await trigger.cleanup()
        await until(afterwards)

    asyncio.run(asyncio.wait_for(run(), 60))


async def nothing() -> None:
    """What a triggerer does for its triggers when it dies."""


def killing(trigger: FlowExecutionTrigger) -> Callable[[], Awaitable[object]]:
    """Return what a triggerer does for a trigger whose task may be gone: nothing, before Airflow 3.3."""
    return trigger.on_kill if TRIGGER_ON_KILL.available else nothing


Says = Callable[[str | None, Attempt], None]


@pytest.fixture
def airflow_says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Give a function that sets what Airflow's API server tells of the task: its state, and its XComs."""

    def say(state: str | None, attempt: Attempt) -> None:
        states = {"run": {"task": state}}
        asked_for_states = SimpleNamespace(get_task_states=lambda **_: states)
        asked_for_xcoms = SimpleNamespace(get_one=lambda *, key, **_: attempt.xcoms.get(key))
        monkeypatch.setattr(deferred_kill, "RuntimeTaskInstance", asked_for_states)
        monkeypatch.setattr(deferred_kill, "XCom", asked_for_xcoms)

    return say


# --- the remote job survives its task ---


@pytest.mark.parametrize("state", ["failed", "success", None])
def test_36090_a_deferred_task_that_is_marked_failed_or_cleared_stops_its_remote_run(
    server: DevServer, airflow_says: Says, state: str | None
) -> None:
    panel_flow(server, LONG)
    attempt = Attempt()
    trigger = deferred(operator_for("deferrable"), attempt)
    airflow_says(state, attempt)
    in_triggerer(trigger, server, end=killing(trigger), afterwards=lambda: statuses(server) == ["Canceled"])
    assert len(cancels(server)) == 1


def test_36090_a_triggerer_that_restarts_or_hands_over_stops_nothing(
    server: DevServer, airflow_says: Says
) -> None:
    panel_flow(server, LONG)
    attempt = Attempt()
    trigger = deferred(operator_for("deferrable"), attempt)
    airflow_says("deferred", attempt)
    in_triggerer(trigger, server, end=nothing)
    in_triggerer(revive(trigger), server, end=nothing)
    in_triggerer(trigger, server, end=killing(trigger))
    assert statuses(server) == ["Running"]
    assert cancels(server) == []


def test_19929_a_deferred_task_that_is_killed_says_so_in_its_log_and_its_next_run_is_a_new_one(
    server: DevServer, airflow_says: Says, caplog: pytest.LogCaptureFixture
) -> None:
    panel_flow(server, LONG)
    attempt = Attempt()
    trigger = deferred(operator_for("deferrable"), attempt)
    airflow_says(None, attempt)
    with caplog.at_level(logging.INFO):
        said = f"The task was ended: cancelled execution {trigger.execution_id}"
        in_triggerer(trigger, server, end=killing(trigger), afterwards=lambda: said in caplog.text)
    cleared = Attempt(store=attempt.store, clear_number=1)
    run = outcome(server, "deferrable", attempt=cleared, meanwhile=lambda _: server.advance(3600))
    assert run.value["execution_id"] != trigger.execution_id
    assert statuses(server) == ["Canceled", "Success"]


# --- a retry submits twice ---


def lose_worker_while_waiting(server: DevServer, mode: Mode, attempt: Attempt) -> str:
    """Run an attempt whose process disappears after it has started its run; return the run's id."""
    if mode == "deferrable":
        return deferred(operator_for(mode), attempt).execution_id

    def lost(run: FlowRun, seconds: float) -> None:
        raise WorkerLost

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlowRun, "_sleep", lost)
        with pytest.raises(WorkerLost):
            run_task(operator_for(mode), attempt)
    return server.executions()[-1]["id"]


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
def test_18999_a_retry_after_a_lost_worker_attaches_to_the_run_that_is_under_way(
    server: DevServer, mode: Mode
) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    attempt = Attempt()
    execution_id = lose_worker_while_waiting(server, mode, attempt)
    retry = outcome(server, mode, attempt=attempt, meanwhile=lambda _: server.advance(3600))
    assert retry.value["execution_id"] == execution_id
    assert len(starts(server)) == 1
    assert statuses(server) == ["Success"]


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
def test_67118_a_worker_lost_between_submission_and_record_leads_to_no_second_run(
    server: DevServer, mode: Mode
) -> None:
    class LosingStore(FakeStateStore):
        def set(self, key: str, value: Any, *, retention: Any = None) -> None:
            if value["execution_id"] is not None:
                raise WorkerLost
            super().set(key, value, retention=retention)

    panel_flow(server, LONG)
    store = LosingStore()
    with pytest.raises(WorkerLost):
        run_task(operator_for(mode), Attempt(store=store))
    (lost,) = server.executions()
    retry = outcome(server, mode, attempt=Attempt(store=store))
    assert type(retry.error) is FlowSubmissionUnclearError
    assert lost["id"] in retry.message
    assert len(starts(server)) == 1


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
def test_71485_a_deferrable_task_reconnects_by_its_record_as_one_on_a_worker_does(
    server: DevServer, mode: Mode
) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    attempt = Attempt()
    execution_id = lose_worker_while_waiting(server, mode, attempt)
    known = len(server.requests)
    server.advance(3600)
    retry = outcome(server, mode, attempt=attempt)
    assert (retry.value["execution_id"], retry.value["status"]) == (execution_id, "Success")
    assert len(starts(server)) == 1
    # The record names the run, so the service's executions are not searched.
    assert not [one for one in server.requests[known:] if one.path.endswith("/flows/executions")]


# --- time limits ---


def test_19382_the_execution_timeout_holds_while_the_task_is_deferred(server: DevServer) -> None:
    panel_flow(server, LONG)
    run = outcome(server, "deferrable", execution_timeout=timedelta(seconds=0.3), timeout=3600)
    assert type(run.error) is FlowTimeoutError
    assert len(run.attempt.deferrals) == 1
    assert statuses(server) == ["Canceled"]


def test_69678_no_deferral_gives_the_execution_timeout_anew(server: DevServer) -> None:
    panel_flow(server, SHORT, FORM, SHORT, {**FORM, "id": "second"}, SHORT)
    began = time.time()
    run = outcome(
        server,
        "deferrable",
        execution_timeout=timedelta(seconds=600),
        on_user_input="answer",
        answers={"way": "mail"},
    )
    assert run.value["status"] == "Success"
    deadlines = {trigger.deadline for trigger in run.attempt.deferrals}
    assert len(run.attempt.deferrals) > 1
    assert len(deadlines) == 1
    assert began + 600 <= deadlines.pop() <= time.time() + 600


def test_40018_a_triggerer_that_restarts_does_not_begin_the_time_limit_again(server: DevServer) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    trigger = deferred(operator_for("deferrable", timeout=0.6), Attempt())
    in_triggerer(trigger, server, end=nothing)
    time.sleep(max(0.0, trigger.deadline - time.time()))
    known = len(asked(server, "GET", "/progress"))
    event = first_event(revive(trigger))
    assert (event["reason"], event["deadline"]) == ("deadline", trigger.deadline)
    assert len(asked(server, "GET", "/progress")) == known + 1


def test_62306_the_timeout_of_a_deferred_sensor_is_that_of_its_first_triggerer(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    server.configure(hold="ignored")
    execution_id = hook.start(panel_flow(server, LONG).id).execution_id
    sensor = SmartFlowsExecutionSensor(
        task_id="s", execution_id=execution_id, timeout=0.6, poke_interval=0.05, deferrable=True
    )
    trigger = deferred(sensor, Attempt())
    in_triggerer(trigger, server, end=nothing)
    time.sleep(max(0.0, trigger.deadline - time.time()))
    known = len(asked(server, "GET", "/progress"))
    event = first_event(revive(trigger))
    assert len(asked(server, "GET", "/progress")) == known + 1
    with pytest.raises(AirflowSensorTimeout, match=r"not finished within 0\.6 seconds"):
        sensor.execute_complete(Attempt().context(), event)
    assert cancels(server) == []


# --- connections in the triggerer ---


def refused_in_a_loop(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a blocking call that fails where an event loop runs, as Airflow's look-ups do there."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return call(*args, **kwargs)
        raise RuntimeError("You cannot use AsyncToSync in the same thread as an async event loop")

    return guarded


@pytest.fixture
def strict_triggerer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event loop in which no blocking look-up, request or sleep works."""
    monkeypatch.setattr(Connection, "get", classmethod(refused_in_a_loop(Connection.get.__func__)))
    monkeypatch.setattr(BlockingClient, "send", refused_in_a_loop(BlockingClient.send))
    monkeypatch.setattr(time, "sleep", refused_in_a_loop(time.sleep))


@pytest.mark.usefixtures("strict_triggerer")
def test_53447_a_trigger_looks_its_connection_up_without_blocking_the_event_loop(server: DevServer) -> None:
    async def blocking() -> object:
        return SmartFlowsHook().settings

    with pytest.raises(RuntimeError, match="You cannot use AsyncToSync"):
        asyncio.run(blocking())
    panel_flow(server, SHORT)
    run = outcome(server, "deferrable")
    assert run.value["status"] == "Success"
    assert [event["reason"] for event in run.attempt.events] == ["finished"]


@pytest.mark.usefixtures("strict_triggerer")
def test_57145_a_trigger_reads_a_rotated_key_and_cancels_without_blocking_the_event_loop(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    trigger = deferred(operator_for("deferrable", timeout=1.5), Attempt())

    def rotate() -> None:
        server.add_key("the-new-key")
        monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key="the-new-key"))
        server.revoke_key()

    async def run() -> dict[str, Any]:
        before = len(asked(server, "GET", "/progress"))
        waiting = asyncio.create_task(anext(aiter(trigger.run())))
        await until(lambda: len(asked(server, "GET", "/progress")) > before)
        rotate()
        return (await waiting).payload

    event = asyncio.run(asyncio.wait_for(run(), 60))
    assert (event["reason"], event["canceled"]) == ("deadline", True)
    assert [request.status for request in server.requests].count(401) == 1
    assert statuses(server) == ["Canceled"]


@pytest.mark.usefixtures("strict_triggerer")
def test_35806_no_trigger_keeps_others_from_their_turn(server: DevServer) -> None:
    panel_flow(server, LONG)
    triggers = [deferred(operator_for("deferrable"), Attempt()) for _ in range(40)]
    before = len(asked(server, "GET", "/progress"))

    async def run() -> list[str]:
        waiting = [asyncio.create_task(anext(aiter(trigger.run()))) for trigger in triggers]
        # Each has its question open at the service before the first one is answered.
        await until(lambda: len(asked(server, "GET", "/progress")) >= before + len(triggers))
        assert not any(task.done() for task in waiting)
        await asyncio.to_thread(server.advance, 3600)
        return [event.payload["reason"] for event in await asyncio.gather(*waiting)]

    assert asyncio.run(asyncio.wait_for(run(), 120)) == ["finished"] * len(triggers)


# --- deferred mode is another thing than the usual one ---


@pytest.mark.parametrize(
    ("step", "kind", "more"),
    [
        ({"kind": "fail", "message": "no customer"}, FlowExecutionFailedError, {}),
        ({"kind": "interrupt", "message": "moved"}, FlowExecutionInterruptedError, {}),
        ({"kind": "warning", "message": "no logo"}, FlowExecutionWarningError, {"on_warning": "fail"}),
    ],
)
def test_35597_a_run_that_ends_badly_fails_the_task_alike_in_both_modes(
    server: DevServer, step: dict[str, Any], kind: type[Exception], more: dict[str, Any]
) -> None:
    panel_flow(server, SHORT, step)
    run = both(server, **more)
    assert type(run.error) is kind
    assert len(run.attempt.deferrals) == 1


def test_35597_a_run_that_is_cancelled_at_the_service_is_no_success_in_either_mode(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    panel_flow(server, LONG)
    run = both(server, meanwhile=hook.cancel)
    assert type(run.error) is FlowExecutionCanceledError


def test_40457_values_documents_and_xcoms_are_alike_in_both_modes(server: DevServer, tmp_path: Path) -> None:
    server.add_flow(
        name="Letter",
        start_from="panel",
        templates={"page.j2": "<h1>Dear Ada</h1>"},
        steps=[
            SHORT,
            {"id": "d1", "kind": "document", "template": "page.j2", "format": "html", "file_name": "a.html"},
            {"kind": "output", "values": {"sum": 7, "list": [1, {"a": None}]}},
        ],
    )
    run = both(server, documents_path=str(tmp_path))
    assert run.error is None
    assert run.value["values"]["sum"] == 7
    assert len(run.value["documents"]) == 1
    assert set(run.attempt.xcoms) == {"execution_id", "execution_url"}


@pytest.mark.parametrize("more", [{"timeout": 0.3}, {"timeout": 0.3, "cancel_on_timeout": False}])
def test_72144_a_time_limit_ends_the_task_alike_in_both_modes(
    server: DevServer, more: dict[str, Any]
) -> None:
    panel_flow(server, LONG)
    run = both(server, **more)
    assert type(run.error) is FlowTimeoutError
    assert statuses(server) == ["Canceled" if len(more) == 1 else "Running"] * 2


def test_72144_a_run_that_fails_before_anybody_waits_for_it_fails_the_task_alike(server: DevServer) -> None:
    panel_flow(server, {"kind": "fail", "message": "at once"})
    run = both(server)
    assert type(run.error) is FlowExecutionFailedError
    assert run.attempt.deferrals == []


# --- what a trigger sends, and is made of ---


def test_67945_a_trigger_that_starts_again_and_again_only_reads(server: DevServer) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    trigger = deferred(operator_for("deferrable"), Attempt())
    known = len(server.requests)
    for _ in range(3):
        in_triggerer(revive(trigger), server, end=nothing)
    server.advance(3600)
    assert first_event(revive(trigger))["reason"] == "finished"
    assert {request.method for request in server.requests[known:]} == {"GET"}
    assert len(server.executions()) == 1


def test_64609_a_triggers_arguments_come_back_from_the_database_as_they_were(server: DevServer) -> None:
    panel_flow(server, LONG)
    operator = operator_for(
        "deferrable",
        poll_interval=7,
        max_outage=12.5,
        timeout=90,
        on_user_input="answer",
        answers={"way": "mail"},
        cancel_on_kill=False,
        execution_timeout=timedelta(seconds=30),
    )
    with pytest.raises(TaskDeferred) as raised:
        operator.execute(Attempt().context())
    _, kwargs = raised.value.trigger.serialize()
    assert json.loads(json.dumps(kwargs)) == kwargs
    assert deserialize(json.loads(json.dumps(serialize(kwargs)))) == kwargs
    ending = kwargs.pop("ending")
    assert (ending is not None) is SUCCESS_IN_TRIGGERER.available
    assert kwargs.pop("terms") is kwargs.pop("open_form") is None
    assert {type(value) for value in kwargs.values()} <= {str, int, float, bool}
    assert {type(value) for value in (ending or {}).values()} <= {str, int, bool, dict}


@pytest.mark.parametrize("option", ["poll_interval", "max_outage", "timeout"])
@pytest.mark.parametrize("value", [timedelta(seconds=5), lambda: 5, "5 s", None])
def test_64609_an_argument_that_no_database_takes_is_refused_before_a_run_is_started(
    option: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=f"t: {option} is "):
        operator_for("deferrable", **{option: value})


def test_36492_a_triggers_arguments_and_event_hold_no_secret(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add_key("canary-key")
    monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key="canary-key"))
    panel_flow(server, SHORT)
    run = outcome(server, "deferrable")
    stored = json.dumps([trigger.serialize() for trigger in run.attempt.deferrals] + run.attempt.events)
    assert run.error is None
    assert len(run.attempt.deferrals) == 1
    assert "canary" not in stored


# --- the connection's form ---


@needs_connection_forms
def test_55841_the_form_of_airflow_3_shows_every_field_of_the_connection() -> None:
    declared = get_provider_info()["connection-types"][0]
    (shown,) = [one for one in HookMetaService.hook_meta_data() if one.connection_type == "smartflows"]
    assert shown.hook_name == "Smart Flows"
    assert set(shown.extra_fields or {}) == set(declared["conn-fields"])
    assert shown.standard_fields is not None
    assert shown.standard_fields.password is not None
    assert not shown.standard_fields.password.hidden
    assert "key" in (shown.standard_fields.password.title or "").lower()
    assert shown.standard_fields.host is not None
    assert not shown.standard_fields.host.hidden


# --- what is too much ---


LARGE = {"kind": "output", "values": {"text": "x" * 200_000}}


def test_48852_an_output_too_large_for_an_xcom_says_what_to_set(server: DevServer) -> None:
    panel_flow(server, SHORT, LARGE)
    run = both(server)
    assert type(run.error) is FlowOutputError
    assert "documents_path" in run.message
    assert "return_value" not in run.attempt.xcoms


def test_48852_an_output_too_large_for_an_xcom_goes_to_a_file_and_the_xcom_stays_small(
    server: DevServer, tmp_path: Path
) -> None:
    panel_flow(server, SHORT, LARGE)
    run = both(server, documents_path=str(tmp_path))
    assert run.error is None
    assert len(json.dumps(run.value)) < 10_000
    (file,) = [one for one in tmp_path.rglob("*.json") if run.execution_id in str(one)]
    assert len(json.loads(file.read_text())["text"]) == 200_000
    assert all(len(json.dumps(event)) < 2_000 for event in run.attempt.events)


def test_21852_too_many_requests_at_the_start_lead_to_one_run(server: DevServer) -> None:
    panel_flow(server, SHORT)
    server.inject(
        Fault(action="status", status=429, headers={"retry-after": "0"}, method="POST", path=START, count=2)
    )
    run = outcome(server, "sync")
    assert run.value["status"] == "Success"
    assert len(starts(server)) == 3
    assert len(server.executions()) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [429, 503])
def test_21852_the_wait_comes_back_no_sooner_than_the_service_asks(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, mode: Mode, status: int
) -> None:
    pauses: list[float] = []

    passed = 0.0

    def clock() -> Moment:
        moment = read_clocks()
        return Moment(wall=moment.wall, steady=moment.steady + passed)

    def call_later(seconds: float, callback: Callable[[], None]) -> asyncio.Handle:
        nonlocal passed
        passed += seconds
        if seconds > 1:
            pauses.append(seconds)
        return asyncio.get_running_loop().call_soon(callback)

    monkeypatch.setattr(FlowRun, "_sleep", lambda run, seconds: pauses.append(seconds))
    monkeypatch.setattr(poller, "call_later", call_later)
    monkeypatch.setitem(poller.StatusPoller.__init__.__kwdefaults__, "clock", clock)
    panel_flow(server, LONG)
    for seconds in ("7", "86400"):
        server.inject(
            Fault(action="status", status=status, headers={"retry-after": seconds}, path="/progress$")
        )
    with acting(server, lambda _: server.advance(3600)):
        run = outcome(server, mode)
    assert run.value["status"] == "Success"
    asked_for, absurd = pauses[:2]
    assert 7 <= asked_for <= 13
    # A day is not waited for: what a service asks is honoured up to five minutes.
    assert 300 <= absurd <= 306
