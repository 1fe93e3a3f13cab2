"""Hostile input and output reach a DAG author as errors of the tree, alike in both modes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.outcomes import both
from support.service import panel_flow

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowException,
    FlowInputError,
    FlowOutputError,
)
from smartflows_provider.output import extractor

XSD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="{}"/></xs:schema>'
HALF = "\ud800"


def failure(server: DevServer, kind: type[FlowException], **arguments: Any) -> str:
    run = both(server, **arguments)
    assert type(run.error) is kind, run.error
    run.message.encode()
    assert "Smart Flows, connection 'smartflows_default'" in run.message
    return run.message


@pytest.fixture(autouse=True)
def flows(server: DevServer) -> None:
    panel_flow(server, {"kind": "output", "values": {"a": 1}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": '{"a": {"b": 1, "b": 2}}'}, "not JSON: the key 'b' comes twice in one object"),
        ({"data": '{"a": NaN}'}, "not JSON: NaN is no JSON number"),
        ({"data": '{"a": 1e99999999999999999999}'}, "or an exponent beyond all use"),
        ({"data": "[" * 100_000}, "Data is text, but not JSON: it is nested too deeply"),
        ({"data": {"a": {"b": 10**5000}}}, "/a/b: the number has more than 4,300 digits"),
        ({"data": {"a": {HALF: 1}}}, "is not a legal XML name"),
        ({"records": '{"id": "1", "id": "2"}'}, "the key 'id' comes twice"),
        ({"rows": '[{"a": 1, "a": 1}]', "root": "r", "row": "l"}, "the key 'a' comes twice"),
        ({"rows": [{"a": HALF}], "root": "r", "row": "l"}, "ow 1/a: XML cannot carry the character U+D800"),
        ({"rows": [{"a": 1}], "root": "r", "row": "l", "header": {"b": 10**5000}}, "4,300 digits"),
        ({"xml": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'}, "holds a DOCTYPE"),
        ({"xml": "<a>" * 10_000}, "Excessive depth in document"),
        ({"xml": f"<a>{HALF}</a>"}, "XML cannot carry the character U+D800"),
    ],
)
def test_hostile_input_is_an_input_error_and_nothing_starts(
    server: DevServer, arguments: dict[str, Any], message: str
) -> None:
    text = failure(server, FlowInputError, **arguments)
    assert message in text
    assert "Nothing was started." in text
    assert server.executions() == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "//[x", "http://127.0.0.1:9/x.xsd", "%00"])
def test_a_hostile_xsd_is_an_input_error(server: DevServer, tmp_path: Path, location: str) -> None:
    xsd = tmp_path / "x.xsd"
    xsd.write_text(XSD.format(location))
    assert "he XSD " in failure(server, FlowInputError, data={"a": 1}, xsd=xsd)
    assert server.executions() == []


def test_rows_that_go_wrong_after_a_hundred_thousand_name_the_row(server: DevServer, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good, bad = json.dumps({"a": 1}) + "\n", '{"a": "\\u0000"}\n'
    path.write_text(good * 100_000 + bad)
    text = failure(server, FlowInputError, rows=path, root="r", row="l")
    assert "ow 100001/a: XML cannot carry the character U+0000" in text


def test_a_flow_named_by_half_a_character_is_refused(server: DevServer) -> None:
    text = failure(server, FlowConfigurationError, flow=HALF)
    assert "The argument flow is '\\ud800'; it takes an id or a name as text." in text


def test_an_output_nested_too_deeply_is_an_output_error(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor, "MAX_DEPTH", 5)
    values: dict[str, Any] = {"a": 1}
    for _ in range(8):
        values = {"a": values}
    server.add_flow(name="Deep", steps=[{"kind": "output", "values": values}])
    text = failure(server, FlowOutputError, flow="Deep")
    assert "nested deeper than 5 levels; make the flow's output flatter" in text


@pytest.mark.parametrize("expression", ["(" * 5000, "'\ud800'"])
def test_an_expression_that_breaks_its_reader_is_an_output_error(server: DevServer, expression: str) -> None:
    assert "xpression" in failure(server, FlowOutputError, outputs={"n": expression})
