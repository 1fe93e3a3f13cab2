"""How slowly an answer may come: the same rule for both clients.

The time limit for a single read never strikes where a server sends a byte now and then, so that an answer
could take for ever. Invariants: only the time spent waiting for bytes counts, never what their receiver does
with them; an answer that the service holds back before its first byte is no slow one.
"""

from __future__ import annotations

LEAST_RATE = 1024
"""Bytes per second that must come on average."""


class TooSlow(TimeoutError):
    """Bytes come, but too few to wait for the rest."""


class Pace:
    """
    Watches the bytes of one answer.

    :param seconds: waiting time over which the average is taken, the read limit; None for no rule.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._began = False
        self._waited = 0.0
        self._came = 0

    def received(self, size: int, *, waited: float) -> None:
        """
        Note that bytes have come.

        :param size: how many.
        :param waited: seconds spent waiting for them.
        :raises TooSlow: if there were too few for the time.
        """
        if self._seconds is None:
            return
        if not self._began:
            self._began = True
            return
        self._waited += waited
        self._came += size
        if self._waited < self._seconds:
            return
        if self._came < self._seconds * LEAST_RATE:
            raise TooSlow(f"only {self._came} bytes came in {self._waited:.0f} s")
        self._waited, self._came = 0.0, 0
