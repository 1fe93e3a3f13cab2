"""XSDs with what they include, from any path-like, never from an address."""

from __future__ import annotations

import pytest
from upath import UPath

from smartflows_provider.payload.errors import SchemaUnreadable, SchemaViolation
from smartflows_provider.payload.xml_check import check_chunks
from smartflows_provider.payload.xsd import load_schema

XS = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
MAIN = f"""<xs:schema {XS} xmlns:t="urn:types" >
<xs:include schemaLocation="parts/more.xsd"/>
<xs:import namespace="urn:types" schemaLocation="./parts/../types.xsd"/>
<xs:element name="a"><xs:complexType><xs:sequence>
<xs:element ref="b"/><xs:element name="c" type="t:code"/>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""
MORE = f"""<xs:schema {XS}><xs:include schemaLocation="../main.xsd"/>
<xs:element name="b" type="xs:int"/></xs:schema>"""
TYPES = f"""<xs:schema {XS} targetNamespace="urn:types"><xs:simpleType name="code">
<xs:restriction base="xs:string"><xs:maxLength value="2"/></xs:restriction></xs:simpleType></xs:schema>"""


def write_main(folder) -> None:
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    (folder / "main.xsd").write_text(MAIN)
    (folder / "parts" / "more.xsd").write_text(MORE)
    (folder / "types.xsd").write_text(TYPES)


@pytest.mark.parametrize("storage", ["local", "memory"])
def test_includes_and_imports_are_found_beside_the_xsd_on_any_storage(tmp_path, storage):
    folder = tmp_path if storage == "local" else UPath("memory://schemas")
    write_main(folder)
    schema = load_schema(folder / "main.xsd")
    check_chunks([b"<a><b>1</b><c>ab</c></a>"], schema)
    with pytest.raises(SchemaViolation) as caught:
        check_chunks([b"<a><b>x</b><c>abc</c></a>"], schema)
    assert [problem.path for problem in caught.value.problems] == ["/a/b[1]", "/a/c[1]"]
    assert set(schema.model.elements) == {"a", "b"}


def test_schema_is_compiled_once_and_again_when_a_document_changes(tmp_path):
    write_main(tmp_path)
    first = load_schema(tmp_path / "main.xsd")
    assert load_schema(str(tmp_path / "main.xsd")) is first
    (tmp_path / "types.xsd").write_text(TYPES.replace('value="2"', 'value="3"'))
    second = load_schema(tmp_path / "main.xsd")
    assert second is not first
    check_chunks([b"<a><b>1</b><c>abc</c></a>"], second)


def test_w3c_xml_namespace_is_served_without_the_network(tmp_path):
    (tmp_path / "x.xsd").write_text(
        f'<xs:schema {XS}><xs:import namespace="http://www.w3.org/XML/1998/namespace" '
        'schemaLocation="http://www.w3.org/2001/xml.xsd"/><xs:element name="a"><xs:complexType>'
        '<xs:attribute ref="xml:lang"/></xs:complexType></xs:element></xs:schema>'
    )
    check_chunks([b'<a xml:lang="nl"/>'], load_schema(tmp_path / "x.xsd"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<a", "the XSD {path} is not well-formed: "),
        ("<a/>", "{path} is not an XSD: its root element is a, not xs:schema"),
        (
            f"<!DOCTYPE x><xs:schema {XS}/>",
            "the XSD {path} holds a DOCTYPE, which is not accepted; remove it",
        ),
        (
            f'<xs:schema {XS}><xs:include schemaLocation="http://127.0.0.1:9/x.xsd"/></xs:schema>',
            "the XSD {path} refers to http://127.0.0.1:9/x.xsd; addresses are not fetched: put a copy",
        ),
        (
            f'<xs:schema {XS}><xs:include schemaLocation="/etc/x.xsd"/></xs:schema>',
            "the XSD {path} refers to '/etc/x.xsd'; name the document by a path relative to the XSD",
        ),
        (
            f'<xs:schema {XS}>\n<xs:element name="a" type="nosuch"/></xs:schema>',
            "{path} is not a usable XSD 1.0: element decl. 'a', attribute 'type': The QName value 'nosuch'",
        ),
    ],
)
def test_unusable_xsd_is_named_with_what_to_change(tmp_path, content, message):
    path = tmp_path / "bad.xsd"
    path.write_text(content)
    with pytest.raises(SchemaUnreadable) as caught:
        load_schema(path)
    assert str(caught.value).startswith(message.format(path=path))


def test_fault_in_an_included_document_is_named_with_that_document(tmp_path):
    write_main(tmp_path)
    (tmp_path / "parts" / "more.xsd").write_text(MORE.replace("xs:int", "xs:nosuch"))
    with pytest.raises(SchemaUnreadable, match=r"more\.xsd, line 2\)$"):
        load_schema(tmp_path / "main.xsd")


def test_missing_include_is_named(tmp_path):
    path = tmp_path / "main.xsd"
    path.write_text(f'<xs:schema {XS}><xs:include schemaLocation="gone.xsd"/></xs:schema>')
    with pytest.raises(SchemaUnreadable, match=rf"the XSD {tmp_path}/gone.xsd cannot be read: "):
        load_schema(path)


def test_external_entity_in_an_xsd_is_never_read(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    path = tmp_path / "x.xsd"
    path.write_text(
        f'<!DOCTYPE x [<!ENTITY s SYSTEM "{secret.as_uri()}">]><xs:schema {XS}><xs:annotation>'
        "<xs:documentation>&s;</xs:documentation></xs:annotation></xs:schema>"
    )
    with pytest.raises(SchemaUnreadable, match="holds a DOCTYPE") as caught:
        load_schema(path)
    assert "SECRET" not in str(caught.value)
