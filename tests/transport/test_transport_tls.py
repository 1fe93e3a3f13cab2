"""TLS: authorities, client certificates, and switching verification off by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from client_driving import GET, START, everything_said, settings_for
from support.loopback_certificates import Certificates
from support.loopback_server import answer, answers

from smartflows_provider.transport.blocking import CHUNK, BlockingClient
from smartflows_provider.transport.errors import AnswerLost, NotSent


def test_a_ca_bundle_makes_a_server_trusted(drive: Any, serve: Any, certificates: Certificates) -> None:
    server = serve(answers(answer()), tls=certificates.server_context())
    assert drive(server.url, ca_bundle=str(certificates.authority)).send(START).status == 200


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_usual_variables_name_authorities(
    drive: Any, serve: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificates.authority))
    server = serve(answers(answer()), tls=certificates.server_context())
    assert drive(server.url).send(GET).status == 200


def test_the_connections_bundle_wins_over_the_variables(
    drive: Any, serve: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    server = serve(answers(answer()), tls=certificates.server_context())
    assert drive(server.url, ca_bundle=str(certificates.authority)).send(GET).status == 200


def test_a_variable_may_name_a_folder_of_authorities(
    drive: Any, serve: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    server = serve(answers(answer()), tls=certificates.server_context())
    with pytest.raises(NotSent) as caught:
        drive(server.url).send(GET)
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)


def test_a_variable_that_names_no_file_is_found_before_anything_is_sent(
    drive: Any, serve: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    server = serve(answers(answer()), tls=certificates.server_context())
    with pytest.raises(NotSent) as caught:
        drive(server.url).send(GET)
    assert caught.value.kind == "tls"
    assert str(tmp_path / "missing.pem") in str(caught.value)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_verification_can_be_switched_off_by_name(
    drive: Any, serve: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
    server = serve(answers(answer()), tls=certificates.server_context())
    client = drive(f"https://localhost:{server.port}", verify=False)
    assert client.send(GET).status == 200
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert client.send(START).status == 200


def test_a_client_certificate_is_presented(drive: Any, serve: Any, certificates: Certificates) -> None:
    server = serve(answers(answer()), tls=certificates.server_context(asks_client=True))
    client = drive(server.url, ca_bundle=str(certificates.authority), client_cert=str(certificates.client))
    assert client.send(GET).status == 200
    assert client.send(START).status == 200


def test_a_missing_client_certificate_never_looks_like_success(
    drive: Any, serve: Any, certificates: Certificates
) -> None:
    server = serve(answers(answer()), tls=certificates.server_context(asks_client=True))
    with pytest.raises((NotSent, AnswerLost)) as caught:
        drive(server.url, ca_bundle=str(certificates.authority)).send(START)
    assert server.requests == []
    if isinstance(caught.value, NotSent):
        assert caught.value.kind == "tls"
        assert "CERTIFICATE_REQUIRED" in str(caught.value)
    assert "canary" not in everything_said(caught.value)


def test_settings_show_neither_key_nor_proxy() -> None:
    shown = repr(settings_for("https://flows.example", proxy="http://u:canary-proxy@p:1"))
    assert "canary" not in shown
    assert "https://flows.example" in shown


def test_a_document_comes_in_large_chunks_though_tls_brings_it_in_small_records(
    serve: Any, certificates: Certificates
) -> None:
    size = 2 * 1024 * 1024
    server = serve(answers(answer(body=bytes(size))), tls=certificates.server_context())
    settings = settings_for(server.url, ca_bundle=str(certificates.authority))
    with BlockingClient(settings) as client, client.stream(GET) as (_, chunks):
        assert [len(chunk) for chunk in chunks] == [CHUNK] * (size // CHUNK)
