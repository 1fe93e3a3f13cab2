"""The client that the triggerer uses: the wire's exchanges over ``aiohttp``.

Invariants: as in the blocking client (no redirects of API calls, body limits, no old connection for what
must not be doubled); one client belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp

from smartflows_provider.transport.errors import (
    AnswerLost,
    AnswerTooLarge,
    FailureKind,
    NotSent,
    TransportError,
)
from smartflows_provider.transport.redirects import MAX_HOPS, REDIRECTS, next_hop
from smartflows_provider.transport.repetition import Repetition
from smartflows_provider.transport.settings import USER_AGENT, ClientSettings
from smartflows_provider.wire.messages import Exchange, Request, Response

T = TypeVar("T")
CHUNK = 64 * 1024


class AsyncClient:
    """
    Sends requests without blocking the event loop.

    :param settings: of the connection.
    :param repetition: when a single call is sent again by itself.
    """

    def __init__(self, settings: ClientSettings, *, repetition: Repetition | None = None) -> None:
        self.settings = settings
        self.repetition = repetition or Repetition()
        self._tls = _tls_context(settings)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        response: Response = await rules.asynchronous(request)(self._send_once, request)
        return response

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        """
        Open a document's bytes: the answer without its body, and the body in chunks.

        Redirects are followed without the key. An answer other than 2xx comes with its body read.
        """
        url, headers = self.settings.url(request.path), dict(self.settings.auth_headers)
        for _ in range(MAX_HOPS):
            async with AsyncExitStack() as stack:
                answer = await stack.enter_async_context(self._open(request, url=url, headers=headers))
                hop = (
                    next_hop(url, answer.headers.get("Location", "")) if answer.status in REDIRECTS else None
                )
                if hop is None:
                    ok = 200 <= answer.status < 300
                    body = b"" if ok else await self._body(answer, request)
                    yield _response(answer, request, body), self._chunks(answer, request)
                    return
            url, headers = hop, {}
        raise TransportError(f"{request.label} was redirected more than {MAX_HOPS} times", kind="unreachable")

    async def _send_once(self, request: Request) -> Response:
        url = self.settings.url(request.path)
        async with self._open(request, url=url, headers=self.settings.auth_headers) as answer:
            return _response(answer, request, await self._body(answer, request))

    @asynccontextmanager
    async def _open(
        self, request: Request, *, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        settings = self.settings
        async with AsyncExitStack() as stack:
            body = request.body
            data = await asyncio.to_thread(body.open, "rb") if isinstance(body, Path) else body
            if request.repeatable:
                self._session = self._session or self._new_session()
                session = self._session
            else:
                session = await stack.enter_async_context(self._new_session())
            try:
                answer = await session.request(
                    request.method,
                    url,
                    params=request.query,
                    headers={"Accept": "application/json", **dict(request.headers), **headers},
                    data=data,
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        sock_connect=settings.connect_timeout,
                        sock_read=settings.read_timeout + request.hold_seconds,
                    ),
                    ssl=self._tls,
                    proxy=settings.proxy,
                    allow_redirects=False,
                )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise _failure(error, request, settings) from None
            stack.callback(answer.close)
            yield answer

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.settings.max_connections),
            headers={"User-Agent": USER_AGENT},
            trust_env=self.settings.proxy is None,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def _body(self, answer: aiohttp.ClientResponse, request: Request) -> bytes:
        limit = self.settings.max_body_bytes
        parts: list[bytes] = []
        size = 0
        if (answer.content_length or 0) > limit:
            raise _too_large(request, limit)
        async for chunk in self._chunks(answer, request):
            size += len(chunk)
            if size > limit:
                raise _too_large(request, limit)
            parts.append(chunk)
        answer.release()
        return b"".join(parts)

    async def _chunks(self, answer: aiohttp.ClientResponse, request: Request) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.content.iter_chunked(CHUNK):
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise AnswerLost(
                f"the answer to {request.label} from {self.settings.address} broke off: {_reason(error)}",
                kind="reset",
            ) from None


def _tls_context(settings: ClientSettings) -> ssl.SSLContext | bool:
    """Return the context for https; plain http needs none, and loading one takes a while."""
    if not settings.base_url.startswith("https:"):
        return True
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert:
        context.load_cert_chain(settings.client_cert)
    return context


def _response(answer: aiohttp.ClientResponse, request: Request, body: bytes) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Response(status=answer.status, headers=headers, body=body, request=request)


def _too_large(request: Request, limit: int) -> AnswerTooLarge:
    return AnswerTooLarge(f"the answer to {request.label} is larger than {limit} bytes", kind="too_large")


def _failure(error: BaseException, request: Request, settings: ClientSettings) -> TransportError:
    """Tell whether the request can have been taken; only errors that exclude it become NotSent."""
    where = f"{request.label} at {settings.address}"
    reason = _reason(error)
    kind: FailureKind | None = None
    match error:
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            kind = "proxy"
        case aiohttp.ClientConnectorDNSError():
            kind = "dns"
        case aiohttp.ClientSSLError():
            kind = "tls"
        case aiohttp.ClientConnectorError():
            cause = error.os_error
            kind = "refused" if isinstance(cause, ConnectionRefusedError) else "unreachable"
            kind = "dns" if isinstance(cause, socket.gaierror) else kind
        case aiohttp.ConnectionTimeoutError():
            kind = "timeout"
    if kind is not None:
        return NotSent(f"{where} was not sent: {reason}", kind=kind)
    lost: FailureKind = "timeout" if isinstance(error, TimeoutError) else "reset"
    return AnswerLost(f"{where} brought no answer: {reason}", kind=lost)


def _reason(error: BaseException) -> str:
    """Return the innermost cause in words, without addresses of objects or URLs."""
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    certificate = getattr(error, "certificate_error", None) or inner
    if isinstance(certificate, ssl.SSLError):
        detail = getattr(certificate, "verify_message", "") or certificate.strerror
        return f"{certificate.reason or 'TLS error'}: {detail}"
    if isinstance(inner, OSError) and inner.strerror:
        return f"{type(inner).__name__}: {inner.strerror}"
    return type(inner).__name__
