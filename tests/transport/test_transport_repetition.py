"""When a call is sent again by itself, and when it must not be."""

from __future__ import annotations

import time
from typing import Any

import pytest
from client_driving import GET, START
from support.loopback_server import Connection, answer, answers

from smartflows_provider.transport.errors import (
    Abandoned,
    AnswerLost,
    AnswerPacked,
    AnswerTooLarge,
    FailureKind,
    NotSent,
    TransportError,
)
from smartflows_provider.transport.repetition import NO_REPETITION, Repetition
from smartflows_provider.wire.messages import Response

QUICK = Repetition(attempts=3, first_pause=0.001, longest_pause=0.05)
DONE = answer(200, b'{"done": true}')


def calls(drive: Any, serve: Any, request: Any, *replies: bytes) -> tuple[int, int]:
    """Return the status that a call came to, and how often it was sent."""
    server = serve(answers(*replies))
    status = drive(server.url, repetition=QUICK).send(request).status
    return status, len(server.requests)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_passing_answer_to_a_repeatable_call_is_repeated(drive: Any, serve: Any, status: int) -> None:
    assert calls(drive, serve, GET, answer(status), answer(status), DONE) == (200, 3)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500, 501])
def test_other_answers_are_not_repeated(drive: Any, serve: Any, status: int) -> None:
    assert calls(drive, serve, GET, answer(status), DONE) == (status, 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_start_is_not_repeated_after_an_answer_that_leaves_it_open(
    drive: Any, serve: Any, status: int
) -> None:
    assert calls(drive, serve, START, answer(status), DONE) == (status, 1)


def test_a_start_is_repeated_after_429_which_says_that_nothing_was_taken(drive: Any, serve: Any) -> None:
    assert calls(drive, serve, START, answer(429, retry_after="0"), DONE) == (200, 2)


def test_the_last_answer_counts_when_all_tries_are_used_up(drive: Any, serve: Any) -> None:
    assert calls(drive, serve, GET, answer(503)) == (503, 3)


def test_without_repetition_everything_is_sent_once(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(503), DONE))
    assert drive(server.url, repetition=NO_REPETITION).send(GET).status == 503
    assert len(server.requests) == 1


def test_retry_after_is_honoured_up_to_the_longest_pause(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(429, retry_after="86400"), answer(429, retry_after="0.04"), DONE))
    began = time.monotonic()
    assert drive(server.url, repetition=QUICK).send(START).status == 200
    assert 0.085 <= time.monotonic() - began < 30


def reset_twice(connection: Connection) -> None:
    connection.read_request()
    if connection.number < 2:
        connection.reset()
    else:
        connection.send(DONE)


def test_a_lost_answer_to_a_repeatable_call_is_repeated(drive: Any, serve: Any) -> None:
    server = serve(reset_twice)
    assert drive(server.url, repetition=QUICK).send(GET).status == 200
    assert server.connections == 3


def test_a_lost_answer_to_a_start_is_not_repeated(drive: Any, serve: Any) -> None:
    server = serve(reset_twice)
    with pytest.raises(AnswerLost):
        drive(server.url, repetition=QUICK).send(START)
    assert (server.connections, len(server.requests)) == (1, 1)


def test_a_start_that_was_not_sent_is_repeated_until_the_service_is_there(
    drive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    class Counting(Repetition):
        def may_repeat_error(self, request: Any, error: BaseException) -> bool:
            tries.append(type(error))
            return super().may_repeat_error(request, error)

    with pytest.raises(NotSent):
        drive("http://no-such-host.invalid", repetition=Counting(attempts=3, first_pause=0.001)).send(START)
    assert tries == [NotSent] * 3


@pytest.mark.parametrize("request_", [GET, START], ids=["get", "start"])
@pytest.mark.parametrize(
    ("kind", "repeated"),
    [
        ("dns", True),
        ("refused", True),
        ("timeout", True),
        ("proxy", True),
        ("unreachable", True),
        ("reset", True),
        ("tls", False),
    ],
)
def test_what_was_not_sent_is_repeated_unless_tls_failed(
    request_: Any, kind: FailureKind, repeated: bool
) -> None:
    assert Repetition().may_repeat_error(request_, NotSent("x", kind=kind)) is repeated


def test_an_answer_that_is_too_large_stays_so() -> None:
    error = AnswerTooLarge("x", kind="too_large")
    assert not Repetition().may_repeat_error(GET, error)


def test_foreign_errors_are_not_repeated() -> None:
    assert not Repetition().may_repeat_error(GET, ValueError("x"))
    assert Repetition().may_repeat_error(GET, AnswerLost("x", kind="reset"))


@pytest.mark.parametrize("kind", [TransportError, AnswerTooLarge, AnswerPacked, Abandoned])
def test_what_stays_as_it_is_is_not_asked_for_again(kind: type[TransportError]) -> None:
    assert not Repetition().may_repeat_error(GET, kind("x", kind="reset"))


def test_pauses_grow_and_stay_below_their_limits() -> None:
    rules = Repetition(first_pause=1.0, longest_pause=5.0)
    for tries in range(1, 40):
        assert 0 <= rules.pause(tries, None) <= min(5.0, 2.0**tries)


@pytest.mark.parametrize(("header", "pause"), [("3", 3.0), ("-3", 0.0), ("9999999", 20.0), ("1e300", 20.0)])
def test_retry_after_decides_the_pause_within_reason(header: str, pause: float) -> None:
    response = Response(status=429, headers={"retry-after": header}, request=GET)
    assert Repetition().pause(1, response) == pause


@pytest.mark.parametrize("header", ["inf", "soon", ""])
def test_an_unusable_retry_after_leaves_the_usual_pause(header: str) -> None:
    response = Response(status=429, headers={"retry-after": header}, request=GET)
    assert 0 <= Repetition(first_pause=0.5).pause(1, response) <= 1.0
