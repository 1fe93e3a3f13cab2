"""What an author says about an input, checked while the DAG is parsed.

Operator and notifier take the same inputs and refuse the same contradictions. Invariant: only arguments are
looked at, nothing is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def check_one_input(given: Sequence[str], *, kinds: Sequence[str]) -> None:
    """
    Refuse an input that is given twice.

    :param given: names of the arguments that hold one.
    :param kinds: names of all arguments that may hold one.
    :raises ValueError: if there are several.
    """
    if len(given) > 1:
        listed = f"{', '.join(kinds[:-1])} and {kinds[-1]}"
        raise ValueError(f"the input is given twice, as {' and '.join(given)}. Give one of {listed}")


def check_rows(
    given: bool, *, rows: Any, row: Any, root: Any, xsd: Any, kinds: Sequence[str], instead: str
) -> None:
    """
    Refuse rows that cannot be read later, or that have no names.

    :param given: whether there is an input of rows.
    :param rows: the argument of that name.
    :param row: name of each row's element.
    :param root: name of the root element.
    :param xsd: path of the XSD, which may name the root element too.
    :param kinds: names of all arguments that may hold rows.
    :param instead: what to give instead of a generator.
    :raises ValueError: if they cannot work.
    """
    if hasattr(rows, "__next__"):
        raise ValueError(f"rows is a generator, which would be read when the DAG is parsed. Give {instead}")
    if given and not (row and (root or xsd)):
        raise ValueError(
            f"{' and '.join(kinds)} need row, the name of each row's element, and root, the name of the root "
            "element; an xsd with a single root element makes root unnecessary"
        )
