"""The trigger that a sensor starts with where no worker is needed for its start.

It does what a worker would have done first: renders the templates, says where the execution is looked at,
finds out when the time is up. Then it waits as every deferred sensor does. Invariants: it owns no run and
cancels nothing; what keeps it from starting is left to a worker, which starts the sensor in the ordinary way;
``run`` can start from scratch at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from smartflows_provider.exceptions import FlowException
from smartflows_provider.lifecycle.deferred_kill import TaskIdentity
from smartflows_provider.lifecycle.listeners import listened_to
from smartflows_provider.lifecycle.options import OnWarning
from smartflows_provider.lifecycle.poller import shared_poller
from smartflows_provider.lifecycle.trigger_end import Ending
from smartflows_provider.lifecycle.xcom_keys import EXECUTION_URL_KEY
from smartflows_provider.operators.arguments import text_argument
from smartflows_provider.sensors.start_in_triggerer import START_SCHEMA
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.triggers.rendering import NotRenderedError, render
from smartflows_provider.waiting.event import start_on_worker

LONGEST_START = 180.0
"""Seconds after which a start is left to a worker; a template may ask what Airflow never answers here."""


class SensorStartTrigger(BaseTrigger):
    """
    Starts a sensor, and waits for its execution.

    Yields the event of :class:`FlowExecutionTrigger`, or one that has the sensor started on a worker.

    :param system: which flow system, a connection type.
    :param conn_id: the Airflow connection (a template).
    :param execution_id: the service's id of the run (a template).
    :param time_limit: seconds of the attempt.
    :param airflow_limit: seconds of the attempt after which Airflow itself ends the wait.
    :param poll_interval: seconds, longest pause between two looks.
    :param max_outage: seconds for which the service may be out of reach.
    :param stop_for_person: whether the wait ends where a person is needed.
    :param on_warning: whether warnings are a failure.
    :param ends_here: whether the sensor may succeed without a worker.
    :param terms: on what terms the run is watched, as its system reads them; None for no terms.
    :param schema_version: of these arguments.
    """

    timeout_after: datetime | None = None
    """When Airflow itself ends the wait; it says so before it calls :meth:`run`."""

    def __init__(
        self,
        *,
        system: str,
        conn_id: str,
        execution_id: str,
        time_limit: float,
        airflow_limit: float,
        poll_interval: float = 60.0,
        max_outage: float = 600.0,
        stop_for_person: bool = False,
        on_warning: OnWarning = "succeed",
        ends_here: bool = False,
        terms: dict[str, Any] | None = None,
        schema_version: int = START_SCHEMA,
    ) -> None:
        super().__init__()
        self.system = system
        self.conn_id = conn_id
        self.execution_id = execution_id
        self.time_limit = time_limit
        self.airflow_limit = airflow_limit
        self.poll_interval = poll_interval
        self.max_outage = max_outage
        self.stop_for_person = stop_for_person
        self.on_warning = on_warning
        self.ends_here = ends_here
        self.terms = terms
        self.schema_version = schema_version
        self._context: Mapping[str, Any] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, for Airflow's database."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "system": self.system,
                "conn_id": self.conn_id,
                "execution_id": self.execution_id,
                "time_limit": self.time_limit,
                "airflow_limit": self.airflow_limit,
                "poll_interval": self.poll_interval,
                "max_outage": self.max_outage,
                "stop_for_person": self.stop_for_person,
                "on_warning": self.on_warning,
                "ends_here": self.ends_here,
                "terms": self.terms,
                "schema_version": self.schema_version,
            },
        )

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Keep the context: :meth:`run` renders, where a failure can still be left to a worker."""
        del jinja_env
        self._context = context

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Start the sensor, wait, and yield how it ended."""
        try:
            async with asyncio.timeout(LONGEST_START):
                waiting = await self._start()
        except Exception as error:  # noqa: BLE001 - a worker meets it again, and tells it as it should be told
            told = isinstance(error, NotRenderedError | FlowException)
            why = f"{type(error).__name__}: {error}" if told else type(error).__name__
            self.log.info("The sensor is left to a worker: %s", why)
            yield TriggerEvent(start_on_worker(why))
            return
        async for event in waiting.run():
            yield event

    async def _start(self) -> FlowExecutionTrigger:
        task_instance, context = self.task_instance, self._context
        task = TaskIdentity.of(task_instance)
        if task is None or task_instance is None or context is None:
            raise NotRenderedError("the trigger knows of no task")
        listened = await asyncio.to_thread(listened_to)
        if listened:
            raise NotRenderedError("a listener follows the tasks")
        conn_id, execution_id = render(self.conn_id, context), render(self.execution_id, context)
        async with shared_poller(self.system, conn_id) as poller, poller.connection.use() as hook:
            text_argument(execution_id, "execution_id", where=hook.identity())
            url = await hook.aexecution_url(execution_id)
        if url:
            await asyncio.to_thread(task.push, EXECUTION_URL_KEY, url)
        waiting = FlowExecutionTrigger(
            system=self.system,
            conn_id=conn_id,
            execution_id=execution_id,
            deadline=self._deadline,
            poll_interval=self.poll_interval,
            max_outage=self.max_outage,
            stop_for_person=self.stop_for_person,
            cancel_on_kill=False,
            cancel_on_timeout=False,
            owns_run=False,
            terms=self.terms,
            ending=Ending(returns="status", on_warning=self.on_warning).as_dict() if self.ends_here else None,
        )
        waiting.task_instance = task_instance
        return waiting

    @property
    def _deadline(self) -> float:
        """When the sensor's time is up; Airflow keeps the time of its own limit, through restarts too."""
        if self.timeout_after is None:
            return time.time() + self.time_limit
        ends = self.timeout_after if self.timeout_after.tzinfo else self.timeout_after.replace(tzinfo=UTC)
        return ends.timestamp() - self.airflow_limit + self.time_limit
