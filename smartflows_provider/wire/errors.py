"""Plain errors for answers that are not what was asked for.

They say what the service answered and nothing about connections or tasks; hooks turn them into the error
tree that DAG authors see. Invariant: no error text holds a request header or a request body.
"""

from __future__ import annotations

from smartflows_provider.wire.text import printable


class WireError(Exception):
    """
    The service answered, but not with what was asked for.

    :param message: what was asked and what came, without secrets.
    :param status: HTTP status of the answer, 0 where the error is not about a single answer.
    :param retry_after: seconds the service asked to wait, None if it named none.
    :param detail: the service's own words; they may quote what it was sent.
    """

    def __init__(
        self, message: str, *, status: int = 0, retry_after: float | None = None, detail: str = ""
    ) -> None:
        super().__init__(printable(f"{message}: {detail}" if detail else message))
        self.message = message
        self.status = status
        self.retry_after = retry_after

    def without_detail(self) -> WireError:
        """Return the same error without the service's own words."""
        return type(self)(self.message, status=self.status, retry_after=self.retry_after)


class UnusableId(WireError, ValueError):
    """An id or name cannot be part of an address; nothing was sent."""


class UnsendableValue(UnusableId):
    """A text or value meant for the service cannot be written as UTF-8 or JSON; nothing was sent."""


class KeyRefused(WireError):
    """401: the key is missing, wrong or revoked."""


class AccessDenied(WireError):
    """403: the key is known, but its role or the licence lacks the right."""


class NotFound(WireError):
    """404 or 410: no such thing, or no longer."""


class RequestRefused(WireError):
    """Another 4xx: the service does not accept the request as it is."""


class Throttled(WireError):
    """429: too many requests; nothing was taken."""


class ServiceFault(WireError):
    """5xx or 408: the service, or a proxy before it, failed; whether the request was taken is open."""


class RedirectAnswered(WireError):
    """3xx: the service is at another address; calls with a key never follow."""


class UnreadableAnswer(WireError):
    """2xx with a body that is not the documented one."""


class OutcomeUntold(UnreadableAnswer):
    """4xx of an endpoint whose author chooses the codes: whether it has done its work is open."""


class FlowNotFound(WireError):
    """No flow has the given id or name."""


class FlowAmbiguous(WireError):
    """Several flows have the given name."""


REFUSALS = (KeyRefused, AccessDenied, RequestRefused)
"""What an outdated key may be answered with; some services refuse with 200, and do not say why."""
