"""Which sensors start in the triggerer, and what Airflow makes of what it is told for that."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import jinja2
import pytest
from airflow.sdk import DAG, Param
from airflow.sdk import task as plain_task
from airflow.triggers.base import StartTriggerArgs
from support.airflow_versions import (
    AirflowSensorTimeout,
    AirflowSkipException,
    DagSerialization,
    TaskDeferralError,
    needs_start_in_triggerer,
)
from support.service import LONG, panel_flow
from support.tasks import Attempt

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowConfigurationError, FlowStateUnknownError, FlowTimeoutError
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors import start_in_triggerer
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
from smartflows_provider.triggers.sensor_start import SensorStartTrigger
from smartflows_provider.waiting.event import WaitEvent, start_on_worker

pytestmark = needs_start_in_triggerer


def sensor(**arguments: Any) -> SmartFlowsExecutionSensor:
    return SmartFlowsExecutionSensor(
        **{"task_id": "s", "execution_id": "e1", "deferrable": True, "timeout": 100, **arguments}
    )


def scheduled(dag: DAG, task_id: str) -> Any:
    """Return a task as the scheduler has it."""
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    return DagSerialization.from_dict(stored).get_task(task_id)


def arguments_of(task: Any) -> dict[str, Any]:
    """Return a trigger's arguments as the triggerer gets them."""
    from airflow.models.trigger import Trigger
    from airflow.serialization.decoders import smart_decode_trigger_kwargs

    row = Trigger(
        classpath=task.start_trigger_args.trigger_cls, kwargs=task.start_trigger_args.trigger_kwargs
    )
    kwargs = Trigger._decrypt_kwargs(row.encrypted_kwargs)
    return {key: smart_decode_trigger_kwargs(value) for key, value in kwargs.items()}


def test_the_scheduler_reads_what_it_needs_to_start_a_trigger() -> None:
    with DAG("d", schedule=None) as dag:
        sensor(execution_id="{{ ds }}", max_outage=33, on_warning="fail")
    task = scheduled(dag, "s")
    assert task.start_from_trigger is True
    given = task.start_trigger_args
    assert isinstance(given, StartTriggerArgs)
    assert given.next_method == "execute_complete"
    assert given.timeout == timedelta(seconds=220)
    arguments = arguments_of(task)
    assert SensorStartTrigger(**arguments).serialize() == (given.trigger_cls, arguments)
    assert arguments == {
        "system": "smartflows",
        "conn_id": "smartflows_default",
        "execution_id": "{{ ds }}",
        "time_limit": 100.0,
        "airflow_limit": 220.0,
        "poll_interval": 60.0,
        "max_outage": 33,
        "stop_for_person": False,
        "on_warning": "fail",
        "ends_here": True,
        "terms": None,
        "schema_version": 2,
    }


def test_the_shorter_time_limit_counts() -> None:
    given = sensor(execution_timeout=timedelta(seconds=30)).start_trigger_args.trigger_kwargs
    assert (given["time_limit"], given["airflow_limit"]) == (30, 30)
    given = sensor(execution_timeout=timedelta(seconds=110)).start_trigger_args.trigger_kwargs
    assert (given["time_limit"], given["airflow_limit"]) == (100, 110)
    given = sensor(execution_timeout=timedelta(hours=1)).start_trigger_args.trigger_kwargs
    assert (given["time_limit"], given["airflow_limit"]) == (100, 220)


def test_a_reference_to_another_tasks_output_becomes_a_template_and_stays_a_dependency() -> None:
    with DAG("d", schedule=None) as dag:
        run = SmartFlowsRunFlowOperator(task_id="run", flow="Letter", wait_for_completion=False)
        sensor(execution_id=run.output["execution_id"], smart_flows_conn_id=run.output["conn"])
    task = scheduled(dag, "s")
    arguments = arguments_of(task)
    pull = "{{{{ ti.xcom_pull(task_ids='run', key='{}', map_indexes=-1) }}}}"
    assert arguments["execution_id"] == pull.format("execution_id")
    assert arguments["conn_id"] == pull.format("conn")
    assert task.upstream_task_ids == {"run"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"deferrable": False},
        {"resume_on_worker": True},
        {"pool": "narrow"},
        {"on_execute_callback": print},
        {"pre_execute": print},
        {"params": {"n": Param(type="integer")}},
        {"max_active_tis_per_dag": 2},
        {"timeout": 1e12},
    ],
)
def test_where_it_would_not_be_the_same_the_sensor_starts_on_a_worker(arguments: dict[str, Any]) -> None:
    with DAG("d", schedule=None) as dag:
        sensor(**arguments)
    task = scheduled(dag, "s")
    assert (task.start_from_trigger, task.start_trigger_args) == (False, None)


TEMPLATE = {"execution_id": "{{ ds }}"}
FILES = {"keep_trailing_newline": True}


@pytest.mark.parametrize(
    ("jinja", "arguments", "expected"),
    [
        ({}, TEMPLATE, True),
        ({"user_defined_macros": {"ds": "mine"}}, TEMPLATE, False),
        ({"user_defined_macros": {"ds": "mine"}}, {"smart_flows_conn_id": "{% if ds %}a{% endif %}"}, False),
        ({"user_defined_macros": {"ds": "mine"}}, {}, True),
        ({"user_defined_filters": {"upper": str}}, TEMPLATE, False),
        ({"user_defined_filters": {"upper": str}}, {}, True),
        ({"template_undefined": jinja2.Undefined}, TEMPLATE, False),
        ({"template_undefined": jinja2.Undefined}, {"execution_id": "e1{# note #}"}, False),
        ({"jinja_environment_kwargs": FILES}, TEMPLATE, False),
        ({"jinja_environment_kwargs": FILES}, {"execution_id": "[[ ds ]]"}, False),
        ({"render_template_as_native_obj": True}, TEMPLATE, False),
        ({"render_template_as_native_obj": True}, {"execution_id": "123"}, False),
    ],
)
def test_what_the_dag_renders_in_its_own_way_is_rendered_on_a_worker(
    jinja: dict[str, Any], arguments: dict[str, Any], expected: bool
) -> None:
    with DAG("d", schedule=None, **jinja) as dag:
        sensor(**arguments)
    assert scheduled(dag, "s").start_from_trigger is expected


@pytest.mark.parametrize("reference", [True, False])
def test_with_an_xcom_backend_of_the_deployments_own_a_template_is_rendered_on_a_worker(
    monkeypatch: pytest.MonkeyPatch, reference: bool
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", "my_company.xcoms.InBuckets")
    with DAG("d", schedule=None):
        run = SmartFlowsRunFlowOperator(task_id="run", flow="Letter", wait_for_completion=False)
        templated = sensor(execution_id=run.output["execution_id"] if reference else "{{ ds }}")
        plain = sensor(task_id="plain")
    assert templated.start_from_trigger is False
    assert plain.start_from_trigger is True


def test_a_mapped_sensor_and_a_reference_to_a_mapped_task_start_on_a_worker() -> None:
    with DAG("d", schedule=None) as dag:

        @plain_task
        def ids(number: int) -> str:
            return str(number)

        many = ids.expand(number=[1, 2])
        SmartFlowsExecutionSensor.partial(task_id="mapped", deferrable=True).expand(execution_id=many)
        sensor(execution_id=many)
        sensor(task_id="concat", execution_id=many.map(str))
    for task_id in ("mapped", "s", "concat"):
        assert scheduled(dag, task_id).start_from_trigger is False


@pytest.mark.parametrize(
    "arguments", [{"on_success_callback": print}, {"do_xcom_push": False}, {"post_execute": print}]
)
def test_where_only_the_end_needs_a_worker_the_start_does_not(arguments: dict[str, Any]) -> None:
    assert sensor(**arguments).start_trigger_args.trigger_kwargs["ends_here"] is False
    assert sensor().start_trigger_args.trigger_kwargs["ends_here"] is True


def test_before_airflow_3_3_every_sensor_starts_and_ends_on_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start_in_triggerer, "AIRFLOW_V_3_3_PLUS", False)
    assert sensor().start_from_trigger is False
    assert not start_in_triggerer.ends_in_triggerer(sensor())


def test_with_queues_of_triggerers_a_sensor_starts_on_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")
    assert sensor().start_from_trigger is False


def test_what_changes_after_the_sensor_was_made_counts() -> None:
    made = sensor()
    assert made.start_from_trigger is True
    made.on_execute_callback = print
    assert made.start_from_trigger is False


def test_a_parse_of_such_a_sensor_does_not_load_airflows_triggers() -> None:
    program = """
import sys
import airflow.sdk
from airflow.sdk import DAG
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
with DAG("d", schedule=None):
    made = SmartFlowsExecutionSensor(task_id="s", execution_id="e", deferrable=True)
assert made.start_trigger_args is not None
assert "airflow.triggers.base" not in sys.modules
print("seen")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["seen"], done.stderr


# --- on a worker, after a start in the triggerer ---


def test_a_start_that_is_left_to_a_worker_is_an_ordinary_one(server: DevServer, hook: SmartFlowsHook) -> None:
    server.configure(hold="ignored")
    execution_id = hook.start(panel_flow(server, {"kind": "work"}).id).execution_id
    attempt = Attempt()
    found = sensor(execution_id=execution_id).resume_execution(
        "execute_complete", {"event": start_on_worker("TimeoutError")}, attempt.context()
    )
    assert found["status"] == "Success"
    assert attempt.xcoms == {"execution_url": found["url"]}


def test_what_kept_a_sensor_from_starting_is_told_as_ever(server: DevServer) -> None:
    with pytest.raises(FlowConfigurationError, match="The argument execution_id is ' '"):
        sensor(execution_id=" ").resume_execution(
            "execute_complete", {"event": start_on_worker("FlowConfigurationError")}, Attempt().context()
        )


@pytest.mark.parametrize("try_number", [1, 2])
@pytest.mark.parametrize("timed_out", [False, True])
def test_what_an_earlier_attempt_has_left_is_removed_where_a_worker_takes_the_start_over(
    server: DevServer, hook: SmartFlowsHook, try_number: int, timed_out: bool
) -> None:
    server.configure(hold="ignored")
    execution_id = hook.start(panel_flow(server, {"kind": "work"}).id).execution_id
    attempt = Attempt(try_number=try_number, xcoms={"return_value": "old", "execution_url": "old"})
    method, given = ("__fail__", TIMED_OUT) if timed_out else ("execute_complete", {"event": START})
    with patch.object(deferred_kill.XCom, "delete", lambda key, **_: attempt.xcoms.pop(key)):
        found = sensor(execution_id=execution_id).resume_execution(method, given, attempt.context())
    link = "old" if timed_out and try_number == 1 else found["url"]
    old = {"return_value": "old"} if try_number == 1 else {}
    assert attempt.xcoms == {**old, "execution_url": link}


@pytest.mark.parametrize("event", ["finished", "unreachable"])
def test_what_an_earlier_attempt_has_left_is_removed_where_a_worker_goes_on(
    server: DevServer, hook: SmartFlowsHook, event: str
) -> None:
    server.configure(hold="ignored")
    execution_id = hook.start(panel_flow(server, {"kind": "work"}).id).execution_id
    attempt = Attempt(try_number=2, xcoms={"return_value": "old", "execution_url": "old"})
    told = WaitEvent(reason=event, execution_id=execution_id, status="Success").as_dict()
    with (
        patch.object(deferred_kill.XCom, "delete", lambda key, **_: attempt.xcoms.pop(key)),
        nullcontext() if event == "finished" else pytest.raises(FlowStateUnknownError),
    ):
        sensor(execution_id=execution_id).resume_execution(
            "execute_complete", {"event": told}, attempt.context()
        )
    assert attempt.xcoms == {"execution_url": hook.execution_url(execution_id)}


def test_a_task_that_renders_native_objects_by_itself_starts_on_a_worker(server: DevServer) -> None:
    assert start_in_triggerer.start_arguments(sensor(execution_id="12345")) is not None
    native = sensor(execution_id="12345", render_template_as_native_obj=True)
    assert start_in_triggerer.start_arguments(native) is None


def test_what_is_infinite_is_long_in_the_triggerer(server: DevServer) -> None:
    arguments = start_in_triggerer.start_arguments(sensor(execution_id="e1", max_outage=math.inf))
    assert arguments is not None
    assert math.isfinite(arguments.trigger_kwargs["max_outage"])


@pytest.mark.parametrize(("method", "timed_out"), [("execute_complete", False), ("__fail__", True)])
def test_it_is_removed_also_where_the_sensor_cannot_look(
    server: DevServer, method: str, timed_out: bool
) -> None:
    attempt = Attempt(try_number=2, xcoms={"return_value": "old", "execution_url": "old"})
    given = TIMED_OUT if timed_out else {"event": START}
    with (
        patch.object(deferred_kill.XCom, "delete", lambda key, **_: attempt.xcoms.pop(key)),
        pytest.raises(FlowConfigurationError),
    ):
        sensor(execution_id=" ").resume_execution(method, given, attempt.context())
    assert attempt.xcoms == {}


TIMED_OUT = {"error": "Trigger timeout"}
START = start_on_worker("TimeoutError")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"timeout": 100}, AirflowSensorTimeout),
        ({"execution_timeout": timedelta(seconds=30)}, FlowTimeoutError),
        ({"soft_fail": True}, AirflowSkipException),
        ({"soft_fail": True, "execution_timeout": timedelta(seconds=30)}, AirflowSkipException),
    ],
)
def test_where_airflow_ends_the_wait_the_error_names_the_execution(
    server: DevServer, hook: SmartFlowsHook, arguments: dict[str, Any], error: type[Exception]
) -> None:
    server.configure(hold="ignored")
    execution_id = hook.start(panel_flow(server, LONG).id).execution_id
    with pytest.raises(error) as caught:
        sensor(execution_id=execution_id, **arguments).resume_execution(
            "__fail__", TIMED_OUT, Attempt().context()
        )
    told = caught.value.__cause__ if error is AirflowSkipException else caught.value
    assert "its last status was Running. [Smart Flows" in str(told)
    assert execution_id in str(told)


def test_an_end_that_came_in_time_counts_where_airflow_ends_the_wait(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    server.configure(hold="ignored")
    execution_id = hook.start(panel_flow(server, {"kind": "work"}).id).execution_id
    found = sensor(execution_id=execution_id).resume_execution("__fail__", TIMED_OUT, Attempt().context())
    assert (found["execution_id"], found["status"]) == (execution_id, "Success")


def test_a_trigger_that_fails_for_another_reason_fails_the_sensor(server: DevServer) -> None:
    with pytest.raises(TaskDeferralError, match="Trigger failure"):
        sensor().resume_execution("__fail__", {"error": "Trigger failure"}, Attempt().context())
