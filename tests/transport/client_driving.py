"""Both clients behind one face, so that each test runs over both."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import suppress
from typing import Any, Literal

from support.telling import chain

from smartflows_provider.transport.asynchronous import AsyncClient
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.repetition import NO_REPETITION, Repetition
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.wire.messages import Exchange, Request, Response

Mode = Literal["blocking", "async"]
CANARY = "canary-4711-key"

GET = Request(method="GET", path="/things/1")
START = Request(
    method="POST",
    path="/things",
    headers=(("Content-Type", "text/plain"),),
    body=b"canary-payload",
    repeatable=False,
)


def settings_for(base_url: str, **more: Any) -> ClientSettings:
    """Return settings with the canary as key and short limits."""
    return ClientSettings(
        **{
            "base_url": base_url,
            "api_prefix": "/api/v1",
            "auth_headers": {"X-API-Key": CANARY},
            "connect_timeout": 5.0,
            "read_timeout": 5.0,
            **more,
        }
    )


class Driver:
    """One client of either kind, used from plain functions."""

    def __init__(
        self, mode: Mode, settings: ClientSettings, *, repetition: Repetition = NO_REPETITION
    ) -> None:
        self.mode = mode
        self.client: Any
        if mode == "blocking":
            self.client = BlockingClient(settings, repetition=repetition)
        else:
            self._runner = asyncio.Runner()
            self.client = AsyncClient(settings, repetition=repetition)

    def close(self) -> None:
        if self.mode == "blocking":
            self.client.close()
        else:
            self._runner.run(self.client.close())
            self._runner.close()

    def send(self, request: Request) -> Response:
        if self.mode == "blocking":
            return self.client.send(request)
        return self._runner.run(self.client.send(request))

    def run(self, exchange: Exchange[Any]) -> Any:
        if self.mode == "blocking":
            return self.client.run(exchange)
        return self._runner.run(self.client.run(exchange))

    def download(self, request: Request) -> tuple[Response, bytes]:
        if self.mode == "blocking":
            with self.client.stream(request) as (head, chunks):
                return head, b"".join(chunks)

        async def read() -> tuple[Response, bytes]:
            async with self.client.stream(request) as (head, chunks):
                return head, b"".join([chunk async for chunk in chunks])

        return self._runner.run(read())


def everything_said(error: BaseException) -> str:
    """Return all that a log, a traceback or an error reporter could show of an error and its chain."""
    said = ["".join(traceback.format_exception(error))]
    for one in chain(error):
        said += [str(one), repr(one), repr(one.args), repr(vars(one))]
        for value in vars(one).values():
            with suppress(Exception):
                said.append(repr(vars(value)))
    return "\n".join(said)
