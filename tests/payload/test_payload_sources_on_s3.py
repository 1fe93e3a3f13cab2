"""Input from S3, on a server that speaks its protocol: every kind of file, as from a disk.

Drivers' files are not the ones of Python's ``open``; what one of them lacks shows only here.
"""

from __future__ import annotations

import json

import pyarrow
import pytest
from pyarrow import parquet
from support.object_store import Bucket, bucket, s3_endpoint

from smartflows_provider.payload import tables
from smartflows_provider.payload.build import XmlInput, prepare
from smartflows_provider.payload.errors import UnreadableRows
from smartflows_provider.payload.tables import read_rows

__all__ = ["bucket", "s3_endpoint"]

ROWS = [{"Name": "Ada", "City": "Kraków"}, {"Name": "Bo", "City": "Ål"}]
TEXTS = {
    "rows.csv": "Name,City\nAda,Kraków\nBo,Ål\n",
    "rows.json": json.dumps(ROWS),
    "rows.jsonl": "".join(f"{json.dumps(row)}\n" for row in ROWS),
    "rows.ndjson": "".join(f"{json.dumps(row)}\n\n" for row in ROWS),
}


@pytest.mark.parametrize("name", TEXTS)
def test_rows_come_from_s3_as_from_a_disk(bucket: Bucket, name: str) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=name, Body=TEXTS[name].encode())
    assert [dict(row) for row in read_rows(bucket.path / name)] == ROWS


def test_parquet_comes_from_s3_as_from_a_disk(bucket: Bucket) -> None:
    content = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), content)
    bucket.client.put_object(Bucket=bucket.name, Key="rows.parquet", Body=content.getvalue().to_pybytes())
    assert [dict(row) for row in read_rows(bucket.path / "rows.parquet")] == ROWS


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_line_without_end_is_given_up_on_s3_too(
    bucket: Bucket, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_LINE", 1000)
    bucket.client.put_object(Bucket=bucket.name, Key=name, Body=b"x" * 5000)
    with pytest.raises(UnreadableRows, match=f"{name}, line 1: the line has more than 1,000"):
        list(read_rows(bucket.path / name))


def test_xml_and_its_schema_come_from_s3_as_from_a_disk(bucket: Bucket) -> None:
    xsd = (
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">'
        '<xs:element name="Order" type="xs:int"/></xs:schema>'
    )
    for key, text in (("order.xml", "<Order>7</Order>"), ("order.xsd", xsd)):
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=text.encode())
    with prepare(XmlInput(xml=bucket.path / "order.xml"), xsd=bucket.path / "order.xsd") as payload:
        assert b"<Order>7</Order>" in payload.body
