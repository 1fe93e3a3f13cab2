"""How an access token is asked for: OAuth 2 client credentials and password grants, with OpenID discovery.

Source of the facts: RFC 6749 (sections 4.3, 4.4, 5) and OpenID Connect Discovery; the vendors' pages say
which grant their server takes. Invariants: a secret stands in the form body of one request and nowhere else,
and that request goes to the origin that the connection names, whatever a discovered document says; a refusal
of the secret is told apart from a server that is out of order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from smartflows_provider.wire.answers import error_text, object_of, unreadable
from smartflows_provider.wire.errors import KeyRefused, RequestRefused, ServiceFault, UnreadableAnswer
from smartflows_provider.wire.hiding import HiddenBytes, HiddenText
from smartflows_provider.wire.messages import Exchange, Request, Response, content_type_header

DISCOVERY_PATH = "/.well-known/openid-configuration"
FORM_TYPE = "application/x-www-form-urlencoded"
_REFUSALS = frozenset({"invalid_client", "invalid_grant", "unauthorized_client"})
"""OAuth's words for credentials that are not taken; servers send them with 400 as well as with 401."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_LIFETIME = 365 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Token:
    """An access token."""

    value: str = field(repr=False)
    lifetime: float | None = None
    """Seconds from now; None where the server did not say."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a token is asked for with, and where."""

    origin: str
    """Scheme, host and port of the only server that the secret may go to."""
    form: Mapping[str, str] = field(repr=False)
    """The fields of the request, credentials included."""
    token_path: str | None = None
    """Where the server gives tokens, quoted; None asks :data:`DISCOVERY_PATH`."""
    secret_fields: tuple[str, ...] = ("client_secret", "password")
    """Fields of the form whose values are secret."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no message may show."""
        return tuple(self.form[name] for name in self.secret_fields if self.form.get(name))


def ask_for_token(grant: Grant) -> Exchange[Token]:
    """
    Ask for a token: the discovery document first where no address is set, then the token itself.

    :param grant: credentials and server.
    :raises KeyRefused: if the server does not take the credentials.
    :raises RequestRefused: if the discovered address is of another server, or the request is not understood.
    :raises ServiceFault: if the server gives no tokens there, now or ever.
    """
    query: tuple[tuple[str, str], ...] = ()
    path = grant.token_path
    if path is None:
        path, query = _discovered(grant, (yield Request(method="GET", path=DISCOVERY_PATH)))
    response = yield Request(
        method="POST",
        path=path,
        query=query,
        headers=content_type_header(FORM_TYPE),
        body=HiddenBytes(urlencode(dict(grant.form)).encode()),
    )
    return _read_token(response)


def origin_of(address: str) -> str:
    """
    Return scheme, host and port of an address, the usual ports left out.

    :raises ValueError: if it is no address on http or https.
    """
    parts = urlsplit(address)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an address on http or https")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port
    return f"{parts.scheme}://{host}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")


def _discovered(grant: Grant, response: Response) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return path and query of the token address that a server names for itself."""
    _refuse_missing(response, "names no addresses for tokens there")
    endpoint = object_of(response).get("token_endpoint")
    if not isinstance(endpoint, str) or not endpoint:
        raise unreadable(response, "lacks 'token_endpoint'")
    try:
        parts, origin = urlsplit(endpoint), origin_of(endpoint)
    except ValueError:
        raise unreadable(response, "has a 'token_endpoint' that is no address") from None
    if origin != grant.origin:
        raise RequestRefused(
            f"the server names {_shown(parts)} for tokens, which is not {grant.origin}, so the secret was "
            "not sent there; set the connection's extra 'token_url' to the address that may have it"
        )
    return parts.path or "/", tuple(parse_qsl(parts.query))


def _shown(parts: SplitResult) -> str:
    """Return a foreign address for messages, without what may be secret."""
    host = parts.netloc.rpartition("@")[2]
    return repr(f"{parts.scheme}://{host}{parts.path}"[:200])


def _refuse_missing(response: Response, what: str) -> None:
    """
    A 404 here is about the address for tokens, and must not be taken for a run that is gone.

    Nor is it a refusal: servers that are being deployed and proxies before them answer so for a while.
    """
    if response.status in {404, 410}:
        raise ServiceFault(
            f"{response.request.label} was answered with {response.status}: the server {what}",
            status=response.status,
        )


def _read_token(response: Response) -> Token:
    _refuse_missing(response, "gives no tokens there")
    if response.status in {400, 401, 403} and (response.status == 401 or _refusal(response) in _REFUSALS):
        raise KeyRefused(
            f"{response.request.label}, which gives access tokens, was answered with {response.status}",
            status=response.status,
            detail=error_text(response) or _refusal(response),
        )
    if response.status == 200 and response.content_type and not response.content_type.endswith("json"):
        # Its beginning, which messages show, may be the token.
        raise unreadable(response, "is no JSON")
    raw = object_of(response)
    value, kind = raw.get("access_token"), raw.get("token_type", "Bearer")
    if not isinstance(value, str) or not value or not (value.isascii() and value.isprintable()):
        raise unreadable(response, "lacks a usable 'access_token'")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise unreadable(response, "brings a token that is no bearer token")
    return Token(value=HiddenText(value), lifetime=_lifetime(raw.get("expires_in")))


def _refusal(response: Response) -> str:
    """Return OAuth's word for what was wrong, empty where there is none."""
    try:
        raw: Any = response.json()
    except UnreadableAnswer:
        return ""
    word = raw.get("error") if isinstance(raw, Mapping) else None
    return word if isinstance(word, str) and len(word) <= 100 else ""


def _lifetime(value: Any) -> float | None:
    """Return for how many seconds a token holds; some servers write the number as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return min(seconds, _LONGEST_LIFETIME) if seconds > 0 else None
