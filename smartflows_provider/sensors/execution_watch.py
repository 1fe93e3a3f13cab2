"""One attempt of a sensor at seeing an execution's end.

What :class:`SmartFlowsExecutionSensor` does on a worker, apart from its arguments, so that a DAG parse does
not load it. Invariant: every mode decides through the same :class:`Wait`. In ``poke`` mode and in the
triggerer a wait lives as long as the process and counts an outage; in ``reschedule`` mode each look is a new
process, so there an outage is bounded by the sensor's ``timeout`` alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, PokeReturnValue

from smartflows_provider.hooks.smart_flows import SmartFlowsHook
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
from smartflows_provider.lifecycle.results import judge, status_of
from smartflows_provider.lifecycle.trigger_end import Ending
from smartflows_provider.lifecycle.xcom_keys import EXECUTION_URL_KEY
from smartflows_provider.operators.arguments import text_argument
from smartflows_provider.sensors.start_in_triggerer import ends_in_triggerer, time_limit
from smartflows_provider.systems import SMART_FLOWS
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.waiting.clock import read_clocks
from smartflows_provider.waiting.event import FormAnswer, WaitEvent
from smartflows_provider.waiting.wait import AskAgain, Decision, Wait, WaitPolicy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor

NOT_OURS = "The sensor did not start the execution and left it as it is."


class SensorRun:
    """
    One attempt: look, or wait, and judge.

    :param sensor: the task, its templates rendered.
    """

    def __init__(self, sensor: SmartFlowsExecutionSensor) -> None:
        self._sensor = sensor
        self._hook = SmartFlowsHook(sensor.smart_flows_conn_id)
        text_argument(sensor.execution_id, "execution_id", where=self._hook.identity())
        policy = WaitPolicy(
            deadline=math.inf,
            poll_interval=sensor.poke_interval,
            max_outage=sensor.max_outage,
            stop_for_person=sensor.on_user_input == "fail",
        )
        self._wait = Wait(policy, execution_id=sensor.execution_id, began=read_clocks())

    def close(self) -> None:
        """Close the connection."""
        self._hook.close()

    def announce(self, context: Context) -> None:
        """Push the address for the link."""
        url = self._hook.execution_url(self._sensor.execution_id)
        context["ti"].xcom_push(key=EXECUTION_URL_KEY, value=url)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Look once; the base class paces the looks."""
        del context
        ended = self._seen_end()
        return ended is not None and PokeReturnValue(is_done=True, xcom_value=self._judge(ended))

    def complete_at_time_limit(self) -> dict[str, Any]:
        """Judge what is seen now that the sensor's time is up."""
        late = WaitEvent(reason="deadline", execution_id=self._sensor.execution_id)
        ended = self._seen_end() or replace(late, status=self._wait.last_status)
        return self._judge(ended)

    def _seen_end(self) -> WaitEvent | None:
        """Look once; None where the execution goes on."""
        decision = self._look()
        if isinstance(decision, AskAgain) and decision.refresh:
            # In reschedule mode the next look is another process, which would not know of this refusal.
            self._hook.close()
            decision = self._look()
        if isinstance(decision, AskAgain):
            return None
        return WaitEvent(
            reason=decision.reason,
            execution_id=decision.execution_id,
            status=decision.status,
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
                reason="deadline", execution_id=self._sensor.execution_id, status=self._wait.last_status
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
            system=SMART_FLOWS,
            conn_id=sensor.smart_flows_conn_id,
            execution_id=sensor.execution_id,
            deadline=(time.time() if began is None else began.timestamp()) + time_limit(sensor),
            poll_interval=sensor.poke_interval,
            max_outage=sensor.max_outage,
            stop_for_person=sensor.on_user_input == "fail",
            cancel_on_kill=False,
            cancel_on_timeout=False,
            owns_run=False,
            ending=self._ending(),
        )

    def _ending(self) -> dict[str, Any] | None:
        """Return what a success comes to in the triggerer, None where it needs a worker."""
        sensor = self._sensor
        if not ends_in_triggerer(sensor) or listened_to():
            return None
        return Ending(returns="status", on_warning=sensor.on_warning).as_dict()

    def complete(self, event: dict[str, Any] | None) -> dict[str, Any] | None:
        """Judge the triggerer's event; None where a form was answered and the wait goes on."""
        found = read_event(event, where=self._hook.identity(execution_id=self._sensor.execution_id))
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
        if ended.reason != "finished":
            raise error_of_unfinished_wait(ended, where=where, own=False)
        execution, _ = judge(
            self._hook,
            execution_id,
            on_warning=sensor.on_warning,
            where=where,
            log=sensor.log,
            ended=ended.status,
        )
        return status_of(execution_id, execution, url=url)
