"""One attempt of a sensor at seeing an execution's end.

What a :class:`smartflows_provider.sensors.base.FlowSensor` does on a worker, apart from its arguments, so
that a DAG parse does not load it. Invariant: every mode decides through the same :class:`Wait`. In ``poke``
mode and in the triggerer a wait lives as long as the process and counts an outage; in ``reschedule`` mode
each look is a new process, so there an outage is bounded by the sensor's ``timeout`` alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, PokeReturnValue

from smartflows_provider.lifecycle.conclude import (
    error_of_unfinished_wait,
    person_needed_error,
    read_event,
    timeout_error,
    with_address,
)
from smartflows_provider.lifecycle.listeners import listened_to
from smartflows_provider.lifecycle.looking import write_notes
from smartflows_provider.lifecycle.loops import look_once
from smartflows_provider.lifecycle.metrics import meter_of
from smartflows_provider.lifecycle.results import judge, status_of
from smartflows_provider.lifecycle.systems import hook_for
from smartflows_provider.lifecycle.trigger_end import Ending
from smartflows_provider.lifecycle.xcom_keys import EXECUTION_URL_KEY
from smartflows_provider.sensors.start_in_triggerer import ends_in_triggerer, time_limit
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.waiting.clock import read_clocks
from smartflows_provider.waiting.event import FormAnswer, WaitEvent
from smartflows_provider.waiting.wait import AskAgain, Decision, Wait, WaitPolicy
from smartflows_provider.wire.run import NO_TERMS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.sensors.base import FlowSensor

NOT_OURS = "The sensor did not start the execution and left it as it is."


class SensorRun:
    """
    One attempt: look, or wait, and judge.

    :param sensor: the task, its templates rendered.
    """

    def __init__(self, sensor: FlowSensor) -> None:
        self._sensor = sensor
        self._terms = sensor.run_terms()
        terms = NO_TERMS if self._terms is None else self._terms
        self._hook = hook_for(sensor.system, sensor.conn_id, terms=terms)

    @cached_property
    def _execution_id(self) -> str:
        return self._sensor.find_execution_id(self._hook)

    @cached_property
    def _wait(self) -> Wait:
        sensor = self._sensor
        policy = WaitPolicy(
            deadline=math.inf,
            poll_interval=sensor.poke_interval,
            max_outage=sensor.max_outage,
            stop_for_person=sensor.on_user_input == "fail",
            terms=self._hook.terms,
        )
        return Wait(policy, execution_id=self._execution_id, began=read_clocks())

    def identify(self) -> None:
        """
        Find out which run is meant.

        :raises FlowException: if that cannot be told.
        """
        _ = self._wait

    def close(self) -> None:
        """Close the connection."""
        self._hook.close()

    def announce(self, context: Context) -> None:
        """Push the address for the link, where there is one."""
        url = self._hook.execution_url(self._execution_id)
        if url:
            context["ti"].xcom_push(key=EXECUTION_URL_KEY, value=url)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Look once; the base class paces the looks."""
        del context
        ended = self._seen_end()
        return ended is not None and PokeReturnValue(is_done=True, xcom_value=self._judge(ended))

    def complete_at_time_limit(self) -> dict[str, Any]:
        """Judge what is seen now that the sensor's time is up."""
        late = WaitEvent(reason="deadline", execution_id=self._execution_id)
        ended = self._seen_end() or replace(late, status=self._wait.last_status)
        return self._judge(ended)

    def _seen_end(self) -> WaitEvent | None:
        """Look once; None where the execution goes on."""
        decision = self._look()
        if isinstance(decision, AskAgain) and decision.refresh:
            self._hook.close()
            # In reschedule mode the next look is another process, which would not know of this refusal.
            if decision.seconds == 0:
                decision = self._look()
        if isinstance(decision, AskAgain):
            return None
        return WaitEvent(
            reason=decision.reason,
            execution_id=decision.execution_id,
            status=decision.status,
            phase=decision.phase,
            detail=decision.detail,
        )

    def _look(self) -> Decision:
        decision = look_once(self._wait, hook=self._hook)
        write_notes(self._sensor.log, decision.notes)
        return decision

    @contextmanager
    def naming_its_timeout(self) -> Iterator[None]:
        """Say at the sensor's timeout which execution it is about, as a deferred sensor does."""
        try:
            yield
        except AirflowSensorTimeout:
            ended = WaitEvent(
                reason="deadline", execution_id=self._execution_id, status=self._wait.last_status
            )
            error = self._timed_out(ended)
        else:
            return
        raise error

    def trigger(self, context: Context) -> FlowExecutionTrigger:
        """Return what waits in the triggerer; it never cancels what the sensor did not start."""
        sensor = self._sensor
        began = getattr(context["ti"], "start_date", None)
        return FlowExecutionTrigger(
            system=sensor.system,
            conn_id=sensor.conn_id,
            execution_id=self._execution_id,
            deadline=(time.time() if began is None else began.timestamp()) + time_limit(sensor),
            poll_interval=sensor.poke_interval,
            max_outage=sensor.max_outage,
            stop_for_person=sensor.on_user_input == "fail",
            cancel_on_kill=False,
            cancel_on_timeout=False,
            owns_run=False,
            ending=self._ending(),
            terms=self._terms,
        )

    def _ending(self) -> dict[str, Any] | None:
        """Return what a success comes to in the triggerer, None where it needs a worker."""
        sensor = self._sensor
        if not ends_in_triggerer(sensor) or listened_to():
            return None
        return Ending(returns="status", on_warning=sensor.on_warning).as_dict()

    def complete(self, event: dict[str, Any] | None) -> dict[str, Any] | None:
        """Judge the triggerer's event; None where a form was answered and the wait goes on."""
        found = read_event(event, where=self._hook.identity(execution_id=self._sensor.named_run))
        return None if isinstance(found, FormAnswer) else self._judge(found)

    def _timed_out(self, ended: WaitEvent) -> AirflowSensorTimeout:
        url = self._hook.execution_url(ended.execution_id)
        where = self._hook.identity(execution_id=ended.execution_id, url=url)
        return AirflowSensorTimeout(
            f"The execution was not finished within {self._sensor.timeout:g} seconds; its last status was "
            f"{ended.status or 'not known'}. [{where}]\n{NOT_OURS}"
        )

    def _judge(self, ended: WaitEvent) -> dict[str, Any]:
        sensor, execution_id = self._sensor, ended.execution_id
        ended, url = with_address(self._hook, ended)
        where = self._hook.identity(execution_id=execution_id, url=url)
        if ended.reason == "deadline" and time_limit(sensor) < sensor.timeout:
            raise timeout_error(where=where, status=ended.status, fate=NOT_OURS)
        if ended.reason == "deadline":
            raise self._timed_out(ended)
        if ended.reason == "needs_person":
            raise person_needed_error(where=where, status=ended.status or "UserInput", fate=NOT_OURS)
        if ended.reason == "gone":
            meter_of(self._hook).run_ended("gone", own=False)
        if ended.reason != "finished":
            raise error_of_unfinished_wait(ended, where=where, own=False)
        execution, _ = judge(
            self._hook,
            execution_id,
            on_warning=sensor.on_warning,
            where=where,
            log=sensor.log,
            ended=ended,
            own=False,
        )
        return status_of(execution_id, execution, url=url)
