"""No trouble of a process tells the Api access token or a bearer token, in no error, log, record or row."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from support.tasks import MODES, Attempt, Mode, run_task
from support.telling import chain, locals_of
from support.workflow_server import CONN_VARIABLE, CREATION, process_task, workflow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.exceptions import FlowException
from smartflows_provider.lifecycle import begin
from smartflows_provider.operators.workflow_server import (
    WorkflowServerExecuteCommandOperator,
    WorkflowServerSetStateOperator,
)

__all__ = ["workflow"]

CANARY = "canary-api-token-77e0"
JSON = {"content-type": "application/json"}
ENVELOPE = json.dumps({"success": False, "error": "Denied", "message": f"the token {CANARY} is not known"})
ECHOES: dict[str, dict[str, Any]] = {
    "refusal with 200": {"status": 200, "body": ENVELOPE, "headers": JSON},
    "400": {"status": 400, "body": ENVELOPE, "headers": JSON},
    "401": {"status": 401, "body": ENVELOPE, "headers": JSON},
    "403": {"status": 403, "body": f"<p>{CANARY}</p>"},
    "404": {"status": 404, "body": CANARY},
    "500": {"status": 500, "body": ENVELOPE, "headers": JSON},
}
PLACES = {
    "creation": CREATION,
    "existence": "isexistprocess",
    "look": "getinstanceinfo",
    "stop": "setstate",
    "token": "/connect/token",
}


@pytest.fixture(params=["token", "openid"])
def server(
    request: pytest.FixtureRequest,
    smart_flows_server: DevServer,
    workflow: WorkflowServerSection,
    monkeypatch: pytest.MonkeyPatch,
) -> DevServer:
    """A server that takes the canary."""
    monkeypatch.setattr(begin, "LOOK_UP_PAUSES", (0.01, 0.02))
    workflow.configure(access=request.param)
    workflow.rotate(CANARY)
    monkeypatch.setenv(CONN_VARIABLE, smart_flows_server.section_connection_json(WorkflowServerSection))
    return smart_flows_server


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(f"{record.getMessage()} {record.args!r}")  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)


def everything_said(error: BaseException) -> str:
    said = [repr(pickle.dumps(error)), locals_of(error)]
    for one in chain(error):
        said += ["".join(traceback.format_exception(one)), repr(one.args), repr(vars(one))]
    return "\n".join(said)


def hunt(workflow: WorkflowServerSection, error: BaseException, *places: object) -> None:
    said = "\n".join([everything_said(error), *map(str, places)])
    for secret in (CANARY, *workflow.issued):
        assert secret not in said, [line for line in said.splitlines() if secret in line]
    assert workflow.leaks == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("echo", ECHOES)
def test_no_trouble_of_a_process_tells_a_token(
    workflow: WorkflowServerSection,
    server: DevServer,
    logged: list[str],
    capfd: pytest.CaptureFixture[str],
    *,
    mode: Mode,
    place: str,
    echo: str,
) -> None:
    answers = {"action": "status", "path": PLACES[place], "count": None, **ECHOES[echo]}
    server.inject(Fault(**answers))
    attempt = Attempt()
    task = process_task(mode, scheme_code="Long", timeout=0.4, max_outage=0.2, on_kill="set_state:Stopped")
    with pytest.raises(FlowException) as caught:
        run_task(task, attempt)
    assert attempt.store is not None
    rows = [trigger.serialize() for trigger in attempt.deferrals]
    kept = (attempt.xcoms, attempt.store.entries, rows, attempt.events)
    hunt(workflow, caught.value, logged, capfd.readouterr(), *kept, repr(vars(task)))


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("place", ["executecommand", "setstate", "getavailablecommands"])
def test_no_trouble_of_a_command_or_a_state_tells_a_token(
    workflow: WorkflowServerSection,
    server: DevServer,
    logged: list[str],
    capfd: pytest.CaptureFixture[str],
    *,
    place: str,
    echo: str,
) -> None:
    process_id = run_task(process_task(scheme_code="Approval", wait_for="idle"))["execution_id"]
    answers = {"action": "status", "path": place, "count": None, **ECHOES[echo]}
    server.inject(Fault(**answers))
    given = {"task_id": "t", "process_id": process_id}
    task = (
        WorkflowServerSetStateOperator(state="Withdrawn", **given)
        if place == "setstate"
        else WorkflowServerExecuteCommandOperator(command="approve", **given)
    )
    with pytest.raises(FlowException) as caught:
        task.execute(Attempt().context())
    hunt(workflow, caught.value, logged, capfd.readouterr(), repr(vars(task)))
