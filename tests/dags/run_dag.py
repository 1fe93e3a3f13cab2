"""Runs a DAG in a process of its own, as some of Airflow's settings count from the start."""

from __future__ import annotations

import json
import sys


def main() -> None:
    from support.airflow_versions import DagBag

    file, dag_id = sys.argv[1:]
    run = DagBag(dag_folder=file).dags[dag_id].test()
    returned = {one.task_id: one.xcom_pull(task_ids=one.task_id) for one in run.get_task_instances()}
    sys.stdout.write("\nRESULT" + json.dumps({"state": str(run.state), "returned": returned}))


if __name__ == "__main__":
    main()
