"""A DAG that starts whenever an execution of a flow ends, whoever has started it.

Needs the connection `smartflows_default`. Start `chained_flows`, or the flow "Carrier letter" by hand: a
minute later this DAG runs.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset, AssetWatcher, get_current_context, task

from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.triggers.smart_flows import SmartFlowsFinishedEventTrigger

LETTER = Asset(
    "carrier_letter_finished",
    watchers=[
        AssetWatcher(
            name="carrier_letter",
            trigger=SmartFlowsFinishedEventTrigger(
                flow="Carrier letter", statuses=["Success", "Warning", "Error"]
            ),
        )
    ],
)

with DAG(dag_id="flow_finished", schedule=[LETTER], tags=["smart flows"], doc_md=__doc__):

    @task
    def ended() -> list[dict]:
        """Return what has ended since the last run, each execution once."""
        events = get_current_context()["triggering_asset_events"][LETTER]
        payloads = [event.extra["payload"] for event in events]
        return list({(one["execution_id"], one["status"]): one for one in payloads}.values())

    @task
    def tell(one: dict) -> str:
        """Read an execution whose id an event has brought."""
        with SmartFlowsHook(one["conn_id"]) as hook:
            execution = hook.get_execution(one["execution_id"])
        return f"{execution.flow.name} {execution.id} ended in {execution.status} at {one['finished_at']}"

    tell.expand(one=ended())
