"""Random XSDs, and mappings that fit them, with what must be read back.

A schema is drawn first, as declarations; from these come its text, any number of mappings, and for each
mapping the document that it means. Everything follows from one ``random.Random``.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Literal

XS = "http://www.w3.org/2001/XMLSchema"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
TARGET = "urn:fuzz"
NIL: Any = object()
"""Stands for an element that is nil, in what must be read back."""


@dataclass(frozen=True, kw_only=True)
class Simple:
    """A simple type: how it is declared, what values it takes, and how its text is read."""

    base: str
    facets: str = ""
    draw: Callable[[Random], Any]
    read: Callable[[str], Any]
    is_list: bool = False

    @property
    def declaration(self) -> str:
        """An anonymous ``xs:simpleType``; empty where the base alone says it."""
        if self.is_list:
            return f'<xs:simpleType><xs:list itemType="xs:{self.base}"/></xs:simpleType>'
        if not self.facets:
            return ""
        return (
            f'<xs:simpleType><xs:restriction base="xs:{self.base}">{self.facets}</xs:restriction>'
            "</xs:simpleType>"
        )


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """An attribute of a complex type."""

    name: str
    type: Simple
    required: bool


@dataclass(frozen=True, kw_only=True)
class Element:
    """An element inside a model."""

    name: str
    type: Simple | Complex
    least: int = 1
    most: int = 1
    nillable: bool = False
    qualified: bool | None = None
    """None follows the schema's default."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A sequence or a choice, perhaps repeated."""

    kind: Literal["sequence", "choice", "all"]
    parts: Sequence[Element | Group]
    least: int = 1
    most: int = 1


@dataclass(frozen=True, kw_only=True)
class Complex:
    """A complex type: a model or text, and attributes."""

    model: Group | None = None
    text: Simple | None = None
    attributes: Sequence[Attribute] = ()


@dataclass(kw_only=True)
class Node:
    """What must be read back of an element."""

    tag: str
    attributes: dict[str, Any] = field(default_factory=dict)
    text: Any = None
    children: dict[str, list[Node]] = field(default_factory=dict)
    """By tag; the order of different elements is the schema's affair."""
    type: Simple | Complex


def _texts(random: Random) -> str:
    return "".join(random.choices("ab<>&\"' é\U0001d4b3", k=random.randrange(8))).strip()


def _moment(random: Random) -> datetime:
    moment = datetime(2000, 1, 1) + timedelta(
        seconds=random.randrange(10**9), microseconds=random.randrange(3)
    )
    return moment.replace(tzinfo=random.choice([None, UTC]))


SIMPLE: Sequence[Simple] = (
    Simple(base="string", draw=_texts, read=str),
    Simple(base="string", facets='<xs:maxLength value="3"/>', draw=lambda r: _texts(r)[:3].strip(), read=str),
    Simple(
        base="string",
        facets='<xs:enumeration value="A"/><xs:enumeration value="b c"/>',
        draw=lambda r: r.choice(["A", "b c"]),
        read=str,
    ),
    Simple(
        base="string",
        facets='<xs:pattern value="[A-Z]{2}\\d+"/>',
        draw=lambda r: f"XY{r.randrange(1000)}",
        read=str,
    ),
    Simple(base="int", draw=lambda r: r.randrange(-1000, 1000), read=int),
    Simple(base="int", draw=lambda r: Decimal(r.randrange(1000)).quantize(Decimal("0.00")), read=Decimal),
    Simple(base="int", draw=lambda r: float(r.randrange(1000)), read=float),
    Simple(base="unsignedByte", draw=lambda r: r.randrange(256), read=int),
    Simple(base="decimal", draw=lambda r: Decimal(r.randrange(10**6)) / 1000, read=Decimal),
    Simple(base="decimal", draw=lambda r: r.choice([0.5, 1e-7, 1e16, -2.25]), read=float),
    Simple(base="double", draw=lambda r: r.choice([r.random(), math.inf, -1e300, 5e-324]), read=float),
    Simple(base="boolean", draw=lambda r: r.random() < 0.5, read={"true": True, "false": False}.__getitem__),
    Simple(
        base="date",
        draw=lambda r: date(1900, 1, 1) + timedelta(r.randrange(90_000)),
        read=date.fromisoformat,
    ),
    Simple(
        base="date",
        draw=lambda r: datetime(1990, 1, 1) + timedelta(r.randrange(9000)),
        read=datetime.fromisoformat,
    ),
    Simple(base="dateTime", draw=_moment, read=datetime.fromisoformat),
    Simple(base="gYear", draw=lambda r: r.randrange(1000, 3000), read=int),
    Simple(base="base64Binary", draw=lambda r: r.randbytes(r.randrange(6)), read=base64.b64decode),
    Simple(base="hexBinary", draw=lambda r: r.randbytes(r.randrange(6)), read=bytes.fromhex),
    Simple(
        base="int",
        is_list=True,
        draw=lambda r: [r.randrange(100) for _ in range(r.randrange(4))],
        read=lambda text: [int(one) for one in text.split()],
    ),
)  # fmt: skip


class RandomSchema:
    """One random schema."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._names = 0
        self.namespace = random.choice(["", TARGET])
        self.is_qualified = bool(self.namespace) and random.random() < 0.5
        self.root = Element(name="Root", type=self._complex(0))
        self.included: list[str] = []
        self.text = self._document()

    # --- declarations ---

    def _name(self) -> str:
        self._names += 1
        return f"{self._random.choice(['a', 'é', '_x', 'B-', 'c.'])}{self._names}"

    def _complex(self, depth: int) -> Complex:
        random = self._random
        attributes = [
            Attribute(name=self._name(), type=random.choice(SIMPLE), required=random.random() < 0.5)
            for _ in range(random.choice([0, 0, 1, 2]))
        ]
        kind = random.random()
        if depth and kind < 0.2:
            return Complex(
                text=random.choice([one for one in SIMPLE if not one.is_list]), attributes=attributes
            )
        if depth and kind < 0.25:
            return Complex(attributes=attributes)
        if kind < 0.4:
            parts = [self._element(depth, repeats=False) for _ in range(random.randrange(1, 4))]
            return Complex(model=Group(kind="all", parts=parts), attributes=attributes)
        return Complex(model=self._group(depth, 0), attributes=attributes)

    def _group(self, depth: int, level: int) -> Group:
        """A group; one that is repeated holds elements that come at most once in it."""
        random = self._random
        kind: Literal["sequence", "choice"] = random.choice(["sequence", "sequence", "choice"])
        least, most = random.choice([(1, 1), (1, 1), (0, 1), (0, 3), (1, 4)])
        parts: list[Element | Group] = []
        for _ in range(random.randrange(1, 5)):
            if level < 2 and most == 1 and random.random() < 0.25:
                parts.append(self._group(depth, level + 1))
            else:
                parts.append(self._element(depth, repeats=most == 1))
        return Group(kind=kind, parts=parts, least=least, most=most)

    def _element(self, depth: int, *, repeats: bool) -> Element:
        random = self._random
        least, most = random.choice([(1, 1), (0, 1), *([(0, 3), (2, 3)] if repeats else [])])
        qualified = random.choice([None, None, True, False]) if self.namespace else None
        return Element(
            name=self._name(),
            type=self._complex(depth + 1) if depth < 3 and random.random() < 0.3 else random.choice(SIMPLE),
            least=least,
            most=most,
            nillable=random.random() < 0.1,
            qualified=qualified,
        )

    # --- text ---

    def _document(self) -> str:
        root = self._element_text(self.root, at_top=True)
        numbers = range(len(self.included))
        return self._around("".join(f'<xs:include schemaLocation="{n}.xsd"/>' for n in numbers) + root)

    def _around(self, inside: str) -> str:
        target = f' targetNamespace="{TARGET}" xmlns="{TARGET}"' if self.namespace else ""
        form = ' elementFormDefault="qualified"' if self.is_qualified else ""
        return f'<xs:schema xmlns:xs="{XS}"{target}{form}>{inside}</xs:schema>'

    def _element_text(self, element: Element, *, at_top: bool = False) -> str:
        more = "" if at_top else f' minOccurs="{element.least}" maxOccurs="{element.most}"'
        if element.nillable:
            more += ' nillable="true"'
        if element.qualified is not None:
            more += f' form="{"qualified" if element.qualified else "unqualified"}"'
        start = f'<xs:element name="{element.name}"{more}'
        if isinstance(element.type, Simple):
            inner = element.type.declaration
            return f"{start}>{inner}</xs:element>" if inner else f'{start} type="xs:{element.type.base}"/>'
        body = self._complex_text(element.type)
        if self._random.random() < 0.15:
            self._names += 1
            name = f"type{self._names}"
            named = f'<xs:complexType name="{name}">{body}</xs:complexType>'
            self.included.append(self._around(named))
            return f'{start} type="{name}"/>'
        return f"{start}><xs:complexType>{body}</xs:complexType></xs:element>"

    def _complex_text(self, complex_type: Complex) -> str:
        attributes = "".join(
            f'<xs:attribute name="{one.name}" use="{"required" if one.required else "optional"}"'
            + (
                f">{one.type.declaration}</xs:attribute>"
                if one.type.declaration
                else f' type="xs:{one.type.base}"/>'
            )
            for one in complex_type.attributes
        )
        if complex_type.text is not None:
            base = f"xs:{complex_type.text.base}"
            if complex_type.text.facets:
                self._names += 1
                name = f"text{self._names}"
                self.included.append(
                    self._around(
                        complex_type.text.declaration.replace(
                            "<xs:simpleType>", f'<xs:simpleType name="{name}">'
                        )
                    )
                )
                base = name
            extension = f'<xs:extension base="{base}">{attributes}</xs:extension>'
            return f"<xs:simpleContent>{extension}</xs:simpleContent>"
        return (self._group_text(complex_type.model) if complex_type.model else "") + attributes

    def _group_text(self, group: Group) -> str:
        inside = "".join(
            self._element_text(part) if isinstance(part, Element) else self._group_text(part)
            for part in group.parts
        )
        occurs = f' minOccurs="{group.least}" maxOccurs="{group.most}"' if group.kind != "all" else ""
        return f"<xs:{group.kind}{occurs}>{inside}</xs:{group.kind}>"

    # --- mappings ---

    def mapping(self) -> tuple[dict[str, Any], Node]:
        """Return a mapping that fits, its keys in any order, and what must be read back."""
        value, node = self._filled(self.root, top=True)
        return ({"Root": value} if self._random.random() < 0.5 or not value else value), node

    def _tag(self, element: Element, *, top: bool) -> str:
        qualified = self.is_qualified if element.qualified is None else element.qualified
        return (
            f"{{{self.namespace}}}{element.name}" if self.namespace and (top or qualified) else element.name
        )

    def _filled(self, element: Element, *, top: bool = False) -> tuple[Any, Node]:
        random = self._random
        node = Node(tag=self._tag(element, top=top), type=element.type)
        if element.nillable and not _has_required_attribute(element.type) and random.random() < 0.5:
            node.text = NIL
            return None, node
        if isinstance(element.type, Simple):
            node.text = element.type.draw(random)
            return node.text, node
        entries: list[tuple[str, Any]] = []
        for attribute in element.type.attributes:
            if attribute.required or random.random() < 0.5:
                node.attributes[attribute.name] = attribute.type.draw(random)
                entries.append((f"@{attribute.name}", node.attributes[attribute.name]))
        if element.type.text is not None:
            node.text = element.type.text.draw(random)
            entries.append(("#text", node.text))
        elif element.type.model is not None:
            found: dict[str, list[tuple[Any, Node]]] = {}
            self._fill_group(element.type.model, found)
            for name, occurrences in found.items():
                values = [value for value, _ in occurrences]
                is_single = len(values) == 1 and random.random() < 0.7
                entries.append((name, values[0] if is_single else values))
                node.children[occurrences[0][1].tag] = [inner for _, inner in occurrences]
        random.shuffle(entries)
        return dict(entries), node

    def _fill_group(self, group: Group, found: dict[str, list[tuple[Any, Node]]]) -> None:
        random = self._random
        for _ in range(random.randint(group.least, group.most)):
            parts = [random.choice(group.parts)] if group.kind == "choice" else group.parts
            for part in parts:
                if isinstance(part, Group):
                    self._fill_group(part, found)
                    continue
                for _ in range(random.randint(part.least, part.most)):
                    found.setdefault(part.name, []).append(self._filled(part))


def _has_required_attribute(declared: Simple | Complex) -> bool:
    return isinstance(declared, Complex) and any(one.required for one in declared.attributes)
