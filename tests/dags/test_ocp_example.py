"""The example DAG for OCP flows, whole, against the embedded server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from support.airflow_versions import DagBag

from smartflows_provider.devserver.ocp import OcpSection

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "ocp_flows.py"

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]


def test_the_example_waits_for_the_flow_that_it_has_made_sure_of(
    smart_flows_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = smart_flows_server.section(OcpSection)
    monkeypatch.setenv("AIRFLOW_CONN_OCP_DEFAULT", smart_flows_server.section_connection_json(OcpSection))
    bag = DagBag(dag_folder=str(EXAMPLE))
    assert bag.import_errors == {}
    over = threading.Event()

    def start_flow() -> None:
        while not over.wait(0.05):
            if section.created:
                section.set_status(section.created[0], "started")
                return

    thread = threading.Thread(target=start_flow, daemon=True)
    thread.start()
    try:
        run = bag.dags["ocp_flows"].test(run_conf={"flow": "my_flow"})
    finally:
        over.set()
        thread.join()
    assert run.state == "success"
    (flow,) = section.flows()
    assert (flow["name"], flow["input_fields"]) == ("my_flow", ["order_number"])
    assert section.asked("GET", "/status/") != []
