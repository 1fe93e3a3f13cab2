"""Stopping the remote run of a deferred task that a person has ended.

Airflow calls a trigger's ``on_kill`` also when no person did anything (a trigger that moves to another
triggerer, a form answer), and cancels the call after about a second. Invariants: the run is cancelled only
where the task instance's own state says that the task is over; the work runs in threads of its own, which
the framework's cancellation does not reach.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from smartflows_provider.lifecycle.stop import cancel_now
from smartflows_provider.lifecycle.systems import hook_for

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_OVER = frozenset({None, "failed", "success", "skipped", "upstream_failed", "removed"})
"""States of a task instance in which nobody waits for its run any more; None is a cleared one."""


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


@cache
def kill_threads() -> ThreadPoolExecutor:
    """Return the threads that cancel runs; made when the first one is needed."""
    return ThreadPoolExecutor(max_workers=16, thread_name_prefix="flow-cancel")


def task_is_over(task: TaskIdentity, *, states: Callable[..., dict[str, Any]] | None = None) -> bool:
    """
    Ask Airflow whether a task instance has been ended.

    :param task: the task instance.
    :param states: asks for task states; Airflow's own by default.
    """
    ask = states or RuntimeTaskInstance.get_task_states
    found = ask(dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index)
    of_run = found.get(task.run_id, {})
    key = task.task_id if task.map_index < 0 else f"{task.task_id}_{task.map_index}"
    return key in of_run and of_run[key] in _OVER


def cancel_if_task_is_over(*, system: str, conn_id: str, execution_id: str, task: TaskIdentity) -> None:
    """Cancel a run, unless its task still waits for it; runs in a thread, so what fails is logged here."""
    try:
        if not task_is_over(task):
            return
        hook = hook_for(system, conn_id)
        problem = cancel_now(hook.settings, hook.cancel_exchange(execution_id))
    except Exception:
        log.exception(
            "The task was ended or moved, and execution %s (%s, %s) was not cancelled: which of the two, or "
            "how to reach the service, could not be found out. If the task was ended, cancel it there.",
            execution_id,
            system,
            conn_id,
        )
        return
    if problem is None:
        log.info("The task was ended: cancelled execution %s (%s, %s).", execution_id, hook.system, conn_id)
    else:
        log.error(
            "The task was ended, but execution %s (%s, %s) could not be cancelled and may still run: %s",
            execution_id,
            hook.system,
            conn_id,
            problem,
        )
