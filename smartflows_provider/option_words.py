"""The check of options that take one of a few words.

An option's type says which words it takes; here they are held against what an author has written, while the
DAG is parsed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints


def check_words(options: Any) -> None:
    """
    Check each field of a dataclass whose type is a ``Literal``.

    :param options: the dataclass's instance.
    :raises ValueError: for a word that the type has not; the message names the field and its words.
    """
    hints: dict[str, Any] = get_type_hints(type(options))
    for field in fields(options):
        hint = hints[field.name]
        if get_origin(hint) is Literal:
            check_word(field.name, getattr(options, field.name), get_args(hint))


def check_word(name: str, value: Any, words: Collection[Any]) -> None:
    """
    Check one option.

    :raises ValueError: if the value is none of the words; the message names the option and its words.
    """
    if value not in words:
        raise ValueError(f"{name} is {value!r}; it takes one of {', '.join(map(repr, words))}")
