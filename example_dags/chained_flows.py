"""Two flows in a row: the output of one passes an ETL task and becomes the input of the next.

Needs the connections `smartflows_default` and `flights_db` (SQLite), and the variable `reports_path`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from nyc_flights import MONTH_BY_CARRIER, load_flights

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

with DAG(
    dag_id="chained_flows",
    schedule=None,
    params={"month": Param(1, type="integer", minimum=1, maximum=12), "letters": Param(3, type="integer")},
    tags=["smart flows"],
    doc_md=__doc__,
):

    @task(task_id="load_flights")
    def load() -> int:
        """Load the public data set into the database."""
        return load_flights("flights_db")

    ranking = SmartFlowsRunFlowOperator(
        task_id="rank_carriers",
        flow="Carrier ranking",
        # Nothing in it comes from outside but the month, which Param holds to be a number.
        sql=f'SELECT "Code", "Name", "Flights", "MeanDelay" FROM ({MONTH_BY_CARRIER})',  # noqa: S608
        sql_conn_id="flights_db",
        root="CarrierRanking",
        row="Carrier",
        header={"Year": 2013, "Month": "{{ params.month }}"},
        xsd="flows/carrier_ranking/carrier_ranking.xsd",
        outputs={"ranking": "ranking", "year": "year", "month": "month"},
        deferrable=True,
    )

    @task(multiple_outputs=False)
    def most_punctual(manifest: dict, params: dict) -> dict:
        """Turn the first flow's ranking into the second flow's input."""
        values = manifest["values"]
        first = values["ranking"][: params["letters"]]
        return {
            "Year": values["year"],
            "Month": values["month"],
            "Carrier": [
                {"Rank": rank, "Name": one["Name"], "MeanDelay": one["MeanDelay"]}
                for rank, one in enumerate(first, start=1)
            ],
        }

    SmartFlowsRunFlowOperator(
        task_id="write_letter",
        flow="Carrier letter",
        data=most_punctual(ranking.output),
        root="CarrierLetter",
        xsd="flows/carrier_letter/carrier_letter.xsd",
        documents_path="{{ var.value.reports_path }}",
        deferrable=True,
    )

    load() >> ranking
