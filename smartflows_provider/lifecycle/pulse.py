"""Whether this process has stood still for a while and gone on: suspended, paused, or starved.

A triggerer that stands still loses its triggers to another one, and knows nothing of what has happened since.
Invariant: one thread for all who ask, which does not keep the process alive.
"""

from __future__ import annotations

import threading
import time
from functools import cache

BEAT = 2.0
"""Seconds between two beats."""
STANDSTILL = 10.0
"""Seconds between two beats that count as a standstill; Airflow gives a triggerer thirty."""


class Pulse:
    """Beats in a thread, and notices when it has not."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._stood_still_until = float("-inf")
        self._lock = threading.Lock()
        threading.Thread(target=self._beat_on, name="flow-pulse", daemon=True).start()

    def stood_still_within(self, seconds: float) -> bool:
        """
        Tell whether the process has stood still in the recent past.

        :param seconds: how far back the end of the standstill may lie.
        """
        self.beat()
        return time.monotonic() - self._stood_still_until < seconds

    def beat(self) -> None:
        """Compare the time with that of the beat before."""
        with self._lock:
            now = time.monotonic()
            if now - self._last > STANDSTILL:
                self._stood_still_until = now
            self._last = now

    def _beat_on(self) -> None:
        while True:
            time.sleep(BEAT)
            self.beat()


@cache
def pulse() -> Pulse:
    """Return the pulse of this process; it begins to beat when it is first asked for."""
    return Pulse()
