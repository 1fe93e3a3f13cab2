"""What can be wrong with a payload, as plain errors.

Each message says where the fault is and what to change; none holds a whole payload, and what was read
with ``hide_values`` holds no data value at all. Invariants: every error of this package that is the
payload's fault derives from :class:`PayloadError`, and no retry mends it unless it says so itself; what
:attr:`PayloadError.unquoted` says holds no word of the input.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from smartflows_provider.wire.text import printable

_SHOWN_PATH = 200
_SHOWN_NAMES = 100
SHOWN_PROBLEMS = 20
"""How many problems a message lists; the total is named beside them."""


def shown(value: object) -> str:
    """Return a name from outside for a message: shortened, and whatever it is."""
    try:
        return f"{value!r:.80}" if isinstance(value, str) else reprlib.repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"one of type {type(value).__name__}"


def shortened(path: str) -> str:
    """Return a place for a message, cut where it is long."""
    return path if len(path) <= _SHOWN_PATH else f"{path[:_SHOWN_PATH]}…"


class PayloadError(Exception):
    """The payload cannot be sent as it is; a retry with the same input does not help unless ``passes``."""

    def __init__(self, message: str, *, unquoted: str | None = None, passes: bool = False) -> None:
        """
        Keep the message.

        :param unquoted: the same without words of the input; None where the message quotes none.
        :param passes: whether a retry helps, as a storage was out of reach.
        """
        super().__init__(printable(message))
        self.unquoted = printable(message if unquoted is None else unquoted)
        self.passes = passes


class UnsupportedInput(PayloadError):
    """The input is of a kind, or has options, that cannot be turned into a payload."""


class PayloadTooLarge(PayloadError):
    """The payload grows without end."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the input has more than {limit:,} bytes; does its iterator ever end?")


class UnreadableRows(PayloadError):
    """A file of rows does not have the form that its name promises."""


class SourceUnreadable(PayloadError):
    """A file of the input cannot be read."""


def may_pass(error: Exception) -> bool:
    """Tell whether what a storage has raised may pass by itself."""
    # Drivers of storages have classes of their own, of which only the names are alike.
    return any(kind.__name__.endswith(("ConnectionError", "TimeoutError")) for kind in type(error).__mro__)


def first_line(error: Exception) -> str:
    """Return the first line of what a library has said, or the error's class where it said nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def reading(path: Any) -> Iterator[None]:
    """Turn what the storage raises in the block into :class:`SourceUnreadable`."""
    try:
        yield
    except (PayloadError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - what a storage raises depends on its driver
        told = first_line(error)
        # Storages raise their own errors without a path, and Python's own name it.
        named = told if str(path) in told else f"{path}: {told}"
        raise SourceUnreadable(f"the input cannot be read: {named}", passes=may_pass(error)) from None


class UnknownNames(PayloadError):
    """The schema has no such element or attribute at that place."""

    def __init__(self, names: Iterable[str], *, path: str, known: Iterable[str]) -> None:
        self.names = tuple(names)
        self.path = path
        self.known = tuple(known)
        listed = ", ".join(self.known[:_SHOWN_NAMES]) or "nothing"
        if len(self.known) > _SHOWN_NAMES:
            listed += f" and {len(self.known) - _SHOWN_NAMES} more"
        super().__init__(
            f"{path}: the schema has no {', '.join(map(repr, self.names))} here; it has: {listed}",
            unquoted=f"{path}: the schema does not have a name that is given here; it has: {listed}",
        )


class UnusableText(PayloadError):
    """A value holds something that XML or the schema's type cannot carry, at the place the message names."""


class UnusableName(PayloadError):
    """A key or field name cannot be the name of an XML element or attribute."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            unquoted="the name of a key, a column or a prefix is not one that XML allows, or its prefix is "
            "not declared in `namespaces`; the first line of a CSV file must name the columns",
        )


class NotWellFormed(PayloadError):
    """The XML breaks the rules of XML itself; a column of 0 is not known."""

    def __init__(self, reason: str, *, line: int, column: int) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        place = f"line {line}, column {column}" if column > 0 else f"line {line}"
        told = f"the XML is not well-formed at {place}"
        super().__init__(f"{told}: {reason}", unquoted=told)


class ForbiddenXml(PayloadError):
    """The XML uses something that is not accepted for safety's sake, such as a DOCTYPE."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One place where XML does not follow its schema."""

    path: str
    """Where, as an XPath without prefixes; empty if the place is not known."""
    line: int
    """Line of the tag at which it showed; 0 if not known."""
    reason: str

    def __str__(self) -> str:
        place = ", ".join(
            [*([f"line {self.line}"] if self.line else []), *([self.path] if self.path else [])]
        )
        return f"{place}: {self.reason}" if place else self.reason


class SchemaViolation(PayloadError):
    """The XML is well-formed but does not follow the schema."""

    def __init__(
        self, problems: Sequence[Problem], *, total: int | None = None, at_least: bool = False
    ) -> None:
        """
        Keep the problems and say them.

        :param problems: in document order, as many as were located.
        :param total: how many there are; None if these are all.
        :param at_least: whether there may be more than ``total``.
        """
        self.problems = tuple(problems)
        self.total = len(self.problems) if total is None else total
        shown = self.problems[:SHOWN_PROBLEMS]
        count = f"{'at least ' if at_least else ''}{self.total} problem{'' if self.total == 1 else 's'}"
        if len(shown) < self.total:
            count += f", the first {len(shown)}"
        lines = "".join(f"\n  {problem}" for problem in shown)
        super().__init__(f"the XML does not follow the schema ({count}):{lines}")


class SchemaUnreadable(PayloadError):
    """The XSD, or a document it includes, cannot be read or compiled."""
