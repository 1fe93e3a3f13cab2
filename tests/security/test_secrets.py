"""The key is in the connection and in the request's header, and nowhere else, whatever goes wrong.

Every class of the error tree is driven once with a canary for a key, in every way that raises it: hook,
tasks in both modes, sensor. Then all that is left behind is searched: the error with its chain and with the
locals of its frames, as error reporters capture them, log lines, XComs, events, the rows of triggers, the
task's records, and the `repr` of every object that a DAG author can hold.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.airflow_versions import needs_lenient_connections, needs_task_state
from support.outcomes import acting, operator_for
from support.service import CONN_VARIABLE, LONG, START, asked, panel_flow
from support.tasks import MODES, Attempt, FakeStateStore, Mode, run_task
from support.telling import everything_said

from smartflows_provider import exceptions
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAmbiguousError,
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowConnectionError,
    FlowConnectionMissingError,
    FlowDocumentError,
    FlowEventError,
    FlowException,
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowExecutionInterruptedError,
    FlowExecutionWarningError,
    FlowInputError,
    FlowKilledError,
    FlowNotFoundError,
    FlowOutputError,
    FlowPermissionError,
    FlowRecordError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
    FlowUserInputRequiredError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.operators.smart_flows import SmartFlowsGetOutputOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
from smartflows_provider.triggers.execution import FlowExecutionTrigger

CANARY = "canary-0815-key"
SHORT = {"kind": "work", "duration": 0.1}
FORM = {"kind": "form", "fields": [{"key": "way", "title": "Way"}]}


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One way to an error of the tree."""

    kind: type[FlowException]
    steps: tuple[dict[str, Any], ...] = (SHORT,)
    faults: tuple[Fault, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] = field(default_factory=dict)
    before: Callable[[DevServer], object] | None = None
    meanwhile: Callable[[DevServer, str], object] | None = None
    before_resume: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    store: type[FakeStateStore] = FakeStateStore
    modes: tuple[Mode, ...] = MODES
    marks: tuple[pytest.MarkDecorator, ...] = ()
    """Of an Airflow that is needed for it."""


class UnwritableStore(FakeStateStore):
    """Takes the intent, and never the id."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if value["execution_id"] is not None:
            raise OSError("the API server does not answer")
        super().set(key, value, retention=retention)


def fault(action: Any = "status", **more: Any) -> Fault:
    return Fault(**{"action": action, "count": None, **more})


def echoing(status: int) -> Fault:
    """A service that repeats what it was sent, the key too, as some gateways do."""
    return fault(status=status, body=json.dumps({"message": f"refused: X-API-Key={CANARY}"}))


TROUBLES = {
    "no host": Trouble(kind=FlowConfigurationError, connection={"host": None}),
    "a key that no header carries": Trouble(
        kind=FlowConfigurationError, connection={"password": f"{CANARY}\r\nX: 1"}
    ),
    "extras that are no JSON": Trouble(
        kind=FlowConfigurationError, connection={"extra": "{nope"}, marks=(needs_lenient_connections,)
    ),
    "a hostile extra": Trouble(
        kind=FlowConfigurationError, connection={"extra": json.dumps({"verify": "perhaps"})}
    ),
    "a proxy with a secret that is no address": Trouble(
        kind=FlowConfigurationError, connection={"extra": json.dumps({"proxy": f"socks5://u:{CANARY}@p"})}
    ),
    "no such file": Trouble(
        kind=FlowConfigurationError, connection={"extra": json.dumps({"ca_bundle": "/no/such/file"})}
    ),
    "no such connection": Trouble(
        kind=FlowConnectionMissingError, arguments={"smart_flows_conn_id": "not_there"}
    ),
    "nobody listens": Trouble(kind=FlowConnectionError, before=lambda server: server.stop()),
    "a proxy that is not there": Trouble(
        kind=FlowConnectionError,
        connection={"extra": json.dumps({"proxy": f"http://u:{CANARY}@127.0.0.1:1"})},
    ),
    "no such host": Trouble(kind=FlowConnectionError, connection={"host": "http://no-such-host.invalid:81"}),
    "TLS where there is none": Trouble(kind=FlowConnectionError, connection={"schema": "https", "host": ""}),
    "an unknown key": Trouble(kind=FlowAuthenticationError, before=lambda server: server.revoke_key(CANARY)),
    "401 with the key in it": Trouble(kind=FlowAuthenticationError, faults=(echoing(401),)),
    "401 during the wait": Trouble(
        kind=FlowAuthenticationError,
        steps=(LONG,),
        meanwhile=lambda server, _: server.revoke_key(CANARY) or server.advance(3600),
    ),
    "403 with the key in it": Trouble(kind=FlowPermissionError, faults=(echoing(403),)),
    "403 during the wait": Trouble(
        kind=FlowPermissionError, steps=(LONG,), faults=(fault(status=403, path="/progress$"),)
    ),
    "no such flow": Trouble(kind=FlowNotFoundError, arguments={"flow": "No such flow"}),
    "404 with the key in it": Trouble(kind=FlowNotFoundError, faults=(echoing(404),)),
    "two flows of a name": Trouble(
        kind=FlowAmbiguousError,
        before=lambda server: [server.add_flow(id=one, name="Twin", steps=[]) for one in ("a", "b")],
        arguments={"flow": "Twin"},
    ),
    "input that is no XML": Trouble(kind=FlowInputError, arguments={"xml": "<a>"}),
    "400 with the key in it": Trouble(kind=FlowRequestRefusedError, faults=(echoing(400),)),
    "a redirect": Trouble(
        kind=FlowRequestRefusedError, faults=(fault("redirect", location=f"https://x.example/?k={CANARY}"),)
    ),
    "500 with the key in it": Trouble(kind=FlowServiceError, faults=(echoing(500),)),
    "429 with the key in it": Trouble(kind=FlowServiceError, faults=(echoing(429),)),
    "a sign-in page": Trouble(kind=FlowServiceError, faults=(fault("html"),)),
    "half an answer": Trouble(kind=FlowServiceError, faults=(fault("truncated", method="GET"),)),
    "too large an answer": Trouble(
        kind=FlowServiceError, faults=(fault("oversized", method="GET", size=70_000_000),)
    ),
    "a connection that breaks": Trouble(kind=FlowServiceError, faults=(fault("reset", method="GET"),)),
    "a start without an answer": Trouble(
        kind=FlowSubmissionUnclearError,
        faults=(fault("reset", method="POST", path=START, taken=True, count=1),),
    ),
    "a start with 502 and the key in it": Trouble(
        kind=FlowSubmissionUnclearError,
        faults=(
            fault(status=502, body=f"<h1>{CANARY}</h1>", method="POST", path=START, taken=True, count=1),
        ),
    ),
    "a record that cannot be written": Trouble(
        kind=FlowRecordError, steps=(LONG,), store=UnwritableStore, marks=(needs_task_state,)
    ),
    "a run that fails": Trouble(
        kind=FlowExecutionFailedError, steps=(SHORT, {"kind": "fail", "message": "no customer"})
    ),
    "a run that warns": Trouble(
        kind=FlowExecutionWarningError,
        steps=(SHORT, {"kind": "warning", "message": "no logo"}),
        arguments={"on_warning": "fail"},
    ),
    "a run that is interrupted": Trouble(
        kind=FlowExecutionInterruptedError, steps=(SHORT, {"kind": "interrupt", "message": "moved"})
    ),
    "a run that is cancelled": Trouble(
        kind=FlowExecutionCanceledError,
        steps=(LONG,),
        meanwhile=lambda _, execution_id: SmartFlowsHook().cancel(execution_id),
    ),
    "a form": Trouble(kind=FlowUserInputRequiredError, steps=(FORM,), arguments={"on_user_input": "fail"}),
    "answers that do not fit": Trouble(
        kind=FlowUserInputRequiredError,
        steps=(FORM,),
        arguments={"on_user_input": "answer", "answers": {"other": 1}},
    ),
    "a time limit": Trouble(kind=FlowTimeoutError, steps=(LONG,), arguments={"timeout": 0.2}),
    "a time limit whose cancel fails": Trouble(
        kind=FlowTimeoutError,
        steps=(LONG,),
        arguments={"timeout": 0.2},
        faults=(fault(status=403, body=CANARY, method="DELETE"),),
    ),
    "an outage": Trouble(
        kind=FlowStateUnknownError,
        steps=(LONG,),
        faults=(fault("reset", path="/progress$"),),
        arguments={"max_outage": 0.2},
    ),
    "an outage with the key in it": Trouble(
        kind=FlowStateUnknownError,
        steps=(LONG,),
        faults=(fault(status=503, body=f"sent {CANARY}", path="/progress$"),),
        arguments={"max_outage": 0.2},
    ),
    "a run that is purged": Trouble(
        kind=FlowExecutionGoneError, steps=(LONG,), meanwhile=lambda server, one: server.expire(one)
    ),
    "an output that is not there": Trouble(
        kind=FlowOutputError, arguments={"outputs": {"sum": "no.such.value"}}
    ),
    "a sign-in page for a document": Trouble(
        kind=FlowDocumentError,
        before=lambda server: server.add_flow(
            name="Paper",
            start_from="panel",
            templates={"page.j2": "<h1>Dear Ada</h1>"},
            steps=[{"id": "d1", "kind": "document", "template": "page.j2", "file_name": "a.pdf"}],
        ),
        arguments={"flow": "Paper", "documents_path": "landed"},
        faults=(fault("html", path="/content$"),),
    ),
    "an event that is not ours": Trouble(
        kind=FlowEventError, before_resume=lambda event: {"answer": event}, modes=("deferrable",)
    ),
    "a kill": Trouble(kind=FlowKilledError, steps=(LONG,), modes=("sync",)),
}
CASES = [
    pytest.param((name, mode), id=f"{name}, {mode}", marks=trouble.marks)
    for name, trouble in TROUBLES.items()
    for mode in trouble.modes
]


@pytest.fixture(autouse=True)
def canary(server: DevServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """The default connection, with the canary for a key; call it to change fields."""
    server.add_key(CANARY)
    monkeypatch.chdir(tmp_path)

    def connect(**fields: Any) -> None:
        given = {**json.loads(server.connection_json(api_key=CANARY)), **fields}
        if given.get("schema") == "https":
            given["host"] = f"https://127.0.0.1:{server.port}"
        monkeypatch.setenv(CONN_VARIABLE, json.dumps(given))

    connect()
    return connect


class LogOfAll(logging.Handler):
    """Keeps every record of every logger, with its arguments, and what was printed."""

    def __init__(self, printed: pytest.CaptureFixture[str]) -> None:
        super().__init__(logging.DEBUG)
        self._printed = printed
        self._lines: list[str] = []

    def __str__(self) -> str:
        printed = self._printed.readouterr()
        return "\n".join([*self._lines, printed.out, printed.err])

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(f"{record.getMessage()} {record.args!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self._lines += traceback.format_exception(record.exc_info[1])


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[LogOfAll]:
    handler, root = LogOfAll(capfd), logging.getLogger()
    root.addHandler(handler)
    with caplog.at_level(logging.DEBUG):
        yield handler
    root.removeHandler(handler)


def hunt(**places: object) -> None:
    """Insist that the canary is in none of the places, and say in which it is."""
    said = {name: str(place) for name, place in places.items()}
    found = {
        name: [line.strip()[:300] for line in text.splitlines() if CANARY in line]
        for name, text in said.items()
        if CANARY in text
    }
    assert found == {}


def test_every_class_of_the_tree_is_driven() -> None:
    tree = {
        one
        for one in vars(exceptions).values()
        if inspect.isclass(one) and issubclass(one, FlowException) and one is not FlowException
    }
    assert {trouble.kind for trouble in TROUBLES.values()} == tree


def run_to_its_error(
    trouble: Trouble, mode: Mode, *, server: DevServer, attempt: Attempt
) -> tuple[FlowException, Any]:
    """Run a task into trouble; return the error and the task."""
    operator = operator_for(mode, **trouble.arguments)

    def meanwhile(execution_id: str) -> None:
        if trouble.meanwhile is not None:
            trouble.meanwhile(server, execution_id)
        if trouble.kind is FlowKilledError:
            operator.on_kill()

    acts = trouble.meanwhile is not None or trouble.kind is FlowKilledError
    with acting(server, meanwhile if acts else None), pytest.raises(FlowException) as raised:
        run_task(operator, attempt)
    return raised.value, operator


@pytest.mark.parametrize("case", CASES)
def test_no_trouble_of_a_task_tells_the_key(
    server: DevServer,
    canary: Callable[..., None],
    logged: LogOfAll,
    case: tuple[str, Mode],
) -> None:
    name, mode = case
    trouble = TROUBLES[name]
    server.configure(hold="ignored")
    panel_flow(server, *trouble.steps)
    if trouble.before is not None:
        trouble.before(server)
    canary(**trouble.connection)
    for one in trouble.faults:
        server.inject(one)
    attempt = Attempt(store=trouble.store(), before_resume=trouble.before_resume)
    error, operator = run_to_its_error(trouble, mode, server=server, attempt=attempt)
    assert type(error) is trouble.kind, error
    assert attempt.store is not None
    hunt(
        error=everything_said(error),
        log=logged,
        xcoms=json.dumps(attempt.xcoms),
        rows=json.dumps([trigger.serialize() for trigger in attempt.deferrals]),
        triggers=[(repr(trigger), vars(trigger)) for trigger in attempt.deferrals],
        events=json.dumps(attempt.events),
        records=attempt.store.entries,
        operator=(repr(operator), vars(operator)),
    )


HOOK_TROUBLES = [
    pytest.param(name, marks=trouble.marks)
    for name, trouble in TROUBLES.items()
    if trouble.kind
    in {
        FlowConfigurationError,
        FlowConnectionError,
        FlowAuthenticationError,
        FlowPermissionError,
        FlowNotFoundError,
        FlowRequestRefusedError,
        FlowServiceError,
    }
    and trouble.meanwhile is None
    and not trouble.arguments
    and not any(one.path for one in trouble.faults)
]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("name", HOOK_TROUBLES)
def test_no_trouble_of_the_hook_tells_the_key(
    server: DevServer, canary: Callable[..., None], logged: LogOfAll, name: str, asynchronous: bool
) -> None:
    trouble = TROUBLES[name]
    if trouble.before is not None:
        trouble.before(server)
    canary(**trouble.connection)
    for one in trouble.faults:
        server.inject(one)
    hook = SmartFlowsHook()

    async def ask() -> object:
        async with hook:
            return await hook.alist_flows()

    with pytest.raises(FlowException) as raised:
        asyncio.run(ask()) if asynchronous else hook.list_flows()
    assert type(raised.value) is trouble.kind
    worked, said = hook.test_connection()
    assert not worked
    hunt(error=everything_said(raised.value), log=logged, said=said, hook=vars(hook))


@pytest.mark.parametrize("way", ["poke", "reschedule", "deferrable"])
@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_no_trouble_of_the_sensor_tells_the_key(
    server: DevServer, hook: SmartFlowsHook, logged: LogOfAll, way: Any, status: int
) -> None:
    execution_id = hook.start(panel_flow(server, LONG).id).execution_id
    server.inject(fault(status=status, body=f"sent {CANARY}", path="/progress$"))
    sensor = SmartFlowsExecutionSensor(
        task_id="s",
        execution_id=execution_id,
        poke_interval=0.05,
        timeout=0.6,
        max_outage=0.2,
        **({"deferrable": True} if way == "deferrable" else {"mode": way}),
    )
    attempt = Attempt()
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any: a reschedule and a timeout are among them
        run_task(sensor, attempt)
    hunt(
        error=everything_said(raised.value),
        log=logged,
        xcoms=json.dumps(attempt.xcoms),
        rows=json.dumps([trigger.serialize() for trigger in attempt.deferrals]),
        events=json.dumps(attempt.events),
        sensor=vars(sensor),
    )


def test_no_object_that_people_hold_shows_the_key(server: DevServer, logged: LogOfAll) -> None:
    panel_flow(server, SHORT, {"kind": "output", "values": {"sum": 7}})
    hook = SmartFlowsHook()
    operator, attempt = operator_for("deferrable"), Attempt()
    manifest = run_task(operator, attempt)
    execution_id = manifest["execution_id"]

    async def of_the_async_client() -> list[str]:
        async with SmartFlowsHook() as other:
            client = await other.aclient()
            await other.aget_progress(execution_id)
            return [repr(client), repr(vars(client)), repr(vars(other))]

    things = [
        hook,
        hook.settings,
        hook.client,
        hook.get_conn(),
        hook.identity(execution_id=execution_id),
        hook.look_exchange(execution_id, hold_seconds=1),
        next(hook.look_exchange(execution_id, hold_seconds=1)),
        hook.get_progress(execution_id),
        hook.get_execution(execution_id),
        operator,
        SmartFlowsGetOutputOperator(task_id="o", execution_id=execution_id),
        FlowExecutionTrigger(
            system="smartflows", conn_id="smartflows_default", execution_id=execution_id, deadline=4e9
        ),
        *attempt.deferrals,
        manifest,
    ]
    assert asked(server, "GET", "/progress")
    hunt(
        reprs=[repr(thing) for thing in things],
        texts=[str(thing) for thing in things],
        clients=[repr(vars(hook)), repr(vars(hook.client)), *asyncio.run(of_the_async_client())],
        log=logged,
        manifest=json.dumps(manifest),
        xcoms=json.dumps(attempt.xcoms),
    )
