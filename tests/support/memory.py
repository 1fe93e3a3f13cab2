"""A Smart Flows service and a clock in memory, below the real clients: no sockets, no waiting.

Only the last step of a client, the sending of one request, is replaced; wire, repetition, hooks and all above
are the real ones. Invariant: time passes only where something sleeps, or a test says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import tenacity
from airflow.sdk.bases import sensor as sensor_base

from smartflows_provider.lifecycle import deferred_kill, poller, stop
from smartflows_provider.lifecycle.begin import RunBeginning
from smartflows_provider.lifecycle.stop import cancel_and_settle
from smartflows_provider.operators import remote_run
from smartflows_provider.sensors import execution_watch
from smartflows_provider.transport import repetition
from smartflows_provider.transport.asynchronous import AsyncClient
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.waiting import clock as clock_module
from smartflows_provider.wire import retry_after
from smartflows_provider.wire.messages import Request, Response
from support.service import CONN_VARIABLE

KEY = "canary-key-91c4"
"""The secret that must not show anywhere."""
HOST = "https://flows.example.com"
FLOW = "Letter"
FLOW_ID = "11111111-2222-3333-4444-555555555555"
STABLE = frozenset({"Success", "Warning", "Error", "Canceled", "Interrupted"})
FORM_FIELD = "way"


class MemoryClock:
    """The wall clock, which a test may move, and the steady one, which only goes on."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew, with nobody who interferes with sleeping."""
        self.wall, self.steady = 1_800_000_000.0, 1_000.0
        self.on_sleep: Callable[[], None] = lambda: None

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds

    def sleep(self, seconds: float) -> None:
        self.go_on(max(seconds, 0.0))
        self.on_sleep()

    def utcnow(self) -> datetime:
        return datetime.fromtimestamp(self.wall, tz=UTC)


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of a run if nobody interferes."""

    seconds: float = 5.0
    end: str = "Success"
    cancel_seconds: float = 0.0
    """How long it goes on after a cancel was taken."""


@dataclass
class MemoryRun:
    """One execution at the service."""

    id: str
    fate: Fate
    started: float
    created_at: str
    status: str
    body: str
    ours: bool
    began_wall: float
    cancel_due: float | None = None
    canceled_by: set[str] = field(default_factory=set)
    purged: bool = False

    @property
    def alive(self) -> bool:
        return not self.purged and self.status not in STABLE


class MemoryService:
    """The executions of one project, and the answers to the calls about them."""

    def __init__(self, clock: MemoryClock) -> None:
        self.clock = clock
        self.runs: list[MemoryRun] = []
        self.keys = {KEY}
        self.fates: list[Fate] = [Fate()]
        self.requests: list[Request] = []

    def start(self, *, body: str = "", ours: bool = True) -> MemoryRun:
        """Start an execution; its fate is the next one, the last fate goes on for ever."""
        number = len([run for run in self.runs if run.ours]) if ours else 0
        fate = self.fates[min(number, len(self.fates) - 1)] if ours else Fate(seconds=1e9)
        run = MemoryRun(
            id=str(UUID(int=len(self.runs) + 1)),
            fate=fate,
            started=self.clock.steady,
            created_at=self.clock.utcnow().isoformat(),
            status="Running",
            body=body,
            ours=ours,
            began_wall=self.clock.wall,
        )
        self.runs.append(run)
        self.go_on()
        return run

    def go_on(self) -> None:
        """Bring every run to where it is at this moment."""
        now = self.clock.steady
        for run in self.runs:
            if run.status in STABLE:
                continue
            if run.cancel_due is not None and run.cancel_due <= now:
                run.status = "Canceled"
            elif run.status == "Running" and run.started + run.fate.seconds <= now:
                run.status = run.fate.end

    def cancel(self, run: MemoryRun, *, by: str) -> None:
        """Take a request to cancel a run."""
        if run.status in STABLE:
            return
        run.canceled_by.add(by)
        due = self.clock.steady + run.fate.cancel_seconds
        run.cancel_due = due if run.cancel_due is None else min(run.cancel_due, due)
        self.go_on()

    def answer(self, request: Request, *, key: str = KEY) -> Response:
        """Answer a call."""
        self.go_on()
        self.requests.append(request)
        if key not in self.keys:
            return reply(request, {"message": f"the key {key} is not known"}, status=401)
        path, query = request.path, dict(request.query)
        if request.method == "POST" and path in {"/flows/executions", "/flows/executions/start"}:
            body = request.body.decode() if isinstance(request.body, bytes) else ""
            run = self.start(body=body)
            return reply(request, self.progress(run) if path == "/flows/executions" else self.execution(run))
        if path == "/flows":
            return reply(request, [{"id": FLOW_ID, "displayName": FLOW}])
        if path == f"/flows/{FLOW_ID}/executions":
            listed = sorted((run for run in self.runs if not run.purged), key=lambda run: run.created_at)
            page, size = int(query["page"]), int(query["size"])
            listed = listed[::-1][page * size : (page + 1) * size]
            return reply(request, [self.execution(run) for run in listed])
        run_id, _, what = path.removeprefix("/flows/executions/").partition("/")
        found = next((run for run in self.runs if run.id == run_id and not run.purged), None)
        if found is None:
            return reply(request, {"message": "no such execution"}, status=404)
        if request.method == "DELETE":
            self.cancel(found, by="us")
        elif request.method == "POST":
            found.status = "Running"
            self.go_on()
        return reply(request, self.progress(found) if what == "progress" else self.execution(found))

    def progress(self, run: MemoryRun) -> dict[str, Any]:
        form = {
            "schema": {"type": "object", "properties": {FORM_FIELD: {"type": "string", "title": "Way"}}},
            "form": [{"key": FORM_FIELD, "title": "Way"}],
            "model": {},
        }
        return {"id": run.id, "status": run.status, **(form if run.status == "UserInput" else {})}

    def execution(self, run: MemoryRun) -> dict[str, Any]:
        errors = [{"error": "FlowError", "message": "No such customer"}]
        state = {
            "inputData": run.body,
            "output": {"model": {"total": 7}} if run.status in {"Success", "Warning"} else None,
            "errors": errors if run.status == "Error" else [],
            "warnings": ["The logo is missing"] if run.status == "Warning" else [],
        }
        return {
            "id": run.id,
            "status": run.status,
            "flow": {"id": FLOW_ID, "displayName": FLOW},
            "createdAt": run.created_at,
            "state": state,
        }


def reply(request: Request, body: Any, *, status: int = 200, **headers: str) -> Response:
    """Return an answer with a JSON body; ``retry_after="3"`` names a header."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status=status,
        headers={"content-type": "application/json", **given},
        body=json.dumps(body).encode(),
        request=request,
    )


class _AtOnce:
    """Stands for a thread whose work is done when it is started."""

    def __init__(self, *, target: Callable[[], None], **_: Any) -> None:
        self.start = target

    def join(self, timeout: float) -> None:
        """Do nothing; there is nothing to wait for."""


Interfere = Callable[[Request, Callable[[], Response]], Response]
"""Answers a request, or raises; the second argument is the service's own answer."""


class Memory:
    """Clock and service, and what a test does in between; :meth:`renew` makes both new."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
        self.clock = MemoryClock()
        self.renew()
        self._extra = extra
        self._monkeypatch = monkeypatch
        self.set_connection()
        stopped = SimpleNamespace(
            time=self.clock.time,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
        )

        async def sleep_in_loop(seconds: float) -> None:
            self.clock.sleep(seconds)

        modules = (clock_module, remote_run, deferred_kill, execution_watch, retry_after, sensor_base)
        for module in modules:
            monkeypatch.setattr(module, "time", stopped)
        monkeypatch.setattr(sensor_base, "timezone", SimpleNamespace(utcnow=self.clock.utcnow))
        # A hurried cancel is sent from a thread of its own; here it is sent at once.
        monkeypatch.setattr(stop, "threading", SimpleNamespace(Thread=_AtOnce))
        monkeypatch.setattr(poller, "call_later", self._call_later)
        monkeypatch.setattr(repetition, "Retrying", partial(tenacity.Retrying, sleep=stopped.sleep))
        monkeypatch.setattr(repetition, "AsyncRetrying", partial(tenacity.AsyncRetrying, sleep=sleep_in_loop))
        given = {"clock": stopped.time, "steady": stopped.monotonic, "sleep": stopped.sleep}
        for name, value in given.items():
            monkeypatch.setitem(RunBeginning.__init__.__kwdefaults__, name, value)
        monkeypatch.setitem(cancel_and_settle.__kwdefaults__, "clock", stopped.monotonic)
        monkeypatch.setitem(cancel_and_settle.__kwdefaults__, "sleep", stopped.sleep)

        def send_once(client: BlockingClient | AsyncClient, request: Request) -> Response:
            settings = client.settings
            (key,) = settings.auth_headers.values()
            serve = partial(self.service.answer, request, key=key)
            return settings.without_secrets(self.interfere(request, serve))

        async def send_once_in_loop(client: AsyncClient, request: Request) -> Response:
            with _torn_down():
                return send_once(client, request)

        monkeypatch.setattr(BlockingClient, "_send_once", send_once)
        monkeypatch.setattr(AsyncClient, "_send_once", send_once_in_loop)

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.Handle:
        with _torn_down():
            self.clock.sleep(seconds)
        return asyncio.get_running_loop().call_soon(callback)

    def set_connection(self, *, password: str = KEY) -> None:
        """Make the connection lead to the service, with a key."""
        connection = {
            "conn_type": "smartflows",
            "host": HOST,
            "password": password,
            "extra": {"execution_url": f"{HOST}/executions/{{execution_id}}", **self._extra},
        }
        self._monkeypatch.setenv(CONN_VARIABLE, json.dumps(connection))

    def renew(self) -> None:
        """Begin anew, with no run and nobody who interferes."""
        self.clock.begin()
        self.service = MemoryService(self.clock)
        self.interfere: Interfere = lambda request, serve: serve()


_ends: list[BaseException] = []
"""What has ended the triggerer's process that is running."""


@contextmanager
def _torn_down() -> Iterator[None]:
    """Let what ends a triggerer end all that runs in it, wherever in it that has come up."""
    try:
        yield
    except BaseException as end:
        if not isinstance(end, Exception):
            _ends.append(end)
            for task in asyncio.all_tasks():
                task.cancel()
        raise


def event_of(trigger: Any) -> dict[str, Any]:
    """Run a trigger to its end, as the triggerer does, and return its event's payload."""

    async def run() -> dict[str, Any]:
        _ends.clear()
        try:
            events = [event.payload async for event in trigger.run()]
        except asyncio.CancelledError:
            raise _ends[0] from None
        return events[0]

    return json.loads(json.dumps(asyncio.run(run())))
