"""What goes over the wire, on which connection, and what comes back: the same from both clients."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from client_driving import CANARY, GET, START, Driver, Mode, settings_for
from support.loopback_server import Connection, answer, answers

from smartflows_provider import __version__
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.transport.errors import AnswerLost, TransportError
from smartflows_provider.transport.repetition import Repetition
from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.errors import KeyRefused
from smartflows_provider.wire.messages import Request, Response, segment


def test_a_call_carries_the_key_the_version_and_what_the_wire_says(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(200, b'{"id": 1}', x_more="yes")))
    response = drive(server.url).send(
        Request(
            method="POST",
            path="/things",
            query=(("flowId", "a b&c"), ("q", "é")),
            headers=(("Content-Type", 'application/xml; charset="utf-8"'),),
            body=b"<a/>",
        )
    )
    assert (response.status, response.json(), response.headers["x-more"]) == (200, {"id": 1}, "yes")
    (received,) = server.requests
    assert received.method == "POST"
    assert received.target.replace("+", "%20") == "/api/v1/things?flowId=a%20b%26c&q=%C3%A9"
    assert received.body == b"<a/>"
    headers = received.headers
    assert headers["x-api-key"] == CANARY
    assert headers["user-agent"] == f"airflow-provider-smartflows/{__version__}"
    assert headers["accept"] == "application/json"
    assert headers["content-type"] == 'application/xml; charset="utf-8"'
    assert headers["content-length"] == "4"
    assert "authorization" not in headers
    assert "cookie" not in headers


def test_both_clients_send_the_same_headers(serve: Any, tmp_path: Path) -> None:
    file = tmp_path / "secret-name.xml"
    file.write_bytes(b"<a/>")
    xml = (("Content-Type", "application/xml"),)
    seen = []
    modes: tuple[Mode, ...] = ("blocking", "async")
    for mode in modes:
        server = serve(answers(answer()))
        driver = Driver(mode, settings_for(server.url))
        for request in (
            GET,
            START,
            Request(method="POST", path="/empty", repeatable=False),
            Request(method="DELETE", path="/x"),
            Request(method="POST", path="/file", headers=xml, body=file),
        ):
            driver.send(request)
        driver.close()
        ignored = {"host", "connection", "accept-encoding"}
        seen.append(
            [
                {name: value for name, value in one.headers.items() if name not in ignored}
                for one in server.requests
            ]
        )
    assert seen[0] == seen[1]
    assert [one.get("content-type") for one in seen[0]] == [None, "text/plain", None, None, "application/xml"]


@pytest.mark.parametrize("hostile", ["../users/me", "a/b", "a?b", "%2e%2e", "a\r\nX: 1", "a b+c", "%252F"])
def test_a_quoted_id_reaches_the_service_as_it_was_quoted(drive: Any, serve: Any, hostile: str) -> None:
    server = serve(answers(answer()))
    drive(server.url).send(Request(method="GET", path=f"/things/{segment(hostile)}"))
    assert server.requests[0].target == f"/api/v1/things/{segment(hostile)}"


def test_repeatable_calls_share_a_connection(drive: Any, serve: Any) -> None:
    server = serve(answers(answer()))
    client = drive(server.url)
    for _ in range(4):
        client.send(GET)
    assert (server.connections, len(server.requests)) == (1, 4)


def test_a_call_that_must_not_be_doubled_never_travels_on_an_old_connection(drive: Any, serve: Any) -> None:
    server = serve(answers(answer()))
    client = drive(server.url)
    for request in (GET, START, START, GET, START):
        client.send(request)
    used: dict[int, list[str]] = {}
    for received in server.requests:
        used.setdefault(received.connection, []).append(received.method)
    assert all("POST" not in methods[1:] for methods in used.values()), used


def test_a_start_is_safe_from_a_service_that_has_closed_idle_connections(drive: Any, serve: Any) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer())

    server = serve(script)
    client = drive(server.url)
    for _ in range(5):
        client.send(START)
    assert len(server.requests) == 5


@pytest.mark.parametrize("size", [1, 3_000_000])
def test_a_file_is_streamed_with_its_length(drive: Any, serve: Any, tmp_path: Path, size: int) -> None:
    file = tmp_path / "input.xml"
    file.write_bytes(b"x" * size)
    server = serve(answers(answer()))
    client = drive(server.url)
    for repeatable in (True, False):
        client.send(Request(method="POST", path="/things", body=file, repeatable=repeatable))
    for received in server.requests:
        assert len(received.body) == size
        assert received.headers["content-length"] == str(size)
        assert "transfer-encoding" not in received.headers
        assert "content-disposition" not in received.headers


def test_a_file_is_sent_from_its_beginning_when_a_call_is_repeated(
    drive: Any, serve: Any, tmp_path: Path
) -> None:
    file = tmp_path / "input.xml"
    file.write_bytes(b"x" * 100_000)
    server = serve(answers(answer(429, retry_after="0"), answer()))
    client = drive(server.url, repetition=Repetition(first_pause=0.001))
    assert client.send(Request(method="POST", path="/t", body=file, repeatable=False)).status == 200
    assert [len(received.body) for received in server.requests] == [100_000, 100_000]


def test_a_file_is_sent_whole_once_the_service_can_be_reached(drive: Any, serve: Any, tmp_path: Path) -> None:
    file = tmp_path / "input.xml"
    file.write_bytes(b"x" * 300_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    servers = []

    class UpAfterTheFirstTry(Repetition):
        def pause(self, tries: int, response: Response | None) -> float:
            if tries == 2:
                servers.append(serve(answers(answer()), port=port))
            return 0.0

    client = drive(f"http://127.0.0.1:{port}", repetition=UpAfterTheFirstTry())
    assert client.send(Request(method="POST", path="/t", body=file, repeatable=False)).status == 200
    assert [len(received.body) for received in servers[0].requests] == [300_000]


def test_a_file_whose_upload_is_turned_away_in_the_middle_is_sent_whole_again(
    drive: Any, serve: Any, tmp_path: Path
) -> None:
    file = tmp_path / "input.xml"
    file.write_bytes(b"x" * 8_000_000)
    bodies: list[int] = []

    def script(connection: Connection) -> None:
        if connection.number == 0:
            connection.stream.recv(65_536)
            connection.send(answer(429, retry_after="0", connection="close"))
            connection.stream.shutdown(socket.SHUT_WR)
            connection.wait_for_client()
        elif received := connection.read_request():
            bodies.append(len(received.body))
            connection.send(answer())

    client = drive(serve(script).url, repetition=Repetition(first_pause=0.001))
    assert client.send(Request(method="POST", path="/t", body=file, repeatable=False)).status == 200
    assert bodies == [8_000_000]


def test_a_file_that_is_missing_is_the_callers_error(drive: Any, serve: Any, tmp_path: Path) -> None:
    client = drive(serve(answers(answer())).url)
    with pytest.raises(FileNotFoundError):
        client.send(Request(method="POST", path="/t", body=tmp_path / "none", repeatable=False))


def test_an_answer_that_is_held_longer_than_the_read_limit_arrives(
    drive: Any, smart_flows_server: DevServer
) -> None:
    flow = smart_flows_server.add_flow(name="Slow", steps=[{"duration": 1.2}])
    client = drive(smart_flows_server.url, auth_headers={"X-API-Key": smart_flows_server.api_key})
    client.client.settings = type(client.client.settings)(
        **{**vars(client.client.settings), "read_timeout": 0.4}
    )
    started = client.run(wire.start(flow_id=flow.id))
    began = time.monotonic()
    seen = client.run(wire.progress(started.execution_id, hold_seconds=20))
    assert seen.status == "Success"
    assert time.monotonic() - began > 0.5


def test_a_whole_life_runs_over_either_client(drive: Any, smart_flows_server: DevServer) -> None:
    flow = smart_flows_server.add_flow(
        name="Ask", steps=[{"kind": "form", "fields": [{"key": "name", "title": "Name"}]}]
    )
    client = drive(smart_flows_server.url, auth_headers={"X-API-Key": smart_flows_server.api_key})
    started = client.run(wire.start_flow("Ask"))
    assert started.status == "UserInput"
    assert client.run(wire.answer_form(started.execution_id, {"name": "Ada"})).execution_id
    assert client.run(wire.progress(started.execution_id, hold_seconds=5)).status == "Success"
    found = client.run(wire.find_executions(flow=flow.id))
    assert [one.id for one in found] == [started.execution_id]


def test_an_error_of_the_wire_leaves_the_client_usable(drive: Any, smart_flows_server: DevServer) -> None:
    smart_flows_server.add_key(CANARY)
    client = drive(smart_flows_server.url)
    smart_flows_server.revoke_key(CANARY)
    with pytest.raises(KeyRefused) as caught:
        client.run(wire.current_user())
    assert CANARY not in str(caught.value)
    smart_flows_server.add_key(CANARY)
    assert client.run(wire.current_user()).name.startswith("Devserver super user")


def test_a_key_that_the_service_repeats_is_not_shown(drive: Any, serve: Any) -> None:
    words = f'{{"message": "The key {CANARY} was revoked"}}'.encode()
    client = drive(serve(answers(answer(401, words))).url)
    with pytest.raises(KeyRefused) as caught:
        client.run(wire.current_user())
    assert str(caught.value) == "GET /users/me was answered with 401: The key *** was revoked"
    assert CANARY not in client.download(GET)[0].body.decode()


def test_an_exchange_is_closed_when_its_call_fails(drive: Any) -> None:
    closed = []

    def exchange() -> Any:
        try:
            yield GET
        finally:
            closed.append(True)

    with pytest.raises(TransportError):
        drive("http://no-such-host.invalid").run(exchange())
    assert closed == [True]


def test_cookies_are_not_kept(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(200, set_cookie="session=1; Path=/")))
    client = drive(server.url)
    client.send(GET)
    client.send(GET)
    assert "cookie" not in server.requests[1].headers


def test_a_closed_client_opens_again(drive: Any, serve: Any) -> None:
    client = drive(serve(answers(answer())).url)
    client.send(GET)
    if client.mode == "blocking":
        client.client.close()
    else:
        client._runner.run(client.client.close())
    assert client.send(GET).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_what_must_not_be_doubled_is_sent_once_whatever_its_method(
    drive: Any, serve: Any, method: Any
) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.reset()

    server = serve(script)
    with pytest.raises(AnswerLost):
        drive(server.url).send(Request(method=method, path="/start", repeatable=False))
    assert len(server.requests) == 1
