"""The worker processes of a real Airflow for deferred runs and sensors, and what comes of both ways."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.outcomes import plain

from smartflows_provider.demo.flow_server import FlowServer
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.stack import EXECUTION_API, AirflowStack

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(900)]

HERE = ROOT / "tests" / "e2e"
DAG_IDS = ("runs", "sensors", "fall_backs", "slow")
WORKER_BEGINS = re.compile(r"method=PATCH path=/execution/task-instances/([0-9a-f-]+)/run ")
"""Each worker process reports once that it has begun."""


class Airflow:
    """The components, and what a test asks of them."""

    def __init__(self, stack: AirflowStack, flows: FlowServer) -> None:
        self.stack = stack
        self.rest = stack.rest
        self.flows = flows

    def run(self, dag_id: str, **conf: Any) -> str:
        run_id = self.rest.trigger(dag_id, conf=conf)
        self.wait_for_end(dag_id, run_id)
        return run_id

    def wait_for_end(self, dag_id: str, run_id: str) -> None:
        self.stack.wait_for(
            lambda: self.rest.dag_run(dag_id, run_id)["state"] in DAG_RUN_ENDED,
            what=f"the DAG {dag_id} to end",
            timeout=600,
        )

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        return {named(one): one["state"] for one in self.rest.task_instances(dag_id, run_id)}

    def workers(self, dag_id: str, run_id: str) -> dict[str, int]:
        """Count the worker processes of each task instance."""
        log = self.stack.processes.log_of(EXECUTION_API).read_text()
        begun = Counter(WORKER_BEGINS.findall(log))
        return {named(one): begun[one["id"]] for one in self.rest.task_instances(dag_id, run_id)}


def named(task_instance: dict[str, Any]) -> str:
    index = task_instance["map_index"]
    return task_instance["task_id"] if index < 0 else f"{task_instance['task_id']}[{index}]"


def alike(value: Any) -> str:
    return plain(json.dumps(value))


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    folder: Path = tmp_path_factory.mktemp("worker_processes")
    with ProcessTree(logs=folder / "components") as processes:
        flows = FlowServer(processes, flows=HERE / "worker_flows", state=folder / "flow-server" / "state.db")
        stack = AirflowStack(
            processes,
            dags_folder=HERE / "worker_dags",
            home=folder / "airflow",
            env={"AIRFLOW_CONN_SMARTFLOWS_DEFAULT": flows.connection()},
            separate_execution_api=True,
        )
        flows.start()
        stack.start()
        stack.wait_for(flows.is_up, what="the Smart Flows server to answer")
        for dag_id in DAG_IDS:
            stack.wait_for_dag(dag_id)
        yield Airflow(stack, flows)


def test_a_deferred_run_takes_one_worker_process_and_ends_as_on_two(airflow: Airflow) -> None:
    run_id, rest = airflow.run("runs"), airflow.rest
    assert set(airflow.states("runs", run_id).values()) == {"success"}
    assert airflow.workers("runs", run_id) == {
        "run_0": 1,
        "run_1": 1,
        "run_2": 1,
        "mapped[0]": 1,
        "mapped[1]": 1,
        "resumed": 2,
        "called_back": 2,
        "read": 1,
    }
    here, resumed = rest.xcom("runs", run_id, "run_0"), rest.xcom("runs", run_id, "resumed")
    assert here["values"] == {"answer": 42, "name": "Zoë"}
    assert alike(here) == alike(resumed)
    assert alike(rest.xcom("runs", run_id, "mapped", map_index=1)) == alike(resumed)
    assert rest.xcom("runs", run_id, "read") == ["dict: Warning", "dict: Warning"]
    assert rest.xcom("runs", run_id, "called_back", key="called_back") is True
    log = rest.log("runs", run_id, "run_0")
    assert "warning The flow warns: The logo is missing" in log
    assert f"Execution {here['execution_id']} ended in Warning." in log
    assert rest.links("runs", run_id, "run_0") == {"Flow execution": here["url"]}


def test_a_sensor_takes_no_worker_process_and_ends_as_on_two(airflow: Airflow) -> None:
    before = airflow.rest.xcom("runs", airflow.run("runs"), "run_0")["execution_id"]
    run_id, rest = airflow.run("sensors", execution_id=before), airflow.rest
    assert set(airflow.states("sensors", run_id).values()) == {"success"}
    here = ("by_reference", "by_text", "by_template", "by_conf", "over")
    assert airflow.workers("sensors", run_id) == {
        **dict.fromkeys(here, 0),
        "resumed": 2,
        "start": 1,
        "read": 1,
    }
    resumed = rest.xcom("sensors", run_id, "resumed")
    assert resumed["status"] == "Warning"
    for task_id in here:
        expected = {**resumed, "execution_id": before} if task_id == "by_conf" else resumed
        assert rest.xcom("sensors", run_id, task_id) == expected
        assert rest.links("sensors", run_id, task_id) == {"Flow execution": resumed["url"]}
        log = rest.log("sensors", run_id, task_id)
        assert "warning The flow warns: The logo is missing" in log
    assert rest.xcom("sensors", run_id, "read") == ["dict: Warning"] * 5


def test_what_the_triggerer_cannot_do_or_must_not_tell_is_done_on_a_worker(airflow: Airflow) -> None:
    run_id, rest = airflow.run("fall_backs"), airflow.rest
    states, workers = airflow.states("fall_backs", run_id), airflow.workers("fall_backs", run_id)
    # Rendered on a worker, which then waits in the triggerer as ever; the success is told there.
    for task_id in ("many", "macro", "counted"):
        assert (states[task_id], workers[task_id]) == ("success", 1), task_id
    for task_id, state in (("failing", "failed"), ("skipped", "skipped"), ("missing", "failed")):
        assert (states[task_id], workers[task_id]) == (state, 1), task_id
    assert (states["failing_run"], workers["failing_run"]) == ("failed", 2)
    for task_id in ("failing", "failing_run"):
        # A worker's log may come some moments after its task's end.
        airflow.stack.wait_for(
            lambda task_id=task_id: (
                "FlowExecutionFailedError: The execution ended in Error"
                in rest.log("fall_backs", run_id, task_id)
            ),
            what=f"the error in the log of {task_id}",
        )


def test_a_triggerer_that_is_killed_changes_neither_results_nor_time_limits(airflow: Airflow) -> None:
    rest, stack = airflow.rest, airflow.stack
    run_id = rest.trigger("slow")
    waiting = ("slow", "ended_by_a_person", "watching", "timed_out", "limited")
    stack.wait_for(
        lambda: (
            all(airflow.states("slow", run_id)[task_id] == "deferred" for task_id in waiting)
            and all("Running, 0 %" in rest.log("slow", run_id, task_id) for task_id in waiting)
        ),
        what=f"the tasks {', '.join(waiting)} to wait in the triggerer",
    )
    rest.mark("slow", run_id, "ended_by_a_person", state="failed")
    ended = rest.xcom("slow", run_id, "ended_by_a_person", key="execution_id")
    stack.wait_for(
        lambda: airflow.flows.progress(ended)["status"] == "Canceled", what="the execution to be cancelled"
    )
    stack.processes.end("triggerer", signal.SIGKILL)
    stack.start_component("triggerer", name="next triggerer")
    airflow.wait_for_end("slow", run_id)
    workers, states = airflow.workers("slow", run_id), airflow.states("slow", run_id)
    assert (states["slow"], workers["slow"]) == ("success", 1)
    assert (states["watching"], workers["watching"]) == ("success", 0)
    assert rest.xcom("slow", run_id, "slow")["values"] == {"answer": 42}
    assert rest.xcom("slow", run_id, "watching")["status"] == "Success"
    for task_id, error in (("timed_out", "AirflowSensorTimeout"), ("limited", "FlowTimeoutError")):
        assert (states[task_id], workers[task_id]) == ("failed", 1)
        assert f"{error}: The execution was not finished" in rest.log("slow", run_id, task_id)
