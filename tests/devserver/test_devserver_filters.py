"""Every operator of the filter object, on plain entries."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from smartflows_provider.devserver.filters import (
    OPERATORS,
    FilterRefused,
    matcher_of,
    matcher_of_text,
    page_of,
    sort_entries,
)
from smartflows_provider.wire.smart_flows import Operator

ENTRIES: list[dict[str, Any]] = [
    {
        "id": "a",
        "n": 1,
        "at": "2026-01-01T00:00:00.000Z",
        "flag": True,
        "flow": {"id": "f1", "displayName": "One"},
    },
    {
        "id": "b",
        "n": 10,
        "at": "2026-01-02T00:00:00.000Z",
        "flag": False,
        "flow": {"id": "f2", "displayName": "Two"},
    },
    {"id": "c", "n": None, "at": "", "flag": None, "flow": None},
]

CASES: list[tuple[str, str, list[Any], str]] = [
    ("n", "between", [1, 5], "a"),
    ("at", "between", ["2026-01-01T12:00:00+00:00", "2026-01-03T00:00:00Z"], "b"),
    ("n", "notBetween", ["1", "5"], "bc"),
    ("n", "equalTo", ["10"], "b"),
    ("flow", "equalTo", ["f1"], "a"),
    ("flow", "equalTo", ["two"], "b"),
    ("flow.displayName", "equalTo", ["One"], "a"),
    ("at", "equalTo", ["2026-01-01T01:00:00+01:00"], "a"),
    ("n", "notEqualTo", [1], "bc"),
    ("flow", "like", ["%w%"], "b"),
    ("id", "like", ["A"], "a"),
    ("id", "notLike", ["a"], "bc"),
    ("n", "greaterThan", [1], "b"),
    ("n", "lessThan", [10], "a"),
    ("n", "greaterThanOrEqualTo", [1], "ab"),
    ("n", "lessThanOrEqualTo", ["9.5"], "a"),
    ("flag", "isTrue", [], "a"),
    ("flag", "isFalse", [], "bc"),
    ("at", "isBlank", [], "c"),
    ("at", "notIsBlank", [], "ab"),
    ("id", "in", ["a", "c", "z"], "ac"),
    ("n", "isNull", [], "c"),
    ("n", "isNotNull", [], "ab"),
]


@pytest.mark.parametrize(("key", "operator", "values", "expected"), CASES)
def test_an_operator_finds_what_it_says(key: str, operator: str, values: list[Any], expected: str) -> None:
    test = matcher_of({"condition": {"key": key, "operator": operator, "values": values}})
    assert "".join(entry["id"] for entry in ENTRIES if test(entry)) == expected


def test_every_documented_operator_is_there_and_tried() -> None:
    assert set(OPERATORS) == set(get_args(Operator)) == {operator for _, operator, _, _ in CASES}


def test_groups_join_their_nodes_and_nest() -> None:
    one, two = ({"condition": {"key": "id", "operator": "equalTo", "values": [name]}} for name in ("a", "b"))
    either = {"group": {"type": "or", "nodes": [one, two]}}
    both = {"group": {"type": "and", "nodes": [either, two]}}
    assert [entry["id"] for entry in ENTRIES if matcher_of(either)(entry)] == ["a", "b"]
    assert [entry["id"] for entry in ENTRIES if matcher_of(both)(entry)] == ["b"]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ([], "a filter node is"),
        ({"condition": {}, "group": {}}, "a filter node is"),
        ({"group": {"type": "and"}}, "a group has 'type' and 'nodes'"),
        ({"group": {"type": "xor", "nodes": []}}, "a group's type is 'and' or 'or', not 'xor'"),
        ({"condition": {"operator": "in"}}, "a condition has 'key'"),
        ({"condition": {"key": "id", "operator": "has"}}, "there is no operator 'has'; there are between"),
        ({"condition": {"key": "id", "operator": "in", "values": "a"}}, "'values' of a condition is a list"),
        (
            {"condition": {"key": "id", "operator": "between", "values": [1]}},
            r"the operator 'between' takes 2 value\(s\), not 1",
        ),
    ],
)
def test_a_filter_that_cannot_be_understood_is_refused(node: object, message: str) -> None:
    with pytest.raises(FilterRefused, match=message):
        matcher_of(node)


def test_an_unknown_field_is_refused() -> None:
    test = matcher_of_text("colour:red")
    with pytest.raises(FilterRefused, match="there is no field 'colour'; there are id, n, at, flag, flow"):
        test(ENTRIES[0])
    with pytest.raises(FilterRefused, match="there is no field 'colour'"):
        sort_entries(ENTRIES, ["colour,asc"])


def test_a_text_filter_may_have_colons_in_its_value() -> None:
    test = matcher_of_text("at:2026-01-02T00:00:00.000Z")
    assert [entry["id"] for entry in ENTRIES if test(entry)] == ["b"]


def test_sorting_puts_nothing_first_and_follows_the_first_term() -> None:
    assert [entry["id"] for entry in sort_entries(ENTRIES, ["n"])] == ["c", "a", "b"]
    assert [entry["id"] for entry in sort_entries(ENTRIES, ["n,desc"])] == ["b", "a", "c"]
    doubled = [*ENTRIES, {**ENTRIES[0], "id": "d"}]
    assert [entry["id"] for entry in sort_entries(doubled, ["n,desc", "id,desc"])] == ["b", "d", "a", "c"]


def test_a_page_beyond_the_end_is_empty_and_the_last() -> None:
    page = page_of(ENTRIES, page="5", size="2", honoured=True).as_object()
    assert (page["content"], page["totalPages"], page["last"]) == ([], 2, True)
