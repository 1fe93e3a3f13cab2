"""A TCP proxy that makes trouble at chosen bytes, between Airflow and the service.

Why this module exists: the service's own faults come from the service; a network's come from in between,
where the service has carried a request out and the client never hears of it. Each test has a proxy of its
own, so that its trouble meets nobody else.

Invariants: a connection carries one request at a time, as HTTP/1.1 clients without pipelining send them;
trouble is chosen when a request's first bytes come, and stays until the next request; a connection that is
held or silent ends when its client goes away.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from dataclasses import dataclass, field
from typing import Literal, Self

from smartflows_provider.devserver.faults import reset

CHUNK = 65_536


@dataclass(kw_only=True)
class Trouble:
    """What happens to which requests, and what has happened so far."""

    kind: Literal["reset", "blackhole", "delay", "hold", "answer", "replace"]
    """
    ``reset``: the connection is reset; with ``after`` only once so many bytes of the answer have passed.
    ``blackhole``: the request goes nowhere and nothing comes back. ``delay``: the answer comes ``seconds``
    late. ``hold``: the answer is kept back until :meth:`release`. ``answer``: the proxy answers itself, and
    the service hears of nothing. ``replace``: the service hears of it, and the proxy answers in its place.
    """
    request: str = ""
    """Regular expression that is searched in a request's first bytes; empty meets all."""
    after: int | None = None
    """Bytes of the service's answer that reach the client before the reset; None resets at once, without
    the service hearing of the request."""
    seconds: float = 0.0
    answer: bytes = b""
    count: int | None = None
    """So many requests are met; None means all."""

    met: threading.Event = field(default_factory=threading.Event)
    """Set when a request has met this."""
    answered: threading.Event = field(default_factory=threading.Event)
    """Set when the service has begun to answer such a request."""
    released: threading.Event = field(default_factory=threading.Event)
    meetings: int = 0

    def release(self) -> None:
        """Let the answers go that are held."""
        self.released.set()

    def meets(self, head: bytes) -> bool:
        """Tell whether a request meets this, and count it if so."""
        if self.count is not None and self.meetings >= self.count:
            return False
        if not re.search(self.request.encode(), head):
            return False
        self.meetings += 1
        self.met.set()
        return True


class ProxyLoop:
    """The event loop, in a thread of its own, that all proxies share; a context manager."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="tcp-proxies", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()

    @staticmethod
    async def _end() -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class TcpProxy:
    """One listening port that leads to the service.

    :param loop: where it runs.
    :param target: port of the service on the loopback address.
    """

    def __init__(self, loop: ProxyLoop, *, target: int) -> None:
        self._loop = loop.loop
        self._target = target
        self._troubles: list[Trouble] = []
        self._clients: set[asyncio.StreamWriter] = set()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(30)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def begin(self, trouble: Trouble) -> Trouble:
        """Switch trouble on, behind what is on already, and return it; the first that fits is met."""
        self._troubles.append(trouble)
        return trouble

    def end(self, trouble: Trouble) -> None:
        """Switch trouble off; what is held goes on, what is in a black hole is reset."""
        self._troubles.remove(trouble)
        trouble.release()

    def reset_all(self) -> None:
        """Reset every connection that is open now, idle ones too."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def close(self) -> None:
        """Stop to listen, and end all connections."""
        for trouble in self._troubles:
            trouble.release()
        self._loop.call_soon_threadsafe(self._server.close)
        self.reset_all()

    def _reset_all(self) -> None:
        for writer in self._clients:
            reset(writer.transport)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            service = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            reset(writer.transport)
            self._clients.discard(writer)
            return
        exchange = _Exchange(self._troubles, client=(reader, writer), service=service)
        try:
            await exchange.run()
        finally:
            self._clients.discard(writer)
            for each in (writer, service[1]):
                each.close()


class _Exchange:
    """One connection through the proxy."""

    def __init__(
        self,
        troubles: list[Trouble],
        *,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        service: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._troubles = troubles
        self._from_client, self._to_client = client
        self._from_service, self._to_service = service
        self._trouble: Trouble | None = None
        self._is_between_requests = True
        self._passed = 0

    async def run(self) -> None:
        """Carry bytes both ways until one side ends."""
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        while chunk := await self._from_client.read(CHUNK):
            if self._is_between_requests:
                self._is_between_requests, self._passed = False, 0
                self._trouble = next((one for one in self._troubles if one.meets(chunk)), None)
            trouble = self._trouble
            if trouble is not None and trouble.kind == "reset" and trouble.after is None:
                reset(self._to_client.transport)
                return
            if trouble is not None and trouble.kind == "blackhole":
                await self._fall_silent(trouble)
                return
            if trouble is not None and trouble.kind == "answer":
                self._to_client.write(trouble.answer)
                await self._to_client.drain()
                return
            self._to_service.write(chunk)
            await self._to_service.drain()

    async def _answers(self) -> None:
        while chunk := await self._from_service.read(CHUNK):
            self._is_between_requests = True
            trouble = self._trouble
            if trouble is not None:
                trouble.answered.set()
                if trouble.kind == "reset" and trouble.after is not None:
                    rest = max(trouble.after - self._passed, 0)
                    if len(chunk) > rest:
                        self._to_client.write(chunk[:rest])
                        await asyncio.sleep(0.05 if rest else 0)
                        reset(self._to_client.transport)
                        return
                elif trouble.kind == "delay" and not self._passed:
                    await asyncio.sleep(trouble.seconds)
                elif trouble.kind == "replace":
                    self._to_client.write(trouble.answer)
                    await self._to_client.drain()
                    return
                elif trouble.kind == "hold":
                    await _until(trouble.released)
            self._passed += len(chunk)
            self._to_client.write(chunk)
            await self._to_client.drain()

    async def _fall_silent(self, trouble: Trouble) -> None:
        """Read what the client sends, answer nothing, until it goes away or the trouble is over."""
        silence = asyncio.create_task(_until(trouble.released))
        try:
            while not silence.done():
                reading = asyncio.create_task(self._from_client.read(CHUNK))
                await asyncio.wait({silence, reading}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await reading
                elif not reading.result():
                    return
            reset(self._to_client.transport)
        finally:
            silence.cancel()


async def _until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.05)


def http_answer(status: str, *, body: str = "", headers: str = "", kind: str = "text/plain") -> bytes:
    """Return the bytes of an HTTP answer after which the connection closes.

    :param status: code and reason.
    :param headers: more header lines, each ended by ``\\r\\n``.
    :param kind: the body's content type.
    """
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n"
        f"Connection: close\r\n{headers}\r\n{body}"
    ).encode()
