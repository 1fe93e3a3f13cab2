"""Input that is made to break things ends in an error of the payload, or is sent safely."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from smartflows_provider.payload import elements, prepared, tables
from smartflows_provider.payload.build import MappingInput, RecordsInput, RowsInput, XmlInput, prepare
from smartflows_provider.payload.correlation import Correlation
from smartflows_provider.payload.errors import PayloadError
from smartflows_provider.payload.json_text import NotJson, read_json

MILLION = 1_000_000
CYCLE: dict[str, Any] = {}
CYCLE["a"] = CYCLE
LIST_CYCLE: list[Any] = []
LIST_CYCLE.append(LIST_CYCLE)
ENTITIES = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'


class Endless:
    """A scalar that gives itself for its value."""

    def item(self) -> Endless:
        return self


class Raising:
    """A scalar that has no value."""

    def item(self) -> None:
        raise RuntimeError("no value")


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


def laughing(levels: int) -> dict[str, Any]:
    """A mapping of a few objects that stands for 2 ** levels elements."""
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found, "b": found}
    return found


def refused(source: Any, **options: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        prepare(source, **options)
    message = str(caught.value)
    message.encode()
    assert len(message) < 2000
    return message


def written(value: Any) -> str:
    body = prepare(MappingInput(data={"a": value})).body
    assert isinstance(body, bytes)
    return etree.fromstring(body).text or ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (CYCLE, "/a/a/a/a/"),
        ({"a": {"b": LIST_CYCLE}}, "/a/b: a list has no XML form here"),
        (deep(10_000), "it is nested more than 200 levels deep, or contains itself"),
        ({"a": {"b": 10**5000}}, "/a/b: the number has more than 4,300 digits"),
        ({"a": {"b": Decimal("1E+999999")}}, "/a/b: the number has more than 4,300 digits"),
        ({"a": {"b": Decimal("1E-999999")}}, "/a/b: the number has more than 4,300 digits"),
        ({"a": {"b": Decimal("0." + "1" * 5000)}}, "/a/b: the number has more than 4,300 digits"),
        ({"a": {"b": Endless()}}, "/a/b: a value of type Endless has no XML form"),
        ({"a": {"b": Raising()}}, "/a/b: a value of type Raising has no XML form"),
        ({"a": {"b": "x" * 10_000_001}}, "/a/b: the text has 10,000,001 characters; XML parsers"),
        ({"a": {"b": "é" * 5_000_001}}, "/a/b: the text has 5,000,001 characters"),
        ({"a": {"@b": b"x" * 7_600_000}}, "/a/@b: the text has 10,133,336 characters"),
        ({"a": {"b": "\ud800"}}, "/a/b: XML cannot carry the character U+D800 at position 0"),
        ({"a": {"\ud800": 1}}, "/a, field '\\ud800': '\\ud800' is not a legal XML name"),
        ({"a": {"\ud800": {"@xmlns:1": "x"}}}, "/a, field '\\ud800': '1' cannot be declared as a prefix"),
        ({"a": {1: 2}}, "/a, field 1: a name must be a string, not int (1)"),
        ({"a": {10**5000: 2}}, "a name must be a string, not int"),
        ({"a": {b"b": 2}}, "a name must be a string, not bytes"),
        ({"b" * 1001: 1}, "is not a legal XML name"),
        ({"a": {"@{}xmlns": "urn:x"}}, "an attribute cannot be named xmlns"),
        ({"a": {"@xmlns:p": "http://www.w3.org/XML/1998/namespace"}}, "is not usable as a namespace"),
        ({"{http://www.w3.org/2000/xmlns/}a": 1}, "is not usable as a namespace"),
        ({"a": {"b": time(1, tzinfo=timezone(timedelta(hours=20)))}}, "/a/b: XML has not the time zone"),
        (
            {"a": {"b": datetime.min.replace(tzinfo=timezone(timedelta(hours=20)))}},
            "/a/b: the time is out of range in UTC",
        ),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_xml_is_refused_with_its_place(data: Any, message: str) -> None:
    assert message in refused(MappingInput(data=data))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "NaN"),
        (float("-inf"), "-INF"),
        (Decimal("sNaN"), "NaN"),
        (10**4299, "1" + "0" * 4299),
        (datetime.max, "9999-12-31T23:59:59.999999"),
        (date.min, "0001-01-01"),
        (timedelta.min, "-P999999999DT0S"),
        (datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=20))), "2019-12-31T04:00:00+00:00"),
        (
            datetime(2020, 1, 1, tzinfo=timezone(timedelta(minutes=19, seconds=32))),
            "2019-12-31T23:40:28+00:00",
        ),
        (datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01T00:00:00+00:00"),
        (memoryview(b"abcdef")[::2], "YWNl"),
        ("&" * 100_000, "&" * 100_000),
    ],
)  # fmt: skip
def test_values_at_the_edge_keep_their_meaning(value: Any, text: str) -> None:
    assert written(value) == text


def test_mappings_that_hold_each_other_many_times_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_ELEMENTS", 5000)
    message = "one value becomes more than 5,000 elements; give large tables as `rows`"
    assert message in refused(MappingInput(data=laughing(60), root="r"))
    assert message in refused(RowsInput(rows=[{"c": laughing(60)}], root="r"))
    prepare(RowsInput(rows=({"c": laughing(10)} for _ in range(4)), root="r"))


@pytest.mark.parametrize("data", [{"b": itertools.count()}, {"@b": itertools.count()}])
def test_an_iterator_without_end_in_a_mapping_is_refused(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elements, "MAX_OCCURRENCES", 1000)
    assert "the iterator goes on after 1,000 values" in refused(MappingInput(data=data, root="a"))


def test_rows_without_end_are_refused_and_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(prepared.PayloadSink.__init__.__kwdefaults__, "max_bytes", 3 * MILLION)
    rows = RowsInput(rows=({"a": number} for number in itertools.count()), root="r")
    assert "the input has more than 3,000,000 bytes; does its iterator ever end?" in refused(
        rows, folder=tmp_path
    )
    assert list(tmp_path.iterdir()) == []


def test_an_iterator_that_raises_passes_its_error_on_and_leaves_no_file(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for number in range(100_000):
            yield {"a": number}
        raise LookupError("the author's own")

    with pytest.raises(LookupError, match="the author's own"):
        prepare(RowsInput(rows=rows(), root="r"), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row": "/".join("a" * 10_000)}, "`row` names 10000 elements; there are at most 100"),
        ({"row": "ro{w"}, "'ro{w' is not usable as a path"),
        ({"header": "text"}, "header is of type str; it takes a mapping"),
        ({"rows": [{10**5000: 1}]}, "row 1, field "),
        ({"rows": [{"a": 1}, {"a": "\x00"}]}, "row 2/a: XML cannot carry the character U+0000 at position 0"),
        ({"rows": [{"a": "x" * 10_000_001}]}, "row 1/a: the text has 10,000,001 characters"),
        ({"rows": [{"a": Decimal("1E+999999")}]}, "row 1/a: the number has more than 4,300 digits"),
        ({"rows": [(1, 2)], "columns": ["a", "a"]}, "the column 'a' comes twice"),
    ],
)
def test_rows_that_cannot_be_xml_are_refused_with_their_place(options: dict[str, Any], message: str) -> None:
    assert message in refused(RowsInput(**{"rows": [{"a": 1}], "root": "r", **options}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b'{"a": 1, "a": 2}', "line 1: not JSON (the key 'a' comes twice in one object)"),
        ("t.jsonl", b'{"a": {"b": 1, "b": 1}}', "line 1: not JSON (the key 'b' comes twice in one object)"),
        ("t.jsonl", b'{"a": 1e99999999999999999999}', "or an exponent beyond all use)"),
        ("t.jsonl", b'{"a": %s}' % (b"1" * 5000), "not JSON (a number has thousands of digits"),
        ("t.jsonl", b'{"a": -Infinity}', "not JSON (-Infinity is no JSON number)"),
        ("t.jsonl", b'{"a": ' + b"[" * 100_000, "not JSON (it is nested too deeply)"),
        ("t.jsonl", b'{"a": "\\ud800"}', "row 1/a: XML cannot carry the character U+D800"),
        ("t.jsonl", b'{"a": "' + b"x" * 2000, "line 1: the line has more than 1,000 bytes"),
        ("t.json", b"[" + b" " * 5000 + b"]", "the array has more than 3,000 bytes; use JSON lines instead"),
        ("t.csv", b"a\n" + b"x" * 2000, "line 2: the line has more than 1,000 characters"),
        ("t.csv", b"a,b\n1,\x00\n", "row 1/b: XML cannot carry the character U+0000"),
        ("t.csv", b"a,\x00\n1,2\n", "row 1, field '\\x00'"),
        ("t.csv", b"a," * 300 + b"a\n", "the column 'a' is named twice"),
    ],
)
def test_files_of_rows_that_cannot_be_read_are_refused_with_the_line(
    tmp_path: Path, name: str, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "has more than" in message:
        monkeypatch.setattr(tables, "MAX_LINE", 1000)
        monkeypatch.setattr(tables, "MAX_ARRAY", 3000)
    (tmp_path / name).write_bytes(content)
    assert message in refused(RowsInput(rows=tmp_path / name, root="r"))


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"id": itertools.count()}, "'id' is a text, not count"),
        ({"id": 10**5000}, "'id' is a number too large for an id"),
        ({"id": float("nan")}, "'id' is a text, not float"),
        ({"entity": True}, "'entity' is a text, not bool"),
        ({"userId": "\ud800"}, "'userId' is empty or holds characters that cannot be printed"),
    ],
)
def test_records_that_are_no_texts_are_refused(records: dict[str, Any], message: str) -> None:
    given = {"id": "1", "entity": "account", "userId": "u", **records}
    assert message in refused(RecordsInput(records=given))


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (ENTITIES, "the XML holds a DOCTYPE"),
        (ENTITIES.encode("utf-16"), "the XML holds a DOCTYPE"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "the XML holds a DOCTYPE"),
        (b'<?xml version="1.0" encoding="punycode"?><a/>', "the encoding 'punycode' is not known"),
        (b'<?xml version="1.0" encoding="undefined"?><a/>', "the encoding 'undefined' is not known"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "the encoding 'utf-7' is not known"),
        (b'<?xml version="1.0" encoding="hex"?><a/>', "the encoding 'hex' is not known"),
        (b'<?xml version="1.0"' + b" encoding='a'" * 5000, "line 1, column 33"),
        ("<a>\ud800</a>", "XML cannot carry the character U+D800"),
        ("<a>" * 10_000, "Excessive depth in document"),
        (f"<a b='{'x' * 1_300_000}'/>", "no root element in its first 1,048,576 bytes"),
    ],
)
@pytest.mark.parametrize("correlated", [False, True])
def test_xml_that_is_made_to_break_parsers_is_refused(xml: Any, message: str, correlated: bool) -> None:
    if correlated:
        assert refused(XmlInput(xml=xml), correlation=Correlation(path="@b", value="v"))
    else:
        assert message in refused(XmlInput(xml=xml))


def test_an_inclusion_is_text_like_any_other() -> None:
    xml = '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd" parse="text"/></a>'
    assert prepare(XmlInput(xml=xml)).body == xml.encode()


@pytest.mark.parametrize(
    ("source", "path", "message"),
    [
        (MappingInput(data={"a": {"ref": {"b": 1}}}), "ref", "names 'ref', which the input fills itself"),
        (MappingInput(data={"a": {"ref": []}}), "ref", "names 'ref', which the input fills itself"),
        (XmlInput(xml="<a/>"), "@a b", "its attribute is no legal name"),
        (XmlInput(xml="<a/>"), "{x", "is not usable as a path"),
    ],
)
def test_a_place_for_the_correlation_that_cannot_be_one_is_refused(
    source: Any, path: str, message: str
) -> None:
    assert message in refused(source, correlation=Correlation(path=path, value="v"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' comes twice in one object"),
        ("NaN", "NaN is no JSON number"),
        ("[1,", "Expecting value, at character 4"),
        ("[" * 100_000, "it is nested too deeply"),
        (b"\xff", "the bytes are not UTF-8"),
        ("9" * 5000, "a number has thousands of digits, or an exponent beyond all use"),
    ],
)
def test_json_is_refused_with_the_reason(text: str | bytes, reason: str) -> None:
    with pytest.raises(NotJson) as caught:
        read_json(text)
    assert str(caught.value) == reason


def test_json_numbers_keep_their_digits() -> None:
    assert read_json("[12.50, 0.1000000000000000055511151231257827, 1e400, 1]") == [
        Decimal("12.50"),
        Decimal("0.1000000000000000055511151231257827"),
        Decimal("1e400"),
        1,
    ]
