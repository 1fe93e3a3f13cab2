"""Stopping the remote run of a deferred task that a person has ended.

Airflow ends a trigger also when no person did anything, and gives the trigger about a second to react.
Invariants: a run is cancelled only where :mod:`smartflows_provider.lifecycle.ownership` finds that nobody
answers for it; the work runs in threads of its own, which the framework's cancellation does not reach;
nothing here raises, and a run that is left alive is named in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XCom
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from smartflows_provider.lifecycle.daemon_threads import DaemonThreads
from smartflows_provider.lifecycle.metrics import CancelCause, Meter
from smartflows_provider.lifecycle.own_threads import asking, context_of_triggerer
from smartflows_provider.lifecycle.ownership import Ownership, ownership
from smartflows_provider.lifecycle.pulse import pulse
from smartflows_provider.lifecycle.stop import cancel_now, look
from smartflows_provider.lifecycle.systems import hook_for
from smartflows_provider.wire.run import Terms

if TYPE_CHECKING:
    from smartflows_provider.transport.settings import ClientSettings

log = logging.getLogger(__name__)

PATIENCE = 600.0
"""Seconds for which it is looked again where it cannot be told yet who answers for a run."""
SHORTEST_PAUSE = 1.0
"""Seconds between the first looks; the pause grows to :data:`LONGEST_PAUSE`."""
LONGEST_PAUSE = 10.0
"""Seconds between later looks."""


class AttemptOverError(Exception):
    """Another attempt of the task has taken the place of the one that the trigger works for."""

    def __str__(self) -> str:
        return "another attempt has taken the task over, and which execution it has cannot be read"


_REASONS: Mapping[Ownership, str] = {
    "ended": "The task was ended",
    "succeeded": "The task was marked as a success",
    "replaced": "The task has begun anew without it",
}
"""Why a run is stopped, by what was found out about it."""
_CAUSES: Mapping[Ownership, CancelCause] = {"ended": "kill", "succeeded": "kill", "replaced": "clear"}
"""The same for the metrics."""


@dataclass(frozen=True, kw_only=True)
class TaskIdentity:
    """Which task instance a trigger works for."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, task_instance: Any) -> TaskIdentity | None:
        """Return the identity of a trigger's task instance, None where the trigger has none."""
        if task_instance is None:
            return None
        index = task_instance.map_index
        return cls(
            dag_id=task_instance.dag_id,
            run_id=task_instance.run_id,
            task_id=task_instance.task_id,
            map_index=-1 if index is None else index,
        )

    def xcom(self, key: str) -> object:
        """
        Return an XCom of the task instance, None if there is none; asks Airflow.

        :raises AttemptOverError: if Airflow (3.4 and later) lets only a later attempt read it.
        """
        try:
            value: object = XCom.get_one(
                key=key,
                dag_id=self.dag_id,
                task_id=self.task_id,
                run_id=self.run_id,
                map_index=self.map_index,
            )
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") == 403:
                raise AttemptOverError from None
            raise
        return value

    def push(self, key: str, value: Any) -> None:
        """Set an XCom of the task instance, in place of one that it has; asks Airflow."""
        XCom.set(
            key=key,
            value=value,
            dag_id=self.dag_id,
            task_id=self.task_id,
            run_id=self.run_id,
            map_index=self.map_index,
        )

    def forget(self, key: str) -> None:
        """Delete an XCom of the task instance, if there is one; asks Airflow."""
        XCom.delete(
            key=key,
            dag_id=self.dag_id,
            task_id=self.task_id,
            run_id=self.run_id,
            map_index=self.map_index,
        )


@dataclass(frozen=True, kw_only=True)
class WaitedRun:
    """The run that a trigger has waited for, and what its author wants of it."""

    system: str
    conn_id: str
    execution_id: str
    task: TaskIdentity
    cancel: bool
    """Whether it is cancelled where a person has ended the task."""
    keep_on_clear: bool = False
    """Whether a cleared task goes on with it."""
    handing_over: bool = False
    """Whether the trigger has sent its event, so that the task is to go on elsewhere."""
    ending: bool = False
    """Whether the triggerer may be ending, and Airflow not be there to be asked."""
    terms: Terms = field(default_factory=dict)
    """On what terms it is watched and stopped."""
    settings: ClientSettings | None = field(default=None, repr=False, compare=False)
    """The connection as the wait has used it, with its access token; None where it is not known."""

    def __str__(self) -> str:
        return f"execution {self.execution_id} ({self.system}, {self.conn_id})"

    @property
    def meter(self) -> Meter:
        """Counts what becomes of it."""
        return Meter(system=self.system, conn_id=self.conn_id)


@cache
def get_ready() -> None:
    """
    Have Airflow ready for the question that a kill depends on; does nothing after the first time.

    A triggerer builds its way to Airflow's API when it is first used, which takes some five seconds: too long
    for a kill, and for a triggerer that is about to end.
    """
    pulse()
    _threads().submit(partial(context_of_triggerer().run, _ask_about_nothing))


def _ask_about_nothing() -> None:
    """Use Airflow's API once; that there is no such DAG is no matter."""
    with suppress(Exception):
        asking(partial(RuntimeTaskInstance.get_task_states, dag_id="", run_ids=[""], task_ids=[""]))


def release(run: WaitedRun) -> Future[None]:
    """
    Cancel a run in the background if nobody answers for it any more.

    May be called on an event loop that is about to be torn down: what is begun here goes on without it.

    :param run: the run.
    :returns: done once the first look at the task is over.
    """
    # Airflow tells by a context variable which task's log a line belongs to.
    return _threads().submit(partial(context_of_triggerer().run, _look_first, run, time.monotonic()))


def _look_first(run: WaitedRun, since: float) -> None:
    if _look(run, since) == "open":
        _later().add(run)


def _look(run: WaitedRun, since: float) -> Ownership:
    """Find out who answers for the run, and cancel it if nobody does."""
    try:
        return asking(partial(_see_to, run, since))
    except Exception as error:
        if run.ending:
            log.info("The wait for %s ends here; it goes on in another triggerer.", run)
        else:
            log.error(  # noqa: TRY400 - for the one on call; the traceback follows for those who debug
                "The wait for %s was ended, and it was not cancelled: whether the task was ended, or how to "
                "reach the service, could not be found out (%s: %s). If the task was ended, cancel it there.",
                run,
                type(error).__name__,
                error,
            )
            log.debug("The wait for %s was ended without a look at its task.", run, exc_info=True)
        return "kept"


def _see_to(run: WaitedRun, since: float) -> Ownership:
    found = _ownership_of(run, since)
    if found in _REASONS:
        _stop(run, found)
    return found


def _ownership_of(run: WaitedRun, since: float) -> Ownership:
    task = run.task
    states = _states_of(task.dag_id, task.run_id, task.task_id).after(since)
    if states is None:
        # No instance of the task is left: somebody has deleted the DAG run.
        return "ended"
    key = task.task_id if task.map_index < 0 else f"{task.task_id}_{task.map_index}"
    if key not in states:
        raise LookupError(f"Airflow tells no state of {key}")
    try:
        return ownership(
            run.execution_id,
            state=states[key],
            xcom=task.xcom,
            keep_on_clear=run.keep_on_clear,
            handing_over=run.handing_over,
        )
    except AttemptOverError:
        if run.keep_on_clear or pulse().stood_still_within(PATIENCE):
            # A retry may have attached to the run meanwhile, and a clear may do so.
            raise
        return "replaced"


def _stop(run: WaitedRun, why: Ownership) -> None:
    reason = _REASONS[why]
    hook = hook_for(run.system, run.conn_id, terms=run.terms)
    if why == "succeeded" and look(hook, run.execution_id).is_over:
        return
    if not run.cancel:
        log.info("%s: %s was not cancelled, %s.", reason, run, hook.hints.cancel_off)
        run.meter.run_left("killed")
        return
    settings = hook.settings
    if run.settings == settings:
        # There is hardly time to ask for another access token.
        settings = run.settings
    reply = cancel_now(settings, hook.cancel_exchange(run.execution_id, terms=run.terms))
    if reply.problem is not None:
        log.error("%s, but %s could not be cancelled and may still run: %s", reason, run, reply.problem)
        run.meter.run_left("killed")
    elif reply.ended_in is not None:
        log.info("%s: %s had ended in %s.", reason, run, reply.ended_in)
    else:
        log.info("%s: cancelled %s.", reason, run)
        run.meter.run_cancelled(_CAUSES[why])


@dataclass
class _TaskStates:
    """
    The states of a task's instances in a DAG run: one question for all who ask at the same time.

    Airflow answers in names such as ``load_1``, which is instance 1 of a mapped task ``load`` as well as a
    task ``load_1``: so it is asked about one task at a time.
    """

    dag_id: str
    run_id: str
    task_id: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _asked_at: float = float("-inf")
    _states: Mapping[str, str | None] | None = None

    def after(self, since: float) -> Mapping[str, str | None] | None:
        """
        Return states that were asked for after a moment, None where there are no instances.

        :param since: seconds of the steady clock.
        """
        with self._lock:
            if self._asked_at < since:
                asked_at = time.monotonic()
                found = RuntimeTaskInstance.get_task_states(
                    dag_id=self.dag_id, run_ids=[self.run_id], task_ids=[self.task_id]
                )
                self._states, self._asked_at = found.get(self.run_id), asked_at
            return self._states


@lru_cache(maxsize=64)
def _states_of(dag_id: str, run_id: str, task_id: str) -> _TaskStates:
    return _TaskStates(dag_id, run_id, task_id)


@cache
def _threads() -> DaemonThreads:
    return DaemonThreads("flow-cancel", count=16)


@dataclass(kw_only=True)
class _Pending:
    """A run of which it cannot be told yet who answers for it."""

    run: WaitedRun
    context: Context
    until: float
    due: float
    pause: float = SHORTEST_PAUSE


class _Later:
    """Looks again at open runs, in one thread that does not keep its process alive."""

    def __init__(self) -> None:
        self._pending: list[_Pending] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._keep_looking, name="flow-cancel-later", daemon=True).start()

    def add(self, run: WaitedRun) -> None:
        """Look at a run again until it can be told who answers for it."""
        now = time.monotonic()
        pending = _Pending(run=run, context=copy_context(), until=now + PATIENCE, due=now + SHORTEST_PAUSE)
        with self._changed:
            self._pending.append(pending)
            self._changed.notify()

    def _keep_looking(self) -> None:
        while True:
            due, since = self._due()
            for pending in due:
                if pending.context.run(_look, pending.run, since) != "open":
                    continue
                if since >= pending.until:
                    pending.context.run(_give_up, pending.run)
                    continue
                pending.pause = min(pending.pause * 1.5, LONGEST_PAUSE)
                pending.due = since + pending.pause
                with self._changed:
                    self._pending.append(pending)

    def _due(self) -> tuple[list[_Pending], float]:
        """Wait for the next looks that are due, take them off the list, and return when that was."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [one for one in self._pending if one.due <= now]
                if due:
                    self._pending = [one for one in self._pending if one.due > now]
                    return due, now
                soonest = min((one.due for one in self._pending), default=None)
                self._changed.wait(None if soonest is None else soonest - now)


_later = cache(_Later)


def _give_up(run: WaitedRun) -> None:
    log.warning(
        "The wait for %s was ended, and it cannot be told whether the task goes on with it; it was left as "
        "it is. If the task was ended, cancel it at the service.",
        run,
    )
