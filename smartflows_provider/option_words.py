"""The check of options that take one of a few words.

An option's type says which words it takes; here they are held against what an author has written, while the
DAG is parsed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints


def hints_of(options: Any) -> Mapping[str, Any]:
    """
    Return the types of the fields of a dataclass.

    :param options: the dataclass's instance.
    """
    kind: Any = type(options)
    return _hints(kind)


@cache
def _hints(kind: type[Any]) -> Mapping[str, Any]:
    """Read the types of a class's fields, once per process: a DAG file may make thousands of tasks."""
    return get_type_hints(kind)


@contextmanager
def options_of(task_id: str) -> Iterator[None]:
    """
    Check options of a task, so that the message names it.

    :param task_id: goes before the message of a ValueError that the block raises.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{task_id}: {error}.") from None


def check_words(options: Any) -> None:
    """
    Check each field of a dataclass whose type is a ``Literal``.

    :param options: the dataclass's instance.
    :raises ValueError: for a word that the type has not; the message names the field and its words.
    """
    for name, hint in hints_of(options).items():
        if get_origin(hint) is Literal:
            check_word(name, getattr(options, name), get_args(hint))


def check_word(name: str, value: Any, words: Collection[Any]) -> None:
    """
    Check one option.

    :raises ValueError: if the value is none of the words; the message names the option and its words.
    """
    if value not in words:
        raise ValueError(f"{name} is {value!r}; it takes one of {', '.join(map(repr, words))}")
