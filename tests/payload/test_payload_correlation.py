"""A value of our own goes to the place that the author has named, and to no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from smartflows_provider.payload.build import (
    MappingInput,
    NoInput,
    PayloadInput,
    RecordsInput,
    RowsInput,
    XmlInput,
    prepare,
)
from smartflows_provider.payload.correlation import Correlation
from smartflows_provider.payload.errors import NotWellFormed, SchemaViolation, UnsupportedInput

VALUE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def built(source: PayloadInput, path: str, *, value: str = VALUE, **options: Any) -> bytes:
    with prepare(source, correlation=Correlation(path=path, value=value), **options) as payload:
        body = payload.body
        return body.read_bytes() if isinstance(body, Path) else (body or b"")


def text_at(xml: bytes, path: str) -> list[str]:
    return [str(found) for found in etree.fromstring(xml).xpath(path)]


@pytest.mark.parametrize(
    ("data", "root"), [({"a": 1}, "order"), ({"order": {"a": 1}}, None), ({"order": None}, None)]
)
def test_a_mapping_gets_the_value_and_the_elements_on_the_way(data: dict[str, Any], root: str | None) -> None:
    xml = built(MappingInput(data=data, root=root), "head/reference")
    assert text_at(xml, "/order/head/reference/text()") == [VALUE]


def test_a_mapping_is_not_changed() -> None:
    data: dict[str, Any] = {"order": {"head": {"title": "T"}}}
    built(MappingInput(data=data), "head/reference")
    assert data == {"order": {"head": {"title": "T"}}}


def test_an_attribute_can_carry_the_value() -> None:
    xml = built(MappingInput(data={"order": {"head": {"t": 1}}}), "head/@reference")
    assert text_at(xml, "/order/head/@reference") == [VALUE]
    assert text_at(built(MappingInput(data={"order": {"a": 1}}), "@reference"), "/order/@reference") == [
        VALUE
    ]


def test_rows_get_the_value_in_their_header() -> None:
    source = RowsInput(rows=[{"n": 1}, {"n": 2}], root="table", row="row", header={"head": {"t": 1}})
    xml = built(source, "head/reference")
    assert text_at(xml, "/table/head/reference/text()") == [VALUE]
    assert text_at(xml, "/table/row/n/text()") == ["1", "2"]


@pytest.mark.parametrize(
    "xml",
    [
        "<order><head><reference/></head></order>",
        "<order><head><reference> </reference></head></order>",
        '<order xmlns="urn:x"><head><reference></reference></head></order>',
        b'<?xml version="1.0" encoding="latin-1"?><order><t>\xe9</t><head><reference/></head></order>',
        etree.fromstring("<order><head><reference/></head></order>"),
    ],
)
def test_xml_gets_the_value_in_its_empty_element_whatever_the_namespace(xml: Any) -> None:
    sent = built(XmlInput(xml=xml), "head/reference")
    assert text_at(sent, "//*[local-name() = 'reference']/text()") == [VALUE]


def test_xml_gets_the_value_in_an_attribute_that_may_be_missing() -> None:
    xml = "<order><head/></order>"
    assert text_at(built(XmlInput(xml=xml), "head/@reference"), "/order/head/@reference") == [VALUE]


@pytest.mark.parametrize(
    ("xml", "count"), [("<order/>", 0), ("<order><head><reference/><reference/></head></order>", 2)]
)
def test_xml_without_the_one_place_is_refused(xml: str, count: int) -> None:
    with pytest.raises(UnsupportedInput, match=f"the XML has {count} such elements; it must have one"):
        built(XmlInput(xml=xml), "head/reference")


@pytest.mark.parametrize(
    "source",
    [
        XmlInput(xml="<order><head><reference>mine</reference></head></order>"),
        XmlInput(xml="<order><head><reference><x/></reference></head></order>"),
        MappingInput(data={"order": {"head": {"reference": "mine"}}}),
        RowsInput(rows=[], root="order", header={"head": {"reference": 7}}),
    ],
)
def test_a_place_that_the_input_fills_itself_is_refused(source: PayloadInput) -> None:
    with pytest.raises(UnsupportedInput, match="'head/reference', which the input fills itself"):
        built(source, "head/reference")


@pytest.mark.parametrize("content", ["text", 5, [{"a": 1}]])
def test_a_value_on_the_way_is_refused(content: object) -> None:
    with pytest.raises(UnsupportedInput, match="a value or a list stands on the way to it"):
        built(MappingInput(data={"order": {"head": content}}), "head/reference")


@pytest.mark.parametrize("path", ["", "/", "@a/b"])
def test_a_path_that_names_no_place_is_refused(path: str) -> None:
    with pytest.raises(UnsupportedInput, match="it names an element below the root"):
        built(MappingInput(data={"order": {"a": 1}}), path)


@pytest.mark.parametrize(
    "source", [NoInput(), RecordsInput(records={"id": "1", "entity": "account", "userId": "u"})]
)
def test_input_that_is_no_xml_has_no_place_for_it(source: PayloadInput) -> None:
    with pytest.raises(UnsupportedInput, match="names a place in XML"):
        built(source, "reference")


def test_xml_that_is_none_is_refused_with_its_place() -> None:
    with pytest.raises(NotWellFormed, match="not well-formed at line 2"):
        built(XmlInput(xml="<order>\n<head></order>"), "head/reference")


def test_the_schema_has_the_last_word(report_xsd: Path) -> None:
    source = MappingInput(data={"report": {"month": "2026-11", "row": [{"carrier": "UA", "flights": 1}]}})
    with pytest.raises(SchemaViolation, match="total"):
        built(source, "total", xsd=report_xsd)


@pytest.mark.parametrize("limit", [1, 1 << 20])
@pytest.mark.parametrize(
    "source",
    [
        MappingInput(data={"order": {"a": "x" * 200_000, "reference": None, "b": "y" * 200_000}}),
        RowsInput(rows=[{"n": index} for index in range(5000)], root="order", header={}),
        XmlInput(xml="<order><a>" + "x" * 65_530 + "</a><reference/></order>"),
    ],
)
def test_equal_input_has_an_equal_fingerprint_whatever_the_value_is(source: PayloadInput, limit: int) -> None:
    def fingerprint(value: str) -> str:
        correlation = Correlation(path="reference", value=value)
        with prepare(source, correlation=correlation, memory_limit=limit) as payload:
            return payload.fingerprint

    assert fingerprint("a" * 32) == fingerprint("b" * 32)


def test_other_input_has_another_fingerprint() -> None:
    def fingerprint(text: str) -> str:
        source = MappingInput(data={"order": {"text": text}})
        with prepare(source, correlation=Correlation(path="reference", value=VALUE)) as payload:
            return payload.fingerprint

    assert fingerprint("a") != fingerprint("b")


@pytest.mark.parametrize(
    ("row", "path"), [("row", "row"), ("rows/row", "rows/reference"), ("{urn:a}rows/row", "rows/@reference")]
)
def test_a_place_among_rows_is_refused_because_it_would_be_a_row_or_a_second_table(
    row: str, path: str
) -> None:
    with pytest.raises(UnsupportedInput, match=f"^correlation_path is '{path}', but the rows are there"):
        built(RowsInput(rows=[{"a": 1}], root="order", row=row), path)


@pytest.mark.parametrize("path", ["{urn:a}head/reference", "a:head/a:reference"])
def test_names_of_a_path_are_compared_without_namespaces(path: str) -> None:
    xml = built(XmlInput(xml='<order xmlns="urn:a"><head><reference/></head></order>'), path)
    assert text_at(xml, "//*[local-name()='reference']/text()") == [VALUE]


@pytest.mark.parametrize("path", ["*", "head/*", "a b"])
def test_what_is_no_name_finds_no_place_in_xml(path: str) -> None:
    with pytest.raises(UnsupportedInput, match=r"is no legal name$"):
        built(XmlInput(xml="<order><head/></order>"), path)


def test_xml_beyond_the_limits_of_parsers_is_refused_without_advice_to_programmers() -> None:
    with pytest.raises(NotWellFormed) as caught:
        built(XmlInput(xml="<a>" * 300 + "</a>" * 300), "reference")
    assert str(caught.value).endswith("Excessive depth in document: 256")


def test_an_attribute_may_have_the_name_of_a_row() -> None:
    xml = built(RowsInput(rows=[{"a": 1}], root="order", row="row"), "@row")
    assert text_at(xml, "/order/@row") == [VALUE]
