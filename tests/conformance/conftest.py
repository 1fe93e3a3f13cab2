"""A server with every system, and one case after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from conformance.systems import CASES, Case, info_with_toy
from smartflows_provider.devserver import sections
from smartflows_provider.devserver.server import DevServer, running_server
from smartflows_provider.lifecycle import systems
from smartflows_provider.transport import blocking
from smartflows_provider.transport.repetition import Repetition
from smartflows_provider.waiting import schedule


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DevServer]:
    """All systems on one port, and repetitions that follow at once."""
    monkeypatch.setattr(blocking, "Repetition", partial(Repetition, first_pause=0.01, longest_pause=0.05))
    for reader in (systems, sections):
        monkeypatch.setattr(reader, "get_provider_info", info_with_toy)
    # What a pause after a failure is like, the tests of waiting show.
    monkeypatch.setattr(schedule, "LONGEST_BACKOFF", 0.1)
    with running_server(state=tmp_path / "state.sqlite") as running:
        yield running


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over the systems that have what it asks for by the name of its fixture."""
    wanted = {
        "case": lambda one: True,
        "runner": lambda one: one.runs,
        "watched": lambda one: one.senses,
        "stopper": lambda one: one.runs and one.stops,
        "particular_runner": lambda one: one.runs and one.own_terms,
        "particular_watched": lambda one: one.senses and one.own_terms,
    }
    for name, has in wanted.items():
        if name in metafunc.fixturenames:
            kinds = [one for one in CASES if has(one)]
            metafunc.parametrize(name, kinds, ids=[one.name for one in kinds], indirect=True)


def _made(request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Case:
    kind: type[Case] = request.param
    return kind(server, monkeypatch)


@pytest.fixture
def case(request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Any system."""
    return _made(request, server, monkeypatch)


@pytest.fixture
def runner(request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A system with an operator that starts runs."""
    return _made(request, server, monkeypatch)


@pytest.fixture
def stopper(request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A system whose runs can be stopped."""
    return _made(request, server, monkeypatch)


@pytest.fixture
def watched(request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A system with a sensor."""
    return _made(request, server, monkeypatch)


@pytest.fixture
def particular_runner(
    request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> Case:
    """A system with an operator that is told what to wait for."""
    return _made(request, server, monkeypatch)


@pytest.fixture
def particular_watched(
    request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> Case:
    """A system with a sensor that is told what to wait for."""
    return _made(request, server, monkeypatch)


@pytest.fixture
def chosen(request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Case:
    """The system that a test names itself."""
    return _made(request, server, monkeypatch)
