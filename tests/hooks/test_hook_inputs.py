"""Input through the hook: rows from cursors and iterators, files that are removed, errors that help."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from hook_connections import MODES, Caller, Mode, connect
from lxml import etree

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowException,
    FlowInputError,
    FlowNotFoundError,
    FlowRequestRefusedError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Report"><xs:complexType>
<xs:sequence><xs:element name="Title" type="xs:string" minOccurs="0"/><xs:element name="Line" minOccurs="0"
maxOccurs="unbounded"><xs:complexType><xs:sequence><xs:element name="Item" type="xs:string"/>
<xs:element name="Count" type="xs:int" minOccurs="0" nillable="true"/></xs:sequence></xs:complexType>
</xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"""
LINES = "<Line><Item>pen</Item><Count>2</Count></Line><Line><Item>ink</Item><Count>1</Count></Line>"
ROWS = [{"Item": "pen", "Count": 2}, {"Item": "ink", "Count": 1}]
CANARY = "canary-person-8812"


@pytest.fixture(params=MODES)
def caller(request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    mode: Mode = request.param
    server.add_flow(name="Report", start_from="program", xsd=XSD, steps=[])
    return Caller(connect(monkeypatch, server.connection_json()), mode)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, which a test finds empty at its end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def cursor() -> Iterator[sqlite3.Cursor]:
    with sqlite3.connect(":memory:", check_same_thread=False) as connection:
        connection.execute("create table lines (item, number)")
        connection.executemany("insert into lines values (?, ?)", [("pen", 2), ("ink", 1)])
        yield connection.execute('select item as "Item", number as "Count" from lines')


def sent(server: DevServer, caller: Caller, **inputs: Any) -> str:
    """Start the flow and return what the service got, without declaration and line ends."""
    execution_id = caller.start("Report", **inputs).execution_id
    text = server.input_of(execution_id).decode().replace("\n", "")
    return text.partition("?>")[2] or text


def lines(server: DevServer, caller: Caller, rows: Any, **inputs: Any) -> str:
    return sent(server, caller, rows=rows, root="Report", row="Line", **inputs)


def test_rows_can_be_a_cursor(server: DevServer, caller: Caller, cursor: sqlite3.Cursor) -> None:
    assert lines(server, caller, cursor) == f"<Report>{LINES}</Report>"


def test_the_columns_of_a_cursor_can_be_renamed(
    server: DevServer, caller: Caller, cursor: sqlite3.Cursor
) -> None:
    cursor.execute("select item, number from lines")
    assert lines(server, caller, cursor, columns=["Item", "Count"]) == f"<Report>{LINES}</Report>"


def test_rows_can_be_a_generator_and_lists_with_columns(server: DevServer, caller: Caller) -> None:
    assert lines(server, caller, (row for row in ROWS)) == f"<Report>{LINES}</Report>"
    listed = [("pen", 2), ["ink", 1]]
    assert lines(server, caller, listed, columns=["Item", "Count"]) == f"<Report>{LINES}</Report>"


def test_rows_can_be_a_file_by_path_and_by_address(server: DevServer, caller: Caller, tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    path.write_text("Item,Count\npen,2\nink,1\n")
    for rows in (path, str(path), path.as_uri()):
        assert lines(server, caller, rows) == f"<Report>{LINES}</Report>"


def test_a_mapping_follows_the_xsd_and_the_options(server: DevServer, caller: Caller, tmp_path: Path) -> None:
    xsd = tmp_path / "report.xsd"
    xsd.write_text(XSD)
    data = {"Line": {"Count": None, "Item": "a\0b"}, "Title": "Stock"}
    text = sent(server, caller, data=data, xsd=xsd, none_as="nil", bad_characters="replace")
    assert text == (
        "<Report><Title>Stock</Title><Line><Item>a\ufffdb</Item>"
        '<Count xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"></Count></Line></Report>'
    )


def test_xml_can_be_text_bytes_element_or_path(server: DevServer, caller: Caller, tmp_path: Path) -> None:
    text = "<Report><Title>T</Title></Report>"
    path = tmp_path / "report.xml"
    path.write_text(text)
    for xml in (text, text.encode(), etree.fromstring(text), path):
        assert sent(server, caller, xml=xml) == text


def test_namespaces_are_declared_on_the_root(server: DevServer, caller: Caller) -> None:
    server.add_flow(name="Report", start_from="program", xsd=XSD, steps=[])
    namespaces = {"": "urn:report", "p": "urn:people"}
    with pytest.raises(FlowException, match=r"urn:report.Report"):
        caller.start("Report", data={"Report": {"p:Name": "Ada"}}, namespaces=namespaces)


def test_records_start_a_flow_for_a_plug_in(server: DevServer, caller: Caller) -> None:
    server.add_flow(name="Plug", start_from="plugin", steps=[])
    started = caller.start("Plug", records={"id": "r1", "entity": "account", "userId": "u"}, dataset_id="d")
    assert server.input_of(started.execution_id) == b'{"id": ["r1"], "entity": "account", "userId": "u"}'


def test_a_large_input_goes_up_from_a_file_that_is_removed(
    server: DevServer, caller: Caller, temporary: Path
) -> None:
    rows = ({"Item": f"item {number:,}" * 5, "Count": number} for number in range(20_000))
    assert lines(server, caller, rows).count("<Line>") == 20_000
    assert list(temporary.iterdir()) == []
    with pytest.raises(FlowException):
        caller.start("No such flow", rows=[{"a": "x" * 1000}] * 2000, root="R", row="r")
    assert list(temporary.iterdir()) == []


def refused(caller: Caller, kind: type[FlowException], **inputs: Any) -> str:
    with pytest.raises(FlowException) as caught:
        caller.start("Report", **inputs)
    assert type(caught.value) is kind
    assert "[Smart Flows, connection 'smartflows_default', flow 'Report']\nNothing was sent.\n" in str(
        caught.value
    )
    return str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"rows": [{"Item": "a\x02"}], "root": "R", "row": "r"},
            "Row 1/Item: XML cannot carry the character U+0002",
        ),
        ({"rows": [], "root": "R"}, "Rows need `row`, the name of each row's element"),
        ({"rows": 5, "root": "R", "row": "r"}, "Rows is of type int; it takes a list of mappings, a cursor"),
        ({"rows": [], "row": "r"}, "`root` is missing"),
        (
            {"rows": [], "root": "R", "row": "r", "columns": 3},
            "Columns is of type int; it takes a list of names",
        ),
        (
            {"rows": "/no/such.csv", "root": "R", "row": "r"},
            "The input cannot be read: [Errno 2] No such file",
        ),
        ({"data": {"a b": 1}, "root": "R"}, "'a b' is not a legal XML name"),
        ({"xml": "<a>"}, "The XML is not well-formed at line 1"),
    ],
)
def test_an_input_that_cannot_be_sent_is_refused_before_anything_is(
    server: DevServer, caller: Caller, inputs: dict[str, Any], message: str
) -> None:
    assert message in refused(caller, FlowInputError, **inputs)
    assert not [request for request in server.requests if request.method == "POST"]


def test_a_storage_that_is_not_known_is_named(caller: Caller) -> None:
    try:
        ObjectStoragePath("nosuch://x.csv")
    except ValueError:
        message = "'nosuch://x.csv' leads to no storage that is known"
    else:
        # Older releases of universal-pathlib notice it only where the file is opened.
        message = "No filesystem registered for scheme nosuch"
    assert message in refused(caller, FlowInputError, rows="nosuch://x.csv", root="R", row="r")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"xml": "<a/>", "data": {}}, "the input is given twice, as xml and data."),
        ({"body": b"<a/>", "rows": []}, "the input is given twice, as body and rows."),
        ({"xml": "<a/>", "none_as": "null"}, "none_as is 'null'; it takes one of 'absent', 'nil', 'empty'."),
        (
            {"xml": "<a/>", "bad_characters": "drop"},
            "bad_characters is 'drop'; it takes one of 'fail', 'replace'.",
        ),
        ({"xlm": "<a/>"}, "unexpected keyword argument 'xlm'"),
    ],
)
def test_arguments_that_contradict_each_other_are_named(
    caller: Caller, inputs: dict[str, Any], message: str
) -> None:
    assert message in refused(caller, FlowConfigurationError, **inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        {"data": {f"{CANARY} B": 1}, "root": "R"},
        {"data": {CANARY: 1}, "xsd": "report.xsd"},
        {"data": {"Line": {"Item": "a", "Count": CANARY}}, "xsd": "report.xsd"},
        {"xml": f"<Name>Tom &{CANARY}; Co</Name>"},
        {"rows": "people.csv", "root": "R", "row": "r"},
    ],
)
def test_with_hide_payload_a_message_holds_no_word_of_the_input(
    caller: Caller, inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("report.xsd").write_text(XSD)
    Path("people.csv").write_text(f"{CANARY},{CANARY}\n1,2\n")
    assert CANARY in refused(caller, FlowInputError, **inputs)
    assert CANARY not in refused(caller, FlowInputError, **inputs, hide_payload=True)


def test_with_hide_payload_the_service_is_not_quoted_either(caller: Caller) -> None:
    data = {"Line": {"Item": "a", "Count": CANARY}}
    for hide_payload in (False, True):
        with pytest.raises(FlowRequestRefusedError, match="answered with 400") as caught:
            caller.start("Report", data=data, root="Report", hide_payload=hide_payload)
        assert (CANARY in str(caught.value)) is not hide_payload
        with pytest.raises(FlowNotFoundError, match="no flow is named 'No such'"):
            caller.start("No such", data=data, root="Report", hide_payload=hide_payload)


# --- the event loop ---


@pytest.fixture
def hook(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> SmartFlowsHook:
    server.add_flow(name="Report", start_from="program", xsd=XSD, steps=[])
    return connect(monkeypatch, server.connection_json())


async def test_the_event_loop_goes_on_while_an_input_is_prepared(hook: SmartFlowsHook) -> None:
    loop_went_on = threading.Event()

    def rows() -> Iterator[dict[str, Any]]:
        assert loop_went_on.wait(20)
        yield from ROWS

    asyncio.get_running_loop().call_later(0.05, loop_went_on.set)
    async with hook:
        started = await hook.astart("Report", rows=rows(), root="Report", row="Line")
    assert started.execution_id


def test_an_input_for_which_nobody_waits_any_more_leaves_no_file(
    hook: SmartFlowsHook, temporary: Path
) -> None:
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(20_000):
            yield {"Item": f"item {number}" * 5}
        begun.set()
        go_on.wait(20)
        yield {"Item": "last"}
        over.set()

    async def start_and_give_up() -> None:
        starting = asyncio.create_task(hook.astart("Report", rows=rows(), root="Report", row="Line"))
        await asyncio.to_thread(begun.wait, 20)
        assert len(list(temporary.iterdir())) == 1
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await hook.aclose()

    asyncio.run(start_and_give_up())
    go_on.set()
    assert over.wait(20)
    until = time.monotonic() + 20
    while list(temporary.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    gc.collect()
    assert list(temporary.iterdir()) == []
