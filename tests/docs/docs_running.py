"""Runs the Python of a page as its reader would: as a DAG file whose tasks are executed, or as a script.

An example that is only a part of a DAG file is run inside a DAG, with the names of `NAMES`.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from airflow.sdk import DAG, Asset, task
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.sdk.definitions.mappedoperator import MappedOperator
from support.tasks import Attempt, run_task

from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.operators import smart_flows as operators
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor

NAMES = {
    **{name: one for name, one in vars(operators).items() if name.startswith("SmartFlows")},
    "SmartFlowsExecutionSensor": SmartFlowsExecutionSensor,
    "SmartFlowsHook": SmartFlowsHook,
    "DAG": DAG,
    "task": task,
    "date": date,
    "Decimal": Decimal,
    "closing": closing,
    "sqlite3": sqlite3,
}
"""What a part of a DAG file may name without importing it."""
PARAMS = {"least": 2, "items": ["pen", "ink"], "day": date(2026, 2, 28), "copies": 2, "remark": "soon"}
"""What the examples of a part read from `params`."""

ENDED = {"execution_id": "e1", "status": "Success"}
"""What a watcher's event tells, as far as examples read it."""

MAPPED = 3
"""Of a mapped task so many instances are run: the first ones."""
RUN = {"run_id": "manual__1", "ds": "2026-02-28", "logical_date": datetime(2026, 2, 28, tzinfo=UTC)}
"""What templates read of the DAG run."""


@dataclass
class DagAttempt(Attempt):
    """The surroundings of one task among the others of its DAG."""

    returned: Mapping[str, Any] = field(default_factory=dict)
    """XComs of the tasks before, by task and key."""

    def _pull(self, task_ids: str, key: str = "return_value", **_: Any) -> Any:
        return self.returned[task_ids].get(key)


class InOrder(list[Any]):
    """The DAGs of a file in the order in which they are closed; Airflow's own set has none."""

    def add(self, one: Any) -> None:
        self.append(one)


def dags_of(code: str, file: Path) -> list[DAG]:
    """Execute code as the DAG file at a place, and return its DAGs; those without tasks are none."""
    module = ModuleType(file.stem)
    if "import" not in code:
        vars(module).update(NAMES)
    registered = InOrder()
    with (
        patch.dict(sys.modules, {file.stem: module}),
        patch.object(DagContext, "autoregistered_dags", registered),
        patch.object(DagContext, "current_autoregister_module_name", file.stem),
        DAG("page", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as around,
    ):
        around.fileloc = str(file)
        exec(compile(code, str(file), "exec"), vars(module))
    return [dag for dag, _ in registered if dag.tasks]


def run_dag(dag: DAG, events: dict[Asset, list[Any]], conf: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """
    Execute the tasks of a DAG one after the other, and return their XComs.

    :param conf: what the run is triggered with.
    :param events: of assets, by the DAGs before; those of this one are added.
    """
    dag.check_cycle()
    for asset in _watched(dag):
        events.setdefault(asset, [SimpleNamespace(extra={"payload": ENDED})])
    returned: dict[str, dict[str, Any]] = {}
    for each in dag.topological_sort():
        one: Any = each
        attempt = DagAttempt(returned=returned)
        params = {**PARAMS, **dag.params.dump(), **conf}
        attempt.more = {"params": params, "triggering_asset_events": events, "dag": dag, **RUN}
        if isinstance(one, MappedOperator):
            results = [_execute(one.unmap(values), attempt) for values in _mapped(one, attempt)]
            returned[one.task_id] = {"return_value": results}
        else:
            result = _execute(one, attempt)
            returned[one.task_id] = {**attempt.xcoms, "return_value": result}
        for outlet in one.outlets:
            if isinstance(outlet, Asset):
                event = SimpleNamespace(extra=attempt.outlet_events[outlet].extra)
                events.setdefault(outlet, []).append(event)
    return returned


def _watched(dag: DAG) -> list[Asset]:
    """Return the assets with watchers by which a DAG is scheduled."""
    assets = getattr(getattr(dag.timetable, "asset_condition", None), "objects", ())
    return [one for one in assets if isinstance(one, Asset) and one.watchers]


def _execute(operator: Any, attempt: Attempt) -> Any:
    ready = operator.prepare_for_execution()
    ready.render_template_fields(attempt.context())
    return run_task(ready, attempt)


def _mapped(operator: MappedOperator, attempt: Attempt) -> Iterator[dict[str, Any]]:
    """Return the arguments of each instance of a task that is mapped over one argument."""
    given = operator._get_specified_expand_input().value
    is_list = isinstance(given, Mapping)
    ((name, values),) = given.items() if is_list else ((None, given),)
    if hasattr(values, "resolve"):
        values = values.resolve(attempt.context())
    for value in islice(values, MAPPED):
        arguments = {name: value} if name else dict(value)
        of_function = operator._expand_input_attr == "op_kwargs_expand_input"
        yield {"op_kwargs": arguments} if of_function else arguments
