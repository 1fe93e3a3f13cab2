"""Two DAGs that start whenever an execution of a flow ends, well the one, in an error the other."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from smartflows_provider.triggers.smart_flows import SmartFlowsFinishedEventTrigger

LETTER = Asset(
    "letter",
    watchers=[
        AssetWatcher(name="letter", trigger=SmartFlowsFinishedEventTrigger(flow="Letter", poll_interval=1))
    ],
)
FAILURE = Asset(
    "failure",
    watchers=[
        AssetWatcher(
            name="failure",
            trigger=SmartFlowsFinishedEventTrigger(flow="Report", statuses=["Error"], poll_interval=1),
        )
    ],
)


@task
def read(triggering_asset_events: Any = None) -> list[Any]:
    return [event.extra["payload"] for events in triggering_asset_events.values() for event in events]


with DAG("on_letter", schedule=[LETTER]):
    read()

with DAG("on_failure", schedule=[FAILURE]):
    read()
