"""The embedded server as tests of the upper rooms use it: a connection to it, and what it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from smartflows_provider.devserver.flows import Flow
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.transport import blocking
from smartflows_provider.transport.repetition import Repetition

CONN_VARIABLE = "AIRFLOW_CONN_SMARTFLOWS_DEFAULT"
START = r"/flows/executions(/start)?$"
"""Path of the calls that start an execution, for faults."""


@pytest.fixture
def server(smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> DevServer:
    """The embedded server, with ``smartflows_default`` leading to it and repetitions that follow at once."""
    monkeypatch.setenv(CONN_VARIABLE, smart_flows_server.connection_json())
    monkeypatch.setattr(blocking, "Repetition", partial(Repetition, first_pause=0.01, longest_pause=0.05))
    return smart_flows_server


@pytest.fixture
def hook(server: DevServer) -> Iterator[SmartFlowsHook]:
    """A hook for ``smartflows_default``."""
    with SmartFlowsHook() as hook:
        yield hook


def panel_flow(server: DevServer, *steps: dict[str, Any], name: str = "Letter") -> Flow:
    """Add a flow that needs no input."""
    return server.add_flow(name=name, start_from="panel", steps=list(steps))


LONG = {"id": "long", "kind": "work", "message": "Working", "duration": 3600}
"""A step that is not over before the test is."""


def asked(server: DevServer, method: str, path_end: str = "") -> list[str]:
    """Return the paths of the requests of a method whose path ends in a word."""
    return [
        request.path
        for request in server.requests
        if request.method == method and request.path.endswith(path_end)
    ]


def starts(server: DevServer) -> list[str]:
    """Return the requests that were to start an execution."""
    return [path for path in asked(server, "POST") if path.endswith(("/executions", "/executions/start"))]


def cancels(server: DevServer) -> list[str]:
    """Return the requests that were to cancel an execution."""
    return asked(server, "DELETE")


def statuses(server: DevServer) -> list[str]:
    """Return the statuses of all executions, oldest first."""
    return [entry["status"] for entry in server.executions()]
