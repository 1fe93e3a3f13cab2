"""How waits share a connection, as arithmetic and as an order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartflows_provider.waiting.crowd import Crowd, DueQueue, Place


def crowd(*poll_intervals: float) -> Crowd:
    made = Crowd()
    for poll_interval in poll_intervals:
        made.join(poll_interval)
    return made


# --- holds and pauses ---


@pytest.mark.parametrize("count", [1, 31, 32])
def test_as_long_as_each_wait_has_a_connection_of_its_own_nothing_bounds_a_hold(count: int) -> None:
    assert crowd(*[60.0] * count).longest_hold(32) == math.inf


@pytest.mark.parametrize("count", [33, 64, 200, 5000])
def test_beyond_that_all_are_asked_within_their_poll_interval_however_long_each_answer_is_held(
    count: int,
) -> None:
    hold = crowd(*[60.0] * count).longest_hold(32)
    assert count / 32 * hold <= 0.8 * 60 * 1.000001
    # Waits that begin together stay together, so that they go round in whole turns.
    assert 0.5 * 60 <= math.ceil(count / 32) * hold <= 60


def test_waits_with_a_short_poll_interval_shorten_the_holds_of_all() -> None:
    demand = 30 / 60 + 10 / 6
    assert crowd(*[60.0] * 30, *[6.0] * 10).longest_hold(32) == pytest.approx(40 / 2 / demand)
    assert crowd(*[60.0] * 90, *[6.0] * 10).longest_hold(32) == pytest.approx(100 / 4 / (90 / 60 + 10 / 6))
    assert crowd(*[60.0] * 86, *[6.0] * 10).longest_hold(32) == pytest.approx(0.8 * 32 / (86 / 60 + 10 / 6))


def test_short_polls_are_one_per_second_and_connection() -> None:
    assert crowd(*[60.0] * 640).least_pause(32) == 20


@pytest.mark.parametrize(("count", "most"), [(33, 10.5), (500, 10.5), (5000, 10.6), (10_000, 21.1)])
def test_shared_questions_are_few_and_reach_all_within_a_poll_interval(count: int, most: float) -> None:
    waits = crowd(*[60.0] * count)
    assert 60 / waits.shared_pause <= most * 1.000001
    assert waits.shared_pause * waits.pages <= 60


def test_a_crowd_that_has_left_leaves_nothing_behind() -> None:
    waits = crowd(0.1, 0.7, 60.0)
    for poll_interval in (0.7, 60.0, 0.1):
        waits.leave(poll_interval)
    assert waits == Crowd()


# --- the order ---


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 100), st.booleans()), max_size=60))
def test_places_are_taken_in_the_order_in_which_they_are_due_wherever_they_were_before(
    moves: list[tuple[int, float, bool]],
) -> None:
    queue: DueQueue[int] = DueQueue()
    places = [Place(item=number, until=0.0) for number in range(10)]
    due: dict[int, float] = {}
    for number, moment, stays in moves:
        due.pop(number, None)
        if stays:
            queue.put(places[number], moment)
            due[number] = moment
        else:
            places[number].leave()
    assert sorted(place.item for place in queue.places()) == sorted(due)
    taken = [place.item for place in queue.take(100, now=-1)]
    assert [due[number] for number in taken] == sorted(due.values())
    assert sorted(taken) == sorted(due)
    assert queue.first(now=100) is None


def test_of_those_that_are_due_together_the_first_to_come_is_the_first_to_go() -> None:
    queue: DueQueue[str] = DueQueue()
    for item in ("a", "b", "c"):
        queue.put(Place(item=item, until=60.0), 5.0)
    assert [place.item for place in queue.take(2, now=6)] == ["a", "b"]


def test_of_those_whose_moment_has_come_the_one_goes_first_that_can_wait_the_least() -> None:
    queue: DueQueue[str] = DueQueue()
    for item, due, until in (("patient", 1.0, 61.0), ("hasty", 3.0, 13.0), ("early", 9.0, 10.0)):
        queue.put(Place(item=item, until=until), due)
    assert [place.item for place in queue.take(3, now=5)] == ["hasty", "patient", "early"]


def test_one_whose_moment_has_come_can_be_moved_and_taken_out() -> None:
    queue: DueQueue[str] = DueQueue()
    moved, gone = Place(item="moved", until=10.0), Place(item="gone", until=5.0)
    for place in (moved, gone):
        queue.put(place, 1.0)
    assert queue.first(now=2) is gone
    gone.leave()
    queue.put(moved, 8.0)
    assert queue.places() == [moved]
    assert queue.first(now=2) is moved
    assert list(queue.take(5, now=2)) == [moved]


def test_what_is_looked_at_stays() -> None:
    queue: DueQueue[str] = DueQueue()
    place = Place(item="a", until=60.0)
    queue.put(place, 5.0)
    assert queue.first(now=0) is queue.first(now=9) is place
