"""The trigger that a sensor starts with: what a worker would have done first, or a worker."""

from __future__ import annotations

import asyncio
import inspect
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from support.airflow_versions import deserialize, needs_start_in_triggerer, serialize
from support.service import CONN_VARIABLE, LONG, asked, cancels, panel_flow, statuses
from support.tasks import Attempt, revive
from support.triggerer import IDENTITY, events_of, triggerer

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.triggers import sensor_start
from smartflows_provider.triggers.sensor_start import SensorStartTrigger

pytestmark = needs_start_in_triggerer

DONE = {"kind": "work"}


def trigger(execution_id: str, *, xcoms: dict[str, Any] | None = None, **arguments: Any) -> Any:
    """Return a trigger as Airflow has it before it runs."""
    made = revive(
        SensorStartTrigger(
            **{
                "system": "smartflows",
                "conn_id": "smartflows_default",
                "execution_id": execution_id,
                "time_limit": 60.0,
                "airflow_limit": 180.0,
                "poll_interval": 0.05,
                "ends_here": True,
                **arguments,
            }
        )
    )

    def pull(task_ids: str, **_: Any) -> Any:
        return (xcoms or {}).get(task_ids)

    ti = SimpleNamespace(**IDENTITY, id="ti", try_number=1, xcom_pull=pull)
    made.task_instance = ti
    made.render_template_fields({"ti": ti, "task_instance": ti})
    made.timeout_after = datetime.now(tz=UTC) + timedelta(seconds=made.airflow_limit)
    return made


def started(server: DevServer, hook: SmartFlowsHook, *steps: dict[str, Any]) -> str:
    server.configure(hold="ignored")
    return hook.start(panel_flow(server, *steps).id).execution_id


def run(made: Any, attempt: Attempt | None = None) -> TriggerEvent:
    with triggerer(attempt or Attempt()):
        (event,) = events_of(made)
    return event


def test_every_argument_is_in_the_row_and_comes_back_out_of_it() -> None:
    given = {
        "system": "smartflows",
        "conn_id": "other",
        "execution_id": "{{ ds }}",
        "time_limit": 3.5,
        "airflow_limit": 4.5,
        "poll_interval": 1.5,
        "max_outage": 2.5,
        "stop_for_person": True,
        "on_warning": "fail",
        "ends_here": True,
        "terms": {"target": "started"},
        "schema_version": 2,
    }
    assert set(inspect.signature(SensorStartTrigger.__init__).parameters) - {"self"} == set(given)
    made = SensorStartTrigger(**given)
    assert made.serialize()[1] == given
    assert revive(made).serialize() == made.serialize()
    assert deserialize(json.loads(json.dumps(serialize(given)))) == given


def test_an_end_without_a_worker(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id, attempt = started(server, hook, DONE), Attempt()
    assert isinstance(run(trigger(execution_id), attempt), TaskSuccessEvent)
    url = f"{server.url}/client"
    assert attempt.xcoms == {
        "execution_url": url,
        "return_value": {"execution_id": execution_id, "status": "Success", "url": url},
    }


def test_templates_are_rendered_and_the_link_is_pushed_before_the_wait(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    execution_id, attempt = started(server, hook, LONG), Attempt()
    made = trigger(
        "{{ ti.xcom_pull('start') }}",
        conn_id="smartflows_{{ ti.xcom_pull('name') }}",
        xcoms={"start": execution_id, "name": "default"},
    )

    async def until_it_waits() -> None:
        waiting = asyncio.create_task(anext(aiter(made.run())))
        while not asked(server, "GET", f"{execution_id}/progress"):
            await asyncio.sleep(0.01)
        waiting.cancel()

    with triggerer(attempt):
        asyncio.run(asyncio.wait_for(until_it_waits(), 60))
    assert attempt.xcoms == {"execution_url": f"{server.url}/client"}
    assert cancels(server) == []


def test_where_a_worker_is_needed_at_the_end_it_gets_the_ordinary_event(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    execution_id, attempt = started(server, hook, DONE), Attempt()
    event = run(trigger(execution_id, ends_here=False), attempt)
    assert (event.payload["reason"], event.payload["status"]) == ("finished", "Success")
    assert "return_value" not in attempt.xcoms


def test_a_bad_end_is_told_to_a_worker(server: DevServer, hook: SmartFlowsHook) -> None:
    event = run(trigger(started(server, hook, {"kind": "fail", "message": "no"})))
    assert (event.payload["reason"], event.payload["status"]) == ("finished", "Error")


@pytest.mark.parametrize("later", [False, True])
def test_the_time_limit_counts_from_airflows_start_also_after_a_restart(
    server: DevServer, hook: SmartFlowsHook, later: bool
) -> None:
    made = trigger(started(server, hook, LONG))
    # Airflow's own limit is 180 s after the start, the sensor's 60 s after it.
    since_start = 61 if later else 0
    naive = datetime.now(tz=UTC).replace(tzinfo=None)
    made.timeout_after = naive + timedelta(seconds=180 - since_start)
    if later:
        event = run(made)
        assert (event.payload["reason"], event.payload["status"]) == ("deadline", "Running")
    else:
        assert made._deadline == pytest.approx(datetime.now(tz=UTC).timestamp() + 60, abs=5)
    assert statuses(server) == ["Running"]


@pytest.mark.parametrize("listened", [False, True])
@pytest.mark.parametrize("execution_id", ["e1", "{{ ti.xcom_pull('nobody') }}"])
def test_nothing_is_removed_by_a_trigger_since_another_one_may_have_brought_it(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, execution_id: str, listened: bool
) -> None:
    monkeypatch.setattr(sensor_start, "listened_to", lambda: listened)
    made, attempt = trigger(execution_id), Attempt()
    made.task_instance.try_number = 2
    removed: list[dict[str, Any]] = []

    with patch.object(deferred_kill.XCom, "delete", lambda **xcom: removed.append(xcom)):
        run(made, attempt)
    assert removed == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"execution_id": "{{ ti.xcom_pull('nobody') }}"}, "NotRenderedError: an XCom is missing"),
        ({"execution_id": "{{ nothing() }}"}, "UndefinedError"),
        ({"execution_id": " "}, "FlowConfigurationError: The argument execution_id is ' '"),
        ({"execution_id": "e1", "conn_id": "nowhere"}, "FlowConnectionMissingError: The Airflow connection"),
    ],
)
def test_what_keeps_it_from_starting_is_left_to_a_worker(
    server: DevServer, arguments: dict[str, Any], why: str
) -> None:
    event = run(trigger(**arguments))
    assert event.payload["start_on_worker"].startswith(why)
    assert asked(server, "GET", "/progress") == []


def test_without_a_task_it_is_left_to_a_worker(server: DevServer) -> None:
    made = trigger("e1")
    made.task_instance = None
    assert run(made).payload["start_on_worker"].endswith("the trigger knows of no task")


def test_what_is_listened_to_is_left_to_a_worker(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensor_start, "listened_to", lambda: True)
    assert run(trigger("e1")).payload["start_on_worker"].endswith("a listener follows the tasks")


def test_an_xcom_that_cannot_be_pushed_is_left_to_a_worker(server: DevServer, hook: SmartFlowsHook) -> None:
    def refuse(**_: Any) -> None:
        raise ConnectionError

    made = trigger(started(server, hook, DONE))
    with patch.object(deferred_kill.XCom, "set", refuse):
        (event,) = events_of(made)
    assert event.payload["start_on_worker"] == "ConnectionError"


def test_what_airflow_never_answers_is_left_to_a_worker(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(SensorStartTrigger, "_start", never)
    monkeypatch.setattr(sensor_start, "LONGEST_START", 0.05)
    assert run(trigger("e1")).payload["start_on_worker"] == "TimeoutError"


def test_no_event_holds_the_key(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "canary\nkey-7f3a"
    monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key=canary))
    event = run(trigger("e1"))
    assert event.payload["start_on_worker"].startswith("FlowConfigurationError")
    assert "7f3a" not in json.dumps(event.payload)


def test_ending_the_trigger_cancels_nothing(server: DevServer, hook: SmartFlowsHook) -> None:
    asyncio.run(trigger(started(server, hook, LONG)).on_kill())
    assert cancels(server) == []
