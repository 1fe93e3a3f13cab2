"""How the service's own words fit into our sentences."""

from __future__ import annotations

import json

import pytest

from smartflows_provider.wire.answers import error_text
from smartflows_provider.wire.messages import Request, Response


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps({"message": "It is closed.", "errors": ["Line 2."]}).encode()),
        ("text/plain; charset=utf-8", b"It is closed; Line 2.\n"),
    ],
)
def test_an_errors_text_does_not_bring_its_own_full_stop(content_type: str, body: bytes) -> None:
    request = Request(method="GET", path="/flows")
    answer = Response(status=400, headers={"content-type": content_type}, body=body, request=request)
    assert error_text(answer) == "It is closed; Line 2"
