"""``@task.smart_flow`` in whole DAGs: mapped, in both modes, with what Airflow stores of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.utils.session import create_session
from sqlalchemy import select
from support.airflow_versions import DagBag
from support.tasks import MODES, Mode

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.operators.hidden_input import HIDDEN

pytestmark = [pytest.mark.dag, pytest.mark.usefixtures("airflow_db")]

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Letter"><xs:complexType>
<xs:sequence><xs:element name="Name" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
DAG = """
from airflow.sdk import DAG, task

with DAG("letters_{mode}", schedule=None):

    @task
    def people():
        return ["Ada", "Grace", "Mary"]

    @task.smart_flow(
        flow="Letter", root="Letter", deferrable={deferrable}, hide_payload=True, poll_interval=0.05
    )
    def letter(name, greeting):
        return {{"Name": f"{{greeting}} {{name}}"}}

    @task
    def written(manifests):
        return [manifest["values"]["name"] for manifest in manifests]

    written(letter.partial(greeting="Dear").expand(name=people()))
"""


@pytest.fixture
def dags(server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of DAG files, and the flow that they run."""
    steps = [{"kind": "output", "values": {"name": "{{ data.Name }}"}}]
    server.add_flow(name="Letter", start_from="program", xsd=XSD, steps=steps)
    bundle = {
        "name": "letters",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(tmp_path)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    return tmp_path


@pytest.mark.parametrize("mode", MODES)
def test_one_flow_runs_for_each_value_that_the_function_is_mapped_over(
    server: DevServer, dags: Path, mode: Mode
) -> None:
    (dags / "letters.py").write_text(DAG.format(mode=mode, deferrable=mode == "deferrable"))
    bag = DagBag(dag_folder=str(dags / "letters.py"))
    assert bag.import_errors == {}
    run: Any = bag.dags[f"letters_{mode}"].test()
    assert str(run.state) == "success"
    (last,) = (one for one in run.get_task_instances() if one.task_id == "written")
    assert last.xcom_pull(task_ids="written") == ["Dear Ada", "Dear Grace", "Dear Mary"]
    assert len(server.executions()) == 3
    stored = rendered_fields(run, "letter")
    assert len(stored) == 3
    for fields in stored:
        assert fields["op_kwargs"] == {"name": HIDDEN, "greeting": HIDDEN}
        assert "Ada" not in str(fields)


def rendered_fields(run: Any, task_id: str) -> list[dict[str, Any]]:
    """Return what Airflow has stored as the rendered fields of a run's tasks."""
    with create_session() as session:
        found = session.scalars(
            select(RenderedTaskInstanceFields).where(
                RenderedTaskInstanceFields.run_id == run.run_id, RenderedTaskInstanceFields.task_id == task_id
            )
        )
        return [one.rendered_fields for one in found]
