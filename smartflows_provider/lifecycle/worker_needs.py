"""Which parts of a task only a worker does, so that a task that has them is given to one.

Airflow can start a task in the triggerer and let it succeed there; then it leaves out what its task runner
does around ``execute``. Invariants: decisions on the task's own attributes, made when a DAG is parsed and
again when a task runs; what an author may have changed counts as changed.
"""

from __future__ import annotations

from typing import Any, Final

from airflow.providers.common.compat.sdk import BaseOperator
from airflow.sdk.definitions.param import ParamsDict

_OURS: Final = "smartflows_provider."
_DEFAULT_POOL: Final = "default_pool"
_TOLD: Final = frozenset({"operator_extra_links", "overwrite_rtif_after_execution", "template_fields"})
"""What is no method, and yet tells the task runner what to do."""


def start_needs_worker(task: BaseOperator) -> bool:
    """
    Tell whether a task must be started on a worker.

    Airflow starts a task in the triggerer without its hooks and callbacks, asks no pool or limit first, and
    does not look whether its assets are active.

    :param task: as its author has made it.
    """
    return (
        bool(task.inlets)
        or bool(task.on_execute_callback)
        or _has_hook(task, "pre_execute")
        or task.pool != _DEFAULT_POOL
        or task.max_active_tis_per_dag is not None
        or task.max_active_tis_per_dagrun is not None
        or task.get_closest_mapped_task_group() is not None
        or _has_param_to_check(task)
        or _is_changed(task)
    )


def end_needs_worker(task: BaseOperator) -> bool:
    """
    Tell whether a worker must be there when a task succeeds.

    A success that is told by a trigger brings no asset events, calls nothing of the author's, and pushes no
    XCom other than those of the trigger.

    :param task: as its author has made it.
    """
    return (
        bool(task.outlets)
        or bool(task.on_success_callback)
        or _has_hook(task, "post_execute")
        or task.multiple_outputs
        or not task.do_xcom_push
        or task.map_index_template is not None
        or bool(getattr(task, "returns_dag_result", False))
        or (task.get_dag() is not None and next(iter(task.iter_mapped_dependants()), None) is not None)
        or _is_changed(task)
    )


def _has_hook(task: BaseOperator, name: str) -> bool:
    """Tell whether something runs before or after ``execute``: an argument, or a method of a subclass."""
    given = getattr(task, f"_{name}_hook", None) is not None
    return given or getattr(getattr(task, name), "__func__", None) is not getattr(BaseOperator, name)


def _has_param_to_check(task: BaseOperator) -> bool:
    """
    Tell whether a value of a param, the task's or its DAG's, can be refused.

    Airflow checks them before it starts a task; in the triggerer a refusal ends the whole process.
    """
    params = ParamsDict(task.params)
    return any(params.get_param(name).schema or not params.get_param(name).has_value for name in params)


def _is_changed(task: BaseOperator) -> bool:
    """Tell whether the author replaces a method or property of the package's class, or what it tells."""
    if any(callable(getattr(type(task), name, None)) for name in vars(task)):
        return True
    changed: dict[str, Any] = {}
    for one in type(task).__mro__:
        if one.__module__.startswith(_OURS):
            return any(hasattr(one, name) for name in changed)
        changed |= {
            name: value
            for name, value in vars(one).items()
            if (name in _TOLD or callable(value) or hasattr(type(value), "__get__"))
            and not name.startswith("__")
        }
    return True
