"""The client that workers use: the wire's exchanges over ``requests``.

Invariants: redirects of API calls are not followed; no body is read beyond its limit; a request that must
not be doubled never travels on an old connection, whose sudden end would leave its fate open.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError, NewConnectionError

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


class BlockingClient:
    """
    Sends requests and waits for the answers.

    :param settings: of the connection.
    :param repetition: when a single call is sent again by itself.
    """

    def __init__(self, settings: ClientSettings, *, repetition: Repetition | None = None) -> None:
        self.settings = settings
        self.repetition = repetition or Repetition()
        self._session = requests.Session()
        # Without an auth of its own the session would send credentials from a .netrc file.
        self._session.auth = _no_auth
        adapter = HTTPAdapter(pool_maxsize=settings.max_connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def run(self, exchange: Exchange[T], *, repetition: Repetition | None = None) -> T:
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
                request = exchange.send(self.send(request, repetition=repetition))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            exchange.close()

    def send(self, request: Request, *, repetition: Repetition | None = None) -> Response:
        """Send one request, again where its repetition rules allow, and return the whole answer."""
        rules = repetition or self.repetition
        response: Response = rules.blocking(request)(self._send_once, request)
        return response

    @contextmanager
    def stream(self, request: Request) -> Iterator[tuple[Response, Iterator[bytes]]]:
        """
        Open a document's bytes: the answer without its body, and the body in chunks.

        Redirects are followed without the key. An answer other than 2xx comes with its body read.
        """
        url, headers = self.settings.url(request.path), dict(self.settings.auth_headers)
        for _ in range(MAX_HOPS):
            with ExitStack() as stack:
                answer = stack.enter_context(self._open(request, url=url, headers=headers))
                hop = (
                    next_hop(url, answer.headers.get("Location", ""))
                    if answer.status_code in REDIRECTS
                    else None
                )
                if hop is None:
                    ok = 200 <= answer.status_code < 300
                    head = _response(answer, request, b"" if ok else self._body(answer, request))
                    yield head, self._chunks(answer, request) if ok else iter(())
                    return
            url, headers = hop, {}
        raise TransportError(f"{request.label} was redirected more than {MAX_HOPS} times", kind="unreachable")

    def _send_once(self, request: Request) -> Response:
        if not request.repeatable:
            self._session.close()
        with self._open(
            request, url=self.settings.url(request.path), headers=self.settings.auth_headers
        ) as answer:
            return _response(answer, request, self._body(answer, request))

    @contextmanager
    def _open(self, request: Request, *, url: str, headers: object) -> Iterator[requests.Response]:
        settings = self.settings
        with ExitStack() as stack:
            body = request.body
            data = stack.enter_context(body.open("rb")) if isinstance(body, Path) else body
            try:
                answer = self._session.request(
                    request.method,
                    url,
                    params=request.query,
                    headers={
                        "User-Agent": USER_AGENT,
                        "Accept": "application/json",
                        **dict(request.headers),
                        **dict(headers),  # type: ignore[call-overload]
                    },
                    data=data,
                    timeout=(settings.connect_timeout, settings.read_timeout + request.hold_seconds),
                    verify=settings.ca_file if settings.verify else False,
                    cert=settings.client_cert,
                    proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else None,
                    allow_redirects=False,
                    stream=True,
                )
            except (requests.RequestException, OSError) as error:
                raise _failure(error, request, settings) from None
            stack.callback(answer.close)
            yield answer

    def _body(self, answer: requests.Response, request: Request) -> bytes:
        limit = self.settings.max_body_bytes
        announced = answer.headers.get("Content-Length", "")
        parts: list[bytes] = []
        size = 0
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(request, limit)
        for chunk in self._chunks(answer, request):
            size += len(chunk)
            if size > limit:
                raise _too_large(request, limit)
            parts.append(chunk)
        return b"".join(parts)

    def _chunks(self, answer: requests.Response, request: Request) -> Iterator[bytes]:
        try:
            yield from answer.iter_content(CHUNK)
        except (requests.RequestException, OSError) as error:
            raise AnswerLost(
                f"the answer to {request.label} from {self.settings.address} broke off: {_reason(error)}",
                kind="reset",
            ) from None


def _no_auth(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared


def _response(answer: requests.Response, request: Request, body: bytes) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Response(status=answer.status_code, headers=headers, body=body, request=request)


def _too_large(request: Request, limit: int) -> AnswerTooLarge:
    return AnswerTooLarge(f"the answer to {request.label} is larger than {limit} bytes", kind="too_large")


def _failure(error: Exception, request: Request, settings: ClientSettings) -> TransportError:
    """Tell whether the request can have been taken; only errors that exclude it become NotSent."""
    causes = list(_causes(error))

    def among(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    where = f"{request.label} at {settings.address}"
    reason = _reason(error)
    kind: FailureKind | None = None
    if isinstance(error, requests.exceptions.ProxyError):
        kind = "proxy"
    elif among(NameResolutionError, socket.gaierror):
        kind = "dns"
    elif among(ssl.SSLCertVerificationError) or "WRONG_VERSION_NUMBER" in reason:
        kind = "tls"
    elif among(requests.exceptions.ConnectTimeout):
        kind = "timeout"
    elif among(NewConnectionError):
        kind = "refused" if among(ConnectionRefusedError) or "refused" in reason else "unreachable"
    elif isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        # requests checks CA and certificate files before it connects.
        kind = "tls"
    if kind is not None:
        return NotSent(f"{where} was not sent: {reason}", kind=kind)
    lost: FailureKind = "timeout" if among(requests.exceptions.Timeout) else "reset"
    return AnswerLost(f"{where} brought no answer: {reason}", kind=lost)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it wraps and what caused it."""
    seen: set[int] = set()
    rest: list[object] = [error]
    while rest:
        one = rest.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            rest += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]


def _reason(error: BaseException) -> str:
    """Return the innermost cause in words, without urllib3's object addresses and URLs."""
    innermost = list(_causes(error))
    named = next((one for one in innermost if isinstance(one, OSError) and one.strerror), None)
    if isinstance(named, ssl.SSLError):
        return f"{named.reason or 'TLS error'}: {getattr(named, 'verify_message', '') or named.strerror}"
    if named is not None:
        return f"{type(named).__name__}: {named.strerror}"
    return type(innermost[-1] if innermost else error).__name__
