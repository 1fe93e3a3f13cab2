"""Access tokens: asked for once, renewed in time, never used after a refusal; the same from both clients."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any
from urllib.parse import parse_qs

import pytest
from client_driving import GET, START, everything_said, settings_for
from support.loopback_server import Connection, LoopbackServer, answer, answers
from support.telling import locals_of

from smartflows_provider.transport.asynchronous import AsyncClient
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.errors import AnswerLost, NotSent, TransportError
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.transport.tokens import TokenCache
from smartflows_provider.wire.errors import KeyRefused, RequestRefused
from smartflows_provider.wire.grants import Grant, Token

SECRET = "canary-client-secret"


class Service:
    """A service and the server that gives its tokens, at one address."""

    def __init__(self, *, expires_in: float = 3600.0) -> None:
        self.expires_in = expires_in
        self.given: list[str] = []
        self.valid: set[str] = set()
        self.refuse_next = 0
        self.token_answer: bytes | None = None
        self.seen: list[str | None] = []
        self.lock = threading.Lock()

    def script(self, connection: Connection) -> None:
        while (request := connection.read_request()) is not None:
            with self.lock:
                reply = self._reply(request)
            if reply == b"":
                connection.reset()
                return
            connection.send(reply)

    def _reply(self, request: Any) -> bytes:
        if request.target == "/connect/token":
            if self.token_answer is not None:
                return self.token_answer
            assert parse_qs(request.body.decode())["client_secret"] == [SECRET]
            assert "x-api-key" not in request.headers
            token = f"token-{len(self.given)}"
            self.given.append(token)
            self.valid.add(token)
            return answer(200, json.dumps({"access_token": token, "expires_in": self.expires_in}).encode())
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.seen.append(bearer)
        if bearer not in self.valid:
            return answer(401, json.dumps({"message": f"what is {bearer} with {SECRET}?"}).encode())
        return answer(200, b"{}")


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def at(serve: Any, service: Service) -> LoopbackServer:
    return serve(service.script)


def granted(url: str, **more: Any) -> dict[str, Any]:
    form = {"client_id": "w", "client_secret": SECRET, "grant_type": "client_credentials"}
    return {"grant": Grant(origin=url, form=form, token_path="/connect/token"), **more}


def test_one_token_serves_many_calls(drive: Any, service: Service, at: LoopbackServer) -> None:
    driver = drive(at.url, **granted(at.url))
    for request in (GET, START, GET):
        assert driver.send(request).status == 200
    assert (service.given, service.seen) == (["token-0"], ["token-0"] * 3)


def test_a_token_is_renewed_before_it_expires(drive: Any, service: Service, at: LoopbackServer) -> None:
    now = [1000.0]
    driver = drive(at.url, **granted(at.url, tokens=TokenCache(clock=lambda: now[0])))
    service.expires_in = 300.0
    driver.send(GET)
    now[0] += 239.0
    driver.send(GET)
    assert service.given == ["token-0"]
    now[0] += 2.0
    driver.send(GET)
    assert service.seen == ["token-0", "token-0", "token-1"]


def test_a_token_that_lives_for_moments_is_used_all_the_same() -> None:
    now = [0.0]
    cache = TokenCache(clock=lambda: now[0])
    cache.keep(Token(value="t", lifetime=10.0), asked=0.0)
    now[0] = 4.9
    assert cache.usable() == "t"
    now[0] = 5.0
    assert cache.usable() is None


def test_a_revoked_token_is_replaced_and_the_call_sent_again(
    drive: Any, service: Service, at: LoopbackServer
) -> None:
    driver = drive(at.url, **granted(at.url))
    driver.send(GET)
    service.valid.clear()
    assert driver.send(START).status == 200
    assert service.seen == ["token-0", "token-0", "token-1"]


def test_a_call_that_is_refused_with_a_new_token_too_is_refused_and_shows_no_secret(
    drive: Any, service: Service, at: LoopbackServer
) -> None:
    driver = drive(at.url, **granted(at.url))
    service._reply_valid = service.valid
    service.valid = NothingIsValid()
    response = driver.send(GET)
    assert response.status == 401
    assert len(service.seen) == 2
    assert b"token-1" not in response.body
    assert SECRET.encode() not in response.body


class NothingIsValid(set[str]):
    """Takes tokens, and knows none."""

    def __contains__(self, _: object) -> bool:
        return False


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (
            answer(503, b""),
            NotSent,
            "no access token could be had: POST /connect/token was answered with 503",
        ),
        (b"", NotSent, "no access token could be had"),
        (answer(200, b"<html>"), NotSent, "no access token could be had"),
        (answer(400, b'{"error": "invalid_client"}'), KeyRefused, "gives access tokens"),
        (answer(404, b""), NotSent, "no access token could be had: .* gives no tokens there"),
        (answer(400, b'{"error": "invalid_request"}'), RequestRefused, "answered with 400"),
    ],
)
def test_a_start_without_a_token_was_provably_not_sent(
    drive: Any, service: Service, at: LoopbackServer, *, reply: bytes, kind: type[Exception], text: str
) -> None:
    service.token_answer = reply
    with pytest.raises(kind, match=text) as caught:
        drive(at.url, **granted(at.url)).send(START)
    assert not isinstance(caught.value, AnswerLost)
    assert SECRET not in everything_said(caught.value)
    assert service.seen == []


def test_many_waits_share_one_renewal_and_its_failure(service: Service, at: LoopbackServer) -> None:
    async def ask_many(client: AsyncClient) -> list[Any]:
        return await asyncio.gather(*(client.send(GET) for _ in range(20)), return_exceptions=True)

    async def both() -> tuple[list[Any], list[Any]]:
        async with AsyncClient(settings_for(at.url, **granted(at.url)), repetition=NO_REPETITION) as client:
            service.token_answer = answer(503, b"")
            failed = await ask_many(client)
            service.token_answer = None
            return failed, await ask_many(client)

    failed, answered = asyncio.run(both())
    assert {type(one) for one in failed} == {NotSent}
    assert {one.status for one in answered} == {200}
    asked = [one.target for one in at.requests if one.target == "/connect/token"]
    assert len(asked) == 2
    assert service.given == ["token-0"]


def test_a_wait_that_leaves_while_the_token_is_renewed_takes_it_from_nobody(
    service: Service, at: LoopbackServer
) -> None:
    async def leave_one() -> int:
        async with AsyncClient(settings_for(at.url, **granted(at.url)), repetition=NO_REPETITION) as client:
            first = asyncio.create_task(client.send(GET))
            second = asyncio.create_task(client.send(GET))
            await asyncio.sleep(0)
            first.cancel()
            return (await second).status

    assert asyncio.run(leave_one()) == 200
    assert service.given == ["token-0"]


def test_clients_with_the_same_settings_share_the_token(service: Service, at: LoopbackServer) -> None:
    settings = settings_for(at.url, **granted(at.url))
    for _ in range(2):
        with BlockingClient(settings, repetition=NO_REPETITION) as client:
            client.send(GET)
    assert service.given == ["token-0"]


def test_settings_are_equal_whatever_token_they_hold(service: Service, at: LoopbackServer) -> None:
    one, other = (settings_for(at.url, **granted(at.url)) for _ in range(2))
    with BlockingClient(one) as client:
        client.send(GET)
    assert one == other
    assert SECRET not in repr(one)
    assert "token-0" not in repr(one)


class Cut(BaseException):
    """Comes from outside, as Airflow's timeout of a task does."""


@pytest.mark.parametrize("trouble", ["service", "token", "cut"])
def test_no_frame_of_a_traceback_shows_a_secret(
    drive: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    given = json.dumps({"access_token": f"token-{SECRET}"}).encode()

    def script(connection: Connection) -> None:
        while (request := connection.read_request()) is not None:
            if request.target == "/connect/token" and trouble != "token":
                connection.send(answer(200, given))
            else:
                connection.reset()
                return

    server = serve(script)
    driver = drive(server.url, auth_headers={}, auth_fields={"token": SECRET}, **granted(server.url))
    if trouble == "cut":

        def interrupt(*_: Any, **__: Any) -> Any:
            raise Cut

        monkeypatch.setattr("requests.Session.send", interrupt)
        monkeypatch.setattr("aiohttp.ClientSession._request", interrupt)
    with pytest.raises((TransportError, Cut)) as caught:
        driver.send(GET)
    said = locals_of(caught.value)
    assert "_send_once: request" in said
    assert SECRET not in said


def test_a_key_that_goes_into_bodies_joins_the_fields_and_makes_a_question_a_post(
    drive: Any, serve: Any
) -> None:
    server = serve(
        lambda connection: [connection.send(answer()) for _ in iter(connection.read_request, None)]
    )
    driver = drive(server.url, auth_headers={}, auth_fields={"token": SECRET})
    driver.send(GET)
    body = json.dumps({"Amount": 1}).encode()
    driver.send(type(START)(method="POST", path="/x", body=body, repeatable=False))
    question, start = server.requests
    assert (question.method, json.loads(question.body)) == ("POST", {"token": SECRET})
    assert question.headers["content-type"].startswith("application/json")
    assert (start.method, json.loads(start.body)) == ("POST", {"Amount": 1, "token": SECRET})
    assert SECRET not in question.target + start.target


def test_a_refusal_with_200_shows_no_secret_where_the_system_refuses_so(drive: Any, serve: Any) -> None:
    body = json.dumps({"success": False, "message": f"wrong token {SECRET}"}).encode()
    server = serve(lambda connection: connection.read_request() and connection.send(answer(200, body)))
    driver = drive(
        server.url, auth_headers={}, auth_fields={"token": SECRET}, tells_failure=lambda response: True
    )
    assert driver.send(GET).json()["message"] == "wrong token ***"


@pytest.mark.parametrize(
    "echo", ['"pa\\"ss\\\\w+rd"', '"pa\\u0022ss\\\\w\\u002Brd"', '{"said": ["is pa\\u0022ss\\\\w+rd it?"]}']
)
def test_a_refusal_shows_no_secret_however_its_json_spells_it(drive: Any, serve: Any, echo: str) -> None:
    secret = 'pa"ss\\w+rd'
    body = f'{{"error": "invalid", "message": {echo}}}'.encode()
    server = serve(answers(answer(403, body)))
    response = drive(server.url, auth_headers={}, hidden=(secret,)).send(GET)
    assert secret not in json.dumps(response.json(), ensure_ascii=False).replace('\\"', '"').replace(
        "\\\\", "\\"
    )
    assert "***" in response.body.decode()
