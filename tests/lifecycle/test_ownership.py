"""Who answers for a run whose trigger was ended: the whole table."""

from __future__ import annotations

import pytest

from smartflows_provider.lifecycle.ownership import Ownership, ownership
from smartflows_provider.lifecycle.xcom_keys import EXECUTION_ID_KEY, EXECUTION_LEFT_KEY


def owner(
    state: str | None,
    *,
    current: object = "e1",
    left: object = None,
    keep_on_clear: bool = False,
    handing_over: bool = False,
) -> Ownership:
    xcoms = {EXECUTION_ID_KEY: current, EXECUTION_LEFT_KEY: left}
    return ownership(
        "e1",
        state=state,
        xcom=xcoms.__getitem__,
        keep_on_clear=keep_on_clear,
        handing_over=handing_over,
    )


def test_a_task_that_succeeded_is_over_for_whatever_reason() -> None:
    assert owner("success") == "succeeded"
    assert owner("success", left="e1") == "succeeded"
    assert owner("success", handing_over=True) == "succeeded"


@pytest.mark.parametrize("state", ["failed", "skipped", "upstream_failed", "removed"])
def test_a_task_that_is_over_has_ended_unless_it_says_that_it_left_the_run_alive(state: str) -> None:
    assert owner(state) == "ended"
    assert owner(state, left="e1") == "kept"
    assert owner(state, left="e0") == "ended"


def test_a_task_without_a_state_was_cleared() -> None:
    assert owner(None) == "ended"
    assert owner(None, left="e1") == "ended"
    assert owner(None, keep_on_clear=True) == "open"
    assert owner("failed", keep_on_clear=True) == "ended"


@pytest.mark.parametrize("state", ["running", "deferred", "awaiting_input"])
def test_an_attempt_at_work_answers_for_the_run_that_it_names(state: str) -> None:
    assert owner(state) == "kept"
    assert owner(state, current="e2") == "replaced"
    assert owner(state, current=None) == "open"


@pytest.mark.parametrize(
    "state",
    [
        "scheduled",
        "queued",
        "restarting",
        "up_for_retry",
        "up_for_reschedule",
        "a state of some later Airflow",
    ],
)
@pytest.mark.parametrize("current", ["e1", "e2", None])
def test_between_two_stretches_of_work_it_cannot_be_told(state: str, current: str | None) -> None:
    assert owner(state, current=current) == "open"
    assert owner(state, current=current, handing_over=True) == "open"


def test_after_its_own_event_a_deferred_task_says_nothing_yet() -> None:
    assert owner("deferred", handing_over=True) == "open"
    assert owner("running", handing_over=True) == "kept"
    assert owner("failed", handing_over=True) == "ended"
    assert owner("deferred", current="e2", handing_over=True) == "replaced"


@pytest.mark.parametrize(("state", "asked"), [("running", [EXECUTION_ID_KEY]), ("queued", []), (None, [])])
def test_xcoms_are_read_only_where_they_matter(state: str | None, asked: list[str]) -> None:
    read: list[str] = []

    def xcom(key: str) -> str:
        read.append(key)
        return "e1"

    ownership("e1", state=state, xcom=xcom)
    assert read == asked
