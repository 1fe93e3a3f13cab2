"""Whether somebody listens to what tasks do: a plugin of the deployment, OpenLineage say.

Listeners are called by the task runner, so a task that is listened to belongs on a worker. Invariant: plugins
are loaded once in each process.
"""

from __future__ import annotations

import threading
from functools import cache

from smartflows_provider.version_compat import AIRFLOW_V_3_3_PLUS

_HOOKS = ("on_task_instance_running", "on_task_instance_success")
_lock = threading.Lock()


def listened_to() -> bool:
    """
    Tell whether a listener follows tasks as they start and succeed; loads plugins the first time.

    Before Airflow 3.3, where every task has its workers, nobody is looked for.
    """
    if not AIRFLOW_V_3_3_PLUS:
        return False
    with _lock:
        return _found()


@cache
def _found() -> bool:
    from airflow.sdk.listener import get_listener_manager  # noqa: PLC0415 - only from Airflow 3.3 on

    hooks = get_listener_manager().hook
    return any(getattr(hooks, name).get_hookimpls() for name in _HOOKS)
