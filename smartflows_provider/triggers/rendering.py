"""Rendering a template in the triggerer, or finding out that a worker has to do it.

The triggerer knows less than a worker: no macros and settings of the DAG's own, and some questions that a
template may ask of Airflow are never answered there. Invariant: what comes out is what a worker would have
made of the template, else :class:`NotRenderedError` is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.definitions._internal.templater import SandboxedEnvironment
from jinja2 import StrictUndefined


class NotRenderedError(Exception):
    """A template has to be rendered on a worker."""


def render(template: str, context: Mapping[str, Any]) -> str:
    """
    Render a template, on the event loop, as Airflow does.

    :param template: any text.
    :param context: of the task.
    :raises NotRenderedError: if an expression is no text, or an XCom is missing.
    :raises Exception: if Jinja or Airflow refuse the template for another reason.
    """
    environment = SandboxedEnvironment(cache_size=0, undefined=StrictUndefined, finalize=_text)
    task_instance = _TaskInstance(context["ti"])
    names = {**context, "ti": task_instance, "task_instance": task_instance}
    return str(environment.from_string(template).render(names))


def _text(value: Any) -> str:
    """Let nothing but text into what is rendered: the text of anything else may differ on a worker."""
    if isinstance(value, str):
        return value
    raise NotRenderedError("an expression is no text")


class _TaskInstance:
    """A task instance whose XComs are pulled in a way that the triggerer knows."""

    def __init__(self, task_instance: Any) -> None:
        self._task_instance = task_instance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task_instance, name)

    def xcom_pull(self, task_ids: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Pull an XCom of a task that is not mapped."""
        if not isinstance(task_ids, str):
            raise NotRenderedError("XComs are pulled of several tasks")
        kwargs.setdefault("map_indexes", -1)
        found = self._task_instance.xcom_pull(task_ids, *args, **kwargs)
        if found is None:
            raise NotRenderedError("an XCom is missing")
        return found
