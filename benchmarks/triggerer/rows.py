"""Writes deferred tasks straight into Airflow's database, with Airflow's own models.

Why this module exists: ten thousand tasks that defer one after the other take hours of worker time, and only
what comes after that is measured. It is a program of its own, because Airflow reads its settings when it is
imported.

Invariants: rows are as Airflow's API writes them when a task defers, the arguments of triggers as plain JSON;
the tasks are instances of one mapped task, so that reading their DAG costs Airflow as little as it can.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from airflow._shared.timezones import timezone
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import insert
from sqlalchemy.orm import Session

from benchmarks.triggerer.probe import LoopProbe
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.systems import SMART_FLOWS
from smartflows_provider.triggers.execution import FlowExecutionTrigger

DAG_ID = "waits"
TASK = "run_flow"
RUN_ID = "crowd"
BUNDLE = "dags-folder"
PROBE_INDEX = 0
"""Map index of the instance that the probe runs in; waits follow it."""


def write(plan: dict[str, Any]) -> None:
    """
    Write everything.

    :param plan: `connection` (arguments of Airflow's model), `execution_ids`, `seconds` (until the deadline),
        `probe_file`
    """
    with create_session() as session:
        session.add(Connection(**plan["connection"]))
        version, run = _dag(session)
        task: Any = run.get_dag().get_task(TASK)
        triggers = [Trigger(classpath=path, kwargs={}) for path, _ in _triggers(plan)]
        for row, (_, arguments) in zip(triggers, _triggers(plan), strict=True):
            row.encrypted_kwargs = json.dumps(arguments)
        session.add_all(triggers)
        session.flush()
        now = timezone.utcnow()
        session.execute(
            insert(TaskInstance),
            [
                {
                    **TaskInstance.insert_mapping(
                        RUN_ID, task, index, dag_version_id=version.id, dag_run=run
                    ),
                    "state": TaskInstanceState.DEFERRED,
                    "try_number": 1,
                    "start_date": now,
                    "trigger_id": trigger.id,
                    "next_method": "execute_complete",
                    "next_kwargs": {},
                }
                for index, trigger in enumerate(triggers, start=PROBE_INDEX)
            ],
        )


def _dag(session: Session) -> tuple[DagVersion, DagRun]:
    """Write the DAG and a run of it that has no task instances yet."""
    with DAG(DAG_ID, schedule=None) as dag:
        SmartFlowsRunFlowOperator.partial(task_id=TASK, deferrable=True).expand(flow=["letters"])
    session.add(DagBundleModel(name=BUNDLE))
    session.flush()
    session.add(DagModel(dag_id=DAG_ID, bundle_name=BUNDLE, is_paused=False, fileloc="waits.py"))
    session.flush()
    SerializedDagModel.write_dag(LazyDeserializedDAG.from_dag(dag), bundle_name=BUNDLE, session=session)
    session.flush()
    version = DagVersion.get_latest_version(DAG_ID, session=session)
    run = DagRun(
        dag_id=DAG_ID,
        run_id=RUN_ID,
        run_after=timezone.utcnow(),
        start_date=timezone.utcnow(),
        state=DagRunState.RUNNING,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
    )
    run.dag = SerializedDagModel.get_dag(DAG_ID, session=session)
    run.created_dag_version = version
    session.add(run)
    session.flush()
    if version is None:
        raise RuntimeError("Airflow has not kept the DAG")
    return version, run


def _triggers(plan: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield LoopProbe(plan["probe_file"]).serialize()
    deadline = time.time() + plan["seconds"]
    for execution_id in plan["execution_ids"]:
        yield FlowExecutionTrigger(
            system=SMART_FLOWS,
            conn_id=plan["connection"]["conn_id"],
            execution_id=execution_id,
            deadline=deadline,
        ).serialize()


if __name__ == "__main__":
    write(json.load(sys.stdin))
