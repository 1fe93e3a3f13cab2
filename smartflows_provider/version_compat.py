"""The only place that asks which Airflow this is, and what it brings along.

Features are gated by the version that brought them; everything else in the package reads these names.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow import __version__ as _airflow_version
from packaging.version import Version

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_BASE = Version(Version(_airflow_version).base_version)

AIRFLOW_V_3_3_PLUS = Version("3.3") <= _BASE
"""
Task state store, ``BaseTrigger.on_kill``, ``retry_policy=``, tasks with templates that start in the
triggerer, and tasks that succeed there with XComs.
"""

_TASK_STATS = "airflow.sdk._shared.observability.metrics.stats"
_CORE_STATS = "airflow._shared.observability.metrics.stats"


def airflow_stats() -> Any:
    """
    Return what takes Airflow's metrics in this process: ``incr``, ``gauge`` and ``timing``.

    From 3.2 on Airflow has two, one for tasks and one for its components, and prepares only that of the
    process: in a triggerer what the other is told is lost. 3.1 has one, which prepares itself.
    """
    try:
        for_tasks = import_module(_TASK_STATS)
    except ImportError:
        return import_module("airflow.stats").Stats
    of_core = sys.modules.get(_CORE_STATS)
    if of_core is not None and _is_prepared(of_core) and not _is_prepared(for_tasks):
        return of_core.Stats
    return for_tasks.Stats


def _is_prepared(module: Any) -> bool:
    """Tell whether Airflow has told a module where metrics go; 3.2 notes it in its class."""
    return (getattr(module, "_factory", None) or getattr(module.Stats, "factory", None)) is not None


def tracer(name: str) -> Tracer | None:
    """
    Return what makes spans, None where OpenTelemetry is not installed.

    Airflow (3.2 and later) tells OpenTelemetry where spans go; where nobody has, they go nowhere.

    :param name: who makes them.
    """
    try:
        from opentelemetry import trace  # noqa: PLC0415 - not needed to parse a DAG, and may be missing
    except ImportError:
        return None
    return trace.get_tracer(name)
