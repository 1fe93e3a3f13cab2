"""The sensor in its three modes: the same judgement in each, and never a cancel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from support.airflow_versions import AirflowRescheduleException, AirflowSensorTimeout
from support.outcomes import acting
from support.service import CONN_VARIABLE, LONG, cancels, panel_flow, statuses
from support.tasks import Attempt, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowEventError,
    FlowException,
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowExecutionInterruptedError,
    FlowExecutionWarningError,
    FlowStateUnknownError,
    FlowTimeoutError,
    FlowUserInputRequiredError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor

Way = Literal["poke", "reschedule", "deferrable"]
WAYS: tuple[Way, ...] = ("poke", "reschedule", "deferrable")
SOON = {"kind": "work", "duration": 0.1}
LATER = {"kind": "work", "duration": 0.5}
"""Long enough for a first look that finds it under way."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    way: Way = request.param
    return way


@pytest.fixture(autouse=True)
def answers_at_once(server: DevServer) -> None:
    server.configure(hold="ignored")


def sensor(way: Way, execution_id: str, **arguments: Any) -> SmartFlowsExecutionSensor:
    waiting: dict[str, Any] = {"deferrable": True} if way == "deferrable" else {"mode": way}
    given = {"task_id": "s", "execution_id": execution_id, "poke_interval": 0.05, "timeout": 60, **waiting}
    return SmartFlowsExecutionSensor(**{**given, **arguments})


def sense(way: Way, execution_id: str, *, attempt: Attempt | None = None, **arguments: Any) -> Any:
    """Run the sensor to its end; where it asks to be rescheduled, as a new process each time."""
    attempt = attempt or Attempt()
    for _ in range(1000):
        try:
            return run_task(sensor(way, execution_id, **arguments), attempt)
        except AirflowRescheduleException:
            continue
    raise RuntimeError("the sensor was rescheduled 1000 times")


def start(server: DevServer, hook: SmartFlowsHook, *steps: dict[str, Any]) -> str:
    return hook.start(panel_flow(server, *steps).id).execution_id


@pytest.mark.parametrize("status", ["Success", "Warning"])
def test_a_good_end_is_returned(server: DevServer, hook: SmartFlowsHook, way: Way, status: str) -> None:
    last = {"kind": "work"} if status == "Success" else {"kind": "warning", "message": "hm"}
    execution_id, attempt = start(server, hook, LATER, last), Attempt()
    url = f"{server.url}/client"
    assert sense(way, execution_id, attempt=attempt) == {
        "execution_id": execution_id,
        "status": status,
        "url": url,
    }
    assert attempt.xcoms == {"execution_url": url}
    assert len(attempt.deferrals) == (way == "deferrable")


def test_what_is_over_already_is_seen_at_the_first_look(
    server: DevServer, hook: SmartFlowsHook, way: Way
) -> None:
    execution_id, attempt = start(server, hook, {"kind": "work"}), Attempt()
    assert run_task(sensor(way, execution_id), attempt)["status"] == "Success"
    assert attempt.deferrals == []


ENDS: list[tuple[Any, type[FlowException], bool, str]] = [
    (
        {"kind": "fail", "name": "Read customer", "message": "No such customer"},
        FlowExecutionFailedError,
        True,
        "The execution ended in Error in block 'Read customer'.\n  - ",
    ),
    ({"kind": "interrupt", "message": "no"}, FlowExecutionInterruptedError, True, "ended in Interrupted"),
    (
        {"kind": "warning", "message": "The logo is missing"},
        FlowExecutionWarningError,
        False,
        "on_warning='fail'.\n  - The logo is missing",
    ),
]


@pytest.mark.parametrize("end", ENDS)
def test_a_bad_end_fails_the_sensor_with_the_flows_words(
    server: DevServer, hook: SmartFlowsHook, way: Way, end: tuple[Any, type[FlowException], bool, str]
) -> None:
    step, kind, retry_helps, words = end
    execution_id = start(server, hook, SOON, step)
    with pytest.raises(kind) as failed:
        sense(way, execution_id, on_warning="fail")
    assert type(failed.value) is kind
    assert isinstance(failed.value, AirflowFailException) is not retry_helps
    assert words in str(failed.value)
    assert f"execution {execution_id}, {server.url}/client]" in str(failed.value)


def test_a_cancel_at_the_service_is_seen(server: DevServer, hook: SmartFlowsHook, way: Way) -> None:
    execution_id = start(server, hook, LONG)
    with acting(server, hook.cancel), pytest.raises(FlowExecutionCanceledError):
        sense(way, execution_id)


def test_a_form_is_waited_for_by_default(server: DevServer, hook: SmartFlowsHook, way: Way) -> None:
    execution_id = start(server, hook, {"kind": "form", "fields": [{"key": "way"}]})
    with acting(server, lambda one: hook.answer_form(one, {"way": "mail"})):
        assert sense(way, execution_id)["status"] == "Success"


def test_a_form_can_fail_the_sensor_which_leaves_the_run_alone(
    server: DevServer, hook: SmartFlowsHook, way: Way
) -> None:
    execution_id = start(server, hook, SOON, {"kind": "form", "fields": [{"key": "way"}]})
    with pytest.raises(FlowUserInputRequiredError) as needed:
        sense(way, execution_id, on_user_input="fail")
    assert "The execution is in UserInput and needs a person" in str(needed.value)
    assert "The sensor did not start the execution and left it as it is." in str(needed.value)
    assert statuses(server) == ["UserInput"]


@pytest.mark.parametrize("way", ["poke", "deferrable"])
def test_at_its_timeout_the_sensor_fails_and_cancels_nothing(
    server: DevServer, hook: SmartFlowsHook, way: Way
) -> None:
    execution_id = start(server, hook, LONG)
    with pytest.raises(AirflowSensorTimeout):
        sense(way, execution_id, timeout=0.3)
    assert cancels(server) == []
    assert statuses(server) == ["Running"]


@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_the_timeout_names_the_execution_and_its_status(
    server: DevServer, hook: SmartFlowsHook, mode: Way
) -> None:
    execution_id = start(server, hook, LONG)
    with pytest.raises(AirflowSensorTimeout) as caught:
        sense(mode, execution_id, timeout=0.3)
    assert str(caught.value) == (
        "The execution was not finished within 0.3 seconds; its last status was Running. [Smart Flows, "
        f"connection 'smartflows_default', execution {execution_id}, {server.url}/client]\n"
        "The sensor did not start the execution and left it as it is."
    )


def test_a_deferred_sensor_never_cancels(server: DevServer, hook: SmartFlowsHook) -> None:
    attempt = Attempt()
    sense("deferrable", start(server, hook, LATER), attempt=attempt, max_outage=33)
    row = attempt.deferrals[0].serialize()[1]
    assert (row["cancel_on_kill"], row["cancel_on_timeout"]) == (False, False)
    assert (row["max_outage"], row["poll_interval"]) == (33, 0.05)


def test_the_execution_timeout_counts_while_deferred_and_a_retry_may_follow(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    execution_id = start(server, hook, LONG)
    with pytest.raises(FlowTimeoutError, match="its last status was Running") as caught:
        sense("deferrable", execution_id, execution_timeout=timedelta(seconds=0.3))
    assert not isinstance(caught.value, AirflowFailException)
    assert "The sensor did not start the execution and left it as it is." in str(caught.value)
    assert cancels(server) == []


def test_the_time_limit_counts_from_the_attempts_beginning_also_after_a_form_was_answered(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    execution_id = start(server, hook, LONG)
    began = datetime.now(tz=UTC)
    context = Attempt(started_at=began).context()
    task: Any = sensor("deferrable", execution_id, timeout=100)
    with pytest.raises(TaskDeferred) as first:
        task.execute(context)
    task = sensor("deferrable", execution_id, timeout=100)
    with pytest.raises(TaskDeferred) as second:
        task.execute_complete(context, {"chosen_options": ["OK"], "params_input": {}})
    assert first.value.trigger.deadline == second.value.trigger.deadline == began.timestamp() + 100


@pytest.mark.parametrize("way", ["poke", "deferrable"])
def test_a_soft_sensor_is_skipped_at_its_timeout(server: DevServer, hook: SmartFlowsHook, way: Way) -> None:
    task: Any = sensor(way, start(server, hook, LONG), timeout=0.3, soft_fail=True)
    if way == "deferrable":
        task = _ResumedByAirflow(task)
    with pytest.raises(AirflowSkipException):
        run_task(task)


class _ResumedByAirflow:
    """A task whose event goes through ``resume_execution``, as on a worker."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def execute(self, context: Any) -> Any:
        return self._task.execute(context)

    def execute_complete(self, context: Any, event: Any = None) -> Any:
        return self._task.resume_execution("execute_complete", {"event": event}, context)


def test_an_outage_that_passes_is_waited_out(server: DevServer, hook: SmartFlowsHook, way: Way) -> None:
    execution_id = start(server, hook, SOON)
    server.inject(Fault(action="status", status=503, path="/progress$", count=1))
    assert sense(way, execution_id)["status"] == "Success"


@pytest.mark.parametrize("way", ["poke", "deferrable"])
def test_an_outage_that_lasts_is_not_a_failure_of_the_run(
    server: DevServer, hook: SmartFlowsHook, way: Way
) -> None:
    execution_id = start(server, hook, LONG)
    server.inject(Fault(action="status", status=503, path="/progress$", count=None))
    with pytest.raises(FlowStateUnknownError, match="could not be found out"):
        sense(way, execution_id, max_outage=0.2)


@pytest.mark.parametrize("purged", [404, 410])
def test_an_execution_that_does_not_exist_fails_the_sensor_for_good(
    server: DevServer, hook: SmartFlowsHook, way: Way, purged: Any
) -> None:
    server.configure(purged=purged)
    execution_id = start(server, hook, LONG)
    server.expire(execution_id)
    with pytest.raises(FlowExecutionGoneError) as gone:
        sense(way, execution_id)
    assert isinstance(gone.value, AirflowFailException)
    assert f"answered with {purged}" in str(gone.value)


def test_an_execution_that_is_purged_after_its_end_fails_the_sensor_with_word_of_its_end(
    server: DevServer, hook: SmartFlowsHook, way: Way
) -> None:
    execution_id = start(server, hook)
    server.inject(Fault(action="status", status=404, path=f"/{execution_id}$", method="GET", count=None))
    with pytest.raises(FlowExecutionGoneError, match="The execution ended in Success, but was gone when"):
        sense(way, execution_id)


@pytest.fixture
def started(server: DevServer, hook: SmartFlowsHook) -> str:
    return start(server, hook, LONG)


@pytest.mark.parametrize("way", ["poke", "deferrable"])
def test_a_key_that_is_revoked_ends_the_wait(server: DevServer, started: str, way: Way) -> None:
    with acting(server, lambda _: server.revoke_key()), pytest.raises(FlowAuthenticationError) as refused:
        sense(way, started)
    assert "answered with 401" in str(refused.value)
    assert "The execution was kept." in str(refused.value)


def test_without_a_connection_the_message_says_what_to_make(
    started: str, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    monkeypatch.delenv(CONN_VARIABLE)
    with pytest.raises(FlowConfigurationError, match="does not exist"):
        sense(way, started)


@pytest.mark.parametrize("event", [None, {}, {"status": "success"}])
def test_an_event_that_is_not_ours_is_refused(started: str, event: Any) -> None:
    with pytest.raises(FlowEventError, match="the event is not one of schema version 1"):
        sensor("deferrable", started).execute_complete(Attempt().context(), event)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_warning": "ignore"}, "s: on_warning is 'ignore'; it takes 'succeed' or 'fail'."),
        ({"on_user_input": "answer"}, "s: on_user_input is 'answer'; it takes 'wait' or 'fail'."),
    ],
)
def test_options_that_cannot_be_are_refused_when_the_dag_is_parsed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sensor("poke", "e1", **arguments)


def test_progress_is_logged_when_it_changes_and_not_at_each_poke(
    server: DevServer, hook: SmartFlowsHook, capsys: pytest.CaptureFixture[str]
) -> None:
    execution_id = start(server, hook, {"kind": "work", "message": "Reading", "duration": 0.6})
    sense("poke", execution_id, poke_interval=0.05)
    lines = [line for line in capsys.readouterr().out.splitlines() if f"Execution {execution_id}: " in line]
    assert len([line for line in lines if "Running" in line]) <= 2
    assert len(lines) == len({line.split("Execution", 1)[1] for line in lines})


@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("seen_at_once", [True, False], ids=["first look", "later"])
def test_a_soft_sensor_is_skipped_where_the_run_failed_in_every_mode(
    server: DevServer, hook: SmartFlowsHook, way: Way, option: str, seen_at_once: bool
) -> None:
    steps = [{"kind": "fail", "message": "No template"}]
    execution_id = start(server, hook, *([] if seen_at_once else [LATER]), *steps)
    arguments: dict[str, Any] = {option: True}
    with pytest.raises(AirflowSkipException):
        sense(way, execution_id, **arguments)


def test_an_id_that_a_template_has_made_empty_is_named(server: DevServer, way: Way) -> None:
    with pytest.raises(FlowConfigurationError, match="The argument execution_id is ''"):
        sense(way, "")
    assert server.requests == []


def test_a_key_that_is_wrong_from_the_start_ends_the_sensor_in_every_mode(
    server: DevServer, started: str, way: Way
) -> None:
    server.revoke_key()
    with pytest.raises(FlowAuthenticationError):
        sense(way, started)
