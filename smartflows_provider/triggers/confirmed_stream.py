"""Keeps a watcher's position once Airflow has the events before it.

Airflow 3.3 and later tell the producer of a shared stream which of its batches have led to events that are in
the database; that is the moment from which a restart need not bring them again.
Invariant: a position is stored only if all batches up to it were taken in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from smartflows_provider.triggers.finished_watch import Batch, FinishedWatch

try:
    from airflow.triggers.shared_stream import SharedStreamProducer
except ImportError:

    class SharedStreamProducer:  # type: ignore[no-redef]
        """Stands in where Airflow has no shared streams, and asks for none."""


if TYPE_CHECKING:
    from airflow.triggers.shared_stream import AdvanceItem


class ConfirmedFinishes(SharedStreamProducer):
    """
    The stream of one trigger.

    :param key: under which the trigger was announced.
    """

    def __init__(self, key: str) -> None:
        self._watch = FinishedWatch.announced(key)

    async def open_stream(self) -> AsyncIterator[tuple[Batch, Batch]]:
        """Watch for ever."""
        async for batch in self._watch.batches():
            yield batch, batch

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """
        Store the position of what Airflow has.

        :param batch: in the order in which they were found.
        :raises RuntimeError: if Airflow does not have the events of one; the trigger then starts again from
            the position that was stored, and fires for them again.
        """
        taken: Batch | None = None
        for item in batch:
            if not item.outcome.is_clean:
                raise RuntimeError("Airflow has not taken events of a watcher; it starts again before them.")
            taken = item.broker_payload
        if taken is not None:
            await self._watch.keep(taken.position)
