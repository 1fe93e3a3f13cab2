"""How values become XML, as an author asks for it: None, namespaces, columns, characters XML cannot carry."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG
from support.outcomes import both, operator_for
from support.tasks import Attempt, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowConfigurationError, FlowInputError
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

OPEN = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"{}><xs:element name="Order"/></xs:schema>'
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"'


def open_to_all(server: DevServer, namespace: str = "") -> None:
    """Add a flow that takes any content of its root element."""
    xsd = OPEN.format(f' targetNamespace="{namespace}"' if namespace else "")
    server.add_flow(name="Letter", start_from="program", xsd=xsd, steps=[])


def sent(server: DevServer, *, namespace: str = "", **arguments: Any) -> str:
    """Run a flow that takes anything in both modes, and return what the service got."""
    open_to_all(server, namespace)
    run = both(server, **arguments)
    assert run.error is None, run.error
    return server.input_of(run.execution_id).decode().replace("\n", "").partition("?>")[2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ""),
        ({"none_as": "absent"}, ""),
        ({"none_as": "nil"}, f"<a {XSI}></a>"),
        ({"none_as": "empty"}, "<a></a>"),
    ],
)
def test_none_becomes_what_is_asked_for(server: DevServer, options: dict[str, Any], expected: str) -> None:
    assert sent(server, data={"a": None}, root="Order", **options) == f"<Order>{expected}</Order>"
    rows = sent(server, rows=[{"a": None}], root="Order", row="r", **options)
    assert rows == f"<Order><r>{expected}</r></Order>"


def test_namespaces_are_rendered_and_declared(server: DevServer) -> None:
    open_to_all(server, "urn:7")
    operator = operator_for(
        "sync",
        data={"p:Name": "Ada"},
        root="Order",
        namespaces={"": "urn:{{ params.n }}", "p": "urn:p"},
    )
    attempt = Attempt(more={"params": {"n": 7}})
    operator.render_template_fields(attempt.context())
    execution = run_task(operator, attempt)["execution_id"]
    assert b'<Order xmlns="urn:7" xmlns:p="urn:p"><p:Name>Ada</p:Name></Order>' in server.input_of(execution)


def test_namespaces_can_be_json_text_as_templates_give_it(server: DevServer) -> None:
    text = sent(server, namespace="urn:o", data={"a": 1}, root="Order", namespaces=json.dumps({"": "urn:o"}))
    assert text == '<Order xmlns="urn:o"><a>1</a></Order>'


@pytest.mark.parametrize("columns", [["a", "b"], ("a", "b"), '["a", "b"]'])
def test_rows_that_are_lists_are_named_by_columns(server: DevServer, columns: Any) -> None:
    text = sent(server, rows=[[1, "x"], (2, "y")], root="Order", row="r", columns=columns)
    assert text == "<Order><r><a>1</a><b>x</b></r><r><a>2</a><b>y</b></r></Order>"


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"data": {"a": {"b": ["ok", "x\x01"]}}}, "/Order/a/b[2]"),
        ({"data": {"a": {"@id": "x\x01"}}}, "/Order/a/@id"),
        ({"data": {"a": {"@id": 1, "#text": "x\x01"}}}, "/Order/a"),
        ({"rows": [{"a": 1}, {"a": "x\x01"}], "row": "r"}, "Row 2/a"),
        ({"rows": [{"a": 1}, {"a": 1, "@id": "x\x01"}], "row": "r"}, "Row 2/@id"),
        ({"rows": [{"a": {"b": [{"c": "ok"}, {"c": "x\x01"}]}}], "row": "r"}, "Row 1/a/b[2]/c"),
        ({"rows": [["x\x01"]], "row": "r", "columns": ["a"]}, "Row 1/a"),
        ({"rows": [], "row": "r", "header": {"h": "x\x01"}}, "/Order/h"),
        ({"rows": [], "row": "r", "header": {"@h": "x\x01"}}, "/Order/@h"),
    ],
)
def test_a_character_that_xml_cannot_carry_is_named_with_its_place_or_replaced(
    server: DevServer, arguments: dict[str, Any], place: str
) -> None:
    run = both(server, root="Order", **arguments)
    assert type(run.error) is FlowInputError
    assert run.error.what == (
        f"{place}: XML cannot carry the character U+0001 at position 1; remove it from the data, or have it "
        "replaced by U+FFFD with bad_characters='replace'"
    )
    assert server.executions() == []
    assert "x\ufffd" in sent(server, root="Order", bad_characters="replace", **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"none_as": "null"}, "^t: none_as is 'null'; it takes one of 'absent', 'nil', 'empty'."),
        ({"bad_characters": "drop"}, "^t: bad_characters is 'drop'; it takes one of 'fail', 'replace'."),
    ],
)
def test_a_word_that_an_option_does_not_take_is_refused_when_the_dag_is_parsed(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        operator_for("sync", data={}, **options)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"namespaces": "text"},
            FlowConfigurationError,
            "The argument namespaces is other text",
        ),
        ({"namespaces": {"p": ""}}, FlowInputError, "Namespaces: '' is not usable as a namespace"),
        ({"columns": "a, b"}, FlowInputError, "Columns is text, but not JSON"),
        ({"columns": []}, FlowInputError, "Columns is of type list; it takes a list of names"),
        ({"columns": ["a", "a"]}, FlowInputError, "The column 'a' comes twice"),
    ],
)
def test_what_a_template_has_made_unusable_is_named(
    server: DevServer, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    run = both(server, rows=[[1]], root="Order", row="r", **options)
    assert type(run.error) is kind
    assert message in run.message
    assert server.executions() == []


# --- arguments that turn out to be nothing ---


def run_rendered(operator: SmartFlowsRunFlowOperator) -> None:
    """Run a task as Airflow does, with its templates rendered."""
    attempt = Attempt(more={"params": {"missing": None}})
    task = operator.prepare_for_execution()
    task.render_template_fields(attempt.context())
    run_task(task, attempt)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"rows": lambda context: None, "root": "Order", "row": "Line"}, "rows"),
        ({"data": "{{ params.missing }}", "root": "Order"}, "data"),
        ({"xml": "{{ params.missing }}"}, "xml"),
        ({"records": "{{ params.missing }}"}, "records"),
        (
            {"sql": "{{ params.missing }}", "sql_conn_id": "warehouse", "root": "Order", "row": "Line"},
            "sql",
        ),
    ],
)
def test_no_flow_is_started_without_the_input_that_its_task_names(
    server: DevServer, arguments: dict[str, Any], name: str
) -> None:
    open_to_all(server)
    with DAG(
        "d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), render_template_as_native_obj=True
    ):
        operator = operator_for("sync", **arguments)
    with pytest.raises(FlowInputError, match=f"^{name.capitalize()} is None now that the task runs; look at"):
        run_rendered(operator)
    assert server.executions() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"data": {"a": 1}, "root": "{{ '' }}"}, "Root is empty; it takes the name of an element"),
        (
            {"rows": [{"a": 1}], "root": "R", "row": "{{ ' ' }}"},
            "Row is empty; it takes the name of an element",
        ),
        ({"xml": "<Order/>", "xsd": "{{ '' }}"}, "Xsd is empty; it takes a path, or is left out"),
        ({"xml": "<Order/>", "xsd": 7}, "Xsd is of type int; it takes a path, or is left out"),
    ],
)
def test_a_name_or_a_path_that_turns_out_empty_is_named(
    server: DevServer, arguments: dict[str, Any], said: str
) -> None:
    open_to_all(server)
    with pytest.raises(FlowInputError, match=f"^{said}"):
        run_rendered(operator_for("sync", **arguments))
    assert server.executions() == []


def test_a_header_of_json_text_keeps_every_digit(server: DevServer) -> None:
    header = '{"Total": 0.12345678901234567890}'
    xml = sent(server, rows=[], root="Order", row="Line", header=header)
    assert xml == "<Order><Total>0.12345678901234567890</Total></Order>"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ('{"a": 1, "a": 2}', "Header is text, but not JSON: the key 'a' comes twice in one object"),
        ("[" * 100_000, "Header is text, but not JSON: it is nested too deeply"),
        ("[]", "Header is of type list; it takes a mapping, or JSON text of one"),
    ],
)
def test_a_header_that_is_no_mapping_is_refused(server: DevServer, header: str, said: str) -> None:
    open_to_all(server)
    with pytest.raises(FlowInputError, match=f"^{re.escape(said)}"):
        run_task(operator_for("sync", rows=[], root="Order", row="Line", header=header))
    assert server.executions() == []
