"""What of a task needs a worker at its start or its end, by what its author has made of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator, Param, task_group

from smartflows_provider.lifecycle.worker_needs import end_needs_worker, start_needs_worker
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor


def nothing(*_: Any) -> None:
    """Stands for something of the author's."""


class Presets(SmartFlowsRunFlowOperator):
    """Changes arguments and colours only."""

    ui_color = "#fff"

    def __init__(self, **arguments: Any) -> None:
        super().__init__(flow="Letter", **arguments)


class Judges(SmartFlowsRunFlowOperator):
    def execute_complete(self, context: Any, event: Any = None) -> Any:
        return {**super().execute_complete(context, event), "judged": True}


class OtherHook(SmartFlowsRunFlowOperator):
    @property
    def hook(self) -> Any:
        raise NotImplementedError


class Before(SmartFlowsRunFlowOperator):
    def pre_execute(self, context: Any) -> None: ...


class After(SmartFlowsRunFlowOperator):
    def post_execute(self, context: Any, result: Any = None) -> None: ...


class HandedOver(SmartFlowsRunFlowOperator):
    execute_complete = partial(print)


class OtherLinks(SmartFlowsRunFlowOperator):
    operator_extra_links = ()


class ShowsRendered(SmartFlowsRunFlowOperator):
    overwrite_rtif_after_execution = True


class OtherTemplates(SmartFlowsRunFlowOperator):
    template_fields = ()


def needs(make: type[BaseOperator] = SmartFlowsRunFlowOperator, **arguments: Any) -> tuple[bool, bool]:
    """Return whether start and end of a task need a worker."""
    task = make(task_id="t", **arguments)
    return start_needs_worker(task), end_needs_worker(task)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (False, False)),
        ({"retries": 3, "on_failure_callback": nothing, "on_retry_callback": nothing}, (False, False)),
        ({"make": Presets}, (False, False)),
        ({"make": Judges}, (True, True)),
        ({"make": OtherHook}, (True, True)),
        ({"make": HandedOver}, (True, True)),
        ({"make": OtherLinks}, (True, True)),
        ({"make": ShowsRendered}, (True, True)),
        ({"make": OtherTemplates}, (True, True)),
        ({"make": Before}, (True, True)),
        ({"make": After}, (True, True)),
        ({"pre_execute": nothing}, (True, False)),
        ({"post_execute": nothing}, (False, True)),
        ({"on_execute_callback": nothing}, (True, False)),
        ({"on_success_callback": nothing}, (False, True)),
        ({"on_success_callback": [nothing]}, (False, True)),
        ({"inlets": [Asset("orders")]}, (True, False)),
        ({"outlets": [Asset("report")]}, (False, True)),
        ({"multiple_outputs": True}, (False, True)),
        ({"do_xcom_push": False}, (False, True)),
        ({"map_index_template": "{{ task.task_id }}"}, (False, True)),
        ({"params": {"n": 3}}, (False, False)),
        ({"params": {"n": Param(type="integer")}}, (True, False)),
        ({"params": {"n": Param(3, type="integer")}}, (True, False)),
        ({"params": {"n": Param()}}, (True, False)),
        ({"pool": "narrow"}, (True, False)),
        ({"max_active_tis_per_dag": 3}, (True, False)),
        ({"max_active_tis_per_dagrun": 3}, (True, False)),
    ],
)
def test_what_only_the_task_runner_does_needs_a_worker(
    arguments: dict[str, Any], expected: tuple[bool, bool]
) -> None:
    assert needs(**arguments) == expected


def test_an_operator_of_another_package_is_not_judged() -> None:
    assert needs(BaseOperator) == (True, True)


def test_a_callback_that_a_policy_adds_later_counts() -> None:
    task = SmartFlowsRunFlowOperator(task_id="t")
    task.on_success_callback = nothing
    assert end_needs_worker(task)


@pytest.mark.parametrize("name", ["pre_execute", "execute", "post_execute", "execute_complete"])
def test_a_method_that_is_replaced_on_the_task_itself_counts(name: str) -> None:
    task = SmartFlowsRunFlowOperator(task_id="t")
    setattr(task, name, nothing)
    assert (start_needs_worker(task), end_needs_worker(task)) == (True, True)


def test_what_a_task_works_out_for_itself_is_no_change() -> None:
    task = SmartFlowsRunFlowOperator(task_id="t")
    assert task.hook is task.hook
    assert not start_needs_worker(task)
    assert not end_needs_worker(task)


def test_params_of_the_dag_are_the_tasks_too() -> None:
    with DAG("d", schedule=None, params={"n": Param(type="integer")}):
        task = SmartFlowsRunFlowOperator(task_id="t")
    assert start_needs_worker(task)
    assert not end_needs_worker(task)


def test_a_task_that_others_are_mapped_over_needs_a_worker_at_its_end() -> None:
    with DAG("d", schedule=None):
        run, other = (SmartFlowsRunFlowOperator(task_id=name) for name in ("run", "other"))
        SmartFlowsExecutionSensor.partial(task_id="sensor").expand(execution_id=run.output)
    assert end_needs_worker(run)
    assert not end_needs_worker(other)


def test_a_task_in_a_mapped_group_is_started_on_a_worker() -> None:
    with DAG("d", schedule=None) as dag:

        @task_group
        def group(flow: str) -> None:
            SmartFlowsExecutionSensor(task_id="inside", execution_id=flow)

        group.expand(flow=["a", "b"])
    assert start_needs_worker(dag.task_dict["group.inside"])
