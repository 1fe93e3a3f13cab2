"""Runs an example DAG in a process of its own, as some of Airflow's settings count from the start."""

from __future__ import annotations

import json
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"


def main() -> None:
    from airflow.dag_processing.dagbag import DagBag

    dag_id, conf = sys.argv[1], json.loads(sys.argv[2])
    sys.path.insert(0, str(EXAMPLES))
    run = DagBag(dag_folder=str(EXAMPLES / f"{dag_id}.py")).dags[dag_id].test(run_conf=conf)
    returned = {one.task_id: one.xcom_pull(task_ids=one.task_id) for one in run.get_task_instances()}
    sys.stdout.write("\nRESULT" + json.dumps({"state": str(run.state), "returned": returned}))


if __name__ == "__main__":
    main()
