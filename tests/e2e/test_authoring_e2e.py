"""Notifiers and decorated tasks where Airflow really runs them: workers, DAG processor, triggerer."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.server import DevServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(900)]

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Event"><xs:complexType>
<xs:sequence><xs:any processContents="skip" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
</xs:complexType></xs:element></xs:schema>"""
LETTER = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Letter"><xs:complexType>
<xs:sequence><xs:element name="Name" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
DAG_IDS = ("succeeds", "fails", "unreachable", "silent", "late", "decorated")


class World:
    """Airflow, and the service that its notifiers call."""

    def __init__(self, stack: AirflowStack, server: DevServer) -> None:
        self.stack = stack
        self.rest = stack.rest
        self.server = server

    def wait_for_end(self, dag_id: str, run_id: str) -> str:
        """Return the state in which a run ends."""
        self.stack.wait_for(
            lambda: self.rest.dag_run(dag_id, run_id)["state"] in DAG_RUN_ENDED,
            what=f"the DAG {dag_id} to end",
        )
        return str(self.rest.dag_run(dag_id, run_id)["state"])

    def told(self, run_id: str) -> set[str]:
        """Return what the executions were started with that name a run, the run's name left out."""
        inputs = [self.server.input_of(one["id"]).decode() for one in self.server.executions()]
        texts = [text.partition("<Event>")[2].replace("\n", "").removesuffix("</Event>") for text in inputs]
        mine = f"<Run>{run_id}</Run>"
        found = [text.replace(mine, "") for text in texts if mine in text]
        assert len(found) == len(set(found)), found
        return set(found)

    def wait_until_told(self, run_id: str, *expected: str) -> None:
        self.stack.wait_for(lambda: len(self.told(run_id)) >= len(expected), what=f"{expected} to be told")
        assert self.told(run_id) == set(expected)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("authoring")
    with (
        running_server() as server,
        # One that is reached and never answers, and one that is gone.
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0)) as down,
        ProcessTree(logs=folder / "components") as processes,
    ):
        server.add_flow(name="Event", start_from="program", xsd=XSD, steps=[])
        for name in ("Letter", "Other"):
            output = {"kind": "output", "values": {"name": f"{{{{ data.Name }}}}, {name}"}}
            steps = [{"kind": "work", "duration": 4}, output]
            server.add_flow(name=name, start_from="program", xsd=LETTER, steps=steps)
        down_port = down.getsockname()[1]
        down.close()
        stack = AirflowStack(
            processes,
            dags_folder=Path(__file__).parent / "authoring_dags",
            home=folder / "airflow",
            env={
                "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": server.connection_json(),
                "AIRFLOW_CONN_SMARTFLOWS_DOWN": connection(down_port),
                "AIRFLOW_CONN_SMARTFLOWS_SILENT": connection(silent.getsockname()[1]),
            },
            separate_execution_api=True,
        )
        stack.start()
        for dag_id in DAG_IDS:
            stack.wait_for_dag(dag_id)
        yield World(stack, server)


def connection(port: int) -> str:
    return json.dumps({"conn_type": "smartflows", "host": "http://127.0.0.1", "port": port, "password": "k"})


def test_tasks_and_dags_are_told_of_by_executions(world: World) -> None:
    # Runs that end together share a process of the DAG processor, and with it the notifier.
    failing = [world.rest.trigger("fails") for _ in range(2)]
    succeeding = world.rest.trigger("succeeds")
    assert world.wait_for_end("succeeds", succeeding) == "success"
    world.wait_until_told(
        succeeding,
        "<Kind>begun</Kind>",
        "<Kind>done</Kind><Task>works</Task>",
        "<Kind>dag done</Kind><Dag>succeeds</Dag>",
    )
    for run_id in failing:
        assert world.wait_for_end("fails", run_id) == "failed"
        world.wait_until_told(
            run_id,
            "<Kind>retry</Kind>",
            "<Kind>failed</Kind><Why>the shop is closed</Why>",
            "<Kind>dag failed</Kind><Why>task_failure</Why>",
        )
    log = world.rest.log("succeeds", succeeding, "works")
    assert len(re.findall(r"The notification has started an execution, which nothing waits for \[", log)) == 2
    assert world.server.connection_json() not in log


@pytest.mark.parametrize(
    ("dag_id", "error"),
    [
        ("unreachable", "FlowConnectionError: "),
        ("silent", "the notifier's timeout were over while the flow was looked up"),
    ],
)
def test_a_service_that_is_down_changes_neither_task_nor_dag(world: World, dag_id: str, error: str) -> None:
    run_id = world.rest.trigger(dag_id)
    assert world.wait_for_end(dag_id, run_id) == "success"
    (task,) = world.rest.task_instances(dag_id, run_id)
    assert (task["state"], task["try_number"]) == ("success", 1)
    assert world.rest.xcom(dag_id, run_id, "goes_on") == "done"
    world.stack.wait_for(
        lambda: world.rest.log(dag_id, run_id, "goes_on").count(error) == 2, what="both failures in the log"
    )
    assert "failed and is not repeated" in world.rest.log(dag_id, run_id, "goes_on")


def test_a_deadline_that_is_missed_is_told_from_the_triggerer_and_from_an_executor(world: World) -> None:
    run_id = world.rest.trigger("late")
    assert world.wait_for_end("late", run_id) == "success"
    world.wait_until_told(run_id, "<Kind>late</Kind><Dag>late</Dag>", "<Kind>late, on an executor</Kind>")


def test_a_function_returns_the_input_and_the_task_the_manifest(world: World) -> None:
    run_id = world.rest.trigger("decorated")
    assert world.wait_for_end("decorated", run_id) == "success"
    tasks = world.rest.task_instances("decorated", run_id)
    assert {one["state"] for one in tasks} == {"success"}

    def returned(task_id: str, **more: Any) -> Any:
        return world.rest.xcom("decorated", run_id, task_id, **more)

    assert returned("read") == "Dear Mary, Letter"
    assert returned("on_a_worker")["values"] == {"name": "Dear Dear Mary, Letter, Other"}
    assert returned("expanded") == ["Yo Ada, Letter", "Yo Grace, Letter"]
    assert returned("by_kwargs") == ["Hi Ada, Letter"]
    assert returned("grouped.read", map_index=1) == "Dear Grace, Letter"
    assert returned("told") == [{"name": "Parts, Letter"}, "Success"]
    assert returned("loop_y")["status"] == "Success"
    assert len(world.server.executions()) >= 10
