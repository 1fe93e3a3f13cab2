"""Redirects: never for API calls, only without the key for downloads, never away from TLS."""

from __future__ import annotations

from typing import Any

import pytest
from client_driving import CANARY, GET, START, everything_said
from support.loopback_certificates import Certificates
from support.loopback_server import answer, answers

from smartflows_provider.transport.errors import NotSent, TransportError
from smartflows_provider.transport.redirects import next_hop
from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.documents import read_document_head
from smartflows_provider.wire.errors import RedirectAnswered
from smartflows_provider.wire.messages import Request

CODES = [301, 302, 303, 307, 308]


@pytest.mark.parametrize("status", CODES)
@pytest.mark.parametrize("request_", [GET, START], ids=["get", "start"])
def test_an_api_call_is_not_redirected_and_the_key_stays_here(
    drive: Any, serve: Any, status: int, request_: Any
) -> None:
    elsewhere = serve(answers(answer()))
    server = serve(answers(answer(status, location=f"{elsewhere.url}/api/v1/things")))
    assert drive(server.url).send(request_).status == status
    assert elsewhere.requests == []
    assert len(server.requests) == 1


def test_a_redirected_call_ends_in_an_error_that_names_the_target(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(302, location="https://sso.example/login?secret=1")))
    with pytest.raises(RedirectAnswered) as caught:
        drive(server.url).run(wire.current_user())
    assert str(caught.value) == "GET /users/me was answered with 302, a redirect to https://sso.example/login"
    assert CANARY not in everything_said(caught.value)


@pytest.mark.parametrize("status", CODES)
def test_a_download_follows_without_the_key(drive: Any, serve: Any, status: int) -> None:
    store = serve(answers(answer(200, b"%PDF-", content_type="application/pdf")))
    server = serve(answers(answer(status, location=f"{store.url}/a%2Fb.pdf?sig=x%2By%3D&a=1+2")))
    head, body = drive(server.url).download(wire.document_content("d1"))
    assert (head.status, head.content_type, body) == (200, "application/pdf", b"%PDF-")
    assert server.requests[0].headers["x-api-key"] == CANARY
    (received,) = store.requests
    assert (received.method, received.target) == ("GET", "/a%2Fb.pdf?sig=x%2By%3D&a=1+2")
    assert CANARY not in str(received.headers)
    assert "authorization" not in received.headers


def test_a_download_follows_a_relative_address_without_the_key(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(302, location="../content"), answer(200, b"bytes")))
    assert drive(server.url).download(wire.document_content("d1"))[1] == b"bytes"
    assert [received.target for received in server.requests] == [
        "/api/v1/documents/d1/content",
        "/api/v1/documents/content",
    ]
    assert "x-api-key" not in server.requests[1].headers


def test_a_redirects_query_is_not_added_to_the_calls_own(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(302, location="/elsewhere?b=2"), answer(200, b"bytes")))
    drive(server.url).download(Request(method="GET", path="/x", query=(("a", "1"),)))
    assert [received.target for received in server.requests] == ["/api/v1/x?a=1", "/elsewhere?b=2"]


def test_a_download_never_goes_from_https_to_http(drive: Any, serve: Any, certificates: Certificates) -> None:
    plain = serve(answers(answer(200, b"bytes")))
    server = serve(answers(answer(302, location=f"{plain.url}/x")), tls=certificates.server_context())
    head, body = drive(server.url, ca_bundle=str(certificates.authority)).download(GET)
    assert (head.status, plain.requests) == (302, [])
    with pytest.raises(
        RedirectAnswered, match=r"^GET /things/1 was answered with 302, a redirect to http://"
    ):
        read_document_head(head, body)


def test_a_download_may_go_from_http_to_https_with_the_same_authorities(
    drive: Any, serve: Any, certificates: Certificates
) -> None:
    store = serve(answers(answer(200, b"bytes")), tls=certificates.server_context())
    server = serve(answers(answer(302, location=f"{store.url}/x")))
    assert drive(server.url, ca_bundle=str(certificates.authority)).download(GET)[1] == b"bytes"
    with pytest.raises(NotSent) as caught:
        drive(server.url).download(GET)
    assert caught.value.kind == "tls"
    assert f"GET /things/1 at 127.0.0.1:{store.port} was not sent" in str(caught.value)


def test_a_download_gives_up_after_five_addresses(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(302, location="/again")))
    with pytest.raises(TransportError) as caught:
        drive(server.url).download(GET)
    assert str(caught.value) == "GET /things/1 was redirected more than 5 times"
    assert len(server.requests) == 5


def test_an_error_of_a_download_comes_with_its_body(drive: Any, serve: Any) -> None:
    server = serve(answers(answer(404, b'{"message": "gone"}')))
    head, body = drive(server.url).download(GET)
    assert (head.status, head.json(), body) == (404, {"message": "gone"}, b"")


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("http://a/x/y", "/z", "http://a/z"),
        ("http://a/x/y", "z", "http://a/x/z"),
        ("http://a/x", "https://b/z", "https://b/z"),
        ("https://a/x", "//b/z", "https://b/z"),
        ("https://a/x", "http://a/z", None),
        ("https://a/x", "HTTP://a/z", None),
        ("https://a/x", "", None),
        ("https://a/x", "file:///etc/passwd", None),
        ("https://a/x", "data:text/plain,x", None),
        ("https://a/x", "https://[bad", None),
        ("http://a/x", "https://", None),
    ],
)
def test_the_next_hop_is_http_or_https_and_never_less_safe(
    url: str, location: str, target: str | None
) -> None:
    assert next_hop(url, location) == target
