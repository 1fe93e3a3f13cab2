"""Answers that are too long, too slow, packed without measure or cut off: clear errors in bounded time."""

from __future__ import annotations

import gzip
import random
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from client_driving import GET, Mode
from support.loopback_server import Connection, answer, answers
from support.peak_memory import run_script

from smartflows_provider.transport.errors import AnswerLost, AnswerPacked, AnswerTooLarge
from smartflows_provider.transport.pace import LEAST_RATE, Pace, TooSlow
from smartflows_provider.transport.packing import PIECE, PackingBroken, Unpacker
from smartflows_provider.wire.smart_flows import document_content

DOCUMENT = document_content("d1")
SEND, DOWNLOAD = "send", "download"
TEN_GIGABYTES = str(10 * 10**9)


@pytest.fixture(params=[SEND, DOWNLOAD])
def fetch(request: pytest.FixtureRequest, drive: Any) -> Callable[..., bytes]:
    """Fetch from a server, as an API answer or as a document, over each client."""

    def run(url: str, **settings: Any) -> bytes:
        client = drive(url, **{"read_timeout": 0.4, **settings})
        return client.send(GET).body if request.param == SEND else client.download(DOCUMENT)[1]

    return run


def says(*pieces: bytes, pause: float = 0.0) -> Callable[[Connection], None]:
    """Return a script that answers with bytes as they are, and hangs up."""

    def script(connection: Connection) -> None:
        connection.read_request()
        for piece in pieces:
            connection.send(piece)
            time.sleep(pause)

    return script


def drips(head: bytes, *, drop: bytes = b"1") -> Callable[[Connection], None]:
    """Return a script that sends a byte now and then until the client has had enough."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(head)
        for _ in range(200):
            connection.send(drop)
            time.sleep(0.1)

    return script


# --- how long an answer is ---


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a: b\r\n"),
    ],
    ids=["announcements", "head", "trailer"],
)
def test_lines_around_the_body_that_have_no_end_are_given_up(
    fetch: Any, serve: Any, begins: bytes, goes_on: bytes
) -> None:
    sent = []

    def script(connection: Connection) -> None:
        connection.read_request()
        with suppress(OSError):
            connection.send(begins)
            while len(sent) < 1000:
                connection.send(goes_on * 2000)
                sent.append(True)

    with pytest.raises(AnswerLost):
        fetch(serve(script).url)
    assert len(sent) < 1000


def test_an_api_answer_of_ten_gigabytes_is_refused_at_once(drive: Any, serve: Any) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer(200, b"", content_length=TEN_GIGABYTES))
        connection.wait_for_client()

    server = serve(script)
    began = time.monotonic()
    with pytest.raises(AnswerTooLarge):
        drive(server.url, read_timeout=20).send(GET)
    assert time.monotonic() - began < 5


def test_ten_gigabytes_that_never_come_end_by_the_read_limit(drive: Any, serve: Any) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer(200, b"x" * 1000, content_length=TEN_GIGABYTES))
        connection.wait_for_client()

    with pytest.raises(AnswerLost, match="broke off") as caught:
        drive(serve(script).url, read_timeout=0.4).download(DOCUMENT)
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(answer(200, b"12345", content_length="6"), id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n12345", id="chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="no-chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n", id="head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: applica", id="line-of-head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="name-in-head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="no-head"),
        pytest.param(b"HTTP/1.1 2", id="first-line"),
    ],
)
def test_an_answer_that_is_cut_off_anywhere_is_lost(fetch: Any, serve: Any, cut: bytes) -> None:
    with pytest.raises(AnswerLost):
        fetch(serve(says(cut)).url)


def test_what_comes_beyond_the_length_is_no_part_of_any_answer(mode: Mode, drive: Any, serve: Any) -> None:
    client = drive(serve(answers(answer(200, b"12345", content_length="4"), answer(200, b"next"))).url)
    if mode == "blocking":
        assert client.send(GET).body == b"1234"
    else:
        with pytest.raises(AnswerLost):
            client.send(GET)
    assert client.send(GET).body == b"next"


# --- how fast it comes ---


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"1", id="head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: 1\r\n", b"X: 1\r\n", id="lines-of-head"),
        pytest.param(answer(200, b"", content_length=TEN_GIGABYTES), b"1", id="document"),
        pytest.param(answer(200, b"", content_length="60000"), b"1", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n1\r\n", id="chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=", b"1", id="line-of-chunk"),
    ],
)
def test_an_answer_of_which_a_byte_comes_now_and_then_is_given_up(
    fetch: Any, serve: Any, head: bytes, drop: bytes
) -> None:
    began = time.monotonic()
    with pytest.raises((AnswerLost, AnswerTooLarge)) as caught:
        fetch(serve(drips(head, drop=drop)).url)
    assert time.monotonic() - began < 10
    assert caught.value.kind in {"timeout", "too_large"}
    assert "CancelledError" not in str(caught.value)


def test_a_rate_that_is_just_enough_is_waited_for(fetch: Any, serve: Any) -> None:
    piece = b"x" * 400
    script = says(answer(200, b"", content_length="4000"), *[piece] * 10, pause=0.1)
    assert fetch(serve(script).url) == piece * 10


def test_time_that_the_receiver_takes_is_not_held_against_the_service() -> None:
    pace = Pace(10)
    for _ in range(100):
        pace.received(1, waited=0.09)


def test_the_pace_is_an_average_over_the_read_limit_and_the_wait_for_the_first_byte_is_free() -> None:
    pace = Pace(10)
    pace.received(1, waited=9.9)
    pace.received(10 * LEAST_RATE, waited=9.9)
    pace.received(1, waited=0.2)
    with pytest.raises(TooSlow, match=r"only 10239 bytes came in 10 s"):
        pace.received(10 * LEAST_RATE - 1, waited=10)
    Pace(None).received(0, waited=1e9)


def test_a_slow_answer_says_so(drive: Any, serve: Any) -> None:
    server = serve(drips(answer(200, b"", content_length="60000")))
    with pytest.raises(AnswerLost, match=r"broke off: only \d bytes came in \d s"):
        drive(server.url, read_timeout=0.4).send(GET)


# --- how it is packed ---


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def in_two_packs(data: bytes) -> bytes:
    return gzip.compress(data[:5]) + gzip.compress(data[5:])


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", in_two_packs),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
        ("gzip", lambda data: b""),
    ],
)
def test_a_packed_answer_is_unpacked(fetch: Any, serve: Any, encoding: str, pack: Any) -> None:
    content = b'{"text": "' + b"ab" * PIECE + b'"}'
    packed = pack(content)
    received = fetch(serve(answers(answer(200, packed, content_encoding=encoding))).url)
    assert received == (content if packed else b"")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip,br", "compress", "x" * 3000])
def test_a_packing_that_was_not_asked_for_is_refused(fetch: Any, serve: Any, encoding: str) -> None:
    server = serve(answers(answer(200, b"12345", content_encoding=encoding)))
    with pytest.raises(AnswerPacked, match="which was not asked for") as caught:
        fetch(server.url)
    assert len(str(caught.value)) < 200
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (gzip.compress(b"12345" * 1000)[:-4], "the end of its packed bytes is missing"),
        (b"no gzip at all", "its packed bytes are damaged"),
        (gzip.compress(b"12345") + b"rest", "its packed bytes are damaged"),
    ],
    ids=["cut", "not-packed", "followed"],
)
def test_a_damaged_pack_is_a_lost_answer(fetch: Any, serve: Any, packed: bytes, words: str) -> None:
    with pytest.raises(AnswerLost, match=words):
        fetch(serve(answers(answer(200, packed, content_encoding="gzip"))).url)


def test_pieces_have_a_limit_whatever_was_packed_into_them() -> None:
    for packed in (gzip.compress(bytes(50_000_000)), gzip.compress(bytes(100)) * 1000):
        unpacker = Unpacker("gzip")
        pieces = [len(piece) for piece in unpacker.feed(packed)] + [len(piece) for piece in unpacker.end()]
        assert max(pieces) <= PIECE
        assert sum(pieces) in {50_000_000, 100_000}


NOTHING = b"\x00\x00\x00\xff\xff" * 20_000
"""Blocks of deflate that hold no bytes."""


def test_a_pack_without_end_that_holds_nothing_is_given_up(fetch: Any, serve: Any) -> None:
    sent = []

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n")
        with suppress(OSError):
            while len(sent) < 500:
                connection.send(NOTHING)
                sent.append(len(NOTHING))

    with pytest.raises(AnswerLost, match="its packed bytes hold next to nothing"):
        fetch(serve(script).url, read_timeout=10)
    assert len(sent) < 500


def test_small_packs_and_bytes_that_do_not_get_smaller_are_no_such_thing() -> None:
    noise = random.Random(1).randbytes(3_000_000)
    for content, packed in ((noise, gzip.compress(noise)), (b"x", gzip.compress(b"x"))):
        unpacker = Unpacker("gzip")
        assert b"".join([*unpacker.feed(packed), *unpacker.end()]) == content


def test_what_was_packed_without_an_end_is_noticed() -> None:
    unpacker = Unpacker("gzip")
    list(unpacker.feed(gzip.compress(b"abc")[:-1]))
    with pytest.raises(PackingBroken):
        list(unpacker.end())


def test_calls_ask_for_what_is_unpacked_and_documents_for_what_is_not_packed(drive: Any, serve: Any) -> None:
    server = serve(answers(answer()))
    client = drive(server.url)
    client.send(GET)
    client.download(DOCUMENT)
    assert [one.headers["accept-encoding"] for one in server.requests] == ["gzip, deflate", "identity"]


def test_the_limit_of_an_api_answer_counts_what_was_unpacked(drive: Any, serve: Any) -> None:
    bomb = partial(gzip.compress, compresslevel=9)(bytes(5_000_000))
    server = serve(answers(answer(200, bomb, content_encoding="gzip")))
    with pytest.raises(AnswerTooLarge):
        drive(server.url, max_body_bytes=4_000_000).send(GET)
    assert len(drive(server.url, max_body_bytes=5_000_000).send(GET).body) == 5_000_000


@pytest.mark.parametrize(
    ("kind", "error"),
    [("blocking", "AnswerTooLarge"), ("async", "AnswerTooLarge"), ("document", "DocumentTooLarge")],
)
def test_a_bomb_of_ten_gigabytes_costs_no_more_memory_than_its_limit(
    tmp_path: Path, kind: str, error: str
) -> None:
    result = run_script(Path(__file__).with_name("bomb_process.py"), kind, str(tmp_path))
    assert result["error"] == error
    assert result["packed"] < 12_000_000
    assert result["bytes"] < 30_000_000
    assert list(tmp_path.iterdir()) == []
