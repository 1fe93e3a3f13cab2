"""What becomes of arguments once Airflow has rendered them, and what templates can do to them."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG
from support.airflow_versions import needs_task_state
from support.outcomes import operator_for
from support.service import LONG, asked, panel_flow
from support.tasks import Attempt, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowDocumentError,
    FlowInputError,
    FlowKilledError,
    FlowRequestRefusedError,
)
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

ORDER_XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="R"><xs:complexType>
<xs:sequence><xs:element name="a" type="xs:int" maxOccurs="9"/></xs:sequence></xs:complexType></xs:element>
</xs:schema>"""


ROWS_XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="R"><xs:complexType>
<xs:sequence><xs:element name="r" maxOccurs="9"><xs:complexType><xs:sequence>
<xs:element name="a" type="xs:int"/></xs:sequence></xs:complexType></xs:element></xs:sequence>
</xs:complexType></xs:element></xs:schema>"""


def rendered(operator: SmartFlowsRunFlowOperator, **context: Any) -> SmartFlowsRunFlowOperator:
    """Return the copy of a task that Airflow would execute, its templates rendered."""
    task = operator.prepare_for_execution()
    task.render_template_fields(context)
    return task


def taking_numbers(server: DevServer) -> None:
    server.add_flow(
        name="Letter",
        start_from="program",
        xsd=ORDER_XSD,
        steps=[{"kind": "output", "values": {"sum": "{{ data.a | sum }}"}}],
    )


def numbers(context: Any) -> list[dict[str, int]]:
    return [{"a": number} for number in range(context["most"])]


@pytest.mark.parametrize("name", ["input.xml", "rows.json", "query.sql"])
def test_an_address_is_rendered_and_not_taken_for_a_template_file(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"s3://lake@bucket/{{{{ day }}}}/{name}"
    with DAG("d", schedule=None):
        operator = operator_for("sync", rows=address, root="R", row="r", header={"Link": address})
    operator.resolve_template_files()
    assert caplog.records == []
    task = rendered(operator, day="monday")
    assert task.rows == f"s3://lake@bucket/monday/{name}"
    assert task.header == {"Link": f"s3://lake@bucket/monday/{name}"}


def test_a_function_for_rows_is_called_on_the_worker_with_the_context(server: DevServer) -> None:
    server.add_flow(
        name="Letter",
        start_from="program",
        xsd=ROWS_XSD,
        steps=[{"kind": "output", "values": {"rows": "{{ data.r | length }}"}}],
    )
    with DAG("d", schedule=None):
        operator = operator_for("sync", rows=numbers, root="R", row="r")
    task = rendered(operator, most=3)
    assert str(task.rows) == "rows from numbers"
    context = {**Attempt().context(), "most": 3}
    assert task.execute(context)["values"] == {"rows": 3}


def test_hidden_input_is_that_of_the_last_rendering_and_never_shown(server: DevServer) -> None:
    taking_numbers(server)
    with DAG("d", schedule=None):
        operator = operator_for("sync", data={"a": "{{ number }}"}, root="R", hide_payload=True)
    first, second = rendered(operator, number=1), rendered(operator, number=2)
    assert first.data == second.data == "hidden by hide_payload"
    assert (first.payload_argument("data"), second.payload_argument("data")) == ({"a": "1"}, {"a": "2"})
    assert operator.data == {"a": "{{ number }}"}
    second.render_template_fields({"number": 2})
    assert second.data == "hidden by hide_payload"
    assert second.payload_argument("data") == {"a": "2"}
    assert run_task(second)["values"] == {"sum": 2}


def test_hidden_input_is_not_shown_by_the_service_either(server: DevServer) -> None:
    taking_numbers(server)
    hidden = operator_for("sync", xml="<R><a>SECRETVALUE</a></R>", hide_payload=True)
    hidden = rendered(hidden)
    with pytest.raises(FlowRequestRefusedError, match="answered with 400") as refused:
        run_task(hidden)
    assert "SECRETVALUE" not in str(refused.value)
    with pytest.raises(FlowRequestRefusedError, match="SECRETVALUE"):
        run_task(operator_for("sync", xml="<R><a>SECRETVALUE</a></R>"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flow": ""}, "The argument flow is ''"),
        ({"unattended": "ture"}, "The argument unattended is 'ture'; it takes true or false"),
        ({"unattended": "None"}, "The argument unattended is 'None'"),
        ({"unattended": "yes", "dataset_id": "d"}, "takes no dataset_id"),
        ({"outputs": "text"}, "The argument outputs is other text"),
        ({"answers": ["a"]}, "The argument answers is of type list"),
        ({"documents_path": "nosuch://bucket/x"}, "leads to no storage that is known here"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_a_template_has_made_unusable_is_named_before_anything_is_sent(
    server: DevServer, arguments: dict[str, Any], message: str
) -> None:
    panel_flow(server, LONG)
    attempt = Attempt()
    with pytest.raises(FlowConfigurationError) as refused:
        run_task(operator_for("sync", **arguments), attempt)
    assert message in str(refused.value)
    assert isinstance(refused.value, AirflowFailException)
    assert server.executions() == []
    assert attempt.store is not None
    assert attempt.store.entries == {}


@pytest.mark.parametrize("rows", [5, b"bytes", {"a": 1}, ""], ids=str)
def test_rows_of_a_kind_that_holds_no_rows_are_refused(server: DevServer, rows: Any) -> None:
    taking_numbers(server)
    with pytest.raises(FlowInputError, match=r"Rows is .*it takes a list of mappings"):
        run_task(operator_for("sync", rows=rows, root="R", row="r"))
    assert server.executions() == []


def test_a_path_of_rows_is_taken_from_the_folder_of_the_dag_file_as_text_and_as_path(
    server: DevServer, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n2\n")
    server.add_flow(name="Letter", start_from="program", xsd=ORDER_XSD, steps=[LONG])
    for rows in ("rows.csv", Path("rows.csv")):
        with DAG("d", schedule=None) as dag:
            operator = operator_for("sync", rows=rows, root="R", row="r", wait_for_completion=False)
        dag.fileloc = str(tmp_path / "dag.py")
        # The flow refuses rows, but they were found and sent.
        with pytest.raises(FlowRequestRefusedError, match="'r'"):
            run_task(operator)


@needs_task_state
def test_a_retry_attaches_to_its_run_although_its_input_can_no_longer_be_read(
    server: DevServer, tmp_path: Path
) -> None:
    server.configure(hold="ignored")
    taking_numbers(server)
    server.add_flow(name="Numbers", start_from="program", xsd=ORDER_XSD, steps=[LONG])
    source = tmp_path / "input.xml"
    source.write_text("<R><a>1</a></R>")
    attempt = Attempt()
    started = operator_for("sync", flow="Numbers", xml=source, wait_for_completion=False)
    execution_id = run_task(started, attempt)["execution_id"]
    source.unlink()
    server.advance(3600)
    assert run_task(operator_for("sync", flow="Numbers", xml=source), attempt)["execution_id"] == execution_id
    assert len(server.executions()) == 1


@needs_task_state
def test_a_retry_that_needs_its_input_and_cannot_read_it_names_the_run_of_the_earlier_attempt(
    server: DevServer, tmp_path: Path
) -> None:
    server.add_flow(name="Numbers", start_from="program", xsd=ORDER_XSD, steps=[LONG])
    source = tmp_path / "input.xml"
    source.write_text("<R><a>1</a></R>")
    attempt = Attempt()
    arguments: dict[str, Any] = {"flow": "Numbers", "xml": source, "on_input_changed": "fail"}
    started = operator_for("sync", **arguments, wait_for_completion=False)
    execution_id = run_task(started, attempt)["execution_id"]
    source.unlink()
    with pytest.raises(FlowInputError, match=f"Execution {execution_id} of an earlier attempt was left"):
        run_task(operator_for("sync", **arguments), attempt)
    assert [one["status"] for one in server.executions()] == ["Running"]


def test_a_flow_is_looked_up_once_and_its_id_wins_over_another_ones_name(server: DevServer) -> None:
    server.add_flow(name="beta", id="alpha", start_from="panel", steps=[LONG])
    server.add_flow(name="alpha", id="other", start_from="panel", steps=[LONG])
    run_task(operator_for("sync", flow="alpha", wait_for_completion=False))
    run_task(operator_for("sync", flow="beta", wait_for_completion=False))
    assert [one["flow"]["id"] for one in server.executions()] == ["alpha", "alpha"]
    assert len([one for one in server.requests if one.path.endswith("/flows")]) == 2


def test_an_unattended_start_without_a_flow_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="an unattended start needs flow"):
        SmartFlowsRunFlowOperator(task_id="t", unattended=True)


def test_a_wrong_option_names_the_task_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match=r"^t: on_warning is 'ignore'; it takes one of 'succeed', 'fail'"):
        SmartFlowsRunFlowOperator(task_id="t", flow="f", on_warning="ignore")


def test_a_document_for_which_a_sign_in_page_comes_is_not_kept(server: DevServer, tmp_path: Path) -> None:
    server.add_flow(
        name="Letter",
        steps=[{"id": "d", "kind": "document", "template": "t.html.j2", "format": "pdf"}],
        templates={"t.html.j2": "<p>Dear reader</p>"},
    )
    server.inject(Fault(action="html", path="/content$"))
    with pytest.raises(FlowDocumentError, match="is of type application/pdf, but an HTML page came"):
        run_task(operator_for("sync", documents_path=str(tmp_path / "documents")))
    assert not (tmp_path / "documents").exists()


def test_a_kill_uses_the_key_that_the_wait_has_read_last(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    operator = operator_for("sync")
    server.add_key("rotated")
    monkeypatch.setenv("AIRFLOW_CONN_SMARTFLOWS_DEFAULT", server.connection_json())
    pause = time.sleep
    rotated_after: list[int] = []

    def rotate_then_kill(seconds: float) -> None:
        looks = len(asked(server, "GET", "/progress"))
        if not rotated_after:
            rotated_after.append(looks)
            monkeypatch.setenv("AIRFLOW_CONN_SMARTFLOWS_DEFAULT", server.connection_json(api_key="rotated"))
            server.revoke_key()
        elif looks >= rotated_after[0] + 3:
            operator.on_kill()
        pause(min(seconds, 0.02))

    monkeypatch.setattr("smartflows_provider.operators.remote_run.time.sleep", rotate_then_kill)
    with pytest.raises(FlowKilledError, match="The service was asked to cancel it"):
        run_task(operator)
    assert [one["status"] for one in server.executions()] == ["Canceled"]


def test_a_task_can_be_copied_with_its_function_for_rows() -> None:
    operator = operator_for("sync", rows=numbers, root="R", row="r")
    assert str(copy.deepcopy(operator).rows) == "rows from numbers"
