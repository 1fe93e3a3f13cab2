"""Asset watchers on a real Airflow: what ends at the service starts DAGs, through a triggerer's sudden
death."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.server import DevServer, running_server
from smartflows_provider.hooks.smart_flows import SmartFlowsHook

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(900)]

DAGS = Path(__file__).parent / "event_dags"
FLOWS = {
    "Letter": [{"id": "out", "kind": "output", "values": {"text": "Dear all"}}],
    "Report": [{"id": "broken", "kind": "fail", "message": "No data"}],
}


class World:
    """The components, the service, and what a test asks of them."""

    def __init__(self, stack: AirflowStack, server: DevServer, hook: SmartFlowsHook) -> None:
        self.stack = stack
        self.server = server
        self._hook = hook

    def finish(self, flow: str) -> str:
        """Have an execution of a flow begin and end at the service."""
        return self._hook.start(flow).execution_id

    def fired(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the payloads that the ended runs of a DAG have read."""
        rest = self.stack.rest
        ended = [run for run in rest.dag_runs(dag_id) if run["state"] in DAG_RUN_ENDED]
        assert {run["state"] for run in ended} <= {"success"}
        return [event for run in ended for event in rest.xcom(dag_id, run["dag_run_id"], "read")]

    def wait_for(self, dag_id: str, execution_id: str) -> dict[str, Any]:
        """Wait until a DAG has read the event about an execution."""
        found: list[dict[str, Any]] = []

        def has_fired() -> bool:
            found[:] = [one for one in self.fired(dag_id) if one["execution_id"] == execution_id]
            return bool(found)

        self.stack.wait_for(has_fired, what=f"{dag_id} to start for {execution_id}", timeout=240)
        return found[0]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.stack.database}?mode=ro", uri=True) as database:
            return database.execute(sql).fetchall()

    def positions(self) -> list[str]:
        """Return the positions that Airflow keeps."""
        rows = self.query("SELECT value FROM asset_state_store WHERE key LIKE 'smart_flows_finished.%'")
        return sorted(value for (value,) in rows)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("events")
    with running_server() as server, ProcessTree(logs=folder / "components") as processes:
        for name, steps in FLOWS.items():
            server.add_flow(name=name, start_from="panel", steps=steps)
        stack = AirflowStack(
            processes,
            dags_folder=DAGS,
            home=folder / "airflow",
            env={
                "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": server.connection_json(),
                # A dead triggerer's triggers move sooner.
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
                "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            },
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_SMARTFLOWS_DEFAULT", server.connection_json())
            with SmartFlowsHook() as hook:
                world = World(stack, server, hook)
                # Ended before anybody watched.
                world.finish("Letter")
                stack.start()
                for dag_id in ("on_letter", "on_failure"):
                    stack.wait_for_dag(dag_id)
                stack.wait_for(lambda: len(world.positions()) == 2, what="both watchers to have begun")
                yield world


def test_ends_start_dags_also_those_that_a_dead_triggerer_could_not_see(world: World) -> None:
    triggers = world.query("SELECT id FROM trigger")
    assert len(triggers) == 2
    first, failed = world.finish("Letter"), world.finish("Report")
    letter = world.wait_for("on_letter", first)
    assert letter == {
        "schema_version": 1,
        "conn_id": "smartflows_default",
        "execution_id": first,
        "flow": {"id": letter["flow"]["id"], "name": "Letter"},
        "status": "Success",
        "created_at": letter["created_at"],
        "finished_at": letter["finished_at"],
    }
    assert letter["created_at"] <= letter["finished_at"]
    assert world.wait_for("on_failure", failed)["status"] == "Error"

    # One that ends in the moment of the death, and those that end while no triggerer lives.
    during = world.finish("Letter")
    world.stack.processes.end("triggerer", signal.SIGKILL)
    meanwhile = [world.finish("Letter"), world.finish("Report")]
    world.stack.start_component("triggerer")
    world.wait_for("on_letter", during)
    world.wait_for("on_letter", meanwhile[0])
    world.wait_for("on_failure", meanwhile[1])
    world.wait_for("on_letter", world.finish("Letter"))

    # Nothing that ended before, and of the other kind, has fired; repeats come only of the restart.
    fired = [one["execution_id"] for one in world.fired("on_letter")]
    assert fired.count(first) <= 2
    assert len(set(fired)) == 4
    assert {one["execution_id"] for one in world.fired("on_failure")} == {failed, meanwhile[1]}
    # Airflow took the arguments for the same at every parse, and the key is nowhere.
    assert world.query("SELECT id FROM trigger") == triggers
    logs = "".join(path.read_text() for path in world.stack.processes.logs.iterdir() if path.is_file())
    assert world.server.api_key not in logs + "".join(world.positions())
