"""Python values in the one form that JSON has for them, and an error for those that it has none for.

What a DAG author hands over may hold dates, numbers of a database or anything. Invariants: nothing is sent
as ``str()`` happens to write it; what a value means arrives unchanged; the error names a place and a type,
and never a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, time
from decimal import Decimal
from enum import Enum
from numbers import Integral, Rational, Real
from typing import Any
from uuid import UUID

_SHOWN_KEY = 80
_MOST_DIGITS = 300
"""Before the point, of a number that is written out; a Decimal of a few bytes may have a million."""


class NoForm(ValueError):
    """A value has no form in JSON; the text says which, and what has one."""


def plain_form(value: Any) -> Any:
    """
    Return a value as a text, number, truth value or None.

    Dates and times become ISO 8601, an enum its value, a UUID its text, a Decimal and numpy's scalars a
    number.

    :raises NoForm: for what has no such form: parts, bytes, a missing time, a Decimal that no float holds.
    """
    given = type(value).__name__
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, str | int | float):
        return value
    # pandas' NaT, a missing time, does not equal itself.
    if isinstance(value, date | time) and value == value:  # noqa: PLR0124
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    # Those of numpy and pandas are none of Python's own.
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Rational):
        return float(value)
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _MOST_DIGITS:
        number = int(value) if value == value.to_integral_value() else float(value)
        if Decimal(repr(number)) == value:
            return number
    raise NoForm(
        f"JSON has no form for a value of type {given}; give text, numbers, true, false, None, dates, times, "
        "lists and mappings with texts for keys"
    )


def strict_json(value: Any) -> str:
    """
    Return a value as JSON.

    :raises NoForm: if something in it has no form; the text begins with the member that it is in.
    """
    try:
        return _dumped(value)
    except NoForm as error:
        raise NoForm(f"{_place(value)}{error}") from None


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=plain_form)
    except NoForm:
        raise
    except RecursionError:
        raise NoForm("it is nested too deeply, or holds itself") from None
    except (TypeError, ValueError) as error:
        raise NoForm(str(error)) from None


def _place(value: Any) -> str:
    """Return which member of a value has no form, as the beginning of a sentence; empty where each has."""
    for name, member in _members(value):
        try:
            _dumped(member)
        except NoForm:
            return f"{name}: "
    return ""


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, member in value.items():
            shown = repr(key)
            yield (shown if len(shown) <= _SHOWN_KEY else f"{shown[:_SHOWN_KEY]}…"), member
    elif isinstance(value, list | tuple):
        for number, member in enumerate(value, 1):
            yield f"number {number}", member
