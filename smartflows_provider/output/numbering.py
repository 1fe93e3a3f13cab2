"""Names that must not meet: the second of a kind gets a number.

Invariant: the same names in the same order always get the same numbers, so that a repeated run finds its
files and keys again.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from itertools import count


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
        number = self._last.get(name, 1) + 1
        while f"{name}_{number}" in taken:
            number += 1
        self._last[name] = number
        return f"{name}_{number}"


def first_free(make: Callable[[str], str], is_taken: Callable[[str], bool]) -> str:
    """
    Return the first name that is not taken: ``make("")``, then ``make("_2")``, ``make("_3")`` and so on.

    :param make: builds the name around a suffix; every suffix must give another name.
    :param is_taken: tells which names are in use.
    """
    name = make("")
    numbers = count(2)
    while is_taken(name):
        name = make(f"_{next(numbers)}")
    return name
