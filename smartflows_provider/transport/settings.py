"""Everything a client needs to know about a connection, as one value.

Both clients take the same settings, so that they verify the same certificates, use the same proxy and
give up after the same time. Invariants: the values that hold secrets never appear in ``repr``; TLS is
verified unless somebody switched that off by name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import certifi

from smartflows_provider import __version__
from smartflows_provider.transport.tokens import TokenCache
from smartflows_provider.wire.grants import Grant
from smartflows_provider.wire.hiding import HiddenBytes
from smartflows_provider.wire.messages import JSON_TYPE, Request, Response, content_type_header

USER_AGENT = f"airflow-provider-smartflows/{__version__}"
DEFAULT_CONNECTIONS = 32
"""Questions about runs that are under way at once, at most, unless a connection says otherwise."""
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def answered_badly(response: Response) -> bool:
    """Tell of an answer whether its HTTP status is one of a refusal."""
    return not 200 <= response.status < 300


def _without_escaped(body: bytes, secrets: Sequence[str]) -> bytes:
    """Return a body without secrets that its JSON spells with escapes, as some do with ``+`` and ``/``."""
    if b"\\" not in body or not secrets:
        return body
    try:
        plain = json.dumps(json.loads(body), ensure_ascii=False)
    except (ValueError, RecursionError):
        return body
    hidden = plain
    for secret in secrets:
        hidden = hidden.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "***")
    return body if hidden == plain else hidden.encode(errors="surrogatepass")


class HiddenHeaders(dict[str, str]):
    """Headers whose values no ``repr`` shows, nor an error reporter that captures the locals of frames."""

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self, "***"))


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """How to reach one service."""

    base_url: str
    """Scheme, host and port, without a slash at the end."""
    api_prefix: str
    """What stands before every call's path, ``/api/v1`` say."""
    auth_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every API call, and never to another address."""
    verify: bool = True
    """Whether the server's certificate is checked."""
    ca_bundle: str | None = None
    """PEM file with trusted authorities; None takes the usual environment variables, then certifi."""
    client_cert: str | None = None
    """Path of a PEM file with the client's certificate and key."""
    auth_fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every API call as fields of its JSON body, for services that take a key only there."""
    grant: Grant | None = field(default=None, repr=False)
    """What access tokens are asked for with; None where the service takes a key as it is."""
    tokens: TokenCache = field(default_factory=TokenCache, repr=False, compare=False)
    """The present access token, shared by all clients with these settings."""
    tells_failure: Callable[[Response], bool] = answered_badly
    """Tells of an answer whether it is a refusal; some services refuse with 200."""
    hook_fields: tuple[Any, ...] = ()
    """What else of the connection its hook goes by, so that a change of it is noticed."""
    page_template: str | None = None
    """Where people look at a run, with ``{execution_id}`` in the id's place; nothing is sent there."""
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """Further texts that no message may show."""
    proxy: str | None = field(default=None, repr=False)
    """URL of a proxy, possibly with credentials; None takes the usual environment variables."""
    connect_timeout: float = 10.0
    """Seconds until a connection must stand."""
    read_timeout: float = 60.0
    """Seconds without a byte until an answer counts as lost, on top of what the service may hold it."""
    max_connections: int = DEFAULT_CONNECTIONS
    """How many questions about runs are under way at once, at most."""
    long_poll_seconds: float = 30.0
    """How long the service is allowed to hold an answer about a run's progress; 0 for never."""
    batch_status: bool = False
    """Whether many runs are asked for in one call, where more wait than there are connections."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Size limit for an API answer, after decompression; documents have their own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "auth_headers", HiddenHeaders(self.auth_headers))
        object.__setattr__(self, "auth_fields", HiddenHeaders(self.auth_fields))

    def url(self, path: str) -> str:
        """Return the address of a quoted API path."""
        return f"{self.base_url}{self.api_prefix}{path}"

    def without_secrets(self, response: Response) -> Response:
        """
        Return an answer that can be shown.

        Some services repeat a key that they refuse; their words get into messages.

        :param response: any answer; only refusals are changed.
        """
        if not self.tells_failure(response):
            return response
        secrets = list(self._secrets())
        body = response.body
        for secret in secrets:
            body = body.replace(secret.encode(), b"***")
        return replace(response, body=_without_escaped(body, secrets))

    def with_access(self, request: Request) -> Request:
        """
        Return a request with the fields that let it in; a question without a body becomes a POST for that.

        :param request: its body is none, or a JSON object.
        """
        if not self.auth_fields:
            return request
        body = request.body if isinstance(request.body, bytes) and request.body else b"{}"
        fields = HiddenHeaders({**json.loads(body), **self.auth_fields})
        headers = dict(request.headers) | dict(content_type_header(JSON_TYPE))
        return replace(
            request,
            method="POST" if request.method == "GET" else request.method,
            headers=tuple(headers.items()),
            body=HiddenBytes(json.dumps(fields, ensure_ascii=False).encode()),
        )

    def for_tokens(self, grant: Grant) -> ClientSettings:
        """Return how to reach the server that gives tokens; nothing that lets calls in is sent there."""
        return replace(
            self,
            base_url=grant.origin,
            api_prefix="",
            auth_headers={},
            auth_fields={},
            grant=None,
            tells_failure=answered_badly,
            hidden=(*self.hidden, *grant.secrets),
        )

    def _secrets(self) -> Iterator[str]:
        """Yield what no message may show, the longest forms first."""
        for value in self.auth_headers.values():
            yield value
            _, _, word = value.partition(" ")
            if word:
                yield word
        yield from self.auth_fields.values()
        yield from self.hidden
        if self.grant is not None:
            yield from self.grant.secrets
            if self.tokens.value:
                yield self.tokens.value

    @property
    def ca_file(self) -> str:
        """The file of trusted authorities that both clients use."""
        if self.ca_bundle:
            return self.ca_bundle
        return next((os.environ[name] for name in _CA_VARIABLES if os.environ.get(name)), certifi.where())
