"""Rendering a template in the triggerer, or finding out that a worker has to do it.

The triggerer knows less than a worker: no macros and settings of the DAG's own, and some questions that a
template may ask of Airflow are never answered there. Invariant: what comes out is what a worker would have
made of the template, else :class:`NotRenderedError` is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

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
    names = {
        **context,
        **dict.fromkeys(_UNKNOWN_HERE, _Unknown()),
        "ti": task_instance,
        "task_instance": task_instance,
        "dag_run": _DagRun(context.get("dag_run")),
    }
    return str(environment.from_string(template).render(names))


def _text(value: Any) -> str:
    """Let nothing but text into what is rendered: that of enums, say, may differ on a worker."""
    if type(value) is str:
        return value
    raise NotRenderedError("an expression is no text")


_UNKNOWN_HERE = ("triggering_asset_events", "task_reschedule_count")
"""Names of a task's context that are always empty in the triggerer."""


class _Unknown:
    """What the triggerer does not know: whatever a template does with it, a worker has to render it."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise NotRenderedError("the triggerer does not know what a template asks for")

    __getattr__ = __getitem__ = __iter__ = __len__ = __bool__ = __str__ = __contains__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = None  # type: ignore[assignment]


class _DagRun:
    """A DAG run of which Airflow has told the triggerer only a part."""

    def __init__(self, dag_run: Any) -> None:
        self._dag_run = dag_run

    def __getattr__(self, name: str) -> Any:
        dag_run = self._dag_run
        told = getattr(dag_run, "model_fields_set", None)
        is_untold = told is not None and name in type(dag_run).model_fields and name not in told
        if is_untold or name == "consumed_asset_events":
            raise NotRenderedError(f"the triggerer is not told a DAG run's {name}")
        return getattr(dag_run, name)


class _TaskInstance:
    """A task instance whose XComs are pulled in a way that the triggerer knows."""

    def __init__(self, task_instance: Any) -> None:
        self._task_instance = task_instance

    def __getattr__(self, name: str) -> Any:
        if name == "max_tries":
            raise NotRenderedError("the triggerer does not know how often the task was cleared")
        return getattr(self._task_instance, name)

    def xcom_pull(self, task_ids: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Pull an XCom of a task that is not mapped."""
        if not isinstance(task_ids, str):
            raise NotRenderedError("XComs are pulled of several tasks")
        if "map_indexes" not in kwargs and (args or kwargs.keys() - {"key", "dag_id", "run_id"}):
            # Airflow answers these otherwise where an index is named, which it must be here.
            raise NotRenderedError("XComs are pulled with more than a key")
        kwargs.setdefault("map_indexes", -1)
        found = self._task_instance.xcom_pull(task_ids, *args, **kwargs)
        if found is None:
            raise NotRenderedError("an XCom is missing")
        return found
