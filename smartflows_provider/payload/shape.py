"""What a schema says about one element: its children in order, its attributes, the type of its text.

A thin reading of the model that ``xmlschema`` has compiled; sorting in models with choices or repeated groups
is left to that library. Invariant: a shape guides how a payload is written and never judges it; whether the
result is valid is for the validator to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import xmlschema
from xmlschema.validators import XsdAnyElement, XsdElement, XsdGroup
from xmlschema.validators.models import iter_unordered_content

from smartflows_provider.payload.errors import UnknownNames, UnsupportedInput
from smartflows_provider.payload.names import Name
from smartflows_provider.payload.values import Kind
from smartflows_provider.payload.xsd import XSD_NAMESPACE, Schema

V = TypeVar("V")

_KINDS: dict[str, Kind] = {
    "integer": "integer", "decimal": "decimal", "float": "float", "double": "float", "boolean": "boolean",
    "date": "date", "dateTime": "dateTime", "gYear": "gYear", "gYearMonth": "gYearMonth",
    "hexBinary": "hexBinary",
}  # fmt: skip


class ElementShape:
    """One element declaration."""

    def __init__(self, declaration: Any, *, known: dict[int, ElementShape] | None = None) -> None:
        """
        Read a declaration of ``xmlschema``.

        :param declaration: an ``XsdElement``.
        :param known: shapes that were read already; element types may contain themselves.
        """
        self._declaration = declaration
        self._known = {} if known is None else known
        self.name = name_of(declaration.name)
        self.nillable: bool = declaration.nillable

    @cached_property
    def kind(self) -> Kind:
        """The family of the element's text."""
        return _kind(self._simple)

    @cached_property
    def is_list(self) -> bool:
        """Whether the text is a list of values with spaces between."""
        return self._simple is not None and bool(self._simple.is_list())

    @cached_property
    def is_text(self) -> bool:
        """Whether the element holds text and no elements."""
        return self._simple is not None

    @cached_property
    def children(self) -> dict[Name, ElementShape]:
        """The elements that may stand inside, in the model's order, substitutes included."""
        found: dict[Name, ElementShape] = {}
        for particle in self._particles():
            if isinstance(particle, XsdElement):
                for declaration in (particle, *particle.iter_substitutes()):
                    if not declaration.abstract:
                        found.setdefault(name_of(declaration.name), self._shape(declaration))
        return found

    @cached_property
    def attributes(self) -> dict[Name, Kind]:
        """The attributes that may be given."""
        declared = getattr(self._declaration.type, "attributes", None) or {}
        return {name_of(key): _kind(value.type) for key, value in declared.items() if key is not None}

    @cached_property
    def open_to_elements(self) -> bool:
        """Whether elements that the schema does not name are allowed here (``xs:any``)."""
        return any(isinstance(particle, XsdAnyElement) for particle in self._particles())

    @cached_property
    def open_to_attributes(self) -> bool:
        """Whether attributes that the schema does not name are allowed (``xs:anyAttribute``)."""
        return None in (getattr(self._declaration.type, "attributes", None) or {})

    def resolve(self, key: str, *, path: str) -> Name | None:
        """
        Return the child that an unprefixed key means, or None if only a wildcard can.

        :raises UnknownNames: if there is none and no wildcard. :raises UnsupportedInput: if two namespaces
            have it.
        """
        return self._resolve(key, self.children, is_open=self.open_to_elements, path=path, mark="")

    def resolve_attribute(self, key: str, *, path: str) -> Name | None:
        """Return the attribute that an unprefixed key means; see :meth:`resolve`."""
        return self._resolve(key, self.attributes, is_open=self.open_to_attributes, path=path, mark="@")

    def unknown(self, key: str, *, path: str) -> UnknownNames:
        """Return the error for a key that has no place here."""
        known = [*(f"@{name.local}" for name in self.attributes), *(name.local for name in self.children)]
        return UnknownNames([key], path=path, known=known)

    def in_order(self, items: Iterable[tuple[Name, V]]) -> list[tuple[Name, V]]:
        """
        Sort children as the model wants them; children of the same name keep their order.

        What has no place in the model comes last.
        """
        if self._positions is not None:
            last = len(self._positions)
            positions = self._positions
            return sorted(items, key=lambda item: positions.get(item[0], last))
        by_name: defaultdict[int | str, list[V]] = defaultdict(list)
        for name, value in items:
            by_name[name.clark].append(value)
        ordered = iter_unordered_content(dict(by_name), self._declaration.type.content)
        return [(name_of(str(clark)), value) for clark, value in ordered]

    @cached_property
    def _positions(self) -> dict[Name, int] | None:
        """The place of each child where the model is a plain sequence; None where it takes more to sort."""
        groups = list(_groups(self._declaration.type))
        names = [particle.name for particle in self._particles() if isinstance(particle, XsdElement)]
        if len(set(names)) < len(names) or any(group.max_occurs != 1 for group in groups):
            return None
        return {name: position for position, name in enumerate(self.children)}

    @cached_property
    def _simple(self) -> Any:
        """The simple type of the text, or None."""
        declared = self._declaration.type
        if declared.is_simple():
            return declared
        return declared.content if declared.has_simple_content() else None

    def _particles(self) -> Iterator[Any]:
        for group in _groups(self._declaration.type):
            yield from group.iter_elements()
            return

    def _shape(self, declaration: Any) -> ElementShape:
        target = declaration.ref or declaration
        if id(target) not in self._known:
            self._known[id(target)] = ElementShape(target, known=self._known)
        return self._known[id(target)]

    def _resolve(
        self, key: str, among: Iterable[Name], *, is_open: bool, path: str, mark: str
    ) -> Name | None:
        found = [name for name in among if name.local == key]
        if len(found) == 1:
            return found[0]
        if found:
            choices = ", ".join(f"{mark}{name.clark}" for name in found)
            raise UnsupportedInput(f"{path}: {mark}{key} is ambiguous; write one of {choices}")
        if is_open:
            return None
        raise self.unknown(f"{mark}{key}", path=path)


def root_shapes(schema: Schema) -> dict[Name, ElementShape]:
    """Return the elements with which a document may begin."""
    declared = [one for one in schema.model.elements.values() if not one.abstract]
    return {name_of(one.name): ElementShape(one) for one in declared}


def inner_default(schema: Schema) -> str:
    """Return the namespace of the target's elements if local elements stand outside it, else ``""``."""
    model: xmlschema.XMLSchema = schema.model
    return str(model.target_namespace) if model.element_form_default == "unqualified" else ""


def name_of(clark: str) -> Name:
    """Read ``{namespace}local``."""
    namespace, closed, local = clark.rpartition("}")
    return Name(namespace[1:] if closed else "", local)


def _groups(declared: Any) -> Iterator[XsdGroup]:
    """Yield the groups of a type, outer before inner, at any depth."""
    pending = [getattr(declared, "content", None)]
    while pending:
        group = pending.pop()
        if isinstance(group, XsdGroup):
            yield group
            pending.extend(reversed(group))


def _kind(simple: Any) -> Kind:
    if simple is not None and simple.is_list():
        simple = simple.item_type
    while simple is not None:
        if simple.target_namespace == XSD_NAMESPACE and simple.local_name in _KINDS:
            return _KINDS[simple.local_name]
        simple = simple.base_type
    return "text"
