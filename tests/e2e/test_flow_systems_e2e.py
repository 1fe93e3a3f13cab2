"""The flow systems besides Smart Flows on a real Airflow: runs, kills, clears, and a triggerer that dies."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.ocp import OcpSection
from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.server import DevServer, running_server
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.wire.workflow_server_process import InstanceStatus

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(900)]

SECTIONS = {
    "WORKFLOWSERVER": WorkflowServerSection,
    "PHIXFLOW": PhixFlowSection,
    "OCP": OcpSection,
}


class World:
    """Airflow, and the services that its connections lead to."""

    def __init__(self, stack: AirflowStack, server: DevServer) -> None:
        self.stack = stack
        self.rest = stack.rest
        self.workflows = server.section(WorkflowServerSection)

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        return {one["task_id"]: one["state"] for one in self.rest.task_instances(dag_id, run_id)}

    def wait_for_end(self, dag_id: str, run_id: str) -> None:
        self.stack.wait_for(
            lambda: self.rest.dag_run(dag_id, run_id)["state"] in DAG_RUN_ENDED,
            what=f"the DAG {dag_id} to end",
            timeout=600,
        )

    def state_of(self, process_id: str) -> str:
        return str(self.workflows.process(process_id)["StateName"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("flow_systems")
    with running_server() as server, ProcessTree(logs=folder / "components") as processes:
        workflows = server.section(WorkflowServerSection)
        workflows.configure(access="openid", token_seconds=20.0)
        withdrawn = {"name": "Out", "state": "Withdrawn", "ends": InstanceStatus.FINALIZED}
        work = {"name": "Work", "state": "Working", "seconds": 3600.0, "ends": InstanceStatus.FINALIZED}
        workflows.add_scheme("Long", work, withdrawn)
        server.section(OcpSection).add_flow("greeting", status="started")
        stack = AirflowStack(
            processes,
            dags_folder=ROOT / "tests" / "e2e" / "system_dags",
            home=folder / "airflow",
            env={
                f"AIRFLOW_CONN_{name}_DEFAULT": server.section_connection_json(section)
                for name, section in SECTIONS.items()
            },
            separate_execution_api=True,
        )
        stack.start()
        for dag_id in ("systems", "approval", "long"):
            stack.wait_for_dag(dag_id)
        yield World(stack, server)


def test_every_system_runs_waits_and_hands_its_result_on(world: World) -> None:
    rest = world.rest
    run_id = rest.trigger("systems")
    world.wait_for_end("systems", run_id)
    states = world.states("systems", run_id)
    assert states == dict.fromkeys(states, "success"), {
        task_id: rest.log("systems", run_id, task_id)
        for task_id, state in states.items()
        if state == "failed"
    }
    assert rest.xcom("systems", run_id, "read") == [
        "dict: Finalized (Done)",
        "dict: Success",
        "dict: started",
    ]
    assert rest.xcom("systems", run_id, "process")["values"]["state"] == "Done"
    created = world.workflows.created
    assert len(created) == len(set(created)) == 4
    assert world.workflows.leaks == []


def test_a_process_that_rests_is_approved_by_the_next_task(world: World) -> None:
    run_id = world.rest.trigger("approval")
    world.wait_for_end("approval", run_id)
    assert set(world.states("approval", run_id).values()) == {"success"}
    assert world.rest.xcom("approval", run_id, "approve")["state"] == "Approved"
    assert world.rest.xcom("approval", run_id, "approved")["status"] == "Finalized (Approved)"


def test_kills_clears_and_a_triggerer_that_dies_lose_and_double_no_process(world: World) -> None:
    rest, stack, workflows = world.rest, world.stack, world.workflows
    before = len(workflows.created)
    run_id = rest.trigger("long")
    tasks = ("ended", "cleared", "goes_on")
    for task_id in tasks:
        stack.wait_for(
            lambda task_id=task_id: (
                world.states("long", run_id)[task_id] == "deferred"
                and "Running (Working)" in rest.log("long", run_id, task_id)
            ),
            what=f"the task {task_id} to wait in the triggerer",
        )
    first = {task_id: rest.xcom("long", run_id, task_id, key="execution_id") for task_id in tasks}
    assert sorted(first.values()) == sorted(workflows.created[before:])
    rest.mark("long", run_id, "ended", state="failed")
    stack.wait_for(
        lambda: world.state_of(first["ended"]) == "Withdrawn", what="the ended task's process to be stopped"
    )
    rest.clear("long", run_id, task_ids=["cleared"])
    stack.wait_for(
        lambda: (
            world.states("long", run_id)["cleared"] == "deferred"
            and rest.xcom("long", run_id, "cleared", key="execution_id") != first["cleared"]
        ),
        what="the cleared task to wait for another process",
    )
    second = rest.xcom("long", run_id, "cleared", key="execution_id")
    assert world.state_of(first["cleared"]) == "Withdrawn"
    assert world.state_of(second) == "Working"
    stack.processes.end("triggerer", signal.SIGKILL)
    # Tokens of the one that died are of no use to its successor.
    stack.start_component("triggerer", name="next triggerer")
    for process_id in (first["goes_on"], second):
        workflows.finish(process_id)
    world.wait_for_end("long", run_id)
    assert world.states("long", run_id) == {"ended": "failed", "cleared": "success", "goes_on": "success"}
    assert rest.xcom("long", run_id, "goes_on")["execution_id"] == first["goes_on"]
    assert rest.xcom("long", run_id, "cleared")["execution_id"] == second
    assert len(workflows.created) - before == 4
