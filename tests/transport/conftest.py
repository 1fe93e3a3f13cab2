"""Clients of both kinds, servers and certificates, in an environment without proxies and credentials."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from client_driving import Driver, Mode, settings_for
from loopback_certificates import Certificates, make_certificates
from loopback_server import Connection, LoopbackServer

from smartflows_provider.transport.repetition import NO_REPETITION, Repetition

Drive = Callable[..., Driver]
Serve = Callable[..., LoopbackServer]


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


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a maker of servers."""
    with ExitStack() as stack:

        def make(script: Callable[[Connection], None], **options: Any) -> LoopbackServer:
            return stack.enter_context(LoopbackServer(script, **options))

        yield make


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
