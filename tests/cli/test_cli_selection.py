"""Which executions a filter means."""

from __future__ import annotations

from typing import Any

import pytest
from cli_executions import NOW, execution

from smartflows_provider.cli.selection import Selected, Selection, age_of, select, unwanted_statuses
from smartflows_provider.wire.run import Execution, Reference
from smartflows_provider.wire.smart_flows import ExecutionStatus


def picked(*found: Execution, flow_id: str | None = None, user_id: str = "me", **choices: Any) -> Selected:
    return select(found, Selection(**choices), flow_id=flow_id, user_id=user_id, now=NOW)


def ids(selected: Selected) -> list[str]:
    return [one.id for one in selected.executions]


def test_without_a_choice_everything_that_can_still_change_is_meant() -> None:
    words = [*ExecutionStatus, "Suspended"]
    selected = picked(*(execution(word, status=str(word)) for word in words))
    assert ids(selected) == ["Queued", "Running", "SelectFlow", "Suspended", "UserInput", "Waiting"]


def test_all_means_what_is_over_too() -> None:
    words = [*ExecutionStatus, "Suspended"]
    assert len(picked(*(execution(word, status=str(word)) for word in words), ended=True).executions) == 11


def test_named_statuses_are_meant_alone() -> None:
    found = [execution(word, status=str(word)) for word in ExecutionStatus]
    assert ids(picked(*found, statuses=frozenset({"Error", "Waiting"}))) == ["Error", "Waiting"]


def test_the_oldest_is_first_and_what_has_no_date_before_it() -> None:
    found = [
        execution("young", created_at="2026-11-24T11:59:00Z"),
        execution("undated", created_at=""),
        execution("zoned", created_at="2026-11-24T09:30:00+02:00"),
        execution("old", created_at="2026-11-24T08:00:00"),
    ]
    assert ids(picked(*found)) == ["undated", "zoned", "old", "young"]


def test_a_flow_is_compared_by_its_id_in_any_case() -> None:
    found = [
        execution("mine"),
        execution("other", flow=Reference(id="F2", name="Letter")),
        execution("none", flow=Reference(id="")),
    ]
    assert ids(picked(*found, flow_id="f1")) == ["mine"]


def test_others_executions_are_left_out_without_a_word_unless_everyone_is_meant() -> None:
    found = [execution("mine"), execution("theirs", created_by=Reference(id="they", name="Me"))]
    assert picked(*found) == Selected(executions=(found[0],))
    assert ids(picked(*found, everyone=True)) == ["mine", "theirs"]


def test_what_nobody_is_told_to_have_created_is_counted() -> None:
    found = [execution("mine"), execution("nobody", created_by=None)]
    selected = picked(*found)
    assert (ids(selected), selected.unclaimed) == (["mine"], 1)
    assert picked(*found, user_id="") == Selected(unclaimed=2)
    assert picked(*found, everyone=True).unclaimed == 0


def test_what_is_of_the_wrong_age_is_not_counted_as_left_out() -> None:
    assert picked(execution("nobody", created_by=None), older_than=7200.0) == Selected()


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"older_than": 3600.0}, ["old", "hour"]),
        ({"newer_than": 3600.0}, ["hour", "young"]),
        ({"older_than": 3600.0, "newer_than": 3600.0}, ["hour"]),
        ({"older_than": 0.0}, ["old", "hour", "young"]),
    ],
)
def test_ages_are_limits_that_count_themselves(choices: dict[str, float], expected: list[str]) -> None:
    found = [
        execution("hour"),
        execution("young", created_at="2026-11-24T11:00:01Z"),
        execution("old", created_at="2026-11-24T10:59:59Z"),
    ]
    assert ids(picked(*found, **choices)) == expected


@pytest.mark.parametrize("created_at", ["", "yesterday", "2026-13-01", "0"])
def test_what_has_no_age_is_never_of_an_age_and_is_counted(created_at: str) -> None:
    undated = execution("x", created_at=created_at)
    assert age_of(undated, now=NOW) is None
    for choices in ({"older_than": 0.0}, {"newer_than": 1e9}):
        assert picked(undated, **choices) == Selected(undated=1)


def test_a_service_whose_clock_is_ahead_makes_no_negative_ages() -> None:
    assert age_of(execution("x", created_at="2026-11-24T13:00:00Z"), now=NOW) == 0.0


def test_the_service_is_asked_to_leave_out_only_what_is_over_and_not_wanted() -> None:
    def left_out(selection: Selection) -> list[str]:
        node = unwanted_statuses(selection)
        if node is None:
            return []
        nodes = node["group"]["nodes"] if "group" in node else [node]
        assert all(one["condition"]["operator"] == "notEqualTo" for one in nodes)
        return [one["condition"]["values"][0] for one in nodes]

    over = ["Success", "Warning", "Error", "Canceled", "Interrupted"]
    assert left_out(Selection()) == over
    assert left_out(Selection(statuses=frozenset({"Running"}))) == over
    assert left_out(Selection(statuses=frozenset(over[1:]))) == ["Success"]
    assert left_out(Selection(ended=True)) == []
