"""What no flow system gives away: its credential to another address or to a traceback, or a path to an id."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from support.airflow_versions import AirflowSensorTimeout
from support.loopback import Serve, plain_environment, serve
from support.loopback_server import Connection, answer, answers
from support.tasks import Mode
from support.telling import locals_of

from conformance.observing import both_modes, run
from conformance.systems import CANARY, CASES, Case
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import FlowException

__all__ = ["plain_environment", "serve"]

HOSTILE = [
    "../me",
    "a/b",
    "a?b=c",
    "a#b",
    "%2e%2e",
    "..;/x",
    "\\..\\x",
    "a\r\nX-Evil: 1",
    "//evil.example/x",
    "東京",
]
UNUSABLE = ["", ".", "..", "\ud800"]
HARMLESS = "harmless"


def sign_ins(has: Callable[[type[Case]], bool]) -> pytest.MarkDecorator:
    """Run a test over each way in which a credential travels."""
    kinds = [(kind, profile) for kind in CASES if has(kind) for profile in kind.sign_ins]
    ids = [f"{kind.name}-{profile}" for kind, profile in kinds]
    return pytest.mark.parametrize(("chosen", "profile"), kinds, ids=ids, indirect=["chosen"])


# --- redirects ---


@sign_ins(lambda kind: kind.runs)
@both_modes
def test_no_run_takes_the_credential_elsewhere(chosen: Case, profile: str, mode: Mode, serve: Serve) -> None:
    elsewhere = serve(answers(answer()))
    more = chosen.configure(profile)
    for path in (chosen.start_path, chosen.look_path):
        operator = chosen.operator(mode, seconds=3600.0, max_outage=0.3, timeout=5.0, **more)
        fault = Fault(action="redirect", path=path, location=f"{elsewhere.url}/x?key=canary", count=None)
        chosen.server.inject(fault)
        seen = run(operator)
        chosen.server.clear_faults()
        assert isinstance(seen.error, FlowException)
        assert f"a redirect to {elsewhere.url}/x" in seen.message
        assert "canary" not in seen.message
    assert elsewhere.requests == []


@sign_ins(lambda kind: kind.senses)
@pytest.mark.parametrize("mode", ["poke", "deferrable"])
def test_no_sensor_takes_the_credential_elsewhere(
    chosen: Case, profile: str, mode: str, serve: Serve
) -> None:
    elsewhere = serve(answers(answer()))
    chosen.configure(profile)
    run_id = chosen.begin(seconds=3600.0)
    chosen.server.inject(
        Fault(action="redirect", path=chosen.look_path, location=f"{elsewhere.url}/x", count=None)
    )
    seen = run(chosen.sensor(mode, run_id, max_outage=0.3))
    assert isinstance(seen.error, FlowException)
    assert f"a redirect to {elsewhere.url}/x" in seen.message
    assert elsewhere.requests == []


@sign_ins(lambda kind: True)
def test_no_sign_in_takes_the_credential_elsewhere(chosen: Case, profile: str, serve: Serve) -> None:
    elsewhere = serve(answers(answer()))
    chosen.configure(profile)
    chosen.server.inject(Fault(action="redirect", location=f"{elsewhere.url}/x", count=None))
    works, message = chosen.hook.test_connection()
    assert not works
    assert f"{elsewhere.url}/x" in message
    assert elsewhere.requests == []


# --- tracebacks ---

REFUSALS = [
    Fault(action="status", status=400, body='{"message": "no"}', count=None),
    Fault(action="status", status=401, count=None),
    Fault(action="status", status=500, count=None),
    Fault(action="html", count=None),
    Fault(action="truncated", count=None),
    Fault(action="reset", count=None),
]


@sign_ins(lambda kind: True)
@pytest.mark.parametrize("fault", REFUSALS, ids=lambda fault: f"{fault.action}-{fault.status}")
def test_no_frame_of_an_error_holds_the_credential(chosen: Case, profile: str, fault: Fault) -> None:
    more = chosen.configure(profile)
    task = (
        chosen.operator("sync", seconds=0.0, max_outage=0.1, **more)
        if chosen.runs
        else chosen.sensor("poke", chosen.begin(seconds=3600.0), max_outage=0.1)
    )
    chosen.server.inject(fault)
    error = run(task).error
    chosen.server.clear_faults()
    assert isinstance(error, FlowException)
    assert "self" in locals_of(error)
    assert CANARY not in locals_of(error)


# --- ids ---


def with_nothing(connection: Connection) -> None:
    """Answer as a service that has nothing of what it is asked for, but gives tokens."""
    while (received := connection.read_request()) is not None:
        gives = received.target.endswith("/token") or "token" in received.target
        connection.send(answer(200, b'{"access_token": "t"}') if gives else answer(404, b'{"message": "no"}'))


@pytest.mark.parametrize("word", HOSTILE, ids=ascii)
def test_an_id_stays_one_segment_of_the_address_or_is_refused(watched: Case, word: str, serve: Serve) -> None:
    service = serve(with_nothing)
    watched.connect(host=service.url, port=service.port)
    targets: dict[str, list[str]] = {}
    for one in (HARMLESS, word):
        service.requests.clear()
        seen = run(watched.sensor("poke", one, timeout=0.3, max_outage=0.1))
        assert isinstance(seen.error, FlowException | AirflowSensorTimeout)
        assert all("x-evil" not in received.headers for received in service.requests)
        targets[one] = [
            received.target.replace(quote(one, safe=""), HARMLESS) for received in service.requests
        ]
    assert set(targets[word]) <= set(targets[HARMLESS])


@pytest.mark.parametrize("word", UNUSABLE, ids=ascii)
def test_an_id_that_no_quoting_protects_is_refused_before_anything_is_sent(
    watched: Case, word: str, serve: Serve
) -> None:
    service = serve(with_nothing)
    watched.connect(host=service.url, port=service.port)
    seen = run(watched.sensor("poke", word))
    assert isinstance(seen.error, FlowException)
    assert [one.target for one in service.requests if "token" not in one.target] == []
