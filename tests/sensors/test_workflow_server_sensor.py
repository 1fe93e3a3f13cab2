"""The sensor for processes: the same in every mode, and it never stops what it did not create."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from support.tasks import Attempt, run_task
from support.workflow_server import asked, meanwhile, workflow

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.exceptions import FlowExecutionFailedError, FlowExecutionGoneError
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.sensors.workflow_server import WorkflowServerProcessSensor

__all__ = ["workflow"]

MODES = ("poke", "deferrable")


@pytest.fixture
def server(smart_flows_server: DevServer, workflow: WorkflowServerSection) -> DevServer:
    return smart_flows_server


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def created(server: DevServer, scheme_code: str) -> str:
    made = str(uuid.uuid4())
    with WorkflowServerHook() as hook:
        hook.create_instance(made, scheme_code=scheme_code)
    server.advance(1)
    return made


def sense(mode: str, process_id: str, attempt: Attempt | None = None, **arguments: Any) -> Any:
    sensor = WorkflowServerProcessSensor(
        task_id="t",
        process_id=process_id,
        deferrable=mode == "deferrable",
        **{"poke_interval": 0.05, "timeout": 30, **arguments},
    )
    return run_task(sensor, attempt)


def test_it_waits_until_a_process_is_finished(
    workflow: WorkflowServerSection, server: DevServer, mode: str
) -> None:
    process_id = created(server, "Long")
    with meanwhile(server, workflow.finish):
        found = sense(mode, process_id)
    assert found == {"execution_id": process_id, "status": "Finalized (Working)", "url": ""}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"success_states": ["Approval"]}, "Idled (Approval)"),
        ({"success_activities": ["Decision"]}, "Idled (Approval)"),
        ({"wait_for": "idle"}, "Idled (Approval)"),
    ],
)
def test_it_is_content_with_a_state_an_activity_or_rest(
    server: DevServer, mode: str, arguments: dict[str, Any], status: str
) -> None:
    assert sense(mode, created(server, "Approval"), **arguments)["status"] == status


@pytest.mark.parametrize("counts", [True, False])
def test_a_state_that_the_process_has_left_counts_unless_the_author_knows_better(
    workflow: WorkflowServerSection, server: DevServer, mode: str, counts: bool
) -> None:
    round_again = [{"name": name, "seconds": 1000, "state": name} for name in ("Draft", "Booked", "Reopened")]
    workflow.add_scheme("Round", *round_again)
    process_id = created(server, "Round")
    server.advance(2500)
    arguments = {"success_states": ["Booked"], "passed_states_count": counts, "timeout": 0.4}
    if counts:
        assert sense(mode, process_id, **arguments)["status"] == "Running (Reopened)"
    else:
        with pytest.raises(AirflowSensorTimeout, match=r"its last status was Running \(Reopened\)"):
            sense(mode, process_id, **arguments)


def test_it_fails_at_once_where_a_process_ends_badly(
    workflow: WorkflowServerSection, server: DevServer, mode: str
) -> None:
    process_id = created(server, "Approval")
    with pytest.raises(FlowExecutionFailedError, match="which is one of failure_states"):
        sense(mode, process_id, failure_states=["Approval"])
    workflow.fail(process_id)
    with pytest.raises(FlowExecutionFailedError, match="An error has stopped it") as failed:
        sense(mode, process_id)
    assert str(failed.value).endswith("a retry looks again, and starts none.")


def test_a_process_that_there_is_not_fails_unless_the_author_knows_better(
    server: DevServer, mode: str
) -> None:
    unknown = str(uuid.uuid4())
    with pytest.raises(FlowExecutionGoneError, match="Check the process id, "):
        sense(mode, unknown)
    assert sense(mode, unknown, on_purged="succeed")["status"] == "Purged"


def test_it_never_stops_a_process_at_its_time_limit(
    workflow: WorkflowServerSection, server: DevServer, mode: str
) -> None:
    process_id = created(server, "Long")
    with pytest.raises(AirflowSensorTimeout, match=r"was not finished within 0\.3 seconds"):
        sense(mode, process_id, timeout=0.3)
    assert asked(server, "setstate") == asked(server, "deleteinstance") == 0
    assert workflow.process(process_id)["StateName"] == "Working"


def test_its_terms_travel_in_the_triggers_row(workflow: WorkflowServerSection, server: DevServer) -> None:
    attempt = Attempt()
    process_id = created(server, "Long")
    with meanwhile(server, workflow.fail), pytest.raises(FlowExecutionFailedError):
        sense("deferrable", process_id, attempt, success_activities=["Done", "Drop"])
    (trigger,) = attempt.deferrals
    _, row = trigger.serialize()
    assert row["terms"]["success_activities"] == ["Done", "Drop"]
    assert (row["terms"]["wait_for"], row["terms"]["on_kill"]) == ("finalized", "none")
    json.dumps(row)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wait_for": "ever"}, "t: wait_for is 'ever'"),
        ({"wait_for": "idle", "success_activities": ["A"]}, "t: wait_for='idle' does not go with"),
        ({"success_states": "Approved"}, "t: success_states is 'Approved'; it takes a list of names"),
        ({"on_purged": "ignore"}, "t: on_purged is 'ignore'"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_the_dag_is_parsed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        WorkflowServerProcessSensor(task_id="t", process_id="p", **arguments)
