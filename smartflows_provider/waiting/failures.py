"""What a question that failed means for a wait.

"Could not find out" is not "failed": only a refusal of the key, an unusable connection and a missing
execution are decisive, all else may pass. Invariant: an error never counts as a status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from smartflows_provider.transport.errors import TransportError
from smartflows_provider.wire.errors import (
    AccessDenied,
    KeyRefused,
    NotFound,
    RequestRefused,
    UnusableId,
    WireError,
)

PollFailureKind = Literal["passing", "refused", "denied", "missing", "misconfigured", "gone"]


@dataclass(frozen=True, kw_only=True)
class PollFailure:
    """One question to the service that brought no status."""

    kind: PollFailureKind
    """``passing``: may mend itself; ``refused``: the key, 401; ``denied``: the key's right, 403;
    ``missing``: Airflow says that there is no such connection, as it also does where it could not look;
    ``misconfigured``: the connection was made unusable meanwhile; ``gone``: no such execution any more."""
    text: str
    """What happened, without secrets."""
    retry_after: float | None = None
    """Seconds the service asked to wait."""
    refresh: bool = False
    """Whether the connection, read again, may bring what mends it."""


def read_failure(error: WireError | TransportError) -> PollFailure:
    """Return what an error of the wire or the transport means for a wait."""
    if isinstance(error, KeyRefused):
        return PollFailure(kind="refused", text=str(error))
    if isinstance(error, AccessDenied):
        return PollFailure(kind="denied", text=str(error))
    if isinstance(error, UnusableId):
        return PollFailure(kind="misconfigured", text=str(error))
    if isinstance(error, NotFound):
        return PollFailure(kind="gone", text=str(error))
    retry_after = error.retry_after if isinstance(error, WireError) else None
    # Some services answer an outdated key with a refusal that does not say what it is about.
    refresh = isinstance(error, RequestRefused)
    return PollFailure(kind="passing", text=str(error), retry_after=retry_after, refresh=refresh)
