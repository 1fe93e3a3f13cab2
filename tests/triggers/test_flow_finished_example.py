"""The example DAG that a flow's end starts: its watcher, and what its tasks make of events, repeats among
them."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.airflow_versions import EventsByAsset
from support.service import panel_flow

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "flow_finished.py"


def test_the_example_reads_each_execution_that_has_ended_once(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    module = runpy.run_path(str(EXAMPLE))
    asset = module["LETTER"]
    (watcher,) = asset.watchers
    assert watcher.trigger.flow == "Carrier letter"
    started = hook.start(panel_flow(server, {"id": "broken", "kind": "fail", "message": "No ink"}).id)
    payload: dict[str, Any] = {
        "conn_id": "smartflows_default",
        "execution_id": started.execution_id,
        "status": "Error",
        "finished_at": "2026-11-24T08:00:00.000Z",
    }
    events = [SimpleNamespace(extra={"payload": dict(payload)}) for _ in range(2)]
    ended = module["ended"].function
    ended.__globals__["get_current_context"] = lambda: {
        "triggering_asset_events": EventsByAsset(asset, events)
    }
    assert ended() == [payload]
    told = module["tell"].function(payload)
    assert told == f"Letter {started.execution_id} ended in Error at 2026-11-24T08:00:00.000Z"
