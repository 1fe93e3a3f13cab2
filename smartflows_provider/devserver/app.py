"""The HTTP side of the server: routes, keys, error bodies, the long poll.

Handlers turn requests into acts of the :class:`~.service.Service` and looks into JSON. They run in worker
threads, so that a document being rendered holds up nobody; only a held progress call stays on the event
loop. Invariants: every call below the API prefix but the public settings needs a valid key; every refusal
has the profile's error body.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from smartflows_provider import __version__
from smartflows_provider.devserver import objects, pages
from smartflows_provider.devserver.engine import Look
from smartflows_provider.devserver.faults import FaultBox, FaultMiddleware, fault_from_json
from smartflows_provider.devserver.filters import (
    FilterRefused,
    matcher_of,
    matcher_of_text,
    names_key,
    page_of,
    sort_entries,
)
from smartflows_provider.devserver.json_values import NotJson, read_json
from smartflows_provider.devserver.keys import Denied, KeyRing, User, check_may_switch_faults
from smartflows_provider.devserver.sections import Section
from smartflows_provider.devserver.service import Refused, Service
from smartflows_provider.wire.smart_flows import API_PREFIX, KEY_HEADER

CONTROL_PREFIX = "/__devserver__"
DEFAULT_HOLD_SECONDS = 30
LONGEST_HOLD_SECONDS = 300
"""What a negative ``timeout`` means, and the most that a positive one gets."""


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """A request as it came in."""

    method: str
    path: str
    """Decoded."""
    query: str
    """Raw."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case. Holds the key."""
    body_size: int
    """Bytes that were read of the body."""
    at: float
    """Epoch seconds of the real clock."""
    status: int | None
    """Of the answer; None where none was given, or not yet."""


class Journal:
    """The latest requests, oldest first. Safe to use from any thread."""

    def __init__(self, *, keep: int = 10_000) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._entries: dict[int, RecordedRequest] = {}
        self._count = 0

    def open(self, entry: RecordedRequest) -> int:
        """Keep a request that came in, and return its number."""
        with self._lock:
            self._count += 1
            self._entries[self._count] = entry
            self._entries.pop(self._count - self._keep, None)
            return self._count

    def update(self, number: int, *, body_size: int, status: int | None) -> None:
        """Keep what became of a request; one that is forgotten stays so."""
        with self._lock:
            if number in self._entries:
                entry = self._entries[number]
                self._entries[number] = replace(entry, body_size=body_size, status=status)

    def entries(self) -> list[RecordedRequest]:
        """Return what is kept."""
        with self._lock:
            return list(self._entries.values())

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the application works with."""

    service: Service
    keys: KeyRing
    faults: FaultBox
    journal: Journal
    remote_faults: bool
    """Whether faults can be switched over HTTP."""
    stopping: threading.Event
    """Set when held calls must end."""
    sections: Sequence[Section] = ()
    """The stand-ins of further systems."""


Handler = Callable[[Parts, Request, User], Awaitable[Response]]


def make_app(parts: Parts) -> ASGIApp:
    """Return the ASGI application."""
    routes: list[BaseRoute] = [
        Route(API_PREFIX + path, _guarded(parts, handler), methods=[method])
        for method, path, handler, _ in API_ROUTES
    ]
    routes += [
        Route(f"{API_PREFIX}/settings/public", _public_settings, methods=["GET"]),
        Route("/openapi.json", _openapi, methods=["GET"]),
        Route("/swagger-ui/", _swagger, methods=["GET"]),
        Route("/project", _people_page(parts), methods=["GET"]),
        Route("/client", _people_page(parts), methods=["GET"]),
        Route("/client/{rest:path}", _people_page(parts), methods=["GET"]),
        Route("/", _people_page(parts), methods=["GET"]),
    ]
    for section in parts.sections:
        routes += section.routes()
    if parts.remote_faults:
        routes += [
            Route(f"{CONTROL_PREFIX}/faults", _guarded(parts, handler), methods=[method])
            for method, handler in (("GET", _faults), ("POST", _add_fault), ("DELETE", _clear_faults))
        ]
    refused = _refusal(parts)
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(_Recorded, journal=parts.journal),
            Middleware(FaultMiddleware, box=parts.faults, exempt=CONTROL_PREFIX),
            Middleware(_WholeSegments),
        ],
        exception_handlers=dict.fromkeys((Refused, Denied, FilterRefused, HTTPException), refused),
    )


# --- around the handlers -----------------------------------------------------------------------------


class _Recorded:
    """Keeps every request in the journal: when it comes in, and before its answer goes out."""

    def __init__(self, app: ASGIApp, *, journal: Journal) -> None:
        self._app = app
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        number = self._journal.open(
            RecordedRequest(
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                headers=headers,
                body_size=0,
                at=time.time(),
                status=None,
            )
        )
        size = 0

        async def count() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._journal.update(number, body_size=size, status=message["status"])
            await send(message)

        await self._app(scope, count, note)


class _WholeSegments:
    """Keeps an encoded slash within its segment of the path, so that routes see one id where one was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw_path = scope.get("raw_path", b"").decode("latin-1")
        if _SLASH.search(raw_path):
            scope = {**scope, "path": unquote(_SLASH.sub("%252F", raw_path))}
        await self._app(scope, receive, send)


_SLASH = re.compile("%2F", re.IGNORECASE)


def _guarded(parts: Parts, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        user = parts.keys.user_of(request.headers.get(KEY_HEADER))
        for name, value in request.path_params.items():
            request.path_params[name] = value.replace("%2F", "/")
        return await handler(parts, request, user)

    return endpoint


def _refusal(parts: Parts) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        status = getattr(error, "status", getattr(error, "status_code", 400))
        message = error.detail if isinstance(error, HTTPException) else str(error)
        problems = list(getattr(error, "problems", ()))
        headers = dict(getattr(error, "headers", None) or {})
        form = parts.service.profile.error_body
        if form == "empty":
            return Response(status_code=status, headers=headers)
        if form == "text":
            return PlainTextResponse("\n".join([message, *problems]), status, headers)
        if form == "html":
            items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
            page = (
                f"<html><body><h1>Error {status}</h1><p>{escape(message)}</p><ul>{items}</ul></body></html>"
            )
            return HTMLResponse(page, status, headers)
        body = {
            "timestamp": objects.moment(parts.service.now()),
            "status": status,
            "message": message,
            "errors": [{"message": problem} for problem in problems],
            "path": request.url.path,
        }
        return JSONResponse(body, status, headers)

    return answer


# --- executions --------------------------------------------------------------------------------------


async def _start(parts: Parts, request: Request, user: User) -> Response:
    body, query, service = await request.body(), request.query_params, parts.service

    def act() -> dict[str, Any]:
        flow_id = query.get("flowId")
        record = service.start(
            service.flow_by_id(flow_id) if flow_id else None,
            user=user,
            body=body,
            content_type=request.headers.get("content-type", ""),
            dataset_id=query.get("datasetId"),
        )
        return objects.progress(service, record, service.look(record.id))

    return JSONResponse(await run_in_threadpool(act), service.profile.create_status)


async def _start_unattended(parts: Parts, request: Request, user: User) -> Response:
    body, service = await request.body(), parts.service
    flow = request.query_params.get("flow")
    if not flow:
        raise Refused("The parameter 'flow' is missing: the id or name of a flow.", status=400)

    def act() -> dict[str, Any]:
        record = service.start(
            service.flow(flow),
            user=user,
            body=body,
            content_type=request.headers.get("content-type", ""),
            unattended=True,
        )
        return objects.summary(service, record, service.look(record.id))

    return JSONResponse(await run_in_threadpool(act), service.profile.create_status)


async def _progress(parts: Parts, request: Request, user: User) -> Response:
    service, execution_id = parts.service, request.path_params["id"]
    deadline = time.monotonic() + _hold_seconds(service, request.query_params.get("timeout"))
    service.record(execution_id, user=user)
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    hung_up = asyncio.create_task(_hung_up(request, changed))

    def wake() -> None:
        loop.call_soon_threadsafe(changed.set)

    try:
        with service.watched(execution_id, wake):
            look = first = await run_in_threadpool(service.look, execution_id)
            while not (look.is_stable or _differs(service, first, look)):
                held = deadline - time.monotonic()
                if held <= 0 or hung_up.done() or parts.stopping.is_set():
                    break
                with suppress(TimeoutError):
                    until_change = max(look.next_change - service.now(), 0.001)
                    await asyncio.wait_for(changed.wait(), min(held, until_change))
                changed.clear()
                look = await run_in_threadpool(service.look, execution_id)
    finally:
        hung_up.cancel()
    return JSONResponse(objects.progress(service, service.record(execution_id, user=user), look))


async def _hung_up(request: Request, changed: asyncio.Event) -> None:
    """Return when the caller has gone, and let the call that is held for it end."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    changed.set()


def _hold_seconds(service: Service, text: str | None) -> float:
    if service.profile.hold == "rejected" and text is not None:
        raise Refused("Unknown parameter 'timeout'.", status=400)
    try:
        seconds = DEFAULT_HOLD_SECONDS if text is None else int(text)
    except ValueError:
        raise Refused("'timeout' must be a whole number of seconds.", status=400) from None
    if seconds == 0 and service.profile.zero_hold == "rejected":
        raise Refused("'timeout' must be above 0.", status=400)
    if service.profile.hold != "honoured":
        return 0.0
    if seconds == 0 and service.profile.zero_hold == "default":
        return float(DEFAULT_HOLD_SECONDS)
    return float(min(seconds, LONGEST_HOLD_SECONDS) if seconds >= 0 else LONGEST_HOLD_SECONDS)


def _differs(service: Service, first: Look, look: Look) -> bool:
    if first.status != look.status or first.waits_at is not look.waits_at:
        return True
    if service.profile.long_poll_until == "status":
        return False
    return (first.message, first.percentage) != (look.message, look.percentage)


async def _answer(parts: Parts, request: Request, user: User) -> Response:
    values, service = await _json(request), parts.service

    def act() -> dict[str, Any]:
        record = service.answer(request.path_params["id"], values, user=user)
        return objects.progress(service, record, service.look(record.id))

    return JSONResponse(await run_in_threadpool(act))


async def _cancel_at_progress(parts: Parts, request: Request, user: User) -> Response:
    return await _cancel(parts, request, user, address="progress")


async def _cancel_at_execution(parts: Parts, request: Request, user: User) -> Response:
    return await _cancel(parts, request, user, address="execution")


async def _cancel(parts: Parts, request: Request, user: User, *, address: str) -> Response:
    service = parts.service
    if service.profile.cancel_address not in {address, "both"}:
        raise HTTPException(405)

    def act() -> dict[str, Any]:
        record = service.cancel(request.path_params["id"], user=user)
        return objects.progress(service, record, service.look(record.id))

    shown = await run_in_threadpool(act)
    return Response(status_code=204) if service.profile.cancel_answer == "empty" else JSONResponse(shown)


async def _execution(parts: Parts, request: Request, user: User) -> Response:
    service = parts.service

    def act() -> dict[str, Any]:
        record = service.record(request.path_params["id"], user=user)
        return objects.execution(service, record, service.look(record.id))

    return JSONResponse(await run_in_threadpool(act))


async def _outputs(parts: Parts, request: Request, user: User) -> Response:
    service, output = parts.service, request.query_params.get("output")

    def act() -> dict[str, Any] | None:
        record = service.record(request.path_params["id"], user=user)
        return objects.with_outputs(service, record, service.look(record.id), output=output)

    shown = await run_in_threadpool(act)
    if shown is None:
        raise Refused(f"The execution has no output '{output}'.", status=404)
    return JSONResponse(shown)


async def _executions(parts: Parts, request: Request, user: User) -> Response:
    return await _list(parts, request, lambda: _summaries(parts.service, user, None))


async def _flow_executions(parts: Parts, request: Request, user: User) -> Response:
    flow = request.path_params["flow"]
    return await _list(parts, request, lambda: _summaries(parts.service, user, flow))


async def _filtered(parts: Parts, request: Request, user: User) -> Response:
    node = await _json(request)
    return await _list(parts, request, lambda: _summaries(parts.service, user, None), node=node)


def _summaries(service: Service, user: User, flow: str | None) -> list[dict[str, Any]]:
    wanted = service.flow(flow) if flow else None
    return [
        objects.summary(service, record, service.look(record.id))
        for record in service.records(user=user, flow=wanted)
    ]


async def _event(parts: Parts, request: Request, user: User) -> Response:
    service = parts.service
    text = (await request.body()).decode("utf-8", "replace")

    def act() -> dict[str, Any]:
        record, step = service.send_event(
            request.path_params["id"],
            text=text,
            execution_id=request.query_params.get("executionId"),
            user=user,
        )
        return {"executionId": record.id, "callback": step.name, "resumed": True}

    return JSONResponse(await run_in_threadpool(act))


# --- flows, documents, around ------------------------------------------------------------------------


async def _flows(parts: Parts, request: Request, _: User) -> Response:
    return await _list(parts, request, lambda: [flow.reference() for flow in parts.service.flows()])


async def _flow(parts: Parts, request: Request, _: User) -> Response:
    flow = parts.service.flow(request.path_params["flow"])
    start = {"panel": "Panel", "plugin": "Plugin", "program": "Program"}[flow.start_from]
    return JSONResponse({**flow.reference(), "startFrom": start})


async def _document(parts: Parts, request: Request, user: User) -> Response:
    document, record = await run_in_threadpool(parts.service.document, request.path_params["id"], user=user)
    return JSONResponse(objects.document(document, record, parts.service.flow_of(record)))


async def _content(parts: Parts, request: Request, user: User) -> Response:
    document, _ = await run_in_threadpool(parts.service.document, request.path_params["id"], user=user)
    plain_name = "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in '"\\' else "_"
        for letter in document.name
    )
    named = f"attachment; filename=\"{plain_name}\"; filename*=UTF-8''{quote(document.name, safe='')}"
    headers = {"Content-Disposition": named, "Content-Type": document.content_type}
    if parts.service.profile.document_transfer == "length":
        return Response(document.content, headers=headers)
    pieces = (document.content[at : at + 65_536] for at in range(0, len(document.content), 65_536))
    return StreamingResponse(pieces, headers=headers)


async def _me(_: Parts, __: Request, user: User) -> Response:
    shown = {"userName": user.name.lower().replace(" ", "."), "role": user.role, "type": "user"}
    return JSONResponse({**user.reference(), **shown})


async def _system_info(_: Parts, __: Request, ___: User) -> Response:
    return JSONResponse({"name": "Smart Flows devserver", "version": __version__})


async def _public_settings(request: Request) -> Response:
    base = str(request.base_url).rstrip("/")
    return JSONResponse(
        {
            "projectId": "devserver",
            "systemLanguage": "en",
            "projectConsoleUrl": f"{base}/project",
            "flowExecutionPanelUrl": f"{base}/client",
        }
    )


# --- pages for people, and faults --------------------------------------------------------------------


async def _openapi(_: Request) -> Response:
    return JSONResponse(pages.openapi([(method, path, text) for method, path, _, text in API_ROUTES]))


async def _swagger(_: Request) -> Response:
    return HTMLResponse(pages.api_page([(method, path, text) for method, path, _, text in API_ROUTES]))


def _people_page(parts: Parts) -> Callable[[Request], Awaitable[Response]]:
    service = parts.service

    def rows() -> list[tuple[str, str, str, int]]:
        shown = []
        for record in reversed(service.store.records()[-100:]):
            look, flow = service.look(record.id), service.flow_of(record)
            shown.append((record.id, flow.name if flow else "", look.status, look.percentage))
        return shown

    async def page(_: Request) -> Response:
        flows = [(flow.name, flow.id) for flow in service.flows()]
        return HTMLResponse(pages.panel_page(flows, await run_in_threadpool(rows)))

    return page


async def _faults(parts: Parts, _: Request, user: User) -> Response:
    check_may_switch_faults(user)
    return JSONResponse([asdict(fault) for fault in parts.faults.active()])


async def _add_fault(parts: Parts, request: Request, user: User) -> Response:
    check_may_switch_faults(user)
    try:
        fault = fault_from_json(await _json(request))
    except ValueError as error:
        raise Refused(str(error), status=400) from error
    parts.faults.add(fault)
    return JSONResponse(asdict(fault), 201)


async def _clear_faults(parts: Parts, _: Request, user: User) -> Response:
    check_may_switch_faults(user)
    parts.faults.clear()
    return Response(status_code=204)


# --- shared ------------------------------------------------------------------------------------------


async def _list(
    parts: Parts,
    request: Request,
    entries: Callable[[], Sequence[Mapping[str, Any]]],
    *,
    node: Any = None,
) -> Response:
    query, profile = request.query_params, parts.service.profile
    tests = [matcher_of_text(text) for text in query.getlist("filter")]
    if node is not None:
        by_id = profile.filter_by_id if names_key(node, "id") else "honoured"
        if by_id == "rejected":
            raise FilterRefused("executions cannot be filtered by 'id'")
        if by_id == "honoured":
            tests.append(matcher_of(node))

    def act() -> Any:
        found = [entry for entry in entries() if all(test(entry) for test in tests)]
        page = page_of(
            sort_entries(found, query.getlist("sort")),
            page=query.get("page", "0"),
            size=query.get("size", "20"),
            honoured=profile.list_paging == "honoured",
        )
        return page.as_object() if profile.lists == "page" else list(page.entries)

    return JSONResponse(await run_in_threadpool(act))


async def _json(request: Request) -> Any:
    try:
        return read_json(await request.body())
    except NotJson as error:
        raise Refused(f"The body {error}.", status=400) from error


API_ROUTES: Sequence[tuple[str, str, Handler, str]] = (
    ("POST", "/flows/executions", _start, "Start an execution (flowId, datasetId)"),
    ("POST", "/flows/executions/start", _start_unattended, "Start an execution that asks nobody (flow)"),
    ("POST", "/flows/executions/filter", _filtered, "Find executions by a filter (page, size, sort)"),
    ("GET", "/flows/executions", _executions, "List executions (page, size, sort, filter)"),
    ("GET", "/flows/executions/{id}", _execution, "Read an execution with its state"),
    ("DELETE", "/flows/executions/{id}", _cancel_at_execution, "Cancel an execution"),
    ("GET", "/flows/executions/{id}/status", _outputs, "Read an execution with its outputs (output)"),
    ("GET", "/flows/executions/{id}/progress", _progress, "Read the progress (timeout)"),
    ("POST", "/flows/executions/{id}/progress", _answer, "Answer the form"),
    ("DELETE", "/flows/executions/{id}/progress", _cancel_at_progress, "Cancel an execution"),
    ("GET", "/flows/callback/{id}", _event, "Resume a waiting execution (executionId)"),
    ("POST", "/flows/callback/{id}", _event, "Resume a waiting execution with a text (executionId)"),
    ("GET", "/flows", _flows, "List flows (page, size, sort, filter)"),
    ("GET", "/flows/{flow}", _flow, "Read a flow"),
    ("GET", "/flows/{flow}/executions", _flow_executions, "List a flow's executions"),
    ("GET", "/documents/{id}", _document, "Read a document's metadata"),
    ("GET", "/documents/{id}/content", _content, "Read a document"),
    ("GET", "/users/me", _me, "Read whose key this is"),
    ("GET", "/system/info", _system_info, "Read the server's version"),
)
"""Method, path below the prefix, handler, and what it does."""
