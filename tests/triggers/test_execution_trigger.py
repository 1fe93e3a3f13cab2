"""The trigger as Airflow treats it: kept as plain text, revived anywhere, started from scratch, cancelled."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent
from support.airflow_versions import deserialize, serialize
from support.service import CONN_VARIABLE, LONG, asked, cancels, panel_flow, statuses
from support.tasks import Attempt, first_event, revive
from support.triggerer import IDENTITY, events_of, triggerer

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.deferred_kill import TaskIdentity, WaitedRun
from smartflows_provider.triggers import execution
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.waiting import wait
from smartflows_provider.waiting.event import EVENT_SCHEMA
from smartflows_provider.wire.run import RunPhase, RunSnapshot
from smartflows_provider.wire.smart_flows import phase_of

CANARY = "canary-key-7f3a"
PATH = "smartflows_provider.triggers.execution.FlowExecutionTrigger"


def trigger(execution_id: str, **arguments: Any) -> FlowExecutionTrigger:
    return FlowExecutionTrigger(
        **{
            "system": "smartflows",
            "conn_id": "smartflows_default",
            "execution_id": execution_id,
            "deadline": time.time() + 3600,
            "max_outage": 0.3,
            **arguments,
        }
    )


def started(server: DevServer, hook: SmartFlowsHook, *steps: dict[str, Any]) -> str:
    return hook.start(panel_flow(server, *steps).id).execution_id


def during(
    trigger: FlowExecutionTrigger, until: Callable[[], bool], then: Callable[[], Any]
) -> dict[str, Any]:
    """Run a trigger to its event; do something once a condition holds."""

    async def run() -> dict[str, Any]:
        waiting = asyncio.create_task(anext(aiter(trigger.run())))
        while not until():
            await asyncio.sleep(0.01)
        await asyncio.to_thread(then)
        return (await waiting).payload

    return asyncio.run(asyncio.wait_for(run(), 60))


# --- the row ---


def test_every_argument_is_in_the_row() -> None:
    signature = inspect.signature(FlowExecutionTrigger.__init__)
    path, kwargs = trigger("e1").serialize()
    assert path == PATH
    assert set(kwargs) == set(signature.parameters) - {"self"}


def test_every_argument_comes_back_out_of_the_row() -> None:
    given = {
        "system": "smartflows",
        "conn_id": "other",
        "execution_id": "e9",
        "deadline": 12.5,
        "poll_interval": 1.5,
        "max_outage": 2.5,
        "stop_for_person": True,
        "cancel_on_kill": False,
        "cancel_on_timeout": False,
        "cancel_for_person": True,
        "keep_on_clear": True,
        "owns_run": False,
        "ending": {"returns": "status", "on_warning": "fail"},
        "terms": {"success_states": ["Done"]},
        "open_form": {"question": "a1", "ti_id": None, "until": None},
        "schema_version": 1,
    }
    made = FlowExecutionTrigger(**given)
    assert made.serialize()[1] == given
    assert revive(made).serialize() == made.serialize()


def test_the_row_survives_airflows_own_serialization() -> None:
    kwargs = trigger("e1").serialize()[1]
    assert deserialize(json.loads(json.dumps(serialize(kwargs)))) == kwargs


def test_an_early_row_that_holds_only_what_is_required_is_revived() -> None:
    early = {"system": "smartflows", "conn_id": "c", "execution_id": "e1", "deadline": 4e9}
    revived = FlowExecutionTrigger(**early).serialize()[1]
    assert {key: revived[key] for key in early} == early


def test_neither_row_nor_event_nor_log_holds_the_key(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    execution_id = started(server, hook, LONG)
    server.add_key(CANARY)
    monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key=CANARY))
    waiting = trigger(execution_id)
    server.inject(Fault(action="status", status=500, path="/progress$", method="GET"))
    with caplog.at_level(logging.DEBUG):
        event = during(
            waiting,
            lambda: bool(asked(server, "GET", "/progress")),
            lambda: server.revoke_key(CANARY) or server.advance(3600),
        )
    assert event["reason"] == "refused"
    assert CANARY not in json.dumps(event)
    assert CANARY not in json.dumps(waiting.serialize())
    logged = caplog.text + capsys.readouterr().out
    assert "answered with 401" in logged
    assert CANARY not in logged
    assert CANARY not in repr(vars(waiting))


# --- an end without a worker ---


def test_a_success_with_nothing_left_to_do_ends_the_task_and_leaves_nothing_behind(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, released = Attempt(), []
    monkeypatch.setattr(execution, "release", released.append)
    ending = {"returns": "manifest", "on_warning": "succeed", "max_xcom_bytes": 1000}
    waiting = revive(trigger(started(server, hook, {"kind": "work"}), ending=ending))
    waiting.task_instance = SimpleNamespace(**IDENTITY, id="ti")
    attempt.xcoms["execution_id"] = waiting.execution_id
    with triggerer(attempt):
        (event,) = events_of(waiting)
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms is None
    assert attempt.xcoms["return_value"]["execution_id"] == waiting.execution_id
    assert released == []


def test_without_a_task_as_in_dag_test_the_event_is_the_ordinary_one(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    ending = {"returns": "manifest", "on_warning": "succeed", "max_xcom_bytes": 1000}
    event = first_event(trigger(started(server, hook, {"kind": "work"}), ending=ending))
    assert (event["reason"], event["status"]) == ("finished", "Success")


def test_the_arguments_are_no_templates_any_more() -> None:
    waiting = trigger("{{ 7 }}")
    waiting.template_fields = ("execution_id",)
    waiting.render_template_fields({})
    assert waiting.execution_id == "{{ 7 }}"


# --- how a wait ends ---


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ({"kind": "work", "duration": 0.2}, "Success"),
        ({"kind": "warning", "message": "hm"}, "Warning"),
        ({"kind": "fail", "message": "no"}, "Error"),
        ({"kind": "interrupt", "message": "no"}, "Interrupted"),
    ],
)
def test_a_finished_run_is_told_with_its_status(
    server: DevServer, hook: SmartFlowsHook, step: dict[str, Any], status: str
) -> None:
    execution_id, deadline = started(server, hook, step), time.time() + 60
    assert first_event(trigger(execution_id, deadline=deadline)) == {
        "schema_version": EVENT_SCHEMA,
        "reason": "finished",
        "execution_id": execution_id,
        "status": status,
        "phase": phase_of(status),
        "detail": "",
        "canceled": False,
        "deadline": deadline,
    }
    assert cancels(server) == []


@pytest.mark.parametrize(("life", "known"), [(1.5, True), (3600.0, False)])
def test_a_task_is_resumed_no_sooner_than_airflow_has_heard_of_its_workers_end(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, life: float, known: bool
) -> None:
    monkeypatch.setattr(execution, "LEAST_LIFE", life)
    waiting = trigger(started(server, hook, {"kind": "work", "duration": 0}))
    if known:
        waiting.task_instance = SimpleNamespace(**IDENTITY, id="ti")
    began = time.monotonic()
    with triggerer(Attempt()):
        assert first_event(waiting)["reason"] == "finished"
    if known:
        assert time.monotonic() - began >= life


def test_a_trigger_that_waits_with_its_event_leaves_a_run_alone_that_is_over(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "LEAST_LIFE", 3600.0)
    waiting = trigger(started(server, hook, {"kind": "work", "duration": 0}))
    waiting.task_instance = SimpleNamespace(**IDENTITY, id="ti")

    async def cancelled() -> None:
        task = asyncio.create_task(anext(waiting.run()))
        while not was_answered():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        await waiting.on_kill()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def was_answered() -> bool:
        return any(request.path.endswith("/progress") and request.status for request in server.requests)

    released: list[Any] = []
    with triggerer(Attempt()), monkeypatch.context() as patch:
        patch.setattr(execution, "release", released.append)
        asyncio.run(asyncio.wait_for(cancelled(), 30))
    assert released == []


def test_run_can_start_from_scratch_at_any_time(server: DevServer, hook: SmartFlowsHook) -> None:
    waiting = trigger(started(server, hook, {"kind": "work", "duration": 0.3}))
    events = [first_event(waiting), first_event(revive(waiting)), first_event(waiting)]
    assert [event["reason"] for event in events] == ["finished"] * 3


FORM = {"kind": "form", "fields": [{"key": "way", "title": "Way"}]}


def test_where_a_person_is_needed_the_trigger_ends_if_it_shall(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    event = first_event(trigger(started(server, hook, FORM), stop_for_person=True))
    assert (event["reason"], event["status"], event["canceled"]) == ("needs_person", "UserInput", False)
    assert statuses(server) == ["UserInput"]


def test_where_a_person_is_needed_and_none_is_wanted_the_trigger_cancels_before_anybody_can_end_the_task(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    execution_id = started(server, hook, FORM)
    event = first_event(trigger(execution_id, stop_for_person=True, cancel_for_person=True))
    assert (event["reason"], event["status"], event["canceled"]) == ("needs_person", "UserInput", True)
    assert statuses(server) == ["Canceled"]


def test_where_a_person_is_needed_the_trigger_waits_for_one(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = started(server, hook, FORM)
    event = during(
        trigger(execution_id, stop_for_person=False),
        lambda: len(asked(server, "GET", "/progress")) > 0,
        lambda: hook.answer_form(execution_id, {"way": "mail"}),
    )
    assert (event["reason"], event["status"]) == ("finished", "Success")


@pytest.mark.parametrize("cancel", [True, False])
def test_at_the_deadline_the_run_is_cancelled_as_the_author_wants(
    server: DevServer, hook: SmartFlowsHook, cancel: bool
) -> None:
    execution_id = started(server, hook, LONG)
    event = first_event(trigger(execution_id, deadline=time.time() - 1, cancel_on_timeout=cancel))
    assert (event["reason"], event["status"], event["canceled"]) == ("deadline", "Running", cancel)
    assert statuses(server) == (["Canceled"] if cancel else ["Running"])
    assert len(cancels(server)) == cancel


def test_a_cancel_that_fails_at_the_deadline_is_told(
    server: DevServer, hook: SmartFlowsHook, capsys: pytest.CaptureFixture[str]
) -> None:
    execution_id = started(server, hook, LONG)
    server.inject(Fault(action="status", status=403, method="DELETE", count=None))
    event = first_event(trigger(execution_id, deadline=time.time() - 1))
    assert (event["reason"], event["canceled"]) == ("deadline", False)
    assert f"Execution {execution_id} could not be cancelled: DELETE" in capsys.readouterr().out


def test_a_run_that_had_ended_when_it_was_to_be_cancelled_was_not(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(self: SmartFlowsHook, execution_id: str, *, terms: Any) -> Any:
        yield from ()
        return RunSnapshot(execution_id=execution_id, status="Success", phase=RunPhase.SUCCEEDED)

    monkeypatch.setattr(SmartFlowsHook, "cancel_exchange", cancel)
    event = first_event(trigger(started(server, hook, LONG), deadline=time.time() - 1))
    assert (event["reason"], event["canceled"]) == ("deadline", False)


def test_what_is_finished_at_the_deadline_counts(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = started(server, hook, {"kind": "work"})
    event = first_event(trigger(execution_id, deadline=time.time() - 100))
    assert (event["reason"], event["status"]) == ("finished", "Success")
    assert cancels(server) == []


def test_a_service_that_stays_away_is_told_as_unreachable(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = started(server, hook, LONG)
    server.inject(Fault(action="reset", path="/progress$", method="GET", count=None))
    event = first_event(trigger(execution_id))
    assert event["reason"] == "unreachable"
    assert event["detail"].startswith("no status for ")
    assert cancels(server) == []
    assert statuses(server) == ["Running"]


def test_a_service_that_comes_back_is_waited_for(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = started(server, hook, {"kind": "work", "duration": 0.2})
    server.inject(Fault(action="status", status=503, path="/progress$", method="GET", count=1))
    event = first_event(trigger(execution_id, max_outage=600))
    assert (event["reason"], event["status"]) == ("finished", "Success")


@pytest.mark.parametrize("purged", [404, 410])
def test_a_purged_run_is_told_as_gone(server: DevServer, hook: SmartFlowsHook, purged: int) -> None:
    server.configure(purged=purged)
    execution_id = started(server, hook, LONG)
    server.expire(execution_id)
    event = first_event(trigger(execution_id))
    assert event["reason"] == "gone"
    assert f"answered with {purged}" in event["detail"]


def test_a_licence_that_is_taken_away_is_told_as_denied(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = started(server, hook, LONG)
    server.inject(Fault(action="status", status=403, path="/progress$", method="GET", count=None))
    event = first_event(trigger(execution_id))
    assert event["reason"] == "denied"
    assert "answered with 403" in event["detail"]


# --- the connection during a wait ---


def test_a_key_that_was_rotated_is_picked_up(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = started(server, hook, LONG)

    def rotate() -> None:
        server.add_key("the-new-key")
        monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key="the-new-key"))
        server.revoke_key()
        server.advance(3600)

    event = during(
        trigger(execution_id, max_outage=60), lambda: len(asked(server, "GET", "/progress")) > 0, rotate
    )
    refused = [request for request in server.requests if request.status == 401]
    assert (event["reason"], event["status"]) == ("finished", "Success")
    assert len(refused) <= 1


def test_a_key_that_is_revoked_for_good_ends_as_refused(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = started(server, hook, LONG)
    server.revoke_key()
    event = first_event(trigger(execution_id))
    assert (event["reason"], event["canceled"]) == ("refused", False)
    assert "answered with 401" in event["detail"]
    assert len([request for request in server.requests if request.status == 401]) == 2


def test_a_connection_that_was_removed_before_the_trigger_starts_is_an_event(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = started(server, hook, LONG)
    monkeypatch.delenv(CONN_VARIABLE)
    event = first_event(trigger(execution_id))
    assert event["reason"] == "misconfigured"
    assert "The Airflow connection 'smartflows_default' does not exist." in event["detail"]


def test_a_connection_that_is_removed_during_the_wait_is_an_event(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = started(server, hook, LONG)

    def remove() -> None:
        monkeypatch.delenv(CONN_VARIABLE)
        server.revoke_key()

    # The key is refused a moment before Airflow misses the connection, so the outage is the older of the two.
    monkeypatch.setattr(wait, "MISSING_PATIENCE", 0.1)
    waiting = trigger(execution_id, max_outage=10.0)
    event = during(waiting, lambda: len(asked(server, "GET", "/progress")) > 0, remove)
    assert event["reason"] == "misconfigured"
    assert event["status"] == "Running"


def test_an_infinite_poll_interval_is_a_long_one(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(server.connection_json())
    monkeypatch.setenv(CONN_VARIABLE, json.dumps({**connection, "extra": {"max_connections": 1}}))
    flow = panel_flow(server, {"kind": "work", "duration": 0.2})
    waiting = [trigger(hook.start(flow.id).execution_id, poll_interval=math.inf) for _ in range(3)]

    async def reasons() -> list[str]:
        events = await asyncio.gather(*(anext(aiter(each.run())) for each in waiting))
        return [event.payload["reason"] for event in events]

    assert asyncio.run(asyncio.wait_for(reasons(), 60)) == ["finished"] * 3


# --- a triggerer that ends ---


def test_a_triggerer_that_ends_cancels_nothing_at_the_service(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    execution_id = started(server, hook, LONG)

    async def run() -> None:
        waiting = trigger(execution_id)
        running = asyncio.create_task(anext(aiter(waiting.run())))
        while not asked(server, "GET", "/progress"):
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await waiting.cleanup()

    asyncio.run(asyncio.wait_for(run(), 60))
    assert cancels(server) == []
    assert statuses(server) == ["Running"]


# --- who answers for the run afterwards ---


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[WaitedRun]:
    """The runs that triggers have left to be stopped if nobody answers for them."""
    runs: list[WaitedRun] = []

    def note(run: WaitedRun) -> Future[None]:
        runs.append(run)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    monkeypatch.setattr(execution, "release", note)
    return runs


def of_a_task(made: FlowExecutionTrigger) -> FlowExecutionTrigger:
    made.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=3)
    return made


def all_events(made: FlowExecutionTrigger) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        return [event.payload async for event in made.run()]

    return asyncio.run(run())


def test_after_an_event_that_leaves_the_run_alive_it_is_watched_until_a_worker_takes_it_up(
    server: DevServer, hook: SmartFlowsHook, released: list[WaitedRun]
) -> None:
    execution_id = started(server, hook, FORM)
    (event,) = all_events(of_a_task(trigger(execution_id, stop_for_person=True)))
    assert event["reason"] == "needs_person"
    assert released == [
        WaitedRun(
            system="smartflows",
            conn_id="smartflows_default",
            execution_id=execution_id,
            task=TaskIdentity(dag_id="d", run_id="r", task_id="t", map_index=3),
            cancel=True,
            handing_over=True,
        )
    ]


@pytest.mark.parametrize(
    ("steps", "arguments"),
    [
        ([{"kind": "work", "duration": 0.1}], {}),
        ([LONG], {"deadline": 1.0}),
        ([FORM], {"stop_for_person": True, "cancel_for_person": True}),
        ([FORM], {"stop_for_person": True, "owns_run": False}),
    ],
)
def test_what_is_over_or_is_not_the_tasks_own_is_not_watched(
    server: DevServer,
    hook: SmartFlowsHook,
    released: list[WaitedRun],
    steps: list[dict[str, Any]],
    arguments: dict[str, Any],
) -> None:
    all_events(of_a_task(trigger(started(server, hook, *steps), **arguments)))
    assert released == []


@pytest.mark.parametrize("has_on_kill", [True, False])
async def test_a_trigger_that_is_torn_down_is_released_there_where_airflow_has_no_on_kill(
    server: DevServer,
    hook: SmartFlowsHook,
    released: list[WaitedRun],
    monkeypatch: pytest.MonkeyPatch,
    has_on_kill: bool,
) -> None:
    monkeypatch.setattr(execution, "AIRFLOW_V_3_3_PLUS", has_on_kill)
    waiting = of_a_task(trigger(started(server, hook, LONG)))
    task = asyncio.create_task(anext(aiter(waiting.run())))
    while not asked(server, "GET", "/progress"):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(run.execution_id, run.handing_over, run.ending) for run in released] == (
        [] if has_on_kill else [(waiting.execution_id, False, True)]
    )
