"""Whether somebody listens to tasks, by the listeners that Airflow has loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.listeners import hookimpl
from support.airflow_versions import needs_success_in_triggerer

from smartflows_provider.lifecycle import listeners
from smartflows_provider.lifecycle.listeners import listened_to
from smartflows_provider.version_compat import SUCCESS_IN_TRIGGERER

if SUCCESS_IN_TRIGGERER.available:
    from airflow.sdk.listener import ListenerManager, get_listener_manager


@pytest.fixture
def manager() -> Iterator[ListenerManager]:
    manager = get_listener_manager()
    listeners._found.cache_clear()
    yield manager
    manager.clear()
    listeners._found.cache_clear()


def test_an_airflow_before_3_3_has_nobody_who_listens_and_no_such_modules() -> None:
    program = """
import sys
import airflow
airflow.__version__ = "3.1.0"
import airflow.sdk, airflow.providers.common.compat.sdk
import airflow.exceptions, airflow.sdk.exceptions
if hasattr(airflow.sdk.exceptions, "TaskDeferralError"):
    airflow.exceptions.TaskDeferralError = airflow.sdk.exceptions.TaskDeferralError
    del airflow.sdk.exceptions.TaskDeferralError
sys.modules["airflow.sdk.listener"] = None
import smartflows_provider.lifecycle.listeners as listeners
import smartflows_provider.operators.smart_flows
assert not listeners.listened_to()
print("seen")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["seen"], done.stderr


class FollowsSuccesses:
    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None: ...


class FollowsStarts:
    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None: ...


class FollowsProcesses:
    @hookimpl
    def on_starting(self, component: Any) -> None: ...


@needs_success_in_triggerer
@pytest.mark.parametrize(
    ("listener", "expected"), [(FollowsSuccesses, True), (FollowsStarts, True), (FollowsProcesses, False)]
)
def test_only_who_follows_tasks_counts(manager: ListenerManager, listener: type[Any], expected: bool) -> None:
    assert not listened_to()
    manager.add_listener(listener())
    listeners._found.cache_clear()
    assert listened_to() is expected
