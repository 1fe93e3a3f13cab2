"""Threads for work that may stand still, so that neither an event loop nor the end of a process waits for it.

Why not :mod:`concurrent.futures`: its threads keep their process alive, so a triggerer that ends while
Airflow no longer answers would hang. Invariant: work is begun in the order in which it came.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue


class DaemonThreads:
    """
    A few threads that do not keep their process alive.

    :param name: what they are called.
    :param count: how many there are.
    """

    def __init__(self, name: str, *, count: int = 1) -> None:
        self._work: SimpleQueue[tuple[Future[None], Callable[[], None]]] = SimpleQueue()
        for _ in range(count):
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    def submit(self, work: Callable[[], None]) -> Future[None]:
        """Have work done that raises nothing; returns what tells when it is."""
        done: Future[None] = Future()
        # From now on nothing cancels it, not even the end of an event loop that waits for it.
        done.set_running_or_notify_cancel()
        self._work.put((done, work))
        return done

    def _serve(self) -> None:
        while True:
            done, work = self._work.get()
            work()
            done.set_result(None)
