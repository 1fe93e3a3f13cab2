"""A monthly report, made by a remote flow from rows of a database.

Needs the connections `smartflows_default` and `flights_db` (SQLite), and the variable `reports_path`.
"""

from __future__ import annotations

import logging

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from nyc_flights import MONTH_BY_CARRIER, load_flights

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

log = logging.getLogger(__name__)

with DAG(
    dag_id="scheduled_report",
    schedule=None,
    params={"month": Param(1, type="integer", minimum=1, maximum=12)},
    tags=["smart flows"],
    doc_md=__doc__,
):

    @task(task_id="load_flights")
    def load() -> int:
        """Load the public data set into the database."""
        return load_flights("flights_db")

    report = SmartFlowsRunFlowOperator(
        task_id="run_report",
        flow="Flight report",
        sql=MONTH_BY_CARRIER,
        sql_conn_id="flights_db",
        root="FlightReport",
        row="Carrier",
        header={"Year": 2013, "Month": "{{ params.month }}", "Reference": "{{ run_id }}"},
        xsd="flows/flight_report/flight_report.xsd",
        documents_path="{{ var.value.reports_path }}",
        deferrable=True,
    )

    @task
    def announce(manifest: dict) -> str:
        """Use the flow's values and the document that it made."""
        values, document = manifest["values"], manifest["documents"][0]
        with ObjectStoragePath(document["uri"]).open("rb") as pdf:
            pages = pdf.read().count(b"/Type /Page\n")
        line = (
            f"{values['month']}/{values['year']}: {values['flights']} flights, most by "
            f"{values['busiest_carrier']}: {document['name']}, {pages} pages"
        )
        log.info("%s", line)
        return line

    load() >> report
    announce(report.output)
