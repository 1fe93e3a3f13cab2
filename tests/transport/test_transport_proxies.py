"""Proxies of the connection and of the environment, and credentials that must not travel."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from client_driving import CANARY, GET, START, everything_said
from support.loopback_certificates import Certificates
from support.loopback_server import Connection, answer, answers

from smartflows_provider.transport.errors import NotSent


def proxy(connection: Connection) -> None:
    """Pass on what CONNECT asks for, and answer plain requests in the target's stead."""
    request = connection.read_request()
    if request is None:
        return
    if request.method == "CONNECT":
        host, _, port = request.target.rpartition(":")
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection.relay(host, int(port))
    else:
        connection.send(answer(200, b'{"by": "proxy"}'))


def test_a_plain_call_goes_through_the_connections_proxy(drive: Any, serve: Any) -> None:
    way = serve(proxy)
    response = drive("http://flows.invalid:8080", proxy=way.url).send(START)
    assert response.json() == {"by": "proxy"}
    assert way.requests[0].target == "http://flows.invalid:8080/api/v1/things"


def test_a_tls_call_is_tunnelled_and_the_proxy_never_sees_the_key(
    drive: Any, serve: Any, certificates: Certificates
) -> None:
    server = serve(answers(answer()), tls=certificates.server_context())
    way = serve(proxy)
    client = drive(server.url, proxy=way.url, ca_bundle=str(certificates.authority))
    assert client.send(START).status == 200
    (tunnel,) = way.requests
    assert (tunnel.method, tunnel.target) == ("CONNECT", f"127.0.0.1:{server.port}")
    assert CANARY not in str(tunnel.headers)
    assert server.requests[0].headers["x-api-key"] == CANARY


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxys_credentials_go_to_the_proxy_alone(
    drive: Any, serve: Any, certificates: Certificates, tls: bool
) -> None:
    server = serve(answers(answer()), tls=certificates.server_context()) if tls else None
    way = serve(proxy)
    client = drive(
        server.url if server else "http://flows.invalid",
        proxy=way.url.replace("//", "//user:canary-proxy@"),
        ca_bundle=str(certificates.authority),
    )
    assert client.send(GET).status == 200
    expected = "Basic " + base64.b64encode(b"user:canary-proxy").decode()
    assert way.requests[0].headers["proxy-authorization"] == expected
    if server:
        assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "127.0.0.1:{}"])
def test_the_environments_proxy_is_used(
    drive: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    way = serve(proxy)
    monkeypatch.setenv("http_proxy", form.format(way.port))
    assert drive("http://flows.invalid").send(GET).json() == {"by": "proxy"}


def test_the_environments_exceptions_are_honoured(
    drive: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, server = serve(proxy), serve(answers(answer(200, b'{"by": "server"}')))
    monkeypatch.setenv("HTTP_PROXY", way.url)
    monkeypatch.setenv("http_proxy", way.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8,.example")
    monkeypatch.setenv("no_proxy", "127.0.0.0/8,.example")
    assert drive(server.url).send(GET).json() == {"by": "server"}
    assert way.connections == 0


def test_the_connections_proxy_wins_over_the_environment(
    drive: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, other = serve(proxy), serve(proxy)
    monkeypatch.setenv("http_proxy", other.url)
    monkeypatch.setenv("all_proxy", other.url)
    monkeypatch.setenv("no_proxy", "flows.invalid")
    assert drive("http://flows.invalid", proxy=way.url).send(GET).json() == {"by": "proxy"}
    assert (way.connections, other.connections) == (1, 0)


def refuse_tunnels(status: int) -> Callable[[Connection], None]:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer(status, b"no"))

    return script


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_tunnel_that_the_proxy_refuses_was_not_sent(drive: Any, serve: Any, status: int) -> None:
    way = serve(refuse_tunnels(status))
    client = drive("https://flows.invalid", proxy=way.url.replace("//", "//user:canary-proxy@"))
    with pytest.raises(NotSent) as caught:
        client.send(START)
    assert caught.value.kind == "proxy"
    assert "POST /things at flows.invalid was not sent: " in str(caught.value)
    assert str(status) in str(caught.value)
    assert "canary" not in everything_said(caught.value)


@pytest.mark.parametrize(
    ("scheme", "where"),
    [
        ("http", "closed port"),
        ("https", "closed port"),
        ("http", "unknown host"),
        ("https", "unknown host"),
        ("http", "not http"),
        ("https", "not http"),
        # A plain request that a proxy swallows is an answer that got lost.
        ("https", "closes"),
    ],
)
def test_a_proxy_that_cannot_be_used_was_not_sent(drive: Any, serve: Any, scheme: str, where: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    closing = serve(lambda connection: connection.stream.recv(9))
    way = {
        "closed port": f"http://user:canary-proxy@127.0.0.1:{port}",
        "unknown host": "http://user:canary-proxy@no-such-host.invalid:3128",
        "not http": "socks9://user:canary-proxy@127.0.0.1:1",
        "closes": f"http://user:canary-proxy@127.0.0.1:{closing.port}",
    }[where]
    with pytest.raises(NotSent) as caught:
        drive(f"{scheme}://flows.invalid", proxy=way).send(START)
    assert caught.value.kind == "proxy"
    assert "canary" not in everything_said(caught.value)


@pytest.mark.parametrize("file", ["NETRC", "home"])
def test_credentials_of_a_netrc_file_are_never_sent(
    drive: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    server = serve(answers(answer()))
    netrc = tmp_path / ("credentials" if file == "NETRC" else ".netrc")
    netrc.write_text(f"machine {urlsplit(server.url).hostname} login ada password canary-netrc\n")
    netrc.chmod(0o600)
    if file == "NETRC":
        monkeypatch.setenv("NETRC", str(netrc))
    client = drive(server.url)
    client.send(GET)
    client.send(START)
    client.download(GET)
    assert len(server.requests) == 3
    for received in server.requests:
        assert "authorization" not in received.headers
