"""Asks Airflow from threads of our own in a triggerer.

All triggers of a process share one channel to Airflow. From 3.2 on every thread may use it. On 3.1 a thread
that asgiref does not know takes away the answer to somebody else's question, the triggerer ends with
``Response read out of order!``, and all its triggers end with it. Invariant: where it must be so, what asks
Airflow runs in a thread that asgiref has started from the triggerer's event loop, also if the trigger that
wanted to know has been cancelled since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import TypeVar

from asgiref.sync import sync_to_async

from smartflows_provider.version_compat import AIRFLOW_V_3_2_PLUS

T = TypeVar("T")
_triggerer: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("_triggerer", default=None)


def context_of_triggerer() -> Context:
    """Return a copy of the context variables, with which :func:`asking` knows the event loop that runs."""
    context = copy_context()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return context
    context.run(_triggerer.set, loop)
    return context


def asking(work: Callable[[], T]) -> T:
    """
    Do work that asks Airflow, from a thread in which :func:`context_of_triggerer` counts.

    :param work: blocks until Airflow has answered.
    :raises RuntimeError: if the triggerer has ended.
    """
    loop = None if AIRFLOW_V_3_2_PLUS else _triggerer.get()
    if loop is None:
        return work()
    if loop.is_closed():
        raise RuntimeError("the triggerer has ended")
    asked = asyncio.run_coroutine_threadsafe(sync_to_async(work, thread_sensitive=False)(), loop)
    return asked.result()


async def asking_aside(work: Callable[[], T]) -> T:
    """
    Do work that asks Airflow, beside the triggerer's event loop, for the trigger that runs.

    It is brought to its end also where the trigger is cancelled: on 3.1 a question that is broken off has the
    next one read its answer.

    :param work: blocks until Airflow has answered.
    """
    return await asyncio.shield(asyncio.ensure_future(sync_to_async(work, thread_sensitive=False)()))
