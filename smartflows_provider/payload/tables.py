"""Rows from where authors keep them: CSV, JSON lines, JSON arrays, Parquet, database cursors.

Each reader yields one mapping per row and holds no more than a few rows, except for a JSON array, which
is read whole. Invariant: a row that lacks the columns which its table promises is an error that names the
line, never a row with a field missing.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from smartflows_provider.payload.errors import (
    UnreadableRows,
    UnsupportedInput,
    first_line,
    reading,
    shortened,
)
from smartflows_provider.payload.json_text import NotJson, read_json

Row = Mapping[str, Any]
MAX_LINE = 16 * 1024 * 1024
"""Characters of a line of CSV, bytes of a line of JSON; a line is held in memory several times over."""
MAX_ARRAY = 256 * 1024 * 1024
"""Bytes of a file with a JSON array, which is held in memory whole."""
_FETCHED = 1000
"""Rows that are taken from a cursor or a Parquet file at a time."""
_BUFFERED = 256 * 1024
"""Bytes that are read at a time, of a Parquet file from each column, which else is read whole."""


def read_rows(path: Any) -> Iterator[Row]:
    """
    Read rows from a file by its suffix.

    :param path: path-like, ending in ``.csv``, ``.jsonl``, ``.ndjson``, ``.json`` (an array) or ``.parquet``.
    :raises UnsupportedInput: for another suffix. :raises UnreadableRows: if the content does not fit it.
    :raises SourceUnreadable: if the file cannot be read.
    """
    suffix = PurePath(str(path)).suffix.lower()
    readers = {
        ".csv": read_csv_rows,
        ".jsonl": read_json_lines,
        ".ndjson": read_json_lines,
        ".json": read_json_array,
        ".parquet": read_parquet_rows,
    }
    reader = readers.get(suffix)
    if reader is None:
        known = "rows are read from .csv, .jsonl, .ndjson, .json and .parquet"
        # What is no path, but rows that a template has turned into text, comes here too.
        raise UnsupportedInput(
            f"{shortened(str(path))}: {known}, not {shortened(suffix) or 'this'}",
            unquoted=f"{known}; the path ends in none of these, or is none",
        )
    return _read(reader, path)


def _read(reader: Callable[[Any], Iterator[Row]], path: Any) -> Iterator[Row]:
    with reading(path):
        yield from reader(path)


def read_csv_rows(path: Any) -> Iterator[Row]:
    """
    Read a CSV file in UTF-8 with a line of column names; an empty field is None.

    :raises UnreadableRows: if there is no header, a name comes twice, or a row has more or fewer fields.
    """
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        lines = csv.reader(_csv_lines(text, path), strict=True)
        try:
            names = next(lines, None)
            if not names:
                raise UnreadableRows(f"{path}: the first line must name the columns, but it is empty")
            if len(set(names)) < len(names):
                raise UnreadableRows(
                    f"{path}: the column {_twice(names)!r:.80} is named twice",
                    unquoted=f"{path}: a column is named twice; the first line must name the columns",
                )
            for fields in lines:
                if not fields:
                    continue
                if len(fields) != len(names):
                    counts = f"{len(fields)} fields where the header names {len(names)}"
                    raise UnreadableRows(f"{path}, line {lines.line_num}: {counts}")
                yield {name: field or None for name, field in zip(names, fields, strict=True)}
        except csv.Error as error:
            raise UnreadableRows(f"{path}, line {lines.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise UnreadableRows(f"{path}, after line {lines.line_num}: the bytes are not UTF-8") from None


def read_json_lines(path: Any) -> Iterator[Row]:
    """
    Read a file with one JSON object per line; numbers with a point become ``Decimal``.

    :raises UnreadableRows: if a line is no JSON object.
    """
    # The files of some drivers, S3's among them, know no limit for a line.
    with path.open("rb") as raw, io.BufferedReader(raw, _BUFFERED) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), b""), 1):
            if len(line) > MAX_LINE:
                raise UnreadableRows(f"{path}, line {number}: the line has more than {MAX_LINE:,} bytes")
            if line.strip():
                yield _object(_loads(line, where=f"{path}, line {number}"), where=f"{path}, line {number}")


def read_json_array(path: Any) -> Iterator[Row]:
    """
    Read a file with one JSON array of objects, whole.

    :raises UnreadableRows: if it holds anything else.
    """
    with path.open("rb") as raw:
        content = raw.read(MAX_ARRAY + 1)
    if len(content) > MAX_ARRAY:
        raise UnreadableRows(f"{path}: the array has more than {MAX_ARRAY:,} bytes; use JSON lines instead")
    entries = _loads(content, where=str(path))
    if not isinstance(entries, list):
        raise UnreadableRows(f"{path}: rows in .json are an array of objects, not {_json_type(entries)}")
    for number, entry in enumerate(entries, 1):
        yield _object(entry, where=f"{path}, entry {number}")


def read_parquet_rows(path: Any) -> Iterator[Row]:
    """
    Read a Parquet file; structs and maps become mappings.

    :raises UnsupportedInput: if pyarrow is missing, or two columns share a name.
    :raises UnreadableRows: if it is no Parquet file, or a value has no exact Python form.
    """
    try:
        import pyarrow  # noqa: PLC0415 - an extra, which only this reader needs
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise UnsupportedInput(
            f"{path}: Parquet files are read by pyarrow, which is not installed here; install "
            "airflow-provider-smartflows[parquet]"
        ) from None
    with path.open("rb") as raw:
        try:
            # Read ahead, or in several threads, it would hold whole groups of rows.
            table = parquet.ParquetFile(raw, buffer_size=_BUFFERED, pre_buffer=False)
            schema = table.schema_arrow
            check_columns(schema.names)
            # Asked for only where there are maps, because it takes ten times as long.
            maps = "strict" if any("map<" in str(field.type) for field in schema) else None
            for batch in table.iter_batches(batch_size=_FETCHED, use_threads=False):
                yield from batch.to_pylist(maps_as_pydicts=maps)
        except (pyarrow.ArrowException, ArithmeticError, LookupError, ValueError) as error:
            # A time zone that is not known is a KeyError of a class of its own.
            if type(error) is KeyError:
                raise UnreadableRows(f"{path}: a map has the same key twice") from None
            raise UnreadableRows(
                f"{path}: {first_line(error)}",
                unquoted=f"{path}: {type(error).__name__}; a value has no exact Python form, or the file is "
                "damaged",
            ) from None


def is_cursor(value: Any) -> bool:
    """Tell whether a value is a DB-API cursor."""
    return hasattr(value, "description") and callable(getattr(value, "fetchmany", None))


def cursor_rows(cursor: Any, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """
    Read the rows of a DB-API cursor that has executed a query.

    :param columns: other names for the columns; None takes the query's own.
    :raises UnsupportedInput: if the statement gives no rows, or two columns share a name.
    """
    # A named cursor of psycopg2 knows its columns once it has fetched; other cursors have no name.
    fetched = cursor.fetchmany(_FETCHED) if cursor.description or getattr(cursor, "name", None) else []
    if not cursor.description:
        raise UnsupportedInput("the statement gives no rows; rows come from a SELECT")
    own = [str(column[0]) for column in cursor.description]
    names = own if columns is None else columns
    check_columns(names)
    if len(names) != len(own):
        raise UnsupportedInput(f"the query has {len(own)} columns, and `columns` names {len(names)}")
    while fetched:
        for row in fetched:
            # Some drivers give mappings on request, and some give sequences of a kind of their own.
            if not isinstance(row, Mapping):
                yield dict(zip(names, row, strict=True))
            elif columns is None:
                yield row
            else:
                yield {name: row[key] for name, key in zip(names, own, strict=True)}
        fetched = cursor.fetchmany(_FETCHED)


def named_rows(rows: Iterable[Any], columns: Sequence[str] | None) -> Iterator[Row]:
    """
    Give every row the names of its fields.

    :param columns: the names for rows that are sequences; None if all rows are mappings.
    :raises UnsupportedInput: if a row is neither, or has another number of values than there are columns.
    """
    if columns is not None:
        check_columns(columns)
    for number, row in enumerate(rows, 1):
        if isinstance(row, Mapping):
            yield row
        elif isinstance(row, str | bytes) or not isinstance(row, Sequence):
            raise UnsupportedInput(f"row {number}: a row is a mapping or a list, not {type(row).__name__}")
        elif columns is None:
            raise UnsupportedInput(
                f"row {number}: a row that is a list needs `columns`, the names of its fields"
            )
        elif len(row) != len(columns):
            raise UnsupportedInput(f"row {number}: {len(row)} values for {len(columns)} columns")
        else:
            yield dict(zip(columns, row, strict=True))


def check_columns(names: Sequence[str]) -> None:
    """Raise :class:`UnsupportedInput` if a column's name comes twice."""
    if len(set(names)) < len(names):
        raise UnsupportedInput(
            f"the column {_twice(names)!r:.80} comes twice; give each a name of its own (AS …)",
            unquoted="a column comes twice; give each a name of its own (AS …)",
        )


def _twice(names: Sequence[str]) -> str:
    return next(name for name, times in Counter(names).items() if times > 1)


def _csv_lines(text: io.TextIOWrapper, path: Any) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: text.readline(MAX_LINE + 1), ""), 1):
        if len(line) > MAX_LINE:
            raise UnreadableRows(f"{path}, line {number}: the line has more than {MAX_LINE:,} characters")
        yield line


def _loads(data: bytes, *, where: str) -> Any:
    try:
        return read_json(data)
    except NotJson as error:
        raise UnreadableRows(
            f"{where}: not JSON ({error})", unquoted=f"{where}: not JSON ({error.unquoted})"
        ) from None


def _object(entry: Any, *, where: str) -> Row:
    if not isinstance(entry, dict):
        raise UnreadableRows(f"{where}: a row is a JSON object, not {_json_type(entry)}")
    return entry


def _json_type(entry: Any) -> str:
    names = {list: "an array", dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(entry), "a number")
