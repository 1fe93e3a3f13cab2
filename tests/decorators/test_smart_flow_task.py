"""``@task.smart_flow``: what a function returns becomes the input, once it is needed, in both modes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task
from lxml import etree
from support.airflow_versions import needs_task_state
from support.outcomes import plain
from support.service import LONG, panel_flow
from support.tasks import MODES, Attempt, Mode, run_task

from smartflows_provider.decorators.smart_flows import SmartFlowDecoratedOperator, smart_flow_task
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowInputError

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Letter"><xs:complexType>
<xs:sequence><xs:element name="Name" type="xs:string" minOccurs="0" maxOccurs="unbounded"/>
<xs:element name="Line" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
<xs:element name="Item" type="xs:string"/></xs:sequence></xs:complexType></xs:element></xs:sequence>
</xs:complexType></xs:element></xs:schema>"""
XML = "<Letter><Name>Ada</Name></Letter>"
LINES = "<Letter><Line><Item>pen</Item></Line><Line><Item>ink</Item></Line></Letter>"


@pytest.fixture(autouse=True)
def letter(server: DevServer) -> None:
    steps = [{"kind": "output", "values": {"data": "{{ data }}"}}]
    server.add_flow(name="Letter", start_from="program", xsd=XSD, steps=steps)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


def task_of(
    function: Callable[..., Any],
    *args: Any,
    mode: Mode = "sync",
    op_kwargs: dict[str, Any] | None = None,
    **arguments: Any,
) -> SmartFlowDecoratedOperator:
    """Return the task that a decorated function makes when it is called in a DAG."""
    given = {
        "task_id": "write",
        "flow": "Letter",
        "root": "Letter",
        "row": "Line",
        "poll_interval": 0.05,
        **arguments,
    }
    decorated = task.smart_flow(deferrable=mode == "deferrable", **given)(function)
    with DAG("d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)):
        return decorated(*args, **(op_kwargs or {})).operator


def run(operator: SmartFlowDecoratedOperator, attempt: Attempt | None = None, **context: Any) -> Any:
    """Render and run a task as Airflow does."""
    attempt = attempt or Attempt(more=context)
    ready = operator.prepare_for_execution()
    ready.render_template_fields(attempt.context())
    return run_task(ready, attempt)


def received(server: DevServer) -> str:
    """Return what the service got last, without declaration and line ends."""
    text = server.input_of(server.executions()[-1]["id"]).decode().replace("\n", "")
    return text.partition("?>")[2] or text


# --- what a function may return ---


def yielding() -> Iterator[dict[str, str]]:
    yield {"Item": "pen"}
    yield {"Item": "ink"}


def cursor() -> sqlite3.Cursor:
    return sqlite3.connect(":memory:").execute("select 'pen' as Item union all select 'ink' order by 1 desc")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: {"Name": "Ada"}, XML),
        (lambda: XML, XML),
        (lambda: f"\ufeff{XML}", XML),
        (XML.encode, XML),
        (lambda: etree.fromstring(XML), XML),
        (lambda: etree.ElementTree(etree.fromstring(XML)), XML),
        (lambda: [{"Item": "pen"}, {"Item": "ink"}], LINES),
        (yielding, LINES),
        (lambda: ({"Item": one} for one in ("pen", "ink")), LINES),
        (cursor, LINES),
    ],
    ids=["mapping", "text", "mark", "bytes", "element", "tree", "list", "yield", "generator", "cursor"],
)
def test_what_the_function_returns_is_the_input(
    server: DevServer, mode: Mode, function: Callable[[], Any], expected: str
) -> None:
    manifest = run(task_of(function, mode=mode))
    assert received(server) == expected
    assert manifest["status"] == "Success"
    assert manifest["execution_id"] == server.executions()[-1]["id"]


def test_a_path_is_xml_or_rows_by_its_suffix(server: DevServer, tmp_path: Path) -> None:
    (tmp_path / "letter.xml").write_text(XML)
    (tmp_path / "lines.csv").write_text("Item\npen\nink\n")
    run(task_of(lambda: tmp_path / "letter.xml"))
    assert received(server) == XML
    run(task_of(lambda: tmp_path / "lines.csv"))
    assert received(server) == LINES


def test_rows_that_are_lists_take_their_names_from_columns(server: DevServer) -> None:
    run(task_of(lambda: [("pen",), ("ink",)], columns=["Item"]))
    assert received(server) == LINES


def test_none_is_no_input(server: DevServer, mode: Mode) -> None:
    panel_flow(server, {"kind": "work"}, name="Panel")
    assert run(task_of(lambda: None, mode=mode, flow="Panel"))["status"] == "Success"
    assert received(server) == ""


def test_records_are_told_by_input_as(server: DevServer) -> None:
    server.add_flow(name="Plug", start_from="plugin", steps=[])
    records = {"id": ["r1"], "entity": "account", "userId": "u"}
    run(task_of(lambda: records, flow="Plug", input_as="records"))
    assert json.loads(received(server)) == records


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("letters.csv", "The text is not XML; for a file, give a path object instead of its name"),
        (5, "An input of type int is not known; there are mappings, rows, XML, paths and None"),
        ([5], "Row 1: a row is a mapping or a list, not int"),
        ([{"Item": "a\x01"}], "Row 1/Item: XML cannot carry the character U+0001"),
        ({"a b": 1}, "'a b' is not a legal XML name"),
    ],
)
def test_what_cannot_be_an_input_is_refused(server: DevServer, value: Any, message: str) -> None:
    with pytest.raises(FlowInputError) as caught:
        run(task_of(lambda: value))
    assert message in str(caught.value)
    assert "flow 'Letter']\nNothing was started.\n" in str(caught.value)
    assert server.executions() == []


def test_what_the_function_raises_is_left_as_it_is(server: DevServer) -> None:
    def broken() -> Iterator[dict[str, str]]:
        yield {"Item": "pen"}
        raise ConnectionError("the shop is closed")

    with pytest.raises(ConnectionError, match="the shop is closed"):
        run(task_of(broken))
    assert server.executions() == []


# --- the function's own arguments ---


def greet(name: str, *, ti: Any, params: dict[str, str], title: str = "Countess") -> dict[str, str]:
    assert ti.task_id == "task"
    return {"Name": f"{title} {name} {params['last']}"}


def test_arguments_are_rendered_and_the_context_is_there_for_the_asking(server: DevServer) -> None:
    operator = task_of(greet, "{{ params.first }}", op_kwargs={"title": "{{ params.title }}"})
    run(operator, params={"first": "Ada", "last": "Lovelace", "title": "Lady"})
    assert received(server) == "<Letter><Name>Lady Ada Lovelace</Name></Letter>"


def test_an_argument_that_looks_like_a_template_file_is_no_such(server: DevServer) -> None:
    run(task_of(lambda name: {"Name": name}, "report.xml"))
    assert received(server) == "<Letter><Name>report.xml</Name></Letter>"


def test_what_the_function_returns_is_not_rendered(server: DevServer) -> None:
    run(task_of(lambda: {"Name": "{{ 1 + 1 }}"}))
    assert received(server) == "<Letter><Name>{{ 1 + 1 }}</Name></Letter>"


# --- when the function is called ---


def test_the_function_is_called_once_and_not_after_a_deferral(server: DevServer) -> None:
    server.add_flow(name="Letter", start_from="program", xsd=XSD, steps=[{"duration": 0.2}])
    calls: list[int] = []

    def count() -> dict[str, str]:
        calls.append(1)
        return {"Name": "Ada"}

    attempt = Attempt()
    run(task_of(count, mode="deferrable"), attempt)
    assert len(attempt.deferrals) == 1
    assert calls == [1]


@needs_task_state
def test_a_retry_attaches_without_calling_the_function(server: DevServer, mode: Mode) -> None:
    server.configure(hold="ignored")
    server.add_flow(name="Letter", start_from="program", xsd=XSD, steps=[LONG])
    calls: list[int] = []

    def count() -> dict[str, str]:
        calls.append(1)
        return {"Name": "Ada"}

    attempt = Attempt()
    started = run(task_of(count, wait_for_completion=False), attempt)
    server.advance(3600)
    assert run(task_of(count, mode=mode), attempt)["execution_id"] == started["execution_id"]
    assert calls == [1]
    assert len(server.executions()) == 1


def test_both_modes_log_and_return_the_same(server: DevServer) -> None:
    manifests = [run(task_of(yielding, mode=mode)) for mode in MODES]
    first, second = (plain(json.dumps(manifest, sort_keys=True)) for manifest in manifests)
    assert first == second


# --- the decorator's forms ---


def test_it_is_used_without_parentheses_and_overridden() -> None:
    @task.smart_flow
    def bare() -> None:
        """Write a letter."""

    with DAG("d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)):
        first = bare().operator
        second = bare.override(task_id="other", flow="Letter", root="R")().operator
    assert (first.task_id, first.flow, first.doc_md) == ("bare", None, "Write a letter.")
    assert (second.task_id, second.flow, second.root) == ("other", "Letter", "R")


def test_a_function_that_returns_a_mapping_does_not_ask_for_multiple_outputs() -> None:
    @smart_flow_task(flow="Letter", root="Letter")
    def annotated() -> dict[str, str]:
        return {}

    @smart_flow_task(flow="Letter", root="Letter", multiple_outputs=True)
    def asked() -> dict[str, str]:
        return {}

    with DAG("d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)):
        assert annotated().operator.multiple_outputs is False
        assert asked().operator.multiple_outputs is True


async def coroutine() -> None: ...


async def async_rows() -> Any:
    yield {}


@pytest.mark.parametrize(
    ("arguments", "function", "message"),
    [
        ({"xml": "<a/>"}, yielding, "^write: the function returns the input; leave xml out"),
        ({"sql": "select 1", "sql_conn_id": "c"}, yielding, "the function returns the input; leave sql out"),
        (
            {"input_as": "json"},
            yielding,
            "input_as is 'json'; it takes one of None, 'xml'",
        ),
        (
            {"none_as": "null"},
            yielding,
            "^write: none_as is 'null'; it takes one of 'absent', ",
        ),
        ({"on_warning": "ignore"}, yielding, "on_warning is 'ignore'; it takes one of"),
        ({"input_as": "records", "correlation_path": "a"}, yielding, "correlation_path names a place in XML"),
        ({}, coroutine, "^write: the function is async; @task.smart_flow takes a plain one"),
        ({}, async_rows, "^write: the function is async"),
    ],
)
def test_what_cannot_work_is_refused_when_the_dag_is_parsed(
    arguments: dict[str, Any], function: Callable[..., Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        task_of(function, **arguments)


@pytest.mark.parametrize("function", [coroutine, async_rows])
def test_an_async_function_is_refused_before_it_is_called_or_mapped(function: Callable[..., Any]) -> None:
    with pytest.raises(
        ValueError, match=rf"^{function.__name__}: the function is async; @task.smart_flow takes"
    ):
        task.smart_flow(flow="Letter")(function)
    with pytest.raises(ValueError, match=r"^t: the function is async"):
        smart_flow_task(function, task_id="t")


def test_a_value_of_its_own_can_be_written_into_what_the_function_returns(server: DevServer) -> None:
    run(task_of(lambda: {"Line": None}, correlation_path="Name"))
    assert "<Name>" in received(server)


# --- hidden input ---

CANARY = "canary-person-5150"


def named(first: str, *, last: str) -> dict[str, str]:
    return {"Name": f"{first} {last}"}


def test_hidden_arguments_are_used_and_not_shown(
    server: DevServer, mode: Mode, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = task_of(named, CANARY, op_kwargs={"last": CANARY}, mode=mode, hide_payload=True)
    ready = operator.prepare_for_execution()
    attempt = Attempt()
    ready.render_template_fields(attempt.context())
    ready.render_template_fields(attempt.context())
    assert (ready.op_args, ready.op_kwargs) == (
        ["hidden by hide_payload"],
        {"last": "hidden by hide_payload"},
    )
    assert CANARY not in str([getattr(ready, name) for name in ready.template_fields])
    run_task(ready, attempt)
    assert received(server) == f"<Letter><Name>{CANARY} {CANARY}</Name></Letter>"
    assert CANARY not in capsys.readouterr().out
    assert CANARY not in json.dumps(attempt.xcoms)


def test_a_hidden_function_without_arguments_is_called(server: DevServer) -> None:
    run(task_of(lambda: {"Name": "Ada"}, hide_payload=True))
    assert received(server) == XML
