"""Removing what earlier attempts of a sensor have left.

Airflow removes a task's XComs where a worker starts it, but not where the triggerer does, nor where a worker
goes on after that. Invariants: what is removed is only what a sensor itself pushes; only a worker removes
something, since Airflow may run a trigger twice, and the second would take away what the first has brought.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.xcom import BaseXCom

from smartflows_provider.lifecycle.deferred_kill import TaskIdentity
from smartflows_provider.lifecycle.xcom_keys import EXECUTION_URL_KEY


def forget_earlier_attempts(task_instance: Any) -> bool:
    """
    Delete result and link of a sensor's earlier attempts; asks Airflow.

    :param task_instance: of a later attempt, or of a first one, which has none before it.
    :returns: whether there may have been any.
    """
    task = TaskIdentity.of(task_instance)
    if task is None or task_instance.try_number <= 1:
        return False
    for key in (BaseXCom.XCOM_RETURN_KEY, EXECUTION_URL_KEY):
        task.forget(key)
    return True
