"""The client that the triggerer uses: the wire's exchanges over ``aiohttp``.

Invariants: as in the blocking client (no redirects of API calls, body limits, no old connection for what
must not be doubled, no chained errors of the library); one client belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Self, TypeVar

import aiohttp
from aiohttp.connector import Connection
from aiohttp.payload import BufferedReaderPayload
from aiohttp.tracing import Trace
from yarl import URL

from smartflows_provider.transport.addresses import full_address, proxy_for
from smartflows_provider.transport.errors import (
    TransportError,
    answer_packed,
    answer_too_large,
    too_many_hops,
)
from smartflows_provider.transport.failures import broken_off, no_answer, unusable_tls
from smartflows_provider.transport.pace import Pace
from smartflows_provider.transport.packing import (
    PACKINGS,
    PackingBroken,
    PackingUnknown,
    Unpacker,
)
from smartflows_provider.transport.redirects import MAX_HOPS, REDIRECTS, next_hop
from smartflows_provider.transport.repetition import NO_REPETITION, Repetition
from smartflows_provider.transport.settings import USER_AGENT, ClientSettings, HiddenHeaders
from smartflows_provider.transport.tokens import no_token
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.grants import Grant, Token, ask_for_token
from smartflows_provider.wire.messages import Exchange, Request, Response

T = TypeVar("T")
SPARE_CONNECTIONS = 2
"""Connections beyond ``max_connections``, so that a cancel need not wait for an answer that is held."""
KEPT_ALIVE = 60.0
"""Seconds for which an idle connection is kept; making one anew takes many times what a question takes."""
CHUNK = 256 * 1024
"""Bytes that are taken at most in one go."""


class AsyncClient:
    """
    Sends requests without blocking the event loop.

    :param settings: of the connection.
    :param repetition: when a single call is sent again by itself.
    """

    def __init__(self, settings: ClientSettings, *, repetition: Repetition | None = None) -> None:
        self.settings = settings
        self.repetition = repetition or Repetition()
        self._tls: ssl.SSLContext | None = None
        self._loading_tls = asyncio.Lock()
        self._asking: asyncio.Task[str | WireError | TransportError] | None = None
        self._connector: aiohttp.TCPConnector | None = None
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._proxies: dict[str, str | None] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._asking is not None:
            self._asking.cancel()
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        if self._connector is not None:
            await self._connector.close()
            self._connector = None

    async def run(self, exchange: Exchange[T], *, repetition: Repetition | None = None) -> T:
        """
        Drive an exchange to its result.

        :param exchange: a call of one of the wire's modules.
        :param repetition: instead of the client's own.
        :raises WireError: if the service answered with an error.
        :raises TransportError: if there was no usable answer.
        """
        try:
            request = next(exchange)
            while True:
                request = exchange.send(await self.send(request, repetition=repetition))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            exchange.close()

    async def send(self, request: Request, *, repetition: Repetition | None = None) -> Response:
        """Send one request, again where its repetition rules allow, and return the whole answer."""
        rules = repetition or self.repetition
        if rules.attempts == 1:
            return await self._send_once(request)
        response: Response = await rules.asynchronous(request)(self._send_once, request)
        return response

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        """
        Open a document's bytes: the answer without its body, and the body in chunks.

        Redirects are followed without the key. An answer other than 2xx comes with its body read.
        """
        url = full_address(self.settings.url(request.path), request.query)
        grant = self.settings.grant
        headers = self.settings.auth_headers if grant is None else self._bearing(await self._token(grant))
        for _ in range(MAX_HOPS):
            async with self._open(request, url=url, headers=headers) as answer:
                hop = (
                    next_hop(url, answer.headers.get("Location", "")) if answer.status in REDIRECTS else None
                )
                if hop is None:
                    if 200 <= answer.status < 300:
                        yield _response(answer, request), self._chunks(answer, request)
                    else:
                        yield await self._whole(answer, request), _pieces()
                    return
            url, headers = full_address(hop, ()), {}
        raise too_many_hops(request, MAX_HOPS)

    async def _send_once(self, request: Request) -> Response:
        request = self.settings.with_access(request)
        url = full_address(self.settings.url(request.path), request.query)
        if self.settings.grant is None:
            return await self._answer(request, url, self.settings.auth_headers)
        token = await self._token(self.settings.grant)
        response = await self._answer(request, url, self._bearing(token))
        if response.status == 401:
            # It may have been revoked before its time; what is refused was not taken.
            self.settings.tokens.drop(token)
            token = await self._token(self.settings.grant)
            response = await self._answer(request, url, self._bearing(token))
        return response

    def _bearing(self, token: str) -> Mapping[str, str]:
        """Return the headers that let a call in with an access token."""
        return HiddenHeaders({**self.settings.auth_headers, "Authorization": f"Bearer {token}"})

    async def _token(self, grant: Grant) -> str:
        """Return the access token, a new one where it is time for that; one question is asked for all."""
        tokens = self.settings.tokens
        if (token := tokens.usable()) is not None:
            return token
        if self._asking is None:
            # A task of its own: whoever has begun it may leave, and what comes of it holds for all who wait.
            self._asking = asyncio.get_running_loop().create_task(self._renew_token(grant), context=Context())
            self._asking.add_done_callback(self._asked)
        found = await asyncio.shield(self._asking)
        if isinstance(found, str):
            return found
        raise found.with_traceback(None)

    def _asked(self, _: asyncio.Task[str | WireError | TransportError]) -> None:
        self._asking = None

    async def _renew_token(self, grant: Grant) -> str | WireError | TransportError:
        asked = self.settings.tokens.now()
        found = await self._ask_for_token(grant)
        return self.settings.tokens.keep(found, asked=asked) if isinstance(found, Token) else found

    async def _ask_for_token(self, grant: Grant) -> Token | WireError | TransportError:
        """Return a new token or why there is none; as a value, so that no frame of a traceback holds it."""
        async with AsyncClient(self.settings.for_tokens(grant), repetition=NO_REPETITION) as client:
            try:
                return await client.run(ask_for_token(grant))
            except (WireError, TransportError) as error:
                return no_token(error.with_traceback(None))

    async def _answer(self, request: Request, url: str, headers: Mapping[str, str]) -> Response:
        if request.repeatable and request.body is None:
            # What waits ask all the time, without what only others need.
            asked = await self._ask(self._shared_session(), request, url, headers, None)
            if isinstance(asked, TransportError):
                raise asked
            try:
                return await self._whole(asked, request)
            finally:
                asked.close()
        async with self._open(request, url=url, headers=headers) as answer:
            return await self._whole(answer, request)

    @asynccontextmanager
    async def _open(
        self, request: Request, *, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with AsyncExitStack() as stack:
            body = request.body
            data: bytes | BufferedReaderPayload | None
            if isinstance(body, Path):
                file = await asyncio.to_thread(body.open, "rb")
                stack.callback(file.close)
                # Without a name of its own the payload would tell the service the file's.
                data = BufferedReaderPayload(file, filename=None)
            else:
                data = body
            if request.repeatable:
                session = self._shared_session(has_body=body is not None)
            else:
                connector = self._new_connector()
                stack.push_async_callback(connector.close)
                session = await stack.enter_async_context(_new_session(connector, has_body=body is not None))
            answer = await self._ask(session, request, url, headers, data)
            if isinstance(answer, TransportError):
                raise answer
            stack.callback(answer.close)
            yield answer

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        request: Request,
        url: str,
        headers: Mapping[str, str],
        data: bytes | BufferedReaderPayload | None,
    ) -> aiohttp.ClientResponse | TransportError:
        """Return the answer or the failure; as a value, so that the library's error is not chained to it."""
        settings = self.settings
        proxy = self._proxy_for(url)
        tls = await self._tls_context(request, url)
        if isinstance(tls, TransportError):
            return tls
        read_limit = self._read_limit(request)
        way = _Way(seconds=2 * read_limit, once=not request.repeatable)
        _way.set(way)
        try:
            async with asyncio.timeout(settings.connect_timeout + way.seconds) as way.limit:
                return await session.request(
                    request.method,
                    URL(url, encoded=True),
                    headers={**dict(request.headers), **headers} if request.headers else headers,
                    data=data,
                    timeout=_timeouts(settings.connect_timeout, read_limit),
                    ssl=tls,
                    proxy=proxy,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError) as error:
            return no_answer(error, request, url=url, stands=way.stands, proxied=proxy is not None)

    def _proxy_for(self, url: str) -> str | None:
        """Return the proxy that leads to an address; looking it up goes through the whole environment."""
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(url, self.settings.proxy)
        return self._proxies[origin]

    async def _tls_context(self, request: Request, url: str) -> ssl.SSLContext | bool | TransportError:
        """Return the context for https; plain http needs none, and loading one takes a while."""
        if not url.startswith("https:"):
            return True
        if self._tls is not None:
            return self._tls
        settings = self.settings
        # Connections are shared among those who have the same context.
        async with self._loading_tls:
            if self._tls is None:
                try:
                    self._tls = await asyncio.to_thread(_load_tls, settings)
                except OSError as error:
                    names = [settings.ca_file, *([settings.client_cert] if settings.client_cert else [])]
                    return unusable_tls(error, request, url=url, files=" and ".join(names))
            return self._tls

    def _shared_session(self, *, has_body: bool = False) -> aiohttp.ClientSession:
        """Return the session of repeatable requests; all share one pool of connections."""
        session = self._sessions.get(has_body)
        if session is None:
            self._connector = self._connector or self._new_connector()
            session = self._sessions[has_body] = _new_session(self._connector, has_body=has_body)
        return session

    def _new_connector(self) -> aiohttp.TCPConnector:
        limit = self.settings.max_connections + SPARE_CONNECTIONS
        return _Connector(limit=limit, keepalive_timeout=KEPT_ALIVE)

    async def _whole(self, answer: aiohttp.ClientResponse, request: Request) -> Response:
        limit = self.settings.max_body_bytes
        body = _at_hand(answer)
        if body is None:
            if (_response(answer, request).announced_size or 0) > limit:
                raise answer_too_large(request, limit)
            parts: list[bytes] = []
            size = 0
            async for chunk in self._chunks(answer, request):
                size += len(chunk)
                if size > limit:
                    raise answer_too_large(request, limit)
                parts.append(chunk)
            body = b"".join(parts)
        elif len(body) > limit:
            raise answer_too_large(request, limit)
        answer.release()
        return self.settings.without_secrets(_response(answer, request, body))

    def _read_limit(self, request: Request) -> float:
        """Return the seconds without a byte after which an answer counts as lost."""
        return self.settings.read_timeout + request.hold_seconds

    async def _chunks(self, answer: aiohttp.ClientResponse, request: Request) -> AsyncIterator[bytes]:
        limit = self._read_limit(request)
        pace, clock = Pace(limit), asyncio.get_running_loop().time
        try:
            unpacker = Unpacker(answer.headers.get("Content-Encoding", ""))
            while True:
                began = clock()
                # Bytes that frame the body count for the library's limit, though nothing comes of them.
                async with asyncio.timeout(limit):
                    data = await answer.content.read(CHUNK)
                if not data:
                    break
                pace.received(len(data), waited=clock() - began)
                for piece in unpacker.feed(data):
                    yield piece
            for piece in unpacker.end():
                yield piece
        except PackingUnknown as error:
            failure: TransportError = answer_packed(request, str(error))
        except (aiohttp.ClientError, OSError, PackingBroken) as error:
            failure = broken_off(error, request, url=str(answer.url))
        else:
            return
        raise failure


@dataclass(kw_only=True, slots=True)
class _Way:
    """How far a request has come."""

    seconds: float
    """How long the head of the answer may take from the last byte sent."""
    once: bool = False
    """Whether it must not be sent twice."""
    stands: bool = False
    """Whether it has a connection, TLS and a proxy's tunnel included."""
    limit: asyncio.Timeout | None = None
    """Ends the request."""


_way: ContextVar[_Way] = ContextVar("smartflows_request_way")


class _Connector(aiohttp.TCPConnector):
    """Notes that a request has its connection; the library's tracing would cost each request more."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the library's
    ) -> Connection:
        way = _way.get()
        if way.stands and way.once:
            # The library sends GET, PUT and DELETE again by itself where their connection breaks.
            raise aiohttp.ServerDisconnectedError
        connection = await super().connect(req, traces, timeout)
        way.stands = True
        return connection


def _new_session(connector: aiohttp.TCPConnector, *, has_body: bool) -> aiohttp.ClientSession:
    tracing = aiohttp.TraceConfig()
    tracing.on_request_chunk_sent.append(_note_sent)
    return aiohttp.ClientSession(
        connector=connector,
        connector_owner=False,
        headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": PACKINGS},
        # It would name a type even where there is no body.
        skip_auto_headers=("Content-Type",),
        # It would also send credentials from a .netrc file; proxies are looked up in addresses.
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Unpacking is limited in packing, the same for both clients.
        auto_decompress=False,
        trace_configs=[tracing] if has_body else None,
    )


async def _note_sent(_: aiohttp.ClientSession, __: SimpleNamespace, ___: object) -> None:
    way = _way.get()
    if way.limit is not None:
        way.limit.reschedule(asyncio.get_running_loop().time() + way.seconds)


def _at_hand(answer: aiohttp.ClientResponse) -> bytes | None:
    """Return a body that has come with its head, as small ones do; None where it has to be waited for."""
    content = answer.content
    if not content.is_eof() or content.exception() is not None or "Content-Encoding" in answer.headers:
        return None
    return content.read_nowait()


def _load_tls(settings: ClientSettings) -> ssl.SSLContext:
    authorities = settings.ca_file
    folder = Path(authorities).is_dir()
    context = ssl.create_default_context(
        cafile=None if folder else authorities, capath=authorities if folder else None
    )
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert:
        context.load_cert_chain(settings.client_cert)
    return context


def _response(answer: aiohttp.ClientResponse, request: Request, body: bytes = b"") -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Response(status=answer.status, headers=headers, body=body, request=request)


@lru_cache(maxsize=64)
def _timeouts(connect: float, read: float) -> aiohttp.ClientTimeout:
    """Return the library's limits in seconds; holds come in few lengths."""
    return aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=read)


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
