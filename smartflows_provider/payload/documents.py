"""Whole documents from mappings and from rows.

Rows are written as they come: the header's elements, then one element per row, then what the schema places
after the rows. Fields of rows that share their keys take a prepared way, because a table may have millions.
Invariant: equal input writes equal bytes, with a line break after every row so that a line names a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from smartflows_provider.payload.elements import (
    MAX_DEPTH,
    ElementWriter,
    Scope,
    attribute_name,
    child_name,
    declarations,
    is_sequence,
)
from smartflows_provider.payload.errors import UnknownNames, UnsupportedInput, shortened
from smartflows_provider.payload.names import Name, checked_prefixes, parse_name, split_path
from smartflows_provider.payload.options import Style
from smartflows_provider.payload.shape import ElementShape, inner_default, root_shapes
from smartflows_provider.payload.tables import Row, named_rows
from smartflows_provider.payload.values import Kind, quick_lexical
from smartflows_provider.payload.xml_writer import ByteSink, XmlWriter, escape_attribute, escape_text
from smartflows_provider.payload.xsd import Schema


def write_mapping(
    sink: ByteSink, data: Mapping[str, Any], *, root: str | None, schema: Schema | None, style: Style
) -> None:
    """
    Write a mapping as a document.

    :param root: the root element's name. None: the mapping's only key names it, or the schema's only root.
    :raises PayloadError: if the mapping cannot be XML.
    """
    prefixes = _prefixes(schema, style)
    key, content = root_of(data, root=root, schema=schema)
    name, shape = _root(key, schema, {**prefixes, **declarations(content, where=shortened(f"/{key}"))})
    out = XmlWriter(sink, prefixes=prefixes)
    writer = ElementWriter(out=out, style=style)
    scope = Scope(prefixes=_visible(prefixes, style), path=f"/{name.local}")
    if is_sequence(content):
        raise UnsupportedInput(
            f"{scope.path}: a document has one root element, and the list would make several"
        )
    writer.write(name, {} if content is None else content, shape=shape, scope=scope)
    out.close()


def write_rows(
    sink: ByteSink,
    rows: Iterable[Any],
    *,
    root: str | None,
    row: str,
    header: Mapping[str, Any],
    columns: Iterable[str] | None,
    schema: Schema | None,
    style: Style,
) -> int:
    """
    Write rows as a document and return how many there were.

    :param root: the root element's name; None takes the schema's only root.
    :param row: the name of a row's element, or a path such as ``rows/row``.
    :param header: elements and attributes of the root beside the rows.
    :param columns: the names for rows that are sequences.
    :raises PayloadError: if a row or the header cannot be XML; the message names row and field.
    """
    if not isinstance(header, Mapping):
        raise UnsupportedInput(f"header is of type {type(header).__name__}; it takes a mapping")
    prefixes = _prefixes(schema, style)
    key = root if root is not None else _only_root(schema)
    name, shape = _root(key, schema, {**prefixes, **declarations(header, where="header")})
    out = XmlWriter(sink, prefixes=prefixes)
    writer = ElementWriter(out=out, style=style)
    content = writer.take_apart(
        header, shape=shape, scope=Scope(prefixes=_visible(prefixes, style), path=f"/{name.local}")
    )
    out.start(name, content.attributes, prefixes=content.declared)
    if content.text is not None:
        out.text(content.text)
    scope = content.scope
    steps = split_path(row)
    if len(steps) > MAX_DEPTH // 2:
        raise UnsupportedInput(f"`row` names {len(steps)} elements; there are at most {MAX_DEPTH // 2}")
    if not steps:
        raise UnsupportedInput("`row` names the element of a row, such as 'row' or 'rows/row'")
    first = child_name(steps[0], shape=shape, scope=scope)
    placed = [*content.children, (first, _ROWS)]
    ordered = shape.in_order(placed) if shape else placed
    at = next(position for position, (_, value) in enumerate(ordered) if value is _ROWS)
    writer.write_children(ordered[:at], shape=shape, scope=scope)
    inner, row_name = shape, first
    for step in steps[1:]:
        inner = inner.children.get(row_name) if inner else None
        out.start(row_name)
        row_name = child_name(step, shape=inner, scope=scope)
    out.text("\n")
    table = _Table(
        writer=writer,
        name=row_name,
        shape=inner.children.get(row_name) if inner else None,
        prefixes=scope.prefixes,
        depth=len(steps) + 1,
    )
    count = 0
    for count, fields in enumerate(named_rows(rows, None if columns is None else list(columns)), 1):
        table.write(count, fields)
    for _ in steps[1:]:
        out.end()
    writer.write_children(ordered[at + 1 :], shape=shape, scope=scope)
    out.end()
    out.close()
    return count


_REMEMBERED_KEYS = 100_000
"""Keys that a table remembers, over all sets of keys; sparse rows may have any number."""
_ROWS = object()
"""Stands for the rows while the root's children are sorted."""


class _Column(NamedTuple):
    """How a field of plain values is written."""

    key: Any
    begin: str
    end: str
    none: str
    """What None becomes."""
    kind: Kind
    escape: Callable[[str], str]


class _Plan(NamedTuple):
    """How rows with the same keys are written."""

    attributes: Sequence[_Column]
    children: Sequence[_Column]
    """In the order of writing."""


class _Table:
    """Writes rows; remembers how rows with the same keys are written."""

    def __init__(
        self,
        *,
        writer: ElementWriter,
        name: Name,
        shape: ElementShape | None,
        prefixes: Mapping[str, str],
        depth: int,
    ) -> None:
        """Begin inside the element that holds the rows, which must be open; rows are at the depth given."""
        self._writer = writer
        self._name = name
        self._shape = shape
        self._prefixes = prefixes
        begin, self._end = writer.out.tags(name)
        self._begin = begin.removesuffix(">")
        self._depth = depth
        self._remembered = 0
        self._plans: dict[tuple[Any, ...], _Plan | None] = {}

    def write(self, number: int, fields: Row) -> None:
        """Write a row; the number is for messages."""
        keys = tuple(fields)
        if keys not in self._plans:
            self._remembered += len(keys) + 1
            if self._remembered > _REMEMBERED_KEYS:
                self._plans.clear()
                self._remembered = len(keys) + 1
            self._plans[keys] = self._plan(keys, number)
        quick = self._quick(fields, self._plans[keys])
        if quick is None:
            scope = Scope(prefixes=self._prefixes, path=f"row {number}", depth=self._depth)
            self._writer.tally.restart()
            self._writer.write(self._name, fields, shape=self._shape, scope=scope)
            quick = ""
        self._writer.out.markup(f"{quick}\n")

    def _quick(self, fields: Row, plan: _Plan | None) -> str | None:
        """Return the row's markup, or None if it holds more than plain values."""
        if plan is None:
            return None
        pieces = [self._begin]
        for columns, close in ((plan.attributes, ">"), (plan.children, self._end)):
            for key, begin, end, none, kind, escape in columns:
                value = fields[key]
                if value is None:
                    pieces.append(none)
                    continue
                text = quick_lexical(value, kind)
                if text is None:
                    return None
                pieces += (begin, escape(text), end)
            pieces.append(close)
        return "".join(pieces)

    def _plan(self, keys: tuple[Any, ...], number: int) -> _Plan | None:
        """Return how rows with these keys are written; None if it takes more than that."""
        if any(isinstance(key, str) and self._is_special(key) for key in keys):
            return None
        scope = Scope(prefixes=self._prefixes, path=f"row {number}")
        attributes: dict[Name, _Column] = {}
        named: list[tuple[Name, Any]] = []
        for key in keys:
            if not isinstance(key, str) or key[:1] not in {"@", "#"}:
                named.append((child_name(key, shape=self._shape, scope=scope), key))
                continue
            name, kind = attribute_name(key[1:], shape=self._shape, scope=scope)
            if name.namespace or name in attributes:
                return None
            attributes[name] = _Column(key, f' {name.local}="', '"', "", kind, escape_attribute)
        children = self._shape.in_order(named) if self._shape else named
        return _Plan(list(attributes.values()), [self._child(name, key) for name, key in children])

    def _is_special(self, key: str) -> bool:
        """Tell whether a key is text beside attributes, or may hang on what the row or a value declares."""
        if key[:1] in {"@", "#"}:
            return key in {"#text", "@xmlns"} or ":" in key
        prefix, colon, _ = key.partition(":")
        return bool(colon) and not key.startswith("{") and prefix not in self._prefixes

    def _child(self, name: Name, key: Any) -> _Column:
        inner = self._shape.children.get(name) if self._shape else None
        begin, end = self._writer.out.tags(name, parent=self._name)
        none = (
            ""
            if self._writer.style.none_as == "absent"
            else "".join(self._writer.out.tags(name, self._writer.none_attributes, parent=self._name))
        )
        return _Column(key, begin, end, none, inner.kind if inner else "text", escape_text)


def _prefixes(schema: Schema | None, style: Style) -> dict[str, str]:
    """Return what the root declares: the author's prefixes, and one where local elements have none."""
    declared = checked_prefixes(style.namespaces, where="namespaces")
    target = inner_default(schema) if schema else ""
    if target and target not in declared.values():
        declared["ns0"] = target
    return declared


def _visible(prefixes: Mapping[str, str], style: Style) -> Mapping[str, str]:
    return {**prefixes, "": style.namespaces.get("", "")}


def _root(key: str, schema: Schema | None, prefixes: Mapping[str, str]) -> tuple[Name, ElementShape | None]:
    name = parse_name(key, prefixes=prefixes, default=prefixes.get("", ""), where="root")
    if schema is None:
        return name, None
    known = root_shapes(schema)
    meant = [one for one in known if one == name or (one.local == name.local and not name.namespace)]
    if len(meant) != 1:
        raise UnknownNames([key], path="root", known=[one.clark for one in known])
    return meant[0], known[meant[0]]


def root_of(data: Mapping[str, Any], *, root: str | None, schema: Schema | None) -> tuple[str, Any]:
    """
    Return the root's name and content of a mapping.

    :param root: the root element's name. None: the mapping's only key names it, or the schema's only root.
    :raises UnsupportedInput: if nothing names it.
    """
    if root is not None:
        return root, data
    only = next(iter(data.items())) if len(data) == 1 else None
    if only is not None and (
        schema is None or any(only[0] in {one.local, one.clark} for one in root_shapes(schema))
    ):
        return only
    return _only_root(schema), data


def _only_root(schema: Schema | None) -> str:
    if schema is None:
        raise UnsupportedInput("`root` is missing: it names the element around all others")
    known = list(root_shapes(schema))
    if len(known) != 1:
        names = ", ".join(one.clark for one in known)
        raise UnsupportedInput(f"the schema has several root elements; name one of them with `root`: {names}")
    return known[0].clark
