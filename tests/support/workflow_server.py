"""The Workflow Server section as tests of the upper rooms use it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.operators.workflow_server import WorkflowServerRunProcessOperator
from smartflows_provider.transport import asynchronous, blocking
from smartflows_provider.transport.repetition import Repetition
from support.interruptions import once
from support.tasks import Mode

CONN_VARIABLE = "AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT"
CREATION = "/createinstance/"


@pytest.fixture
def workflow(smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> WorkflowServerSection:
    """The section, with ``workflowserver_default`` leading to it and repetitions that follow at once."""
    section = smart_flows_server.section(WorkflowServerSection)
    monkeypatch.setenv(CONN_VARIABLE, smart_flows_server.section_connection_json(WorkflowServerSection))
    for client in (blocking, asynchronous):
        monkeypatch.setattr(client, "Repetition", partial(Repetition, first_pause=0.01, longest_pause=0.05))
    section.add_scheme("Quick", {"name": "Start"}, {"name": "Done", "state": "Done", "sets": {"Result": 42}})
    section.add_scheme("Long", {"name": "Work", "state": "Working", "seconds": 3600}, {"name": "Done"},
                       {"name": "Stopped", "state": "Stopped", "ends": 3})  # fmt: skip
    return section


def process_task(mode: Mode = "sync", **arguments: Any) -> WorkflowServerRunProcessOperator:
    """Return a task that runs a scheme, ``Quick`` by default, and looks often."""
    given = {"task_id": "t", "scheme_code": "Quick", "poll_interval": 0.05, **arguments}
    return WorkflowServerRunProcessOperator(deferrable=mode == "deferrable", **given)


def meanwhile(server: DevServer, act: Callable[[str], object]) -> AbstractContextManager[None]:
    """Do something to the instance that the block is about, once it is waited for."""
    known = len(server.requests)

    def waited_for() -> str | None:
        looks = [one.path for one in server.requests[known:] if "/getinstanceinfo/" in one.path]
        return looks[-1].rpartition("/")[2] if looks else None

    return once(waited_for, act)


def asked(server: DevServer, operation: str) -> int:
    """Return how often an operation was asked for."""
    return sum(f"/{operation}" in one.path for one in server.requests)
