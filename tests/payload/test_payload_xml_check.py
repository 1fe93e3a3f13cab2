"""Well-formedness, safety and validity of XML that streams by."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from smartflows_provider.payload import xml_check
from smartflows_provider.payload.errors import ForbiddenXml, NotWellFormed, SchemaViolation
from smartflows_provider.payload.xml_check import check_chunks
from smartflows_provider.payload.xsd import load_schema

GOOD = b"""<report xmlns="urn:report"><month>2013-01</month>
<row rank="1"><carrier>UA</carrier><flights>1</flights></row></report>"""
BAD = b"""<?xml version="1.0"?>
<report xmlns="urn:report"><month>2013-13</month>
<row><carrier>UA</carrier><flights>1</flights></row>
<row rank="x"><carrier>AA</carrier><flights>many</flights><colour/></row>
<row><flights>1</flights></row>
</report>
"""
BAD_MESSAGE = """the XML does not follow the schema (5 problems):
  line 2, /report/month[1]: '2013-13' is not a valid value of the atomic type 'xs:gYearMonth'
  line 4, /report/row[2]: attribute 'rank': 'x' is not a valid value of the atomic type 'xs:int'
  line 4, /report/row[2]/flights[1]: 'many' is not a valid value of the atomic type 'xs:int'
  line 4, /report/row[2]/colour[1]: This element is not expected. Expected is one of ( delay, active, since )
  line 5, /report/row[3]/flights[1]: This element is not expected. Expected is ( carrier )"""


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.fixture
def schema(report_xsd):
    return load_schema(report_xsd)


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_all_problems_are_listed_with_line_path_and_reason_however_the_bytes_come(schema, size, trusted):
    with pytest.raises(SchemaViolation) as caught:
        check_chunks(pieces(BAD, size), schema, trusted=trusted)
    assert str(caught.value) == BAD_MESSAGE


def test_hidden_values_do_not_show_in_the_message(schema):
    with pytest.raises(SchemaViolation) as caught:
        check_chunks([BAD], schema, hide_values=True)
    message = str(caught.value)
    assert (
        "line 4, /report/row[2]: attribute 'rank': the value (hidden) does not fit the type 'xs:int'"
        in message
    )
    assert "line 4, /report/row[2]/flights[1]: the value (hidden) does not fit the type 'xs:int'" in message
    assert "many" not in message
    assert "2013-13" not in message


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_valid_document_passes(schema, size, trusted):
    check_chunks(pieces(GOOD, size), schema, trusted=trusted)


@pytest.mark.parametrize("trusted", [False, True])
def test_message_lists_twenty_problems_and_names_the_total(schema, trusted):
    rows = b"<row><carrier>UA</carrier><flights>?</flights></row>\n" * 45
    document = b'<report xmlns="urn:report"><month>2013-01</month>\n' + rows + b"</report>"
    with pytest.raises(SchemaViolation) as caught:
        check_chunks([document], schema, trusted=trusted)
    error = caught.value
    assert str(error).startswith("the XML does not follow the schema (45 problems, the first 20):\n")
    assert len(str(error).splitlines()) == 21
    assert error.problems[19].path == "/report/row[20]/flights[1]"
    assert error.problems[19].line == 21


@pytest.mark.parametrize("trusted", [False, True])
def test_rows_far_into_a_large_document_are_counted_right_and_counting_stops_where_it_is_hopeless(
    schema, trusted
):
    good = b"<row><carrier>UA</carrier><flights>1</flights></row>\n" * 5000
    bad = b"<row><carrier>UA</carrier><flights>?</flights></row>\n" * 5000
    document = b'<report xmlns="urn:report"><month>2013-01</month>\n' + good + bad + b"</report>"
    with pytest.raises(SchemaViolation) as caught:
        check_chunks(pieces(document, 4096), schema, trusted=trusted)
    assert caught.value.problems[0].path == "/report/row[5001]/flights[1]"
    assert caught.value.problems[0].line == 5002
    assert "(at least 10" in str(caught.value)


@pytest.mark.parametrize("trusted", [False, True])
def test_wrong_root_element_is_a_problem_of_the_schema(schema, trusted):
    with pytest.raises(SchemaViolation) as caught:
        check_chunks([b"<a/>"], schema, trusted=trusted)
    assert str(caught.value) == (
        "the XML does not follow the schema (1 problem):\n"
        "  line 1, /a: No matching global declaration available for the validation root"
    )


MALFORMED = [
    (b"", "line 1, column 1: Document is empty"),
    (b"report.xml", "line 1, column 1: Start tag expected, '<' not found"),
    (GOOD[:-9], "line 2, column 62: Premature end of data in tag report line 1"),
    (GOOD[:-3], "line 2, column 68: expected '>'"),
    (GOOD + b"<a/>", "line 2, column 71: Extra content at the end of the document"),
    (GOOD.replace(b'rank="1"', b'rank="1" rank="1"'), "line 2, column 23: Attribute rank redefined"),
    (GOOD.replace(b"UA", b"&x;"), "line 2, column 27: Entity 'x' not defined"),
    (GOOD.replace(b"UA", b"\x01"), "line 2, column 24: PCDATA invalid Char value 1"),
    (GOOD.replace(b"UA", b"\xff"), "line 2, column 24: Invalid bytes in character encoding"),
    (
        GOOD.replace(b" rank", b" p:rank"),
        "line 2, column 16: Namespace prefix p for rank on row is not defined",
    ),
    (b"<p:a/>", "line 1, column 1: unbound prefix"),
    (
        b"\n<?xml version='1.0'?><a/>",
        "line 2, column 6: XML declaration allowed only at the start of the document",
    ),
    (b"<!-- x", "line 1, column 7: Comment not terminated"),
    (b"<a>\n<b></a>", "line 2, column 8: Opening and ending tag mismatch: b line 2 and a"),
]


@pytest.mark.parametrize(("document", "reason"), MALFORMED)
@pytest.mark.parametrize("with_schema", [False, True])
def test_xml_that_is_not_well_formed_is_refused_with_its_place_also_where_a_schema_is_given(
    schema, document, reason, with_schema
):
    with pytest.raises(NotWellFormed) as caught:
        check_chunks([document], schema if with_schema else None)
    assert str(caught.value) == f"the XML is not well-formed at {reason}"


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("with_schema", [False, True])
@pytest.mark.parametrize(
    "document",
    [
        b"<!DOCTYPE report><report/>",
        b'<?xml version="1.0"?><!-- c --><?p i?>\n<!DOCTYPE r [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><r/>',
        b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>',
        b"<?xml version='1.1'?><!DOCTYPE r><r/>",
        b'<!DOCTYPE r SYSTEM "http://127.0.0.1:9/x.dtd"><r/>',
        b'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]><r/>',
    ],
)
def test_doctype_is_refused_before_anything_in_it_is_used(schema, document, size, with_schema):
    with pytest.raises(ForbiddenXml) as caught:
        check_chunks(pieces(document, size), schema if with_schema else None)
    assert str(caught.value) == (
        "the XML holds a DOCTYPE, which is not accepted; remove it and expand its entities"
    )


def test_endless_prolog_is_refused():
    with pytest.raises(ForbiddenXml, match=r"no root element in its first 1,048,576 bytes"):
        check_chunks([b"<!-- x -->" * 100_000] * 30)


def test_ten_thousand_levels_are_refused():
    with pytest.raises(NotWellFormed, match=r"Excessive depth in document: \d+$"):
        check_chunks([b"<a>" * 10_000 + b"</a>" * 10_000])


def test_text_beyond_ten_megabytes_is_refused_without_advice_for_programmers():
    with pytest.raises(NotWellFormed, match="Resource limit exceeded") as caught:
        check_chunks([b"<a>", *[b"x" * 1_000_000] * 12, b"</a>"])
    assert "XML_PARSE_HUGE" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_markup_that_does_not_end_is_refused_before_it_is_held(monkeypatch, size):
    monkeypatch.setattr(xml_check, "_HELD_LIMIT", 200)
    pieces_of_all = (
        b"<a><!-- < <? --><?p <!-- ?><![CDATA[ <!-- ]]>"
        + b"<b c='>'>text <![CDATA[]]></b><!--x-->" * 50
        + b"</a>"
    )
    check_chunks(pieces(pieces_of_all, size))
    for endless in (b"<b c='%s", b"<!-- <b> %s", b"<?p <b> %s", b"<![CDATA[ <b> %s", b"%s", b"<!-- --> %s"):
        with pytest.raises(ForbiddenXml, match="a tag, a comment or a text of more than 200 bytes"):
            check_chunks(pieces(b"<a><b/>" + endless % (b">" * 300), size))


def test_schema_location_in_a_document_is_not_followed(tmp_path):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            """Keep the test's output clean."""

    xsd = tmp_path / "any.xsd"
    xsd.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a"><xs:complexType>'
        '<xs:sequence><xs:any processContents="strict" namespace="##any"/></xs:sequence>'
        "</xs:complexType></xs:element></xs:schema>"
    )
    other = tmp_path / "other.xsd"
    other.write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:y">'
        '<xs:element name="q"/></xs:schema>'
    )
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for location in (f"http://127.0.0.1:{server.server_port}/y.xsd", other.as_uri(), "other.xsd"):
            document = (
                '<a xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
                f'xsi:schemaLocation="urn:y {location}"><q xmlns="urn:y"/></a>'
            )
            with pytest.raises(SchemaViolation, match="No matching global element declaration available"):
                check_chunks([document.encode()], load_schema(xsd))
        server.shutdown()
    assert asked == []


def test_tree_does_not_grow_with_the_document(schema):
    from smartflows_provider.payload.xml_check import XmlCheck

    check = XmlCheck(schema)
    check.feed(b'<report xmlns="urn:report"><month>2013-01</month>')
    row = b"<row><carrier>UA</carrier><flights>1</flights></row>"
    for _ in range(50):
        check.feed(row * 100)
    assert len(check._root) == 1
    check.feed(b"</report>")
    check.close()
    check.conclude([])


RICH_XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="r">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="e" minOccurs="0" maxOccurs="unbounded" type="part"/>
        <xs:any minOccurs="0" processContents="lax" namespace="##other"/>
      </xs:sequence>
    </xs:complexType>
    <xs:unique name="one"><xs:selector xpath="e"/><xs:field xpath="@id"/></xs:unique>
  </xs:element>
  <xs:complexType name="part">
    <xs:choice minOccurs="0" maxOccurs="unbounded">
      <xs:element name="word">
        <xs:simpleType>
          <xs:restriction base="xs:string">
            <xs:enumeration value="a&amp;b"/><xs:enumeration value="x&#13;y"/><xs:enumeration value="   "/>
          </xs:restriction>
        </xs:simpleType>
      </xs:element>
      <xs:element name="count" type="xs:int" nillable="true"/>
      <xs:element name="many"><xs:simpleType><xs:list itemType="xs:int"/></xs:simpleType></xs:element>
      <xs:element name="mixed"><xs:complexType mixed="true"><xs:sequence/></xs:complexType></xs:element>
    </xs:choice>
    <xs:attribute name="id" type="xs:int"/>
  </xs:complexType>
  <xs:complexType name="more">
    <xs:complexContent>
      <xs:extension base="part"><xs:sequence><xs:element name="x"/></xs:sequence></xs:extension>
    </xs:complexContent>
  </xs:complexType>
</xs:schema>"""
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@pytest.mark.parametrize("size", [1, 9, 1000])
@pytest.mark.parametrize(
    ("content", "valid"),
    [
        ("<e><word>a&amp;b</word><word>x&#13;y</word><word>   </word></e>", True),
        ("<e><word>a&amp;c</word><word>x&#10;y</word><word>  </word></e>", False),
        (f'<e><count {XSI} xsi:nil="true"></count><count> 7\n</count><many>1 2\n 3</many></e>', True),
        (f'<e><count {XSI} xsi:nil="true">1</count><count></count><many>1 x</many></e>', False),
        ("<e> <mixed>text &lt; text</mixed>\n</e>\n", True),
        ("<e>text<mixed><word/></mixed></e>", False),
        ('<e id="1"></e><e id="2"></e>', True),
        ('<e id="1"></e><e id="1"></e><e id="&quot;"></e>', False),
        (f'<e {XSI} xsi:type="more"><x>1</x></e><p:a xmlns:p="urn:p"><p:b/></p:a>', True),
        (f'<e {XSI} xsi:type="more"></e><p:a xmlns:p="urn:p"></p:a><e></e>', False),
    ],
)
def test_what_is_written_here_is_judged_without_a_tree_as_with_one(tmp_path, content, valid, size):
    path = tmp_path / "rich.xsd"
    path.write_text(RICH_XSD)
    messages = []
    for trusted in (False, True):
        try:
            check_chunks(pieces(f"<r>{content}</r>".encode(), size), load_schema(path), trusted=trusted)
        except SchemaViolation as error:
            messages.append((error.total, str(error)))
    assert messages == ([] if valid else [messages[0]] * 2)
