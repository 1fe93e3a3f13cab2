"""A deferred run and deferrable sensors under ``dag.test()``, which knows no end in the triggerer."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.service import panel_flow
from support.whole_dags import look_into, written_dag

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.version_compat import START_IN_TRIGGERER

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]

DAG = """
from airflow.sdk import DAG

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor

with DAG("waits", schedule=None):
    run = SmartFlowsRunFlowOperator(task_id="run", flow="Letter", deferrable=True, poll_interval=0.05)
    begun = SmartFlowsRunFlowOperator(task_id="begun", flow="Letter", wait_for_completion=False)
    waits = dict(deferrable=True, poke_interval=0.05, timeout=60)
    SmartFlowsExecutionSensor(task_id="by_reference", execution_id=begun.output["execution_id"], **waits)
    text = "{{ ti.xcom_pull('begun', key='execution_id') }}"
    begun >> SmartFlowsExecutionSensor(task_id="by_template", execution_id=text, **waits)
"""


def test_tasks_that_would_end_in_the_triggerer_end_in_dag_test_too(
    server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.configure(hold="ignored")
    panel_flow(server, {"kind": "work", "duration": 0.4}, {"kind": "output", "values": {"total": 7}})
    look_into(tmp_path, monkeypatch)
    dag = written_dag(tmp_path, DAG)
    assert dag.get_task("by_reference").start_from_trigger is START_IN_TRIGGERER.available
    run = dag.test()
    assert str(run.state) == "success"
    returned = {one.task_id: one.xcom_pull(task_ids=one.task_id) for one in run.get_task_instances()}
    assert returned["run"]["values"] == {"total": 7}
    assert returned["by_reference"] == returned["by_template"]
    assert returned["by_reference"]["execution_id"] == returned["begun"]["execution_id"]
    assert returned["by_reference"]["status"] == "Success"
