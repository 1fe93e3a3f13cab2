"""Clients of both kinds, servers and certificates, in an environment without proxies and credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from client_driving import Driver, Mode, settings_for
from support.loopback import certificates, plain_environment, serve

from smartflows_provider.transport.repetition import NO_REPETITION, Repetition

__all__ = ["certificates", "plain_environment", "serve"]

Drive = Callable[..., Driver]


@pytest.fixture(params=["blocking", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


@pytest.fixture
def drive(mode: Mode) -> Iterator[Drive]:
    """Return a maker of clients: base URL and settings in, client out."""
    with ExitStack() as stack:

        def make(base_url: str, *, repetition: Repetition = NO_REPETITION, **settings: Any) -> Driver:
            driver = Driver(mode, settings_for(base_url, **settings), repetition=repetition)
            stack.callback(driver.close)
            return driver

        yield make
