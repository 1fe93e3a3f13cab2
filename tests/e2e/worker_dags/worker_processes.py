"""Deferred runs and sensors whose worker processes are counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor

RUNS = 3
LIMIT = 60
"""Seconds that a sensor may wait: more than all tasks need to begin."""


def run_flow(task_id: str, flow: str = "Quick", **arguments: Any) -> SmartFlowsRunFlowOperator:
    return SmartFlowsRunFlowOperator(
        task_id=task_id, flow=flow, deferrable=True, poll_interval=1.0, **arguments
    )


def sensor(task_id: str, execution_id: Any, **arguments: Any) -> SmartFlowsExecutionSensor:
    return SmartFlowsExecutionSensor(
        task_id=task_id,
        execution_id=execution_id,
        deferrable=True,
        poke_interval=1.0,
        **{"timeout": 600, **arguments},
    )


def marks_a_callback(context: Any) -> None:
    context["ti"].xcom_push(key="called_back", value=True)


def execution_of(ti: Any) -> str:
    return str(ti.xcom_pull("start", key="execution_id"))


@task
def read(*found: Any) -> list[str]:
    """Return the types of what was handed over, and what it holds."""
    return [f"{type(one).__name__}: {one['status']}" for one in found]


with DAG("runs", schedule=None):
    runs = [run_flow(f"run_{number}") for number in range(RUNS)]
    mapped = SmartFlowsRunFlowOperator.partial(task_id="mapped", deferrable=True, poll_interval=1.0).expand(
        flow=["Quick"] * 2
    )
    kept = run_flow("resumed", resume_on_worker=True)
    called = run_flow("called_back", on_success_callback=marks_a_callback)
    read(runs[0].output, kept.output)

with DAG("sensors", schedule=None):
    started = run_flow("start", wait_for_completion=False)
    by_reference = sensor("by_reference", started.output["execution_id"])
    by_text = sensor("by_text", f"{started.output['execution_id']}")
    by_text.set_upstream(started)
    by_template = sensor("by_template", "{{ ti.xcom_pull('start')['execution_id'] }}")
    by_template.set_upstream(started)
    by_conf = sensor("by_conf", "{{ dag_run.conf['execution_id'] }}")
    resumed = sensor("resumed", started.output["execution_id"], resume_on_worker=True)
    seen = read(by_reference.output, by_text.output, by_template.output, by_conf.output, resumed.output)
    over = sensor("over", started.output["execution_id"])
    over.set_upstream(seen)

with DAG("fall_backs", schedule=None, user_defined_macros={"execution_of": execution_of}):
    begun = run_flow("start", wait_for_completion=False)
    missing = sensor("missing", "{{ ti.xcom_pull('nobody') }}")
    missing.set_upstream(begun)
    many = sensor("many", "{{ ti.xcom_pull(['start', 'start'], key='execution_id')[0] }}")
    many.set_upstream(begun)
    macro = sensor("macro", "{{ execution_of(ti) }}")
    macro.set_upstream(begun)
    counted = sensor("counted", begun.output["execution_id"], max_active_tis_per_dag=4)
    fails = run_flow("start_failing", "Fails", wait_for_completion=False)
    failing = sensor("failing", fails.output["execution_id"])
    skipped = sensor("skipped", fails.output["execution_id"], soft_fail=True)
    failing_run = run_flow("failing_run", "Fails")

with DAG("slow", schedule=None):
    slow = run_flow("slow", "Slow")
    beginning = run_flow("start", "Slow", wait_for_completion=False)
    watching = sensor("watching", beginning.output["execution_id"])
    # The limits pass while a killed triggerer's work waits for the next one, however slow the machine is.
    ended = run_flow("ended_by_a_person", "Endless")
    endless = run_flow("start_endless", "Endless", wait_for_completion=False)
    timed_out = sensor("timed_out", endless.output["execution_id"], timeout=LIMIT)
    limited = sensor("limited", endless.output["execution_id"], execution_timeout=timedelta(seconds=LIMIT))
