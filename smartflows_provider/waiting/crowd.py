"""How waits that share a connection share it: who is asked next, how long an answer may be held, how often.

As long as each wait can have a connection of its own, the service may hold every answer. Beyond that a hold
keeps others waiting, so it shrinks until each wait is asked once per its poll interval; where it would become
too short to be worth anything, nothing is held and a few questions per second go round. Invariants: nothing
here asks or sleeps; of the waits whose moment has come, the one goes first whose poll interval or time limit
is over first, which among equals is the one that was not asked for longest.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

SHARE = 0.8
"""Part of the connections' time that held answers may take, so that all are asked in time."""
LONGEST_TURN = 60.0
"""Seconds; where there is too little room for all, a wait that may be asked for less often than this has its
turn like one that may not."""
PAGE = 500
"""Runs that one shared question asks for at most."""
QUESTIONS_PER_INTERVAL = 10.5
"""Shared questions per poll interval, unless there are too many runs for so few."""


@dataclass(kw_only=True)
class Crowd:
    """The waits on one connection, as numbers."""

    count: int = 0
    """How many there are."""
    demand: float = 0.0
    """Questions per second that they ask for at least: one each per poll interval."""

    def join(self, poll_interval: float) -> None:
        """Count a wait in."""
        self.count += 1
        self.demand += 1 / poll_interval

    def leave(self, poll_interval: float) -> None:
        """Count a wait out."""
        self.count -= 1
        self.demand = self.demand - 1 / poll_interval if self.count else 0.0

    def longest_hold(self, connections: int) -> float:
        """
        Return the seconds for which one answer may be held without keeping others waiting for too long.

        Waits that begin together go round together, in as many turns as the connections need for all.

        :param connections: how many questions can be under way at once.
        """
        if self.count <= connections:
            return math.inf
        turns = math.ceil(self.count / connections)
        return min(SHARE * connections, self.count / turns) / self.demand

    def least_pause(self, connections: int) -> float:
        """
        Return the seconds between two questions about one run that are not held.

        It makes one per second and connection.

        :param connections: how many questions can be under way at once.
        """
        return self.count / connections

    @property
    def shared_pause(self) -> float:
        """Seconds between two questions that ask for many runs at once."""
        interval = self.count / self.demand
        return interval / max(QUESTIONS_PER_INTERVAL, self.pages / 0.95)

    @property
    def pages(self) -> int:
        """How many shared questions it takes to ask for all."""
        return math.ceil(self.count / PAGE)


@dataclass(eq=False, kw_only=True, slots=True)
class Place(Generic[T]):
    """A place in a queue."""

    item: T
    until: float
    """Seconds by the steady clock; by then its turn should be."""
    due: float = math.inf
    """Seconds by the steady clock; before that its turn cannot be."""
    ticket: int = 0
    """Its number in the queue that it is in; 0 for none."""

    def leave(self) -> None:
        """Be in no queue any more."""
        self.ticket = 0


_Tickets: TypeAlias = list[tuple[float, int, Place[T]]]
_numbers = count(1)
"""Of tickets, the same for all queues, so that one that was left behind never counts again."""


class DueQueue(Generic[T]):
    """Places in the order of their turns: of those that are due the first ``until``, then by ``due``."""

    def __init__(self) -> None:
        self._due: _Tickets[T] = []
        self._later: _Tickets[T] = []

    def put(self, place: Place[T], due: float) -> None:
        """Put a place into the queue, out of any other, or move it to another moment."""
        place.due, place.ticket = due, next(_numbers)
        heapq.heappush(self._later, (due, place.ticket, place))

    def places(self) -> list[Place[T]]:
        """Return the places that are in the queue, in no order."""
        return [place for _, number, place in (*self._due, *self._later) if number == place.ticket]

    def first(self, now: float) -> Place[T] | None:
        """
        Return the place whose turn is first, due already or not, and leave it there.

        :param now: seconds by the steady clock.
        """
        later = _first(self._later)
        while later is not None and later.due <= now:
            _, number, place = heapq.heappop(self._later)
            heapq.heappush(self._due, (place.until, number, place))
            later = _first(self._later)
        return _first(self._due) or later

    def take(self, most: int, now: float) -> Iterator[Place[T]]:
        """Take out the places whose turn is first, due already or not."""
        for _ in range(most):
            place = self.first(now)
            if place is None:
                return
            place.leave()
            yield place


def _first(tickets: _Tickets[T]) -> Place[T] | None:
    """Return the first place whose ticket is still its own, after those that are not were thrown away."""
    while tickets:
        _, number, place = tickets[0]
        if number == place.ticket:
            return place
        heapq.heappop(tickets)
    return None
