"""The example's surroundings: the Smart Flows server and an Airflow that is connected to it.

Why this module exists: the demo, the lasting UI and the end-to-end tests need the same two services with
the same connections, so that what a newcomer sees is what is tested.

Invariants: everything a run writes is in its own folder, except the documents that flows produce: those
are for the user and stay.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smartflows_provider.demo.flow_server import FlowServer
from smartflows_provider.demo.places import example_dags, storage_address
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.stack import AirflowStack

DAG_ID = "scheduled_report"
FLOW_TASK = "run_report"
"""The task that runs the flow; it pushes `execution_id` at submission and the manifest at the end."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The running services."""

    airflow: AirflowStack
    """Airflow, with the example DAGs."""

    flows: FlowServer
    """The embedded Smart Flows server."""

    folder: Path
    """Files of this run: database, task logs, output of the components."""

    reports: Path
    """Where the example lands its documents."""


@contextlib.contextmanager
def scenario(
    *, folder: Path, reports: Path, tell: Callable[[str], None], cache: Path | None = None
) -> Iterator[Scenario]:
    """Run both services for the time of a `with` block; the example DAG is ready when the block starts.

    :param folder: where this run keeps its files
    :param reports: where the example lands its documents
    :param tell: gets a line of text for each step
    :param cache: where an empty database is kept for the next run; None for the demo's default folder
    :raises NotReadyError: if Airflow does not get ready or cannot import the DAGs
    :raises ProgramEndedError: if a program ended; the message holds its last output
    """
    reports.mkdir(parents=True, exist_ok=True)
    with ProcessTree(logs=folder / "components") as processes:
        flows = FlowServer(
            processes, flows=example_dags() / "flows", state=folder / "flow-server" / "state.db"
        )
        airflow = AirflowStack(
            processes,
            dags_folder=example_dags(),
            home=folder / "airflow",
            cache=cache,
            env={
                "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": flows.connection(),
                **flows.section_connections(),
                "AIRFLOW_CONN_FLIGHTS_DB": json.dumps(
                    {"conn_type": "sqlite", "host": str(folder / "flights.db")}
                ),
                "AIRFLOW_VAR_REPORTS_PATH": storage_address(reports),
                "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            },
        )
        tell("starting the Smart Flows server and Airflow's four components")
        flows.start()
        airflow.start()
        airflow.wait_for(flows.is_up, what="the Smart Flows server to answer")
        airflow.wait_until_up()
        tell(f"waiting for Airflow to parse {DAG_ID}")
        airflow.wait_for_dag(DAG_ID)
        yield Scenario(airflow=airflow, flows=flows, folder=folder, reports=reports)
