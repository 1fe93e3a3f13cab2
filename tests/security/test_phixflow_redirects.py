"""Redirects of a PhixFlow server: neither a call of an endpoint nor a question takes the key elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.loopback_server import Connection, answer, answers
from support.phixflow import CONN, WAYS, Bench, Way, bench
from support.tasks import MODES, Mode, run_task

from smartflows_provider.exceptions import FlowRequestRefusedError, FlowStateUnknownError

__all__ = ["bench"]

KEY = "canary-redirect-key"


def away(status: int, target: str) -> Any:
    return answers(answer(status, location=f"{target}/elsewhere?token=canary-url"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_call_takes_the_key_to_another_address(
    bench: Bench, way: Way, status: int, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = serve(answers(answer(200, b'{"status": "Success", "processId": 1}')))
    service = serve(away(status, elsewhere.url))
    monkeypatch.setenv(CONN, json.dumps({"conn_type": "phixflow", "host": service.url, "password": KEY}))
    with pytest.raises(FlowRequestRefusedError, match="a redirect to") as refused:
        run_task(bench.task(way))
    assert (elsewhere.requests, len(service.requests)) == ([], 1)
    assert service.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert refused.value.fate == "Nothing was started."
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("mode", MODES)
def test_no_question_for_a_status_takes_the_key_to_another_address(
    bench: Bench, mode: Mode, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = serve(answers(answer(200, b'{"status": "Success"}')))

    def script(connection: Connection) -> None:
        while (received := connection.read_request()) is not None:
            started = answer(200, b'{"processId": 1}')
            sent_away = answer(302, location=f"{elsewhere.url}/?token=canary-url")
            connection.send(started if received.method == "POST" else sent_away)

    service = serve(script)
    monkeypatch.setenv(CONN, json.dumps({"conn_type": "phixflow", "host": service.url, "password": KEY}))
    with pytest.raises(FlowStateUnknownError, match="a redirect to") as unknown:
        run_task(bench.task(mode, max_outage=0.3))
    assert elsewhere.requests == []
    assert "canary" not in str(unknown.value)
