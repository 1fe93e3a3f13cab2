"""One blocking client in several threads, and giving it up while they use it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from client_driving import GET, START, settings_for
from support.loopback_certificates import Certificates
from support.loopback_server import Connection, answer, answers

from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.errors import Abandoned, AnswerLost, TransportError
from smartflows_provider.transport.repetition import Repetition
from smartflows_provider.wire.messages import Request
from smartflows_provider.wire.smart_flows import document_content


def named(connection: Connection) -> None:
    """Answer each request with its own path, in small pieces."""
    while (request := connection.read_request()) is not None:
        body = request.target.encode() * 2000
        connection.send(answer(200, b"", content_length=str(len(body))))
        for start in range(0, len(body), 7001):
            connection.send(body[start : start + 7001])


def test_threads_get_their_own_answers_and_a_start_never_an_old_connection(serve: Any) -> None:
    server = serve(named)

    def work(number: int) -> None:
        for count in range(15):
            request = Request(method="GET", path=f"/things/{number}-{count}")
            expected = f"/api/v1{request.path}".encode() * 2000
            assert client.send(request).body == expected
            with client.stream(request) as (_, chunks):
                assert b"".join(chunks) == expected
            client.send(START)

    with BlockingClient(settings_for(server.url)) as client, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, number) for number in range(4)]:
            done.result(60)
    assert len(server.requests) == 4 * 15 * 3
    starts = [one.connection for one in server.requests if one.method == "POST"]
    assert len(starts) == len(set(starts)) == 60
    assert not set(starts) & {one.connection for one in server.requests if one.method == "GET"}


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    """Start a call in a thread that ends with the process at the latest."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def silent(connection: Connection) -> None:
    connection.read_request()
    connection.wait_for_client()


def silent_in_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer(200, b"x", content_length="1000"))
    connection.wait_for_client()


def endless_in_chunks(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(OSError):
        while True:
            connection.send(b"5\r\n12345\r\n")


@pytest.mark.parametrize("script", [silent, silent_in_the_body, endless_in_chunks])
@pytest.mark.parametrize("tls", [False, True])
def test_giving_a_client_up_ends_what_other_threads_wait_for(
    serve: Any, certificates: Certificates, script: Any, tls: bool
) -> None:
    server = serve(script, tls=certificates.server_context() if tls else None)
    settings = settings_for(server.url, read_timeout=60, ca_bundle=str(certificates.authority))
    client = BlockingClient(settings, repetition=Repetition())

    def download() -> None:
        with client.stream(document_content("d1")) as (_, chunks):
            for _ in chunks:
                pass

    began = time.monotonic()
    waiting = in_thread(download)
    while not server.requests:
        time.sleep(0.01)
    time.sleep(0.1)
    client.abandon()
    with pytest.raises(AnswerLost):
        waiting.result(10)
    assert time.monotonic() - began < 10


def through_the_tunnel(connection: Connection) -> None:
    request = connection.read_request()
    if request is not None:
        host, _, port = request.target.rpartition(":")
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection.relay(host, int(port))


def test_giving_a_client_up_ends_what_waits_behind_a_proxy_that_is_spoken_to_over_tls(
    serve: Any, certificates: Certificates
) -> None:
    server = serve(silent_in_the_body, tls=certificates.server_context())
    way = serve(through_the_tunnel, tls=certificates.server_context())
    client = BlockingClient(
        settings_for(server.url, read_timeout=60, proxy=way.url, ca_bundle=str(certificates.authority))
    )

    def download() -> None:
        with client.stream(document_content("d1")) as (_, chunks):
            for _ in chunks:
                pass

    waiting = in_thread(download)
    while not server.requests and not waiting.done():
        time.sleep(0.01)
    time.sleep(0.1)
    client.abandon()
    with pytest.raises(AnswerLost):
        waiting.result(10)


def test_a_client_that_was_given_up_sends_nothing_and_does_not_try_again(serve: Any) -> None:
    server = serve(answers(answer()))
    client = BlockingClient(settings_for(server.url), repetition=Repetition(first_pause=30))
    assert client.send(GET).status == 200
    client.abandon()
    for request in (GET, START):
        with pytest.raises(Abandoned, match="was given up"):
            client.send(request)
    assert len(server.requests) == 1


def test_a_connection_that_comes_about_too_late_is_ended(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(silent)
    client = BlockingClient(settings_for(server.url, read_timeout=60), repetition=Repetition(attempts=1))
    connect = client._opened.add

    def give_up_first(opened: Any) -> None:
        client.abandon()
        connect(opened)

    monkeypatch.setattr(client._opened, "add", give_up_first)
    with pytest.raises(TransportError):
        in_thread(lambda: client.send(GET)).result(10)
