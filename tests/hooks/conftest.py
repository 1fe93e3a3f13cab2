"""One server for all tests of a module, without faults at the start of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smartflows_provider.devserver.profiles import Profile
from smartflows_provider.devserver.server import DevServer, running_server


@pytest.fixture(scope="module")
def module_server() -> Iterator[DevServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(module_server: DevServer) -> DevServer:
    module_server.clear_faults()
    module_server.clear_requests()
    module_server.profile = Profile()
    module_server.add_key(module_server.api_key)
    return module_server
