"""Smart Flows and its neighbours as dependable steps of an Apache Airflow DAG.

This package module stays empty of imports but for the version, because Airflow imports it in every
process and at every DAG parse.
"""

from __future__ import annotations

__version__ = "0.1.0"
