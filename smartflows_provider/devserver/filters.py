"""Filter, sort and page lists of plain objects the way the service's lists do.

A filter is a node, ``{"group": {"type": "and" | "or", "nodes": […]}}`` or ``{"condition": {"key",
"operator", "values"}}``; the operators are those of the vendor's SDK. Invariant: a filter that cannot be
understood is an error, never an empty or a complete result.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Entry = Mapping[str, Any]


class FilterRefused(ValueError):
    """A filter, sort or page that cannot be understood; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of a list."""

    entries: Sequence[Entry]
    number: int
    """From 0."""
    size: int
    total: int

    def as_object(self) -> dict[str, Any]:
        """Return the page object form of lists."""
        pages = -(-self.total // self.size)
        return {
            "content": list(self.entries),
            "totalElements": self.total,
            "totalPages": pages,
            "number": self.number,
            "size": self.size,
            "first": self.number == 0,
            "last": self.number + 1 >= pages,
        }


def page_of(entries: Sequence[Entry], *, page: str, size: str, honoured: bool) -> Page:
    """
    Return one page of a list.

    :param page: number from 0, as it came in the query.
    :param size: entries per page, 1 to 2000, as it came in the query.
    :param honoured: False returns everything as every page.
    :raises FilterRefused: if either is no such number.
    """
    try:
        number, length = int(page), int(size)
    except ValueError:
        raise FilterRefused("'page' and 'size' must be whole numbers") from None
    if number < 0 or not 1 <= length <= 2000:
        raise FilterRefused("'page' starts at 0 and 'size' is 1 to 2000")
    if not honoured:
        return Page(entries=entries, number=0, size=max(len(entries), 1), total=len(entries))
    part = entries[number * length : (number + 1) * length]
    return Page(entries=part, number=number, size=length, total=len(entries))


def sort_entries(entries: Sequence[Entry], sort: Sequence[str]) -> list[Entry]:
    """
    Return the list in the order of ``field,asc`` or ``field,desc`` terms, the first one deciding first.

    :raises FilterRefused: if a term has another form or names an unknown field.
    """
    ordered = list(entries)
    for term in reversed(sort):
        field, _, direction = term.partition(",")
        if direction.lower() not in {"", "asc", "desc"}:
            raise FilterRefused(f"cannot sort by {term!r}: use 'field,asc' or 'field,desc'")
        _check_key(field, ordered)
        ordered.sort(key=lambda entry: _rank(_value(entry, field)), reverse=direction.lower() == "desc")
    return ordered


def matcher_of_text(text: str) -> Callable[[Entry], bool]:
    """
    Return the test that a ``field:value`` filter means.

    :raises FilterRefused: if there is no colon.
    """
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise FilterRefused(f"cannot filter by {text!r}: use 'field:value'")
    return matcher_of({"condition": {"key": key, "operator": "equalTo", "values": [value]}})


def matcher_of(node: Any) -> Callable[[Entry], bool]:
    """
    Return the test that a filter node means.

    :raises FilterRefused: for an unknown form, operator, group type, or a wrong number of values; the
        test itself raises it for an unknown key.
    """
    if isinstance(node, Mapping) and set(node) == {"group"}:
        return _group(node["group"])
    if isinstance(node, Mapping) and set(node) == {"condition"}:
        return _condition(node["condition"])
    raise FilterRefused("a filter node is {'group': …} or {'condition': …}")


def names_key(node: Any, key: str) -> bool:
    """Tell whether a condition of a filter node is about a key."""
    if not isinstance(node, Mapping):
        return False
    condition, group = node.get("condition"), node.get("group")
    if isinstance(condition, Mapping):
        return condition.get("key") == key
    nodes = group.get("nodes") if isinstance(group, Mapping) else None
    return isinstance(nodes, list) and any(names_key(each, key) for each in nodes)


def _group(group: Any) -> Callable[[Entry], bool]:
    if not isinstance(group, Mapping) or not isinstance(group.get("nodes"), list):
        raise FilterRefused("a group has 'type' and 'nodes'")
    kind = str(group.get("type", "and")).lower()
    if kind not in {"and", "or"}:
        raise FilterRefused(f"a group's type is 'and' or 'or', not {kind!r}")
    tests = [matcher_of(node) for node in group["nodes"]]
    join = all if kind == "and" else any
    return lambda entry: join(test(entry) for test in tests)


def _condition(condition: Any) -> Callable[[Entry], bool]:
    if not isinstance(condition, Mapping) or not isinstance(condition.get("key"), str):
        raise FilterRefused("a condition has 'key', 'operator' and 'values'")
    key, name, values = condition["key"], str(condition.get("operator")), condition.get("values") or []
    if name not in OPERATORS:
        raise FilterRefused(f"there is no operator {name!r}; there are {', '.join(OPERATORS)}")
    if not isinstance(values, list):
        raise FilterRefused("'values' of a condition is a list")
    number, test = OPERATORS[name]
    if number is not None and len(values) != number:
        raise FilterRefused(f"the operator {name!r} takes {number} value(s), not {len(values)}")

    def matches(entry: Entry) -> bool:
        _check_key(key, [entry])
        return test(_value(entry, key), values)

    return matches


def _check_key(key: str, entries: Sequence[Entry]) -> None:
    if entries and key.partition(".")[0] not in entries[0]:
        raise FilterRefused(f"there is no field {key!r}; there are {', '.join(entries[0])}")


def _value(entry: Entry, key: str) -> Any:
    value: Any = entry
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _plain(value: Any) -> str:
    return "".join(str(value).split()).casefold()


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_equal(value.get(key), wanted) for key in ("id", "displayName"))
    if value is None or wanted is None:
        return value is wanted
    return _plain(value) == _plain(wanted) or _rank(value) == _rank(wanted)


def _like(value: Any, pattern: Any) -> bool:
    if isinstance(value, Mapping):
        return _like(value.get("displayName"), pattern)
    parts = str(pattern).strip("%").split("%")
    found = re.search(".*".join(map(re.escape, parts)), str(value or ""), re.IGNORECASE | re.DOTALL)
    return found is not None


def _rank(value: Any) -> tuple[int, float, str]:
    """Return what orders values of one field: nothing first, then numbers and times, then words."""
    if isinstance(value, Mapping):
        value = value.get("displayName")
    if value is None:
        return (0, 0.0, "")
    try:
        return (1, float(value), "")
    except OverflowError:
        return (1, math.inf if value > 0 else -math.inf, "")
    except (TypeError, ValueError):
        pass
    try:
        return (2, datetime.fromisoformat(str(value)).timestamp(), "")
    except (ValueError, OverflowError):
        return (3, 0.0, str(value).casefold())


def _between(value: Any, values: Sequence[Any]) -> bool:
    return value is not None and _rank(values[0]) <= _rank(value) <= _rank(values[1])


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Sequence[Any]], bool]:
    return lambda value, values: value is not None and test(_rank(value), _rank(values[0]))


def _blank(value: Any) -> bool:
    return value is None or not str(value).strip()


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


OPERATORS: Mapping[str, tuple[int | None, Callable[[Any, Sequence[Any]], bool]]] = {
    "between": (2, _between),
    "notBetween": (2, lambda value, values: not _between(value, values)),
    "equalTo": (1, lambda value, values: _equal(value, values[0])),
    "notEqualTo": (1, lambda value, values: not _equal(value, values[0])),
    "like": (1, lambda value, values: _like(value, values[0])),
    "notLike": (1, lambda value, values: not _like(value, values[0])),
    "greaterThan": (1, _ordered(lambda one, other: one > other)),
    "lessThan": (1, _ordered(lambda one, other: one < other)),
    "greaterThanOrEqualTo": (1, _ordered(lambda one, other: one >= other)),
    "lessThanOrEqualTo": (1, _ordered(lambda one, other: one <= other)),
    "isTrue": (0, lambda value, _: _true(value)),
    "isFalse": (0, lambda value, _: not _true(value)),
    "isBlank": (0, lambda value, _: _blank(value)),
    "notIsBlank": (0, lambda value, _: not _blank(value)),
    "in": (None, lambda value, values: any(_equal(value, wanted) for wanted in values)),
    "isNull": (0, lambda value, _: value is None),
    "isNotNull": (0, lambda value, _: value is not None),
}
"""The SDK's operators: how many values each takes (None: any number), and its test."""
