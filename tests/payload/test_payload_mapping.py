"""Mappings as documents, with and without a schema."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest

from smartflows_provider.payload.build import MappingInput, prepare
from smartflows_provider.payload.errors import (
    SchemaViolation,
    UnknownNames,
    UnsupportedInput,
    UnusableName,
    UnusableText,
)
from smartflows_provider.payload.options import Style

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def xml(data, *, root=None, xsd=None, **style) -> str:
    payload = prepare(MappingInput(data=data, root=root, style=Style(**style)), xsd=xsd)
    text = payload.body.decode()
    assert text.startswith(HEAD)
    return text.removeprefix(HEAD).rstrip("\n")


@pytest.mark.parametrize(
    ("data", "document"),
    [
        ({"a": {"b": 1, "c": {"d": "x"}}}, "<a><b>1</b><c><d>x</d></c></a>"),
        ({"a": {"b": [1, "two", True]}}, "<a><b>1</b><b>two</b><b>true</b></a>"),
        ({"a": {"b": (n for n in (1, 2))}}, "<a><b>1</b><b>2</b></a>"),
        ({"a": {"b": []}}, "<a></a>"),
        ({"a": {"@k": 1, "b": None}}, '<a k="1"></a>'),
        ({"a": {"@k": None}}, "<a></a>"),
        ({"a": {"b": {"@unit": "km", "#text": Decimal("1.50")}}}, '<a><b unit="km">1.50</b></a>'),
        ({"a": None}, "<a></a>"),
        ({"a": "x < y & z > w\r"}, "<a>x &lt; y &amp; z &gt; w&#13;</a>"),
        ({"a": {"@k": 'a"b<c&d\n\t\r'}}, '<a k="a&quot;b&lt;c&amp;d&#10;&#9;&#13;"></a>'),
        ({"a": {"@xml:lang": "nl"}}, '<a xml:lang="nl"></a>'),
        ({"a": {"@xmlns": "urn:d", "b": 1}}, '<a xmlns="urn:d"><b>1</b></a>'),
        (
            {"p:a": {"@xmlns:p": "urn:p", "p:b": 1, "@p:k": 2}},
            '<p:a xmlns:p="urn:p" p:k="2"><p:b>1</p:b></p:a>',
        ),
        ({"a": {"b": [{"@xmlns": "urn:d", "c": 1}, 2]}}, '<a><b xmlns="urn:d"><c>1</c></b><b>2</b></a>'),
        ({"{urn:d}a": {"{urn:d}b": 1, "c": 2}}, '<a xmlns="urn:d"><b>1</b><c xmlns="">2</c></a>'),
        ({"a": {"@{urn:q}k": 1}}, '<a xmlns:ns1="urn:q" ns1:k="1"></a>'),
        ({"é": {"ünï.-1": 1}}, "<é><ünï.-1>1</ünï.-1></é>"),
    ],
)
def test_mapping_becomes_xml(data, document):
    assert xml(data) == document


def test_namespaces_are_declared_once_on_the_root():
    data = {"report": {"p:row": [{"p:x": 1}, {"p:x": 2}]}}
    assert xml(data, namespaces={"": "urn:d", "p": "urn:p"}) == (
        '<report xmlns="urn:d" xmlns:p="urn:p"><p:row><p:x>1</p:x></p:row>'
        "<p:row><p:x>2</p:x></p:row></report>"
    )


def test_root_name_goes_around_the_mapping():
    assert xml({"a": 1, "b": 2}, root="r") == "<r><a>1</a><b>2</b></r>"


def test_none_is_nil_or_empty_on_request():
    assert xml({"a": {"b": None}}, none_as="nil") == (
        '<a><b xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"></b></a>'
    )
    assert xml({"a": {"b": None}}, none_as="empty") == "<a><b></b></a>"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            {"a": 1, "b": 2},
            UnsupportedInput,
            "`root` is missing: it names the element around all others",
        ),
        ({}, UnsupportedInput, "`root` is missing: it names the element around all others"),
        (
            {"a": [1, 2]},
            UnsupportedInput,
            "/a: a document has one root element, and the list would make several",
        ),
        (
            {"a": {"b": [[1]]}},
            UnsupportedInput,
            "/a/b: a list has no XML form here, only as the value of a key",
        ),
        (
            {"a": {"b": [{"c d": 1}]}},
            UnusableName,
            (
                "/a/b, field 'c d': 'c d' is not a legal XML name (letters, digits, '_', '-' and '.', "
                "no spaces, not beginning with a digit); rename the field"
            ),
        ),
        ({"a": {1: 1}}, UnusableName, "/a, field 1: a name must be a string, not int (1)"),
        (
            {"a": {"p:b": 1}},
            UnusableName,
            "/a, field 'p:b': the prefix of 'p:b' is not declared; declare it in `namespaces`",
        ),
        (
            {"a": {"{urn:b": 1}},
            UnusableName,
            "/a, field '{urn:b': '{urn:b' lacks the '}' that ends its namespace",
        ),
        ({"a": {"{u\0}b": 1}}, UnusableName, "/a, field '{u\\x00}b': 'u\\x00' is not usable as a namespace"),
        ({"a": {"@xmlns:x y": "u"}}, UnusableName, "/a: 'x y' cannot be declared as a prefix"),
        ({"a": {"@xmlns:p": "a<b"}}, UnusableName, "/a: 'a<b' is not usable as a namespace"),
        (
            {"a": {"b": [{"c": 1}, {"c": "x\0"}]}},
            UnusableText,
            (
                "/a/b[2]/c: XML cannot carry the character U+0000 at position 1; remove it from the data, "
                "or have it replaced by U+FFFD with bad_characters='replace'"
            ),
        ),
        (
            {"a": {"@xmlns:p": "u", "@p:k": 1, "@{u}k": 2}},
            UnsupportedInput,
            "/a/@{u}k: the attribute is given twice",
        ),
    ],
)
def test_mapping_that_cannot_be_xml_is_an_error_that_names_the_path(data, error, message):
    with pytest.raises(error) as caught:
        xml(data)
    assert str(caught.value) == message


def test_mapping_that_contains_itself_ends_in_an_error():
    data: dict = {}
    data["a"] = {"b": data}
    with pytest.raises(UnsupportedInput, match="is nested more than 200 levels deep, or contains itself"):
        xml(data, root="r")


def test_schema_gives_order_namespace_and_types_whatever_the_order_of_the_keys(report_xsd):
    data = {
        "total": 12.0,
        "row": [
            {
                "since": datetime(2001, 2, 3),
                "active": True,
                "delay": 1e-3,
                "flights": Decimal("12.0"),
                "carrier": 9,
                "@rank": 1.0,
            },
            {"flights": True, "carrier": "AA"},
        ],
        "month": date(2013, 1, 1),
    }
    assert xml(data, xsd=report_xsd) == (
        '<report xmlns="urn:report"><month>2013-01</month>'
        '<row rank="1"><carrier>9</carrier><flights>12</flights><delay>0.001</delay><active>true</active>'
        "<since>2001-02-03</since></row>"
        "<row><carrier>AA</carrier><flights>1</flights></row><total>12</total></report>"
    )
    assert xml({"report": data}, xsd=report_xsd) == xml(data, root="report", xsd=report_xsd)
    assert xml({"{urn:report}report": data}, xsd=report_xsd) == xml(data, xsd=report_xsd)


def test_key_that_the_schema_does_not_know_is_named_with_those_it_knows(report_xsd):
    with pytest.raises(UnknownNames) as caught:
        xml({"month": "2013-01", "row": [{"carrier": "UA"}, {"colour": "red"}]}, xsd=report_xsd)
    assert str(caught.value) == (
        "/report/row[2]: the schema has no 'colour' here; it has: "
        "@rank, carrier, flights, delay, active, since"
    )
    with pytest.raises(
        UnknownNames, match=r"^/report: the schema has no '@id' here; it has: month, row, total$"
    ):
        xml({"@id": 1, "month": "2013-01"}, xsd=report_xsd)
    with pytest.raises(UnknownNames, match=r"^/report: the schema has no '{urn:x}month' here"):
        xml({"{urn:x}month": "2013-01"}, xsd=report_xsd)
    with pytest.raises(
        UnknownNames, match=r"^root: the schema has no 'rapport' here; it has: {urn:report}report$"
    ):
        xml({"month": "2013-01"}, root="rapport", xsd=report_xsd)


def test_missing_and_unfit_values_are_violations_with_their_path(report_xsd):
    with pytest.raises(SchemaViolation) as caught:
        xml({"month": "2013-01", "row": {"flights": 2.5}}, xsd=report_xsd)
    assert str(caught.value) == (
        "the XML does not follow the schema (1 problem):\n"
        "  line 2, /report/row[1]/flights[1]: This element is not expected. Expected is ( carrier )"
    )


def test_nil_fits_a_nillable_element(report_xsd):
    data = {"month": "2013-01", "row": {"carrier": "UA", "flights": 1, "since": None}}
    assert "<since xsi:nil=" not in xml(data, xsd=report_xsd)
    assert 'xsi:nil="true"></since>' in xml(data, xsd=report_xsd, none_as="nil")


XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'


def write_xsd(folder, body: str, *, attributes: str = "") -> object:
    path = folder / "s.xsd"
    path.write_text(f"<xs:schema {XS} {attributes}>{body}</xs:schema>")
    return path


def test_local_elements_without_namespace_stay_without_one(tmp_path):
    xsd = write_xsd(
        tmp_path,
        '<xs:element name="a"><xs:complexType><xs:sequence><xs:element name="b" type="xs:int"/></xs:sequence>'
        "</xs:complexType></xs:element>",
        attributes='targetNamespace="urn:t"',
    )
    assert xml({"b": 1}, xsd=xsd) == '<ns0:a xmlns:ns0="urn:t"><b>1</b></ns0:a>'


def test_repeated_groups_are_interleaved_as_the_model_wants(tmp_path):
    xsd = write_xsd(
        tmp_path,
        '<xs:element name="a"><xs:complexType><xs:sequence maxOccurs="unbounded">'
        '<xs:element name="n" type="xs:int"/><xs:element name="v" type="xs:string"/></xs:sequence>'
        "</xs:complexType></xs:element>",
    )
    assert xml({"v": ["x", "y"], "n": [1, 2]}, xsd=xsd) == "<a><n>1</n><v>x</v><n>2</n><v>y</v></a>"


def test_choices_substitutes_lists_any_and_simple_content_follow_the_schema(tmp_path):
    xsd = write_xsd(
        tmp_path,
        '<xs:element name="base" abstract="true"/>'
        '<xs:element name="late" substitutionGroup="base" type="xs:int"/>'
        '<xs:complexType name="price"><xs:simpleContent><xs:extension base="xs:decimal">'
        '<xs:attribute name="unit" type="xs:string"/></xs:extension></xs:simpleContent></xs:complexType>'
        '<xs:element name="a"><xs:complexType><xs:sequence>'
        '<xs:choice><xs:element name="x" type="xs:int"/><xs:element name="y" type="xs:int"/></xs:choice>'
        '<xs:element ref="base"/>'
        '<xs:element name="many"><xs:simpleType><xs:list itemType="xs:int"/></xs:simpleType></xs:element>'
        '<xs:element name="cost" type="price"/>'
        '<xs:any minOccurs="0" processContents="skip" namespace="##any"/>'
        "</xs:sequence></xs:complexType></xs:element>",
    )
    data = {
        "other": "free",
        "cost": {"#text": 5e-7, "@unit": "EUR"},
        "many": [1.0, 2, True],
        "late": 3.0,
        "y": 4,
    }
    assert xml(data, root="a", xsd=xsd) == (
        '<a><y>4</y><late>3</late><many>1 2 1</many><cost unit="EUR">0.0000005</cost><other>free</other></a>'
    )


def test_type_that_contains_itself_is_followed_as_deep_as_the_mapping_goes(tmp_path):
    xsd = write_xsd(
        tmp_path,
        '<xs:element name="node"><xs:complexType><xs:sequence><xs:element name="label" type="xs:string"/>'
        '<xs:element ref="node" minOccurs="0" maxOccurs="unbounded"/></xs:sequence></xs:complexType>'
        "</xs:element>",
    )
    data = {"node": {"node": [{"label": "b", "node": {"label": "c"}}], "label": "a"}}
    assert xml(data, xsd=xsd) == (
        "<node><label>a</label><node><label>b</label><node><label>c</label></node></node></node>"
    )


def test_elements_of_a_group_that_is_repeated_deep_inside_the_model_take_turns(tmp_path):
    xsd = tmp_path / "x.xsd"
    xsd.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType>'
        '<xs:sequence><xs:element name="a"/><xs:sequence minOccurs="0"><xs:sequence maxOccurs="9">'
        '<xs:element name="b"/><xs:element name="c"/></xs:sequence></xs:sequence></xs:sequence>'
        "</xs:complexType></xs:element></xs:schema>"
    )
    assert xml({"r": {"c": [3, 4], "b": [1, 2], "a": 0}}, xsd=xsd) == (
        "<r><a>0</a><b>1</b><c>3</c><b>2</b><c>4</c></r>"
    )


def test_lists_of_lists_are_several_elements_where_the_type_of_each_is_a_list(tmp_path):
    xsd = tmp_path / "x.xsd"
    xsd.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType>'
        '<xs:sequence><xs:element name="a" maxOccurs="9" nillable="true"><xs:simpleType>'
        '<xs:list itemType="xs:int"/></xs:simpleType></xs:element></xs:sequence></xs:complexType>'
        "</xs:element></xs:schema>"
    )
    assert xml({"r": {"a": [1, 2]}}, xsd=xsd) == "<r><a>1 2</a></r>"
    assert xml({"r": {"a": [[1, 2], [], [3]]}}, xsd=xsd) == "<r><a>1 2</a><a></a><a>3</a></r>"
    nil = xml({"r": {"a": [None, None]}}, xsd=xsd, none_as="nil")
    assert nil.count('xsi:nil="true"></a>') == 2
