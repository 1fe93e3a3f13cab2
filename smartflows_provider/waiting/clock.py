"""The two clocks that a wait goes by.

A deadline belongs to the remote run and is kept across processes, so it is a time of the wall clock; but
that clock may be put back or forward in the middle of a wait. How long a wait or an outage has lasted is
measured by a clock that never jumps and means nothing to another process. Invariant: nothing that is read
from the steady clock leaves the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One moment by both clocks."""

    wall: float
    """Epoch seconds."""
    steady: float
    """Seconds since some moment of this process, never going back."""


Clock = Callable[[], Moment]


def read_clocks() -> Moment:
    """Return the present moment."""
    return Moment(wall=time.time(), steady=time.monotonic())
