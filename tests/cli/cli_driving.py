"""Drives the command as a person does, in the test's own process or in one of its own."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from smartflows_provider.cli.main import main
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.flows import Flow
from smartflows_provider.devserver.server import DevServer

COMMAND = [sys.executable, "-m", "smartflows_provider", "executions"]


class Terminal(io.StringIO):
    """Standard input with a person at it."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the command has told, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Caller:
    """Runs the command; a person at the terminal gives the answer."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str, answer: str | None = None) -> Told:
        given = Terminal(answer) if answer is not None else io.StringIO()
        self._monkeypatch.setattr(sys, "stdin", given)
        self._capsys.readouterr()
        try:
            code = main(["executions", *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        told = self._capsys.readouterr()
        return Told(code=code, out=told.out, err=told.err)


def begin(server: DevServer, flow: Flow | None, *, ago: float = 0.0, key: str | None = None) -> str:
    """Start an execution as if it had been started so many seconds ago, and return its id."""
    user = server._keys.user_of(key or server.api_key)
    server.advance(-ago)
    try:
        return server.service.start(flow, user=user).id
    finally:
        server.advance(ago)


def answer_list_with(server: DevServer, *entries: Mapping[str, Any]) -> None:
    """Let the service answer the next lists of executions with these."""
    server.inject(
        Fault(
            action="status",
            status=200,
            body=json.dumps(entries),
            headers={"Content-Type": "application/json"},
            path="/flows/executions/filter$",
            count=None,
        )
    )


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment for a command of its own, with more variables."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **more}
