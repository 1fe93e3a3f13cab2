"""Does something to a task while it runs: from another thread, or in a signal handler as Airflow does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

T = TypeVar("T")
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
