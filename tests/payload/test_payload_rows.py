"""Rows as documents: order, header, types, and messages that name row and field."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from smartflows_provider.payload.build import MappingInput, RowsInput, prepare
from smartflows_provider.payload.documents import write_rows
from smartflows_provider.payload.errors import (
    PayloadError,
    SchemaViolation,
    UnknownNames,
    UnsupportedInput,
    UnusableName,
    UnusableText,
)
from smartflows_provider.payload.options import Style

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def xml(rows, *, xsd=None, **options) -> str:
    return prepare(RowsInput(rows=rows, **options), xsd=xsd).body.decode().removeprefix(HEAD)


def test_rows_become_elements_one_per_line():
    rows = [{"a": 1, "b": "x & y"}, {"b": None, "a": 2.5}, {}]
    assert xml(rows, root="r") == (
        "<r>\n<row><a>1</a><b>x &amp; y</b></row>\n<row><a>2.5</a></row>\n<row></row>\n</r>\n"
    )


def test_sequences_take_their_names_from_the_columns():
    assert xml(iter([(1, "x"), [2, None]]), root="r", row="e", columns=("a", "b")) == (
        "<r>\n<e><a>1</a><b>x</b></e>\n<e><a>2</a></e>\n</r>\n"
    )


def test_row_may_be_a_path_and_the_header_stands_before_the_rows():
    document = xml([{"a": 1}], root="r", row="rows/row", header={"@id": 7, "title": "T", "tag": ["x", "y"]})
    assert document == (
        '<r id="7"><title>T</title><tag>x</tag><tag>y</tag><rows>\n<row><a>1</a></row>\n</rows></r>\n'
    )


def test_nested_values_and_attributes_work_inside_rows():
    rows = [{"@k": 1, "a": {"b": 2}}, {"a": [1, 2]}, {"a": 5}]
    assert xml(rows, root="r") == (
        '<r>\n<row k="1"><a><b>2</b></a></row>\n<row><a>1</a><a>2</a></row>\n<row><a>5</a></row>\n</r>\n'
    )


def test_namespaces_apply_to_rows_written_either_way():
    style = Style(namespaces={"": "urn:d", "p": "urn:p"})
    rows = [{"a": 1, "p:b": 2, "{urn:q}c": 3}, {"a": {"x": 1}}]
    assert xml(rows, root="r", style=style) == (
        '<r xmlns="urn:d" xmlns:p="urn:p">\n<row><a>1</a><p:b>2</p:b><c xmlns="urn:q">3</c></row>\n'
        "<row><a><x>1</x></a></row>\n</r>\n"
    )


def test_schema_orders_fields_types_values_and_places_the_rows_among_the_header(report_xsd):
    rows = [
        {"since": date(2001, 2, 3), "active": 1, "delay": Decimal("1E-3"), "flights": 12.0, "carrier": "UA"},
        {"flights": Decimal("3.00"), "carrier": "AA", "since": None},
    ]
    header = {"total": 15, "month": date(2013, 1, 1)}
    assert xml(rows, header=header, xsd=report_xsd) == (
        '<report xmlns="urn:report"><month>2013-01</month>\n'
        "<row><carrier>UA</carrier><flights>12</flights><delay>0.001</delay><active>1</active>"
        "<since>2001-02-03</since></row>\n"
        "<row><carrier>AA</carrier><flights>3</flights></row>\n"
        "<total>15</total></report>\n"
    )


def test_order_of_columns_does_not_change_the_payload(report_xsd):
    header = {"month": "2013-01"}
    one = prepare(RowsInput(rows=[{"carrier": "UA", "flights": 1}], header=header), xsd=report_xsd)
    two = prepare(RowsInput(rows=[{"flights": 1, "carrier": "UA"}], header=header), xsd=report_xsd)
    assert one.fingerprint == two.fingerprint


def test_no_rows_are_for_the_schema_to_judge(report_xsd):
    assert xml([], root="r") == "<r>\n</r>\n"
    with pytest.raises(SchemaViolation) as caught:
        xml([], header={"month": "2013-01"}, xsd=report_xsd)
    assert str(caught.value) == (
        "the XML does not follow the schema (1 problem):\n"
        "  line 3, /report: Missing child element(s). Expected is ( row )"
    )


def test_violation_names_line_and_row(report_xsd):
    rows = [{"carrier": "UA", "flights": 1}] * 3 + [{"carrier": "AA", "flights": "n/a"}]
    with pytest.raises(SchemaViolation) as caught:
        xml(rows, header={"month": "2013-01"}, xsd=report_xsd)
    assert str(caught.value) == (
        "the XML does not follow the schema (1 problem):\n"
        "  line 6, /report/row[4]/flights[1]: 'n/a' is not a valid value of the atomic type 'xs:int'"
    )


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        ([{"a": 1}], {}, UnsupportedInput, "`root` is missing: it names the element around all others"),
        (
            [{"a": 1}, {"1a": 1}],
            {"root": "r"},
            UnusableName,
            "row 2, field '1a': '1a' is not a legal XML name",
        ),
        (
            [{"a": 1}, {"a": "\x02"}],
            {"root": "r"},
            UnusableText,
            "row 2/a: XML cannot carry the character U+0002",
        ),
        (
            [{"a": 1}, {"a": 1j}],
            {"root": "r"},
            UnsupportedInput,
            "row 2/a: a value of type complex has no XML form",
        ),
        (
            [{"a": 1}, 5],
            {"root": "r"},
            UnsupportedInput,
            "row 2: a row is a mapping or a list, not int",
        ),
        (
            [(1, 2)],
            {"root": "r"},
            UnsupportedInput,
            "row 1: a row that is a list needs `columns`, the names of its fields",
        ),
        ([(1, 2)], {"root": "r", "columns": ("a",)}, UnsupportedInput, "row 1: 2 values for 1 columns"),
        ([], {"root": "r", "columns": ("a", "a")}, UnsupportedInput, "the column 'a' comes twice; give each"),
        (
            [],
            {"root": "r", "row": ""},
            UnsupportedInput,
            "`row` names the element of a row, such as 'row' or",
        ),
        ([], {"root": "a b"}, UnusableName, "root: 'a b' is not a legal XML name"),
        ([], {"root": "r", "row": "a b"}, UnusableName, "/r, field 'a b': 'a b' is not a legal XML name"),
        (
            [],
            {"root": "r", "header": {"x": "\0"}},
            UnusableText,
            "/r/x: XML cannot carry the character U+0000",
        ),
    ],
)
def test_faulty_rows_are_named_by_row_and_field(rows, options, error, message):
    with pytest.raises(error) as caught:
        xml(rows, **options)
    assert str(caught.value).startswith(message)


def test_field_that_the_schema_does_not_know_is_named_with_those_it_knows(report_xsd):
    with pytest.raises(UnknownNames) as caught:
        xml([{"carrier": "UA", "colour": 1}], header={"month": "2013-01"}, xsd=report_xsd)
    assert str(caught.value) == (
        "row 1: the schema has no 'colour' here; it has: @rank, carrier, flights, delay, active, since"
    )
    with pytest.raises(
        UnknownNames, match=r"^/report: the schema has no 'line' here; it has: month, row, total$"
    ):
        xml([], row="line", header={"month": "2013-01"}, xsd=report_xsd)


def test_bad_characters_are_replaced_on_request():
    assert "<a>x\ufffdy</a>" in xml([{"a": "x\0y"}], root="r", style=Style(bad_characters="replace"))


def test_none_as_nil_works_in_rows():
    assert 'xsi:nil="true"></a>' in xml([{"a": None}], root="r", style=Style(none_as="nil"))


PLAIN_ROWS = [
    {"b": 'x & "y"', "@id": 1, "a": None, "@kind": 'a<b "c"\n', "{urn:q}c": date(2013, 1, 1)},
    {"b": None, "@id": None, "a": 2.5, "@kind": True, "{urn:q}c": None},
    {"@p:q": 1, "b": 1},
    {"@xmlns:z": "urn:z", "z:b": 1},
    {"#text": "t", "@id": 2},
]


@pytest.mark.parametrize("none", ["absent", "nil", "empty"])
@pytest.mark.parametrize("namespaces", [{"p": "urn:p"}, {"": "urn:d", "p": "urn:p"}])
def test_rows_are_written_as_the_same_mappings_in_a_list_are(none, namespaces):
    style = Style(none_as=none, namespaces=namespaces)
    one_by_one = MappingInput(data={"row": PLAIN_ROWS}, root="r", style=style)
    written = xml(PLAIN_ROWS, root="r", style=style)
    assert written.replace("\n", "") == prepare(one_by_one).body.decode().removeprefix(HEAD).replace("\n", "")
    assert 'id="1" kind="a&lt;b &quot;c&quot;&#10;"' in written


def test_attribute_that_is_given_twice_is_named():
    with pytest.raises(UnsupportedInput, match=r"^row 1/@{}id: the attribute is given twice$"):
        xml([{"@id": 1, "@{}id": 2}], root="r")


def test_attributes_of_rows_follow_the_schema(report_xsd):
    rows = [{"@rank": 3.0, "carrier": "UA", "flights": 1}]
    assert '<row rank="3"><carrier>' in xml(rows, header={"month": "2013-01"}, xsd=report_xsd)
    with pytest.raises(UnknownNames, match=r"^row 1: the schema has no '@colour' here; it has: @rank, "):
        xml([{"@colour": 1, "carrier": "UA"}], header={"month": "2013-01"}, xsd=report_xsd)


def test_rows_with_ever_changing_keys_do_not_pile_up():
    count = 2500
    assert xml(({f"k{number}": 1} for number in range(count)), root="r").count("<row>") == count


def test_rows_are_read_from_a_path(tmp_path: Path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,x\n2,\n")
    assert xml(path, root="r") == "<r>\n<row><a>1</a><b>x</b></row>\n<row><a>2</a></row>\n</r>\n"


def test_large_rows_go_to_a_temporary_file_that_a_failure_removes(tmp_path):
    def rows(last):
        for number in range(5000):
            yield {"a": number}
        yield {"a": last}

    payload = prepare(RowsInput(rows=rows("x"), root="r"), memory_limit=1000, folder=tmp_path)
    assert payload.body == next(tmp_path.iterdir())
    payload.close()
    with pytest.raises(PayloadError, match="row 5001/a"):
        prepare(RowsInput(rows=rows("\0"), root="r"), memory_limit=1000, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_wide_rows_do_not_pile_up_before_they_are_written():
    sizes = []

    class Sink:
        def write(self, data):
            sizes.append(len(data))

    write_rows(
        Sink(),
        ({"a": "x" * 10_000} for _ in range(100)),
        root="r",
        row="row",
        header={},
        columns=None,
        schema=None,
        style=Style(),
    )
    assert sum(sizes) > 1_000_000
    assert max(sizes) < 100_000


@pytest.mark.parametrize(
    "row",
    [
        {"p:a": 1, "@xmlns:p": "urn:p"},
        {"@xmlns:p": "urn:p", "p:a": 1},
        {"p:a": 1, "#text": None, "@xmlns:p": "urn:p"},
    ],
)
def test_a_row_may_declare_a_prefix_before_or_after_it_uses_it(row):
    assert xml([row], root="r") == '<r>\n<row xmlns:p="urn:p"><p:a>1</p:a></row>\n</r>\n'


def test_a_value_of_a_row_may_declare_the_prefix_of_its_own_name():
    row = {"p:a": {"@xmlns:p": "urn:p", "#text": 1}}
    assert xml([row], root="r") == '<r>\n<row><p:a xmlns:p="urn:p">1</p:a></row>\n</r>\n'


@pytest.mark.parametrize(
    ("namespaces", "said"),
    [
        ({None: "urn:d"}, 'a prefix is text, not None; the one of the default namespace is ""'),
        ({1: "urn:d"}, "a prefix is text, not 1"),
        ("urn:d", "prefixes and namespaces are a mapping, not str"),
    ],
)
def test_namespaces_that_are_no_mapping_of_texts_are_refused(namespaces, said):
    with pytest.raises(UnusableName, match=f"^namespaces: {said}"):
        xml([{"a": 1}], root="r", style=Style(namespaces=namespaces))
