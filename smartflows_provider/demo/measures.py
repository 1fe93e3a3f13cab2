"""How long a task was deferred and how many worker processes it used, from what Airflow recorded.

Why this module exists: both figures are the point of a deferrable operator, so they are read from
Airflow's own records and never assumed.

Method. Airflow's API server writes an event for every change of state that a task process reports
(`/api/v2/eventLogs`): `running` when a process has been started for the task instance, `deferred` when
that process hands over to the triggerer and ends, then `running` again when a new process resumes it.

* Worker processes = number of `running` events: each stems from another process.
* A deferral starts at its `deferred` event. It ends when the triggerer hands the task back to the
  scheduler, which is the task instance's `scheduled_when` if that lies in between, else with the next
  event of the task instance, else at the task instance's `end_date`.

What cannot be read from the records is None, never an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one task instance used over all its attempts."""

    deferred_seconds: float | None
    """Seconds in state `deferred`; 0 if it never was, None if the records do not tell."""

    worker_processes: int | None
    """Processes that ran the task's code; None if the records do not tell."""


def measure(task: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Usage:
    """Work out what an ended task instance used.

    :param task: the task instance as the REST API answers it
    :param events: events of the task's DAG run as the REST API answers them, in any order
    """
    own = sorted(
        (
            event
            for event in events
            if event["task_id"] == task["task_id"] and event.get("map_index", -1) == task["map_index"]
        ),
        key=lambda event: _moment(event["when"]),
    )
    starts = sum(event["event"] == "running" for event in own)
    if not starts:
        return Usage(deferred_seconds=None, worker_processes=None)
    return Usage(deferred_seconds=_deferred_seconds(task, own), worker_processes=starts)


def _deferred_seconds(task: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> float | None:
    handed_back = task.get("scheduled_when")
    total = 0.0
    for event, following in zip(own, [*own[1:], None], strict=True):
        if event["event"] != "deferred":
            continue
        end = following["when"] if following is not None else task.get("end_date")
        if end is None:
            return None
        start, last = _moment(event["when"]), _moment(end)
        if handed_back is not None and start <= _moment(handed_back) <= last:
            last = _moment(handed_back)
        total += (last - start).total_seconds()
    return total


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
