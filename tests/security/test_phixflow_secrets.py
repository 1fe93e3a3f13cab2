"""The key of a PhixFlow connection, which its author names a header for, is nowhere but in that header.

Endpoints may answer anything, with any code, and repeat what they were sent; what is left behind of each
kind of trouble is searched: the error with its chain and the locals of its frames, log, XComs, events, the
rows of triggers, the task's records.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.phixflow import CONN, TRIGGER, WAYS, Bench, Way, bench
from support.tasks import MODES, Attempt, Mode, run_task
from support.telling import everything_said

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowNotFoundError,
    FlowOutputError,
    FlowPermissionError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
)

__all__ = ["bench"]

CANARY = "canary-4711-key"
STATUS = r"/status$"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One way to an error, and what the endpoint says of it."""

    kind: type[FlowException]
    faults: tuple[Fault, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] = field(default_factory=dict)
    ways: tuple[Way, ...] = WAYS


def answered(status: int, body: Any, path: str = TRIGGER) -> Fault:
    return Fault(
        action="status", status=status, body=json.dumps(body), headers=JSON, path=path, count=None, taken=True
    )


def echoed(status: int) -> Fault:
    """The key as gateways repeat it: in a message, in a key, and with its letters escaped."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in CANARY)
    body = (
        f'{{"message": "refused: Bearer {CANARY}", "{CANARY}": "{CANARY}", "status": "{escaped}", "detail": '
        f'"{escaped}"}}'
    )
    return Fault(action="status", status=status, body=body, headers=JSON, path=TRIGGER, count=None)


TROUBLES = {
    "400": Trouble(kind=FlowSubmissionUnclearError, faults=(echoed(400),)),
    "401": Trouble(kind=FlowAuthenticationError, faults=(echoed(401),)),
    "403": Trouble(kind=FlowPermissionError, faults=(echoed(403),)),
    "404": Trouble(kind=FlowNotFoundError, faults=(echoed(404),)),
    "405": Trouble(kind=FlowRequestRefusedError, faults=(echoed(405),)),
    "429": Trouble(kind=FlowServiceError, faults=(echoed(429),)),
    "503": Trouble(kind=FlowSubmissionUnclearError, faults=(echoed(503),)),
    "200": Trouble(kind=FlowSubmissionUnclearError, faults=(echoed(200),)),
    "a text": Trouble(
        kind=FlowSubmissionUnclearError,
        faults=(Fault(action="status", status=200, body=f"id {CANARY}", path=TRIGGER),),
        arguments={"id_field": "", "status_field": ""},
    ),
    "a redirect": Trouble(
        kind=FlowRequestRefusedError,
        faults=(
            Fault(action="redirect", path=TRIGGER, location=f"http://u:{CANARY}@127.0.0.1:9/?k={CANARY}"),
        ),
    ),
    "a failure": Trouble(
        kind=FlowExecutionFailedError,
        faults=(answered(200, {"status": "Fail", "message": CANARY}, TRIGGER),),
        ways=("wait",),
    ),
    "a failed start": Trouble(
        kind=FlowRequestRefusedError,
        faults=(answered(200, {"status": "Fail", "message": CANARY}),),
        ways=("sync", "deferrable"),
    ),
    "a reset": Trouble(
        kind=FlowSubmissionUnclearError, faults=(Fault(action="reset", path=TRIGGER, taken=True),)
    ),
    "no data": Trouble(kind=FlowOutputError, arguments={"output_name": "Orders"}),
    "no server": Trouble(kind=FlowConnectionError, connection={"host": "http://127.0.0.1", "port": 9}),
    "no header": Trouble(kind=FlowConfigurationError, connection={"extra": {"key_header": "X\r\nY"}}),
    "no place for the key": Trouble(
        kind=FlowConfigurationError, connection={"extra": {"key_value": f"Bearer {CANARY}"}}
    ),
    "a key that no header carries": Trouble(
        kind=FlowConfigurationError, connection={"password": f"{CANARY}\r\nX: 1"}
    ),
    "a status of another kind": Trouble(
        kind=FlowStateUnknownError,
        faults=(answered(200, {CANARY: CANARY}, STATUS),),
        arguments={"max_outage": 0.2},
        ways=("sync", "deferrable"),
    ),
    "a word that is the key": Trouble(
        kind=FlowTimeoutError,
        faults=(answered(200, {"status": CANARY, "message": CANARY}, STATUS),),
        arguments={"timeout": 0.3},
        ways=("sync", "deferrable"),
    ),
    "a run that is gone": Trouble(
        kind=FlowExecutionGoneError,
        faults=(answered(404, {"message": CANARY}, STATUS),),
        ways=("sync", "deferrable"),
    ),
}
CASES = [(name, way) for name, trouble in TROUBLES.items() for way in trouble.ways]


@pytest.fixture(autouse=True)
def secret(bench: Bench) -> None:
    bench.section.rotate(CANARY)
    bench.connect()


def hunt(error: BaseException | None, log: Any, attempt: Attempt) -> None:
    """Insist that the key is nowhere in what is left behind, and say where it is."""
    places = {
        "error": "" if error is None else everything_said(error),
        "log": repr(log),
        "xcoms": json.dumps(attempt.xcoms),
        "rows": json.dumps([trigger.serialize() for trigger in attempt.deferrals]),
        "triggers": repr([(trigger, vars(trigger)) for trigger in attempt.deferrals]),
        "events": json.dumps(attempt.events),
        "records": repr(attempt.store.entries if attempt.store else ""),
    }
    assert {name: text for name, text in places.items() if CANARY in text} == {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}, {case[1]}")
def test_no_trouble_tells_the_key(
    bench: Bench, case: tuple[str, Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, way = case
    trouble = TROUBLES[name]
    bench.add(way, seconds=600 if way != "wait" and "status" in name else 0)
    if trouble.connection:
        connection = json.loads(bench.server.section_connection_json(PhixFlowSection))
        monkeypatch.setenv(CONN, json.dumps({**connection, **trouble.connection}))
    for fault in trouble.faults:
        bench.server.inject(fault)
    attempt = Attempt()
    with capture_logs() as log, pytest.raises(FlowException) as raised:
        run_task(bench.task(way, **trouble.arguments), attempt)
    assert type(raised.value) is trouble.kind, raised.value
    hunt(raised.value, log, attempt)


@pytest.mark.parametrize("form", ["Bearer {key}", "{key}", "Token token={key};v=1"])
@pytest.mark.parametrize("way", WAYS)
def test_what_an_actionflow_returns_of_the_key_it_was_called_with_is_not_taken_along(
    bench: Bench, way: Way, form: str
) -> None:
    bench.section.configure(key_form="plain")
    bench.section.rotate(form.replace("{key}", CANARY))
    connection = json.loads(bench.server.section_connection_json(PhixFlowSection))
    connection |= {"password": CANARY, "extra": {"key_value": form}}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(CONN, json.dumps(connection))
        bench.add(way, result={"headers": {"authorization": form.replace("{key}", CANARY)}}, message=CANARY)
        attempt = Attempt()
        with capture_logs() as log:
            manifest = run_task(bench.task(way, output_name="Out"), attempt)
    assert "***" in json.dumps(manifest["values"])
    assert CANARY not in json.dumps(manifest)
    hunt(None, log, attempt)


@pytest.mark.parametrize("mode", MODES)
def test_a_kill_tells_no_key(bench: Bench, mode: Mode) -> None:
    bench.add(mode, seconds=600)
    operator, attempt = bench.task(mode, timeout=0.3), Attempt()
    with capture_logs() as log, pytest.raises(FlowTimeoutError) as raised:
        run_task(operator, attempt)
    operator.on_kill()
    hunt(raised.value, log, attempt)
    assert CANARY not in repr(vars(operator))
