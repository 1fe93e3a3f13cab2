"""A PhixFlow server and tasks that call its endpoints, as tests of the upper rooms use them."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Literal

import pytest

from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowException
from smartflows_provider.operators.phixflow import PhixFlowRunActionflowOperator
from smartflows_provider.transport import blocking
from smartflows_provider.transport.repetition import Repetition
from support.tasks import Attempt, run_task

CONN = "AIRFLOW_CONN_PHIXFLOW_DEFAULT"
TRIGGER = "/trigger$"
Way = Literal["wait", "sync", "deferrable"]
WAYS: tuple[Way, ...] = ("wait", "sync", "deferrable")
"""The mode *Wait for result*, and the mode *Poll for result* on a worker and in the triggerer."""


class Bench:
    """A PhixFlow server with tasks that call it."""

    def __init__(self, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.section = server.section(PhixFlowSection)
        self._monkeypatch = monkeypatch
        self.connect()

    def connect(self, **extra: Any) -> None:
        connection = json.loads(self.server.section_connection_json(PhixFlowSection))
        connection["extra"] |= extra
        self._monkeypatch.setenv(CONN, json.dumps(connection))

    def add(self, way: Way = "wait", actionflow: str = "Job", **settings: Any) -> None:
        mode = "wait" if way == "wait" else "poll"
        self.section.add_endpoint(actionflow=actionflow, mode=mode, **settings)

    def task(self, way: Way = "wait", **arguments: Any) -> PhixFlowRunActionflowOperator:
        given = {"task_id": "t", "application": "MyApp", "actionflow": "Job", "poll_interval": 0.05}
        if way != "wait":
            given |= {"mode": "poll", "deferrable": way == "deferrable"}
        return PhixFlowRunActionflowOperator(**{**given, **arguments})

    def run(self, way: Way = "wait", *, attempt: Attempt | None = None, **arguments: Any) -> Any:
        return run_task(self.task(way, **arguments), attempt)

    def error(self, way: Way = "wait", *, attempt: Attempt | None = None, **arguments: Any) -> FlowException:
        with pytest.raises(FlowException) as caught:
            self.run(way, attempt=attempt, **arguments)
        assert self.section.key not in repr(caught.value)
        return caught.value


@pytest.fixture
def bench(smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(blocking, "Repetition", partial(Repetition, first_pause=0.01, longest_pause=0.05))
    return Bench(smart_flows_server, monkeypatch)
