"""Airflow connections for hooks, given as operators give them: through the environment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from smartflows_provider.hooks.smart_flows import SmartFlowsHook

Mode = Literal["sync", "async"]
MODES: tuple[Mode, ...] = ("sync", "async")


def connect(
    monkeypatch: pytest.MonkeyPatch,
    text: str | None = None,
    *,
    conn_id: str = "smartflows_default",
    **fields: Any,
) -> SmartFlowsHook:
    """
    Return a hook over a connection.

    :param text: the environment variable as it is; else the fields make its JSON.
    """
    made = {"conn_type": "smartflows", "host": "flows.example", "password": "canary-key", **fields}
    made = {name: value for name, value in made.items() if value is not None}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(made) if text is None else text)
    return SmartFlowsHook(conn_id)


class Caller:
    """Calls a hook's methods in either mode."""

    def __init__(self, hook: Any, mode: Mode) -> None:
        self.hook = hook
        self.mode = mode

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self.mode == "sync":
            return getattr(self.hook, name)

        def call(*args: Any, **more: Any) -> Any:
            return asyncio.run(self._closing(getattr(self.hook, f"a{name}")(*args, **more)))

        return call

    def driven(self, exchange: Any) -> Any:
        """Return what a call of the wire comes to."""
        if self.mode == "sync":
            return self.hook.run(exchange)
        return asyncio.run(self._closing(self.hook.arun(exchange)))

    def download(self, document_id: str) -> tuple[str, int | None, bytes]:
        """Return a document's content type, announced size and bytes."""
        if self.mode == "sync":
            with self.hook.download_document(document_id) as stream:
                return stream.content_type, stream.size, b"".join(stream.chunks)

        async def read() -> tuple[str, int | None, bytes]:
            async with self.hook.adownload_document(document_id) as stream:
                content = b"".join([chunk async for chunk in stream.chunks])
                return stream.content_type, stream.size, content

        return asyncio.run(self._closing(read()))

    async def _closing(self, result: Awaitable[Any]) -> Any:
        try:
            return await result
        finally:
            await self.hook.aclose()
