"""Drives the wire's exchanges by hand: literal answers in, the requests and the result out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smartflows_provider.wire.messages import Exchange, Request, Response

ID = "4f7c1a9e-0d0b-4c8f-9d6a-5a3f3f0c2b11"
FLOW_ID = "9b8f0f0e-1f43-4f0e-8a5f-8d4b8e2c7a10"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the service answers."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def reply(value: Any, *, status: int = 200, **headers: str) -> Reply:
    """Return an answer with a JSON body."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(
        status=status,
        headers={"content-type": "application/json;charset=UTF-8", **named},
        body=json.dumps(value).encode(),
    )


@dataclass(frozen=True, kw_only=True)
class Driven:
    """What an exchange came to."""

    result: Any
    requests: list[Request]

    @property
    def request(self) -> Request:
        """The only request."""
        (only,) = self.requests
        return only


def drive(exchange: Exchange[Any], *replies: Reply) -> Driven:
    """Drive an exchange over exactly these answers."""
    requests: list[Request] = []
    rest = list(replies)
    try:
        request = next(exchange)
        while True:
            requests.append(request)
            given = rest.pop(0)
            request = exchange.send(
                Response(status=given.status, headers=given.headers, body=given.body, request=request)
            )
    except StopIteration as stop:
        assert not rest, f"{len(rest)} answers were not asked for"
        return Driven(result=stop.value, requests=requests)


def progress_of(status: str, **more: Any) -> dict[str, Any]:
    """Return a progress object with all the keys that the service shows."""
    return {
        "id": ID,
        "percentage": 40,
        "message": "Composing",
        "status": status,
        "currentData": None,
        "schema": None,
        "model": None,
        "form": None,
        **more,
    }


def execution_of(status: str = "Running", **more: Any) -> dict[str, Any]:
    """Return an execution object as lists show it."""
    return {
        "id": ID,
        "mode": "Attended",
        "createdAt": "2024-05-02T08:15:30.123Z",
        "createdBy": {"id": "u1", "displayName": "Ada"},
        "modifiedAt": "2024-05-02T08:16:00.000Z",
        "modifiedBy": {"id": "u1", "displayName": "Ada"},
        "status": status,
        "flow": {"id": FLOW_ID, "displayName": "Letter", "type": "flow"},
        **more,
    }
