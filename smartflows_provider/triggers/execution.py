"""The trigger that waits for one remote run, of whichever flow system.

Its row in Airflow's database is plain text and may be revived by a later version of this package, so it
holds the connection's id and the run's, settings and times, and its keys only ever grow. Invariants: no
secrets; ``run`` can start from scratch at any time; a dying triggerer cancels nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from smartflows_provider.lifecycle import spans
from smartflows_provider.lifecycle.deferred_kill import TaskIdentity, WaitedRun, get_ready, release
from smartflows_provider.lifecycle.form_watch import OpenForm, answer_or_end
from smartflows_provider.lifecycle.looking import LOOK_ERRORS
from smartflows_provider.lifecycle.metrics import Meter
from smartflows_provider.lifecycle.poller import StatusPoller, shared_poller
from smartflows_provider.lifecycle.shared_connection import SharedConnection
from smartflows_provider.lifecycle.stop import was_taken
from smartflows_provider.lifecycle.trigger_end import Ending, ended_here
from smartflows_provider.version_compat import AIRFLOW_V_3_3_PLUS
from smartflows_provider.waiting.event import MAX_DETAIL, EndReason, FormAnswer, WaitEvent
from smartflows_provider.waiting.schedule import LONGEST_POLL_INTERVAL, SHORTEST_POLL_INTERVAL
from smartflows_provider.waiting.wait import End, WaitPolicy
from smartflows_provider.wire.run import NO_TERMS, RunPhase, Terms

LEAST_LIFE = 10.0
"""
Seconds from a trigger's start until it has its task resumed, at the earliest.

Airflow takes a task for killed that is on its way back to a worker before the scheduler has heard that the
worker which deferred it has ended (apache/airflow#67287 and #72716), and has it retried, or failed. To hear
of it takes a second or two, and six where a scheduler has much to do.
"""
TRIGGER_SCHEMA = 5
"""1 had no ``cancel_for_person``, ``keep_on_clear`` and ``owns_run``, 2 no ``ending``, 3 no ``terms``, 4 no
``open_form``; the defaults do."""


class FlowExecutionTrigger(BaseTrigger):
    """
    Waits in the triggerer until a remote run is over, needs a person, or its time is up.

    Yields one event, a ``WaitEvent`` as a dict, or, where nothing is left to do for a worker, the one that
    lets the task succeed.

    :param system: which flow system, a connection type, ``smartflows`` say.
    :param conn_id: the Airflow connection.
    :param execution_id: the service's id of the run.
    :param deadline: epoch seconds by the wall clock.
    :param poll_interval: seconds, longest pause between two looks.
    :param max_outage: seconds for which the service may be out of reach.
    :param stop_for_person: whether the wait ends where a person is needed.
    :param cancel_on_kill: whether the run is cancelled when a person ends the task.
    :param cancel_on_timeout: whether the run is cancelled at the deadline.
    :param cancel_for_person: whether the run is cancelled where the wait ends because a person is needed.
    :param keep_on_clear: whether a cleared task goes on with the run.
    :param owns_run: whether the task has started the run; one that it has not is never its to stop.
    :param ending: what a success comes to, an ``Ending`` as a dict. None leaves every end to a
        worker.
    :param terms: on what terms the run is watched and stopped, as its system reads them; None for no terms.
    :param open_form: what a person is being asked in Airflow, a
        :class:`smartflows_provider.lifecycle.form_watch.OpenForm` as a dict; None for nothing.
    :param schema_version: of these arguments.
    """

    def __init__(
        self,
        *,
        system: str,
        conn_id: str,
        execution_id: str,
        deadline: float,
        poll_interval: float = 60.0,
        max_outage: float = 600.0,
        stop_for_person: bool = False,
        cancel_on_kill: bool = True,
        cancel_on_timeout: bool = True,
        cancel_for_person: bool = False,
        keep_on_clear: bool = False,
        owns_run: bool = True,
        ending: dict[str, Any] | None = None,
        terms: dict[str, Any] | None = None,
        open_form: dict[str, Any] | None = None,
        schema_version: int = TRIGGER_SCHEMA,
    ) -> None:
        super().__init__()
        self.system = system
        self.conn_id = conn_id
        self.execution_id = execution_id
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.max_outage = max_outage
        self.stop_for_person = stop_for_person
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.cancel_for_person = cancel_for_person
        self.keep_on_clear = keep_on_clear
        self.owns_run = owns_run
        self.ending = ending
        self.terms = terms
        self.open_form = open_form
        self.schema_version = schema_version
        self._connection: SharedConnection | None = None
        self._ended_at = 0.0
        self._is_over = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, for Airflow's database."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "system": self.system,
                "conn_id": self.conn_id,
                "execution_id": self.execution_id,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
                "max_outage": self.max_outage,
                "stop_for_person": self.stop_for_person,
                "cancel_on_kill": self.cancel_on_kill,
                "cancel_on_timeout": self.cancel_on_timeout,
                "cancel_for_person": self.cancel_for_person,
                "keep_on_clear": self.keep_on_clear,
                "owns_run": self.owns_run,
                "ending": self.ending,
                "terms": self.terms,
                "open_form": self.open_form,
                "schema_version": self.schema_version,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield how it ended; a worker is told after :data:`LEAST_LIFE` at the earliest."""
        if self.task_instance is not None and self.owns_run:
            get_ready()
        began = time.monotonic()
        try:
            event, ends_here = await spans.waiting(self, self._wait())
            if not ends_here and self.task_instance is not None:
                await asyncio.sleep(began + LEAST_LIFE - time.monotonic())
        except asyncio.CancelledError:
            if not AIRFLOW_V_3_3_PLUS:
                # There is no on_kill yet; the triggerer itself may be about to end.
                self._release(ending=True)
            raise
        self._meter.event_came_after(time.monotonic() - self._ended_at)
        yield TaskSuccessEvent() if ends_here else TriggerEvent(event.as_dict())
        # Until a worker takes the run up, a person may still end the task.
        self._release(handing_over=True)

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render nothing: the arguments are those of a task whose templates were rendered already."""

    def shown(self) -> spans.Shown:
        """Return which run spans are about."""
        return {"system": self.system, "conn_id": self.conn_id, "execution_id": self.execution_id}

    @property
    def _meter(self) -> Meter:
        return Meter(system=self.system, conn_id=self.conn_id)

    @property
    def _terms(self) -> Terms:
        return NO_TERMS if self.terms is None else self.terms

    async def _ends_here(self, event: WaitEvent, connection: SharedConnection) -> bool:
        """Conclude a success here where that is all there is to do; tell whether it was."""
        return await ended_here(
            Ending.from_dict(self.ending),
            event,
            terms=self._terms,
            connection=connection,
            task=TaskIdentity.of(self.task_instance),
            owns_run=self.owns_run,
            log=self.log,
        )

    async def _wait(self) -> tuple[WaitEvent | FormAnswer, bool]:
        """Return how the wait ended, and whether the task has nothing left to do."""
        policy = WaitPolicy(
            deadline=self.deadline,
            poll_interval=min(max(self.poll_interval, SHORTEST_POLL_INTERVAL), LONGEST_POLL_INTERVAL),
            max_outage=self.max_outage,
            stop_for_person=self.stop_for_person,
            terms=self._terms,
        )
        async with shared_poller(self.system, self.conn_id) as poller:
            self._connection = poller.connection
            end = await self._end(poller, policy)
            self._ended_at = time.monotonic()
            if isinstance(end, FormAnswer):
                return end, False
            gives_up = (end.reason in {"deadline", "unanswered"} and self.cancel_on_timeout) or (
                end.reason == "needs_person" and self.cancel_for_person
            )
            canceled = gives_up and await self._cancel(poller.connection, end.reason)
            event = self._event(
                end.reason, status=end.status, phase=end.phase, detail=end.detail, canceled=canceled
            )
            self._is_over = event.reason in {"finished", "gone"} or event.canceled
            return event, await self._ends_here(event, poller.connection)

    async def _end(self, poller: StatusPoller, policy: WaitPolicy) -> End | FormAnswer:
        """Wait for the run's end; where a person is being asked, for the answer, whichever comes first."""
        form = OpenForm.from_dict(self.open_form)
        if form is None:
            return await poller.wait_for(policy, execution_id=self.execution_id, log=self.log)
        return await answer_or_end(poller, policy, execution_id=self.execution_id, form=form, log=self.log)

    async def on_kill(self) -> None:
        """Cancel the remote run if nobody answers for it any more (Airflow 3.3 and later call this)."""
        if (released := self._release()) is not None:
            await asyncio.shield(asyncio.wrap_future(released))

    def _release(self, *, handing_over: bool = False, ending: bool = False) -> Future[None] | None:
        """Leave the run to its task, or stop it where the task was ended; in the background."""
        task = TaskIdentity.of(self.task_instance)
        if task is None or not self.owns_run or self._is_over:
            return None
        return release(
            WaitedRun(
                system=self.system,
                conn_id=self.conn_id,
                execution_id=self.execution_id,
                task=task,
                cancel=self.cancel_on_kill,
                keep_on_clear=self.keep_on_clear,
                handing_over=handing_over,
                ending=ending,
                terms=self._terms,
                settings=None if self._connection is None else self._connection.settings,
            )
        )

    async def _cancel(self, connection: SharedConnection, reason: EndReason) -> bool:
        """
        Ask the service to cancel; whether it took that is the worker's to verify.

        :param connection: the run's.
        :param reason: why the wait has ended.
        :returns: whether it may have: not of a run that had ended by itself before.
        """
        try:
            async with connection.use() as hook:
                client = await hook.aclient()
                found = await client.run(hook.cancel_exchange(self.execution_id, terms=self._terms))
        except LOOK_ERRORS as error:
            self.log.warning("Execution %s could not be cancelled: %s", self.execution_id, error)
            return False
        taken = found is None or was_taken(found)
        if taken:
            self._meter.run_cancelled("timeout" if reason == "deadline" else "person_needed")
        return taken

    def _event(
        self,
        reason: EndReason,
        *,
        status: str | None = None,
        phase: RunPhase | None = None,
        detail: str = "",
        canceled: bool = False,
    ) -> WaitEvent:
        return WaitEvent(
            reason=reason,
            execution_id=self.execution_id,
            status=status,
            phase=phase,
            detail=detail[:MAX_DETAIL],
            canceled=canceled,
            deadline=self.deadline,
        )
