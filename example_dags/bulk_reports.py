"""Reports by the hundred: one query, one run of a flow for each of its routes, one index of the documents.

Needs the connections `smartflows_default` and `flights_db` (SQLite), and the variable `reports_path`.

The flow server is not flooded: `max_active_tis_per_dag` is the most runs that are under way at a time, and
deferred tasks count (Airflow 3.2 and later; on 3.1 give the task a pool that includes deferred slots). A
mapped task that fails is retried by itself and attaches to its own run; the others go on, and the index is
written when all are done. Each document is an asset of the alias `route_reports`; the index is one as a
whole, which a DAG can be scheduled by.
"""

from __future__ import annotations

import csv
import hashlib
from contextlib import closing
from itertools import groupby

from airflow.sdk import DAG, Asset, AssetAlias, BaseHook, ObjectStoragePath, Param, Variable, task
from nyc_flights import CARRIERS_BY_ROUTE, load_flights

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

INDEX = Asset("route_report_index")

with DAG(
    dag_id="bulk_reports",
    schedule=None,
    params={"reports": Param(200, type="integer", minimum=1, maximum=224)},
    tags=["smart flows"],
    doc_md=__doc__,
):

    @task(task_id="load_flights")
    def load() -> int:
        """Load the public data set into the database."""
        return load_flights("flights_db")

    @task
    def routes(params: dict) -> list[dict]:
        """Return the input of each report: a route with the carriers that fly it."""
        hook = BaseHook.get_connection("flights_db").get_hook()
        with closing(hook.get_conn()) as connection:
            rows = connection.execute(CARRIERS_BY_ROUTE, (params["reports"],)).fetchall()
        return [
            {
                "Origin": origin,
                "Destination": destination,
                "Carrier": [
                    {"Name": name, "Flights": flights, "MeanDelay": delay}
                    for _, _, name, flights, delay in carriers
                ],
            }
            for (origin, destination), carriers in groupby(rows, key=lambda row: row[:2])
        ]

    found = routes()
    reports = SmartFlowsRunFlowOperator.partial(
        task_id="report",
        flow="Route report",
        root="RouteReport",
        xsd="flows/route_report/route_report.xsd",
        documents_path="{{ var.value.reports_path }}/routes",
        deferrable=True,
        retries=2,
        max_active_tis_per_dag=16,
        map_index_template="{{ task.data['Origin'] }}-{{ task.data['Destination'] }}",
        outlets=[AssetAlias("route_reports")],
    ).expand(data=found)

    @task(outlets=[INDEX])
    def index(manifests: list[dict], run_id: str, outlet_events: dict) -> str:
        """Look at every document, and list them in a CSV file."""
        rows = [
            {
                "route": manifest["values"]["route"],
                "flights": manifest["values"]["flights"],
                "execution_id": manifest["execution_id"],
                **{key: document[key] for key in ("size", "sha256", "uri")},
            }
            for manifest in manifests
            for document in manifest["documents"]
        ]
        for row in rows:
            with ObjectStoragePath(row["uri"]).open("rb") as pdf:
                if hashlib.sha256(pdf.read()).hexdigest() != row["sha256"]:
                    raise ValueError(f"{row['uri']} is not the document that the flow has made.")
        path = ObjectStoragePath(Variable.get("reports_path")) / "routes" / f"index {run_id}.csv"
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        outlet_events[INDEX].extra = {"uri": str(path), "documents": len(rows)}
        return str(path)

    load() >> found
    index(reports.output)
