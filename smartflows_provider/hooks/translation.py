"""Errors of the wire and the transport, turned into the error tree that DAG authors see.

The lower rooms say what happened; here it becomes which connection it happened on, whether a retry helps,
and what to change. Invariant: the original error is not chained, so no traceback shows what it held.
"""

from __future__ import annotations

from smartflows_provider.exceptions import (
    FlowAmbiguousError,
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowNotFoundError,
    FlowPermissionError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowSubmissionUnclearError,
    RunIdentity,
    SystemHints,
)
from smartflows_provider.transport.errors import FailureKind, NotSent, TransportError
from smartflows_provider.wire.errors import (
    AccessDenied,
    FlowAmbiguous,
    FlowNotFound,
    KeyRefused,
    NotFound,
    OutcomeUntold,
    RedirectAnswered,
    RequestRefused,
    ServiceFault,
    Throttled,
    UnreadableAnswer,
    UnsendableValue,
    UnusableId,
    WireError,
)

NOTHING_TAKEN = "The service has taken nothing."
NOTHING_SENT = "Nothing was sent."
NOTHING_DONE = "The service has started and changed nothing."
OPEN = "Whether the service has taken the call is open, which matters if the call changes something."

_CONNECTION_ADVICE: dict[FailureKind, str] = {
    "dns": "The host name does not resolve: check the connection's host.",
    "refused": "Nothing listens there: check the connection's host and port.",
    "tls": "TLS failed: check that host and port speak https, and set the extra 'ca_bundle' if the server's "
    "certificate comes from an authority of your own, or 'client_cert' if the server asks for one. For a "
    "server that speaks http only, put http:// before the host.",
    "timeout": "Nothing answered in time: check host and port, and firewalls on the way from this machine.",
    "proxy": "The proxy did not let the request through: check the extra 'proxy' or the environment's proxy.",
    "unreachable": "There is no way to the host from this machine: check host, port and network.",
    "token": "The service itself was not asked: look at the server that gives access tokens, and at the "
    "connection's extra 'token_url'.",
    "reset": "The connection broke: look at the service and at proxies on the way.",
    "too_large": "The answer is over the size limit for API answers.",
    "packed": "Something on the way packs answers in its own way: switch that off for this service.",
}


def translate(
    error: WireError | TransportError, *, where: RunIdentity, fate: str | None = None, about: str = ""
) -> FlowException:
    """
    Return the error that a DAG author sees.

    :param error: from the wire or the transport.
    :param where: connection and run that the call was about.
    :param fate: what became of the remote run, where the caller knows better than the error tells.
    :param about: what of the run the call was about, a document say; begins the message.
    """
    kind, default_fate, advice = _meaning(error, where.hints)
    return kind(
        f"{about}: {error}" if about else str(error),
        where=where,
        fate=default_fate if fate is None else fate,
        advice=advice,
        retry_after=seconds_asked(error),
    )


def may_be_taken(error: WireError | TransportError) -> bool:
    """Tell whether the service can have done what it was asked for, although its answer is of no use."""
    if isinstance(error, TransportError):
        return not isinstance(error, NotSent)
    return isinstance(error, ServiceFault | UnreadableAnswer)


def without_words(error: WireError | TransportError) -> WireError | TransportError:
    """Return an error without the service's own words, which may quote what was sent."""
    return error.without_detail() if isinstance(error, WireError) else error


def seconds_asked(error: WireError | TransportError) -> float | None:
    """Return how many seconds the service asked to wait, None if it named none."""
    return error.retry_after if isinstance(error, WireError) else None


def _meaning(error: WireError | TransportError, hints: SystemHints) -> tuple[type[FlowException], str, str]:
    """Return the class, what became of the call, and what to do."""
    match error:
        case NotSent():
            return FlowConnectionError, NOTHING_TAKEN, _CONNECTION_ADVICE[error.kind]
        case UnsendableValue():
            advice = "Check the argument that the message names, and what its template renders to."
            return FlowConfigurationError, NOTHING_SENT, advice
        case UnusableId():
            advice = "Check the argument that gives the id or name, and what its template renders to."
            return FlowConfigurationError, NOTHING_SENT, advice
        case TransportError():
            return FlowServiceError, OPEN, _CONNECTION_ADVICE[error.kind]
        case KeyRefused():
            advice = (
                f"The {hints.credential} is wrong, revoked or expired: put a valid one into the connection's "
                "password."
            )
            return FlowAuthenticationError, NOTHING_DONE, advice
        case AccessDenied():
            return FlowPermissionError, NOTHING_DONE, hints.denied
        case FlowNotFound():
            return FlowNotFoundError, NOTHING_DONE, hints.unknown_flow
        case FlowAmbiguous():
            return FlowAmbiguousError, NOTHING_DONE, hints.ambiguous_flow
        case NotFound():
            return FlowNotFoundError, NOTHING_DONE, hints.not_found
        case RedirectAnswered():
            advice = (
                "Calls with a key do not follow redirects: set the connection's host to the address that "
                "really answers."
            )
            return FlowRequestRefusedError, NOTHING_DONE, advice
        case RequestRefused():
            return FlowRequestRefusedError, NOTHING_DONE, "The service names the reason above."
        case OutcomeUntold():
            advice = "Look at the service for what was done before you call it again."
            return FlowSubmissionUnclearError, OPEN, advice
        case Throttled():
            advice = "There were too many requests; limit the tasks that use the connection with a pool."
            return FlowServiceError, NOTHING_TAKEN, advice
        case _:
            advice = (
                "If it stays, look at the service, and whether the connection's host and port lead to it."
            )
            return FlowServiceError, OPEN, advice
