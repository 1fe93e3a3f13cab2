"""SmartFlowsRunFlowOperator against the embedded server, the same cases waiting on a worker and deferred."""

from __future__ import annotations

from typing import Any

import pytest
from support.tasks import MODES, Attempt, run_task

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Order"><xs:complexType>
<xs:sequence><xs:element name="Customer" type="xs:string"/><xs:element name="Total" type="xs:decimal"/>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""


@pytest.fixture(autouse=True)
def connection(smart_flows_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMARTFLOWS_DEFAULT", smart_flows_server.connection_json())


@pytest.fixture
def order_flow(smart_flows_server: Any) -> Any:
    return smart_flows_server.add_flow(
        name="Order letter",
        start_from="program",
        xsd=XSD,
        steps=[
            {"id": "a", "kind": "work", "message": "Reading", "duration": 0.3},
            {
                "id": "b",
                "kind": "output",
                "values": {"customer": "{{ data.Customer }}", "total": "{{ data.Total }}"},
            },
        ],
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_flow_runs_to_its_manifest(order_flow: Any, smart_flows_server: Any, mode: str) -> None:
    attempt = Attempt()
    operator = SmartFlowsRunFlowOperator(
        task_id="t",
        flow="Order letter",
        data={"Customer": "Ada & Co", "Total": 12.5},
        root="Order",
        deferrable=mode == "deferrable",
    )
    manifest = run_task(operator, attempt)
    (execution,) = smart_flows_server.executions()
    assert manifest["values"] == {"customer": "Ada & Co", "total": 12.5}
    assert manifest["execution_id"] == execution["id"] == attempt.xcoms["execution_id"]
    assert manifest["status"] == "Success"
    assert manifest["flow"] == {"id": order_flow.id, "name": "Order letter"}
    assert len(attempt.deferrals) == (mode == "deferrable")
