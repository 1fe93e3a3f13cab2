"""How access tokens are asked for, without any network."""

from __future__ import annotations

from typing import Any

import pytest
from wire_driving import Reply, drive, reply

from smartflows_provider.wire.errors import KeyRefused, RequestRefused, ServiceFault, UnreadableAnswer
from smartflows_provider.wire.grants import Grant, Token, ask_for_token, origin_of

SECRET = "canary-secret"
CREDENTIALS = {"client_id": "workflowapi", "client_secret": SECRET, "grant_type": "client_credentials"}
TOKEN = {"access_token": "t1", "expires_in": 3600, "token_type": "Bearer"}


def grant(**more: Any) -> Grant:
    return Grant(**{"origin": "https://auth.example", "form": CREDENTIALS, "token_path": "/token", **more})


def test_the_token_is_asked_for_with_a_form_in_the_body() -> None:
    driven = drive(ask_for_token(grant()), reply(TOKEN))
    (request,) = driven.requests
    assert (request.method, request.path, request.query) == ("POST", "/token", ())
    assert request.body == b"client_id=workflowapi&client_secret=canary-secret&grant_type=client_credentials"
    assert request.headers == (("Content-Type", "application/x-www-form-urlencoded"),)
    assert SECRET not in repr(request)
    assert driven.result == Token(value="t1", lifetime=3600.0)


def test_the_address_is_discovered_where_none_is_set() -> None:
    named = {"token_endpoint": "https://AUTH.example:443/connect/token?tenant=a"}
    driven = drive(ask_for_token(grant(token_path=None)), reply(named), reply(TOKEN))
    first, second = driven.requests
    assert (first.method, first.path) == ("GET", "/.well-known/openid-configuration")
    assert (second.path, second.query) == ("/connect/token", (("tenant", "a"),))


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example/connect/token",
        "http://auth.example/connect/token",
        "https://auth.example:8443/connect/token",
        "https://auth.example@evil.example/connect/token",
        "https://auth.example.evil.example/token",
    ],
)
def test_the_secret_never_goes_to_another_origin_than_the_configured_one(endpoint: str) -> None:
    asking = ask_for_token(grant(token_path=None))
    with pytest.raises(RequestRefused, match=r"the secret was not sent there; set .* 'token_url'") as caught:
        drive(asking, reply({"token_endpoint": endpoint}))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("document", [{}, {"token_endpoint": 7}, {"token_endpoint": "no address"}, []])
def test_a_discovery_document_without_a_usable_address_is_unreadable(document: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        drive(ask_for_token(grant(token_path=None)), reply(document))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "invalid_client"}),
        (400, {"error": "invalid_grant", "error_description": "Account disabled"}),
        (401, {"error": "unauthorized_client"}),
        (401, {}),
    ],
)
def test_credentials_that_are_not_taken_are_a_refused_key(status: int, body: dict[str, str]) -> None:
    with pytest.raises(KeyRefused, match="gives access tokens, was answered with") as caught:
        drive(ask_for_token(grant()), reply(body, status=status))
    assert (body.get("error_description") or body.get("error", "")) in str(caught.value)


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_address_is_taken_for_no_run_that_is_gone_and_no_refusal(status: int) -> None:
    with pytest.raises(ServiceFault, match=f"answered with {status}: the server gives no tokens there"):
        drive(ask_for_token(grant()), Reply(status=status))
    with pytest.raises(ServiceFault, match=f"answered with {status}: the server names no addresses for"):
        drive(ask_for_token(grant(token_path=None)), Reply(status=status))


def test_another_bad_request_is_not_taken_for_a_refused_key() -> None:
    with pytest.raises(RequestRefused, match="answered with 400"):
        drive(ask_for_token(grant()), reply({"error": "invalid_request"}, status=400))


def test_a_server_out_of_order_is_not_taken_for_a_refusal() -> None:
    with pytest.raises(ServiceFault):
        drive(ask_for_token(grant()), Reply(status=503))


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"access_token": "t", "token_type": "mac"},
        {"access_token": "a\nb"},
        {"access_token": 5},
        {"access_token": "é"},
        "x",
    ],
)
def test_an_answer_without_a_usable_token_is_unreadable(body: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        drive(ask_for_token(grant()), reply(body))


@pytest.mark.parametrize(
    ("told", "lifetime"),
    [(300, 300.0), ("300", 300.0), (None, None), (0, None), (-1, None), (True, None), ([], None)],
)
def test_the_life_of_a_token_is_read_as_far_as_it_is_told(told: object, lifetime: float | None) -> None:
    driven = drive(ask_for_token(grant()), reply({"access_token": "t", "expires_in": told}))
    assert driven.result.lifetime == lifetime


def test_no_repr_shows_secret_or_token() -> None:
    assert SECRET not in repr(grant())
    assert "t1" not in repr(Token(value="t1"))


def test_an_origin_leaves_the_usual_port_out() -> None:
    assert origin_of("https://Host.example:443/path") == "https://host.example"
    assert origin_of("http://[::1]:8077/") == "http://[::1]:8077"
    with pytest.raises(ValueError, match="not an address"):
        origin_of("ftp://host")
