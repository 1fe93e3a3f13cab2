"""The one entrance: from an input value to a payload that is ready to be sent.

An operator makes one of the input values below from its arguments and calls :func:`prepare` on the worker.
Invariants: what comes back was checked (well-formed; valid where an XSD is given), nothing is left behind
when it fails, and an iterator of rows is read exactly once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from xmlschema import XMLSchemaException

from smartflows_provider.payload.correlation import Correlation, in_mapping, in_xml
from smartflows_provider.payload.documents import root_of, write_mapping, write_rows
from smartflows_provider.payload.errors import UnsupportedInput
from smartflows_provider.payload.options import Style
from smartflows_provider.payload.prepared import MEMORY_LIMIT, PayloadSink, PreparedPayload, empty_payload
from smartflows_provider.payload.records import records_json
from smartflows_provider.payload.tables import cursor_rows, is_cursor, read_rows
from smartflows_provider.payload.xml_check import check_chunks
from smartflows_provider.payload.xml_text import XmlSource, xml_chunks
from smartflows_provider.payload.xsd import PathLike, Schema, load_schema
from smartflows_provider.wire.messages import JSON_TYPE
from smartflows_provider.wire.smart_flows import XML_TYPE


@dataclass(frozen=True, kw_only=True)
class NoInput:
    """Nothing: the flow starts from the execution panel."""


@dataclass(frozen=True, kw_only=True)
class XmlInput:
    """XML that exists already."""

    xml: XmlSource = field(repr=False)
    """Text, bytes, an lxml element or tree, or a path-like object; a text is never taken for a path."""


@dataclass(frozen=True, kw_only=True)
class MappingInput:
    """A mapping that becomes a document."""

    data: Mapping[str, Any] = field(repr=False)
    root: str | None = None
    """None: the mapping's only key, or the schema's only root element."""
    style: Style = field(default_factory=Style)
    """How values become XML."""


@dataclass(frozen=True, kw_only=True)
class RowsInput:
    """Rows that become a document."""

    rows: Any = field(repr=False)
    """
    Mappings, or sequences with ``columns``; a DB-API cursor; or a path-like (CSV, JSON lines, JSON array,
    Parquet).
    """
    root: str | None = None
    """None takes the schema's only root element."""
    row: str = "row"
    """A name, or a path such as ``rows/row``."""
    header: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Elements and ``"@attributes"`` of the root beside the rows."""
    columns: tuple[str, ...] | None = None
    """Names for rows that are sequences, and for the columns of a cursor."""
    style: Style = field(default_factory=Style)
    """How values become XML."""


@dataclass(frozen=True, kw_only=True)
class RecordsInput:
    """Records of a plug-in (Dynamics, Sugar)."""

    records: Mapping[str, Any] = field(repr=False)
    """``id`` (one or several), ``entity``, ``userId``, and ``organizationUniqueName`` if wanted."""


PayloadInput: TypeAlias = NoInput | XmlInput | MappingInput | RowsInput | RecordsInput


def prepare(
    source: PayloadInput,
    *,
    xsd: str | os.PathLike[str] | PathLike | Schema | None = None,
    hide_values: bool = False,
    correlation: Correlation | None = None,
    memory_limit: int = MEMORY_LIMIT,
    folder: Path | None = None,
) -> PreparedPayload:
    """
    Build, check and fingerprint a payload.

    :param source: one of the input values.
    :param xsd: path of the XSD to follow, or a loaded one; only for XML, mappings and rows.
    :param hide_values: leave data values out of the messages about the schema.
    :param correlation: a value to write into the XML, which the fingerprint leaves out.
    :param memory_limit: bytes up to which the payload stays in memory; a larger one is a temporary file.
    :param folder: where a temporary file goes; None for the system's place.
    :returns: the payload; close it, or use it as a context manager, to remove its file.
    :raises PayloadError: if the input cannot be sent; a retry with the same input does not help.
    """
    if isinstance(source, NoInput | RecordsInput) and xsd is not None:
        raise UnsupportedInput("`xsd` checks XML, but the input is plug-in records or nothing; leave it out")
    if isinstance(source, NoInput | RecordsInput) and correlation is not None:
        raise UnsupportedInput(
            "`correlation_path` names a place in XML, but the input is plug-in records or nothing; leave it "
            "out"
        )
    if isinstance(source, NoInput):
        return empty_payload()
    schema = xsd if xsd is None or isinstance(xsd, Schema) else load_schema(xsd)
    content_type = JSON_TYPE if isinstance(source, RecordsInput) else XML_TYPE
    sink = PayloadSink(
        content_type=content_type,
        memory_limit=memory_limit,
        folder=folder,
        unhashed=correlation.value.encode() if correlation else b"",
    )
    try:
        try:
            description = _fill(sink, source, schema, correlation)
        except (XMLSchemaException, RecursionError) as error:
            if schema is None:
                raise
            raise schema.unusable(error) from None
        if isinstance(source, XmlInput) or schema is not None:
            trusted = not isinstance(source, XmlInput)
            check_chunks(sink, schema, hide_values=hide_values, trusted=trusted)
        return sink.finish(description=description)
    except BaseException:
        sink.discard()
        raise


def _fill(
    sink: PayloadSink,
    source: XmlInput | MappingInput | RowsInput | RecordsInput,
    schema: Schema | None,
    correlation: Correlation | None,
) -> str:
    """Write the content into the sink and return what it is."""
    match source:
        case XmlInput():
            xml = in_xml(source.xml, correlation) if correlation else source.xml
            for chunk in xml_chunks(xml):
                sink.write(chunk)
            return "XML"
        case MappingInput():
            root, data = source.root, source.data
            if correlation:
                root, content = root_of(data, root=root, schema=schema)
                data = in_mapping(content, correlation)
            write_mapping(sink, data, root=root, schema=schema, style=source.style)
            return "XML from a mapping"
        case RowsInput():
            if correlation:
                correlation.check_beside(source.row)
            count = write_rows(
                sink,
                _rows_of(source),
                root=source.root,
                row=source.row,
                header=in_mapping(source.header, correlation) if correlation else source.header,
                columns=source.columns,
                schema=schema,
                style=source.style,
            )
            return f"XML of {count:,} row{'' if count == 1 else 's'}"
        case RecordsInput():
            sink.write(records_json(source.records))
            return "plug-in records"


def _rows_of(source: RowsInput) -> Iterable[Any]:
    """Return the rows, from wherever they are kept."""
    rows: Any = source.rows
    if is_cursor(rows):
        return cursor_rows(rows, source.columns)
    return read_rows(rows) if hasattr(rows, "open") else rows
