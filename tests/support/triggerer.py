"""The triggerer as far as a trigger sees it: a task instance, its XComs, the context of templates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.triggers import execution
from support.tasks import Attempt, revive

RETURN_VALUE = "return_value"
IDENTITY: dict[str, Any] = {"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": -1}


@dataclass
class Ended:
    """How a task came to its end."""

    value: Any
    workers: int
    """How many worker processes it took."""


def events_of(trigger: BaseTrigger) -> list[TriggerEvent]:
    """Run a trigger to its end."""

    async def run() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    return asyncio.run(run())


@contextmanager
def triggerer(attempt: Attempt) -> Iterator[None]:
    """Let what triggers push be an attempt's XComs, as JSON keeps it."""

    def push(key: str, value: Any, **identity: Any) -> None:
        assert identity == IDENTITY
        attempt.xcoms[key] = json.loads(json.dumps(value))

    def pull(key: str, **identity: Any) -> Any:
        assert identity == IDENTITY
        return attempt.xcoms.get(key)

    with (
        patch.object(deferred_kill.XCom, "set", push),
        patch.object(deferred_kill.XCom, "get_one", pull),
        patch.object(execution, "get_ready", lambda: None),
        patch.object(execution, "release", lambda run: None),
    ):
        yield


def start_trigger(sensor: Any, context: Any, *, now: Any) -> BaseTrigger:
    """Return the trigger that Airflow starts a sensor with, after its way through the database."""
    arguments = sensor.start_trigger_args
    module, _, name = arguments.trigger_cls.rpartition(".")
    made = getattr(import_module(module), name)(**json.loads(json.dumps(arguments.trigger_kwargs)))
    trigger: BaseTrigger = revive(made)
    trigger.render_template_fields(context)
    limit = arguments.timeout
    if sensor.execution_timeout is not None:
        limit = min(limit, sensor.execution_timeout)
    trigger.timeout_after = now + limit
    return trigger


def to_the_end(task: Any, attempt: Attempt, *, now: Any = None) -> Ended:
    """
    Run a task as Airflow does, where its triggers know of their task.

    :param now: when the task is started, which a sensor may be in the triggerer; None starts it on a worker.
    """
    context, workers = attempt.context(), 0
    starts_here = now is not None and task.start_from_trigger
    trigger = start_trigger(task, context, now=now) if starts_here else None
    method = task.start_trigger_args.next_method if starts_here else "execute"
    step = partial(task.execute, context)
    with triggerer(attempt):
        while True:
            if trigger is not None:
                trigger.task_instance = SimpleNamespace(**IDENTITY, id="ti", try_number=1)
                event = events_of(trigger)[0]
                if isinstance(event, TaskSuccessEvent):
                    assert event.xcoms is None
                    return Ended(value=attempt.xcoms.pop(RETURN_VALUE), workers=workers)
                payload = json.loads(json.dumps(event.payload))
                step = partial(task.resume_execution, method, {"event": payload}, context)
            workers += 1
            try:
                return Ended(value=step(), workers=workers)
            except TaskDeferred as deferred:
                trigger, method = revive(deferred.trigger), deferred.method_name
