"""The stand-in for OCP as tests of the upper rooms use it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from smartflows_provider.devserver.ocp import OcpSection
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.transport import asynchronous, blocking
from smartflows_provider.transport.repetition import Repetition

CONN_VARIABLE = "AIRFLOW_CONN_OCP_DEFAULT"
TOKEN = "canary-4711-token"
PASSWORD = "canary-4711-päss word"


def connect(monkeypatch: pytest.MonkeyPatch, server: DevServer, **changes: Any) -> None:
    """
    Let ``ocp_default`` lead to the section as it is now.

    :param changes: fields of the connection; ``extra`` adds to what there is.
    """
    made = json.loads(server.section_connection_json(OcpSection))
    extra = {**made.get("extra", {}), **changes.pop("extra", {})}
    monkeypatch.setenv(CONN_VARIABLE, json.dumps({**made, **changes, "extra": extra}))


def ocp_section(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> OcpSection:
    """Return the section, with canaries for secrets, ``ocp_default`` leading to it, and hasty repetitions."""
    section = server.section(OcpSection)
    section.rotate(TOKEN)
    section.rotate_password(PASSWORD)
    connect(monkeypatch, server)
    for client in (blocking, asynchronous):
        monkeypatch.setattr(client, "Repetition", partial(Repetition, first_pause=0.01, longest_pause=0.05))
    return section
