"""The arithmetic of when to ask again: bounds that hold for every time, connection and outage."""

from __future__ import annotations

import pytest
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
    assert 0 <= hold <= longest
    assert hold <= max(0, remaining)


def test_a_young_wait_is_held_briefly_and_an_old_one_for_as_long_as_allowed() -> None:
    assert hold_for(0, longest=30, remaining=1e6) == 2.0
    assert hold_for(2, longest=30, remaining=1e6) == 28.0
    assert hold_for(1000, longest=30, remaining=1e6) == 30.0


def test_a_wait_whose_answers_are_held_asks_at_most_three_times_a_minute() -> None:
    asked, now = [], 0.0
    while now < 600:
        asked.append(now)
        now += hold_for(now, longest=30, remaining=1e6)
    assert max(sum(1 for at in asked if minute <= at < minute + 60) for minute in range(540)) == 3


@repeatable
@given(
    waited=seconds,
    poll_interval=st.floats(min_value=0.01, max_value=1e5),
    least=st.floats(min_value=0, max_value=1e5),
    draw=draws,
)
def test_a_pause_varies_by_a_quarter_and_is_never_longer_than_the_poll_interval(
    waited: float, poll_interval: float, least: float, draw: float
) -> None:
    pause = pause_after_answer(waited, poll_interval=poll_interval, least=least, draw=draw)
    shortest = pause_after_answer(waited, poll_interval=poll_interval, least=least, draw=0)
    assert pause <= poll_interval * 1.000001
    assert shortest >= min(poll_interval * 0.8, max(schedule.SHORTEST_PAUSE, least)) * 0.999999
    assert pause == pytest.approx(shortest * (1 + 0.25 * draw))


def test_where_many_wait_young_waits_pause_for_as_long_as_their_number_asks() -> None:
    assert pause_after_answer(0, poll_interval=60, least=20, draw=0) == 20
    assert pause_after_answer(0, poll_interval=60, least=500, draw=1) == 60


@repeatable
@given(poll_interval=st.floats(min_value=0.01, max_value=1e5), draw=draws)
def test_a_first_pause_is_any_up_to_the_full_one_but_a_second_at_least(
    poll_interval: float, draw: float
) -> None:
    first = pause_after_answer(0, poll_interval=poll_interval, least=1e6, first=True, draw=draw)
    assert first == pytest.approx(max(min(1.0, poll_interval * 0.8), poll_interval * 0.8 * draw))


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
