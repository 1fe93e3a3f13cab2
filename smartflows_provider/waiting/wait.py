"""One wait for one remote run, as decisions.

The worker's loop, the trigger and the sensor feed a :class:`Wait` with what they saw and do what it says;
only sleeping and I/O differ between them. Invariants: a stable status wins over the deadline; a status
nobody knows is waited for and never taken as an end; failing to find out never ends as "failed"; a clock
that jumps moves nothing but the deadline.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from smartflows_provider.waiting.clock import Moment
from smartflows_provider.waiting.event import MAX_DETAIL, EndReason
from smartflows_provider.waiting.failures import PollFailure
from smartflows_provider.waiting.holding import Holding, was_held
from smartflows_provider.waiting.schedule import (
    DEADLINE_GRACE,
    FIRST_HOLD,
    MISSING_PATIENCE,
    PAUSE_AFTER_CHANGE,
    hold_for,
    pause_after_answer,
    pause_after_failure,
)
from smartflows_provider.wire.run import RunPhase, RunSnapshot, Terms


@dataclass(frozen=True, kw_only=True)
class WaitPolicy:
    """What the DAG author and the connection set for a wait."""

    deadline: float
    """Epoch seconds by the wall clock, fixed at submission."""
    poll_interval: float = 60.0
    """Seconds, the longest pause between two short polls."""
    max_outage: float = 600.0
    """Seconds for which the service may be out of reach before the wait ends as unreachable."""
    stop_for_person: bool = True
    """Whether the wait ends where a person is needed."""
    terms: Terms = field(default_factory=dict)
    """On what terms the run is watched."""
    asked: str | None = None
    """The question that a person is being asked elsewhere: while the run shows it, the wait goes on."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """One line for the task log."""

    level: int
    """A level of :mod:`logging`."""
    text: str


@dataclass(frozen=True, kw_only=True)
class AskAgain:
    """Sleep, then ask again."""

    seconds: float
    refresh: bool = False
    """Read the connection again first; its key may have been rotated."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class End:
    """The wait is over."""

    reason: EndReason
    execution_id: str
    status: str | None
    """The last status seen, in the service's word; None if none was."""
    phase: RunPhase | None
    detail: str = ""
    """What the failure was, for the reasons that are failures."""
    notes: tuple[Note, ...] = ()


Decision: TypeAlias = AskAgain | End


class Wait:
    """
    The decisions of one wait.

    :param policy: what was set.
    :param execution_id: the run.
    :param began: when this wait began.
    :param holding: what is known of the service's holds; shared by the waits on a connection.
    :param draw: gives random numbers between 0 and 1.
    """

    def __init__(
        self,
        policy: WaitPolicy,
        *,
        execution_id: str,
        began: Moment,
        holding: Holding | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.policy = policy
        self.execution_id = execution_id
        self._began = began
        self._holding = holding or Holding()
        self._draw = draw
        self._last: RunSnapshot | None = None
        self._warned_of: str | None = None
        self._failures = 0
        self._failing_since: float | None = None
        self._missing_since: float | None = None
        self._refused_before = False

    @property
    def last_status(self) -> str | None:
        """The status seen last, in the service's word; None before the first answer."""
        return self._last.status if self._last else None

    def next_hold(self, now: Moment, *, longest: float) -> float | None:
        """
        Return the seconds for which the next question lets the service keep its answer back.

        None where the service has rejected such a wish, so that the question comes without one.

        :param now: the present moment.
        :param longest: seconds that the connection, and the number of waits on it, allow for; 0 for no hold.
        """
        waited, remaining = self._waited(now), self.remaining(now)
        # A hold that is under way is not cut short where others come and wait for the connection.
        most = min(longest, max(self.policy.poll_interval, FIRST_HOLD))
        seconds = hold_for(waited, longest=most, remaining=remaining)
        return self._holding.wish(seconds, first=self._last is None)

    def saw(
        self,
        snapshot: RunSnapshot,
        *,
        asked: Moment,
        hold: float | None,
        now: Moment,
        least_pause: float = 0.0,
    ) -> Decision:
        """
        Decide after an answer.

        :param snapshot: what the service showed.
        :param asked: when the question left.
        :param hold: seconds the service was allowed to hold the answer.
        :param now: the present moment.
        :param least_pause: seconds that the number of waits on the connection asks for between two questions
            that are not held; ``poll_interval`` wins.
        """
        notes = self._notes_on(snapshot)
        changed, first = self._last != snapshot, self._last is None
        self._last = snapshot
        self._failures, self._failing_since, self._missing_since = 0, None, None
        self._refused_before = False
        took = now.steady - asked.steady
        if snapshot.phase.is_stable:
            return self._end("finished", notes=notes)
        # What a person or an event is waited for, a service need not hold an answer about.
        unchanged = not changed and snapshot.phase is RunPhase.ACTIVE
        self._holding.learn(hold, took=took, refused=snapshot.hold_refused, unchanged=unchanged)
        if snapshot.phase is RunPhase.NEEDS_PERSON:
            if self.policy.stop_for_person and snapshot.question != self.policy.asked:
                return self._end("needs_person", notes=notes)
        elif self.policy.asked is not None and snapshot.phase is RunPhase.ACTIVE:
            return self._end("moved_on", notes=notes)
        if self.remaining(now) <= 0:
            return self._end("deadline", notes=notes)
        if hold is not None and was_held(hold, took=took):
            pause = 0.0
        else:
            pause = pause_after_answer(
                self._waited(now),
                poll_interval=self.policy.poll_interval,
                draw=self._draw(),
                least=least_pause,
                first=first,
            )
            if changed:
                # Something moves: the next change is likely to be near.
                pause = min(pause, max(PAUSE_AFTER_CHANGE, least_pause))
        return AskAgain(seconds=min(pause, self.remaining(now)), notes=notes)

    def failed(self, failure: PollFailure, *, asked: Moment, now: Moment) -> Decision:
        """
        Decide after a question that brought no status.

        :param failure: what happened.
        :param asked: when the question left.
        :param now: the present moment.
        """
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = asked.steady
        warning = (Note(level=logging.WARNING, text=f"Could not ask for the status: {failure.text}"),)
        if failure.kind != "missing":
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = asked.steady
        outage = now.steady - self._failing_since
        match failure.kind:
            case "missing" if self._is_surely_missing(now):
                return self._end("misconfigured", detail=failure.text, notes=warning)
            case "gone" | "misconfigured" as reason:
                return self._end(reason, detail=failure.text, notes=warning)
            case "refused" | "denied" as reason if self._refused_before:
                return self._end(reason, detail=failure.text, notes=warning)
            case "refused" | "denied":
                self._refused_before = True
                return AskAgain(seconds=0.0, refresh=True, notes=warning)
            case "passing" | "missing":
                pass
        # The question at the deadline decides what becomes of the run, so it gets more than one try.
        remaining = self.remaining(now)
        left = remaining if remaining > 0 else remaining + DEADLINE_GRACE
        if outage > self.policy.max_outage or left <= 0:
            detail = f"no status for {outage:.0f} s, last: {failure.text}"
            return self._end("unreachable", detail=detail, notes=warning)
        pause = pause_after_failure(self._failures, retry_after=failure.retry_after, draw=self._draw())
        return AskAgain(seconds=min(pause, left), refresh=failure.refresh, notes=warning)

    def _is_surely_missing(self, now: Moment) -> bool:
        """Tell whether Airflow has not found the connection for so long that it is not there."""
        patience = min(MISSING_PATIENCE, self.policy.max_outage)
        return self._missing_since is not None and now.steady - self._missing_since >= patience

    def _waited(self, now: Moment) -> float:
        return now.steady - self._began.steady

    def remaining(self, now: Moment) -> float:
        """Return the seconds until the deadline, below 0 after it."""
        return self.policy.deadline - now.wall

    def _end(self, reason: EndReason, *, notes: tuple[Note, ...], detail: str = "") -> End:
        return End(
            reason=reason,
            execution_id=self.execution_id,
            status=self.last_status,
            phase=self._last.phase if self._last else None,
            detail=detail[:MAX_DETAIL],
            notes=notes,
        )

    def _notes_on(self, snapshot: RunSnapshot) -> tuple[Note, ...]:
        """Say what changed since the last look; nothing at all if nothing did."""
        notes: list[Note] = []
        if snapshot.phase is RunPhase.UNKNOWN and snapshot.status != self._warned_of:
            self._warned_of = snapshot.status
            text = f"The service reports the status {snapshot.status!r}, which is not documented; waiting on."
            notes.append(Note(level=logging.WARNING, text=text))
        last = self._last
        said = (last.status, last.percentage, last.message, last.asks) if last else None
        # An answer about many runs tells no more than their statuses.
        is_bare = snapshot.percentage is None and not snapshot.message
        known = is_bare and self.last_status == snapshot.status
        if not known and (snapshot.status, snapshot.percentage, snapshot.message, snapshot.asks) != said:
            notes.append(Note(level=logging.INFO, text=progress_line(snapshot)))
        return tuple(notes)


def progress_line(snapshot: RunSnapshot) -> str:
    """Return how far a run is, in one line: status, percentage, the service's message, what it asks."""
    parts = [snapshot.status]
    if snapshot.percentage is not None:
        parts.append(f"{snapshot.percentage} %")
    if snapshot.message:
        parts.append(" ".join(snapshot.message.split()))
    if snapshot.asks and snapshot.asks != snapshot.message:
        parts.append(f"asks a person: {' '.join(snapshot.asks.split())}")
    return f"Execution {snapshot.execution_id}: {', '.join(parts)}"
