"""A caller with the server's own key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from devserver_calling import Caller

from smartflows_provider.devserver.server import DevServer


@pytest.fixture
def caller(smart_flows_server: DevServer) -> Iterator[Caller]:
    one = Caller(smart_flows_server)
    yield one
    one.session.close()
