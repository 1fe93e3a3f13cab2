"""Rows about input: rows that become XML, beside bare ``lxml`` loops over the same rows.

What the bare loops do: each value as text by ``str`` or ``isoformat``, each field an element, no checks, no
hash. Invariant: both sides write the same elements with the same texts.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import requests
from lxml import etree

from benchmarks.comparison import MEGABYTE, Row
from benchmarks.server import serving
from benchmarks.work import Work
from smartflows_provider.payload.build import RowsInput, prepare
from smartflows_provider.payload.tables import cursor_rows
from smartflows_provider.transport.asynchronous import AsyncClient
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.wire.messages import Request

ROWS = 1_000_000
ROOT = "flights"
DATABASE = ".db"
LEAST_RATIO = 0.8
MOST_MEMORY = 40.0
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="flights">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="row" maxOccurs="unbounded">
          <xs:complexType>
            <xs:sequence>
              <xs:element name="flight" type="xs:int"/>
              <xs:element name="carrier" type="xs:string"/>
              <xs:element name="airline" type="xs:string"/>
              <xs:element name="origin" type="xs:string"/>
              <xs:element name="destination" type="xs:string"/>
              <xs:element name="departure" type="xs:dateTime"/>
              <xs:element name="day" type="xs:date"/>
              <xs:element name="delay" type="xs:decimal" minOccurs="0"/>
              <xs:element name="distance" type="xs:double"/>
              <xs:element name="seats" type="xs:int"/>
              <xs:element name="remark" type="xs:string"/>
            </xs:sequence>
          </xs:complexType>
        </xs:element>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
</xs:schema>
"""


def flights(count: int) -> Iterator[Mapping[str, Any]]:
    """Yield rows of mixed types, about 300 bytes of XML each; making them takes no time worth speaking of."""
    start = datetime(2013, 1, 1, 5, 15)
    made = [
        {
            "flight": 1000 + number,
            "carrier": f"U{number % 97}",
            "airline": f"United & Sons {number}",
            "origin": "EWR",
            "destination": "IAH",
            "departure": start + timedelta(minutes=17 * number),
            "day": date(2013, 1, 1) + timedelta(days=number % 365),
            "delay": None if number % 7 == 0 else Decimal(number) / 8,
            "distance": number * 1.25,
            "seats": number % 300,
            "remark": f"Grüße {number}",
        }
        for number in range(1000)
    ]
    return islice(cycle(made), count)


@contextmanager
def rows(folder: Path, scale: float) -> Iterator[Sequence[Row]]:
    """Write the files that rows are read from, serve a place to send to, and yield the rows."""
    count = int(ROWS * scale)
    xsd, csv_file, json_lines, database, xml = (
        folder / name for name in ("flights.xsd", "rows.csv", "rows.jsonl", f"rows{DATABASE}", "flights.xml")
    )
    xsd.write_text(XSD)
    _write_tables(count, csv_file=csv_file, json_lines=json_lines, database=database)
    _write_bare(flights(count), xml)
    size = xml.stat().st_size
    bare = Work.of(bare_rows, count=count, folder=str(folder))
    checked = {"xsd": str(xsd), "folder": str(folder)}
    files = {"a CSV file": csv_file, "JSON lines": json_lines, "a cursor": database}
    with serving(folder) as server:
        where = {"url": server.url, "authority": server.authority, "path": str(xml)}
        senders = {"a worker": own_upload, "the async client": own_async_upload}
        yield [
            _written(
                f"{count:,} rows to {size / MEGABYTE:.0f} MB of XML",
                Work.of(own_rows, count=count, folder=str(folder)),
                bare,
                count,
                least_ratio=LEAST_RATIO,
            ),
            _written(
                "the same, checked against an XSD",
                Work.of(own_rows, count=count, **checked),
                bare,
                count,
                least_ratio=LEAST_RATIO,
            ),
            *(
                _written(
                    f"the same rows from {what}, checked",
                    Work.of(own_file, path=str(path), **checked),
                    Work.of(bare_file, path=str(path), folder=str(folder)),
                    count,
                )
                for what, path in files.items()
            ),
            *(
                Row(
                    name=f"the XML sent by {what}",
                    ours=Work.of(sender, **where),
                    theirs=Work.of(bare_upload, **where),
                    amount=size // MEGABYTE,
                    unit="MB",
                    most_memory=MOST_MEMORY,
                )
                for what, sender in senders.items()
            ),
        ]


def _written(name: str, ours: Work, theirs: Work, count: int, *, least_ratio: float | None = None) -> Row:
    """Return a row about rows that are written."""
    return Row(
        name=name,
        ours=ours,
        theirs=theirs,
        amount=count,
        unit="rows",
        least_ratio=least_ratio,
        most_memory=MOST_MEMORY,
    )


def own_rows(count: int, folder: str, xsd: str | None = None) -> None:
    """Prepare rows as an operator does."""
    _prepare(flights(count), folder, xsd)


def bare_rows(count: int, folder: str) -> None:
    """Write the same rows."""
    _write_bare(flights(count), Path(folder, "bare.xml"))


def own_file(path: str, folder: str, xsd: str) -> None:
    """Prepare the rows of a file or of a database's table as an operator does."""
    if not path.endswith(DATABASE):
        _prepare(Path(path), folder, xsd)
        return
    with closing(sqlite3.connect(path)) as connection:
        _prepare(cursor_rows(connection.execute("SELECT * FROM flights")), folder, xsd)


def bare_file(path: str, folder: str) -> None:
    """Write the same rows."""
    target = Path(folder, "bare.xml")
    if path.endswith(".csv"):
        with Path(path).open(newline="", encoding="utf-8") as file:
            _write_bare(csv.DictReader(file), target)
    elif path.endswith(".jsonl"):
        with Path(path).open("rb") as file:
            _write_bare(map(json.loads, file), target)
    else:
        with closing(sqlite3.connect(path)) as connection:
            cursor = connection.execute("SELECT * FROM flights")
            names = [column[0] for column in cursor.description]
            _write_bare((dict(zip(names, values, strict=True)) for values in cursor), target)


def own_upload(url: str, authority: str, path: str) -> None:
    """Send a file with the blocking client."""
    with BlockingClient(ClientSettings(base_url=url, api_prefix="", ca_bundle=authority)) as client:
        client.send(_upload(path))


def own_async_upload(url: str, authority: str, path: str) -> None:
    """Send a file with the async client."""

    async def send() -> None:
        settings = ClientSettings(base_url=url, api_prefix="", ca_bundle=authority)
        async with AsyncClient(settings) as client:
            await client.send(_upload(path))

    asyncio.run(send())


def bare_upload(url: str, authority: str, path: str) -> None:
    """Send the same file with ``requests``."""
    with Path(path).open("rb") as file:
        requests.post(url, data=file, timeout=60, verify=authority).raise_for_status()


def _prepare(source: Any, folder: str, xsd: str | None) -> None:
    with prepare(RowsInput(rows=source, root=ROOT), xsd=xsd, folder=Path(folder)):
        pass


def _upload(path: str) -> Request:
    return Request(method="POST", path="/", body=Path(path), repeatable=False)


def _write_bare(source: Iterable[Mapping[str, Any]], target: Path) -> None:
    with etree.xmlfile(str(target), encoding="utf-8") as xml:
        xml.write_declaration()
        with xml.element(ROOT):
            for row in source:
                with xml.element("row"):
                    for name, value in row.items():
                        if value is None or value == "":
                            continue
                        with xml.element(name):
                            xml.write(value.isoformat() if isinstance(value, date) else str(value))


def _write_tables(count: int, *, csv_file: Path, json_lines: Path, database: Path) -> None:
    """Write the rows as a CSV file, as JSON lines and as a table of SQLite."""
    names = list(next(flights(1)))
    with csv_file.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(_plain(row) for row in flights(count))
    with json_lines.open("w", encoding="utf-8") as file:
        file.writelines(
            f"{json.dumps(dict(zip(names, _plain(row), strict=True)))}\n" for row in flights(count)
        )
    marks = ", ".join("?" * len(names))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"CREATE TABLE flights ({', '.join(names)})")
        connection.executemany(
            f"INSERT INTO flights VALUES ({marks})",  # noqa: S608 - question marks
            map(_plain, flights(count)),
        )


def _plain(row: Mapping[str, Any]) -> list[Any]:
    """Return a row's values with dates as text and decimals as numbers, which every file can hold."""
    return [
        value.isoformat()
        if isinstance(value, date)
        else float(value)
        if isinstance(value, Decimal)
        else value
        for value in row.values()
    ]
