"""XML that is built from any mapping that fits an XSD is valid, and reads back as the mapping was."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from support.fuzzing import fuzzed, note_seed
from support.random_xsd import NIL, XSI, Complex, Node, RandomSchema, Simple

from smartflows_provider.payload.build import MappingInput, prepare
from smartflows_provider.payload.options import Style
from smartflows_provider.payload.xsd import load_schema

MAPPINGS = 8
"""Mappings that are tried with each schema; each is a case."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-xsd-") as path:
        yield Path(path)


@fuzzed(share=1 / MAPPINGS)
@given(number=st.integers(0, 2**63))
def test_a_mapping_that_fits_is_valid_and_reads_back(folder: Path, number: int) -> None:
    note_seed()
    drawn = RandomSchema(Random(number))
    for at, text in enumerate(drawn.included):
        (folder / f"{at}.xsd").write_text(text, encoding="utf-8")
    (folder / "main.xsd").write_text(drawn.text, encoding="utf-8")
    schema = load_schema(folder / "main.xsd")
    for at in range(MAPPINGS):
        data, node = drawn.mapping()
        body = prepare(MappingInput(data=data, style=Style(none_as="nil")), xsd=schema).body
        assert isinstance(body, bytes)
        compare(etree.fromstring(body), node)
        if at == 0:
            assert not list(schema.model.iter_errors(body.decode().partition("\n")[2]))


def compare(element: Any, node: Node) -> None:
    assert element.tag == node.tag
    nil = element.attrib.pop(f"{{{XSI}}}nil", None)
    if node.text is NIL:
        assert nil == "true"
        assert not element.attrib
        assert element.text is None
        assert len(element) == 0
        return
    assert nil is None
    if isinstance(node.type, Simple):
        assert node.type.read(element.text or "") == node.text
        return
    kinds = {one.name: one.type for one in node.type.attributes}
    assert {name: kinds[name].read(text) for name, text in element.attrib.items()} == node.attributes
    if node.type.text is not None:
        assert node.type.text.read(element.text or "") == node.text
        return
    found: dict[str, list[Any]] = {}
    for child in element:
        found.setdefault(child.tag, []).append(child)
    assert {tag: len(each) for tag, each in found.items()} == {
        tag: len(each) for tag, each in node.children.items()
    }
    for tag, each in found.items():
        for child, inner in zip(each, node.children[tag], strict=True):
            compare(child, inner)


def test_drawn_schemas_hold_everything_that_they_should() -> None:
    """The generator itself: in some hundred schemas each kind of declaration is there."""
    texts = [RandomSchema(Random(number)) for number in range(300)]
    everything = "".join(one.text + "".join(one.included) for one in texts)
    for wanted in (
        "xs:all>", "xs:choice ", "nillable", 'form="qualified"', 'form="unqualified"', "elementFormDefault",
        "xs:list", "xs:simpleContent", 'use="required"', "xs:include", "xs:pattern", 'maxOccurs="4"',
    ):  # fmt: skip
        assert wanted in everything, wanted
    assert any(isinstance(one.root.type, Complex) for one in texts)
