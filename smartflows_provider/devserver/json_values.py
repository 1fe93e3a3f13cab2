"""JSON that comes in, and values that shall become JSON.

Python reads and holds more than JSON may say: NaN, dates from YAML, halves of surrogate pairs, nesting
without end. Invariant: what passes :func:`check_json` can be stored and sent as JSON at any later time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 100
"""So many arrays and objects may stand within each other."""


class NotJson(ValueError):
    """A value that JSON cannot hold, or a text that is no JSON; the text says where and why."""


def check_json(value: Any, *, place: str = "") -> None:
    """
    Return if JSON can hold the value.

    :param value: mappings, lists and tuples of texts, numbers, booleans and None.
    :param place: how messages call the value, as in ``steps[0].values``.
    :raises NotJson: if not.
    """
    _check(value, place, MAX_DEPTH)


def read_json(body: bytes) -> Any:
    """
    Return what a body says.

    :param body: UTF-8, UTF-16 or UTF-32.
    :raises NotJson: if it is no JSON, or nothing that could be sent again.
    """
    try:
        value = json.loads(body)
        check_json(value)
    except NotJson as error:
        raise NotJson(f"cannot be used: {error}") from error
    except ValueError as error:
        raise NotJson(f"is not JSON: {error}") from error
    except RecursionError as error:
        raise NotJson(f"cannot be used: {TOO_DEEP}") from error
    return value


TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"


def _check(value: Any, place: str, levels: int) -> None:
    name = place or "the value"
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return
    if isinstance(value, str):
        if _is_broken(value):
            raise NotJson(f"{name} holds half of a surrogate pair")
        return
    if not isinstance(value, Mapping | list | tuple):
        hint = "" if isinstance(value, float) else "; put it in quotes"
        raise NotJson(f"{name} is {value} ({type(value).__name__}), which JSON cannot hold{hint}")
    if levels == 0:
        raise NotJson(TOO_DEEP)
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise NotJson(f"{name} has the key {key!r}, which is no text; put it in quotes")
            if _is_broken(key):
                raise NotJson(f"{name} has a key with half of a surrogate pair")
            _check(entry, f"{place}.{key}" if place else key, levels - 1)
    else:
        for number, entry in enumerate(value):
            _check(entry, f"{place}[{number}]", levels - 1)


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
