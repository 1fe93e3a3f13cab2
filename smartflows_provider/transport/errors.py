"""Plain errors for requests that brought no usable answer.

The one question that matters afterwards is whether the service may have taken the request, so that is
what the classes tell apart. Invariant: :class:`NotSent` is raised only where nothing can have been taken;
every doubt is an :class:`AnswerLost`. No text holds a header, a body or a query.
"""

from __future__ import annotations

from typing import Literal

from smartflows_provider.wire.messages import Request

FailureKind = Literal[
    "dns", "refused", "tls", "timeout", "proxy", "unreachable", "reset", "too_large", "packed", "token"
]


class TransportError(Exception):
    """
    A request brought no usable answer.

    :param message: what was tried and what happened.
    :param kind: what went wrong, in one word.
    """

    def __init__(self, message: str, *, kind: FailureKind) -> None:
        super().__init__(message)
        self.kind = kind


class NotSent(TransportError):
    """No connection came about (name, route, refusal, TLS, proxy): the service has taken nothing."""


class AnswerLost(TransportError):
    """The connection broke or the time was up after it stood: the service may have taken the request."""


class AnswerTooLarge(TransportError):
    """The body is larger than the limit for API answers; it was not read to its end."""


class AnswerPacked(TransportError):
    """The body is packed in a way that was not asked for; it was not read."""


class Abandoned(TransportError):
    """The client was given up by its owner; nothing was sent."""


def answer_packed(request: Request, encoding: str) -> AnswerPacked:
    """Return the error for an answer with a ``Content-Encoding`` that is not unpacked."""
    return AnswerPacked(
        f"the answer to {request.label} is packed as {encoding[:40]!r}, which was not asked for",
        kind="packed",
    )


def answer_too_large(request: Request, limit: int) -> AnswerTooLarge:
    """Return the error for an answer of more than ``limit`` bytes."""
    return AnswerTooLarge(f"the answer to {request.label} is larger than {limit} bytes", kind="too_large")


def too_many_hops(request: Request, hops: int) -> TransportError:
    """Return the error for a download that is sent on and on."""
    return TransportError(f"{request.label} was redirected more than {hops} times", kind="unreachable")
