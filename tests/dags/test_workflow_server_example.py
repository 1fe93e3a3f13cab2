"""The example DAG for Workflow Server, whole, against the embedded server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.airflow_versions import DagBag

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "workflow_server_approval.py"

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]


def test_a_small_amount_is_approved_by_the_dag(
    smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = smart_flows_server.section(WorkflowServerSection)
    connection = smart_flows_server.section_connection_json(WorkflowServerSection)
    monkeypatch.setenv("AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT", connection)
    bag = DagBag(dag_folder=str(EXAMPLE))
    assert bag.import_errors == {}
    run: Any = bag.dags["workflow_server_approval"].test(run_conf={"amount": 99})
    assert str(run.state) == "success"
    returned = {
        one.task_id: one.xcom_pull(task_ids=one.task_id) for one in run.get_task_instances() if one.task_id
    }
    assert returned["announce"] == "The amount was approved."
    assert returned["request_approval"]["values"]["parameters"]["Amount"] == "99"
    (process_id,) = section.created
    assert returned["wait_for_decision"]["execution_id"] == process_id
    assert [(one.command, one.identity_id) for one in section.commands] == [("approve", "airflow")]
