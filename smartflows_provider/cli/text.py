"""Texts from the service as a terminal may show them, and numbers as people read them.

Names and messages are written by others. Invariant: whatever they hold, what leaves :func:`printable` is
one line that can move no cursor, change no colour and turn no writing direction.
"""

from __future__ import annotations

import unicodedata

_WIDE = frozenset("WF")
UNKNOWN = "unknown"
"""Stands for what the service does not tell."""


def printable(text: str) -> str:
    """Return the text on one line, with every character that is no plain sign escaped."""
    return "".join(map(_printable, text))


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    if unicodedata.category(letter) == "Zs":
        return " "
    return letter.encode("unicode_escape").decode()


def cells(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in _WIDE)
        for letter in text
    )


def cut(text: str, width: int) -> str:
    """Return the printable text in at most so many columns, with ``…`` where it was cut."""
    if cells(text) <= width:
        return text
    kept, used = "", 0
    for letter in text:
        used += cells(letter)
        if used > width - 1:
            break
        kept += letter
    return f"{kept.rstrip()}…"


def pad(text: str, width: int) -> str:
    """Return the printable text followed by spaces up to a width."""
    return text + " " * (width - cells(text))


def span(seconds: float | None) -> str:
    """Return a length of time in its two largest units: ``3 h 12 min``."""
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def count(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
