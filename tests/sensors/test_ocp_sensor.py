"""The sensor for a flow's status, in its three modes: the same judgement in each, and nothing done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal, get_args

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException
from support.airflow_versions import (
    AirflowRescheduleException,
    AirflowSensorTimeout,
    needs_start_in_triggerer,
)
from support.interruptions import before_the_reading, once
from support.ocp import PASSWORD, TOKEN, connect, ocp_section
from support.outcomes import logged
from support.tasks import Attempt, revive, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.ocp import PROFILES, OcpSection
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAmbiguousError,
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowNotFoundError,
    FlowStateUnknownError,
)
from smartflows_provider.hooks.ocp import OcpHook
from smartflows_provider.sensors.ocp import STATUSES, OcpFlowStatusSensor, Status
from smartflows_provider.wire.ocp_status import STATUS_WORDS, StatusTerms

Way = Literal["poke", "reschedule", "deferrable"]
WAYS: tuple[Way, ...] = ("poke", "reschedule", "deferrable")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture
def section(smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> OcpSection:
    return ocp_section(smart_flows_server, monkeypatch)


@pytest.fixture
def reconnect(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Let ``ocp_default`` lead to the section as it is when this is called."""
    return partial(connect, monkeypatch, smart_flows_server)


def sensor(way: Way, **arguments: Any) -> OcpFlowStatusSensor:
    waiting: dict[str, Any] = {"deferrable": True} if way == "deferrable" else {"mode": way}
    return OcpFlowStatusSensor(
        **{"task_id": "s", "poke_interval": 0.05, "timeout": 60, **waiting, **arguments}
    )


def sense(way: Way, attempt: Attempt | None = None, **arguments: Any) -> Any:
    """Run the sensor to its end; where it asks to be rescheduled, as a new process each time."""
    attempt = attempt or Attempt()
    for _ in range(1000):
        try:
            return run_task(sensor(way, **arguments), attempt)
        except AirflowRescheduleException:
            continue
    raise RuntimeError("the sensor was rescheduled 1000 times")


def acting(section: OcpSection, act: Callable[[], object], *, after: int = 2) -> AbstractContextManager[None]:
    """Do something once the status was asked for so many times."""
    return once(lambda: len(section.asked("GET", "/status/")) >= after, lambda _: act())


@pytest.mark.parametrize("after", ["stopped", "deleted"])
def test_a_status_that_was_seen_stands_whatever_becomes_of_the_flow_then(
    section: OcpSection, way: Way, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    flow_id = section.add_flow("x", status="started")

    def change(_: str) -> None:
        if after == "deleted":
            section.remove(flow_id)
        else:
            section.set_status(flow_id, "stopped")

    before_the_reading(monkeypatch, OcpHook, change)
    assert sense(way, flow_id=flow_id) == {"execution_id": flow_id, "status": "started", "url": ""}


# --- what it waits for -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", STATUSES)
def test_the_status_is_waited_for(section: OcpSection, way: Way, target: Status) -> None:
    before = "stopped" if target != "stopped" else "started"
    flow_id, attempt = section.add_flow("x", status=before), Attempt()
    with acting(section, lambda: section.set_status(flow_id, target)):
        found = sense(way, attempt, flow_id=flow_id, target_status=target)
    assert found == {"execution_id": flow_id, "status": target, "url": ""}
    assert len(attempt.deferrals) == (way == "deferrable")
    assert {call.method for call in section.calls} == {"GET"}


def test_a_status_that_is_there_already_is_seen_at_the_first_look(section: OcpSection, way: Way) -> None:
    flow_id, attempt = section.add_flow("x", status="started"), Attempt()
    assert run_task(sensor(way, flow_id=flow_id), attempt)["status"] == "started"
    assert attempt.deferrals == []


@pytest.mark.parametrize("name", PROFILES)
def test_a_name_and_a_group_will_do_where_ids_are_shown(
    section: OcpSection, reconnect: Callable[..., None], way: Way, name: str
) -> None:
    section.profile = PROFILES[name]
    reconnect()
    flow_id = section.add_flow("my_flow", group="Sales", status="stopped")
    section.add_flow("my_flow", group="Support")
    if section.profile.ids == "hidden":
        with pytest.raises(FlowConfigurationError, match="Give flow_id instead of the name"):
            sense(way, name="MY_FLOW", group="sales")
        return
    with acting(section, lambda: section.set_status(flow_id, "started")):
        assert sense(way, name="MY_FLOW", group="sales")["execution_id"] == flow_id
    with pytest.raises(FlowAmbiguousError, match="2 flows are named 'my_flow'"):
        sense(way, name="my_flow")
    with pytest.raises(FlowNotFoundError, match="no flow is named 'other'"):
        sense(way, name="other")


def test_a_failure_status_ends_the_wait_at_once(section: OcpSection, way: Way) -> None:
    flow_id = section.add_flow("x", status="stopped")
    with (
        acting(section, lambda: section.set_status(flow_id, "not-deployed")),
        pytest.raises(FlowExecutionFailedError) as failed,
    ):
        sense(way, flow_id=flow_id, failure_statuses=["not-deployed"])
    assert "the flow is 'not-deployed', which ends the wait for 'started' as a failure" in str(failed.value)
    assert str(failed.value).endswith(
        "The flow was left as it is.\nMend what the flow names; a retry looks again, and starts none."
    )
    assert f"OCP flows, connection 'ocp_default', execution {flow_id}" in str(failed.value)


def test_a_status_that_is_not_documented_is_waited_through_with_a_warning(
    section: OcpSection, way: Way
) -> None:
    flow_id = section.add_flow("x", status="stopped")
    section.set_status(flow_id, "upgrading")
    with logged() as log, acting(section, lambda: section.set_status(flow_id, "started"), after=3):
        assert sense(way, flow_id=flow_id)["status"] == "started"
    assert any("upgrading" in line for line in log)


def test_a_flow_that_does_not_exist_fails_the_sensor_and_one_that_goes_too(
    section: OcpSection, way: Way
) -> None:
    with pytest.raises(
        FlowExecutionGoneError,
        match=r"It never was, or deletions at the platform have purged it.*\nCheck flow_id, ",
    ):
        sense(way, flow_id="nope")
    flow_id = section.add_flow("x", status="stopped")
    with acting(section, lambda: section.remove(flow_id), after=3), pytest.raises(FlowExecutionGoneError):
        sense(way, flow_id=flow_id)


@pytest.mark.parametrize("way", ["poke", "deferrable"])
def test_the_timeout_names_the_flow_and_its_status(section: OcpSection, way: Way) -> None:
    flow_id = section.add_flow("x", status="stopped")
    with pytest.raises(AirflowSensorTimeout, match=rf"its last status was stopped\. .*execution {flow_id}"):
        sense(way, flow_id=flow_id, timeout=0.3)
    assert {call.method for call in section.calls} == {"GET"}


# --- trouble ---------------------------------------------------------------------------------------------


def test_an_outage_within_its_limit_is_waited_out(
    smart_flows_server: DevServer, section: OcpSection, way: Way
) -> None:
    flow_id = section.add_flow("x", status="stopped")
    for action in ("reset", "html", "truncated"):
        smart_flows_server.inject(Fault(action=action, path="/status/$"))
    with acting(section, lambda: section.set_status(flow_id, "started"), after=4):
        assert sense(way, flow_id=flow_id)["status"] == "started"


def test_an_outage_over_its_limit_fails_the_sensor_and_a_retry_helps(
    smart_flows_server: DevServer, section: OcpSection
) -> None:
    flow_id = section.add_flow("x", status="stopped")
    smart_flows_server.inject(Fault(action="status", status=503, path="/status/$", after=1, count=None))
    for way in ("poke", "deferrable"):
        with pytest.raises(FlowStateUnknownError) as unknown:
            sense(way, flow_id=flow_id, max_outage=0.3)
        assert unknown.value.retry_helps


@pytest.mark.parametrize("body", ["[]", "null", '{"status": 5}', '{"status": ""}', '{"state": "started"}'])
def test_a_hostile_answer_is_never_taken_for_the_status(
    smart_flows_server: DevServer, section: OcpSection, body: str
) -> None:
    flow_id = section.add_flow("x", status="started")
    smart_flows_server.inject(
        Fault(
            action="status",
            status=200,
            path="/status/$",
            count=None,
            body=body,
            headers={"content-type": "application/json"},
        )
    )
    for way in ("poke", "deferrable"):
        with pytest.raises(FlowStateUnknownError):
            sense(way, flow_id=flow_id, max_outage=0.2)


@pytest.mark.parametrize("access", ["token", "password"])
def test_a_rotated_credential_is_picked_up_within_the_wait(
    section: OcpSection, reconnect: Callable[..., None], way: Way, access: str
) -> None:
    section.configure(access=access)
    reconnect()
    flow_id = section.add_flow("x", status="stopped")

    def rotate() -> None:
        section.rotate("new-token")
        section.rotate_password("new-password")
        reconnect()
        section.set_status(flow_id, "started")

    with acting(section, rotate):
        assert sense(way, flow_id=flow_id)["status"] == "started"


def test_a_credential_that_stays_refused_fails_the_sensor_without_showing_it(
    section: OcpSection, reconnect: Callable[..., None], way: Way
) -> None:
    section.configure(access="password")
    reconnect()
    flow_id, attempt = section.add_flow("x", status="stopped"), Attempt()
    with (
        logged() as log,
        acting(section, lambda: section.rotate_password("another")),
        pytest.raises(FlowAuthenticationError) as refused,
    ):
        sense(way, attempt, flow_id=flow_id)
    rows = [trigger.serialize() for trigger in attempt.deferrals]
    shown = f"{refused.value!r} {json.dumps([attempt.xcoms, attempt.events, rows])} {log}"
    for secret in (TOKEN, PASSWORD, *section.issued):
        assert secret not in shown


# --- access tokens in long waits -------------------------------------------------------------------------


def test_an_access_token_is_renewed_within_the_wait(
    section: OcpSection, reconnect: Callable[..., None], way: Way
) -> None:
    section.configure(access="password", token_seconds=0.8)
    reconnect()
    flow_id = section.add_flow("x", status="stopped")
    section.set_status(flow_id, "started", after=2.0)
    assert sense(way, flow_id=flow_id, poke_interval=0.1)["status"] == "started"
    assert len(section.issued) >= 3
    assert section.refused_passwords == 0
    assert section.leaks == []


def test_all_waits_in_a_triggerer_share_one_access_token(
    section: OcpSection, reconnect: Callable[..., None]
) -> None:
    section.configure(access="password")
    reconnect()
    flows = [section.add_flow(f"x{number}", status="stopped") for number in range(12)]
    triggers = []
    for flow_id in flows:
        attempt = Attempt()
        task = sensor("deferrable", flow_id=flow_id)
        run = task._sensor_run
        run.identify()
        triggers.append(revive(run.trigger(attempt.context())))
        run.close()
    before = len(section.issued)
    for flow_id in flows:
        section.set_status(flow_id, "started", after=0.5)

    async def wait(trigger: Any) -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    async def wait_all() -> list[Any]:
        return await asyncio.gather(*map(wait, triggers))

    events = asyncio.run(wait_all())
    assert {event["status"] for event in events} == {"started"}
    assert len(section.issued) - before == 1


# --- arguments -------------------------------------------------------------------------------------------


def test_the_words_are_those_of_the_wire() -> None:
    assert STATUSES == get_args(Status) == STATUS_WORDS


def test_the_terms_are_what_the_wire_reads() -> None:
    task = sensor("poke", flow_id="x", target_status="stopped", failure_statuses=("started",))
    expected = StatusTerms(target="stopped", failure=("started",))
    assert StatusTerms.from_dict(json.loads(json.dumps(task.run_terms()))) == expected
    assert task.run_terms() == expected.as_dict()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "a flow is named by flow_id or by name, and by one of them only"),
        ({"flow_id": "1", "name": "x"}, "a flow is named by flow_id or by name"),
        ({"flow_id": "1", "group": "g"}, "group narrows a name down"),
        (
            {"flow_id": "1", "target_status": "running"},
            "target_status is 'running'; it takes one of 'started'",
        ),
        ({"flow_id": "1", "failure_statuses": "stopped"}, "failure_statuses is 'stopped'; it takes a list"),
        ({"flow_id": "1", "failure_statuses": ["off"]}, "failure_statuses is 'off'; it takes one of"),
        (
            {"flow_id": "1", "failure_statuses": ["started"]},
            "'started' is waited for, so it cannot be a failure",
        ),
    ],
)
def test_arguments_that_cannot_be_are_refused_at_parse_time(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^s: {says}"):
        sensor("poke", **arguments)


@pytest.mark.parametrize("arguments", [{"flow_id": ""}, {"name": " "}, {"name": "x", "group": ""}])
def test_what_a_template_has_made_empty_is_named(
    section: OcpSection, way: Way, arguments: dict[str, str]
) -> None:
    with pytest.raises(FlowConfigurationError, match=r"^The argument (flow_id|name|group) is "):
        sense(way, **arguments)
    assert section.calls == []


def test_soft_fail_skips(section: OcpSection, way: Way) -> None:
    flow_id = section.add_flow("x", status="stopped")
    with pytest.raises(AirflowSkipException):
        sense(way, flow_id=flow_id, failure_statuses=["stopped"], soft_fail=True)


@needs_start_in_triggerer
def test_a_sensor_with_an_id_starts_in_the_triggerer_and_one_with_a_name_on_a_worker() -> None:
    by_id = sensor("deferrable", flow_id="{{ params.flow }}", target_status="stopped")
    assert by_id.start_from_trigger
    kwargs = by_id.start_trigger_args.trigger_kwargs
    assert (kwargs["system"], kwargs["terms"]) == ("ocp", {"target": "stopped", "failure": []})
    assert not sensor("deferrable", name="x").start_from_trigger
