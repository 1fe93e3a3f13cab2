"""What answers other than 2xx become."""

from __future__ import annotations

import json
import re

import pytest
from wire_driving import ID, Reply, drive, progress_of, reply

from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.errors import (
    AccessDenied,
    KeyRefused,
    NotFound,
    RedirectAnswered,
    RequestRefused,
    ServiceFault,
    Throttled,
    WireError,
)

LABEL = f"GET /flows/executions/{ID}"


def error_of(answer: Reply) -> WireError:
    with pytest.raises(WireError) as caught:
        drive(wire.get_execution(ID), answer)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefused),
        (401, KeyRefused),
        (403, AccessDenied),
        (404, NotFound),
        (405, RequestRefused),
        (408, ServiceFault),
        (409, RequestRefused),
        (410, NotFound),
        (413, RequestRefused),
        (422, RequestRefused),
        (429, Throttled),
        (500, ServiceFault),
        (502, ServiceFault),
        (503, ServiceFault),
        (504, ServiceFault),
        (599, ServiceFault),
        (301, RedirectAnswered),
        (302, RedirectAnswered),
        (304, RedirectAnswered),
        (308, RedirectAnswered),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[WireError]) -> None:
    error = error_of(Reply(status=status))
    assert type(error) is kind
    assert error.status == status
    assert str(error).startswith(f"{LABEL} was answered with {status}")


JSON = "application/json"


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        (JSON, b'{"status": 400, "message": "Unknown flow"}', ": Unknown flow"),
        (JSON, b'{"error": "Bad Request", "message": "no"}', ": no; Bad Request"),
        (JSON, b'{"message": "no", "errors": [{"message": "a"}, {"message": "b"}]}', ": no; a; b"),
        (JSON, b'{"errors": ["a", "b", "a"]}', ": a; b"),
        (JSON, b'{"message": "no", "detail": "no"}', ": no"),
        (JSON, b'"just text"', ": just text"),
        (JSON, b'{"message": "two\\n  lines\\tand"}', ": two lines and"),
        (JSON, b'{"message": "\\u001b[31mred\\u0000"}', ": [31mred"),
        (JSON, b'{"message": {"text": "deep"}}', ""),
        (JSON, b'{"message": 5}', ""),
        (JSON, b'{"message": "cut', ""),
        (JSON, b"", ""),
        (JSON, b"[" * 100_000, ""),
        ("application/problem+json", b'{"title": "T", "detail": "D"}', ": D; T"),
        ("text/html", b"<h1>Bad gateway</h1>", ""),
        ("text/plain; charset=utf-8", "pas\n trouvé".encode(), ": pas trouvé"),
        ("text/plain", b"\xff\xfe", ": \ufffd\ufffd"),
        ("", b"whatever", ""),
    ],
)
def test_the_message_has_what_the_body_says_in_one_line(content_type: str, body: bytes, text: str) -> None:
    error = error_of(Reply(status=400, headers={"content-type": content_type}, body=body))
    assert str(error) == f"{LABEL} was answered with 400{text}"


def test_a_deeply_nested_error_body_is_no_trouble() -> None:
    nested: object = "deep"
    for _ in range(400):
        nested = {"errors": [nested]}
    answer = Reply(status=500, headers={"content-type": JSON}, body=json.dumps(nested).encode())
    assert str(error_of(answer)) == f"{LABEL} was answered with 500"


def test_a_long_error_text_is_cut() -> None:
    error = error_of(reply({"message": "x" * 10_000}, status=500))
    assert str(error) == f"{LABEL} was answered with 500: {'x' * 2000}"


@pytest.mark.parametrize("status", [429, 503])
def test_an_error_carries_what_retry_after_asks(status: int) -> None:
    assert error_of(reply({}, status=status, retry_after="17")).retry_after == 17.0
    assert error_of(reply({}, status=status)).retry_after is None


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://other.example/login", "https://other.example/login"),
        ("https://u:secret@other.example:8443/a?token=secret#secret", "https://other.example:8443/a"),
        ("/login?next=secret", "/login"),
        ("https://[bad", "an address that cannot be read"),
        ("", "an address it does not name"),
        ("https://x.example/" + "a" * 500, "https://x.example/" + "a" * 182),
    ],
)
def test_a_redirect_names_its_target_without_secrets(location: str, shown: str) -> None:
    error = error_of(Reply(status=302, headers={"location": location} if location else {}))
    assert str(error) == f"{LABEL} was answered with 302, a redirect to {shown}"
    assert "secret" not in str(error)


def test_no_error_text_holds_what_was_sent() -> None:
    exchange = wire.start(flow_id="f", body=b"<canary/>", content_type="application/xml; canary")
    with pytest.raises(RequestRefused) as caught:
        drive(exchange, reply({"message": "no"}, status=400))
    assert not re.search("canary", f"{caught.value} {caught.value!r} {caught.value.args}")


def test_a_failing_cancel_is_not_tried_at_the_other_address() -> None:
    with pytest.raises(ServiceFault):
        drive(wire.cancel(ID), Reply(status=503))
    with pytest.raises(KeyRefused):
        drive(wire.cancel(ID), Reply(status=401))


def test_a_failing_hold_is_not_asked_again_without_it() -> None:
    with pytest.raises(ServiceFault):
        drive(wire.progress(ID, hold_seconds=5), Reply(status=503))


def test_a_hold_and_a_plain_question_that_are_both_rejected_are_an_error() -> None:
    with pytest.raises(RequestRefused):
        drive(wire.progress(ID, hold_seconds=5), Reply(status=400), Reply(status=400))


def test_a_closed_exchange_asks_no_more() -> None:
    exchange = wire.progress(ID)
    next(exchange)
    exchange.close()
    with pytest.raises(StopIteration):
        next(exchange)
    assert drive(wire.progress(ID), reply(progress_of("Running"))).result.status == "Running"
