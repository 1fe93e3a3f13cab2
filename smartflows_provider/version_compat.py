"""The only place that asks which Airflow this is.

Features are gated by the version that brought them; everything else in the package reads these names.
"""

from __future__ import annotations

from airflow import __version__ as _airflow_version
from packaging.version import Version

_BASE = Version(Version(_airflow_version).base_version)

AIRFLOW_V_3_3_PLUS = Version("3.3") <= _BASE
"""
Task and asset state store, ``BaseTrigger.on_kill``, ``retry_policy=``, tasks with templates that start in the
triggerer, tasks that succeed there with XComs, and event triggers that are told when Airflow has their
events.
"""
