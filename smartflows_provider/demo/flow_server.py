"""The embedded Smart Flows server as a program of its own, beside Airflow.

Why this module exists: the demo must meet the service over a real socket and in another process, as a
real one would be met. The live line and the tests also ask it about a run, without going through Airflow.

Invariant: the key for Smart Flows is made at random for each run and is accepted by this server only; the
further systems have the credentials that the devserver documents.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from smartflows_provider.demo.database import clean_environment
from smartflows_provider.demo.ports import LOOPBACK, free_ports
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.devserver.sections import known_sections

LONG_POLL_SECONDS = 1
"""Seconds that the server may hold a question about progress."""


class FlowServer:
    """One embedded Smart Flows server whose process belongs to a `ProcessTree`.

    :param processes: owner of the process; ends it
    :param flows: folder with the flows to offer
    :param state: file in which the server keeps executions and documents
    """

    program = "flow-server"
    """What messages and log files call it."""

    def __init__(self, processes: ProcessTree, *, flows: Path, state: Path) -> None:
        [self.port] = free_ports(1)
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.api_key = secrets.token_urlsafe(24)
        self._processes = processes
        self._flows = flows
        self._state = state
        self._session = requests.Session()
        self._session.trust_env = False

    def start(self) -> None:
        """Start the server; return without waiting for it."""
        self._state.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "smartflows_provider.devserver", "--port", str(self.port)]
        command += [f"--api-key={self.api_key}", "--flows", str(self._flows), "--state", str(self._state)]
        self._processes.start(self.program, command, env=clean_environment({}))

    def is_up(self) -> bool:
        """Tell whether the server answers; never raises for "not yet"."""
        try:
            return self._session.get(f"{self.url}/api/v1/settings/public", timeout=10).ok
        except requests.ConnectionError:
            return False

    def connection(self) -> str:
        """Return the Airflow connection to this server in the JSON form of `AIRFLOW_CONN_…`."""
        return json.dumps(
            {
                "conn_type": "smartflows",
                "host": f"http://{LOOPBACK}",
                "port": self.port,
                "password": self.api_key,
            }
        )

    def section_connections(self) -> dict[str, str]:
        """Return the further systems' connections, by the variable `AIRFLOW_CONN_…_DEFAULT` of each."""
        sections = [kind(time.time) for kind in known_sections()]
        return {
            f"AIRFLOW_CONN_{section.name.upper()}_DEFAULT": json.dumps(
                section.connection(host=f"http://{LOOPBACK}", port=self.port)
            )
            for section in sections
        }

    def progress(self, execution_id: str) -> dict[str, Any]:
        """Return the progress object of an execution: `status`, `percentage`, `message` and more.

        :param execution_id: id that the start of the flow answered
        :raises requests.RequestException: if the server refuses or does not answer; a retry may help
        """
        answer = self._session.get(
            f"{self.url}/api/v1/flows/executions/{quote(execution_id, safe='')}/progress",
            params={"timeout": LONG_POLL_SECONDS},
            headers={"X-API-Key": self.api_key},
            timeout=LONG_POLL_SECONDS + 30,
        )
        answer.raise_for_status()
        progress: dict[str, Any] = answer.json()
        return progress
