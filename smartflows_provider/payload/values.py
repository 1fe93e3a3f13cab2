"""Python values as text in XSD lexical form.

A value has a natural form by its own type; the type that a schema declares refines it (a ``Decimal('5.00')``
for ``xs:int`` is ``5``). A value that cannot take the declared form is written in its natural one, and
validation reports it. Invariant: what :func:`lexical` returns holds only characters that XML can carry.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from smartflows_provider.payload.errors import UnsupportedInput, UnusableText
from smartflows_provider.payload.options import BadCharacters

Kind = Literal[
    "text", "integer", "decimal", "float", "boolean", "date", "dateTime", "gYear", "gYearMonth", "hexBinary"
]
"""The families of XSD types whose lexical form a Python value must be fitted to; all else is ``text``."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def usable_text(text: str, *, where: Callable[[], str], bad_characters: BadCharacters) -> str:
    """
    Return a text that XML can carry.

    :param where: gives the place for the message.
    :raises UnusableText: if it holds a character that XML cannot carry and ``bad_characters`` is ``fail``.
    """
    found = _NOT_XML.search(text)
    if found is None:
        return text
    if bad_characters == "replace":
        return _NOT_XML.sub(REPLACEMENT, text)
    raise UnusableText(
        f"{where()}: XML cannot carry the character U+{ord(found.group()):04X} at position {found.start()}; "
        "remove it from the data, or have it replaced by U+FFFD with bad_characters='replace'"
    )


def quick_lexical(value: Any, kind: Kind) -> str | None:
    """Return what :func:`lexical` does for the common cases, or None where that must look closer."""
    if type(value) is str:
        return None if _NOT_XML.search(value) else value
    render = _RENDERERS.get(type(value))
    return None if render is None else render(value, kind)


def lexical(
    value: Any, *, kind: Kind = "text", where: Callable[[], str], bad_characters: BadCharacters = "fail"
) -> str:
    """
    Return a scalar's XSD lexical form.

    :param value: str, bool, int, float, Decimal, date, datetime, time, timedelta, bytes (base64 or hex),
        UUID, Enum (its value), or a scalar with ``item()`` such as NumPy's.
    :param kind: the family of the declared type; ``text`` where there is no schema.
    :param where: gives the place for a message.
    :raises UnsupportedInput: if the value is no scalar of these.
    :raises UnusableText: if it holds a character that XML cannot carry, or is a missing time (NaT).
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return usable_text(value, where=where, bad_characters=bad_characters)
    render = _RENDERERS.get(type(value)) or next(
        (render for known, render in _RENDERERS.items() if isinstance(value, known)), None
    )
    if render is not None:
        text = render(value, kind)
        if text == "NaT":
            raise UnusableText(f"{where()}: a missing time (NaT) has no XML form; give None instead")
        return text
    if callable(item := getattr(value, "item", None)) and not getattr(value, "shape", ()):
        return lexical(item(), kind=kind, where=where, bad_characters=bad_characters)
    raise UnsupportedInput(
        f"{where()}: a value of type {type(value).__name__} has no XML form; give str, bool, int, float, "
        "Decimal, date, datetime, time, timedelta, bytes, UUID, an Enum or None"
    )


def _bool(value: bool, kind: Kind) -> str:
    if kind in {"integer", "decimal", "float"}:
        return "1" if value else "0"
    return "true" if value else "false"


def _int(value: int, kind: Kind) -> str:
    if kind == "gYear":
        return f"{value:04d}"
    return str(int(value))


def _float(value: float, kind: Kind) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "INF" if value > 0 else "-INF"
    if kind in {"integer", "decimal", "boolean"}:
        return _decimal(Decimal(repr(float(value))), kind)
    return repr(float(value))


def _decimal(value: Decimal, kind: Kind) -> str:
    if value.is_nan():
        return "NaN"
    if value.is_infinite():
        return "INF" if value > 0 else "-INF"
    if kind in {"integer", "boolean"} and value == value.to_integral_value():
        return str(int(value))
    return format(value, "f")


def _datetime(value: datetime, kind: Kind) -> str:
    if value != value:  # noqa: PLR0124 - pandas' NaT is a datetime that does not equal itself
        return "NaT"
    if kind in {"date", "gYear", "gYearMonth"} and value.time() == time.min:
        return _date(value.date(), kind)
    return value.isoformat()


def _date(value: date, kind: Kind) -> str:
    text = value.isoformat()
    if kind == "dateTime":
        return f"{text}T00:00:00"
    if kind == "gYearMonth":
        return text[:7]
    return text[:4] if kind == "gYear" else text


def _time(value: time, _kind: Kind) -> str:
    return value.isoformat()


def _timedelta(value: timedelta, _kind: Kind) -> str:
    sign, span = ("-", -value) if value < timedelta(0) else ("", value)
    seconds = Decimal(span.seconds) + Decimal(span.microseconds) / 1_000_000
    return f"{sign}P{span.days}DT{seconds.normalize():f}S"


def _bytes(value: bytes | bytearray | memoryview, kind: Kind) -> str:
    return bytes(value).hex().upper() if kind == "hexBinary" else base64.b64encode(value).decode()


def _uuid(value: UUID, _kind: Kind) -> str:
    return str(value)


# Subclasses stand before their bases: bool before int, datetime before date.
_RENDERERS: Mapping[type, Callable[[Any, Kind], str]] = {
    bool: _bool, int: _int, float: _float, Decimal: _decimal, datetime: _datetime, date: _date, time: _time,
    timedelta: _timedelta, bytes: _bytes, bytearray: _bytes, memoryview: _bytes, UUID: _uuid,
}  # fmt: skip
