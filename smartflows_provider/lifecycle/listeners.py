"""Whether somebody listens to what tasks do: a plugin of the deployment, OpenLineage say.

Listeners are called by the task runner, so a task that is listened to belongs on a worker. Invariant: plugins
are loaded once in each process.
"""

from __future__ import annotations

import threading
from functools import cache

from airflow.sdk.listener import get_listener_manager

_HOOKS = ("on_task_instance_running", "on_task_instance_success")
_lock = threading.Lock()


def listened_to() -> bool:
    """Tell whether a listener follows tasks as they start and succeed; loads plugins the first time."""
    with _lock:
        return _found()


@cache
def _found() -> bool:
    hooks = get_listener_manager().hook
    return any(getattr(hooks, name).get_hookimpls() for name in _HOOKS)
