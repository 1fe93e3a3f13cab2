"""Cancelling many executions at once, and telling what became of each.

All are asked to stop first, some at a time; then they are waited for together, so that a service that is
slow to stop one does not keep the others running. Invariants: every execution gets exactly one sentence;
Ctrl-C ends no request in the middle, and what was done until then is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from smartflows_provider.lifecycle.stop import Stopped, cancel_and_settle, look

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook

AT_A_TIME = 8
"""Requests under way at once: quick for hundreds, and gentle to the service."""
_PAUSE = 1.0
"""Seconds between two looks at what has not stopped yet."""


@dataclass(kw_only=True)
class Cancellation:
    """What has become of the executions so far."""

    over: list[str] = field(default_factory=list)
    """Ids of those that have stopped, or were over already."""
    asked: dict[str, Stopped] = field(default_factory=dict)
    """Those that were asked to stop and have not yet."""
    failed: list[str] = field(default_factory=list)
    """Ids of those that could not be cancelled."""
    untouched: list[str] = field(default_factory=list)
    """Ids of those that were not asked, because of Ctrl-C."""
    interrupted: bool = False


def cancel_all(
    hook: FlowSystemHook,
    execution_ids: Sequence[str],
    *,
    settle_seconds: float,
    tell: Callable[[str], None],
    on_interrupt: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Cancellation:
    """
    Cancel executions and wait for them.

    :param hook: its client must be ready, because threads share it.
    :param settle_seconds: how long to wait, after the last was asked, until all have stopped.
    :param tell: gets one sentence for each execution, as soon as its fate is known.
    :param on_interrupt: called on Ctrl-C, before the requests under way are waited for.
    :param clock: gives seconds.
    :param sleep: waits seconds.
    """
    done = Cancellation()
    with ThreadPoolExecutor(max_workers=AT_A_TIME, thread_name_prefix="cancel") as pool:
        cancel = partial(cancel_and_settle, hook, cause="request", seconds=0.0)
        asking = {pool.submit(cancel, one): one for one in execution_ids}
        try:
            for future in as_completed(asking):
                _note(done, asking[future], future.result(), tell)
            _settle(hook, done, pool, give_up=clock() + settle_seconds, tell=tell, clock=clock, sleep=sleep)
        except KeyboardInterrupt:
            done.interrupted = True
            on_interrupt()
            pool.shutdown(wait=True, cancel_futures=True)
            _note_rest(done, asking, tell)
    for stopped in done.asked.values():
        tell(stopped.fate)
    return done


def _note(done: Cancellation, execution_id: str, stopped: Stopped, tell: Callable[[str], None]) -> None:
    if stopped.is_over:
        done.over.append(execution_id)
    elif stopped.phase is None:
        done.failed.append(execution_id)
    else:
        done.asked[execution_id] = stopped
        return
    tell(stopped.fate)


def _note_rest(done: Cancellation, asking: dict[Future[Stopped], str], tell: Callable[[str], None]) -> None:
    noted = {*done.over, *done.asked, *done.failed}
    for future, execution_id in asking.items():
        if execution_id in noted:
            continue
        if future.cancelled():
            done.untouched.append(execution_id)
        else:
            _note(done, execution_id, future.result(), tell)


def _settle(
    hook: FlowSystemHook,
    done: Cancellation,
    pool: ThreadPoolExecutor,
    *,
    give_up: float,
    tell: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    while done.asked and clock() < give_up:
        sleep(_PAUSE)
        waiting = list(done.asked)
        looks = pool.map(partial(look, hook, after_cancel=True), waiting)
        for execution_id, stopped in zip(waiting, looks, strict=True):
            if stopped.is_over:
                del done.asked[execution_id]
                done.over.append(execution_id)
                tell(stopped.fate)
            else:
                done.asked[execution_id] = stopped
