"""The one entrance: kinds of input, fingerprint, size, and where the bytes are kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from smartflows_provider.payload.arguments import InputArguments
from smartflows_provider.payload.build import (
    MappingInput,
    NoInput,
    RecordsInput,
    RowsInput,
    XmlInput,
    prepare,
)
from smartflows_provider.payload.errors import (
    NotWellFormed,
    SchemaViolation,
    UnsupportedInput,
    UnusableText,
)
from smartflows_provider.payload.xsd import load_schema

RECORDS = {"id": "1", "entity": "account", "userId": "u"}


@pytest.mark.parametrize(
    ("source", "body", "content_type", "description"),
    [
        (NoInput(), None, None, "none"),
        (XmlInput(xml="<a/>"), b"<a/>", 'application/xml; charset="utf-8"', "XML, 4 bytes"),
        (
            MappingInput(data={"a": 1}),
            b'<?xml version="1.0" encoding="UTF-8"?>\n<a>1</a>\n',
            'application/xml; charset="utf-8"',
            "XML from a mapping, 48 bytes",
        ),
        (
            RowsInput(rows=[{"a": 1}], root="r"),
            b'<?xml version="1.0" encoding="UTF-8"?>\n<r>\n<row><a>1</a></row>\n</r>\n',
            'application/xml; charset="utf-8"',
            "XML of 1 row, 68 bytes",
        ),
        (
            RecordsInput(records=RECORDS),
            b'{"id": ["1"], "entity": "account", "userId": "u"}',
            'application/json; charset="utf-8"',
            "plug-in records, 49 bytes",
        ),
    ],
)
def test_each_kind_of_input_becomes_body_type_fingerprint_and_size(source, body, content_type, description):
    payload = prepare(source)
    assert payload.body == body
    assert payload.content_type == content_type
    assert payload.description == description
    assert payload.size == len(body or b"")
    assert (
        payload.fingerprint
        == hashlib.sha256((content_type or "").encode() + b"\0" + (body or b"")).hexdigest()
    )


def test_values_do_not_show_in_the_repr_of_inputs():
    sources = [
        XmlInput(xml="<a>SECRET</a>"),
        MappingInput(data={"a": "SECRET"}),
        RowsInput(rows=["SECRET"], header={"a": "SECRET"}),
        RecordsInput(records={"id": "SECRET"}),
    ]
    assert "SECRET" not in repr(sources)


def test_large_payload_is_a_file_that_goes_with_the_payload(tmp_path):
    text = f"<a>{'x' * 5000}</a>"
    with prepare(XmlInput(xml=text), memory_limit=1000, folder=tmp_path) as payload:
        assert isinstance(payload.body, Path)
        assert payload.body.read_text() == text
        assert payload.size == len(text)
    assert list(tmp_path.iterdir()) == []
    payload.close()
    assert payload.fingerprint == prepare(XmlInput(xml=text)).fingerprint


@pytest.mark.parametrize("memory_limit", [10, 1_000_000])
def test_xml_is_validated_wherever_it_is_kept_and_nothing_is_left_behind(tmp_path, report_xsd, memory_limit):
    folder = tmp_path / "temporary"
    folder.mkdir()
    bad = XmlInput(xml='<report xmlns="urn:report"><month>2013-01</month><row/></report>')
    for xsd in (report_xsd, str(report_xsd), load_schema(report_xsd)):
        with pytest.raises(SchemaViolation, match=r"/report/row\[1\]: Missing child element"):
            prepare(bad, xsd=xsd, memory_limit=memory_limit, folder=folder)
    with pytest.raises(NotWellFormed):
        prepare(XmlInput(xml="<a><b></a>"), memory_limit=memory_limit, folder=folder)
    assert list(folder.iterdir()) == []


def test_text_beyond_ten_megabytes_is_refused_also_in_what_is_written_here(tmp_path, report_xsd):
    folder = tmp_path / "temporary"
    folder.mkdir()
    carrier = "x" * 10_000_001
    header = {"month": "2013-01"}
    sources = [
        RowsInput(rows=[{"carrier": carrier, "flights": 1}], header=header),
        MappingInput(data={"report": {**header, "row": {"carrier": carrier, "flights": 1}}}),
    ]
    for source in sources:
        with pytest.raises(UnusableText, match=r"carrier: the text has 10,000,001 characters"):
            prepare(source, xsd=report_xsd, folder=folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("source", [NoInput(), RecordsInput(records=RECORDS)])
def test_xsd_with_an_input_that_is_not_xml_is_refused(source, report_xsd):
    with pytest.raises(UnsupportedInput) as caught:
        prepare(source, xsd=report_xsd)
    assert str(caught.value) == (
        "`xsd` checks XML, but the input is plug-in records or nothing; leave it out"
    )


def test_hidden_values_stay_out_of_messages(report_xsd):
    rows = [{"carrier": "UA", "flights": "SECRET"}]
    with pytest.raises(SchemaViolation) as caught:
        prepare(RowsInput(rows=rows, header={"month": "2013-01"}), xsd=report_xsd, hide_values=True)
    assert "SECRET" not in str(caught.value)
    assert "the value (hidden) does not fit the type 'xs:int'" in str(caught.value)


def test_package_itself_imports_nothing_heavy():
    code = (
        "import sys, smartflows_provider.payload; print({'lxml', 'xmlschema', 'airflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("kind", [str, PurePosixPath, Path])
def test_an_xsd_may_be_named_by_any_kind_of_path(kind: Any) -> None:
    arguments = InputArguments(xml="<Order/>", xsd=kind("order.xsd"))
    assert arguments.read(locate=Path) == XmlInput(xml="<Order/>")
