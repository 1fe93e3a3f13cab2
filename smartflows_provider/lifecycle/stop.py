"""Asking the service to stop a run.

Invariant: nothing here raises for a service that does not answer; the caller gets to say what became of
the run, in a sentence that names it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smartflows_provider.lifecycle.metrics import CancelCause, meter_of
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.waiting.holding import SHORTEST_NAMED
from smartflows_provider.wire.errors import NotFound, RequestRefused, WireError
from smartflows_provider.wire.run import RunPhase

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.transport.settings import ClientSettings
    from smartflows_provider.wire.messages import Exchange
    from smartflows_provider.wire.run import RunSnapshot

KILL_SECONDS = 3.0
"""How long a worker that is being stopped may take for its one request; Airflow kills it after five."""
SETTLE_SECONDS = 30.0
"""How long a cancelled run may take to become stable before a new one must not be started."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """What came of asking to stop a run."""

    fate: str
    """A sentence for people: what became of the run."""
    phase: RunPhase | None = None
    """The status after the request, None if it could not be found out."""
    status: str | None = None
    """The service's word for that phase."""
    gone: bool = False
    """Whether the service no longer has the run."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of the run goes on any more."""
        return self.gone or (self.phase is not None and self.phase.is_stable)

    @property
    def was_stopped(self) -> bool:
        """Whether it is the request that ends the run, and not the run by itself."""
        if self.gone:
            return self.phase is RunPhase.CANCELED
        return self.phase is not None and not self.phase.is_stable


def cancel_and_look(hook: FlowSystemHook, execution_id: str, *, cause: CancelCause | None) -> Stopped:
    """
    Cancel a run, with the client's own repetition, and say what became of it.

    A service may refuse to cancel what is over; then the run's own status counts.

    :param cause: why it is cancelled, for the metrics; None where that was counted before.
    """
    try:
        snapshot = hook.client.run(hook.cancel_exchange(execution_id, terms=hook.terms))
    except NotFound:
        return _gone(execution_id)
    except (WireError, TransportError) as error:
        if isinstance(error, RequestRefused):
            seen = look(hook, execution_id)
            if seen.is_over:
                return seen
        return Stopped(
            fate=f"Execution {execution_id} may still be running: it could not be cancelled ({error}).",
        )
    if cause is not None and (snapshot is None or was_taken(snapshot)):
        meter_of(hook).run_cancelled(cause)
    if snapshot is None:
        return look(hook, execution_id, after_cancel=True)
    return _seen(snapshot, after_cancel=True)


def was_taken(snapshot: RunSnapshot) -> bool:
    """Tell from the answer to a cancel whether it may stop the run, which had not ended by itself before."""
    return not snapshot.phase.is_stable or snapshot.phase is RunPhase.CANCELED


def look(hook: FlowSystemHook, execution_id: str, *, after_cancel: bool = False) -> Stopped:
    """
    Ask how a run stands.

    :param after_cancel: whether the service was asked to cancel it before; then one that is gone was
        canceled, whatever being gone means otherwise.
    """
    try:
        exchange = hook.look_exchange(execution_id, hold_seconds=SHORTEST_NAMED, terms=hook.terms)
        snapshot = hook.client.run(exchange)
    except NotFound:
        return _stopped_and_gone(execution_id) if after_cancel else _gone(execution_id)
    except (WireError, TransportError) as error:
        asked = ", although the service was asked to cancel it" if after_cancel else ""
        return Stopped(
            fate=f"Execution {execution_id} may still be running{asked}: its status is open ({error})."
        )
    if after_cancel and snapshot.gone and snapshot.phase is not RunPhase.CANCELED:
        return _stopped_and_gone(execution_id)
    return _seen(snapshot, after_cancel=after_cancel)


def cancel_and_settle(
    hook: FlowSystemHook,
    execution_id: str,
    *,
    cause: CancelCause | None,
    seconds: float = SETTLE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Stopped:
    """
    Cancel a run, unless it is over already, and wait until its status can no longer change.

    :param cause: as :func:`cancel_and_look` takes it.
    :param seconds: how long to wait for that; ``is_over`` of the result tells whether it did.
    :param clock: gives seconds that never jump.
    """
    stopped = look(hook, execution_id)
    if stopped.phase is None or stopped.is_over:
        return stopped
    give_up = clock() + seconds
    stopped = cancel_and_look(hook, execution_id, cause=cause)
    while stopped.phase is not None and not stopped.is_over and clock() < give_up:
        sleep(1.0)
        stopped = look(hook, execution_id, after_cancel=True)
    return stopped


@dataclass(frozen=True, kw_only=True)
class CancelReply:
    """What came of a hurried request to cancel a run."""

    problem: str | None = None
    """What went wrong; None if the service took the request."""
    ended_in: str | None = None
    """The status in which the run had ended by itself; None if it had not, or that is not told."""

    @property
    def was_taken(self) -> bool:
        """Whether the service has taken the request, for a run that had not ended by itself."""
        return self.problem is None and self.ended_in is None


def cancel_now(settings: ClientSettings, exchange: Exchange[RunSnapshot | None]) -> CancelReply:
    """
    Send the cancel within three seconds, on a connection of its own, without waiting for the effect.

    For workers that are being stopped and triggers whose task is gone: there is no time for more. It is sent
    from a thread that is left to itself when the time is up, because neither the look-up of a host's name nor
    an answer that trickles in keeps to a time limit.

    :param settings: of the connection, looked up before.
    :param exchange: the call that cancels.
    """
    replies: list[CancelReply] = []
    sending = threading.Thread(
        target=lambda: replies.append(_cancel_in_a_hurry(settings, exchange)), name="flow-cancel", daemon=True
    )
    sending.start()
    sending.join(KILL_SECONDS)
    return replies[0] if replies else CancelReply(problem=f"no answer within {KILL_SECONDS:g} seconds")


def _cancel_in_a_hurry(settings: ClientSettings, exchange: Exchange[RunSnapshot | None]) -> CancelReply:
    """Send the cancel; a second request, to its other address, gets what the first has left of the time."""
    give_up = time.monotonic() + KILL_SECONDS
    try:
        request = next(exchange)
        while True:
            share = (give_up - time.monotonic()) / 2
            if share <= 0:
                return CancelReply(problem=f"{request.label} was not sent: the time for it was over")
            hurried = replace(settings, connect_timeout=share, read_timeout=share)
            with BlockingClient(hurried, repetition=NO_REPETITION) as client:
                request = exchange.send(client.send(request))
    except StopIteration as stop:
        snapshot: RunSnapshot | None = stop.value
    except (WireError, TransportError) as error:
        return CancelReply(problem=str(error))
    finally:
        exchange.close()
    return CancelReply(ended_in=None if snapshot is None or was_taken(snapshot) else snapshot.status)


def _gone(execution_id: str) -> Stopped:
    return Stopped(fate=f"The service no longer has execution {execution_id}.", gone=True)


def _seen(snapshot: RunSnapshot, *, after_cancel: bool) -> Stopped:
    return Stopped(
        fate=_fate(snapshot, after_cancel=after_cancel),
        phase=snapshot.phase,
        status=snapshot.status,
        gone=snapshot.gone,
    )


def _stopped_and_gone(execution_id: str) -> Stopped:
    return Stopped(
        fate=f"The service no longer has execution {execution_id}, which it was asked to cancel.",
        phase=RunPhase.CANCELED,
        gone=True,
    )


def _fate(snapshot: RunSnapshot, *, after_cancel: bool) -> str:
    if snapshot.phase.is_stable:
        return f"Execution {snapshot.execution_id} is {snapshot.status}."
    if after_cancel:
        return f"The service was asked to cancel execution {snapshot.execution_id}, still {snapshot.status}."
    return f"Execution {snapshot.execution_id} is still {snapshot.status}."
