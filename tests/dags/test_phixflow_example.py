"""The example DAG for PhixFlow, whole, against the embedded server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.airflow_versions import DagBag

from smartflows_provider.devserver.phixflow import PhixFlowSection

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "phixflow_actionflow.py"

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]


def test_the_example_runs_with_the_endpoints_that_the_devserver_has(
    smart_flows_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_PHIXFLOW_DEFAULT", smart_flows_server.section_connection_json(PhixFlowSection)
    )
    bag = DagBag(dag_folder=str(EXAMPLE))
    assert bag.import_errors == {}
    run = bag.dags["phixflow_actionflow"].test(run_conf={"region": "south"})
    assert run.state == "success"
    first, second = smart_flows_server.section(PhixFlowSection).calls
    assert (first.actionflow, first.query) == ("My API", {"Region": "south"})
    assert (second.actionflow, json.loads(second.body)) == ("Nightly", {"orders": "3"})
