"""XML that comes in: refused with line and reason, never trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from devserver_calling import ORDER, XSD

from smartflows_provider.devserver.inputs import MAX_PROBLEMS, InputRefused, check_xml, read_xml


def test_values_have_the_types_of_the_schema_and_what_may_repeat_is_a_list() -> None:
    assert read_xml(ORDER, XSD) == {
        "Customer": "Łukasz & Sons",
        "Item": [{"@sku": "a-1", "Name": "Bolt", "Price": 12.5}],
    }


def test_numbers_that_json_lacks_are_spelled_as_in_xml() -> None:
    xsd = XSD.replace("xs:decimal", "xs:double")
    for word in ("NaN", "INF", "-INF"):
        values = read_xml(ORDER.replace(b"12.50", word.encode()), xsd)
        assert values["Item"][0]["Price"] == word
        json.dumps(values, allow_nan=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_the_declared_encoding_counts(encoding: str) -> None:
    text = (
        f"<?xml version='1.0' encoding='{encoding}'?><Order><Customer>Zoë</Customer>"
        "<Item><Name>007</Name><Price>1</Price></Item></Order>"
    )
    body = text.encode(encoding)
    check_xml(body, XSD)
    decoded = read_xml(body, XSD)
    assert (decoded["Customer"], decoded["Item"][0]["Name"]) == ("Zoë", "007")


def test_xml_that_is_not_well_formed_names_line_and_reason() -> None:
    with pytest.raises(InputRefused, match=r"The XML is not well-formed\.") as error:
        check_xml(b"<Order>\n<Customer>A</Order>", XSD)
    line, reason = error.value.problems[0]
    assert line == 2
    assert reason.startswith("Opening and ending tag mismatch: Customer line 2 and Order")


def test_no_more_problems_are_named_than_the_limit() -> None:
    items = b"\n<Item><Name>x</Name><Price>x</Price></Item>" * (MAX_PROBLEMS + 50)
    with pytest.raises(InputRefused) as error:
        check_xml(b"<Order><Customer>A</Customer>" + items + b"</Order>", XSD)
    assert len(error.value.problems) == MAX_PROBLEMS
    assert error.value.problems[9][0] == 11


def test_entities_and_document_types_are_refused_unread(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    for doctype, customer, message in (
        (f'<!DOCTYPE Order [<!ENTITY x SYSTEM "{secret.as_uri()}">]>', "&x;", "document type declaration"),
        ('<!DOCTYPE Order SYSTEM "http://127.0.0.1:1/order.dtd">', "A", "document type declaration"),
        (f'<!DOCTYPE Order [<!ENTITY l0 "ha">{laughs}]>', "&l11;", "well-formed|document type declaration"),
    ):
        item = "<Item><Name>n</Name><Price>1</Price></Item>"
        body = f"{doctype}<Order><Customer>{customer}</Customer>{item}</Order>"
        with pytest.raises(InputRefused, match=message) as error:
            check_xml(body.encode(), XSD)
        assert "secret" not in str(error.value.problems)
