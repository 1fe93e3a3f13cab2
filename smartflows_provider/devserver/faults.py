"""Faults that are switched on per call: the trouble between a client and a service, on demand.

A :class:`Fault` says which calls it meets and what happens to them; :class:`FaultMiddleware` does it to
real sockets, outside of the application, so that no handler knows about faults. The one distinction that
matters to a client that starts things is ``taken``: whether the service carried the request out before
the trouble began. Invariant: a call meets at most one fault, the oldest that matches.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TRANSPORT = "smartflows.transport"
"""Scope key under which the HTTP protocol hands over the connection."""

HTML_PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to which calls."""

    action: Literal["delay", "status", "reset", "html", "truncated", "redirect", "cut", "slow", "oversized"]
    """
    ``delay``: the answer comes ``seconds`` late. ``status``: answers ``status`` with ``body``. ``reset``:
    the TCP connection is reset without an answer. ``html``: a sign-in page with 200. ``truncated``: only
    the first half of the JSON, as if it were all. ``redirect``: ``status`` (302) to ``location``.
    ``cut``: the connection ends after ``size`` bytes of the body. ``slow``: the body comes in pieces of
    ``size`` bytes, ``seconds`` apart. ``oversized``: a body of ``size`` bytes.
    """
    method: str = "*"
    """HTTP method, ``*`` for any."""
    path: str = ""
    """Regular expression that is searched in the path."""
    after: int = 0
    """So many matching calls go through first."""
    count: int | None = 1
    """So many calls are met; None means all."""
    taken: bool = False
    """
    Whether the service carries the request out before the trouble begins. Actions on the service's own
    answer (``truncated``, ``cut``, ``slow``) always do.
    """
    seconds: float = 0.0
    status: int = 503
    """Of ``status``; a ``redirect`` uses 302 unless this is another 3xx."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    location: str = ""
    size: int = 1000
    """Bytes, for ``cut``, ``slow`` and ``oversized``."""

    def __post_init__(self) -> None:
        if self.action not in _ACTIONS:
            raise ValueError(f"action is {self.action!r}, but can be {', '.join(_ACTIONS)}")
        for name in ("method", "path", "body", "location"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is {getattr(self, name)!r}, but must be a text")
        if not isinstance(self.taken, bool):
            raise TypeError(f"taken is {self.taken!r}, but must be true or false")
        for name, (least, most) in _WHOLE_NUMBERS.items():
            value = getattr(self, name)
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if not (name == "count" and value is None) and not (is_whole and least <= value <= most):
                raise ValueError(f"{name} is {value!r}, but must be a whole number from {least} to {most}")
        is_number = isinstance(self.seconds, int | float) and not isinstance(self.seconds, bool)
        if not is_number or not 0 <= self.seconds <= _MOST_SECONDS:
            raise ValueError(f"seconds is {self.seconds!r}, but must be a number from 0 to {_MOST_SECONDS}")
        if self.action == "slow" and self.size == 0:
            raise ValueError("size is 0, but 'slow' needs pieces of at least 1 byte")
        if self.action == "status" and self.status in {204, 304} and self.body:
            raise ValueError(f"an answer with the status {self.status} has no body")
        re.compile(self.path)
        _check_headers(self.headers)
        _check_headers({"location": self.location})


_ACTIONS = ("delay", "status", "reset", "html", "truncated", "redirect", "cut", "slow", "oversized")
_MOST_SECONDS = 86_400
_MOST_CALLS = 1_000_000_000
_WHOLE_NUMBERS = {
    "after": (0, _MOST_CALLS),
    "count": (0, _MOST_CALLS),
    "status": (200, 599),
    "size": (0, 1 << 30),
}
"""Fields with whole numbers, with the least and the most that fits."""


def _check_headers(headers: Mapping[str, str]) -> None:
    """
    Return if the headers can be sent.

    :raises ValueError: if not, as h11 sees it, which sends them.
    """
    if not isinstance(headers, Mapping) or not all(isinstance(value, str) for value in headers.values()):
        raise ValueError(f"headers is {headers!r}, but must be a mapping of texts")
    for name, value in headers.items():
        try:
            h11.Response(status_code=200, headers=[(name.encode("latin-1"), value.encode("latin-1"))])
        except (h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise ValueError(f"the header {name!r} cannot be sent: {error}") from error


def fault_from_json(raw: Any) -> Fault:
    """
    Return the fault that a JSON object describes, keys as in :class:`Fault`.

    :raises ValueError: if it is no object, has an unknown key, or a value that does not fit.
    """
    known = {entry.name for entry in dataclasses.fields(Fault)}
    if not isinstance(raw, Mapping) or "action" not in raw or set(raw) - known:
        raise ValueError(f"a fault is an object with 'action' and any of {', '.join(sorted(known))}")
    try:
        return Fault(**{str(key): value for key, value in raw.items()})
    except (TypeError, re.error) as error:
        raise ValueError(str(error)) from error


class FaultBox:
    """The faults that are switched on, counting the calls that match. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on, behind those that are."""
        with self._lock:
            self._faults.append((fault, [0]))

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()

    def active(self) -> Sequence[Fault]:
        """Return the faults that can still meet a call."""
        with self._lock:
            return [fault for fault, seen in self._faults if not _spent(fault, seen[0])]

    def meet(self, method: str, path: str) -> Fault | None:
        """Return the fault that this call meets, counting the call."""
        with self._lock:
            for fault, seen in self._faults:
                if fault.method not in {"*", method} or not re.search(fault.path, path):
                    continue
                if _spent(fault, seen[0]):
                    continue
                seen[0] += 1
                if seen[0] > fault.after:
                    return fault
        return None


def _spent(fault: Fault, seen: int) -> bool:
    return fault.count is not None and seen >= fault.after + fault.count


class FaultMiddleware:
    """Does to a call what the fault it meets says; calls below ``exempt`` never meet one."""

    def __init__(self, app: ASGIApp, *, box: FaultBox, exempt: str) -> None:
        self._app = app
        self._box = box
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or trouble it."""
        fault = None
        if scope["type"] == "http" and not scope["path"].startswith(self._exempt):
            fault = self._box.meet(scope["method"], scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.action in {"delay", "truncated", "cut", "slow"}:
            await self._trouble_answer(fault, scope, receive, send)
        else:
            await self._replace_answer(fault, scope, receive, send)

    async def _trouble_answer(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.action == "delay" and not fault.taken:
            await asyncio.sleep(fault.seconds)
            await self._app(scope, receive, send)
            return
        answer = await self._carry_out(scope, receive)
        start, body = answer
        if fault.action == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.action == "truncated":
            body = body[: len(body) // 2]
        if fault.action == "truncated":
            start = {**start, "headers": _with_length(start["headers"], len(body))}
        await send(start)
        if fault.action == "cut":
            await send({"type": "http.response.body", "body": body[: fault.size], "more_body": True})
            _transport(scope).close()
            await _disconnected(receive)
            return
        pieces = [body]
        if fault.action == "slow":
            pieces = [body[at : at + fault.size] for at in range(0, len(body), fault.size)]
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if fault.action == "slow":
                await asyncio.sleep(fault.seconds)
        await send({"type": "http.response.body", "body": b""})

    async def _replace_answer(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.taken:
            await self._carry_out(scope, receive)
        if fault.action == "reset":
            reset(_transport(scope))
            await _disconnected(receive)
            return
        headers = {**fault.headers}
        body = fault.body.encode()
        status = 200
        if fault.action == "status":
            status = fault.status
        elif fault.action == "redirect":
            status = fault.status if 300 <= fault.status < 400 else 302
            headers["location"] = fault.location
        elif fault.action == "html":
            headers.setdefault("content-type", "text/html; charset=utf-8")
            body = body or HTML_PAGE.encode()
        else:
            headers.setdefault("content-type", "application/json")
            body = b'{"filler": "' + b"x" * max(fault.size - 14, 0) + b'"}'
        raw = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
        start = {"type": "http.response.start", "status": status, "headers": _with_length(raw, len(body))}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _carry_out(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        start: Message = {}
        body = bytearray()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self._app(scope, receive, keep)
        return start, bytes(body)


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a TCP reset, as a crashed process or a firewall does."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _disconnected(receive: Receive) -> None:
    """Wait until the HTTP protocol has noticed that its connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope[TRANSPORT]
    return transport


def _with_length(headers: Sequence[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    kept = [(key, value) for key, value in headers if key.lower() != b"content-length"]
    return [*kept, (b"content-length", str(length).encode())]
