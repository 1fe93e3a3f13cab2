"""``@task.smart_flow`` in whole DAGs: mapped, in both modes, with what Airflow stores of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from support.tasks import MODES, Mode
from support.whole_dags import look_into, written_dag

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
    look_into(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("mode", MODES)
def test_one_flow_runs_for_each_value_that_the_function_is_mapped_over(
    server: DevServer, dags: Path, mode: Mode
) -> None:
    run = written_dag(dags, DAG.format(mode=mode, deferrable=mode == "deferrable")).test()
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
    instances = [one for one in run.get_task_instances() if one.task_id == task_id]
    return [RenderedTaskInstanceFields.get_templated_fields(one) for one in instances]
