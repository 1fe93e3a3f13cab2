"""One DAG for each row of the fault suite, from the descriptions that the suite has written beside it.

A task's process makes only the DAG it runs.
"""

from __future__ import annotations

import json
from pathlib import Path

from airflow.sdk import get_parsing_context
from factory import make_dag

wanted = get_parsing_context().dag_id
for row in json.loads(Path(__file__).with_name("rows.json").read_text(encoding="utf-8")):
    if wanted in {None, row["dag_id"]}:
        globals()[row["dag_id"]] = make_dag(row)
