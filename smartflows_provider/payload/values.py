"""Python values as text in XSD lexical form.

A value has a natural form by its own type; the type that a schema declares refines it (a ``Decimal('5.00')``
for ``xs:int`` is ``5``). A value that cannot take the declared form is written in its natural one, and
validation reports it. Invariants: what :func:`lexical` returns holds only characters that XML can carry, and
no more of them than XML parsers take; a value without such a form is an error of this package.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal
from uuid import UUID

from smartflows_provider.payload.errors import UnsupportedInput, UnusableText
from smartflows_provider.payload.options import BadCharacters

Kind = Literal[
    "text", "integer", "decimal", "float", "boolean", "date", "dateTime", "gYear", "gYearMonth", "hexBinary"
]
"""The families of XSD types whose lexical form a Python value must be fitted to; all else is ``text``."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_TEXT: Final = 10_000_000
"""Bytes of one text in UTF-8; libxml2, which reads XML nearly everywhere, takes no more."""
_MAX_DIGITS = 4300
"""Digits of a number, Python's own limit for integers; a Decimal of a few bytes may have a million."""
_FURTHEST_ZONE = timedelta(hours=14)
"""XSD knows no time zone further from UTC."""
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


class _NoForm(ValueError):
    """A value has no form in XML; the text says why."""


def quick_lexical(value: Any, kind: Kind) -> str | None:
    """Return what :func:`lexical` does for the common cases, or None where that must look closer."""
    if type(value) is str:
        return None if len(value) > MAX_TEXT // 4 or _NOT_XML.search(value) else value
    render = _RENDERERS.get(type(value))
    if render is None or type(value) in _BINARY:
        return None
    try:
        return render(value, kind)
    except _NoForm:
        return None


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
    :raises UnusableText: if it holds a character that XML cannot carry, is too long, or is a missing time
        (NaT).
    """
    if isinstance(value, Enum):
        value = value.value
    render = None if isinstance(value, str) else _renderer(value)
    if render is None and not isinstance(value, str):
        value = _scalar(value, where=where)
        render = _renderer(value)
    if isinstance(value, str):
        text = usable_text(value, where=where, bad_characters=bad_characters)
    elif render is not None:
        try:
            text = render(value, kind)
        except _NoForm as error:
            raise UnusableText(f"{where()}: {error}") from None
    else:
        raise _unknown(value, where=where)
    return bounded(text, where=where)


def bounded(text: str, *, where: Callable[[], str]) -> str:
    """
    Return a text that is not too long for XML parsers.

    :raises UnusableText: if it is.
    """
    if len(text) > MAX_TEXT // 4 and len(text.encode()) > MAX_TEXT:
        raise UnusableText(
            f"{where()}: the text has {len(text):,} characters; XML parsers take {MAX_TEXT:,} bytes in one"
        )
    return text


def _renderer(value: Any) -> Callable[[Any, Kind], str] | None:
    return _RENDERERS.get(type(value)) or next(
        (render for known, render in _RENDERERS.items() if isinstance(value, known)), None
    )


def _scalar(value: Any, *, where: Callable[[], str]) -> Any:
    """Return the Python scalar of one such as NumPy's."""
    try:
        found = value.item() if not getattr(value, "shape", ()) else value
        kind = getattr(getattr(value, "dtype", None), "kind", None)
        if type(found) is not int or kind not in {"m", "M"}:
            return found
        # NumPy gives moments and spans that Python's types cannot hold as bare numbers.
        exact = value.astype(f"{kind}8[us]")
        return exact.item() if exact == value else value
    except Exception as error:  # what an unknown object raises is its own affair
        raise _unknown(value, where=where) from error


def _unknown(value: Any, *, where: Callable[[], str]) -> UnsupportedInput:
    return UnsupportedInput(
        f"{where()}: a value of type {type(value).__name__} has no XML form; give str, bool, int, float, "
        "Decimal, date, datetime, time, timedelta, bytes, UUID, an Enum or None"
    )


def _bool(value: bool, kind: Kind) -> str:
    if kind in {"integer", "decimal", "float"}:
        return "1" if value else "0"
    return "true" if value else "false"


def _int(value: int, kind: Kind) -> str:
    try:
        return f"{'-' * (value < 0)}{abs(value):04d}" if kind == "gYear" else str(int(value))
    except ValueError:
        raise _NoForm(f"the number has more than {_MAX_DIGITS:,} digits") from None


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
    if not -_MAX_DIGITS < value.adjusted() < _MAX_DIGITS or len(value.as_tuple().digits) > _MAX_DIGITS:
        raise _NoForm(f"the number has more than {_MAX_DIGITS:,} digits")
    if kind in {"integer", "boolean"} and value == value.to_integral_value():
        return str(int(value))
    return format(value, "f")


def _datetime(value: datetime, kind: Kind) -> str:
    if value != value:  # noqa: PLR0124 - pandas' NaT is a datetime that does not equal itself
        raise _NoForm("a missing time (NaT) has no XML form; give None instead")
    if kind in {"date", "gYear", "gYearMonth"} and value.time() == time.min:
        return _date(value.date(), kind)
    if not _is_zone(value.utcoffset()):
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise _NoForm("the time is out of range in UTC, and XML has not its time zone") from None
    return value.isoformat()


def _is_zone(offset: timedelta | None) -> bool:
    """Tell whether XML can say a distance from UTC: whole minutes, at most 14 hours."""
    return offset is None or (not offset % timedelta(minutes=1) and abs(offset) <= _FURTHEST_ZONE)


def _date(value: date, kind: Kind) -> str:
    text = value.isoformat()
    if kind == "dateTime":
        return f"{text}T00:00:00"
    if kind == "gYearMonth":
        return text[:7]
    return text[:4] if kind == "gYear" else text


def _time(value: time, _kind: Kind) -> str:
    if not _is_zone(value.utcoffset()):
        raise _NoForm("XML has not the time zone of the time; give it in another")
    return value.isoformat()


def _timedelta(value: timedelta, _kind: Kind) -> str:
    sign, span = ("-", -value) if value < timedelta(0) else ("", value)
    seconds = Decimal(span.seconds) + Decimal(span.microseconds) / 1_000_000
    return f"{sign}P{span.days}DT{seconds.normalize():f}S"


def _bytes(value: bytes | bytearray | memoryview, kind: Kind) -> str:
    return bytes(value).hex().upper() if kind == "hexBinary" else base64.b64encode(bytes(value)).decode()


def _uuid(value: UUID, _kind: Kind) -> str:
    return str(value)


# Subclasses stand before their bases: bool before int, datetime before date.
_RENDERERS: Mapping[type, Callable[[Any, Kind], str]] = {
    bool: _bool, int: _int, float: _float, Decimal: _decimal, datetime: _datetime, date: _date, time: _time,
    timedelta: _timedelta, bytes: _bytes, bytearray: _bytes, memoryview: _bytes, UUID: _uuid,
}  # fmt: skip
_BINARY = frozenset({bytes, bytearray, memoryview})
"""The types whose values may be long."""
