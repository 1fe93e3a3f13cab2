"""Whether somebody listens to tasks, by the listeners that Airflow has loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.listeners import hookimpl
from airflow.sdk.listener import ListenerManager, get_listener_manager

from smartflows_provider.lifecycle import listeners
from smartflows_provider.lifecycle.listeners import listened_to


@pytest.fixture
def manager() -> Iterator[ListenerManager]:
    manager = get_listener_manager()
    listeners._found.cache_clear()
    yield manager
    manager.clear()
    listeners._found.cache_clear()


class FollowsSuccesses:
    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None: ...


class FollowsStarts:
    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None: ...


class FollowsProcesses:
    @hookimpl
    def on_starting(self, component: Any) -> None: ...


@pytest.mark.parametrize(
    ("listener", "expected"), [(FollowsSuccesses, True), (FollowsStarts, True), (FollowsProcesses, False)]
)
def test_only_who_follows_tasks_counts(manager: ListenerManager, listener: type[Any], expected: bool) -> None:
    assert not listened_to()
    manager.add_listener(listener())
    listeners._found.cache_clear()
    assert listened_to() is expected
