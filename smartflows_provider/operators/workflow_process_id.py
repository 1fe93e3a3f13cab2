"""The ids of the process instances that a task creates.

Workflow Server lets the client choose an instance's id. One that follows from the task instance lets a
creation be repeated, also by a later attempt that knows nothing of an earlier one. Invariants: the attempts
of a task instance have the same ids until it is cleared while it does not run, whatever else of the DAG run
is cleared; no other task instance, in this Airflow or another, has any of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from smartflows_provider.lifecycle.record import attempt_of

_NAMESPACE = UUID("6f9e2d2b-7d0a-4c55-9d2c-1f2b8c0a7e31")
_NO_REGION = UUID(int=0)


def process_id_of(context: Mapping[str, Any], *, number: int = 0) -> str:
    """
    Return the id of an instance that a task creates.

    The number of tries tells of a clear, but not of one while the task runs; the DAG run's clear number tells
    of both, but also of clears of other tasks, after which a retry would make a second instance: so it does
    not count. The DAG run's begin tells Airflows apart that have the same DAG; the iteration of a loop
    (Airflow 3.4) tells task instances apart that else are alike.

    :param context: the task's context.
    :param number: how many instances the task has had since it was last cleared.
    """
    task_instance, dag_run = context["ti"], context.get("dag_run")
    began = getattr(dag_run, "start_date", None)
    region = getattr(task_instance, "region_id", None)
    parts = {
        "dag": task_instance.dag_id,
        "task": task_instance.task_id,
        "run": task_instance.run_id,
        "map_index": _index(task_instance, "map_index"),
        "max_tries": attempt_of(context).epoch.max_tries,
        "began": None if began is None else began.timestamp(),
        "number": number,
    }
    if region is not None and UUID(str(region)) != _NO_REGION:
        parts |= {"region": str(region), "region_index": _index(task_instance, "region_index")}
    return str(uuid5(_NAMESPACE, json.dumps(parts, sort_keys=True)))


def _index(task_instance: Any, name: str) -> int:
    value = getattr(task_instance, name, None)
    return -1 if value is None else int(value)
