"""What the services say about a run: Smart Flows, and those whose triggers ours is measured beside.

Invariants: nothing here knows sockets or clocks; a wait is a number that each service's ids carry; a run that
is not over looks the same each time, so an answer is made once and kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs

FLOW = "00000000-0000-4000-9000-000000000000"
FAILING = 10
"""Each wait whose number ends in :data:`FAILED_DIGIT` of so many ends with an error."""
FAILED_DIGIT = 7
BEFORE = "2024-01-01T00:00:00.000000Z"
AFTER = "2024-01-02T00:00:00.000000Z"
HOLD = 30.0
"""Seconds for which Smart Flows holds an answer where it is not told otherwise."""


def execution_id(wait: int) -> str:
    """Return Smart Flows' id of a wait's run."""
    return f"00000000-0000-4000-8000-{wait:012d}"


def final_status(wait: int) -> str:
    """Return Smart Flows' word for how a wait's run ends."""
    return "Error" if wait % FAILING == FAILED_DIGIT else "Success"


@dataclass(frozen=True)
class Question:
    """A request about runs."""

    kind: str
    """A path's name, of :data:`PATHS`."""
    waits: tuple[int, ...] = ()
    hold: float = 0.0
    """Seconds for which the answer may be kept back."""
    marker: str = ""
    """Of a start: the text that tells it from the others."""


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes


PATHS = {
    "progress": re.compile(r"/api/v1/flows/executions/[0-9a-f-]{24}(\d{12})/progress"),
    "filter": re.compile(r"/api/v1/flows/executions/filter"),
    "start": re.compile(r"/api/v1/flows/executions"),
    "dbt-cloud": re.compile(r"/api/v2/accounts/1/runs/(\d+)/"),
    "databricks": re.compile(r"/api/2\.\d/jobs/runs/get"),
    "airbyte": re.compile(r"/jobs/(\d+)"),
    "fivetran": re.compile(r"/v1/connectors/wait_(\d+)"),
    "http": re.compile(r"/ready/(\d+)"),
}


def read_question(method: str, target: str, body: bytes) -> Question | None:
    """Return what a request asks; None where no service knows its path."""
    path, _, query = target.partition("?")
    for kind, pattern in PATHS.items():
        if (found := pattern.fullmatch(path)) is None:
            continue
        if kind == "progress":
            named = parse_qs(query).get("timeout")
            hold = float(named[0]) if named else HOLD
            return Question(kind, (int(found[1]),), hold)
        if kind == "filter":
            return Question(kind, tuple(_filtered(json.loads(body))))
        if kind == "start":
            return Question(kind, marker=body.decode()) if method == "POST" else None
        if kind == "databricks":
            return Question(kind, (int(json.loads(body)["run_id"]) - 1,))
        return Question(kind, (int(found[1]) - (kind in {"dbt-cloud", "airbyte"}),))
    return None


def answer(question: Question, is_stable: Callable[[int], bool]) -> Answer:
    """Return what the service says to a question about runs."""
    if question.kind == "filter":
        listed = b",".join(_execution(wait, is_stable(wait)) for wait in question.waits)
        return Answer(200, _page(listed, len(question.waits)))
    (wait,) = question.waits
    return _ANSWERS[question.kind](wait, is_stable(wait))


def started(wait: int) -> Answer:
    """Return what Smart Flows says to a start."""
    return _progress(wait, False)


def _filtered(node: Any) -> Sequence[int]:
    """Return the waits that a filter's condition on ``id`` names, wherever the condition stands."""
    if isinstance(node, dict):
        if node.get("key") == "id":
            return [int(each[24:]) for each in node["values"]]
        node = list(node.values())
    return [wait for each in node for wait in _filtered(each)] if isinstance(node, list) else []


def _page(listed: bytes, count: int) -> bytes:
    return b'{"content":[%s],"totalElements":%d,"totalPages":1,"number":0,"size":%d}' % (
        listed,
        count,
        max(1, count),
    )


@cache
def _execution(wait: int, stable: bool) -> bytes:
    return json.dumps(
        {
            "id": execution_id(wait),
            "createdAt": BEFORE,
            "modifiedAt": AFTER if stable else BEFORE,
            "createdBy": {"id": "1", "displayName": "Airflow"},
            "flow": {"id": FLOW, "displayName": "Letters"},
            "status": final_status(wait) if stable else "Running",
        }
    ).encode()


@cache
def _progress(wait: int, stable: bool) -> Answer:
    return _json(
        {
            "id": execution_id(wait),
            "percentage": 100 if stable else 50,
            "message": "Done" if stable else "Generating documents",
            "status": final_status(wait) if stable else "Running",
        }
    )


@cache
def _dbt_cloud(wait: int, stable: bool) -> Answer:
    """Status 3 is running, 10 a success."""
    return _json(
        {
            "status": {"code": 200, "is_success": True, "user_message": "Success!", "developer_message": ""},
            "data": {
                "id": wait + 1,
                "account_id": 1,
                "project_id": 1,
                "job_definition_id": 1,
                "environment_id": 1,
                "status": 10 if stable else 3,
                "status_humanized": "Success" if stable else "Running",
                "created_at": BEFORE,
                "started_at": BEFORE,
                "finished_at": AFTER if stable else None,
                "is_complete": stable,
                "is_success": stable,
            },
        }
    )


@cache
def _databricks(wait: int, stable: bool) -> Answer:
    state = {"life_cycle_state": "RUNNING", "state_message": "In run"}
    if stable:
        state = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
    return _json(
        {
            "job_id": 1,
            "run_id": wait + 1,
            "number_in_job": 1,
            "state": state,
            "start_time": 1704067200000,
            "run_page_url": "",
            "run_type": "JOB_RUN",
            "tasks": [],
        }
    )


@cache
def _airbyte(wait: int, stable: bool) -> Answer:
    return _json(
        {
            "jobId": wait + 1,
            "connectionId": FLOW,
            "jobType": "sync",
            "startTime": BEFORE,
            "status": "succeeded" if stable else "running",
        }
    )


@cache
def _fivetran(wait: int, stable: bool) -> Answer:
    return _json(
        {
            "code": "Success",
            "data": {
                "id": f"wait_{wait}",
                "group_id": "group",
                "service": "google_sheets",
                "schema": "letters.table",
                "paused": False,
                "sync_frequency": 360,
                "schedule_type": "manual",
                "created_at": BEFORE,
                "succeeded_at": AFTER if stable else BEFORE,
                "failed_at": None,
                "status": {
                    "setup_state": "connected",
                    "sync_state": "scheduled" if stable else "syncing",
                    "update_state": "on_schedule",
                    "is_historical_sync": False,
                    "tasks": [],
                    "warnings": [],
                },
            },
        }
    )


def _http(wait: int, stable: bool) -> Answer:
    """The trigger of the HTTP provider waits as long as there is nothing."""
    return Answer(200 if stable else 404, b'{"wait": %d}' % wait)


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode())


_ANSWERS: dict[str, Callable[[int, bool], Answer]] = {
    "progress": _progress,
    "dbt-cloud": _dbt_cloud,
    "databricks": _databricks,
    "airbyte": _airbyte,
    "fivetran": _fivetran,
    "http": _http,
}
