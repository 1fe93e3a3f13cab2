"""The trigger of an asset watcher: an event whenever an execution of a flow reaches a status.

A DAG file makes it each time it is parsed, so only arguments and their checks are here; what happens in the
triggerer is in ``finished_watch``, and is imported there. Invariants: no secrets in arguments and events; the
same arguments, however they are written, are one trigger to Airflow.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Hashable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from smartflows_provider.option_words import check_word
from smartflows_provider.systems import SMART_FLOWS_CONN_ID
from smartflows_provider.wire.answers import read_moment
from smartflows_provider.wire.smart_flows import ExecutionStatus, read_status
from smartflows_provider.wire.smart_flows_finished import moment_text

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

    from smartflows_provider.triggers.finished_watch import Batch

GOOD_ENDS = (ExecutionStatus.SUCCESS.value, ExecutionStatus.WARNING.value)
"""The statuses of an execution that has done its work."""


class SmartFlowsFinishedEventTrigger(BaseEventTrigger):
    """
    Fires whenever an execution of a flow reaches a status, whoever has started it; for ``AssetWatcher``.

    Each event's payload is a :class:`smartflows_provider.triggers.finished_watch.FinishedEvent` as a dict:
    which execution of which flow, its status and times; no output. From Airflow 3.3 on, what ends while no
    triggerer lives fires once one does; after a restart an event may come a second time. Before 3.3 each
    start of the trigger begins with what ends from then on.

    :param flow: id or name of the flow. A name may be one of a flow that is yet to be made.
    :param smart_flows_conn_id: the Airflow connection.
    :param statuses: which statuses fire, as the service writes them. A status that is no end, ``UserInput``
        say, fires once for an execution, and not if it has passed between two looks.
    :param poll_interval: seconds between two looks; the shortest of all watchers of the connection holds for
        all of them.
    :param since: only what has changed since fires, at the first start too; a time of the service, ISO 8601
        or ``datetime``, UTC where it has no zone. None begins with what ends from the first start on.
    :raises ValueError: for an argument that cannot be meant; no retry helps.
    """

    def __init__(
        self,
        *,
        flow: str,
        smart_flows_conn_id: str = SMART_FLOWS_CONN_ID,
        statuses: Sequence[str] = GOOD_ENDS,
        poll_interval: float = 60.0,
        since: str | datetime | None = None,
    ) -> None:
        super().__init__()
        self.flow = _text("flow", flow)
        self.smart_flows_conn_id = _text("smart_flows_conn_id", smart_flows_conn_id)
        self.statuses = _statuses(statuses)
        self.poll_interval = _seconds(poll_interval)
        self.since = _moment(since)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, for Airflow's database."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "flow": self.flow,
                "smart_flows_conn_id": self.smart_flows_conn_id,
                "statuses": self.statuses,
                "poll_interval": self.poll_interval,
                "since": self.since,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch where Airflow keeps no state for it: from now on."""
        from smartflows_provider.triggers.finished_watch import FinishedWatch

        async for event in self.filter_shared_stream(FinishedWatch(self).batches()):
            yield event

    def shared_stream_key(self) -> Hashable | None:
        """
        Return what makes Airflow 3.3 and later tell which events it has, where it keeps state.

        The key is of this trigger alone: polls are shared by connection, whatever the version of Airflow.
        """
        if self.asset_state_store is None:
            return None
        from smartflows_provider.triggers.finished_watch import announce

        key = json.dumps(self.serialize(), sort_keys=True)
        announce(key, self)
        return key

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Batch]) -> AsyncIterator[TriggerEvent]:
        """Return the events of what was found; Airflow tells when it has those of a batch."""
        from smartflows_provider.triggers.finished_watch import Spacing

        spacing = Spacing()
        async for batch in shared_stream:
            async for event in spacing.events(batch):
                yield TriggerEvent(event)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what watches, and keeps the position of a batch once Airflow has its events."""
        from smartflows_provider.triggers.confirmed_stream import ConfirmedFinishes

        return ConfirmedFinishes(json.dumps(cls(**kwargs).serialize(), sort_keys=True))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"SmartFlowsFinishedEventTrigger: {name} is {value!r}; it takes a text.")
    return value


def _statuses(words: Any) -> list[str]:
    """Return statuses in the order of their list, each once, so that one set of them is one trigger."""
    documented = [status.value for status in ExecutionStatus]
    listed = [] if isinstance(words, str) or not isinstance(words, Sequence) else list(words)
    if not listed:
        raise ValueError(
            f"SmartFlowsFinishedEventTrigger: statuses is {words!r}; it takes a list of statuses, some of "
            f"{', '.join(documented)}."
        )
    chosen = set()
    for word in listed:
        try:
            status = read_status(str(word))
            check_word("a status", status, documented)
        except ValueError as error:
            raise ValueError(f"SmartFlowsFinishedEventTrigger: {error}.") from None
        chosen.add(status)
    return [status for status in documented if status in chosen]


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(
            f"SmartFlowsFinishedEventTrigger: poll_interval is {value!r}; it takes seconds above 0."
        )
    return float(value)


def _moment(value: Any) -> str | None:
    """Return a time as the service writes it, so that one moment is one trigger."""
    if value is None:
        return None
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    seconds = read_moment(value) if isinstance(value, str) else None
    if seconds is None:
        raise ValueError(
            f"SmartFlowsFinishedEventTrigger: since is {value!r}; it takes a time, such as "
            "'2026-11-24T08:00:00Z'."
        )
    return moment_text(seconds)
