"""Names that must not meet: the second of a kind gets a number.

Invariant: the same names in the same order always get the same numbers, so that a repeated run finds its
files and keys again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count


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
