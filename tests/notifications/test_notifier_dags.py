"""The notifier in whole DAGs under ``dag.test()``: every callback of a task, and the DAG's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.airflow_versions import DAG_TEST_TELLS_EXCEPTIONS
from support.whole_dags import look_into, written_dag

from smartflows_provider.devserver.server import DevServer

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Event"><xs:complexType>
<xs:sequence><xs:any processContents="skip" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
</xs:complexType></xs:element></xs:schema>"""
DAG = """
from airflow.sdk import DAG, task

from smartflows_provider.notifications.smart_flows import SmartFlowsNotifier


def tells(kind, **more):
    data = {"Kind": kind, "Task": "{{ ti.task_id if ti is defined else '' }}", "Run": "{{ run_id }}", **more}
    return SmartFlowsNotifier(flow="Event", root="Event", data=data)


with DAG("notifies", schedule=None, on_failure_callback=tells("dag failed", Task="")):

    @task(
        on_execute_callback=tells("begun"),
        on_success_callback=[tells("done"), SmartFlowsNotifier(flow="No such")],
    )
    def works():
        return 1

    @task(on_failure_callback=tells("failed", Why="{{ exception | default('') }}"))
    def fails(value):
        raise ValueError("the shop is closed")

    fails(works())
"""


def test_callbacks_start_flows_and_change_nothing(
    server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add_flow(name="Event", start_from="program", xsd=XSD, steps=[])
    look_into(tmp_path, monkeypatch)
    run = written_dag(tmp_path, DAG).test()
    states = {one.task_id: str(one.state) for one in run.get_task_instances()}
    assert (str(run.state), states) == ("failed", {"works": "success", "fails": "failed"})
    inputs = [server.input_of(one["id"]).decode() for one in server.executions()]
    told = [text.partition("<Event>")[2].replace("\n", "") for text in inputs]
    why = "the shop is closed" if DAG_TEST_TELLS_EXCEPTIONS else ""
    assert told == [
        f"<Kind>begun</Kind><Task>works</Task><Run>{run.run_id}</Run></Event>",
        f"<Kind>done</Kind><Task>works</Task><Run>{run.run_id}</Run></Event>",
        f"<Kind>failed</Kind><Task>fails</Task><Run>{run.run_id}</Run><Why>{why}</Why></Event>",
        f"<Kind>dag failed</Kind><Task></Task><Run>{run.run_id}</Run></Event>",
    ]
