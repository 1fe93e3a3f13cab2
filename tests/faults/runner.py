"""Runs rows side by side where they disturb nobody, and together where they share a disturbance.

Why this module exists: most of a row's time is spent waiting for Airflow, so rows wait at the same time.
A pytest test then only fetches what came of its row.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from faults.case import Case
from faults.rows import Outcome, Plan
from faults.world import SESSION_ENDS, World

SIDE_BY_SIDE = int(os.environ.get("FAULT_ROWS_AT_ONCE", "12"))

Body = Callable[[Case], None]
Job = tuple[str, Body, Plan]
"""Node id, body, plan."""


class Runner:
    """Runs the rows of a session.

    :param world: Airflow and the service.
    :param jobs: what pytest has selected, in order.
    """

    def __init__(self, world: World, jobs: Sequence[Job]) -> None:
        SESSION_ENDS.clear()
        self._world = world
        self._jobs = jobs
        self._pool = ThreadPoolExecutor(max_workers=SIDE_BY_SIDE, thread_name_prefix="row")
        self._futures: dict[str, Future[Outcome]] = {}

    def outcome(self, node_id: str) -> Outcome:
        """Return what came of a row, once it has run; rows that run with it are started with it."""
        if node_id not in self._futures:
            [(_, _, plan)] = [job for job in self._jobs if job[0] == node_id]
            together = [job for job in self._jobs if _partners(job[2], plan)]
            barrier = threading.Barrier(len(together)) if plan.row.group else None
            pool = self._pool if barrier is None else ThreadPoolExecutor(max_workers=len(together))
            for name, body, each in together:
                self._futures[name] = pool.submit(self._run, body, each, barrier)
            if barrier is not None:
                pool.shutdown(wait=False)
        return self._futures[node_id].result()

    def close(self) -> None:
        """Start no more rows, and end those that wait for something."""
        SESSION_ENDS.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, body: Body, plan: Plan, barrier: threading.Barrier | None) -> Outcome:
        outcome = Outcome(fault=plan.row.fault, mode=plan.mode, expected=plan.expected)
        began = time.monotonic()
        case = Case(self._world, plan, barrier=barrier)
        try:
            try:
                body(case)
            except BaseException as error:  # noqa: BLE001 - the test that fetches the outcome raises it
                if barrier is not None:
                    barrier.abort()
                outcome.problem = "".join(traceback.format_exception(error)[-3:])
            case.judge(outcome)
        except Exception as error:  # noqa: BLE001 - as above
            outcome.problem += f"\nand judging failed: {''.join(traceback.format_exception(error)[-3:])}"
        finally:
            case.close()
        outcome.seconds = round(time.monotonic() - began, 1)
        return outcome


def _partners(one: Plan, other: Plan) -> bool:
    """Tell whether two rows are run at the same time."""
    if one.row.group is None or other.row.group is None:
        return one.row.group is other.row.group
    return one.row.group == other.row.group and one.number == other.number
