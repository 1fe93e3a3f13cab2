"""The DAGs that worker processes are counted of, made from what the benchmark has written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator

from benchmarks.triggerer.probe import LoopProbe
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor


class ProbeOperator(BaseOperator):
    """Measures the triggerer's loop until its file is gone."""

    def __init__(self, *, path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path

    def execute(self, context: Any) -> None:
        """Defer."""
        del context
        self.defer(trigger=LoopProbe(self.path), method_name="done")

    def done(self, context: Any, event: Any = None) -> None:
        """End."""


plan = json.loads(Path(os.environ["SMARTFLOWS_BENCH_PLAN"]).read_text())

for dag_id, description in plan["dags"].items():
    with DAG(dag_id, schedule=None, max_active_tasks=1000) as dag:
        for number, execution_id in enumerate(plan["execution_ids"]):
            if description["kind"] == "runs":
                SmartFlowsRunFlowOperator(
                    task_id=f"run_{number}", flow=plan["flow"], deferrable=True, **description["arguments"]
                )
            else:
                SmartFlowsExecutionSensor(
                    task_id=f"sensor_{number}",
                    execution_id=execution_id,
                    deferrable=True,
                    **description["arguments"],
                )
    globals()[dag_id] = dag

with DAG(plan["probe_dag"], schedule=None) as probe:
    ProbeOperator(task_id="probe", path=plan["probe_file"])
