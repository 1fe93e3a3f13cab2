"""How many worker processes whole DAGs take on a real Airflow, and what their triggers cost the triggerer.

Why this module exists: a task that waits in the triggerer takes a worker process to begin and another to go
on, unless the triggerer can do that too.

Invariants: all tasks of a DAG wait at the same time before the first execution ends; the processes are
counted by the events that Airflow keeps of each process that reports a task as running, so none is estimated;
what is compared runs on the same Airflow.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from benchmarks.triggerer import probe
from benchmarks.triggerer.watching import TriggererTaken, watching
from benchmarks.work import ROOT
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.keys import User
from smartflows_provider.devserver.server import DevServer, running_server

DAGS = Path(__file__).parent / "dags"
PROBE_DAG = "probe"
FLOW = "Letters"
STARTER = User(id="starter", name="Starter", role="super user")
"""Who starts what sensors wait for."""
LONG = 24 * 3600.0
"""Seconds by the service's clock that an execution takes; the clock is put forward once all tasks wait."""
SETTLE = 10.0
"""Seconds between the last deferral and the end of executions. Airflow fails a task that is given to a
second process before the scheduler has taken notice of the first one's end."""
PATIENCE = 900.0
STATES = "SELECT state, count(*) FROM task_instance WHERE dag_id = ? GROUP BY state"
SETTINGS = {
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
    "AIRFLOW__CORE__MAX_TASK_INSTANCES_PER_DAGRUN": "1000",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "16",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "3",
    "PYTHONPATH": str(ROOT),
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A DAG of many alike tasks."""

    dag_id: str
    kind: str
    """`runs` or `sensors`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of each task."""


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a DAG took."""

    tasks: int
    succeeded: int
    processes: int
    """Worker processes."""
    waiting: float
    """Seconds from the run's start until all tasks waited."""
    ending: float
    """Seconds from the executions' end until the run's end."""
    block: float
    """Seconds for which the triggerer's loop stood still at the longest."""
    taken: TriggererTaken
    """What it took of the triggerer."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All DAGs."""

    used: Mapping[str, Used]
    """By DAG."""


def observe(kinds: Sequence[Kind], folder: Path, *, tasks: int, tell: Callable[[str], None]) -> Observed:
    """
    Run DAGs one after the other on a real Airflow.

    :param folder: an empty one.
    :param tasks: how many each DAG has.
    :param tell: takes a line of progress.
    """
    with (
        running_server(state=folder / "service.sqlite") as service,
        ProcessTree(logs=folder / "components") as processes,
    ):
        file = folder / "probe"
        plan = folder / "plan.json"
        service.add_flow(name=FLOW, start_from="panel", steps=[_STEP])
        plan.write_text(json.dumps(_plan(kinds, file, tasks)))
        airflow = AirflowStack(
            processes,
            dags_folder=DAGS,
            home=folder / "airflow",
            env={
                **SETTINGS,
                "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": service.connection_json(),
                "SMARTFLOWS_BENCH_PLAN": str(plan),
            },
            separate_execution_api=True,
        )
        airflow.start()
        for dag_id in (PROBE_DAG, *(kind.dag_id for kind in kinds)):
            airflow.wait_for_dag(dag_id)
        used = {}
        with _probing(airflow, file):
            for kind in kinds:
                used[kind.dag_id] = _use(kind, airflow, service, file=file, tasks=tasks)
                tell(f"{used[kind.dag_id].processes} worker processes for {tasks} tasks of {kind.dag_id}")
        return Observed(used=used)


_STEP = {"kind": "work", "message": "Working", "duration": LONG}


def _plan(kinds: Sequence[Kind], file: Path, tasks: int) -> dict[str, Any]:
    return {
        "dags": {kind.dag_id: {"kind": kind.kind, "arguments": dict(kind.arguments)} for kind in kinds},
        "execution_ids": [f"{{{{ dag_run.conf['execution_ids'][{number}] }}}}" for number in range(tasks)],
        "flow": FLOW,
        "probe_dag": PROBE_DAG,
        "probe_file": str(file),
    }


@contextmanager
def _probing(airflow: AirflowStack, file: Path) -> Iterator[None]:
    """Have a probe measure the triggerer's loop for the time of a `with` block."""
    file.touch()
    run_id = airflow.rest.trigger(PROBE_DAG)
    airflow.wait_for(lambda: bool(probe.read(file)), what="the probe to measure", timeout=PATIENCE)
    yield
    file.unlink()
    airflow.wait_for(
        lambda: airflow.rest.dag_run(PROBE_DAG, run_id)["state"] in DAG_RUN_ENDED,
        what="the probe to end",
        timeout=PATIENCE,
    )


def _use(kind: Kind, airflow: AirflowStack, service: DevServer, *, file: Path, tasks: int) -> Used:
    started = [_start(service) for _ in range(tasks)] if kind.kind == "sensors" else []
    began = monotonic()
    with watching(airflow.processes.pid_of("triggerer")) as taken:
        run_id = airflow.rest.trigger(kind.dag_id, conf={"execution_ids": started})
        airflow.wait_for(
            lambda: _states(airflow, kind.dag_id).get("deferred") == tasks,
            what=f"all tasks of {kind.dag_id} to wait",
            timeout=PATIENCE,
        )
        wait = monotonic()
        sleep(SETTLE)
        advanced = monotonic()
        service.advance(LONG)
        airflow.wait_for(
            lambda: airflow.rest.dag_run(kind.dag_id, run_id)["state"] in DAG_RUN_ENDED,
            what=f"{kind.dag_id} to end",
            timeout=PATIENCE,
        )
        ended = monotonic()
    events = airflow.rest.event_log(kind.dag_id, run_id)
    return Used(
        tasks=tasks,
        succeeded=_states(airflow, kind.dag_id).get("success", 0),
        processes=sum(event["event"] == "running" for event in events),
        waiting=wait - began,
        ending=ended - advanced,
        block=max((each.block for each in probe.read(file) if each.moment >= began), default=0.0),
        taken=taken,
    )


def _start(service: DevServer) -> str:
    """Start an execution and return its id."""
    return service.service.start(service.service.flow(FLOW), user=STARTER).id


def _states(airflow: AirflowStack, dag_id: str) -> dict[str, int]:
    """Return how many tasks of a DAG are in each state."""
    with closing(sqlite3.connect(f"file:{airflow.database}?mode=ro", uri=True, timeout=60)) as connection:
        return {str(state): count for state, count in connection.execute(STATES, (dag_id,))}
