"""What a task asks for when it begins a run, and what it then has: plain values.

A system says here how a run is started, and how one is found again whose start was not answered. Invariant:
what is prepared harms nobody; only ``Submission.send`` starts something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartflows_provider.lifecycle.record import RunRecord
    from smartflows_provider.wire.run import RunPhase, RunSnapshot


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A run that may be the one whose start was not answered."""

    text: str
    """Its id, status and time, for people."""
    phase: RunPhase


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One run that is about to be started."""

    send: Callable[[], RunSnapshot]
    """Sends the one request that starts it; raises errors of the wire and the transport."""
    correlation: str | None = None
    """A value of ours by which the run can be told from all others; None where there is no place for one."""
    adopted: RunSnapshot | None = None
    """The run itself, where an earlier attempt has started it already; then nothing is sent."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What is to be run, and how the service is asked for it."""

    flow: str
    """Id or name as given, for people."""
    fingerprint: str
    """Of the input."""
    prepare: Callable[[RunRecord | None], Submission]
    """Does what harms nobody (looks the flow up, settles the run's id) and returns what is to be sent; takes
    what is recorded of an earlier run. Raises errors of the error tree."""
    candidates: Callable[[float], list[Candidate]] | None = None
    """Finds the runs that the service has started since an epoch second, the likeliest first; None where it
    has no list of them."""
    proven: Callable[[float, str], list[RunSnapshot]] | None = None
    """Finds the runs since an epoch second that echo a value of ours."""
    repeatable: bool = False
    """Whether a start that was sent twice is one run, because the value of ours is the run's id."""
    hide_words: bool = False
    """Whether the service's own words, which may quote the input, are left out of messages."""


@dataclass(frozen=True, kw_only=True)
class BegunRun:
    """The run that an attempt is to wait for."""

    execution_id: str
    deadline: float
    """Epoch seconds."""
    phase: RunPhase
    """As it was seen last."""
    started_here: bool
    """Whether this attempt has started it."""
