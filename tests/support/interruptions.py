"""Does something to a task while it runs: from another thread, or in a signal handler as Airflow does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from smartflows_provider.hooks.base import FlowSystemHook
from smartflows_provider.wire.messages import Exchange
from smartflows_provider.wire.run import NO_TERMS, Execution, Terms

T = TypeVar("T")
Act = Callable[[str], object]
Stop = Callable[[Callable[[], object]], None]


@contextmanager
def once(seen: Callable[[], T | None], act: Callable[[T], object]) -> Iterator[None]:
    """
    Act one time while the block runs; what that raises, the block raises at its end.

    :param seen: asked again and again until it returns something true, which is handed on.
    """
    over, failures = threading.Event(), []

    def watch() -> None:
        while not over.wait(0.02):
            found = seen()
            if found:
                try:
                    act(found)
                except Exception as error:  # noqa: BLE001 - raised by the test's own thread
                    failures.append(error)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
    if failures:
        raise failures[0]


def before_the_reading(monkeypatch: pytest.MonkeyPatch, hook: type[FlowSystemHook], act: Act) -> None:
    """Act each time before the whole of a run is read, which is after a wait has seen it end."""
    reading = hook.execution_exchange

    def act_first(self: FlowSystemHook, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[Execution]:
        act(execution_id)
        return reading(self, execution_id, terms=terms)

    monkeypatch.setattr(hook, "execution_exchange", act_first)


@pytest.fixture
def stop() -> Iterator[Stop]:
    """Give a function that runs something in a signal handler of the main thread, as Airflow runs on_kill."""
    handlers: list[Callable[[], object]] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: handlers.pop()())

    def run(handler: Callable[[], object]) -> None:
        handlers.append(handler)
        os.kill(os.getpid(), signal.SIGUSR1)

    yield run
    signal.signal(signal.SIGUSR1, before)
