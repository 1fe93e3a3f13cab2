"""Whether a sensor starts in the triggerer, without a worker, and what Airflow is told for that.

Airflow reads this from the sensor as it is when its DAG is serialised. Invariants: nothing heavy is imported,
not even Airflow's triggers; where it is not certain that a start in the triggerer comes to the same as one on
a worker, the sensor is started on a worker; what is told holds no secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from airflow.providers.common.compat.sdk import conf
from airflow.sdk.definitions.xcom_arg import PlainXComArg
from jinja2 import StrictUndefined

from smartflows_provider.lifecycle.worker_needs import end_needs_worker, start_needs_worker
from smartflows_provider.version_compat import AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from smartflows_provider.sensors.base import FlowSensor

T = TypeVar("T")

START_SCHEMA: Final = 2
"""Version of the arguments of the trigger that a sensor starts with; 1 had no ``terms``."""
_XCOMS: Final = "airflow.sdk.execution_time.xcom.BaseXCom"
"""The XCom backend that Airflow has by default."""
_TRIGGER: Final = "smartflows_provider.triggers.sensor_start.SensorStartTrigger"
_GRACE: Final = 120.0
"""Seconds after the sensor's ``timeout`` when Airflow itself ends a wait whose trigger has not told of it."""
_LONGEST: Final = 10 * 365 * 24 * 3600.0
"""Seconds; Airflow adds a time limit to the present time, which must not go beyond its calendar."""


class OfInstance(Generic[T]):
    """
    An attribute that is worked out for an instance whenever it is read, and is constant for the class.

    :param of: gives an instance's value.
    :param of_class: the value of the class.
    """

    def __init__(self, of: Callable[[Any], T], *, of_class: T) -> None:
        self._of = of
        self._of_class = of_class

    def __get__(self, instance: Any, owner: type) -> T:
        return self._of_class if instance is None else self._of(instance)


@dataclass(frozen=True, kw_only=True)
class StartArguments:
    """What Airflow serialises of its own ``StartTriggerArgs``, whose module a DAG parse need not load."""

    trigger_cls: str
    next_method: str
    trigger_kwargs: dict[str, Any]
    timeout: timedelta
    next_kwargs: dict[str, Any] | None = None


def ends_in_triggerer(sensor: FlowSensor) -> bool:
    """Tell whether the sensor may succeed without a worker, if nobody listens."""
    return AIRFLOW_V_3_3_PLUS and not sensor.resume_on_worker and not end_needs_worker(sensor)


def starts_in_triggerer(sensor: FlowSensor) -> bool:
    """Tell whether Airflow starts the sensor in the triggerer."""
    return start_arguments(sensor) is not None


def start_arguments(sensor: FlowSensor) -> StartArguments | None:
    """Return what the sensor starts with in the triggerer; None where it starts on a worker."""
    if not AIRFLOW_V_3_3_PLUS or not sensor.deferrable or sensor.resume_on_worker:
        return None
    if getattr(sensor, "render_template_as_native_obj", None):
        # Its own setting goes before the DAG's; numbers are no text any more.
        return None
    if conf.getboolean("triggerer", "queues_enabled", fallback=False):
        # A start in the triggerer has no queue, so that perhaps no triggerer would take it.
        return None
    dag = sensor.get_dag()
    execution_id, conn_id = _template(sensor.run_id_argument, dag), _template(sensor.conn_id, dag)
    limit = time_limit(sensor)
    if execution_id is None or conn_id is None or not 0 < limit <= _LONGEST or start_needs_worker(sensor):
        return None
    # Airflow itself takes the shorter one where there is an execution_timeout.
    airflow_limit = min(float(sensor.timeout), _LONGEST) + _GRACE
    return StartArguments(
        trigger_cls=_TRIGGER,
        next_method="execute_complete",
        trigger_kwargs={
            "system": sensor.system,
            "conn_id": conn_id,
            "execution_id": execution_id,
            "time_limit": limit,
            "airflow_limit": min(airflow_limit, _execution_timeout(sensor) or airflow_limit),
            # Airflow serialises what is infinite as a text.
            "poll_interval": min(float(sensor.poke_interval), _LONGEST),
            "max_outage": min(float(sensor.max_outage), _LONGEST),
            "stop_for_person": sensor.on_user_input == "fail",
            "on_warning": sensor.on_warning,
            "ends_here": ends_in_triggerer(sensor),
            "terms": sensor.run_terms(),
            "schema_version": START_SCHEMA,
        },
        timeout=timedelta(seconds=airflow_limit),
    )


def _renders_alike(text: str, dag: DAG | None) -> bool:
    """Tell whether the triggerer, which knows nothing of the DAG's own Jinja, makes the same of a text."""
    if dag is not None and (dag.jinja_environment_kwargs or dag.render_template_as_native_obj):
        # Marks of other kinds; numbers that are no text any more.
        return False
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return True
    own = dag is not None and (
        dag.user_defined_macros or dag.user_defined_filters or dag.template_undefined is not StrictUndefined
    )
    return not own and _xcoms_are_airflows()


def _xcoms_are_airflows() -> bool:
    """Tell whether XComs come from Airflow itself; another backend may take long, and block all triggers."""
    return bool(conf.get("core", "xcom_backend", fallback=_XCOMS) == _XCOMS)


def time_limit(sensor: FlowSensor) -> float:
    """Return the seconds of an attempt; of a deferred task Airflow does not watch ``execution_timeout``."""
    timeout = float(sensor.timeout)
    limit = _execution_timeout(sensor)
    return timeout if limit is None else min(timeout, limit)


def _execution_timeout(sensor: FlowSensor) -> float | None:
    limit = sensor.execution_timeout
    return None if limit is None else limit.total_seconds()


def _template(argument: Any, dag: DAG | None) -> str | None:
    """Return an argument as text that is rendered in the triggerer; None where that cannot be."""
    if isinstance(argument, str):
        return argument if _renders_alike(argument, dag) else None
    if not isinstance(argument, PlainXComArg) or not _xcoms_are_airflows():
        return None
    task = argument.operator
    if task.is_mapped or task.get_closest_mapped_task_group() is not None:
        return None
    # Without the index the triggerer asks Airflow what it is never answered.
    return f"{{{{ ti.xcom_pull(task_ids={task.task_id!r}, key={argument.key!r}, map_indexes=-1) }}}}"
