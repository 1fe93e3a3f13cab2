"""Rows from CSV, JSON lines, JSON arrays and cursors."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import pytest
from upath import UPath

from smartflows_provider.payload.errors import UnreadableRows, UnsupportedInput
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
        ("t.jsonl", '{"a": 1}\n{"a": }\n', "{path}, line 2: not JSON (Expecting value)"),
        ("t.jsonl", '{"a": NaN}', "{path}, line 1: NaN is not JSON"),
        ("t.jsonl", b'{"a": "\xff"}', "{path}, line 1: not JSON (UnicodeDecodeError)"),
        ("t.jsonl", "[" * 100_000, "{path}, line 1: not JSON (RecursionError)"),
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
