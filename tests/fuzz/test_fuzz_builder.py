"""Any Python objects in: only errors of the payload come out, or XML that lxml reads back the same."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from support.fuzzing import fuzzed, note_seed

from smartflows_provider.payload.build import MappingInput, PayloadInput, RecordsInput, RowsInput, prepare
from smartflows_provider.payload.errors import PayloadError


class Colour(Enum):
    RED = "red & blue"
    NONE = None
    LIST = (1, 2)


class Huge(int):
    """A number that Python does not print."""

    def __repr__(self) -> str:
        return f"Huge of {self.bit_length()} bits"


class Scalar:
    """Gives what it was made with, as NumPy's scalars do, and raises where that is an error."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Scalar({self.value!r})"

    def item(self) -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return self if self.value == "itself" else self.value


CYCLE: dict[str, Any] = {}
CYCLE["a"] = [CYCLE]
OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["&<>\"'\r\n\t]]>", "\ud800", "\x00", "\ufffe", "\U0001d4b3", "<!--", "]]>"]
)
SCALARS = st.one_of(
    TEXTS,
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.decimals(),
    st.datetimes(timezones=st.none() | OFFSETS),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.binary(max_size=8),
    st.binary(max_size=8).map(lambda data: memoryview(data)[::2]),
    st.uuids(),
    st.sampled_from(
        [
            Huge(10**5000), Huge(-(10**5000)), Decimal("1E+999999"), Decimal("-1E-999999"), Decimal("sNaN"),
            Colour.RED, Colour.NONE, Colour.LIST, object(), Scalar(1), Scalar("itself"),
            Scalar(ValueError("no")), 1j, ..., datetime.min, datetime.max, date.max, time.max, timedelta.min,
            timedelta.max, CYCLE, UUID(int=0),
        ]
    ),
)  # fmt: skip
NAMES = st.sampled_from(["a", "b", "é-1", "{urn:p}a", "p:a", "c.d", "_"])
ODD_NAMES = st.one_of(
    TEXTS,
    st.sampled_from(
        [
            "xml:lang", "xmlns", "{}a", "{}xmlns", "{a", "a}b", ":", "a:", ":a", "xml:a", "{urn:p}", "a b",
            "-", "1", "{http://www.w3.org/2000/xmlns/}a", "{http://www.w3.org/XML/1998/namespace}a",
            "#text", "@", "a" * 1001,
        ]
    ),
    st.integers(),
    st.none(),
    st.binary(max_size=2),
    st.just(Huge(10**5000)),
)  # fmt: skip
KEYS = st.one_of(
    NAMES,
    NAMES,
    NAMES.map(lambda name: f"@{name}"),
    st.sampled_from(["#text", "@xmlns", "@xmlns:p", "@xmlns:q", "@{}xmlns"]),
    ODD_NAMES,
    ODD_NAMES.map(lambda name: f"@{name!s:.9}" if not isinstance(name, int) else "@1"),
)
NAMESPACES = st.sampled_from(
    ["urn:p", "urn:q", "", "http://www.w3.org/XML/1998/namespace", "a b", "urn:é", "%"]
)
TREES = st.recursive(
    SCALARS | NAMESPACES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(NAMES, inner, max_size=3),
        st.lists(inner, max_size=2).map(iter),
    ),
    max_leaves=10,
)
CLEAN_TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=12
)
CLEAN_NAMES = st.sampled_from(["a", "b", "{urn:p}a", "{urn:q}b", "é"])
CLEAN_TREES = st.recursive(
    CLEAN_TEXTS,
    lambda inner: st.builds(
        lambda attributes, children: {**attributes, **children},
        st.dictionaries(CLEAN_NAMES.map(lambda name: f"@{name}"), CLEAN_TEXTS, max_size=2),
        st.dictionaries(CLEAN_NAMES, inner, max_size=4),
    ),
    max_leaves=10,
)


def built(source: PayloadInput) -> Any:
    """Return the root of what is built; None for an input that is refused."""
    note_seed()
    try:
        payload = prepare(source)
    except PayloadError as error:
        message = str(error)
        message.encode()
        assert len(message) < 10_000
        return None
    assert isinstance(payload.body, bytes)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, ns_clean=False)
    root = etree.fromstring(payload.body, parser)
    assert root.getroottree().docinfo.doctype == ""
    assert all(isinstance(node.tag, str) for node in root.iter())
    return root


@fuzzed(share=0.4)
@given(data=st.dictionaries(KEYS, TREES, max_size=4) | TREES, root=NAMES | ODD_NAMES | st.none())
def test_any_mapping_becomes_well_formed_xml_or_is_refused(data: Any, root: Any) -> None:
    if isinstance(data, dict):
        built(MappingInput(data=data, root=root))


@fuzzed(share=0.3)
@given(
    rows=st.lists(st.dictionaries(KEYS, TREES, max_size=4) | TREES, max_size=4),
    columns=st.none() | st.lists(NAMES | ODD_NAMES, max_size=3).map(tuple),
    header=st.dictionaries(KEYS, TREES, max_size=2),
    row=st.sampled_from(["row", "rows/row", "{urn:p}row", "", "/", "a//b", "{"]),
)
def test_any_rows_become_well_formed_xml_or_are_refused(
    rows: list[Any], columns: Any, header: dict[Any, Any], row: str
) -> None:
    built(RowsInput(rows=rows, root="r", row=row, columns=columns, header=header))


@fuzzed(share=0.25)
@given(data=CLEAN_TREES, rows=st.lists(st.dictionaries(CLEAN_NAMES, CLEAN_TREES, max_size=4), max_size=3))
def test_what_can_be_xml_is_read_back_the_same(data: Any, rows: list[Any]) -> None:
    if isinstance(data, dict):
        assert read_back(built(MappingInput(data=data, root="r"))) == expected("r", data)
    root = built(RowsInput(rows=rows, root="r"))
    assert [read_back(row) for row in root] == [expected("row", row) for row in rows]


@fuzzed(share=0.05)
@given(records=st.dictionaries(st.sampled_from(["id", "entity", "userId", "x"]), TREES, min_size=2))
def test_any_records_become_json_or_are_refused(records: dict[str, Any]) -> None:
    note_seed()
    try:
        body = prepare(RecordsInput(records=records)).body
    except PayloadError as error:
        str(error).encode()
        return
    assert isinstance(body, bytes)
    body.decode()


def read_back(element: Any) -> Any:
    children = sorted((read_back(child) for child in element), key=repr)
    return element.tag, dict(element.attrib), element.text or "", children


def expected(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return name, {}, value, []
    attributes = {key[1:]: one for key, one in value.items() if key.startswith("@")}
    children = [expected(key, one) for key, one in value.items() if not key.startswith("@")]
    return name, attributes, "", sorted(children, key=repr)
