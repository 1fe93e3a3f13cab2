"""The command line, as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from devserver_calling import ORDER, XSD

from smartflows_provider.devserver.__main__ import main

Launch = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Return a function that starts the command line and returns the process and its first line."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "smartflows_provider.devserver", *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        )
        processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def _address(line: str) -> str:
    found = re.fullmatch(r"Smart Flows devserver listens on (http://\S+) \(flows: (.+)\)\n", line)
    assert found is not None, line
    return found[1]


def test_it_greets_with_its_address_and_ends_cleanly_on_sigterm(launch: Launch) -> None:
    process, line = launch("--port", "0", "--api-key", "k", "--profile", "created_page_html")
    assert line.endswith("(flows: Sales report)\n")
    address = _address(line)
    answer = requests.get(f"{address}/api/v1/flows", headers={"X-API-Key": "k"}, timeout=20)
    assert [flow["displayName"] for flow in answer.json()["content"]] == ["Sales report"]
    _ends_cleanly(process, signal.SIGTERM)


def test_a_kill_loses_nothing(launch: Launch, tmp_path: Path) -> None:
    folder = tmp_path / "flows" / "order"
    folder.mkdir(parents=True)
    (folder / "order.xsd").write_text(XSD)
    (folder / "p.html.j2").write_text("<p>{{ data.Customer }}</p>")
    (folder / "flow.yaml").write_text(
        "id: order\nname: Order\nstart_from: program\nxsd: order.xsd\n"
        "steps:\n  - {id: page, kind: document, template: p.html.j2, format: html}\n"
        "  - {id: ask, kind: form, fields: [{key: x}]}\n"
    )
    arguments = ("--port", "0", "--api-key", "k", "--flows", folder.parent, "--state", tmp_path / "s.sqlite")
    key = {"X-API-Key": "k"}

    process, line = launch(*arguments)
    base = f"{_address(line)}/api/v1/flows/executions"
    headers = {**key, "Content-Type": "application/xml"}
    started = requests.post(base, params={"flowId": "order"}, data=ORDER, headers=headers, timeout=20)
    execution = started.json()["id"]
    process.send_signal(signal.SIGKILL)
    process.wait(60)

    process, line = launch(*arguments)
    address = f"{_address(line)}/api/v1"
    path = f"{address}/flows/executions/{execution}/progress"
    assert requests.post(path, json={"x": "y"}, headers=key, timeout=20).json()["status"] == "Success"
    process.send_signal(signal.SIGKILL)
    process.wait(60)

    process, line = launch(*arguments)
    address = f"{_address(line)}/api/v1"
    path = f"{address}/flows/executions/{execution}/progress"
    document = requests.get(path, headers=key, timeout=20).json()["model"]["page"]["id"]
    content = requests.get(f"{address}/documents/{document}/content", headers=key, timeout=20)
    assert content.text == "<p>Łukasz &amp; Sons</p>"


def test_faults_over_http_can_be_switched_off_and_roles_given(launch: Launch) -> None:
    process, line = launch("--port", "0", "--api-key", "a:b", "--api-key", "r:reader", "--no-faults")
    address = _address(line)
    roles = [
        requests.get(f"{address}/api/v1/users/me", headers={"X-API-Key": key}, timeout=20).json()["role"]
        for key in ("a:b", "r")
    ]
    assert roles == ["super user", "reader"]
    faults = requests.post(
        f"{address}/__devserver__/faults", json={"action": "reset"}, headers={"X-API-Key": "a:b"}, timeout=20
    )
    assert faults.status_code == 404
    _ends_cleanly(process, signal.SIGINT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--profile", "lists=set"), "The devserver cannot start: lists is 'set', but can be array, page\n"),
        (("--ssl-certfile", "/nonexistent.pem"), "The devserver cannot start: [Errno 2] No such file"),
        (("--flows", "/nonexistent"), "The devserver cannot start: /nonexistent holds no flow"),
        (("--port", "99999"), "The devserver cannot start: the port is 99999, but can be 0 to 65535\n"),
        (("--port", "-1"), "The devserver cannot start: the port is -1, but can be 0 to 65535\n"),
        (("--ssl-keyfile", __file__), "The devserver cannot start: a private key needs a certificate\n"),
        (("--profile", "speed=nan"), "The devserver cannot start: speed is nan, but must be a finite"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert main(["--port", "0", *arguments]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(message)
    assert errors.count("\n") == 1


def _ends_cleanly(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "", "")
