"""One connection's client, shared by everything on an event loop that uses it.

Looking a connection up is a round trip to Airflow, and a client is a pool of TLS sessions; thousands of waits
need both once. A key may be rotated meanwhile, or the host changed: then the client is replaced, and what is
under way on the old one ends there. Invariants: the connection is looked up by one at a time; a look-up that
fails takes nothing away unless the service has refused what was known; a client is closed when nothing uses
it any more.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smartflows_provider.exceptions import FlowException
from smartflows_provider.lifecycle.metrics import Meter
from smartflows_provider.lifecycle.systems import hook_for

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.transport.settings import ClientSettings

log = logging.getLogger(__name__)

DOUBT_AGAIN = 5.0
"""Seconds for which a key that a look-up has brought again is not looked up once more."""
READ_AGAIN = 300.0
"""Seconds after which a connection that works is looked up again, for what somebody may have changed in
it."""


@dataclass(eq=False, kw_only=True, slots=True)
class _Client:
    hook: FlowSystemHook
    settings: ClientSettings
    files: tuple[int, ...]
    users: int = 0
    retired: bool = False

    async def close_if_idle(self) -> None:
        if self.retired and not self.users:
            await self.hook.aclose()


class SharedConnection:
    """
    A connection on one event loop.

    :param system: a connection type of this package.
    :param conn_id: the Airflow connection.
    :param clock: seconds that never go back.
    """

    def __init__(self, system: str, conn_id: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._system = system
        self._conn_id = conn_id
        self.meter = Meter(system=system, conn_id=conn_id)
        """Of the connection."""
        self._clock = clock
        self._looking_up: asyncio.Task[_Client] | None = None
        self._client: _Client | None = None
        self._read_at = -math.inf
        self._doubted = False
        self._doubted_at = -math.inf
        self._doubted_again_at = -math.inf

    @property
    def settings(self) -> ClientSettings | None:
        """How the service is reached; None before the first look-up."""
        return self._client.settings if self._client else None

    async def look_up(self) -> None:
        """Look the connection up if that has not been done; that it cannot be used just now is no matter."""
        with suppress(FlowException):
            await self._current()

    def doubt(self, *, asked: float) -> None:
        """
        Have the connection looked up again before it is used, because the service has refused the key.

        :param asked: when the refused question left; a look-up since then has taken that in.
        """
        now = self._clock()
        if asked >= self._read_at and now >= self._doubted_again_at:
            self._doubted, self._doubted_at = True, now

    @asynccontextmanager
    async def use(self) -> AsyncIterator[FlowSystemHook]:
        """
        Lend the hook; its async client is shared and stays open for as long as somebody uses it.

        :raises FlowConfigurationError: if the connection is missing or unusable; no retry helps.
        :raises FlowConnectionError: if Airflow could not be asked for it; a retry helps.
        """
        client = await self._current()
        client.users += 1
        try:
            yield client.hook
        finally:
            client.users -= 1
            await client.close_if_idle()

    async def close(self) -> None:
        """Close the client as soon as nothing uses it."""
        if self._looking_up is not None:
            self._looking_up.cancel()
        client, self._client = self._client, None
        if client is not None:
            client.retired = True
            await client.close_if_idle()

    async def _current(self) -> _Client:
        while True:
            client = self._client
            is_fresh = self._clock() - self._read_at < READ_AGAIN
            if client is not None and not self._doubted and (is_fresh or self._looking_up is not None):
                return client
            if self._looking_up is None or self._looking_up.done():
                # A task of its own: whoever has begun it may leave, and what it finds holds for all who wait.
                looking_up = asyncio.get_running_loop().create_task(self._look_up(), context=Context())
                looking_up.add_done_callback(self._looked_up)
                self._looking_up = looking_up
                if client is not None and not self._doubted:
                    # Nobody is held up by a look-up that may bring nothing new.
                    return client
            found = await asyncio.shield(self._looking_up)
            if not self._doubted:
                return found

    def _looked_up(self, task: asyncio.Task[_Client]) -> None:
        if self._looking_up is task:
            self._looking_up = None
        if not task.cancelled():
            # Read, so that one nobody waits for any more is not reported as forgotten.
            task.exception()

    async def _look_up(self) -> _Client:
        client, began = self._client, self._clock()
        hook = hook_for(self._system, self._conn_id)
        try:
            settings = await hook.asettings()
        except Exception as error:
            if client is None or self._doubted:
                raise
            # The text of others may quote the connection, and with it a key.
            why = error if isinstance(error, FlowException) else type(error).__name__
            log.warning("The connection %s goes on as it was known: %s", self._conn_id, why)
            self._read_at = began
            return client
        files = _stamps(settings)
        self._read_at = began
        # A key may have been rotated after this began, and refused before it ended.
        was_doubted, self._doubted = self._doubted, self._doubted and began < self._doubted_at
        if client is not None and settings == client.settings and files == client.files:
            if was_doubted and not self._doubted:
                self._doubted_again_at = began + DOUBT_AGAIN
            return client
        self._client = _Client(hook=hook, settings=settings, files=files)
        if client is not None:
            log.info("The connection %s was changed; going on with what it is now.", self._conn_id)
            client.retired = True
            await client.close_if_idle()
        return self._client


def _stamps(settings: ClientSettings) -> tuple[int, ...]:
    """Return when the connection's certificate files were written; a renewed one keeps its name."""
    stamps = []
    for name in (settings.ca_file, settings.client_cert):
        with suppress(OSError):
            stamps.append(Path(name).stat().st_mtime_ns if name else 0)
    return tuple(stamps)
