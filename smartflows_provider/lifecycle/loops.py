"""The two loops that carry out a wait: one for workers, one for the triggerer.

They differ in how they sleep and send, and in nothing else; every decision is the :class:`Wait`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from smartflows_provider.exceptions import FlowConfigurationError, FlowConnectionError
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.waiting.clock import Clock, Moment, read_clocks
from smartflows_provider.waiting.failures import PollFailure, read_failure
from smartflows_provider.waiting.wait import Decision, End, Note, Wait
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.run import RunSnapshot

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook


def wait_on_worker(
    wait: Wait,
    *,
    hook: FlowSystemHook,
    log: Any,
    clock: Clock = read_clocks,
    sleep: Callable[[float], None] = time.sleep,
) -> End:
    """
    Wait on a worker until the wait says it is over.

    :param wait: the decisions.
    :param hook: the connection.
    :param log: the task's logger.
    :param clock: gives the present moment.
    :param sleep: pauses for seconds.
    """
    while True:
        decision = look_once(wait, hook=hook, clock=clock)
        write_notes(log, decision.notes)
        if isinstance(decision, End):
            return decision
        if decision.refresh:
            hook.close()
        sleep(decision.seconds)


def look_once(wait: Wait, *, hook: FlowSystemHook, clock: Clock = read_clocks) -> Decision:
    """Ask for the run's status once, on a worker, and return what the wait decides."""
    asked = clock()
    hold = wait.next_hold(asked)
    seen: RunSnapshot | PollFailure
    try:
        exchange = hook.look_exchange(wait.execution_id, hold_seconds=hold)
        seen = hook.client.run(exchange, repetition=NO_REPETITION)
    except (WireError, TransportError) as error:
        seen = read_failure(error)
    except FlowConfigurationError as error:
        seen = _misconfigured(error)
    except FlowConnectionError as error:
        seen = _not_looked_up(error)
    return _decide(wait, seen, asked=asked, hold=hold, now=clock())


async def wait_in_trigger(
    wait: Wait,
    *,
    hook: FlowSystemHook,
    log: Any,
    clock: Clock = read_clocks,
) -> End:
    """
    Wait in the triggerer until the wait says it is over.

    :param wait: the decisions.
    :param hook: the connection.
    :param log: the trigger's logger.
    :param clock: gives the present moment.
    """
    while True:
        asked = clock()
        hold = wait.next_hold(asked)
        seen: RunSnapshot | PollFailure
        try:
            exchange = hook.look_exchange(wait.execution_id, hold_seconds=hold)
            seen = await (await hook.aclient()).run(exchange, repetition=NO_REPETITION)
        except (WireError, TransportError) as error:
            seen = read_failure(error)
        except FlowConfigurationError as error:
            seen = _misconfigured(error)
        except FlowConnectionError as error:
            seen = _not_looked_up(error)
        decision = _decide(wait, seen, asked=asked, hold=hold, now=clock())
        write_notes(log, decision.notes)
        if isinstance(decision, End):
            return decision
        if decision.refresh:
            await hook.aclose()
        await asyncio.sleep(decision.seconds)


def write_notes(log: Any, notes: Iterable[Note]) -> None:
    """Write a decision's notes to a task's log."""
    for note in notes:
        log.log(note.level, "%s", note.text)


def _misconfigured(error: FlowConfigurationError) -> PollFailure:
    """Return the failure for a connection that was usable before: it was changed or removed meanwhile."""
    return PollFailure(kind="misconfigured", text=str(error))


def _not_looked_up(error: FlowConnectionError) -> PollFailure:
    """Return the failure for a connection that Airflow itself could not be asked for just now."""
    return PollFailure(kind="passing", text=str(error))


def _decide(
    wait: Wait, seen: RunSnapshot | PollFailure, *, asked: Moment, hold: float, now: Moment
) -> Decision:
    if isinstance(seen, RunSnapshot):
        return wait.saw(seen, asked=asked, hold=hold, now=now)
    return wait.failed(seen, asked=asked, now=now)
