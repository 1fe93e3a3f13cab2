"""Writes what is noted about a wait to its task's log, without the event loop.

In a triggerer each line goes through one pipe to Airflow's supervisor, which reads a few lines between two
rounds of work in the database. With thousands of triggers the pipe is full, and whoever writes stands still
for seconds; on the event loop that would be all triggers. Invariants: the lines of a wait keep their order;
where the log cannot keep up the oldest lines are left out, which the log then says, so nothing piles up; a
line that cannot be written ends no wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import cache, partial
from typing import Any

from smartflows_provider.lifecycle.daemon_threads import DaemonThreads
from smartflows_provider.lifecycle.looking import write_notes
from smartflows_provider.waiting.wait import Note

MOST = 64
"""Notes of one wait that are kept while its log stands still; an outage of ten minutes makes about half as
many."""
_LEFT_OUT = Note(level=logging.WARNING, text="Lines were left out here: the log did not take them.")


class TaskLog:
    """
    The log of one wait; made where the context variables are those of its task.

    :param log: takes the lines; Airflow tells by a context variable which task's they are.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._context = copy_context()
        self._unwritten: deque[Note] = deque(maxlen=MOST)
        self._has_left_out = False
        self._writing: asyncio.Future[None] | None = None

    def write(self, notes: Iterable[Note]) -> None:
        """Have notes written, soon."""
        for note in notes:
            self._has_left_out = self._has_left_out or len(self._unwritten) == MOST
            self._unwritten.append(note)
        if self._unwritten and self._writing is None:
            written = _thread().submit(partial(self._context.run, self._write_all))
            self._writing = asyncio.wrap_future(written)
            self._writing.add_done_callback(self._go_on)

    async def written(self) -> None:
        """Return when all is written."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    def leave(self) -> None:
        """Wait for nothing any more; what there is will be written all the same."""
        if self._writing is not None:
            self._writing.cancel()
            # The thread may have looked for the last time already.
            _thread().submit(partial(self._context.run, self._write_all))

    def _go_on(self, written: asyncio.Future[None]) -> None:
        """Write what has come since the thread last looked."""
        self._writing = None
        if not written.cancelled():
            self.write(())

    def _write_all(self) -> None:
        while self._unwritten:
            notes = [self._unwritten.popleft()]
            if self._has_left_out:
                self._has_left_out = False
                notes.insert(0, _LEFT_OUT)
            with suppress(Exception):
                write_notes(self._log, notes)


@cache
def _thread() -> DaemonThreads:
    """All lines of a triggerer's tasks go through the same pipe, so more than one would be no sooner."""
    return DaemonThreads("flow-notes")
