"""What the sensors of all flow systems share.

A sensor waits for a run that somebody else has started. Invariants: the sensor never cancels what it did not
start; poke, reschedule and deferrable mode judge a status by the same rules. This module is imported at every
DAG parse, so it imports nothing heavy at its top.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseSensorOperator, conf
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason

from smartflows_provider.links import FlowExecutionLink
from smartflows_provider.sensors.start_in_triggerer import (
    OfInstance,
    start_arguments,
    starts_in_triggerer,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.lifecycle.options import OnWarning
    from smartflows_provider.sensors.execution_watch import SensorRun

_TIME_IS_UP = TriggerFailureReason.TRIGGER_TIMEOUT


class FlowSensor(BaseSensorOperator):
    """
    Waits until a run, which it never cancels, has finished well.

    A system's sensor names its arguments in the class variables below and, where its runs are watched on
    terms of their own, gives :meth:`run_terms`.

    :param on_warning: ``succeed`` or ``fail`` where the run ends with warnings.
    :param on_user_input: ``wait`` for a person, or ``fail`` where one is needed.
    :param max_outage: seconds for which the service may be out of reach before the sensor fails.
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``. Else
        ``mode`` counts, ``poke`` or ``reschedule``, with ``poke_interval``.
    :param resume_on_worker: False lets a deferrable sensor start and succeed in the triggerer, without a
        worker process, where a worker would have nothing to do; True starts it on one, and always resumes it
        on one.
    """

    system: ClassVar[str]
    """The connection type."""
    conn_id_field: ClassVar[str]
    """Name of the argument that names the connection."""
    execution_id_field: ClassVar[str] = "execution_id"
    """Name of the argument that names the run."""
    operator_extra_links = (FlowExecutionLink(),)
    ui_color = "#e8f3ee"
    # Of a class, and so of a mapped task, Airflow reads the second.
    start_from_trigger = OfInstance(starts_in_triggerer, of_class=False)
    start_trigger_args: Any = OfInstance(start_arguments, of_class=None)
    deferrable = False
    """Until :meth:`__init__` is through."""

    def __init__(
        self,
        *,
        on_warning: OnWarning = "succeed",
        on_user_input: Literal["wait", "fail"] = "wait",
        max_outage: float = 600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        resume_on_worker: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_warning = on_warning
        self.on_user_input = on_user_input
        self.max_outage = max_outage
        self.resume_on_worker = resume_on_worker
        self.deferrable = deferrable
        for name, allowed in (("on_warning", ("succeed", "fail")), ("on_user_input", ("wait", "fail"))):
            self._check_word(name, allowed)

    @property
    def conn_id(self) -> Any:
        """The connection, a template until the sensor runs; None until :meth:`__init__` is through."""
        return getattr(self, self.conn_id_field, None)

    @property
    def run_id_argument(self) -> Any:
        """
        The run as its author names it: text, a template, an XComArg, or None where it is looked up.

        None also until :meth:`__init__` is through: the base class already asks how the sensor is started.
        """
        return getattr(self, self.execution_id_field, None)

    @property
    def named_run(self) -> str | None:
        """The run's id where the author names it; None where it is looked up."""
        return self.run_id_argument if isinstance(self.run_id_argument, str) else None

    def find_execution_id(self, hook: FlowSystemHook) -> str:
        """
        Return which run is meant; called on a worker.

        :param hook: the connection.
        :raises FlowConfigurationError: if the argument has turned out to be unusable.
        """
        from smartflows_provider.operators.arguments import text_argument

        return text_argument(self.run_id_argument, self.execution_id_field, where=hook.identity())

    def run_terms(self) -> dict[str, Any] | None:
        """
        Return on what terms the run is watched, None for no terms.

        They are stored in Airflow's database as plain text: small, JSON, no secrets. No templates: Airflow
        reads them when the DAG is serialised.
        """
        return None

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
            run.identify()
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

    def _check_word(self, name: str, words: tuple[str, ...]) -> None:
        """Refuse at parse time an option that is none of its words."""
        value = getattr(self, name)
        if value not in words:
            allowed = " or ".join(map(repr, words))
            raise ValueError(f"{self.task_id}: {name} is {value!r}; it takes {allowed}.")
