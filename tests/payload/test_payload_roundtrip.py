"""Whatever mapping is written, lxml reads back the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from smartflows_provider.payload.build import MappingInput, RowsInput, prepare
from smartflows_provider.payload.options import Style

repeatable = settings(derandomize=True, max_examples=100, deadline=None)

names = st.sampled_from(["a", "b", "ç.1", "_x-y", "{urn:p}a", "{urn:q}b"])
attribute_names = names.map(lambda name: f"@{name}")
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
        lambda character: character >= " " or character in "\t\n\r"
    ),
    max_size=20,
)
attributes = st.dictionaries(attribute_names, texts, max_size=3)
trees = st.recursive(
    texts,
    lambda inner: st.builds(
        lambda given_attributes, text, children: {**given_attributes, **text, **children},
        attributes,
        st.one_of(st.just({}), texts.map(lambda text: {"#text": text})),
        st.dictionaries(names, st.one_of(inner, st.lists(inner, min_size=1, max_size=3)), max_size=3),
    ),
    max_leaves=12,
)
Node = tuple[str, dict[str, str], str, list[Any]]


def expected(name: str, value: Any) -> Node:
    if isinstance(value, str):
        return name, {}, value, []
    children = [
        expected(key, one)
        for key, entry in value.items()
        if key[0] not in "@#"
        for one in (entry if isinstance(entry, list) else [entry])
    ]
    given_attributes = {key[1:]: text for key, text in value.items() if key.startswith("@")}
    return name, given_attributes, value.get("#text", ""), children


def parsed(element: Any) -> Node:
    assert all(child.tail is None for child in element)
    return element.tag, dict(element.attrib), element.text or "", [parsed(child) for child in element]


@repeatable
@given(name=names, value=trees, prefixes=st.sampled_from([{}, {"p": "urn:p"}, {"p": "urn:p", "r": "urn:q"}]))
def test_mapping_survives_writing_and_parsing(name, value, prefixes):
    payload = prepare(MappingInput(data={name: value}, style=Style(namespaces=prefixes)))
    root = etree.fromstring(payload.body)
    assert parsed(root) == expected(name, value)


@repeatable
@given(
    rows=st.lists(st.dictionaries(names, st.one_of(texts, trees), max_size=4), max_size=4),
    default=st.sampled_from([{}, {"p": "urn:p"}]),
)
def test_rows_survive_writing_and_parsing(rows, default):
    payload = prepare(
        RowsInput(rows=rows, root="{urn:r}r", row="{urn:p}row", style=Style(namespaces=default))
    )
    root = etree.fromstring(payload.body)
    assert root.tag == "{urn:r}r"
    assert [parsed_row(row) for row in root] == [expected("{urn:p}row", row) for row in rows]


def parsed_row(row: Any) -> Node:
    assert row.tail == "\n"
    row.tail = None
    return parsed(row)
