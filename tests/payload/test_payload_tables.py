"""Rows from CSV, JSON lines, JSON arrays, Parquet and cursors."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from upath import UPath

from smartflows_provider.payload.errors import (
    PayloadError,
    SourceUnreadable,
    UnreadableRows,
    UnsupportedInput,
)
from smartflows_provider.payload.tables import cursor_rows, read_rows


@pytest.fixture
def file(tmp_path):
    def write(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_csv_gives_texts_and_none_for_empty_fields(file):
    path = file("t.csv", '\ufeffa,b\r\n1,"x,\r\ny"\r\n\r\n,é\r\n')
    assert list(read_rows(path)) == [{"a": "1", "b": "x,\r\ny"}, {"a": None, "b": "é"}]


@pytest.mark.parametrize("name", ["t.jsonl", "T.NDJSON"])
def test_json_lines_keep_decimals_exact(file, name):
    path = file(name, '{"a": 1.10, "b": [1]}\n\n{"a": null}')
    assert list(read_rows(path)) == [{"a": Decimal("1.10"), "b": [1]}, {"a": None}]


def test_json_array_gives_its_objects(file):
    assert list(read_rows(file("t.json", '[{"a": 1}, {"a": true}]'))) == [{"a": 1}, {"a": True}]


def test_rows_are_read_from_any_storage():
    path = UPath("memory://tables/t.csv")
    path.write_text("a\n1\n")
    assert list(read_rows(path)) == [{"a": "1"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "{path}: the first line must name the columns, but it is empty"),
        ("t.csv", "a,b,a\n", "{path}: the column 'a' is named twice"),
        ("t.csv", "a,b\n1,2\n1,2,3\n", "{path}, line 3: 3 fields where the header names 2"),
        ("t.csv", "a,b\n1\n", "{path}, line 2: 1 fields where the header names 2"),
        ("t.csv", 'a\n"x', "{path}, line 2: unexpected end of data"),
        ("t.csv", b"a\n\xff\n", "{path}, after line 0: the bytes are not UTF-8"),
        ("t.jsonl", '{"a": 1}\n{"a": }\n', "{path}, line 2: not JSON (Expecting value, at character 7)"),
        ("t.jsonl", '{"a": NaN}', "{path}, line 1: not JSON (NaN is no JSON number)"),
        ("t.jsonl", b'{"a": "\xff"}', "{path}, line 1: not JSON (the bytes are not UTF-8)"),
        ("t.jsonl", "[" * 100_000, "{path}, line 1: not JSON (it is nested too deeply)"),
        ("t.jsonl", "[1]", "{path}, line 1: a row is a JSON object, not an array"),
        ("t.json", "{}", "{path}: rows in .json are an array of objects, not an object"),
        ("t.json", "[1]", "{path}, entry 1: a row is a JSON object, not a number"),
    ],
)
def test_file_that_does_not_hold_what_its_name_says_is_an_error_with_the_line(file, name, content, message):
    path = file(name, content)
    with pytest.raises(UnreadableRows) as caught:
        list(read_rows(path))
    assert str(caught.value) == message.format(path=path)


@pytest.mark.parametrize(("name", "told"), [("t.xlsx", ".xlsx"), ("rows", "this")])
def test_other_suffixes_are_refused(file, name, told):
    path = file(name, "")
    with pytest.raises(UnsupportedInput) as caught:
        read_rows(path)
    known = ".csv, .jsonl, .ndjson, .json and .parquet"
    assert str(caught.value) == f"{path}: rows are read from {known}, not {told}"


def test_cursor_gives_rows_by_column_name_in_pieces():
    with sqlite3.connect(":memory:") as connection:
        cursor = connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
            "SELECT i, -i AS j FROM n"
        )
        rows = list(cursor_rows(cursor))
    assert rows[0] == {"i": 1, "j": -1}
    assert len(rows) == 2500


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TABLE t (a)", "the statement gives no rows; rows come from a SELECT"),
        ("SELECT 1 AS a, 2 AS a", "the column 'a' comes twice; give each a name of its own (AS …)"),
    ],
)
def test_statement_without_usable_rows_is_refused(statement, message):
    with sqlite3.connect(":memory:") as connection, pytest.raises(UnsupportedInput) as caught:
        list(cursor_rows(connection.execute(statement)))
    assert str(caught.value) == message


# --- cursors of all kinds ---


def test_the_columns_of_a_cursor_can_be_named_otherwise():
    with sqlite3.connect(":memory:") as connection:
        assert list(cursor_rows(connection.execute("SELECT 1, 1"), ["a", "b"])) == [{"a": 1, "b": 1}]
        with pytest.raises(UnsupportedInput) as caught:
            list(cursor_rows(connection.execute("SELECT 1, 2"), ["a"]))
    assert str(caught.value) == "the query has 2 columns, and `columns` names 1"


def test_rows_that_a_cursor_gives_as_mappings_are_taken_as_they_are():
    with sqlite3.connect(":memory:") as connection:
        connection.row_factory = lambda cursor, row: {cursor.description[0][0]: row[0]}
        assert list(cursor_rows(connection.execute("SELECT 1 AS a"))) == [{"a": 1}]


def test_rows_that_a_cursor_gives_as_a_kind_of_its_own_are_named():
    with sqlite3.connect(":memory:") as connection:
        connection.row_factory = sqlite3.Row
        assert list(cursor_rows(connection.execute("SELECT 1 AS a"))) == [{"a": 1}]


# --- Parquet ---


@pytest.fixture
def parquet(tmp_path):
    def write(table: pyarrow.Table, **options):
        path = tmp_path / "t.parquet"
        pyarrow.parquet.write_table(table, path, **options)
        return path

    return write


def test_parquet_keeps_every_value_exact(parquet):
    moment = datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC)
    values = {
        "amount": Decimal("12345678901234567890.10"),
        "day": date(2024, 2, 29),
        "moment": moment,
        "local": datetime(2026, 1, 1, 8, 30, 0, 1),
        "clock": time(8, 30, 1),
        "span": timedelta(hours=25),
        "image": b"\x00\xff",
        "flag": True,
        "ratio": 0.1,
        "count": 2**62,
        "nothing": None,
        "who": {"first": "Ada", "tags": ["a", "b"]},
        "attributes": {"k": Decimal("1.5")},
    }
    schema = pyarrow.schema(
        {
            "amount": pyarrow.decimal128(30, 2),
            "day": pyarrow.date32(),
            "moment": pyarrow.timestamp("us", "UTC"),
            "local": pyarrow.timestamp("us"),
            "clock": pyarrow.time64("us"),
            "span": pyarrow.duration("s"),
            "image": pyarrow.binary(),
            "flag": pyarrow.bool_(),
            "ratio": pyarrow.float64(),
            "count": pyarrow.int64(),
            "nothing": pyarrow.string(),
            "who": pyarrow.struct({"first": pyarrow.string(), "tags": pyarrow.list_(pyarrow.string())}),
            "attributes": pyarrow.map_(pyarrow.string(), pyarrow.decimal128(5, 1)),
        }
    )
    assert list(read_rows(parquet(pyarrow.Table.from_pylist([values], schema)))) == [values]


def test_parquet_is_read_in_pieces_from_any_storage(parquet):
    local = parquet(pyarrow.table({"n": range(2500)}), row_group_size=1200)
    path = UPath("memory://tables/t.parquet")
    path.write_bytes(local.read_bytes())
    assert [row["n"] for row in read_rows(path)] == list(range(2500))


def test_parquet_with_a_column_twice_is_refused(parquet):
    with pytest.raises(UnsupportedInput, match="the column 'a' comes twice"):
        list(read_rows(parquet(pyarrow.table([[1], [2]], names=["a", "a"]))))


def test_parquet_with_a_key_twice_in_a_map_is_refused(parquet):
    column = pyarrow.array([[("k", 1), ("k", 2)]], pyarrow.map_(pyarrow.string(), pyarrow.int64()))
    path = parquet(pyarrow.table({"m": column}))
    with pytest.raises(UnreadableRows) as caught:
        list(read_rows(path))
    assert str(caught.value) == f"{path}: a map has the same key twice"


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet_is_an_error_that_names_the_file(file, content):
    path = file("t.parquet", content)
    with pytest.raises(PayloadError) as caught:
        list(read_rows(path))
    assert f"{path}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parquet_that_is_damaged_is_an_error(parquet):
    path = parquet(pyarrow.table({"n": range(100_000)}), use_dictionary=False)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 200 + content[204:])
    with pytest.raises(PayloadError, match=re.escape(str(path))):
        list(read_rows(path))


def test_parquet_without_pyarrow_says_what_to_install(parquet, monkeypatch):
    path = parquet(pyarrow.table({"n": [1]}))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnsupportedInput) as caught:
        list(read_rows(path))
    assert "install airflow-provider-smartflows[parquet]" in str(caught.value)


PEAK = """
import resource, sys
from pathlib import Path
from smartflows_provider.payload.tables import read_rows

def count(path):
    return sum(1 for row in read_rows(Path(path)))

count(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(count(sys.argv[2]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.full
def test_a_million_rows_of_parquet_in_one_group_take_little_memory(tmp_path):
    names = [f"a name that is as long as names are {number}" for number in range(1_000_000)]
    paths = [str(tmp_path / "small.parquet"), str(tmp_path / "large.parquet")]
    for path, count in zip(paths, (1000, 1_000_000), strict=True):
        table = pyarrow.table({"id": range(count), "name": names[:count]})
        pyarrow.parquet.write_table(table, path, row_group_size=count)
    answer = subprocess.run([sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, check=True)
    count, grown = map(int, answer.stdout.split())
    assert count == 1_000_000
    assert grown < 40 * 1024


# --- storages ---


class Away:
    """A file on a storage that does not answer."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __str__(self) -> str:
        return "s3://bucket/t.csv"

    def open(self, mode: str) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "passes", "message"),
    [
        (FileNotFoundError(2, "No such file", "s3://bucket/t.csv"), False, "[Errno 2] No such file: 's3:"),
        (TimeoutError("no answer"), True, "s3://bucket/t.csv: no answer"),
        (ConnectionResetError("reset"), True, "s3://bucket/t.csv: reset"),
        (ImportError("install s3fs"), False, "s3://bucket/t.csv: install s3fs"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_says_whether_it_may_pass(error, passes, message):
    with pytest.raises(SourceUnreadable) as caught:
        list(read_rows(Away(error)))
    assert str(caught.value).startswith(f"the input cannot be read: {message}")
    assert caught.value.passes is passes


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pyarrow.array([2**62], pyarrow.timestamp("us")), "date value out of range"),
        (pyarrow.array([2**30], pyarrow.date32()), "days=1073741824"),
        (pyarrow.array([1], pyarrow.timestamp("us", "No/Where")), "No/Where"),
    ],
)
def test_a_parquet_value_that_python_cannot_hold_is_named_and_not_shown_where_hidden(values, said, tmp_path):
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": values}), path)
    with pytest.raises(UnreadableRows, match=f"^{re.escape(str(path))}: .*{said}") as caught:
        list(read_rows(path))
    assert said not in caught.value.unquoted


@pytest.mark.parametrize("name", ["a\0b.csv", "a\ud800b.csv"])
def test_a_path_that_no_storage_takes_is_an_unreadable_source(name):
    with pytest.raises(SourceUnreadable, match=r"^the input cannot be read: a.*b\.csv"):
        list(read_rows(Path(name)))


class Driver(Exception):
    """Errors of a storage's driver, which belong to no class of Python's."""


class EndpointConnectionError(Driver):
    """The name that one of them has."""


@pytest.mark.parametrize(
    ("error", "passes"), [(Driver("no such bucket"), False), (EndpointConnectionError("down"), True)]
)
def test_what_a_driver_of_a_storage_raises_is_an_unreadable_source(error, passes):
    class Remote:
        def open(self, mode):
            raise error

        def __str__(self):
            return "s3://b/t.csv"

    with pytest.raises(
        SourceUnreadable, match=f"^the input cannot be read: s3://b/t.csv: {error}$"
    ) as caught:
        list(read_rows(Remote()))
    assert caught.value.passes is passes


def test_columns_rename_the_fields_of_a_cursor_that_gives_mappings():
    class Cursor:
        description = (("a",), ("b",))
        batches = iter([[{"a": 1, "b": 2}], []])

        def fetchmany(self, size):
            return next(self.batches)

    assert list(cursor_rows(Cursor(), ["x", "y"])) == [{"x": 1, "y": 2}]
