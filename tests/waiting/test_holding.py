"""What is learned about a service from how soon it answers."""

from __future__ import annotations

import pytest

from smartflows_provider.waiting.holding import PROOFS, ZERO_AGAIN, Holding


def answered(holding: Holding, wish: float, *, took: float, unchanged: bool = True, times: int = 1) -> None:
    for _ in range(times):
        holding.learn(holding.wish(wish), took=took, refused=False, unchanged=unchanged)


def test_a_hold_is_asked_for_as_long_as_it_is_honoured() -> None:
    holding = Holding()
    answered(holding, 30, took=30, times=10)
    assert holding.wish(30) == 30


@pytest.mark.parametrize(("tries_zero", "named"), [(False, 1.0), (True, 0.0)])
def test_a_hold_too_short_to_be_worth_it_is_none(tries_zero: bool, named: float) -> None:
    assert Holding(tries_zero=tries_zero).wish(1.9) == named
    assert Holding(tries_zero=tries_zero).wish(2.0) == 2.0


def test_holds_that_are_ignored_time_and_again_are_not_asked_for_but_by_new_waits() -> None:
    holding = Holding(tries_zero=True)
    answered(holding, 30, took=0.1, times=PROOFS - 1)
    assert holding.wish(30) == 30
    answered(holding, 30, took=0.1)
    assert holding.wish(30) == 0.0
    assert holding.wish(30, first=True) == 30


def test_a_new_wait_whose_hold_is_honoured_brings_holds_back() -> None:
    holding = Holding()
    answered(holding, 30, took=0.1, times=PROOFS)
    holding.learn(holding.wish(30, first=True), took=20, refused=False, unchanged=True)
    assert holding.wish(30) == 30


def test_an_answer_that_came_early_for_a_change_proves_nothing() -> None:
    holding = Holding()
    answered(holding, 30, took=0.1, unchanged=False, times=10)
    assert holding.wish(30) == 30


def test_a_rejected_hold_is_never_named_again() -> None:
    holding = Holding(tries_zero=True)
    holding.learn(30.0, took=0.1, refused=True, unchanged=True)
    assert holding.wish(30) is None
    assert holding.wish(0) is None
    assert holding.wish(30, first=True) is None


def test_where_zero_is_rejected_a_second_is_named_and_holds_go_on() -> None:
    holding = Holding(tries_zero=True)
    holding.learn(0.0, took=0.1, refused=True, unchanged=True)
    assert holding.wish(0) == 1.0
    assert holding.wish(30) == 30
    holding.learn(1.0, took=0.1, refused=True, unchanged=True)
    assert holding.wish(0) is None


def test_where_zero_is_held_time_and_again_a_second_is_named() -> None:
    holding = Holding(tries_zero=True)
    answered(holding, 0, took=30, times=PROOFS)
    assert holding.wish(0) == 1.0


def test_zero_is_tried_again_after_a_while_and_given_up_sooner_if_it_is_still_held() -> None:
    holding = Holding(tries_zero=True)
    answered(holding, 0, took=30, times=PROOFS)
    answered(holding, 0, took=1, times=ZERO_AGAIN)
    assert holding.wish(0) == 0.0
    answered(holding, 0, took=30)
    assert holding.wish(0) == 1.0


def test_a_zero_that_was_rejected_is_not_tried_again() -> None:
    holding = Holding(tries_zero=True)
    holding.learn(0.0, took=0.1, refused=True, unchanged=True)
    answered(holding, 0, took=1, times=2 * ZERO_AGAIN)
    assert holding.wish(0) == 1.0


def test_a_service_that_is_slow_once_is_still_asked_to_answer_at_once() -> None:
    holding = Holding(tries_zero=True)
    for _ in range(5):
        answered(holding, 0, took=30, times=PROOFS - 1)
        answered(holding, 0, took=0.2)
    assert holding.wish(0) == 0.0
