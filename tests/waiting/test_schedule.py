"""The arithmetic of when to ask again: bounds that hold for every time, connection and outage."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from smartflows_provider.waiting import schedule
from smartflows_provider.waiting.schedule import hold_for, pause_after_answer, pause_after_failure

seconds = st.floats(min_value=0, max_value=1e7, allow_nan=False)
draws = st.floats(min_value=0, max_value=1, allow_nan=False)
repeatable = settings(derandomize=True, max_examples=100, deadline=None)


@repeatable
@given(waited=seconds, longest=seconds, remaining=st.floats(min_value=-1e7, max_value=1e7))
def test_a_hold_is_never_longer_than_the_connection_and_the_deadline_allow(
    waited: float, longest: float, remaining: float
) -> None:
    hold = hold_for(waited, longest=longest, remaining=remaining)
    assert hold >= schedule.SHORT_POLL
    assert hold <= max(schedule.SHORT_POLL, longest)
    assert hold <= max(schedule.SHORT_POLL, remaining)


def test_a_question_that_is_not_to_be_held_names_a_second_because_without_one_the_service_takes_thirty() -> (
    None
):
    assert hold_for(100, longest=0, remaining=1e6) == 1.0
    assert hold_for(100, longest=30, remaining=-5) == 1.0


def test_a_young_wait_is_held_briefly_and_an_old_one_for_as_long_as_allowed() -> None:
    assert hold_for(0, longest=30, remaining=1e6) == 2.0
    assert hold_for(10, longest=30, remaining=1e6) == 10.0
    assert hold_for(1000, longest=30, remaining=1e6) == 30.0


@repeatable
@given(waited=seconds, poll_interval=st.floats(min_value=0.01, max_value=1e5), draw=draws)
def test_a_pause_varies_by_a_tenth_up_and_down_and_stays_near_the_poll_interval(
    waited: float, poll_interval: float, draw: float
) -> None:
    pause = pause_after_answer(waited, poll_interval=poll_interval, draw=draw)
    assert 0 < pause <= 1.1 * poll_interval
    assert pause >= 0.9 * min(poll_interval, schedule.SHORTEST_PAUSE)


@repeatable
@given(waited=seconds, longer=seconds)
def test_an_older_wait_is_never_asked_more_often(waited: float, longer: float) -> None:
    young = pause_after_answer(waited, poll_interval=60, draw=0.5)
    assert pause_after_answer(waited + longer, poll_interval=60, draw=0.5) >= young


@repeatable
@given(
    failures=st.integers(min_value=1, max_value=10**6),
    retry_after=st.none() | st.floats(min_value=0, max_value=1e9),
    draw=draws,
)
def test_a_pause_after_a_failure_is_bounded_whatever_the_service_asks(
    failures: int, retry_after: float | None, draw: float
) -> None:
    pause = pause_after_failure(failures, retry_after=retry_after, draw=draw)
    assert 0 <= pause <= schedule.LONGEST_RETRY_AFTER + schedule.LONGEST_BACKOFF / 10
    if retry_after is None:
        assert 0.1 <= pause <= schedule.LONGEST_BACKOFF
    else:
        assert pause >= min(retry_after, schedule.LONGEST_RETRY_AFTER)
