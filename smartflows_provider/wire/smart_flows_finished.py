"""Which executions have lately reached a status: one question about all flows of a project.

Paging and sorting of lists are documented; which keys a filter knows, and that ``modifiedAt`` can be sorted
by, is inferred. So the question is asked in the best way that the service understands, and every way brings
all that is wanted, the lesser ones more besides. Invariants: what is not wanted in an answer is the reader's
to leave out; a way that fails is replaced by the next one within the same question; only times of the service
are compared with each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

from smartflows_provider.wire.answers import read_moment
from smartflows_provider.wire.errors import NotFound, RequestRefused, ServiceFault, UnreadableAnswer
from smartflows_provider.wire.messages import Exchange
from smartflows_provider.wire.run import Execution
from smartflows_provider.wire.smart_flows import Condition, all_of, find_executions

PAGE = 500
"""Entries asked for per page."""
_NOT_UNDERSTOOD = frozenset({500, 501})
"""What a server may answer to a filter or an order that it does not know, instead of a 4xx."""


@dataclass(frozen=True, kw_only=True)
class ListingWay:
    """How a service is asked; the first one is the best."""

    filters: bool = True
    """With a filter by status and ``modifiedAt``; else all executions are listed."""
    orders: bool = True
    """The latest change first, so that reading stops where older ones begin; else the list is read whole."""

    def lesser(self) -> ListingWay | None:
        """Return the next way, None after the last."""
        if self.filters:
            return replace(self, filters=False)
        return replace(self, orders=False) if self.orders else None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The answer to one question."""

    executions: Sequence[Execution]
    in_one_piece: bool
    """Whether it came in one answer, so that nothing can have moved between pages."""
    way: ListingWay
    """How it was asked for in the end."""


def modified(execution: Execution) -> float | None:
    """Return when an execution has changed last, in epoch seconds of the service; None if it does not say."""
    return read_moment(execution.modified_at)


def moment_text(seconds: float) -> str:
    """Return epoch seconds as the service writes times: ISO 8601, UTC, milliseconds."""
    text = datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def list_changed(
    *,
    statuses: Sequence[str],
    since: float | None,
    overlap: float,
    way: ListingWay,
    latest_too: bool = False,
) -> Exchange[Listing]:
    """
    List the executions that are in certain statuses and have changed lately; it may bring others too.

    :param statuses: the statuses.
    :param since: epoch seconds of the service from which on; None for ``overlap`` before the latest change.
    :param overlap: seconds.
    :param way: how to ask first.
    :param latest_too: reach back as far as for None, too, where nothing has changed for so long.
    :raises WireError: if no way of asking brings an answer.
    """
    while True:
        try:
            listing = yield from _list(statuses, since, overlap, way, latest_too=latest_too or since is None)
        except (RequestRefused, NotFound, UnreadableAnswer, ServiceFault) as error:
            lesser = way.lesser()
            if lesser is None or (isinstance(error, ServiceFault) and error.status not in _NOT_UNDERSTOOD):
                raise
            way = lesser
            continue
        if not way.orders or _is_ordered(listing.executions):
            return listing
        # Reading may have stopped too early.
        way = replace(way, orders=False)


def _list(
    statuses: Sequence[str], since: float | None, overlap: float, way: ListingWay, *, latest_too: bool
) -> Exchange[Listing]:
    conditions = [Condition(key="status", operator="in", values=statuses)]
    if since is not None and not latest_too:
        conditions.append(
            Condition(key="modifiedAt", operator="greaterThanOrEqualTo", values=(moment_text(since),))
        )
    reach = None if latest_too else since

    def is_older(execution: Execution) -> bool:
        nonlocal reach
        changed = modified(execution)
        if changed is not None and reach is None:
            reach = min(changed - overlap, math.inf if since is None else since)
        return changed is not None and reach is not None and changed < reach

    exchange = find_executions(
        where=all_of(*conditions) if way.filters else None,
        sort="modifiedAt,desc" if way.orders else "createdAt,desc",
        until=is_older if way.orders else None,
        page_size=PAGE,
    )
    answers, request = 0, next(exchange)
    while True:
        answers += 1
        response = yield request
        try:
            request = exchange.send(response)
        except StopIteration as end:
            return Listing(executions=end.value, in_one_piece=answers == 1, way=way)


def _is_ordered(executions: Sequence[Execution]) -> bool:
    times = [changed for execution in executions if (changed := modified(execution)) is not None]
    return all(later >= earlier for later, earlier in pairwise(times))
