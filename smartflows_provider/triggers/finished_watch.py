"""What a finished-event trigger does in the triggerer: watch, make events, and keep its position.

Where Airflow keeps state for the trigger's assets, the position is stored there under a key of what is
watched, so that several watchers of an asset stay apart. Invariants: a position is stored only after Airflow
has the events before it; while the state cannot be read nothing is fired, because where to begin is unknown;
an event holds no output and no secret.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from smartflows_provider.lifecycle.finished_feed import Found, Watcher, shared_feed
from smartflows_provider.waiting.schedule import LONGEST_POLL_INTERVAL, SHORTEST_POLL_INTERVAL
from smartflows_provider.waiting.watermark import Position, Watermark
from smartflows_provider.wire.answers import read_moment
from smartflows_provider.wire.run import Execution

if TYPE_CHECKING:
    from smartflows_provider.triggers.smart_flows import SmartFlowsFinishedEventTrigger

log = logging.getLogger(__name__)

EVENT_SCHEMA = 1
SETTLING = 5.0
"""
Seconds between the last event of a look and the one before it.

An event that comes in the moment in which the scheduler makes a DAG run for the one before it starts none by
itself (apache/airflow#62501 and #70972): it waits for the next one. So the last one comes a little later, and
takes along what was left.
"""
AT_ONCE = 200
"""
Events of one batch, at most.

A triggerer stores the events of a batch one by one, and neither tells that it is alive nor runs triggers
meanwhile; and it fails a trigger whose batch takes it longer than 300 seconds.
"""
KEEP_EVERY = 60.0
"""Seconds after which a position is stored although nothing has fired."""
READ_AGAIN = 10.0
"""Seconds after which a state that could not be read is read again."""


@dataclass(frozen=True, kw_only=True)
class FinishedEvent:
    """The payload of one event; what ``execution_id`` and ``status`` it names twice is a repeat."""

    schema_version: int = EVENT_SCHEMA
    conn_id: str
    """The Airflow connection."""
    execution_id: str
    flow: dict[str, str]
    """Its ``id`` and ``name``."""
    status: str
    """In its documented spelling."""
    created_at: str
    """As the service writes it: ISO 8601, UTC."""
    finished_at: str
    """When the execution has changed last, as the service writes it: the time of its end, if it has ended."""

    @classmethod
    def of(cls, execution: Execution, *, conn_id: str) -> FinishedEvent:
        """Return the payload about an execution."""
        return cls(
            conn_id=conn_id,
            execution_id=execution.id,
            flow={"id": execution.flow.id, "name": execution.flow.name},
            status=str(execution.status),
            created_at=execution.created_at,
            finished_at=execution.modified_at,
        )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Events that are fired together."""

    events: Sequence[dict[str, Any]]
    position: Position
    """To be stored once Airflow has them."""


class Spacing:
    """When the events of one trigger are fired."""

    def __init__(self) -> None:
        self._fired_at = -math.inf

    async def events(self, batch: Batch) -> AsyncIterator[dict[str, Any]]:
        """Return the events of a batch, the last one :data:`SETTLING` after the one before it."""
        for number, event in enumerate(batch.events, start=1):
            if number == len(batch.events):
                await asyncio.sleep(max(self._fired_at + SETTLING - time.monotonic(), 0.0))
            self._fired_at = time.monotonic()
            yield event


_announced: WeakValueDictionary[str, SmartFlowsFinishedEventTrigger] = WeakValueDictionary()


def announce(key: str, trigger: SmartFlowsFinishedEventTrigger) -> None:
    """Let the producer of a stream find the trigger that the stream is of, for the state of its assets."""
    _announced[key] = trigger


class FinishedWatch:
    """
    One trigger's watching.

    :param trigger: the trigger, with the state of its assets where Airflow keeps such.
    """

    def __init__(self, trigger: SmartFlowsFinishedEventTrigger) -> None:
        self._flow = trigger.flow
        self._statuses = frozenset(trigger.statuses)
        self._poll_interval = min(max(trigger.poll_interval, SHORTEST_POLL_INTERVAL), LONGEST_POLL_INTERVAL)
        self._conn_id = trigger.smart_flows_conn_id
        self._since = None if trigger.since is None else read_moment(trigger.since)
        # Airflow before 3.3 has none.
        self._stores = _stores_of(getattr(trigger, "asset_state_store", None))
        watched = json.dumps([self._conn_id, self._flow, sorted(self._statuses), trigger.since])
        self._key = f"smart_flows_finished.{sha256(watched.encode()).hexdigest()[:16]}"
        self._kept: Position | None = None
        self._kept_at = -math.inf
        self._cannot_keep = False

    @classmethod
    def announced(cls, key: str) -> FinishedWatch:
        """
        Return the watching of a trigger that was announced.

        :raises KeyError: if it is gone.
        """
        return cls(_announced[key])

    async def batches(self) -> AsyncIterator[Batch]:
        """Watch for ever, and return what is to be fired for or to be stored."""
        watermark = await self._watermark()
        watcher = Watcher(
            flow=self._flow,
            statuses=self._statuses,
            poll_interval=self._poll_interval,
            watermark=watermark,
        )
        stands = watermark.position or Position(mark=0.0)
        async with shared_feed(self._conn_id) as feed:
            with feed.joined(watcher):
                while True:
                    found = await _gathered(watcher)
                    left = list(found.executions)
                    while len(left) > AT_ONCE:
                        part, left = left[:AT_ONCE], left[AT_ONCE:]
                        stands = stands.after(part, until=found.position)
                        yield self._batch(part, stands)
                        await asyncio.sleep(2 * SETTLING)
                    stands = found.position
                    if left or self._is_to_be_kept(found):
                        yield self._batch(left, stands)
                    if left:
                        # Batches that come quicker than they are fired would pile up.
                        await asyncio.sleep(2 * SETTLING)

    async def keep(self, position: Position) -> None:
        """Store a position; where that fails the next one will be."""
        try:
            for store in self._stores:
                await store.aset(self._key, position.as_dict())
        except Exception as error:  # noqa: BLE001 - whatever Airflow answers, watching goes on
            if not self._cannot_keep:
                log.warning(
                    "The watcher of the flow %r (connection %s) cannot store its position in "
                    "Airflow (%s). It goes "
                    "on and tries again; if the triggerer restarts before it can, events come a second time.",
                    self._flow,
                    self._conn_id,
                    type(error).__name__,
                )
            self._cannot_keep = True
            return
        self._cannot_keep = False
        self._kept, self._kept_at = position, time.monotonic()

    def _is_to_be_kept(self, found: Found) -> bool:
        is_due = time.monotonic() >= self._kept_at + KEEP_EVERY
        return bool(self._stores) and is_due and found.position != self._kept

    def _batch(self, executions: Sequence[Execution], position: Position) -> Batch:
        events = [asdict(FinishedEvent.of(one, conn_id=self._conn_id)) for one in executions]
        return Batch(events=events, position=position)

    async def _watermark(self) -> Watermark:
        if not self._stores:
            log.warning(
                "The watcher of the flow %r (connection %s) begins with what ends from now on: this "
                "Airflow keeps "
                "no state for watchers, which takes 3.3 or later. What ended while no triggerer "
                "lived is left out.",
                self._flow,
                self._conn_id,
            )
            return Watermark(None, since=self._since, from_now=True)
        position = await self._read()
        if position is None:
            log.info("The watcher of the flow %r (connection %s) starts.", self._flow, self._conn_id)
        else:
            log.info("The watcher of the flow %r (connection %s) goes on.", self._flow, self._conn_id)
        self._kept = position
        return Watermark(position, since=self._since)

    async def _read(self) -> Position | None:
        """Return the position that was stored, the latest where the trigger is of several assets."""
        has_failed = False
        while True:
            try:
                stored = [await store.aget(self._key) for store in self._stores]
            except Exception as error:  # noqa: BLE001 - whatever Airflow answers, it is asked again
                if not has_failed:
                    log.warning(
                        "The watcher of the flow %r (connection %s) cannot read its position from "
                        "Airflow (%s) and "
                        "tries again; until then it fires nothing.",
                        self._flow,
                        self._conn_id,
                        type(error).__name__,
                    )
                has_failed = True
                await asyncio.sleep(READ_AGAIN)
                continue
            positions = [position for one in stored if (position := Position.from_dict(one)) is not None]
            if not positions and any(one is not None for one in stored):
                log.error(
                    "The position of the watcher of the flow %r (connection %s) in Airflow's asset "
                    "state, key %s, "
                    "is not one of this package; it begins anew.",
                    self._flow,
                    self._conn_id,
                    self._key,
                )
            return max(positions, key=lambda one: one.mark, default=None)


async def _gathered(watcher: Watcher) -> Found:
    """Return what all looks have brought that were not taken up yet."""
    found = await watcher.found.get()
    while not watcher.found.empty():
        later = watcher.found.get_nowait()
        found = Found(executions=[*found.executions, *later.executions], position=later.position)
    return found


def _stores_of(store: Any) -> list[Any]:
    """
    Return the state store of each asset.

    Watchers with the same arguments are one trigger with several assets, and Airflow's accessor then takes an
    asset to choose, which a trigger does not know.
    """
    if store is None:
        return []
    by_asset = [*getattr(store, "_by_name", {}).values(), *getattr(store, "_by_uri", {}).values()]
    return by_asset or [store]
