"""The one Airflow and the one service that all rows of the fault suite share.

Why this module exists: starting Airflow takes longer than most rows, so it is started once; rows that
disturb nobody run side by side on it, those that kill or freeze a component run after them.

Invariants: the components are the real ones, with shorter times until a dead one is noticed; the API keys
are canaries that stand nowhere but in Airflow's connections and at the service; everything ends with the
session.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.airflow_rest import FaultRest
from faults.airflow_under_test import PYTHON
from faults.rows import REGISTRY, Plan
from faults.tcp_proxy import ProxyLoop

from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.server import DevServer, running_server

ROOT = Path(__file__).resolve().parents[2]

DAGS = Path(__file__).parent / "dags"
TRIGGERER = "triggerer"
SPARE = "triggerer-2"
PARALLELISM = 14

FLOW_TASK = "run_flow"
EXECUTOR_EVENT = re.compile(
    rf"Received executor event .*?dag_id='([^']+)', task_id='{FLOW_TASK}', run_id='([^']+)'"
)

SETTINGS = {
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
    "AIRFLOW__CORE__MAX_TASK_INSTANCES_PER_DAGRUN": "1000",
    # A request of a person takes several connections at once; many requests must not wait for each other.
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "60",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "60",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    # Else a DAG file that is written again soon is parsed, and what has changed is thrown away.
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    # A worker that is gone is noticed after half a minute instead of five, and so on.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "3",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "20",
}


SESSION_ENDS = threading.Event()
"""Set when nobody waits for rows any more, so that none outlives the session."""


def new_key() -> str:
    """Return an API key that can be told from everything else in the world, in every quoting."""
    return f"canary/{secrets.token_hex(8)}+key={secrets.token_hex(8)}"


@dataclass(kw_only=True)
class World:
    """What runs."""

    folder: Path
    airflow: AirflowStack
    service: DevServer
    proxies: ProxyLoop
    keys: list[str] = field(default_factory=list)
    """Every API key that was ever in a connection."""
    triggerers: dict[int, str] = field(default_factory=dict)
    """Names of the triggerers by the id of their job."""
    _ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    _scheduler_log_read: int = 0
    _scheduler_log_lock: threading.Lock = field(default_factory=threading.Lock)
    _triggerers_lock: threading.Lock = field(default_factory=threading.Lock)

    def rest(self) -> FaultRest:
        """Return a client of Airflow's own, for one thread."""
        return FaultRest(self.airflow.url, user=self.airflow.user, password=self.airflow.password)

    def key(self) -> str:
        """Return a new key that the service takes."""
        key = new_key()
        self.service.add_key(key)
        self.keys.append(key)
        return key

    @property
    def processes(self) -> ProcessTree:
        """The components."""
        return self.airflow.processes

    @property
    def dags(self) -> Path:
        """Where Airflow reads DAG files."""
        return self.folder / "dags"

    def ended_processes(self, dag_id: str, run_id: str) -> int:
        """Return how many ends of processes of a DAG run's flow task the scheduler has taken notice of.

        Airflow shows this in the scheduler's log only.
        """
        with self._scheduler_log_lock:
            with self.processes.log_of("scheduler").open("rb") as log:
                log.seek(self._scheduler_log_read)
                lines = log.read()
            complete = lines[: lines.rfind(b"\n") + 1]
            self._scheduler_log_read += len(complete)
            self._ended.update(EXECUTOR_EVENT.findall(complete.decode(errors="replace")))
            return self._ended[dag_id, run_id]

    def kill(self, component: str, *, alone: bool = False) -> None:
        """Do what the kernel does to a program for want of memory."""
        self.processes.end(component, signal.SIGKILL, alone=alone)

    def redeploy(self, component: str) -> None:
        """End a component in order and start it again."""
        self.processes.end(component, signal.SIGTERM)
        self.start(component)

    def start(self, component: str) -> None:
        """Start a component, again or as a spare, and wait until Airflow knows it."""
        kind = TRIGGERER if component == SPARE else component
        before = set(self.rest().triggerers()) if kind == TRIGGERER else set()
        self.airflow.start_component(kind, name=component)
        if kind == "api-server":
            self.airflow.wait_until_up()
        if kind == TRIGGERER:
            self.know_triggerer(component, before)

    def know_triggerer(self, name: str, before: Collection[int]) -> None:
        """Remember which job a triggerer is that was not there before."""
        rest = self.rest()

        def new() -> set[int]:
            return set(rest.triggerers()) - set(before)

        wait_for(new, what=f"{name} to be known")
        self.triggerers |= dict.fromkeys(new(), name)

    def need_triggerers(self, *names: str) -> None:
        """Have these triggerers running, and no other; the rows of a group ask for them at the same time."""
        with self._triggerers_lock:
            for name in (TRIGGERER, SPARE):
                runs = bool(self.processes.processes_of(name))
                if runs and name not in names:
                    self.processes.end(name, signal.SIGTERM)
                elif not runs and name in names:
                    self.start(name)


def wait_for(
    condition: Callable[[], object],
    *,
    what: str | Callable[[], str],
    timeout: float = 300.0,
    pause: float = 0.7,
) -> None:
    """Wait until a condition holds.

    :param what: names it in the message
    :param timeout: a safety stop far above what a busy machine needs
    :raises AssertionError: when the time is over
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if SESSION_ENDS.is_set():
            raise AssertionError("the session has ended")
        if time.monotonic() > deadline:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"waited {timeout:.0f} s for {text} in vain")
        time.sleep(pause)


def write_dags(folder: Path) -> None:
    """Put the suite's DAG files into a folder."""
    folder.mkdir(parents=True)
    shutil.copyfile(DAGS / "factory.py", folder / "factory.py")
    shutil.copyfile(DAGS / "fault_dags.py", folder / "fault_dags.py")
    (folder / ".airflowignore").write_text("factory.py\n", encoding="utf-8")
    rows: dict[str, dict[str, Any]] = {}
    for plan in all_plans():
        if plan.row.own_file:
            write_own_dag(folder, plan.description())
        else:
            rows[plan.dag_id] = plan.description()
    (folder / "rows.json").write_text(json.dumps(list(rows.values())), encoding="utf-8")


def all_plans() -> list[Plan]:
    """Return every run of every row."""
    return [plan for row in REGISTRY.values() for plan in row.plans()]


def write_own_dag(folder: Path, description: dict[str, Any]) -> None:
    """Write, or write again, the file of a DAG that has one of its own."""
    text = f"import airflow\nfrom factory import make_dag\n\ndag = make_dag({description!r})\n"
    path = folder / f"{description['dag_id']}.py"
    path.with_suffix(".new").write_text(text, encoding="utf-8")
    path.with_suffix(".new").replace(path)


@contextlib.contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """Run Airflow and the service for the time of a `with` block."""
    write_dags(folder / "dags")
    env = {**SETTINGS, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with (
        ProxyLoop() as proxies,
        running_server(api_key=new_key(), state=folder / "service.sqlite") as service,
        ProcessTree(logs=folder / "components") as processes,
    ):
        airflow = AirflowStack(
            processes,
            dags_folder=folder / "dags",
            home=folder / "airflow",
            env=env,
            parallelism=PARALLELISM,
            separate_execution_api=True,
            python=PYTHON,
        )
        world = World(
            folder=folder, airflow=airflow, service=service, proxies=proxies, keys=[service.api_key]
        )
        airflow.start()
        airflow.wait_until_up()
        for dag_id in {plan.dag_id for plan in all_plans()}:
            airflow.wait_for_dag(dag_id)
        world.know_triggerer(TRIGGERER, {})
        yield world
