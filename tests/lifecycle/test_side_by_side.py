"""Pieces of work in threads: order, failures, and what becomes of those that do not stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import pytest

from smartflows_provider.lifecycle import side_by_side as module
from smartflows_provider.lifecycle.side_by_side import Halt, Stopped, side_by_side

PATIENCE = 30.0


def do(work: Iterable[Callable[[], Any]], *, halt: Halt | None = None, **options: Any) -> list[Any]:
    given = {"limit": 4, "check": lambda: None, "break_off": lambda: None, **options}
    return side_by_side(work, halt=halt or Halt(), **given)


def test_results_come_in_the_order_of_the_work() -> None:
    gates = [threading.Event() for _ in range(4)]

    def piece(number: int) -> Callable[[], int]:
        def run() -> int:
            if number < 3:
                assert gates[number + 1].wait(PATIENCE)
            gates[number].set()
            return number

        return run

    assert do(piece(number) for number in range(4)) == [0, 1, 2, 3]
    assert do([]) == []


def test_work_sees_the_context_of_its_caller() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("the task's")
    assert do([variable.get, variable.get]) == ["the task's"] * 2


def test_the_first_failure_is_raised_and_what_has_not_begun_never_does() -> None:
    begun: list[int] = []

    def piece(number: int) -> Callable[[], None]:
        def run() -> None:
            begun.append(number)
            if number == 1:
                raise ValueError("the second")

        return run

    with pytest.raises(ValueError, match="the second"):
        do([piece(number) for number in range(100)], limit=1)
    assert len(begun) < 100


def test_a_failure_breaks_off_what_the_others_wait_for() -> None:
    broken, told = threading.Event(), []

    def wait() -> None:
        if broken.wait(PATIENCE):
            told.append(True)

    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        do([wait, wait, fail], break_off=broken.set)
    assert told == [True, True]


def test_work_that_does_not_stop_in_time_is_left_and_finishes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.1)
    halt, stuck, freed, left = Halt(), threading.Event(), threading.Event(), threading.Event()
    finished: list[Any] = []

    def deaf() -> None:
        def pieces() -> Any:
            yield 1
            stuck.set()
            assert freed.wait(PATIENCE)

        try:
            finished.append(list(halt.until(pieces())))
        except Stopped:
            left.set()

    def check() -> None:
        if stuck.is_set():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do([deaf], halt=halt, check=check)
    freed.set()
    assert left.wait(PATIENCE)
    assert finished == []
