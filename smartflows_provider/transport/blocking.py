"""The client that workers use: the wire's exchanges over ``requests``.

Invariants: redirects of API calls are not followed; no body is read beyond its limit; a request that must
not be doubled never travels on an old connection, whose sudden end would leave its fate open; no error of
the library, which would hold the key, is chained to one of ours; several threads may use one client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import requests
import urllib3

from smartflows_provider.transport.addresses import full_address, proxy_for
from smartflows_provider.transport.connecting import CarefulAdapter, OpenSockets, never_stood
from smartflows_provider.transport.errors import (
    Abandoned,
    TransportError,
    answer_packed,
    answer_too_large,
    too_many_hops,
)
from smartflows_provider.transport.failures import broken_off, causes_of, no_answer
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
CHUNK = 128 * 1024
"""Bytes of a body that are passed on at once."""


class BlockingClient:
    """
    Sends requests and waits for the answers.

    :param settings: of the connection.
    :param repetition: when a single call is sent again by itself.
    """

    def __init__(self, settings: ClientSettings, *, repetition: Repetition | None = None) -> None:
        self.settings = settings
        self.repetition = repetition or Repetition()
        self._opened = OpenSockets()
        self._session = self._new_session()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections that are at rest."""
        self._session.close()

    def abandon(self) -> None:
        """
        End at once what other threads are asking or reading, for good: they fail with a TransportError.

        Nothing can be sent with the client after that.
        """
        self._opened.end()

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
        url = full_address(self.settings.url(request.path), request.query)
        headers, _ = self._access()
        for _ in range(MAX_HOPS):
            with self._open(request, url=url, headers=headers) as answer:
                hop = (
                    next_hop(url, answer.headers.get("Location", ""))
                    if answer.status_code in REDIRECTS
                    else None
                )
                if hop is None:
                    if 200 <= answer.status_code < 300:
                        yield _head(answer, request), _chunks(answer, request)
                    else:
                        yield self._whole(answer, request), iter(())
                    return
            url, headers = full_address(hop, ()), {}
        raise too_many_hops(request, MAX_HOPS)

    def _send_once(self, request: Request) -> Response:
        request = self.settings.with_access(request)
        url = full_address(self.settings.url(request.path), request.query)
        headers, token = self._access()
        response = self._answer(request, url, headers)
        if response.status == 401 and token is not None:
            # It may have been revoked before its time; what is refused was not taken.
            self.settings.tokens.drop(token)
            headers, token = self._access()
            response = self._answer(request, url, headers)
        return response

    def _answer(self, request: Request, url: str, headers: Mapping[str, str]) -> Response:
        with self._open(request, url=url, headers=headers) as answer:
            return self._whole(answer, request)

    def _access(self) -> tuple[Mapping[str, str], str | None]:
        """Return the headers that let a call in, and the access token among them."""
        settings = self.settings
        grant, tokens = settings.grant, settings.tokens
        if grant is None:
            return settings.auth_headers, None
        token = tokens.usable()
        if token is None:
            asked = tokens.now()
            found = self._ask_for_token(grant)
            if not isinstance(found, Token):
                raise found
            token = tokens.keep(found, asked=asked)
        return HiddenHeaders({**settings.auth_headers, "Authorization": f"Bearer {token}"}), token

    def _ask_for_token(self, grant: Grant) -> Token | WireError | TransportError:
        """Return a new token or why there is none; as a value, so that no frame of a traceback holds it."""
        with BlockingClient(self.settings.for_tokens(grant), repetition=NO_REPETITION) as client:
            try:
                return client.run(ask_for_token(grant))
            except (WireError, TransportError) as error:
                return no_token(error.with_traceback(None))

    @contextmanager
    def _open(self, request: Request, *, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        with ExitStack() as stack:
            body = request.body
            data = stack.enter_context(body.open("rb")) if isinstance(body, Path) else body
            session = self._session if request.repeatable else stack.enter_context(self._new_session())
            answer = self._ask(session, request, url, headers, data)
            if isinstance(answer, TransportError):
                raise answer
            stack.callback(answer.close)
            yield answer

    def _ask(
        self,
        session: requests.Session,
        request: Request,
        url: str,
        headers: Mapping[str, str],
        data: bytes | IO[bytes] | None,
    ) -> requests.Response | TransportError:
        """Return the answer or the failure; as a value, so that the library's error is not chained to it."""
        settings = self.settings
        proxy = proxy_for(url, settings.proxy)
        if self._opened.ended:
            return Abandoned(f"{request.label} was given up", kind="reset")
        try:
            return session.request(
                request.method,
                url,
                headers={
                    "User-Agent": USER_AGENT,
                    "Accept": "application/json",
                    "Accept-Encoding": PACKINGS,
                    **dict(request.headers),
                    **headers,
                },
                data=data,
                timeout=(settings.connect_timeout, settings.read_timeout + request.hold_seconds),
                verify=settings.ca_file if settings.verify else False,
                cert=settings.client_cert,
                proxies={"http": proxy, "https": proxy} if proxy else {},
                allow_redirects=False,
                stream=True,
            )
        except (requests.RequestException, OSError) as error:
            # What is no error of requests comes from its look at the certificate files.
            unsent = not isinstance(error, requests.RequestException) or any(
                map(never_stood, causes_of(error))
            )
            return no_answer(error, request, url=url, stands=not unsent, proxied=proxy is not None)

    def _new_session(self) -> requests.Session:
        session = _Session()
        adapter = CarefulAdapter(opened=self._opened, pool_maxsize=self.settings.max_connections)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def _whole(self, answer: requests.Response, request: Request) -> Response:
        limit = self.settings.max_body_bytes
        head = _head(answer, request)
        parts: list[bytes] = []
        size = 0
        if (head.announced_size or 0) > limit:
            raise answer_too_large(request, limit)
        for chunk in _chunks(answer, request):
            size += len(chunk)
            if size > limit:
                raise answer_too_large(request, limit)
            parts.append(chunk)
        return self.settings.without_secrets(replace(head, body=b"".join(parts)))


class _Session(requests.Session):
    """A session that takes nothing from its surroundings: no proxies, no .netrc, no cookies, no redirects."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Name no target; else the session would read the body, however large, to prepare a next request."""


def _head(answer: requests.Response, request: Request) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Response(status=answer.status_code, headers=headers, request=request)


def _chunks(answer: requests.Response, request: Request) -> Iterator[bytes]:
    try:
        unpacker = Unpacker(answer.headers.get("Content-Encoding", ""))
        # Whole chunks: with TLS there is a record of 16 KiB at a time, and each would get room for a chunk.
        while data := answer.raw.read(CHUNK, decode_content=False):
            yield from unpacker.feed(data)
        yield from unpacker.end()
    except PackingUnknown as error:
        failure: TransportError = answer_packed(request, str(error))
    except (urllib3.exceptions.HTTPError, OSError, PackingBroken) as error:
        failure = broken_off(error, request, url=answer.url)
    else:
        return
    raise failure
