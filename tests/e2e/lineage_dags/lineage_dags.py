"""A flow whose documents are assets, and DAGs that are scheduled by them."""

from __future__ import annotations

import os

from airflow.sdk import DAG, Asset, AssetAlias, task

from smartflows_provider.operators.smart_flows import (
    SmartFlowsDownloadDocumentsOperator,
    SmartFlowsRunFlowOperator,
)

REPORTS = os.environ["AIRFLOW_VAR_REPORTS_PATH"]
ROUTE = Asset("route_report")
PUBLISHED = AssetAlias("published")
DOCUMENT = Asset(f"{REPORTS}/documents/Route JFK-LAX.pdf")

with DAG("makes_documents", schedule=None):
    report = SmartFlowsRunFlowOperator(
        task_id="report",
        flow="Route report",
        rows="carriers.csv",
        root="RouteReport",
        row="Carrier",
        header={"Origin": "JFK", "Destination": "LAX"},
        documents_path=REPORTS,
        deferrable=True,
        outlets=[ROUTE],
    )
    report >> SmartFlowsDownloadDocumentsOperator(
        task_id="publish",
        document_ids="{{ ti.xcom_pull('report')['documents'][0]['id'] }}",
        documents_path=REPORTS,
        outlets=[PUBLISHED],
    )

for dag_id, asset in (
    ("follows_the_run", ROUTE),
    ("follows_the_document", DOCUMENT),
    ("follows_the_alias", PUBLISHED),
):
    with DAG(dag_id, schedule=[asset]):

        @task(multiple_outputs=False)
        def read(triggering_asset_events):
            """Return what the events carry, by the assets' names."""
            return {
                asset.name: [event.extra for event in events]
                for asset, events in triggering_asset_events.items()
                if isinstance(asset, Asset)
            }

        read()
