"""One question per interval about executions that have ended, for all who watch flows of a connection.

Watchers of different flows and statuses share the question: it asks for the statuses of all of them and
reaches back as far as the one that is farthest behind, and each picks what it is about. Invariants: a watcher
takes in only answers that reach back far enough for it; no failure ends the asking, and the log tells of a
failure once, and of its end; Retry-After is honoured; nothing is asked where nobody watches.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from smartflows_provider.lifecycle.flow_names import FlowNames
from smartflows_provider.lifecycle.looking import LOOK_ERRORS, failed_look
from smartflows_provider.lifecycle.poller import shared_poller
from smartflows_provider.systems import SMART_FLOWS
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.waiting.failures import PollFailure
from smartflows_provider.waiting.schedule import LONGEST_RETRY_AFTER
from smartflows_provider.waiting.watermark import OVERLAP, Position, Watermark
from smartflows_provider.wire.errors import AccessDenied, NotFound, RequestRefused, UnreadableAnswer
from smartflows_provider.wire.run import Execution
from smartflows_provider.wire.smart_flows import list_flows
from smartflows_provider.wire.smart_flows_finished import Listing, ListingWay, list_changed

if TYPE_CHECKING:
    from smartflows_provider.lifecycle.shared_connection import SharedConnection
    from smartflows_provider.transport.asynchronous import AsyncClient
    from smartflows_provider.wire.messages import Exchange

log = logging.getLogger(__name__)

GATHERING = 0.5
"""Seconds for which a watcher that has just come waits for others, so that one question is for all of
them."""
BEST_WAY_AGAIN = 3600.0
"""Seconds after which a service that did not take the best question is asked it again: it may only have been
starting."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one look brought a watcher."""

    executions: Sequence[Execution]
    """To be fired for, in the order of their ends."""
    position: Position
    """Where the watcher stands once they are."""


@dataclass(eq=False, kw_only=True)
class Watcher:
    """
    Somebody who watches a flow.

    :param flow: id or name.
    :param statuses: that it is about, in their documented spelling.
    :param poll_interval: seconds between two looks, at most.
    :param watermark: what it has seen so far.
    """

    flow: str
    statuses: frozenset[str]
    poll_interval: float
    watermark: Watermark
    found: asyncio.Queue[Found] = field(default_factory=asyncio.Queue)
    """What each look has brought."""


class FinishedFeed:
    """
    The watchers on one connection and event loop.

    :param conn_id: the Airflow connection, for messages.
    :param connection: the connection.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        conn_id: str,
        connection: SharedConnection,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conn_id = conn_id
        self._connection = connection
        self._clock = clock
        self._names = FlowNames(conn_id)
        self._watchers: list[Watcher] = []
        self._newest_since = math.inf
        """When the first of those came for whom nothing was asked yet."""
        self._came = asyncio.Event()
        self._way = ListingWay()
        self._best_way_at = -math.inf
        """When the best way was asked in last."""
        self._asked_at = self._quiet_until = -math.inf
        self._failing_since: float | None = None
        self._failure: PollFailure | None = None

    @contextmanager
    def joined(self, watcher: Watcher) -> Iterator[None]:
        """Let somebody watch."""
        self._watchers.append(watcher)
        self._newest_since = min(self._newest_since, self._clock())
        self._came.set()
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self._until_due()
            await self._look()

    async def _until_due(self) -> None:
        while (pause := self._due - self._clock()) > 0:
            self._came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause if math.isfinite(pause) else None):
                    await self._came.wait()

    @property
    def _due(self) -> float:
        """When the next question is to be asked."""
        interval = min((watcher.poll_interval for watcher in self._watchers), default=math.inf)
        due = min(self._asked_at + interval, self._newest_since + GATHERING) if self._watchers else math.inf
        return max(due, self._quiet_until)

    async def _look(self) -> None:
        """Ask once, for those who watch now: an answer may not reach back far enough for who comes later."""
        watchers = list(self._watchers)
        asked = self._asked_at = self._clock()
        self._newest_since = math.inf
        try:
            async with self._connection.use() as hook:
                asked = self._clock()
                client = await hook.aclient()
                flows = {watcher.flow for watcher in watchers}
                if self._names.are_due(flows, now=asked):
                    await self._look_names_up(client, flows)
                way = ListingWay() if asked >= self._best_way_at + BEST_WAY_AGAIN else self._way
                listing = await client.run(self._question(watchers, way), repetition=NO_REPETITION)
                if doubted := self._names.doubted(listing.executions):
                    await self._look_names_up(client, flows)
                    self._names.settled(doubted)
        except LOOK_ERRORS as error:
            self._failed(failed_look(error, meter=self._connection.meter), asked=asked)
            return
        except Exception as error:
            self._failed(PollFailure(kind="passing", text=f"unforeseen: {type(error).__name__}"), asked=asked)
            log.debug("Unforeseen:", exc_info=True)
            return
        if way == ListingWay():
            self._best_way_at = asked
        self._answered(listing)
        for watcher in watchers:
            self._tell(watcher, listing)

    def _question(self, watchers: Sequence[Watcher], way: ListingWay) -> Exchange[Listing]:
        reaches = [watcher.watermark.reach for watcher in watchers]
        return list_changed(
            statuses=sorted(frozenset().union(*(watcher.statuses for watcher in watchers))),
            since=min((reach for reach in reaches if reach is not None), default=None),
            overlap=OVERLAP,
            way=way,
            # One that begins does so after the latest change, however old that is.
            latest_too=None in reaches,
        )

    async def _look_names_up(self, client: AsyncClient, flows: Collection[str]) -> None:
        now = self._clock()
        try:
            there_are = await client.run(list_flows(), repetition=NO_REPETITION)
        except (AccessDenied, NotFound, RequestRefused, UnreadableAnswer) as error:
            self._names.refused(error, now=now)
        else:
            self._names.learn(there_are, flows, now=now)

    def _tell(self, watcher: Watcher, listing: Listing) -> None:
        def is_wanted(execution: Execution) -> bool:
            return execution.status in watcher.statuses and self._names.means(watcher.flow, execution)

        executions = watcher.watermark.take(listing, is_wanted)
        position = watcher.watermark.position
        if position is not None:
            watcher.found.put_nowait(Found(executions=executions, position=position))

    def _answered(self, listing: Listing) -> None:
        if listing.way == ListingWay() != self._way:
            log.info("Connection %s: the service takes the question about ended executions.", self._conn_id)
            self._way = listing.way
        elif listing.way != self._way:
            log.warning(
                "Connection %s: the service does not take the question about ended executions as it was "
                "asked; from now on %s.",
                self._conn_id,
                "the latest changes of all executions are listed"
                if listing.way.orders
                else "whole lists are read at each look, which may take many requests",
            )
            self._way = listing.way
        if self._failing_since is not None:
            log.info(
                "Connection %s: the service tells about ended executions again, after %.0f seconds; "
                "what ended "
                "meanwhile is made up for.",
                self._conn_id,
                self._clock() - self._failing_since,
            )
        self._failing_since = self._failure = None

    def _failed(self, failure: PollFailure, *, asked: float) -> None:
        """Take in that a question brought no answer; it is asked again at the next turn."""
        now = self._clock()
        if failure.kind in {"refused", "denied"} or failure.refresh:
            self._connection.doubt(asked=asked)
        if failure.retry_after is not None:
            self._quiet_until = now + min(failure.retry_after, LONGEST_RETRY_AFTER)
        if self._failure is None or self._failure.kind != failure.kind:
            level = logging.WARNING if failure.kind == "passing" else logging.ERROR
            log.log(
                level,
                "Connection %s: the service does not tell about ended executions: %s%s Asking goes on, and "
                "nothing is lost.",
                self._conn_id,
                failure.text.rstrip("."),
                _ADVICE.get(failure.kind, "."),
            )
        self._failing_since = now if self._failing_since is None else self._failing_since
        self._failure = failure


_ADVICE = {
    "refused": ". Put a valid key into the connection; it is picked up without a restart.",
    "denied": ". Have the key's role, or the licence, given the right to list executions.",
    "missing": ". Create the connection; it is picked up without a restart.",
    "misconfigured": ". Mend the connection; it is picked up without a restart.",
    "gone": ". Check the connection's API prefix.",
}


@dataclass(eq=False, kw_only=True, slots=True)
class _Shared:
    feed: FinishedFeed
    users: int = 0
    asking: asyncio.Task[None] | None = None


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_feed(conn_id: str) -> AsyncIterator[FinishedFeed]:
    """
    Lend the feed of a connection on the running event loop; the last one to give it back ends it.

    :param conn_id: the Airflow connection.
    """
    feeds = _shared.setdefault(asyncio.get_running_loop(), {})
    async with shared_poller(SMART_FLOWS, conn_id) as poller:
        shared = feeds.setdefault(conn_id, _Shared(feed=FinishedFeed(conn_id, poller.connection)))
        shared.users += 1
        if shared.asking is None:
            # A context of its own: what it logs belongs to no single trigger.
            shared.asking = asyncio.get_running_loop().create_task(shared.feed.run(), context=Context())
        try:
            yield shared.feed
        finally:
            shared.users -= 1
            if not shared.users:
                del feeds[conn_id]
                shared.asking.cancel()
                await asyncio.wait([shared.asking])
