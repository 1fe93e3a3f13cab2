"""Redirects, seen from the hook and from tasks: no call takes the key to another address.

What each client does with each kind of answer is tested in the transport's room; here the receiving server
keeps the headers of whatever reaches it, whichever way the service sends people away.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hooks.hook_connections import MODES as HOOK_MODES
from hooks.hook_connections import Caller
from support.loopback_certificates import Certificates
from support.loopback_server import Connection, LoopbackServer, Received, answer, answers
from support.outcomes import both, operator_for, outcome
from support.service import CONN_VARIABLE, panel_flow
from support.tasks import MODES, Mode, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowRequestRefusedError,
    FlowStateUnknownError,
    FlowTimeoutError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor

KEY = "canary-redirect-key"
FLOW_ID = "11111111-2222-3333-4444-555555555555"
CODES = [301, 302, 303, 307, 308]


@dataclass(frozen=True, kw_only=True)
class Places:
    """A service, and the address it sends people to."""

    service: LoopbackServer
    elsewhere: LoopbackServer
    target: str

    @property
    def key_elsewhere(self) -> bool:
        """Whether the other address has seen the key, or any credentials."""
        seen = str([(one.target, one.headers, one.body) for one in self.elsewhere.requests])
        return KEY in seen or "authorization" in seen


@dataclass(frozen=True, kw_only=True)
class Way:
    """From which scheme to which, and under which name the other address goes."""

    service_tls: bool
    elsewhere_tls: bool
    host: str = "127.0.0.1"


WAYS = {
    "another port": Way(service_tls=False, elsewhere_tls=False),
    "another host": Way(service_tls=False, elsewhere_tls=False, host="localhost"),
    "https to http": Way(service_tls=True, elsewhere_tls=False),
    "http to https": Way(service_tls=False, elsewhere_tls=True),
    "https to another port": Way(service_tls=True, elsewhere_tls=True),
    "https to another host": Way(service_tls=True, elsewhere_tls=True, host="localhost"),
}
Visit = Callable[..., Places]


@pytest.fixture(params=WAYS)
def visit(
    request: pytest.FixtureRequest, serve: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Visit:
    """Give a function that opens both servers, as a script of the service says, and the connection to it."""
    way = WAYS[request.param]

    def context(tls: bool) -> Any:
        return certificates.server_context() if tls else None

    def make(reply: Callable[[Received, str], bytes]) -> Places:
        elsewhere = serve(
            answers(answer(200, b'{"id": "e1", "status": "Success"}')), tls=context(way.elsewhere_tls)
        )
        target = elsewhere.url.replace("127.0.0.1", way.host)

        def script(connection: Connection) -> None:
            while (received := connection.read_request()) is not None:
                connection.send(reply(received, target))

        service = serve(script, tls=context(way.service_tls))
        extra = json.dumps({"ca_bundle": str(certificates.authority)})
        given = {"conn_type": "smartflows", "host": service.url, "password": KEY, "extra": extra}
        monkeypatch.setenv(CONN_VARIABLE, json.dumps(given))
        return Places(service=service, elsewhere=elsewhere, target=target)

    return make


def away(status: int) -> Callable[[Received, str], bytes]:
    """Return a script that sends every request away, to an address with a secret of its own in the query."""

    def reply(received: Received, target: str) -> bytes:
        path = received.target.partition("?")[0]
        return answer(status, location=f"{target}{path}?token=canary-url")

    return reply


CALLS: dict[str, Callable[[Caller], object]] = {
    "start": lambda hook: hook.start(FLOW_ID, body=b"<a/>", content_type="application/xml"),
    "progress": lambda hook: hook.get_progress("e1"),
    "output": lambda hook: hook.get_output("e1"),
    "answer": lambda hook: hook.answer_form("e1", {"a": 1}),
    "cancel": lambda hook: hook.cancel("e1"),
    "event": lambda hook: hook.send_event("c1"),
    "list": lambda hook: hook.list_flows(),
    "document's data": lambda hook: hook.get_document("d1"),
}


@pytest.mark.parametrize("mode", HOOK_MODES)
@pytest.mark.parametrize("call", CALLS)
def test_no_call_of_the_hook_follows(visit: Visit, mode: Any, call: str) -> None:
    places = visit(away(307))
    with pytest.raises(FlowRequestRefusedError) as refused:
        CALLS[call](Caller(SmartFlowsHook(), mode))
    assert places.elsewhere.requests == []
    assert {one.headers["x-api-key"] for one in places.service.requests} == {KEY}
    message = str(refused.value)
    assert f"a redirect to {places.target}/" in message
    assert "set the connection's host to the address that really answers" in message
    assert "canary" not in message


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", CODES)
def test_no_task_follows_when_it_starts_a_run(visit: Visit, mode: Mode, status: int) -> None:
    places = visit(away(status))
    with pytest.raises(FlowRequestRefusedError, match="a redirect to") as refused:
        run_task(operator_for(mode, flow=FLOW_ID))
    assert places.elsewhere.requests == []
    assert refused.value.fate == "Nothing was started."


def sent_away_later(received: Received, target: str) -> bytes:
    if received.method == "POST":
        return answer(200, b'{"id": "e1", "status": "Running"}')
    return away(302)(received, target)


@pytest.mark.parametrize("mode", MODES)
def test_no_task_follows_while_it_waits(visit: Visit, mode: Mode) -> None:
    places = visit(sent_away_later)
    with pytest.raises(FlowStateUnknownError, match="a redirect to"):
        run_task(operator_for(mode, flow=FLOW_ID, max_outage=0.3))
    assert places.elsewhere.requests == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_no_sensor_follows(visit: Visit, deferrable: bool) -> None:
    places = visit(sent_away_later)
    sensor = SmartFlowsExecutionSensor(
        task_id="s", execution_id="e1", poke_interval=0.05, max_outage=0.3, deferrable=deferrable
    )
    with pytest.raises(FlowStateUnknownError, match="a redirect to"):
        run_task(sensor)
    assert places.elsewhere.requests == []


def test_no_kill_and_no_time_limit_follows(visit: Visit) -> None:
    places = visit(
        lambda received, target: (
            answer(200, b'{"id": "e1", "status": "Running"}')
            if received.method != "DELETE"
            else away(308)(received, target)
        )
    )
    for mode in MODES:
        with pytest.raises(FlowTimeoutError, match="a redirect to"):
            run_task(operator_for(mode, flow=FLOW_ID, timeout=0.2))
    operator = operator_for("sync", flow=FLOW_ID, wait_for_completion=False)
    run_task(operator)
    operator.on_kill()
    assert {one.method for one in places.service.requests} == {"GET", "POST", "DELETE"}
    assert places.elsewhere.requests == []


# --- documents, the one thing that may be elsewhere ---


@pytest.mark.parametrize("mode", HOOK_MODES)
def test_a_download_follows_without_the_key_and_never_away_from_https(visit: Visit, mode: Any) -> None:
    places = visit(away(302))
    call = Caller(SmartFlowsHook(), mode)
    if places.service.url.startswith("https:") and places.target.startswith("http:"):
        with pytest.raises(FlowRequestRefusedError, match="a redirect to http:"):
            call.download("d1")
        assert places.elsewhere.requests == []
    else:
        assert call.download("d1")[2] == b'{"id": "e1", "status": "Success"}'
        assert len(places.elsewhere.requests) == 1
    assert places.service.requests[0].headers["x-api-key"] == KEY
    assert not places.key_elsewhere


def test_a_tasks_documents_are_fetched_elsewhere_without_the_key(
    server: DevServer, serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.add_key(KEY)
    monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key=KEY))
    store = serve(answers(answer(200, b"%PDF-elsewhere", content_type="application/pdf")))
    server.add_flow(
        name="Letter",
        start_from="panel",
        templates={"page.j2": "<h1>Dear Ada</h1>"},
        steps=[{"id": "d1", "kind": "document", "template": "page.j2", "file_name": "a.pdf"}],
    )
    server.inject(Fault(action="redirect", path="/content$", location=f"{store.url}/a.pdf?sig=1", count=None))
    for mode in MODES:
        run = outcome(server, mode, documents_path=str(tmp_path / mode))
        (document,) = run.value["documents"]
        assert document["size"] == len(b"%PDF-elsewhere")
    assert [one.target for one in store.requests] == ["/a.pdf?sig=1"] * 2
    assert KEY not in str([one.headers for one in store.requests])


def test_a_sign_in_page_that_a_redirect_leads_to_is_no_answer(server: DevServer, serve: Any) -> None:
    sign_in = serve(answers(answer(200, b"<html>", content_type="text/html")))
    panel_flow(server)
    server.inject(
        Fault(action="redirect", method="POST", location=f"{sign_in.url}/in?key=canary", count=None)
    )
    run = both(server)
    assert type(run.error) is FlowRequestRefusedError
    assert f"a redirect to {sign_in.url}/in" in run.message
    assert "canary" not in run.message
    assert sign_in.requests == []
