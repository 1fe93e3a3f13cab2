"""A few pieces of work side by side in threads, which end together.

Invariants: results come in the order of the work, whatever ends first; the first failure is the one that is
raised; the caller's thread only waits, so that a kill or a time limit always reaches it; work that does not
stop in time is left behind in daemon threads, and its own checks keep it from finishing anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
GRACE = 3.0
"""Seconds for which stopped work is waited for; a worker that is told to stop has five."""
_TICK = 0.2


class Stopped(Exception):
    """The work was told to stop."""


class Halt:
    """Whether the work must stop."""

    def __init__(self) -> None:
        self.event = threading.Event()
        """Set when it must; for those who sleep."""

    def check(self) -> None:
        """
        Return if the work may go on.

        :raises Stopped: if it must stop.
        """
        if self.event.is_set():
            raise Stopped

    def until(self, pieces: Iterable[T]) -> Iterator[T]:
        """Pass pieces on as long as the work may go on; after the last one that is asked once more."""
        for piece in pieces:
            self.check()
            yield piece
        self.check()


def side_by_side(
    work: Iterable[Callable[[], T]],
    *,
    halt: Halt,
    limit: int,
    check: Callable[[], None],
    break_off: Callable[[], None],
) -> list[T]:
    """
    Do pieces of work in threads and return their results in order.

    :param halt: what the work asks whether it must stop.
    :param limit: how many run at once, at most.
    :param check: called in the caller's thread now and then; what it raises stops the work.
    :param break_off: ends what stopped work is waiting for.
    :raises BaseException: what the first piece that failed has raised, or the caller's own interruption.
    """
    pieces = list(enumerate(work))
    results: dict[int, T] = {}
    ended: SimpleQueue[Callable[[], tuple[int, T]]] = SimpleQueue()
    waiting = pieces[::-1]

    def take() -> None:
        # Taking from a list is atomic.
        while waiting and not halt.event.is_set():
            with suppress(IndexError):
                number, piece = waiting.pop()
                outcome = _outcome(number, piece)
                ended.put(outcome.result)
                if outcome.exception() is not None:
                    halt.event.set()

    threads = [
        # With the caller's context, so that log lines are the task's.
        threading.Thread(target=copy_context().run, args=(take,), daemon=True)
        for _ in range(min(limit, len(pieces)))
    ]
    try:
        for thread in threads:
            thread.start()
        while len(results) < len(pieces):
            check()
            with suppress(Empty):
                number, result = ended.get(timeout=_TICK)()
                results[number] = result
    except BaseException:
        halt.event.set()
        break_off()
        patience = time.monotonic() + GRACE
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, patience - time.monotonic()))
        raise
    return [results[number] for number, _ in pieces]


def _outcome(number: int, piece: Callable[[], T]) -> Future[tuple[int, T]]:
    """Do a piece of work; return its number and result, or its error, for another thread."""
    future: Future[tuple[int, T]] = Future()
    try:
        future.set_result((number, piece()))
    except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
        future.set_exception(error)
    return future
