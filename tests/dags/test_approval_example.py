"""The example DAG that asks a person, whole, against the embedded server; somebody answers in the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.models.hitl import HITLDetail
from airflow.utils.session import create_session
from support.airflow_versions import DagBag
from support.interruptions import once
from support.service import asked

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook

DAGS = Path(__file__).resolve().parents[2] / "example_dags"

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]


def test_a_person_decides_about_the_report(
    smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    smart_flows_server.load_flows(DAGS / "flows")
    smart_flows_server.configure(hold="ignored")
    monkeypatch.setenv("AIRFLOW_CONN_SMARTFLOWS_DEFAULT", smart_flows_server.connection_json())
    bag = DagBag(dag_folder=str(DAGS / "report_approval.py"))
    assert bag.import_errors == {}

    def in_the_wait_for_a_person() -> str | None:
        # Once until it asks, once to read the form, and then in the wait for whoever answers it.
        looks = asked(smart_flows_server, "GET", "/progress")
        execution = next(iter(smart_flows_server.executions()), None)
        asks = execution is not None and execution["status"] == "UserInput"
        return execution["id"] if execution is not None and asks and len(looks) >= 5 else None

    def answer(execution_id: str) -> None:
        with SmartFlowsHook() as hook:
            hook.answer_form(
                execution_id, {"approved": True, "way": "letter", "copies": 2, "remark": "Hello"}
            )

    with once(in_the_wait_for_a_person, answer):
        run: Any = bag.dags["report_approval"].test(run_conf={"remark": "Dear all"})
    assert str(run.state) == "success"
    returned = {one.task_id: one.xcom_pull(task_ids=one.task_id) for one in run.get_task_instances()}
    assert returned["announce"] == "Sent by letter."
    assert returned["approval"]["values"] == {
        "approved": True,
        "way": "letter",
        "copies": 2,
        "remark": "Hello",
    }
    with create_session() as session:
        (form,) = session.query(HITLDetail).all()
        assert form.subject == "Flow 'Report approval' asks for: Approval of the report"
        assert form.params["remark"]["value"] == "Dear all"
