"""What the fault suite asks of Airflow over REST beyond what the demo does."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from smartflows_provider.demo.rest import AirflowRest, JsonObject, NotThereError

ONE_ACT_AT_A_TIME = threading.Lock()
"""Airflow on SQLite writes for one request at a time; more of them would wait for each other in it."""


class FaultRest(AirflowRest):
    """The demo's client with a person's other acts: connections, pools, clears, form answers."""

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        if method == "GET":
            return super()._call(method, path, **kwargs)
        with ONE_ACT_AT_A_TIME:
            return super()._call(method, path, **kwargs)

    def create_connection(self, conn_id: str, *, port: int, password: str, extra: Mapping[str, Any]) -> None:
        """Make a connection to a port of the loopback address."""
        body = {
            "connection_id": conn_id,
            "conn_type": "smartflows",
            "host": "http://127.0.0.1",
            "port": port,
            "password": password,
            "extra": json.dumps(dict(extra)),
        }
        self._call("POST", "/connections", body=body)

    def change_password(self, conn_id: str, password: str) -> None:
        """Put another key into a connection."""
        body = {"connection_id": conn_id, "conn_type": "smartflows", "password": password}
        self._call("PATCH", f"/connections/{quote(conn_id)}", query={"update_mask": "password"}, body=body)

    def create_pool(self, name: str, *, slots: int) -> None:
        """Make a pool."""
        self._call("POST", "/pools", body={"name": name, "slots": slots})

    def set_slots(self, name: str, slots: int) -> None:
        """Change how many slots a pool has."""
        body = {"pool": name, "slots": slots, "include_deferred": False}
        self._call("PATCH", f"/pools/{quote(name)}", query={"update_mask": "slots"}, body=body)

    def clear_task(
        self, dag_id: str, run_id: str, tasks: Sequence[str | tuple[str, int]], **options: Any
    ) -> None:
        """Clear task instances; `options` are more keys of the body."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [list(one) if isinstance(one, tuple) else one for one in tasks],
            "only_failed": False,
            "reset_dag_runs": True,
            **options,
        }
        self._call("POST", f"/dags/{quote(dag_id)}/clearTaskInstances", body=body)

    def clear_dag_run(self, dag_id: str, run_id: str) -> None:
        """Clear a whole DAG run."""
        body = {"dry_run": False, "only_failed": False}
        self._call("POST", f"{self._run_path(dag_id, run_id)}/clear", body=body)

    def mark_dag_run(self, dag_id: str, run_id: str, state: Literal["success", "failed"]) -> None:
        """Set the state of a whole DAG run."""
        self._call("PATCH", self._run_path(dag_id, run_id), body={"state": state})

    def answer_form(self, dag_id: str, run_id: str, task_id: str, *, chosen: str, **values: Any) -> None:
        """Answer a form of the "Required Actions"."""
        body = {"chosen_options": [chosen], "params_input": values}
        self._call("PATCH", self._form_path(dag_id, run_id, task_id), body=body)

    def form(self, dag_id: str, run_id: str, task_id: str) -> JsonObject | None:
        """Return the form of a task instance under the "Required Actions", None where it has none."""
        try:
            found: JsonObject = self._call("GET", self._form_path(dag_id, run_id, task_id))
        except NotThereError:
            return None
        return found

    def _form_path(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"{self._run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/-1/hitlDetails"

    def task(self, dag_id: str, task_id: str) -> JsonObject:
        """Return a task as Airflow has parsed it last."""
        found: JsonObject = self._call("GET", f"/dags/{quote(dag_id)}/tasks/{quote(task_id)}")
        return found

    def all_task_instances(self, dag_id: str, run_id: str) -> list[JsonObject]:
        """Return the task instances of a run, however many there are."""
        found: list[JsonObject] = []
        while True:
            page = self._call(
                "GET",
                f"{self._run_path(dag_id, run_id)}/taskInstances",
                query={"limit": 100, "offset": len(found)},
            )
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def triggerers(self) -> list[int]:
        """Return the ids of the triggerer jobs that Airflow takes for alive, oldest first."""
        jobs = self._call("GET", "/jobs", query={"job_type": "TriggererJob", "is_alive": True})["jobs"]
        return sorted(job["id"] for job in jobs)

    def airflow_version(self) -> str:
        """Return the version of Airflow that answers."""
        return str(self._call("GET", "/version")["version"])
