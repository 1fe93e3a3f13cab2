"""The few calls of Airflow's public REST API that watching and steering a DAG run takes.

Why this module exists: the demo and the end-to-end tests look at Airflow from outside, as a user's own
program would, and never through its database or Python internals.

Invariants:
* Only the address given at construction is called, and no proxy of the environment is used.
* A 4xx or 5xx answer raises `RestError`, except where a method's docstring says that 404 means "not yet".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

import requests

JsonObject = dict[str, Any]
"""A JSON object as the API answers it."""

DAG_RUN_ENDED = frozenset({"success", "failed"})
"""States in which a DAG run stays."""


class RestError(RuntimeError):
    """Airflow refused a call; the message holds the status code and the answer's text."""


class NotThereError(RestError):
    """Airflow does not know what the call asked for (404)."""


class AirflowRest:
    """A signed-in client of one Airflow.

    :param url: address of the API server, for example `http://127.0.0.1:8080`
    :param user: name of a user of the simple auth manager
    :param password: that user's password
    :param timeout: seconds to wait for one answer
    """

    def __init__(self, url: str, *, user: str, password: str, timeout: float = 60.0) -> None:
        self.url = url
        self._credentials = {"username": user, "password": password}
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False

    def is_up(self) -> bool:
        """Tell whether the API server answers and its database is healthy; never raises for "not yet"."""
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=self._timeout)
        except requests.ConnectionError:
            return False
        return bool(answer.ok and answer.json()["metadatabase"]["status"] == "healthy")

    def warm_up(self, url: str) -> bool:
        """Call the interface that Airflow's workers use, which builds it if this is its first call.

        :param url: address of the server that offers it
        :returns: whether it answered; never raises for "not yet"
        """
        try:
            self._read(self._session.get(f"{url}/execution/health", timeout=self._timeout))
        except requests.ConnectionError:
            return False
        return True

    def health(self) -> dict[str, str | None]:
        """Return the status of each component: `healthy`, `unhealthy` or None while it was never seen."""
        parts: Mapping[str, Mapping[str, Any]] = self._call("GET", "/monitor/health")
        return {name: part["status"] for name, part in parts.items() if part is not None}

    def dag(self, dag_id: str) -> JsonObject | None:
        """Return a DAG's description, or None while Airflow has not parsed it."""
        return self._call_or_none("GET", f"/dags/{quote(dag_id)}")

    def import_errors(self) -> list[JsonObject]:
        """Return what went wrong when DAG files were parsed: `filename` and `stack_trace` of each."""
        errors: list[JsonObject] = self._call("GET", "/importErrors")["import_errors"]
        return errors

    def trigger(
        self, dag_id: str, *, run_id: str | None = None, conf: Mapping[str, Any] | None = None
    ) -> str:
        """Start a run of a DAG and return its id.

        :param dag_id: the DAG
        :param run_id: id to give the run; by default Airflow makes one
        :param conf: the run's configuration
        """
        body: JsonObject = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        answer: JsonObject = self._call("POST", f"/dags/{quote(dag_id)}/dagRuns", body=body)
        return str(answer["dag_run_id"])

    def dag_run(self, dag_id: str, run_id: str) -> JsonObject:
        """Return a DAG run; its `state` is queued, running, success or failed."""
        run: JsonObject = self._call("GET", self._run_path(dag_id, run_id))
        return run

    def dag_runs(self, dag_id: str) -> list[JsonObject]:
        """Return the DAG's runs, whatever has started them."""
        runs: list[JsonObject] = self._call("GET", f"/dags/{quote(dag_id)}/dagRuns")["dag_runs"]
        return runs

    def task_instances(self, dag_id: str, run_id: str) -> list[JsonObject]:
        """Return the task instances of a run, mapped ones each on their own."""
        found: list[JsonObject] = self._call("GET", f"{self._run_path(dag_id, run_id)}/taskInstances")[
            "task_instances"
        ]
        return found

    def task_instance(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> JsonObject:
        """Return one task instance.

        :param dag_id: the DAG
        :param run_id: the DAG run
        :param task_id: the task
        :param map_index: place of a mapped task instance; -1 for a task that is not mapped
        """
        task: JsonObject = self._call("GET", self._task_path(dag_id, run_id, task_id, map_index))
        return task

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Return the value of an XCom, or None while it was not pushed.

        :param dag_id: the DAG
        :param run_id: the DAG run
        :param task_id: the task that pushes it
        :param key: name of the XCom
        :param map_index: place of a mapped task instance; -1 for a task that is not mapped
        """
        entry = self._call_or_none(
            "GET",
            f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}",
            query={"map_index": map_index},
        )
        return None if entry is None else entry["value"]

    def links(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> dict[str, str | None]:
        """Return a task instance's extra links: address by link name, None for one without an address."""
        answer: JsonObject = self._call(
            "GET",
            f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/links",
            query={"map_index": map_index},
        )
        links: dict[str, str | None] = answer["extra_links"]
        return links

    def log(self, dag_id: str, run_id: str, task_id: str, *, attempt: int = 1, map_index: int = -1) -> str:
        """Return the log of one attempt as text, one line per message, exceptions included.

        :param dag_id: the DAG
        :param run_id: the DAG run
        :param task_id: the task
        :param attempt: number of the attempt, from 1
        :param map_index: place of a mapped task instance; -1 for a task that is not mapped
        """
        answer: JsonObject = self._call(
            "GET",
            f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{attempt}",
            query={"map_index": map_index, "full_content": True},
        )
        return "\n".join(log_line(message) for message in answer["content"])

    def mark(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *,
        state: Literal["success", "failed", "skipped"],
        map_index: int = -1,
    ) -> None:
        """Set a task instance's state as a person does in the UI.

        :param dag_id: the DAG
        :param run_id: the DAG run
        :param task_id: the task
        :param state: the new state
        :param map_index: place of a mapped task instance; -1 for a task that is not mapped
        """
        self._call("PATCH", self._task_path(dag_id, run_id, task_id, map_index), body={"new_state": state})

    def clear(
        self, dag_id: str, run_id: str, *, task_ids: Sequence[str], only_failed: bool = False
    ) -> list[JsonObject]:
        """Clear task instances as a person does in the UI, so that they run again; return them.

        :param dag_id: the DAG
        :param run_id: the DAG run
        :param task_ids: the tasks
        :param only_failed: leave alone those that did not fail
        """
        cleared: list[JsonObject] = self._call(
            "POST",
            f"/dags/{quote(dag_id)}/clearTaskInstances",
            body={
                "dry_run": False,
                "dag_run_id": run_id,
                "task_ids": list(task_ids),
                "only_failed": only_failed,
                "reset_dag_runs": True,
            },
        )["task_instances"]
        return cleared

    def event_log(self, dag_id: str, run_id: str, *, task_id: str | None = None) -> list[JsonObject]:
        """Return what Airflow recorded about a run, oldest first: `event`, `when`, `task_id`, `map_index`.

        :param dag_id: the DAG
        :param run_id: the DAG run
        :param task_id: only this task's events
        """
        query: JsonObject = {"dag_id": dag_id, "run_id": run_id, "order_by": "id", "limit": 100}
        if task_id is not None:
            query["task_id"] = task_id
        events: list[JsonObject] = []
        while True:
            page = self._call("GET", "/eventLogs", query={**query, "offset": len(events)})
            events += page["event_logs"]
            if len(events) >= page["total_entries"] or not page["event_logs"]:
                return events

    @staticmethod
    def _run_path(dag_id: str, run_id: str) -> str:
        return f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"

    def _task_path(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
        path = f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}"
        return path if map_index < 0 else f"{path}/{map_index}"

    def _call_or_none(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None
    ) -> JsonObject | None:
        try:
            answer: JsonObject = self._call(method, path, query=query)
        except NotThereError:
            return None
        return answer

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        if "Authorization" not in self._session.headers:
            self._sign_in()
        answer = self._session.request(
            method,
            f"{self.url}/api/v2{path}",
            params=query,
            json=body,
            headers={"Accept": "application/json"},
            timeout=self._timeout,
        )
        return self._read(answer)

    def _sign_in(self) -> None:
        answer = self._session.post(f"{self.url}/auth/token", json=self._credentials, timeout=self._timeout)
        self._session.headers["Authorization"] = f"Bearer {self._read(answer)['access_token']}"

    @staticmethod
    def _read(answer: requests.Response) -> Any:
        if answer.ok:
            return answer.json() if answer.content else None
        refusal = NotThereError if answer.status_code == HTTPStatus.NOT_FOUND else RestError
        raise refusal(
            f"{answer.request.method} {answer.request.path_url} answered {answer.status_code}: "
            f"{answer.text[:500]}"
        )


def log_line(message: str | Mapping[str, Any]) -> str:
    """Turn one message of Airflow's structured task log into text, exceptions with type and value.

    :param message: an element of `content` in the answer
    """
    if isinstance(message, str):
        return message
    parts = [str(message[key]) for key in ("timestamp", "level") if message.get(key)]
    text = message.get("event", "")
    lines = [" ".join([*parts, text if isinstance(text, str) else json.dumps(text)])]
    lines += [
        f"    {error.get('exc_type')}: {error.get('exc_value')}"
        for error in message.get("error_detail") or ()
    ]
    return "\n".join(lines)
