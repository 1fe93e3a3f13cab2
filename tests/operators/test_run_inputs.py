"""Every form in which a DAG author can give a flow's input, and what keeps it out of sight."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from airflow.sdk import DAG
from support.airflow_versions import needs_task_state
from support.outcomes import both, operator_for
from support.service import LONG, panel_flow
from support.tasks import Attempt, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

ORDER = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Order"><xs:complexType>
<xs:sequence><xs:element name="Customer" type="xs:string"/><xs:element name="Total" type="xs:decimal"/>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""
LINES = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Lines"><xs:complexType>
<xs:sequence><xs:element name="Title" type="xs:string" minOccurs="0"/>
<xs:element name="Line" maxOccurs="unbounded"><xs:complexType><xs:sequence>
<xs:element name="Item" type="xs:string"/><xs:element name="Count" type="xs:integer"/>
</xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"""
XML = "<Order><Customer>Ada &amp; Co</Customer><Total>12.5</Total></Order>"
ROWS = [{"Item": "pen", "Count": 2}, {"Item": "ink <blue>", "Count": 1}]
OUTPUT = {"kind": "output", "values": {"data": "{{ data }}"}}
CANARY = "canary-payload-51c2"


@pytest.fixture(autouse=True)
def flows(server: DevServer) -> None:
    server.add_flow(name="Letter", start_from="program", xsd=ORDER, steps=[OUTPUT])
    server.add_flow(name="Lines", start_from="program", xsd=LINES, steps=[OUTPUT])


def sent(server: DevServer, **arguments: Any) -> str:
    """Run the flow in both modes and return what the service got."""
    run = both(server, **arguments)
    assert run.error is None, run.error
    first, second = (received(server, at) for at in (-2, -1))
    assert first == second
    return second


def received(server: DevServer, at: int = -1) -> str:
    """Return what the service got, without line ends."""
    return server.input_of(server.executions()[at]["id"]).decode().replace("\n", "")


def order_file(folder: Path) -> Path:
    path = folder / "order.xml"
    path.write_text(XML, encoding="utf-8")
    return path


# --- xml ---


def test_xml_is_sent_as_it_is(server: DevServer) -> None:
    assert sent(server, xml=XML).endswith(XML)
    assert sent(server, xml=XML.encode()).endswith(XML)


def test_xml_can_be_a_path(server: DevServer, tmp_path: Path) -> None:
    assert sent(server, xml=order_file(tmp_path)).endswith(XML)


def test_xml_can_be_a_path_beside_the_dag_file(server: DevServer, tmp_path: Path) -> None:
    order_file(tmp_path)
    with DAG(dag_id="d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        dag.fileloc = str(tmp_path / "dag.py")
        operator = operator_for("sync", xml=Path("order.xml"), dag=dag)
    run_task(operator)
    assert received(server).endswith(XML)


def test_xml_can_be_an_address_on_object_storage(server: DevServer, tmp_path: Path) -> None:
    assert sent(server, xml=f"file://{order_file(tmp_path)}").endswith(XML)


# --- data ---


def test_data_becomes_a_document(server: DevServer) -> None:
    data = {"Customer": "Ada & Co", "Total": 12.5}
    assert sent(server, data=data, root="Order").endswith(XML)
    assert sent(server, data={"Order": data}).endswith(XML)


def test_data_can_be_json_text_as_templates_give_it(server: DevServer) -> None:
    text = '{"Customer": "Ada & Co", "Total": 12.5}'
    assert sent(server, data=text, root="Order").endswith(XML)


def test_data_is_brought_into_the_order_of_the_xsd(server: DevServer, tmp_path: Path) -> None:
    xsd = tmp_path / "order.xsd"
    xsd.write_text(ORDER, encoding="utf-8")
    assert sent(server, data={"Total": 12.5, "Customer": "Ada & Co"}, xsd=xsd).endswith(XML)


def test_an_xsd_is_found_beside_the_dag_file(server: DevServer, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "order.xsd").write_text(ORDER, encoding="utf-8")
    with DAG(dag_id="d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        dag.fileloc = str(tmp_path / "dag.py")
        operator = operator_for(
            "sync", data={"Total": 12.5, "Customer": "Ada & Co"}, xsd="schemas/order.xsd", dag=dag
        )
    run_task(operator)
    assert received(server).endswith(XML)


# --- rows ---


LINE_XML = (
    "<Line><Item>pen</Item><Count>2</Count></Line><Line><Item>ink &lt;blue&gt;</Item><Count>1</Count></Line>"
)


def lines(server: DevServer, **arguments: Any) -> str:
    return sent(server, **{"flow": "Lines", "root": "Lines", "row": "Line", **arguments})


def test_rows_can_be_a_list(server: DevServer) -> None:
    assert lines(server, rows=ROWS).endswith(f"<Lines>{LINE_XML}</Lines>")


def test_rows_can_have_a_header(server: DevServer) -> None:
    text = lines(server, rows=ROWS, header={"Title": "Stock"})
    assert text.endswith(f"<Lines><Title>Stock</Title>{LINE_XML}</Lines>")


def test_rows_can_be_a_function_of_the_context_that_yields_them(server: DevServer) -> None:
    def read(context: Any) -> Any:
        assert context["ti"].task_id == "task"
        yield from ROWS

    assert lines(server, rows=read).endswith(f"<Lines>{LINE_XML}</Lines>")


def test_rows_can_be_a_function_that_returns_a_cursor(server: DevServer) -> None:
    def read(context: Any) -> sqlite3.Cursor:
        database = sqlite3.connect(":memory:")
        return database.execute("select 'pen' as Item, 2 as Count union all select 'ink <blue>', 1")

    assert lines(server, rows=read).endswith(f"<Lines>{LINE_XML}</Lines>")


def test_rows_can_be_a_parquet_file(server: DevServer, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    assert lines(server, rows=tmp_path / "rows.parquet").endswith(f"<Lines>{LINE_XML}</Lines>")
    assert lines(server, rows=f"file://{tmp_path}/rows.parquet").endswith(f"<Lines>{LINE_XML}</Lines>")


def test_what_a_function_for_rows_raises_is_left_as_it_is(server: DevServer) -> None:
    def broken(context: Any) -> Any:
        yield ROWS[0]
        raise ConnectionError("the shop is closed")

    run = both(server, flow="Lines", root="Lines", row="Line", rows=broken)
    assert type(run.error) is ConnectionError
    assert server.executions() == []


def test_rows_can_be_json_text_as_a_template_file_gives_them(server: DevServer) -> None:
    assert lines(server, rows=json.dumps(ROWS)).endswith(f"<Lines>{LINE_XML}</Lines>")


def test_rows_can_be_a_csv_file(server: DevServer, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("Item,Count\npen,2\nink <blue>,1\n", encoding="utf-8")
    assert lines(server, rows=str(path)).endswith(f"<Lines>{LINE_XML}</Lines>")
    assert lines(server, rows=path).endswith(f"<Lines>{LINE_XML}</Lines>")


def test_rows_can_be_json_lines_on_any_storage(server: DevServer, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    assert lines(server, rows=f"file://{path}").endswith(f"<Lines>{LINE_XML}</Lines>")


def test_rows_can_come_from_a_query(
    server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stock.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("create table stock (item text, number integer)")
        database.executemany("insert into stock values (?, ?)", [("pen", 2), ("ink <blue>", 1)])
    monkeypatch.setenv("AIRFLOW_CONN_STOCK", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    sql = 'select item as "Item", number as "Count" from stock order by number desc'
    assert lines(server, sql=sql, sql_conn_id="stock").endswith(f"<Lines>{LINE_XML}</Lines>")


def test_rows_that_are_a_generator_are_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(
        ValueError, match="t: rows is a generator, which would be read when the DAG is parsed"
    ):
        operator_for("sync", rows=(row for row in ROWS), root="Lines", row="Line")


# --- records ---


@pytest.mark.parametrize("as_text", [False, True])
def test_records_are_sent_as_the_plug_in_does(server: DevServer, as_text: bool) -> None:
    server.add_flow(name="Letter", start_from="plugin", steps=[OUTPUT])
    records = {"id": ["r1", "r2"], "entity": "account", "userId": "u1"}
    given = json.dumps(records) if as_text else records
    assert json.loads(sent(server, records=given, dataset_id="ds1")) == records
    (request,) = [
        request for request in server.requests if request.method == "POST" and request.status
    ][-1:]  # fmt: skip
    assert "datasetId=ds1" in request.query
    assert request.headers["content-type"] == 'application/json; charset="utf-8"'


# --- a flow by its id, a word for unattended ---


def test_a_flow_can_be_named_by_its_id_without_a_look_up(server: DevServer) -> None:
    flow = panel_flow(server, name="By id")
    assert both(server, flow=flow.id).value["flow"]["name"] == "By id"
    assert not [request for request in server.requests if request.path.endswith("/flows")]


@pytest.mark.parametrize(("word", "path"), [("true", "/executions/start"), ("False", "/executions")])
def test_unattended_can_come_out_of_a_template_as_a_word(server: DevServer, word: str, path: str) -> None:
    both(server, xml=XML, unattended=word)
    posts = [request.path for request in server.requests if request.method == "POST"]
    assert all(one.endswith(path) for one in posts)


# --- templates, and input out of sight ---


def rendered(operator: SmartFlowsRunFlowOperator, context: dict[str, Any]) -> SmartFlowsRunFlowOperator:
    operator.render_template_fields(context)
    return operator


def test_templates_are_rendered_in_every_kind_of_input(server: DevServer) -> None:
    operator = operator_for(
        "sync",
        flow="{{ params.flow }}",
        data={"Customer": "{{ params.name }}", "Total": "{{ params.total }}"},
        root="{{ params.root }}",
    )
    params = {"flow": "Letter", "name": "Ada & Co", "total": 12.5, "root": "Order"}
    run_task(rendered(operator, {"params": params}))
    assert received(server).endswith(XML)


FIELDS = {
    "data": {"Customer": CANARY, "Total": 1},
    "xml": f"<Order><Customer>{CANARY}</Customer><Total>1</Total></Order>",
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_hidden_payload_is_sent_and_neither_rendered_nor_logged(
    server: DevServer, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = operator_for("sync", **{field: FIELDS[field]}, root="Order", hide_payload=True)
    rendered(operator, {})
    shown = {name: str(getattr(operator, name)) for name in operator.template_fields}
    assert shown[field] == "hidden by hide_payload"
    assert CANARY not in json.dumps(shown)
    run_task(operator)
    assert CANARY in received(server)
    assert CANARY not in capsys.readouterr().out


def test_a_hidden_payload_stays_hidden_where_it_is_rendered_twice(server: DevServer) -> None:
    operator = operator_for("sync", data=FIELDS["data"], root="Order", hide_payload=True)
    rendered(rendered(operator, {}), {})
    assert operator.data == "hidden by hide_payload"
    assert operator.payload_argument("data") == FIELDS["data"]


def test_a_payload_that_is_not_hidden_is_shown() -> None:
    operator = rendered(operator_for("sync", data=FIELDS["data"], root="Order"), {})
    assert operator.data == FIELDS["data"]


def test_a_hidden_payload_of_a_mapped_task_is_hidden_too(server: DevServer) -> None:
    """A mapped task renders the task that it unmaps to, from the mapped task's own call."""
    with DAG(dag_id="d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)):
        mapped = SmartFlowsRunFlowOperator.partial(
            task_id="t", flow="Letter", root="Order", hide_payload=True
        ).expand(data=[FIELDS["data"]])
    operator = mapped.unmap({"data": FIELDS["data"]})
    operator._do_render_template_fields(
        parent=operator,
        template_fields=mapped.template_fields,
        context={},
        jinja_env=operator.get_template_env(),
        seen_oids=set(),
    )
    assert operator.data == "hidden by hide_payload"
    run_task(operator)
    assert CANARY in received(server)


def test_hidden_answers_answer_the_form(server: DevServer, capsys: pytest.CaptureFixture[str]) -> None:
    panel_flow(
        server,
        {"kind": "form", "id": "ask", "fields": [{"key": "secret", "title": "Secret"}]},
        {"kind": "output", "values": {"length": "{{ answers.secret | length }}"}},
        name="Ask",
    )
    operator = operator_for(
        "sync", flow="Ask", on_user_input="answer", answers={"secret": CANARY}, hide_payload=True
    )
    manifest = run_task(rendered(operator, {}))
    assert operator.answers == "hidden by hide_payload"
    assert manifest["values"] == {"length": len(CANARY)}
    assert CANARY not in capsys.readouterr().out


def test_the_record_of_a_run_holds_no_payload(server: DevServer) -> None:
    panel_flow(server, LONG, name="Slow")
    attempt = Attempt()
    run_task(operator_for("sync", data=FIELDS["data"], root="Order"), attempt)
    assert CANARY not in json.dumps(attempt.store.entries)


@needs_task_state
def test_the_same_input_has_the_same_fingerprint_and_another_one_another(server: DevServer) -> None:
    fingerprints = []
    for total in (1, 1, 2):
        attempt = Attempt()
        run_task(operator_for("sync", data={"Customer": "Ada", "Total": total}, root="Order"), attempt)
        fingerprints.append(attempt.store.get("flow_run")["fingerprint"])
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
