"""Names that must not meet: the second of a kind gets a number.

Invariant: the same names in the same order always get the same numbers, so that a repeated run finds its
files and keys again.
"""

from __future__ import annotations

from collections.abc import Callable, Container


class Numbering:
    """
    Keys that must differ.

    Remembers how far each name has been counted, so that a thousand equal names take a thousand steps.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def free(self, name: str, taken: Container[str]) -> str:
        """
        Return the name if it is free, else the first free one of ``name_2``, ``name_3`` and so on.

        :param taken: the names in use; what was in use once stays so.
        """
        if name not in taken:
            return name
        return self.number(name, make=lambda number: name + number, is_taken=taken.__contains__)

    def number(self, kind: str, *, make: Callable[[str], str], is_taken: Callable[[str], bool]) -> str:
        """
        Return the first free name of ``make("")``, ``make("_2")``, ``make("_3")`` and so on.

        :param kind: what names that get their numbers from one row have in common.
        :param make: builds the name around a suffix; every suffix must give another name.
        :param is_taken: tells which names are in use; what was in use once stays so.
        """
        name, last = make(""), self._last.get(kind, 1)
        while is_taken(name):
            last += 1
            name = make(f"_{last}")
            self._last[kind] = last
        return name
