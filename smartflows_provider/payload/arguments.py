"""What authors hand over as input, read as one of the values that the builder takes.

Operator, decorator and hook take the same arguments and mean the same by them; the reading is done here.
Invariants: what cannot be meant is an error that names the argument, and never a default; nothing is read
from a file or a cursor yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, TypeAlias

from lxml import etree

from smartflows_provider.payload.build import (
    MappingInput,
    NoInput,
    PayloadInput,
    RecordsInput,
    RowsInput,
    XmlInput,
)
from smartflows_provider.payload.errors import UnsupportedInput
from smartflows_provider.payload.json_text import NotJson, read_json
from smartflows_provider.payload.options import InputKind, Style, is_address
from smartflows_provider.payload.tables import is_cursor

Locate: TypeAlias = Callable[[Any], Any]
"""Turns a path given as text into a path-like object, and leaves everything else as it is."""


@dataclass(frozen=True, kw_only=True)
class InputArguments:
    """The arguments about an input, templates rendered; at most one of the first four is set."""

    xml: Any = field(default=None, repr=False)
    """Text, bytes, an lxml element, a path object, or an address; any other text is XML."""
    data: Any = field(default=None, repr=False)
    """A mapping, or JSON text of one."""
    rows: Any = field(default=None, repr=False)
    """An iterable of rows, JSON text of one, a DB-API cursor, or a path."""
    records: Any = field(default=None, repr=False)
    """A mapping, or JSON text of one."""
    root: str | None = None
    row: str | None = None
    header: Mapping[str, Any] | str | None = field(default=None, repr=False)
    """A mapping, or JSON text of one."""
    columns: Any = None
    """Names as a sequence, or JSON text of one."""
    xsd: Any = None
    style: Style = field(default_factory=Style)

    def read(self, *, locate: Locate) -> PayloadInput:
        """
        Return the input.

        :param locate: turns paths given as text into path-like objects.
        :raises UnsupportedInput: if it is of a kind that cannot be meant.
        """
        self._check_names()
        if self.xml is not None:
            is_file = isinstance(self.xml, PurePath) or is_address(self.xml)
            return XmlInput(xml=locate(self.xml) if is_file else self.xml)
        if self.data is not None:
            return MappingInput(data=_mapping(self.data, "data"), root=self.root, style=self.style)
        if self.records is not None:
            return RecordsInput(records=_mapping(self.records, "records"))
        if self.rows is None:
            return NoInput()
        if not self.row:
            raise UnsupportedInput("rows need `row`, the name of each row's element")
        return RowsInput(
            rows=_rows(self.rows, locate),
            root=self.root,
            row=self.row,
            header={} if self.header is None else _mapping(self.header, "header"),
            columns=_columns(self.columns),
            style=self.style,
        )

    def _check_names(self) -> None:
        """Refuse what a template has turned into nothing, or into something else than a name or a path."""
        for name, value in (("root", self.root), ("row", self.row)):
            if value is not None and not (isinstance(value, str) and value.strip()):
                raise UnsupportedInput(f"{name} is {_described(value)}; it takes the name of an element")
        is_path = isinstance(self.xsd, PurePath) or hasattr(self.xsd, "open")
        is_path |= isinstance(self.xsd, str) and bool(self.xsd.strip())
        if self.xsd is not None and not is_path:
            raise UnsupportedInput(f"xsd is {_described(self.xsd)}; it takes a path, or is left out")

    def holding(self, value: Any, *, kind: InputKind | None = None) -> InputArguments:
        """
        Return these arguments with a value of any kind as their input.

        :param value: a mapping is ``data``; text, bytes and lxml elements are ``xml``; path objects are
            ``xml`` or ``rows`` by their suffix; a cursor or any other iterable is ``rows``; None is no input.
        :param kind: what it is, where the value's type does not tell.
        :raises UnsupportedInput: if it is of no such type, or a text that is not XML.
        """
        if value is None:
            return self
        return replace(self, **{kind or _kind_of(value): value})


def _kind_of(value: Any) -> InputKind:
    if isinstance(value, Mapping):
        return "data"
    if isinstance(value, str):
        if value.lstrip("\ufeff \t\r\n").startswith("<"):
            return "xml"
        raise UnsupportedInput("the text is not XML; for a file, give a path object instead of its name")
    if hasattr(value, "open"):
        return "xml" if PurePath(str(value)).suffix.lower() == ".xml" else "rows"
    if (
        isinstance(value, bytes | bytearray | memoryview | etree._ElementTree)  # noqa: SLF001 - it has no public name
        or etree.iselement(value)
    ):
        return "xml"
    if is_cursor(value) or isinstance(value, Iterable):
        return "rows"
    raise UnsupportedInput(
        f"an input of type {type(value).__name__} is not known; there are mappings, rows, XML, paths and None"
    )


def _rows(rows: Any, locate: Locate) -> Any:
    """Return rows as something to read them from."""
    if isinstance(rows, str) and rows.lstrip().startswith("["):
        # A template may give a list as its JSON text.
        return _json(rows, "rows")
    located = locate(rows)
    if (
        hasattr(located, "open")
        or is_cursor(located)
        or (isinstance(located, Iterable) and not isinstance(located, Mapping | str | bytes))
    ):
        return located
    raise UnsupportedInput(
        f"rows is {_described(rows)}; it takes a list of mappings, a cursor, the path of a file with rows, "
        "or a function of the context that returns one of these"
    )


def _columns(columns: Any) -> tuple[str, ...] | None:
    if columns is None:
        return None
    names = _json(columns, "columns") if isinstance(columns, str) else columns
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise UnsupportedInput(f"columns is {_described(columns)}; it takes a list of names")
    return tuple(names)


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    decoded = _json(value, name) if isinstance(value, str) else value
    if not isinstance(decoded, Mapping):
        raise UnsupportedInput(f"{name} is {_described(decoded)}; it takes a mapping, or JSON text of one")
    return decoded


def _json(text: str, name: str) -> Any:
    try:
        return read_json(text)
    except NotJson as error:
        raise UnsupportedInput(
            f"{name} is text, but not JSON: {error}",
            unquoted=f"{name} is text, but not JSON: {error.unquoted}",
        ) from None


def _described(value: Any) -> str:
    return (
        "empty"
        if value is None or (isinstance(value, str) and not value.strip())
        else f"of type {type(value).__name__}"
    )
