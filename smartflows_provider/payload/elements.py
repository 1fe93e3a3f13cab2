"""Nested values written as XML elements, with or without a schema to guide them.

The convention: a mapping is an element with children, a list is repeated elements, ``"@name"`` is an
attribute, ``"#text"`` the text beside attributes, ``"@xmlns"`` and ``"@xmlns:p"`` declare namespaces, None is
an element that is absent (or nil). Without a schema, elements come in the mapping's order and names without
prefix take the default namespace in force; with a schema, order, namespaces and types are the schema's.
Invariant: every name and every text that reaches the writer was checked, and messages name the path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from smartflows_provider.payload.errors import UnsupportedInput, UnusableName, shortened, shown
from smartflows_provider.payload.names import XSI_NAMESPACE, Name, checked_prefixes, parse_name
from smartflows_provider.payload.options import Style
from smartflows_provider.payload.shape import ElementShape
from smartflows_provider.payload.values import Kind, bounded, lexical
from smartflows_provider.payload.xml_writer import XmlWriter

MAX_OCCURRENCES = 1_000_000
"""Values that an iterator inside a mapping may give; one without end would fill the memory."""
MAX_ELEMENTS = 5_000_000
"""Elements of a mapping, or of one row; a few mappings that hold each other many times would have no end."""
MAX_DEPTH = 200
"""Levels of nesting; services and parsers have limits near 256, and a cycle would have no end."""

_DECLARATION = Name("", "xmlns")
_NIL = (Name(XSI_NAMESPACE, "nil"), "true")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is known at one place of the document."""

    prefixes: Mapping[str, str]
    """Prefix to namespace; the empty prefix is the default."""
    path: str
    """For messages."""
    depth: int = 1

    @property
    def default(self) -> str:
        """The namespace of names without prefix."""
        return self.prefixes.get("", "")


@dataclass(frozen=True, kw_only=True)
class _Content:
    """A mapping taken apart."""

    declared: Mapping[str, str]
    attributes: Sequence[tuple[Name, str]]
    text: str | None
    children: Sequence[tuple[Name, Any]]
    scope: Scope


class Tally:
    """Counts the elements that one value becomes."""

    def __init__(self) -> None:
        self._count = 0

    def restart(self) -> None:
        """Begin another value."""
        self._count = 0

    def add(self, path: str) -> None:
        """
        Count an element.

        :raises UnsupportedInput: if there are too many.
        """
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise UnsupportedInput(
                f"{shortened(path)}: one value becomes more than {MAX_ELEMENTS:,} elements; give large "
                "tables as `rows`, and look for mappings that hold each other many times"
            )


@dataclass(frozen=True, kw_only=True)
class ElementWriter:
    """Writes values as elements."""

    out: XmlWriter
    style: Style
    tally: Tally = field(default_factory=Tally)
    """To be restarted for each row."""

    def write(self, name: Name, value: Any, *, shape: ElementShape | None, scope: Scope) -> None:
        """
        Write one element.

        :param value: a mapping, a scalar, or None; a list only where the schema's type is one.
        :param shape: what the schema says of it.
        :param scope: names and place of the element; the path includes it.
        :raises PayloadError: if a name, a text or a value cannot be XML.
        """
        self.tally.add(scope.path)
        if is_sequence(value):
            if shape is None or not shape.is_list:
                raise UnsupportedInput(
                    f"{scope.path}: a list has no XML form here, only as the value of a key"
                )
            self._leaf(name, self.texts(listed(value, scope.path), shape.kind, scope.path))
        elif isinstance(value, Mapping):
            content = self.take_apart(value, shape=shape, scope=scope)
            self.out.start(name, content.attributes, prefixes=content.declared)
            if content.text is not None:
                self.out.text(content.text)
            self.write_children(content.children, shape=shape, scope=content.scope)
            self.out.end()
        elif value is None:
            self._none(name)
        else:
            self._leaf(name, self.text(value, shape.kind if shape else "text", scope.path))

    def write_children(
        self, children: Sequence[tuple[Name, Any]], *, shape: ElementShape | None, scope: Scope
    ) -> None:
        """Write what stands inside an element that is open."""
        totals = Counter(child for child, _ in children)
        seen: Counter[Name] = Counter()
        for child, value in children:
            seen[child] += 1
            nth = f"[{seen[child]}]" if totals[child] > 1 else ""
            inner = shape.children.get(child) if shape else None
            place = Scope(
                prefixes=scope.prefixes, path=f"{scope.path}/{child.local}{nth}", depth=scope.depth + 1
            )
            self.write(child, value, shape=inner, scope=place)

    def take_apart(self, value: Mapping[Any, Any], *, shape: ElementShape | None, scope: Scope) -> _Content:
        """
        Split a mapping into declarations, attributes, text and children, names resolved and sorted.

        :raises PayloadError: if a key cannot be a name, or has no place in the schema.
        """
        if scope.depth > MAX_DEPTH:
            raise UnsupportedInput(
                f"{shortened(scope.path)}: it is nested more than {MAX_DEPTH} levels deep, or contains itself"
            )
        declared = declarations(value, where=scope.path)
        inner = replace(scope, prefixes={**scope.prefixes, **declared})
        attributes: dict[Name, str] = {}
        children: list[tuple[Name, Any]] = []
        text = None
        for key, entry in value.items():
            if isinstance(key, str) and key.startswith("@"):
                if _is_declaration(key) or entry is None:
                    continue
                attribute, kind = attribute_name(key[1:], shape=shape, scope=inner)
                where = f"{scope.path}/@{key[1:]}"
                if attribute in attributes:
                    raise UnsupportedInput(f"{where}: the attribute is given twice")
                values = listed(entry, where) if is_sequence(entry) else [entry]
                attributes[attribute] = self.texts(values, kind, where)
            elif key == "#text":
                text = (
                    None if entry is None else self.text(entry, shape.kind if shape else "text", scope.path)
                )
            else:
                children.extend(self._occurrences(key, entry, shape=shape, scope=inner))
        return _Content(
            declared=declared,
            attributes=list(attributes.items()),
            text=text,
            children=shape.in_order(children) if shape else children,
            scope=inner,
        )

    def text(self, value: Any, kind: Kind, path: str) -> str:
        """Return a scalar as text that XML can carry."""
        return lexical(value, kind=kind, where=lambda: path, bad_characters=self.style.bad_characters)

    def texts(self, values: Iterable[Any], kind: Kind, path: str) -> str:
        """Return scalars as the text of a list, with spaces between."""
        return bounded(" ".join(self.text(one, kind, path) for one in values), where=lambda: path)

    @property
    def none_attributes(self) -> Sequence[tuple[Name, str]]:
        """The attributes of the element that None becomes."""
        return [_NIL] if self.style.none_as == "nil" else []

    @staticmethod
    def _occurrences(
        key: Any, entry: Any, *, shape: ElementShape | None, scope: Scope
    ) -> Iterator[tuple[Name, Any]]:
        """Yield name and value of the elements that an entry stands for."""
        entries = [entry]
        if is_sequence(entry):
            name = child_name(key, shape=shape, scope=scope)
            inner = shape.children.get(name) if shape else None
            entries = listed(entry, f"{scope.path}/{name.local}")
            if inner is not None and inner.is_list and not _are_occurrences(entries):
                yield name, entries
                return
        for one in entries:
            declared = declarations(one, where=f"{scope.path}, field {shown(key)}")
            place = replace(scope, prefixes={**scope.prefixes, **declared}) if declared else scope
            yield child_name(key, shape=shape, scope=place), one

    def _leaf(self, name: Name, text: str) -> None:
        self.out.start(name)
        self.out.text(text)
        self.out.end()

    def _none(self, name: Name) -> None:
        if self.style.none_as != "absent":
            self.out.start(name, self.none_attributes)
            self.out.end()


def is_sequence(value: Any) -> bool:
    """Tell whether a value stands for several; texts and bytes do not."""
    return isinstance(value, Sequence | set | frozenset | Iterator) and not isinstance(
        value, str | bytes | bytearray | memoryview
    )


def listed(values: Any, path: str) -> list[Any]:
    """
    Return the values of a sequence or an iterator as a list.

    :raises UnsupportedInput: if an iterator goes on for too long.
    """
    if not isinstance(values, Iterator):
        return list(values)
    found = list(islice(values, MAX_OCCURRENCES + 1))
    if len(found) > MAX_OCCURRENCES:
        raise UnsupportedInput(
            f"{shortened(path)}: the iterator goes on after {MAX_OCCURRENCES:,} values; give large tables as "
            "`rows`"
        )
    return found


def _are_occurrences(entries: Sequence[Any]) -> bool:
    """Tell whether a list, where the schema's type is one, stands for elements and not for items."""
    return any(map(is_sequence, entries)) or (bool(entries) and all(one is None for one in entries))


def declarations(value: Any, *, where: str) -> dict[str, str]:
    """
    Return what ``"@xmlns"`` and ``"@xmlns:p"`` in a value declare, for its element and what is inside.

    :raises UnusableName: if a prefix or a namespace cannot be one.
    """
    if not isinstance(value, Mapping):
        return {}
    found = {key[7:]: value[key] for key in value if isinstance(key, str) and _is_declaration(key)}
    return checked_prefixes(found, where=where)


def child_name(key: Any, *, shape: ElementShape | None, scope: Scope) -> Name:
    """
    Return the element that a key means at a place.

    :raises UnusableName: if it cannot be a name. :raises UnknownNames: if the schema has it not.
    """
    where = f"{scope.path}, field {shown(key)}"
    name = parse_name(key, prefixes=scope.prefixes, default=scope.default, where=where)
    if shape is None or name in shape.children:
        return name
    if _is_qualified(key):
        if not shape.open_to_elements:
            raise shape.unknown(key, path=scope.path)
        return name
    return shape.resolve(name.local, path=scope.path) or name


def attribute_name(key: str, *, shape: ElementShape | None, scope: Scope) -> tuple[Name, Kind]:
    """Return the attribute that a key without its ``@`` means, and the family of its type."""
    where = f"{scope.path}, attribute {shown(key)}"
    name = parse_name(key, prefixes=scope.prefixes, default="", where=where)
    if name == _DECLARATION:
        raise UnusableName(f"{where}: an attribute cannot be named xmlns; declare namespaces with '@xmlns'")
    if shape is not None and name not in shape.attributes and name.namespace != XSI_NAMESPACE:
        if not _is_qualified(key):
            name = shape.resolve_attribute(name.local, path=scope.path) or name
        elif not shape.open_to_attributes:
            raise shape.unknown(f"@{key}", path=scope.path)
    return name, (shape.attributes.get(name, "text") if shape else "text")


def _is_declaration(key: str) -> bool:
    return key == "@xmlns" or key.startswith("@xmlns:")


def _is_qualified(key: str) -> bool:
    return ":" in key or key.startswith("{")
