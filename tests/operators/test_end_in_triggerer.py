"""What a run operator lets the triggerer conclude, and what of that is in the trigger's row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import Asset
from support.airflow_versions import needs_success_in_triggerer
from support.service import LONG, panel_flow
from support.tasks import Attempt

from smartflows_provider.decorators.smart_flows import smart_flow_task
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.operators import remote_run
from smartflows_provider.operators.run_flow import FlowRun
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors import execution_watch
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor

pytestmark = needs_success_in_triggerer

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Order"><xs:complexType>
<xs:sequence><xs:element name="Name" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
</xs:schema>"""


def row(task: Any, attempt: Attempt | None = None) -> dict[str, Any]:
    """Return the arguments of the trigger that a task is deferred with."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute((attempt or Attempt()).context())
    found: dict[str, Any] = deferred.value.trigger.serialize()[1]
    return found


def operator(**arguments: Any) -> SmartFlowsRunFlowOperator:
    return SmartFlowsRunFlowOperator(task_id="task", **{"flow": "Letter", "deferrable": True, **arguments})


@pytest.fixture(autouse=True)
def letter(server: DevServer) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)


def test_the_row_says_what_a_success_comes_to() -> None:
    given = {"on_warning": "fail", "outputs": '{"a": "b"}', "values_by_title": True, "max_xcom_bytes": 999}
    assert row(operator(**given))["ending"] == {
        "returns": "manifest",
        "on_warning": "fail",
        "outputs": {"a": "b"},
        "values_by_title": True,
        "max_xcom_bytes": 999,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"resume_on_worker": True},
        {"documents_path": "/reports"},
        {"documents_path": Path("/reports")},
        {"outlets": [Asset("report")]},
        {"multiple_outputs": True},
        {"on_success_callback": print},
        {"do_xcom_push": False},
    ],
)
def test_where_a_worker_is_needed_the_row_says_nothing(arguments: dict[str, Any]) -> None:
    assert row(operator(**arguments))["ending"] is None


def test_outputs_that_cannot_be_used_are_told_by_a_worker_where_a_retry_attaches(
    server: DevServer,
) -> None:
    attempt = Attempt(max_tries=1)
    row(operator(), attempt)
    retry = Attempt(store=attempt.store, max_tries=1, try_number=2)
    assert row(operator(outputs="no JSON"), retry)["ending"] is None
    assert len(server.executions()) == 1


def test_a_run_is_handed_over_only_once_its_trigger_is_made(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(FlowRun, "_ending", lambda run: seen.append(run._kill.handed_over))
    row(operator())
    assert seen == [False]


def test_a_path_that_renders_to_nothing_lands_nothing() -> None:
    assert row(operator(documents_path=""))["ending"] is not None


@pytest.mark.parametrize(("name", "value"), [("AIRFLOW_V_3_3_PLUS", False), ("listened_to", lambda: True)])
def test_before_airflow_3_3_and_where_somebody_listens_a_worker_is_needed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.setattr(remote_run, name, value)
    assert row(operator())["ending"] is None


def test_the_row_holds_nothing_of_the_input(server: DevServer) -> None:
    server.add_flow(name="Order", start_from="program", xsd=XSD, steps=[LONG])
    canary = {"Name": "canary-71c"}
    found = row(operator(flow="Order", data=canary, root="Order", answers=canary))
    assert "canary" not in json.dumps(found)
    assert len(json.dumps(found)) < 1000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({}, False), ({"resume_on_worker": True}, True), ({"multiple_outputs": True}, True)],
)
def test_the_decorated_task_decides_alike(arguments: dict[str, Any], expected: bool) -> None:
    @smart_flow_task(flow="Letter", deferrable=True, **arguments)
    def letter() -> None:
        """Return no input."""

    task: Any = letter().operator  # type: ignore[attr-defined]
    assert (row(task)["ending"] is None) is expected


# --- a sensor that was started on a worker ---


def sensor_row(server: DevServer, **arguments: Any) -> Any:
    row(operator())
    (execution,) = server.executions()
    sensor = SmartFlowsExecutionSensor(
        task_id="sensor", execution_id=execution["id"], deferrable=True, **arguments
    )
    return row(sensor)["ending"]


def test_a_sensor_that_was_started_on_a_worker_may_end_without_another(server: DevServer) -> None:
    found = sensor_row(server, on_warning="fail", pool="narrow")
    assert (found["returns"], found["on_warning"]) == ("status", "fail")


@pytest.mark.parametrize("arguments", [{"resume_on_worker": True}, {"outlets": [Asset("a")]}])
def test_a_sensor_whose_end_needs_a_worker_has_one(server: DevServer, arguments: dict[str, Any]) -> None:
    assert sensor_row(server, **arguments) is None


def test_a_sensor_that_is_listened_to_has_a_worker(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution_watch, "listened_to", lambda: True)
    assert sensor_row(server) is None
