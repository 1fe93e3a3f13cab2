"""The only place that asks which Airflow this is, and what it brings along.

Features are gated by the version that brought them; everything else in the package reads these names.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from airflow import __version__ as _airflow_version
from packaging.version import Version

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_BASE = Version(Version(_airflow_version).base_version)

AIRFLOW_V_3_3_PLUS = Version("3.3") <= _BASE
"""
Task and asset state store, ``BaseTrigger.on_kill``, ``retry_policy=``, tasks with templates that start in the
triggerer, tasks that succeed there with XComs, and event triggers that are told when Airflow has their
events.
"""


@cache
def prepare_stats() -> None:
    """
    Have Airflow know where this process's metrics go.

    From 3.2 on the task SDK has metrics of its own. Airflow prepares them where a task runs, and elsewhere,
    in a triggerer say, as soon as it loads its serialisation; what they are told before is lost.
    """
    with suppress(ImportError):
        import_module("airflow.sdk.serde")


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
