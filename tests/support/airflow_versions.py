"""What tests need to know of the Airflow that they run on.

`make matrix` runs them on every minor version that is supported. What has moved between these is imported
from here, and a test of something that an older Airflow lacks carries one of the marks below, whose reason
says what happens there instead. No test asks for a version by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from airflow.sdk import Asset

from smartflows_provider import version_compat
from smartflows_provider.version_compat import Feature

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag
try:
    from airflow.sdk.exceptions import (
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferralError,
    )
except ImportError:  # Airflow 3.1
    from airflow.exceptions import (
        AirflowRescheduleException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferralError,
    )
try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:  # Airflow 3.1
    from airflow.serialization.serde import deserialize, serialize
try:
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime
except ImportError:  # Airflow 3.1
    from airflow.providers_manager import ProvidersManager as ProvidersManagerTaskRuntime
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # Airflow 3.1
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

__all__ = [
    "DAG_TEST_TELLS_EXCEPTIONS",
    "AirflowRescheduleException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "DagBag",
    "DagSerialization",
    "EventsByAsset",
    "ProvidersManagerTaskRuntime",
    "TaskDeferralError",
    "deserialize",
    "needs",
    "serialize",
    "skip_module_without",
    "skip_without",
]


def needs(feature: Feature) -> pytest.MarkDecorator:
    """Return the mark of tests that concern a feature which not every Airflow has."""
    return pytest.mark.skipif(not feature.available, reason=_reason(feature))


def skip_without(feature: Feature) -> None:
    """Skip the test that runs where its Airflow lacks a feature."""
    if not feature.available:
        pytest.skip(_reason(feature))


def skip_module_without(feature: Feature) -> None:
    """Skip the rest of a module that imports what an Airflow which lacks a feature has not."""
    if not feature.available:
        pytest.skip(_reason(feature), allow_module_level=True)


DAG_TEST_TELLS_EXCEPTIONS = version_compat.AIRFLOW_V_3_3_PLUS
"""Whether `dag.test()` gives a failed task's callbacks its exception, as workers do."""


class EventsByAsset:
    """The events that started a DAG run, by asset, as its tasks have them.

    Unlike a mapping it looks assets up by their names: before Airflow 3.2 they cannot be hashed.
    """

    def __init__(self, asset: Asset, events: Sequence[Any]) -> None:
        self._events = {asset.name: events}

    def __getitem__(self, asset: Asset) -> Sequence[Any]:
        """Return the events of an asset."""
        return self._events[asset.name]


def _reason(feature: Feature) -> str:
    return f"needs Airflow {feature.since}; before, {feature.before}"


needs_task_state = needs(version_compat.RE_ATTACHING)
needs_success_in_triggerer = needs(version_compat.SUCCESS_IN_TRIGGERER)
needs_start_in_triggerer = needs(version_compat.START_IN_TRIGGERER)
needs_trigger_on_kill = needs(version_compat.TRIGGER_ON_KILL)
needs_retry_policy = needs(version_compat.RETRY_POLICY)
needs_connection_forms = needs(version_compat.CONNECTION_FORMS)
needs_lenient_connections = pytest.mark.skipif(
    not version_compat.AIRFLOW_V_3_2_PLUS,
    reason="needs Airflow 3.2; before, Airflow itself reads no connection whose extra is no object",
)
needs_public_async_callback = pytest.mark.skipif(
    not version_compat.AIRFLOW_V_3_2_PLUS,
    reason="needs Airflow 3.2; before, AsyncCallback is imported from airflow.sdk.definitions.deadline",
)
needs_any_thread = pytest.mark.skipif(
    not version_compat.AIRFLOW_V_3_2_PLUS,
    reason="needs Airflow 3.2; before, a triggerer can ask Airflow only as long as its event loop runs",
)
