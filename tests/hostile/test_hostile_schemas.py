"""XSDs that are made to break things are refused, or compiled within bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smartflows_provider.payload import xml_check
from smartflows_provider.payload import xsd as xsd_module
from smartflows_provider.payload.build import MappingInput, XmlInput, prepare
from smartflows_provider.payload.errors import ForbiddenXml, PayloadError, SchemaUnreadable, SchemaViolation

XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(12))


def schema(inside: str) -> str:
    return f"<xs:schema {XS}>{inside}</xs:schema>"


def element(model: str) -> str:
    return schema(f'<xs:element name="a"><xs:complexType>{model}</xs:complexType></xs:element>')


def nested(levels: int) -> str:
    inner = '<xs:element name="b" type="xs:int"/>'
    return element(f"{'<xs:sequence>' * levels}{inner}{'</xs:sequence>' * levels}")


def including(location: str) -> str:
    return schema(f'<xs:include schemaLocation="{location}"/><xs:element name="a"/>')


def pattern(expression: str) -> str:
    return schema(
        '<xs:element name="a"><xs:simpleType><xs:restriction base="xs:string">'
        f'<xs:pattern value="{expression}"/></xs:restriction></xs:simpleType></xs:element>'
    )


def wide(count: int) -> str:
    return element(
        "<xs:sequence>"
        + "".join(f'<xs:element name="b{n}" minOccurs="0"/>' for n in range(count))
        + "</xs:sequence>"
    )


def sent(folder: Path, text: str, data: Any) -> bytes:
    path = folder / "x.xsd"
    path.write_text(text)
    body = prepare(MappingInput(data=data), xsd=path).body
    assert isinstance(body, bytes)
    return body


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"<!DOCTYPE x [{LAUGHS}]>{schema('')}", "holds a DOCTYPE"),
        (f'<!DOCTYPE x [{LAUGHS}]><xs:schema {XS} id="&a11;"/>', "Maximum entity amplification"),
        (f'<!DOCTYPE x SYSTEM "file:///etc/passwd">{schema("")}', "holds a DOCTYPE"),
        (nested(20), "maximum model recursion depth exceeded"),
        (nested(200), "recursion depth exceeded"),
        (nested(10_000), "Excessive depth in document"),
        (wide(2001), "has a type with 2,001 elements side by side; with more than 2,000"),
        (including("file:///etc/passwd"), "refers to file:///etc/passwd; addresses are not fetched"),
        (including("//[x"), "refers to '//[x': Invalid IPv6 URL"),
        (including("//host/share"), "addresses are not fetched"),
        (including("/etc/passwd"), "name the document by a path relative to the XSD"),
        (including("%00"), "cannot be read"),
        (including("y" * 5000), "refers to a location of 5,000 characters"),
        (including(""), "name the document by a path relative to the XSD"),
        (including("."), "cannot be read"),
        (including("../" * 50 + "etc/passwd"), "the XSD /etc/passwd is not well-formed"),
        (including("x.xsd"), "must not import/include/redefine itself"),
        (
            schema('<xs:redefine schemaLocation="x.xsd"/><xs:element name="a"/>'),
            "must not import/include/redefine itself",
        ),
        (pattern("[a"), "is not a valid regular expression"),
        (pattern("(" * 3000 + "a" + ")" * 3000), "is not a usable XSD 1.0"),
        (element(f'<xs:sequence><xs:element name="b" maxOccurs="{"9" * 5000}"/></xs:sequence>'), "maxOccurs"),
        (
            schema(
                '<xs:element name="a" type="t"/><xs:complexType name="t"><xs:complexContent>'
                '<xs:extension base="t"/></xs:complexContent></xs:complexType>'
            ),
            "circular",
        ),
    ],
)
def test_an_xsd_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SchemaUnreadable) as caught:
        sent(tmp_path, text, {"a": {"b": 1}})
    assert message in str(caught.value) or message in str(caught.value).replace("\n", " ")


def test_nothing_of_a_file_that_is_no_xsd_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret: 51c2")
    (tmp_path / "inner").mkdir()
    with pytest.raises(SchemaUnreadable) as caught:
        sent(tmp_path / "inner", including("../secret.txt"), {"a": 1})
    assert "51c2" not in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        '<xs:sequence><xs:element name="b" maxOccurs="999999999"/></xs:sequence>',
        (
            '<xs:sequence maxOccurs="100000"><xs:element name="b" maxOccurs="1000"/>'
            '<xs:element name="c" minOccurs="0" maxOccurs="1000"/></xs:sequence>'
        ),
        (
            '<xs:sequence maxOccurs="1000"><xs:sequence minOccurs="0" maxOccurs="1000">'
            '<xs:sequence minOccurs="0" maxOccurs="1000"><xs:element name="b" maxOccurs="1000"/>'
            "</xs:sequence></xs:sequence></xs:sequence>"
        ),
    ],
)
def test_large_numbers_of_occurrences_are_not_written_out(tmp_path: Path, model: str) -> None:
    assert b"<a><b>1</b></a>" in sent(tmp_path, element(model), {"a": {"b": 1}})


def test_documents_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.xsd").write_text(
            schema(f'<xs:include schemaLocation="{(number + 1) % 300}.xsd"/><xs:element name="e{number}"/>')
        )
    (tmp_path / "y.xsd").write_text(including("0.xsd"))
    assert prepare(XmlInput(xml="<e7/>"), xsd=tmp_path / "y.xsd").body == b"<e7/>"


def test_includes_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xsd_module, "MAX_DOCUMENTS", 20)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(SchemaUnreadable, match="includes more than 20 documents or 67,108,864 bytes"):
        sent(tmp_path, including("loop/x.xsd"), {"a": 1})


def test_an_xsd_of_many_megabytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xsd_module, "MAX_BYTES", 1000)
    with pytest.raises(SchemaUnreadable, match=r"x\.xsd has more than 1,000 bytes"):
        sent(tmp_path, schema(f"<!-- {'x' * 1000} -->"), {"a": 1})


@pytest.mark.parametrize(
    ("expression", "value"),
    [("(a+)+b", "a" * 40), ("(a|a)*b", "a" * 40), ("(a|aa)+b", "a" * 5000), (".*" * 30 + "b", "a" * 300)],
)
def test_patterns_that_try_for_ever_end(tmp_path: Path, expression: str, value: str) -> None:
    with pytest.raises(SchemaViolation, match=r"is not accepted by the pattern|takes too long") as caught:
        sent(tmp_path, pattern(expression), {"a": value})
    assert "Internal error" not in str(caught.value)


def test_texts_with_millions_of_references_are_not_compared_for_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xml_check, "_COPIED_LIMIT", 10**10)
    path = tmp_path / "x.xsd"
    path.write_text(schema('<xs:element name="a" type="xs:string"/>'))
    with pytest.raises(ForbiddenXml, match="would take minutes; write them as CDATA sections"):
        prepare(XmlInput(xml=f"<a>{'&amp;' * 200_000}</a>"), xsd=path)
    text = "<![CDATA[&&&&&&&&&&]]>" * 10_000
    assert prepare(XmlInput(xml=f"<a>{text}</a>"), xsd=path).size == len(text) + 7


def test_every_refusal_is_short(tmp_path: Path) -> None:
    with pytest.raises(PayloadError) as caught:
        sent(tmp_path, including("y" * 300), {"a": 1})
    assert len(str(caught.value)) < 1000
