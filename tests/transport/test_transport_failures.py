"""Each way a request can fail, and whether the service can have taken it: the same in both clients."""

from __future__ import annotations

import gzip
import re
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from client_driving import CANARY, GET, START, everything_said
from support.loopback_certificates import Certificates
from support.loopback_server import Connection, answer, answers

from smartflows_provider.transport.errors import AnswerLost, AnswerTooLarge, NotSent, TransportError
from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.errors import UnreadableAnswer


def failure_of(call: Callable[[], Any]) -> TransportError:
    """Return the failure, which must tell nobody the key or the payload, chained or not."""
    with pytest.raises(TransportError) as caught:
        call()
    said = everything_said(caught.value)
    assert CANARY not in said
    assert "canary-payload" not in said
    return caught.value


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


@pytest.mark.parametrize("request_", [GET, START], ids=["get", "start"])
def test_a_refused_connection_was_not_sent(drive: Any, free_port: int, request_: Any) -> None:
    error = failure_of(lambda: drive(f"http://127.0.0.1:{free_port}").send(request_))
    assert (type(error), error.kind) == (NotSent, "refused")
    assert str(error) == (
        f"{request_.label} at 127.0.0.1:{free_port} was not sent: ConnectionRefusedError: Connection refused"
    )


def test_a_name_that_does_not_resolve_was_not_sent(drive: Any) -> None:
    error = failure_of(lambda: drive("http://no-such-host.invalid:8080").send(START))
    assert (type(error), error.kind) == (NotSent, "dns")
    assert str(error).startswith("POST /things at no-such-host.invalid:8080 was not sent: gaierror: ")


@contextmanager
def full_backlog() -> Iterator[int]:
    """Yield a port whose queue of waiting connections is full, so that a connect gets no answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for one in waiting:
                one.close()


def test_a_connect_that_nobody_answers_was_not_sent(drive: Any) -> None:
    with full_backlog() as port:
        error = failure_of(lambda: drive(f"http://127.0.0.1:{port}", connect_timeout=0.3).send(START))
    assert (type(error), error.kind) == (NotSent, "timeout")


def test_a_certificate_of_an_unknown_authority_was_not_sent(
    drive: Any, serve: Any, certificates: Certificates
) -> None:
    server = serve(answers(answer()), tls=certificates.server_context())
    error = failure_of(lambda: drive(server.url).send(START))
    assert (type(error), error.kind) == (NotSent, "tls")
    assert str(error) == (
        f"POST /things at 127.0.0.1:{server.port} was not sent: CERTIFICATE_VERIFY_FAILED: "
        "unable to get local issuer certificate"
    )
    assert server.requests == []


def test_a_certificate_of_another_host_was_not_sent(
    drive: Any, serve: Any, certificates: Certificates
) -> None:
    server = serve(answers(answer()), tls=certificates.server_context())
    client = drive(f"https://127.0.0.2:{server.port}", ca_bundle=str(certificates.authority))
    # The server listens on 127.0.0.1 alone, so that this one needs a listener of its own.
    with socket.create_server(("127.0.0.2", server.port)) as other:
        other.settimeout(10)
        with _relayed(other, server.port):
            error = failure_of(lambda: client.send(START))
    assert (type(error), error.kind) == (NotSent, "tls")
    assert "CERTIFICATE_VERIFY_FAILED: IP address mismatch" in str(error)


@contextmanager
def _relayed(listener: socket.socket, port: int) -> Iterator[None]:
    def relay() -> None:
        stream, _ = listener.accept()
        with stream:
            Connection(0, stream, None).relay("127.0.0.1", port)  # type: ignore[arg-type]

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    yield
    thread.join(10)


def test_https_at_a_port_that_speaks_http_was_not_sent(drive: Any, serve: Any) -> None:
    def script(connection: Connection) -> None:
        connection.stream.recv(1000)
        connection.send(answer(400, b""))

    server = serve(script)
    error = failure_of(lambda: drive(f"https://127.0.0.1:{server.port}").send(START))
    assert (type(error), error.kind) == (NotSent, "tls")


def test_http_at_a_port_that_speaks_https_may_have_been_taken(
    drive: Any, serve: Any, certificates: Certificates
) -> None:
    server = serve(answers(answer()), tls=certificates.server_context())
    error = failure_of(lambda: drive(f"http://127.0.0.1:{server.port}").send(START))
    assert (type(error), error.kind) == (AnswerLost, "reset")


def test_a_connection_that_ends_during_the_tls_handshake_was_not_sent(drive: Any, serve: Any) -> None:
    for script in (lambda connection: connection.reset(), lambda connection: connection.stream.recv(10)):
        error = failure_of(lambda script=script: drive(f"https://127.0.0.1:{serve(script).port}").send(START))
        assert type(error) is NotSent
        assert error.kind in {"reset", "tls"}


def test_a_tls_handshake_that_nobody_answers_was_not_sent(drive: Any, serve: Any) -> None:
    server = serve(lambda connection: connection.wait_for_client())
    client = drive(f"https://127.0.0.1:{server.port}", connect_timeout=0.3)
    error = failure_of(lambda: client.send(START))
    assert (type(error), error.kind) == (NotSent, "timeout")


@pytest.mark.parametrize("wrong", ["missing", "no certificate"])
@pytest.mark.parametrize("setting", ["ca_bundle", "client_cert"])
def test_an_unusable_certificate_file_is_found_before_anything_is_sent(
    drive: Any, serve: Any, certificates: Certificates, tmp_path: Path, *, setting: str, wrong: str
) -> None:
    server = serve(answers(answer()), tls=certificates.server_context())
    file = tmp_path / "file.pem"
    if wrong == "no certificate":
        file.write_text("nothing of use")
    settings = {"ca_bundle": str(certificates.authority), setting: str(file)}
    error = failure_of(lambda: drive(server.url, **settings).send(START))
    assert (type(error), error.kind) == (NotSent, "tls")
    assert server.requests == []


def lost(script: Callable[[Connection], None], kind: str = "reset", **settings: Any) -> Any:
    return pytest.param(script, kind, settings, id=script.__name__)


def reset_before_reading(connection: Connection) -> None:
    connection.stream.recv(1)
    connection.reset()


def reset_after_reading(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


def close_without_answer(connection: Connection) -> None:
    connection.read_request()


def never_answer(connection: Connection) -> None:
    connection.read_request()
    connection.wait_for_client()


def answer_garbage(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"\x00\x01 what is this?\r\n\r\n")


def cut_the_head(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Ty")


def cut_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer(200, b'{"id": ', content_length="100"))


def reset_in_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer(200, b'{"id": ', content_length="100"))
    connection.reset()


def cut_the_chunks(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer(200, b"5\r\nabcde\r\n", content_length="", transfer_encoding="chunked"))


def stall_in_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer(200, b'{"id": ', content_length="100"))
    connection.wait_for_client()


def pack_badly(connection: Connection) -> None:
    connection.read_request()
    connection.send(answer(200, b"this is not gzip at all", content_encoding="gzip"))


@pytest.mark.parametrize("request_", [GET, START], ids=["get", "start"])
@pytest.mark.parametrize(
    ("script", "kind", "settings"),
    [
        lost(reset_before_reading),
        lost(reset_after_reading),
        lost(close_without_answer),
        lost(never_answer, "timeout", read_timeout=0.3),
        lost(answer_garbage),
        lost(cut_the_body),
        lost(reset_in_the_body),
        lost(cut_the_chunks),
        lost(stall_in_the_body, "timeout", read_timeout=0.3),
        lost(pack_badly),
    ],
)
def test_what_happens_after_the_connection_stands_leaves_open_whether_it_was_taken(
    drive: Any,
    serve: Any,
    *,
    request_: Any,
    script: Callable[[Connection], None],
    kind: str,
    settings: dict[str, Any],
) -> None:
    server = serve(script)
    error = failure_of(lambda: drive(server.url, **settings).send(request_))
    assert (type(error), error.kind) == (AnswerLost, kind)
    assert re.match(
        f"{request_.label} at 127.0.0.1:{server.port} brought no answer: "
        f"|the answer to {request_.label} from 127.0.0.1:{server.port} broke off: ",
        str(error),
    )


@cache
def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b"\0" * 65_536) for _ in range(size // 65_536)) + packer.flush()


CHUNKED = b"10000\r\n" + b"x" * 65_536 + b"\r\n"

TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "announced": lambda: answer(200, b"x" * 2000),
    "announced, never sent": lambda: answer(200, b"x" * 10, content_length=str(10**15)),
    "in chunks": lambda: answer(200, CHUNKED * 4, content_length="", transfer_encoding="chunked"),
    "packed": lambda: answer(200, gzip.compress(b"x" * 2000), content_encoding="gzip"),
    "bomb": lambda: answer(200, bomb(200 * 1024 * 1024), content_encoding="gzip"),
    "error": lambda: answer(500, b"x" * 2000),
    "redirect": lambda: answer(302, b"x" * 2000, location="/x"),
    "redirect bomb": lambda: answer(302, bomb(50 * 1024 * 1024), location="/x", content_encoding="gzip"),
}


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_an_answer_over_the_limit_is_not_read_to_its_end(drive: Any, serve: Any, kind: str) -> None:
    server = serve(answers(TOO_LARGE[kind]()))
    client = drive(server.url, max_body_bytes=1000)
    tracemalloc.start()
    try:
        error = failure_of(lambda: client.send(GET))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (type(error), error.kind) == (AnswerTooLarge, "too_large")
    assert str(error) == "the answer to GET /things/1 is larger than 1000 bytes"
    assert peak < 30_000_000


def test_an_answer_whose_head_is_cut_never_looks_like_a_documented_one(drive: Any, serve: Any) -> None:
    with pytest.raises((AnswerLost, UnreadableAnswer)):
        drive(serve(cut_the_head).url).run(wire.start(flow_id="f"))


@pytest.mark.parametrize(
    "reply", [answer(200, b"x" * 1000), answer(200, gzip.compress(b"x" * 1000), content_encoding="gzip")]
)
def test_an_answer_of_just_the_limit_is_read(drive: Any, serve: Any, reply: bytes) -> None:
    assert drive(serve(answers(reply)).url, max_body_bytes=1000).send(GET).body == b"x" * 1000


def test_a_client_works_again_after_each_failure(drive: Any, serve: Any) -> None:
    def script(connection: Connection) -> None:
        if connection.number % 2 == 0:
            connection.read_request()
            connection.reset()
        else:
            answers(answer(200, b'{"ok": true}'))(connection)

    client = drive(serve(script).url)
    for _ in range(3):
        failure_of(lambda: client.send(START))
        assert client.send(START).json() == {"ok": True}


def test_a_download_that_breaks_off_is_an_error_that_names_the_server(drive: Any, serve: Any) -> None:
    server = serve(cut_the_body)
    error = failure_of(lambda: drive(server.url).download(GET))
    assert (type(error), error.kind) == (AnswerLost, "reset")
    assert str(error).startswith(f"the answer to GET /things/1 from 127.0.0.1:{server.port} broke off: ")


def test_a_redirect_that_cannot_be_read_is_no_crash(drive: Any, serve: Any) -> None:
    for location in ("https://[bad", "https://", "mailto:a@b.c"):
        client = drive(serve(answers(answer(302, location=location))).url)
        assert client.send(GET).status == 302
        assert client.download(GET)[0].status == 302
