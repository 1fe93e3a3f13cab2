"""What went wrong with a request, in words and in one decision, the same for both clients.

The HTTP libraries wrap the operating system's errors in layers of their own; both clients ask this module
what lies beneath. Invariants: a request counts as not sent only where its connection never stood, or where
the server ended the TLS handshake; no text holds a URL, a header or a body.
"""

from __future__ import annotations

import os
import socket
import ssl
from asyncio import CancelledError
from collections.abc import Iterator
from urllib.parse import urlsplit

from smartflows_provider.transport.errors import AnswerLost, FailureKind, NotSent, TransportError
from smartflows_provider.transport.pace import TooSlow
from smartflows_provider.transport.packing import PackingBroken
from smartflows_provider.wire.messages import Request

_KINDS: tuple[tuple[type[BaseException], FailureKind], ...] = (
    (socket.gaierror, "dns"),
    (TimeoutError, "timeout"),
    (ConnectionRefusedError, "refused"),
    (ConnectionError, "reset"),
    (EOFError, "reset"),
)


def no_answer(
    error: BaseException, request: Request, *, url: str, stands: bool, proxied: bool
) -> TransportError:
    """
    Return the failure of a request that brought no answer.

    :param error: from the HTTP library.
    :param url: where it was sent.
    :param stands: whether the connection stood, TLS included.
    :param proxied: whether the connection leads to a proxy.
    """
    where = f"{request.label} at {_host_of(url)}"
    causes = list(causes_of(error))
    in_handshake = any("CERTIFICATE_REQUIRED" in _tls_reason(one) for one in causes)
    if stands and not in_handshake:
        kind = _kind(causes, otherwise="reset")
        return AnswerLost(
            f"{where} brought no answer: {_reason(causes)}", kind="timeout" if kind == "timeout" else "reset"
        )
    if any(_is_tls(one) for one in causes):
        kind = "tls"
    else:
        kind = "proxy" if proxied else _kind(causes, otherwise="unreachable")
    return NotSent(f"{where} was not sent: {_reason(causes)}", kind=kind)


def broken_off(error: BaseException, request: Request, *, url: str) -> AnswerLost:
    """Return the failure of a request whose answer ended too early."""
    causes = list(causes_of(error))
    kind: FailureKind = "timeout" if _kind(causes, otherwise="reset") == "timeout" else "reset"
    return AnswerLost(
        f"the answer to {request.label} from {_host_of(url)} broke off: {_reason(causes)}", kind=kind
    )


def unusable_tls(error: OSError, request: Request, *, url: str, files: str) -> NotSent:
    """Return the failure of a request for which the certificate files cannot be loaded."""
    reason = _reason([error])
    return NotSent(f"{request.label} at {_host_of(url)} was not sent: {files}: {reason}", kind="tls")


def _kind(causes: list[BaseException], *, otherwise: FailureKind) -> FailureKind:
    for kind_of_error, kind in _KINDS:
        if any(isinstance(one, kind_of_error) for one in causes):
            return kind
    return otherwise


def _is_tls(error: BaseException) -> bool:
    # requests reports missing certificate files as plain OSErrors that name them.
    return isinstance(error, ssl.SSLError | ssl.CertificateError) or (
        type(error) is OSError and " TLS " in str(error)
    )


def _tls_reason(error: BaseException) -> str:
    # aiohttp's own errors are SSLErrors that never set a reason.
    return getattr(error, "reason", "") or "" if isinstance(error, ssl.SSLError) else ""


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it wraps and what caused it, from the outside in."""
    seen: set[int] = set()
    rest: list[object] = [error]
    while rest:
        one = rest.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            wrapped = (getattr(one, name, None) for name in ("reason", "os_error", "certificate_error"))
            rest += [*one.args, *wrapped, one.__cause__, one.__context__]


def _reason(causes: list[BaseException]) -> str:
    """Return the cause nearest to the operating system, without objects' addresses and URLs."""
    for one in causes:
        if isinstance(one, TooSlow | PackingBroken):
            return str(one)
    for one in causes:
        if isinstance(one, ssl.SSLError) and _tls_reason(one):
            return f"{_tls_reason(one)}: {getattr(one, 'verify_message', '') or one.strerror}"
    for one in causes:
        # Errors of the operating system itself: aiohttp's are OSErrors too.
        if isinstance(one, OSError) and one.errno and type(one).__module__ in {"builtins", "socket"}:
            # asyncio puts addresses into their texts.
            known = one.strerror if isinstance(one, socket.gaierror) else os.strerror(one.errno)
            return f"{type(one).__name__}: {known}"
    for one in causes:
        if type(one) is OSError and one.args:
            return str(one)
    refused = getattr(causes[0], "status", None)
    if refused:
        return f"the answer was {refused}"
    # asyncio's time limit cancels, which is how it ended and not why.
    return next(type(one).__name__ for one in reversed(causes) if not isinstance(one, CancelledError))


def _host_of(url: str) -> str:
    """Return host and port of an address, for messages."""
    return urlsplit(url).netloc.rpartition("@")[2]
