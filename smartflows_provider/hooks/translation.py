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
    RunIdentity,
)
from smartflows_provider.transport.errors import FailureKind, NotSent, TransportError
from smartflows_provider.wire.errors import (
    AccessDenied,
    FlowAmbiguous,
    FlowNotFound,
    KeyRefused,
    NotFound,
    RedirectAnswered,
    RequestRefused,
    Throttled,
    UnusableId,
    WireError,
)

NOTHING_TAKEN = "The service has taken nothing."

_CONNECTION_ADVICE: dict[FailureKind, str] = {
    "dns": "The host name does not resolve: check the connection's host.",
    "refused": "Nothing listens there: check the connection's host and port.",
    "tls": "TLS failed: check that host and port speak https, and set the extra 'ca_bundle' if the server's "
    "certificate comes from an authority of your own, or 'client_cert' if the server asks for one.",
    "timeout": "Nothing answered in time: check host and port, and firewalls on the way from this machine.",
    "proxy": "The proxy did not let the request through: check the extra 'proxy' or the environment's proxy.",
    "unreachable": "There is no way to the host from this machine: check host, port and network.",
    "reset": "The connection broke: look at the service and at proxies on the way.",
    "too_large": "The answer is over the size limit for API answers.",
}


def translate(error: WireError | TransportError, *, where: RunIdentity) -> FlowException:
    """
    Return the error that a DAG author sees.

    :param error: from the wire or the transport.
    :param where: connection and run that the call was about.
    """
    what = str(error)
    match error:
        case NotSent():
            return FlowConnectionError(
                what, where=where, fate=NOTHING_TAKEN, advice=_CONNECTION_ADVICE[error.kind]
            )
        case UnusableId():
            return FlowConfigurationError(
                what,
                where=where,
                fate="Nothing was sent.",
                advice="Check the argument that names the id, and what its template renders to.",
            )
        case TransportError():
            return FlowServiceError(what, where=where, advice=_CONNECTION_ADVICE[error.kind])
        case KeyRefused():
            return FlowAuthenticationError(
                what,
                where=where,
                advice="The key is wrong, revoked or expired: put a valid one into the connection's "
                "password.",
            )
        case AccessDenied():
            return FlowPermissionError(
                what,
                where=where,
                advice="Two reasons are usual: the licence does not include the API (it takes Smart Flows "
                "Connect or a like edition), or the role of the key's user lacks the right.",
            )
        case FlowNotFound():
            return FlowNotFoundError(
                what,
                where=where,
                advice="Name the flow as the project console does, or by its id; ids differ between "
                "environments.",
            )
        case FlowAmbiguous():
            return FlowAmbiguousError(what, where=where)
        case NotFound():
            return FlowNotFoundError(
                what,
                where=where,
                advice="Check the id, and the connection's API prefix; the project's clean-up settings may "
                "have removed it.",
            )
        case RedirectAnswered():
            return FlowRequestRefusedError(
                what,
                where=where,
                advice="Calls with a key do not follow redirects: set the connection's host to the address "
                "that really answers.",
            )
        case RequestRefused():
            return FlowRequestRefusedError(what, where=where, advice="The service names the reason above.")
        case Throttled():
            return FlowServiceError(
                what,
                where=where,
                fate=NOTHING_TAKEN,
                advice="There were too many requests; limit the tasks that use the connection with a pool.",
            )
        case _:
            return FlowServiceError(
                what,
                where=where,
                advice="If it stays, look at the service, and whether the connection's host and port lead "
                "to it.",
            )
