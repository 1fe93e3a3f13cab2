"""Runs one task outside a scheduler, in either mode, as Airflow would: what a DAG author would see of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Literal
from uuid import UUID, uuid4

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.triggers.base import BaseTrigger, TriggerEvent

from smartflows_provider.version_compat import RE_ATTACHING
from support.airflow_versions import skip_without

Mode = Literal["sync", "deferrable"]
MODES: tuple[Mode, ...] = ("sync", "deferrable")


class FakeStateStore:
    """A task state store in memory that keeps what JSON keeps."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.retentions: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.entries[key]) if key in self.entries else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.entries[key] = json.dumps(value)
        self.retentions[key] = retention

    def delete(self, key: str) -> None:
        self.entries.pop(key, None)


@dataclass
class Attempt:
    """The surroundings of one attempt of a task instance."""

    store: FakeStateStore | None = field(default_factory=FakeStateStore)
    max_tries: int = 0
    try_number: int = 1
    started_at: datetime | None = None
    first_rescheduled_at: datetime | None = None
    ti_id: UUID = field(default_factory=uuid4)
    clear_number: int = 0
    xcoms: dict[str, Any] = field(default_factory=dict)
    deferrals: list[BaseTrigger] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    outlet_events: OutletEventAccessors = field(default_factory=OutletEventAccessors)
    before_resume: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    """Further entries of the context."""

    def _push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def _pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        return self.xcoms.get(key) if (task_ids, map_indexes) == ("task", -1) else None

    def context(self) -> dict[str, Any]:
        """Return the task's context; a later attempt with a store is of Airflows that have one."""
        if self.store is not None and (self.try_number > 1 or self.clear_number > 0):
            skip_without(RE_ATTACHING)
        ti = SimpleNamespace(
            id=self.ti_id,
            max_tries=self.max_tries,
            try_number=self.try_number,
            start_date=self.started_at,
            xcom_pull=self._pull,
            dag_id="dag",
            task_id="task",
            run_id="run",
            map_index=-1,
            xcom_push=self._push,
            get_first_reschedule_date=lambda context: self.first_rescheduled_at,
        )
        context: dict[str, Any] = {
            "ti": ti,
            "dag_run": SimpleNamespace(clear_number=self.clear_number),
            "outlet_events": self.outlet_events,
            **self.more,
        }
        if self.store is not None:
            context["task_state_store"] = self.store
        return context


def revive(trigger: BaseTrigger) -> BaseTrigger:
    """Send a trigger through the database: its class path and JSON arguments, and back."""
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**json.loads(json.dumps(kwargs)))


def first_event(trigger: BaseTrigger) -> dict[str, Any]:
    """Run a trigger until its event and return the event's payload."""

    async def run() -> TriggerEvent:
        async for event in trigger.run():
            return event
        raise RuntimeError("the trigger ended without an event")

    return json.loads(json.dumps(asyncio.run(run()).payload))


def run_task(operator: Any, attempt: Attempt | None = None) -> Any:
    """Execute a task to its end, in the triggerer's stead where it defers, and return its result."""
    attempt = attempt or Attempt()
    context = attempt.context()
    step = partial(operator.execute, context)
    while True:
        try:
            return step()
        except TaskDeferred as deferred:
            trigger = revive(deferred.trigger)
            attempt.deferrals.append(trigger)
            event = first_event(trigger)
            attempt.events.append(event)
            if attempt.before_resume is not None:
                event = attempt.before_resume(event)
            step = partial(getattr(operator, deferred.method_name), context, event=event)
