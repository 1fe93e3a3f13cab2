"""The demo's flow server answers for every system, as the example DAGs expect."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from smartflows_provider.demo.flow_server import FlowServer
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.lifecycle.systems import hook_for

FLOWS = Path(__file__).resolve().parents[2] / "example_dags" / "flows"


def test_the_default_connection_of_every_system_leads_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems = [one["connection-type"] for one in get_provider_info()["connection-types"]]
    with ProcessTree(logs=tmp_path) as processes:
        flows = FlowServer(processes, flows=FLOWS, state=tmp_path / "state.db")
        connections = {"AIRFLOW_CONN_SMARTFLOWS_DEFAULT": flows.connection(), **flows.section_connections()}
        for variable, text in connections.items():
            monkeypatch.setenv(variable, text)
        flows.start()
        deadline = time.monotonic() + 120
        while not flows.is_up():
            processes.require_running()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(systems) == len(connections) == 4
        for system in systems:
            with hook_for(system, f"{system}_default") as hook:
                ok, message = hook.test_connection()
                assert ok, message
