"""Addresses of endpoints and of their runs."""

from __future__ import annotations

import pytest

from smartflows_provider.wire.errors import UnusableId
from smartflows_provider.wire.phixflow_paths import endpoint_path, status_address


def test_version_11_names_application_and_actionflow() -> None:
    assert endpoint_path(application="MyApp", actionflow="My API") == "/action/MyApp/My%20API/trigger"


def test_version_10_names_the_actionflow_alone() -> None:
    assert endpoint_path(actionflow="My API") == "/action/My%20API/trigger"


def test_a_name_stays_one_segment_whatever_it_holds() -> None:
    path = endpoint_path(application="a/b?c", actionflow="100% Ü")
    assert path == "/action/a%2Fb%3Fc/100%25%20%C3%9C/trigger"


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("/action/orders/trigger", "/action/orders/trigger"),
        ("/action/MyApp/My API/trigger", "/action/MyApp/My%20API/trigger"),
        ("/action/MyApp/My%20API/trigger", "/action/MyApp/My%20API/trigger"),
        ("/100%/a%2Fb", "/100%25/a%2Fb"),
        ("/phixflow/api/1/action/orders/trigger", "/action/orders/trigger"),
        ("/phixflow/api/10/orders", "/phixflow/api/10/orders"),
    ],
)
def test_a_path_is_taken_below_the_prefix_and_quoted_once(path: str, quoted: str) -> None:
    assert endpoint_path(path=path) == quoted


def test_the_prefix_that_is_taken_off_is_the_connections() -> None:
    assert endpoint_path(path="/test/api/1/orders", prefix="/test/api/1/") == "/orders"
    assert endpoint_path(path="/orders", prefix="") == "/orders"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("action/orders", "must start with one slash"),
        ("//elsewhere.example/orders", "must start with one slash"),
        ("https://app.example/orders", "must start with one slash"),
        ("/orders?timeout=5", "has a query; input parameters are given for themselves"),
        ("/orders#top", "has a fragment"),
        ("/a/../b", "empty or consists of dots only"),
        ("/a/%2e%2E/b", "empty or consists of dots only"),
        ("/a//b", "empty or consists of dots only"),
        ("/", "empty or consists of dots only"),
        ("/\ud800", "half a character"),
    ],
)
def test_what_is_no_path_is_refused(path: str, message: str) -> None:
    with pytest.raises(UnusableId, match=message):
        endpoint_path(path=path)


def test_an_endpoint_is_named_in_one_way() -> None:
    with pytest.raises(ValueError, match="by its actionflow, with or without application, or a path"):
        endpoint_path(application="MyApp")
    with pytest.raises(ValueError, match="not by both"):
        endpoint_path(actionflow="My API", path="/orders")


@pytest.mark.parametrize(
    ("template", "path", "query"),
    [
        ("/action/{id}/status", "/action/a%2F7/status", ()),
        ("/action/My App/status-{id}", "/action/My%20App/status-a%2F7", ()),
        ("/status?process={id}&full=", "/status", (("process", "a/7"), ("full", ""))),
    ],
)
def test_a_process_id_is_put_into_path_or_query(
    template: str, path: str, query: tuple[tuple[str, str], ...]
) -> None:
    assert status_address(template, "a/7") == (path, query)


@pytest.mark.parametrize("process_id", ["", ".", "..", "\ud800"])
def test_an_id_that_no_quoting_can_protect_is_never_sent(process_id: str) -> None:
    with pytest.raises(UnusableId, match="is not a usable id"):
        status_address("/status?process={id}", process_id)
