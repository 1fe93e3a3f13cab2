"""What comes of one look at a remote run, wherever it was asked for.

The loop on a worker and the poller in the triggerer ask in their own ways; what an answer or an error means
for the wait is the same. Invariant: every error that asking can bring becomes a decision of the
:class:`Wait`, none a status.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowConnectionError,
    FlowConnectionMissingError,
)
from smartflows_provider.lifecycle.metrics import Meter
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.waiting.clock import Moment
from smartflows_provider.waiting.failures import PollFailure, read_failure
from smartflows_provider.waiting.wait import Decision, Note, Wait
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.run import RunSnapshot

LOOK_ERRORS = (WireError, TransportError, FlowConfigurationError, FlowConnectionError)
"""What asking for a status can raise, the look-up of the connection included."""


def failed_look(
    error: WireError | TransportError | FlowConfigurationError | FlowConnectionError, *, meter: Meter
) -> PollFailure:
    """
    Return what an error of :data:`LOOK_ERRORS` means for a wait, and count it.

    :param error: what a question has brought, for one wait or for many.
    :param meter: of the connection.
    """
    failure = _failure_of(error)
    meter.poll_failed(failure.kind)
    return failure


def _failure_of(
    error: WireError | TransportError | FlowConfigurationError | FlowConnectionError,
) -> PollFailure:
    if isinstance(error, FlowConnectionMissingError):
        return PollFailure(kind="missing", text=str(error))
    if isinstance(error, FlowConfigurationError):
        # It was usable when the run was started: it was changed or removed meanwhile.
        return PollFailure(kind="misconfigured", text=str(error))
    if isinstance(error, FlowConnectionError):
        # Airflow itself cannot be asked for the connection just now.
        return PollFailure(kind="passing", text=str(error))
    return read_failure(error)


def decide(
    wait: Wait,
    seen: RunSnapshot | PollFailure,
    *,
    asked: Moment,
    hold: float | None,
    now: Moment,
    least_pause: float = 0.0,
) -> Decision:
    """
    Return what a wait decides after a look.

    :param seen: what it brought.
    :param asked: when the question left.
    :param hold: seconds the service was allowed to hold the answer.
    :param now: the present moment.
    :param least_pause: as :meth:`Wait.saw` takes it.
    """
    if isinstance(seen, RunSnapshot):
        return wait.saw(seen, asked=asked, hold=hold, now=now, least_pause=least_pause)
    return wait.failed(seen, asked=asked, now=now)


def write_notes(log: Any, notes: Iterable[Note]) -> None:
    """Write a decision's notes to a task's log."""
    for note in notes:
        log.log(note.level, "%s", note.text)
