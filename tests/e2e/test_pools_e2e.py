"""The page about pools on a real Airflow: its command, its DAGs in small, and how many flows ran at once."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from support.pages import ROOT, blocks_of

from smartflows_provider.demo.flow_server import FlowServer
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.stack import AirflowStack

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(900)]

BLOCKS = blocks_of(ROOT / "docs" / "pools.md")
LIMIT, LETTERS, SECONDS = 1, 3, 8
FLOW = f"""
name: Letter
start_from: program
xsd: letter.xsd
steps: [{{id: write, kind: work, duration: {SECONDS}}}]
"""
XSD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Letter"/></xs:schema>'
IN_SMALL = {"range(200)": f"range({LETTERS})", "max_active_tis_per_dag=16": f"max_active_tis_per_dag={LIMIT}"}
DAG_IDS = ("letters_in_a_pool", "letters_at_a_time", "letters_without_limit")


def dag_files() -> dict[str, str]:
    """Return the page's DAGs in small, and one without a limit."""
    codes = [block.code for block in BLOCKS if block.language == "python"]
    for large, small in IN_SMALL.items():
        assert any(large in code for code in codes)
        codes = [code.replace(large, small) for code in codes]
    files = {re.findall(r'DAG\("(\w+)"', code)[0]: code for code in codes}
    in_pool = files["letters_in_a_pool"]
    free = in_pool.replace('        pool="smart_flows",\n', "").replace("letters_in_a_pool", DAG_IDS[-1])
    return {**files, DAG_IDS[-1]: free}


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    folder: Path = tmp_path_factory.mktemp("pools")
    (folder / "dags").mkdir()
    for name, code in dag_files().items():
        (folder / "dags" / f"{name}.py").write_text(code)
    (folder / "flows" / "letter").mkdir(parents=True)
    (folder / "flows" / "letter" / "flow.yaml").write_text(FLOW)
    (folder / "flows" / "letter" / "letter.xsd").write_text(XSD)
    with ProcessTree(logs=folder / "components") as processes:
        flows = FlowServer(processes, flows=folder / "flows", state=folder / "state" / "state.db")
        stack = AirflowStack(
            processes,
            dags_folder=folder / "dags",
            home=folder / "airflow",
            env={"AIRFLOW_CONN_SMARTFLOWS_DEFAULT": flows.connection()},
            separate_execution_api=True,
            parallelism=LETTERS,
        )
        flows.start()
        stack.start()
        stack.wait_for(flows.is_up, what="the Smart Flows server to answer")
        _make_pool(stack)
        for dag_id in DAG_IDS:
            stack.wait_for_dag(dag_id)
        yield stack


def _make_pool(stack: AirflowStack) -> None:
    (line,) = (
        line[2:]
        for block in BLOCKS
        if block.language == "console"
        for line in block.code.splitlines()
        if line.startswith("$ airflow pools set")
    )
    _, *arguments = shlex.split(line.replace(" 16 ", f" {LIMIT} "))
    subprocess.run(
        [stack.python, "-m", "airflow", *arguments],
        env=stack.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def most_at_a_time(stack: AirflowStack, dag_id: str, run_id: str) -> int:
    """Return how many executions of a DAG run were under way at once, by the service's own times."""
    changes: list[tuple[datetime, int]] = []
    for index in range(LETTERS):
        manifest = stack.rest.xcom(dag_id, run_id, "letter", map_index=index)
        changes.append((datetime.fromisoformat(manifest["created_at"]), 1))
        changes.append((datetime.fromisoformat(manifest["finished_at"]), -1))
    now, most = 0, 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def has_ended(stack: AirflowStack, dag_id: str, run_id: str) -> bool:
    return stack.rest.dag_run(dag_id, run_id)["state"] in DAG_RUN_ENDED


def test_a_pool_and_a_limit_hold_for_deferred_tasks(airflow: AirflowStack) -> None:
    runs = {dag_id: airflow.rest.trigger(dag_id) for dag_id in DAG_IDS}
    for dag_id, run_id in runs.items():
        airflow.wait_for(
            partial(has_ended, airflow, dag_id, run_id),
            what=f"the DAG {dag_id} to end",
            timeout=600,
        )
        assert airflow.rest.dag_run(dag_id, run_id)["state"] == "success"
    most = {dag_id: most_at_a_time(airflow, dag_id, run_id) for dag_id, run_id in runs.items()}
    assert most["letters_in_a_pool"] == LIMIT
    assert most["letters_at_a_time"] == LIMIT
    assert most["letters_without_limit"] > LIMIT
