"""An instance's id follows from the task instance, and is no other one's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from smartflows_provider.operators.workflow_process_id import process_id_of

BEGAN = datetime(2026, 3, 1, 6, 0, 0, 123456, UTC)


def context_of(**more: Any) -> dict[str, Any]:
    dag_run = {"clear_number": more.pop("clear_number", 0), "start_date": more.pop("start_date", BEGAN)}
    task_instance = {
        "dag_id": "orders",
        "task_id": "approve",
        "run_id": "scheduled__2026-03-01",
        "map_index": -1,
        "max_tries": 2,
        "try_number": 1,
        **more,
    }
    return {"ti": SimpleNamespace(**task_instance), "dag_run": SimpleNamespace(**dag_run)}


def test_the_attempts_of_a_task_instance_have_the_same_ids() -> None:
    first = process_id_of(context_of())
    assert str(UUID(first)) == first
    assert process_id_of(context_of(try_number=2)) == first
    assert process_id_of(context_of(), number=0) == first


def test_a_clear_of_another_task_of_the_dag_run_changes_no_id() -> None:
    assert process_id_of(context_of(clear_number=1)) == process_id_of(context_of())


@pytest.mark.parametrize(
    "more",
    [
        {"dag_id": "others"},
        {"task_id": "reject"},
        {"run_id": "manual__1"},
        {"map_index": 0},
        {"max_tries": 3},
        {"start_date": BEGAN + timedelta(microseconds=1)},
        {"region_id": uuid4(), "region_index": 0},
    ],
)
def test_whatever_tells_task_instances_apart_tells_their_ids_apart(more: dict[str, Any]) -> None:
    assert process_id_of(context_of(**more)) != process_id_of(context_of())


def test_each_instance_of_a_task_and_each_iteration_of_a_loop_has_an_id_of_its_own() -> None:
    region = uuid4()
    ids = {process_id_of(context_of(region_id=region, region_index=index)) for index in range(3)}
    ids |= {process_id_of(context_of(), number=number) for number in range(3)}
    assert len(ids) == 6


def test_an_airflow_without_loops_and_one_with_them_make_the_same_id() -> None:
    outside = context_of(region_id=UUID(int=0), region_index=-1)
    assert process_id_of(outside) == process_id_of(context_of())
    assert process_id_of(context_of(map_index=None)) == process_id_of(context_of())


def test_names_cannot_be_put_together_to_another_instances_id() -> None:
    one = process_id_of(context_of(dag_id='a", "task": "b', task_id="c"))
    assert one != process_id_of(context_of(dag_id="a", task_id='b", "task": "c'))
