"""The sensor for Smart Flows executions.

Waits for an execution that somebody else has started: a person, another system, a task with
``wait_for_completion=False``. Invariants: the sensor never cancels what it did not start; poke, reschedule
and deferrable mode judge a status by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseSensorOperator, conf
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason

from smartflows_provider.links import FlowExecutionLink
from smartflows_provider.sensors.start_in_triggerer import (
    OfInstance,
    start_arguments,
    starts_in_triggerer,
)
from smartflows_provider.systems import SMART_FLOWS_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.lifecycle.options import OnWarning
    from smartflows_provider.sensors.execution_watch import SensorRun

_TIME_IS_UP = TriggerFailureReason.TRIGGER_TIMEOUT


class SmartFlowsExecutionSensor(BaseSensorOperator):
    """
    Waits until an execution has finished well.

    Fails at once where the execution ends badly. The execution itself is never cancelled, not even when the
    sensor's ``timeout`` passes.

    :param execution_id: the execution (templated), ``run_flow.output["execution_id"]`` say.
    :param smart_flows_conn_id: the connection (templated).
    :param on_warning: ``succeed`` or ``fail`` where the execution ends with warnings.
    :param on_user_input: ``wait`` for a person, or ``fail`` where one is needed.
    :param max_outage: seconds for which the service may be out of reach before the sensor fails.
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``. Else
        ``mode`` counts, ``poke`` or ``reschedule``, with ``poke_interval``.
    :param resume_on_worker: False lets a deferrable sensor start and succeed in the triggerer, without a
        worker process, where a worker would have nothing to do, see ``docs/processes.md``; True starts
        it on one, and always resumes it on one.
    :returns: ``{"execution_id", "status", "url"}``.
    :raises AirflowSensorTimeout: at the sensor's ``timeout``; no retry follows.
    :raises FlowTimeoutError: at its ``execution_timeout``, if that is shorter and the sensor is deferred; a
        retry has a new time limit.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = ("execution_id", "smart_flows_conn_id")
    operator_extra_links = (FlowExecutionLink(),)
    ui_color = "#e8f3ee"
    # Of a class, and so of a mapped task, Airflow reads the second.
    start_from_trigger = OfInstance(starts_in_triggerer, of_class=False)
    start_trigger_args: Any = OfInstance(start_arguments, of_class=None)
    deferrable = False
    """Until :meth:`__init__` is through: the base class already asks how the sensor is started."""

    def __init__(
        self,
        *,
        execution_id: str,
        smart_flows_conn_id: str = SMART_FLOWS_CONN_ID,
        on_warning: OnWarning = "succeed",
        on_user_input: Literal["wait", "fail"] = "wait",
        max_outage: float = 600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        resume_on_worker: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.execution_id = execution_id
        self.smart_flows_conn_id = smart_flows_conn_id
        self.on_warning = on_warning
        self.on_user_input = on_user_input
        self.max_outage = max_outage
        self.resume_on_worker = resume_on_worker
        self.deferrable = deferrable
        for name, allowed in (("on_warning", ("succeed", "fail")), ("on_user_input", ("wait", "fail"))):
            if getattr(self, name) not in allowed:
                words = " or ".join(map(repr, allowed))
                raise ValueError(f"{self.task_id}: {name} is {getattr(self, name)!r}; it takes {words}.")

    def poke(self, context: Context) -> Any:
        """
        Look at the execution once.

        :param context: the task's context.
        :returns: False, or the result with the XCom value.
        """
        with self._soft():
            return self._sensor_run.poke(context)

    def execute(self, context: Context) -> Any:
        """Look once; then wait in the triggerer, or as the sensor's mode says."""
        with self._soft():
            run = self._sensor_run
        with closing(run):
            run.announce(context)
            if not self.deferrable:
                with run.naming_its_timeout():
                    return super().execute(context)
            if found := self.poke(context):
                return found.xcom_value
            return self._defer(run, context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Judge the triggerer's event.

        :param context: the task's context.
        :param event: a :class:`smartflows_provider.waiting.event.WaitEvent` as a dict, the answer to a
            form of Airflow's, after which the wait goes on, or why the sensor is to be started on a worker.
        :raises FlowEventError: if it is none of these.
        """
        from smartflows_provider.waiting.event import why_start_on_worker

        if (why := why_start_on_worker(event)) is not None:
            self.log.info("The sensor is started on a worker: %s", why)
            self._forget_earlier_attempts(context)
            result: dict[str, Any] = self.execute(context)
            return result
        with self._resumed(context) as run:
            return run.complete(event) or self._defer(run, context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; where Airflow itself has ended the wait, its time is up."""
        if next_method == TRIGGER_FAIL_REPR and (next_kwargs or {}).get("error") == _TIME_IS_UP:
            return super().resume_execution("_at_time_limit", {}, context)
        return super().resume_execution(next_method, next_kwargs, context)

    def _at_time_limit(self, context: Context) -> dict[str, Any]:
        """Look once more: an end that came in time counts."""
        with self._resumed(context) as run:
            return run.complete_at_time_limit()

    @contextmanager
    def _resumed(self, context: Context) -> Iterator[SensorRun]:
        """Lend what goes on after a deferral; of earlier attempts nothing is left."""
        forgotten = self._forget_earlier_attempts(context)
        with self._soft(), closing(self._sensor_run) as run:
            if forgotten:
                # Among it the link, if this attempt had come so far.
                run.announce(context)
            yield run

    def _forget_earlier_attempts(self, context: Context) -> bool:
        """Remove what earlier attempts have left, as Airflow does where a worker starts a sensor."""
        from smartflows_provider.lifecycle.earlier_attempts import forget_earlier_attempts

        return forget_earlier_attempts(context["ti"])

    def _defer(self, run: SensorRun, context: Context) -> Any:
        return self.defer(trigger=run.trigger(context), method_name="execute_complete")

    @contextmanager
    def _soft(self) -> Iterator[None]:
        """
        Skip instead of fail where ``soft_fail`` or ``never_fail`` asks for it, in every mode alike.

        The base class does so for all errors after a deferral, but only for some in the other modes.
        """
        from smartflows_provider.exceptions import FlowException

        try:
            yield
        except FlowException as error:
            if self.soft_fail or self.never_fail:
                option = "soft_fail" if self.soft_fail else "never_fail"
                raise AirflowSkipException(f"Skipped, as {option}=True asks: {error}") from error
            raise

    @cached_property
    def _sensor_run(self) -> SensorRun:
        from smartflows_provider.sensors.execution_watch import SensorRun

        return SensorRun(self)
