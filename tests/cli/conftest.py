"""Fixtures of this room's tests."""

from __future__ import annotations

import pytest
from cli_driving import Caller
from support.service import hook, server

from smartflows_provider.devserver.server import DevServer

__all__ = ["hook", "server"]


@pytest.fixture
def executions(
    server: DevServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Caller:
    """The command, with ``smartflows_default`` leading to the embedded server."""
    return Caller(capsys, monkeypatch)
