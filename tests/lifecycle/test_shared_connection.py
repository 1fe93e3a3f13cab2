"""A connection's look-ups, where their order in the event loop matters."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from smartflows_provider.lifecycle import shared_connection
from smartflows_provider.lifecycle.shared_connection import READ_AGAIN, SharedConnection
from smartflows_provider.transport.settings import ClientSettings

PATIENCE = 60.0
"""Seconds, a generous safety stop."""


class LookUps:
    """Hooks whose look-ups end when the test says so, each with another key."""

    def __init__(self) -> None:
        self.under_way: list[asyncio.Future[None]] = []

    def hook(self, *_: Any) -> LookUps:
        return self

    async def asettings(self) -> ClientSettings:
        self.under_way.append(asyncio.get_running_loop().create_future())
        number = len(self.under_way)
        await self.under_way[-1]
        return ClientSettings(base_url="https://here", api_prefix="", auth_headers={"key": str(number)})

    async def aclose(self) -> None: ...

    async def begun(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.under_way) < count:
                await asyncio.sleep(0)


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> LookUps:
    made = LookUps()
    monkeypatch.setattr(shared_connection, "hook_for", made.hook)
    return made


async def key_in_use(connection: SharedConnection) -> str:
    async with connection.use():
        settings = connection.settings
    return settings.auth_headers["key"] if settings else ""


@pytest.mark.timeout(PATIENCE)
async def test_who_comes_as_a_look_up_ends_that_was_doubted_meanwhile_has_it_looked_up_once_more(
    look_ups: LookUps,
) -> None:
    moment = 0.0
    connection = SharedConnection("smartflows", "conn", clock=lambda: moment)
    first = asyncio.create_task(key_in_use(connection))
    await look_ups.begun(1)
    moment = 1.0
    connection.doubt(asked=moment)
    look_ups.under_way[0].set_result(None)
    # Its turn is after the look-up's last step, and before anything is told of its end.
    later = asyncio.create_task(key_in_use(connection))
    await look_ups.begun(2)
    look_ups.under_way[1].set_result(None)
    assert await asyncio.gather(first, later) == ["2", "2"]


async def test_a_change_that_only_the_hook_goes_by_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(tenant: str) -> None:
        given = {"conn_type": "workflowserver", "host": "http://h", "extra": {"tenant_id": tenant}}
        monkeypatch.setenv("AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT", json.dumps(given))

    now = [0.0]
    connection = SharedConnection("workflowserver", "workflowserver_default", clock=lambda: now[0])
    connect("a")
    async with connection.use() as first:
        connect("b")
        now[0] = READ_AGAIN + 1
        connection.doubt(asked=now[0])
        async with connection.use() as second:
            assert next(second.look_exchange("p", hold_seconds=None)).query == (("tenantId", "b"),)
            assert next(first.look_exchange("p", hold_seconds=None)).query == (("tenantId", "a"),)
    await connection.close()
