"""The loop that carries out a wait on a worker, and its single step.

The triggerer's counterpart is :mod:`smartflows_provider.lifecycle.poller`. They differ in how they sleep and
send, and in nothing else; every decision is the :class:`Wait`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smartflows_provider.lifecycle.looking import LOOK_ERRORS, decide, failed_look, write_notes
from smartflows_provider.lifecycle.metrics import meter_of
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.waiting.clock import Clock, read_clocks
from smartflows_provider.waiting.failures import PollFailure
from smartflows_provider.waiting.wait import Decision, End, Wait
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
    :param hook: the connection; its ``long_poll_seconds`` bound how long an answer is held.
    :param log: the task's logger.
    :param clock: gives the present moment.
    :param sleep: pauses for seconds.
    """
    longest_hold = hook.settings.long_poll_seconds
    while True:
        decision = look_once(wait, hook=hook, longest_hold=longest_hold, clock=clock)
        write_notes(log, decision.notes)
        if isinstance(decision, End):
            return decision
        if decision.refresh:
            hook.close()
        sleep(decision.seconds)


def look_once(
    wait: Wait, *, hook: FlowSystemHook, longest_hold: float = 0.0, clock: Clock = read_clocks
) -> Decision:
    """
    Ask for the run's status once, on a worker, and return what the wait decides.

    :param wait: the decisions.
    :param hook: the connection.
    :param longest_hold: seconds for which the service may hold its answer; 0 for not at all.
    :param clock: gives the present moment.
    """
    asked = clock()
    hold = wait.next_hold(asked, longest=longest_hold)
    seen: RunSnapshot | PollFailure
    try:
        exchange = hook.look_exchange(wait.execution_id, hold_seconds=hold, terms=wait.policy.terms)
        seen = hook.client.run(exchange, repetition=NO_REPETITION)
    except LOOK_ERRORS as error:
        seen = failed_look(error, meter=meter_of(hook))
    return decide(wait, seen, asked=asked, hold=hold, now=clock())
