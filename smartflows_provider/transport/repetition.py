"""When one request is sent again by itself.

Short, blind repetition of single calls: a few tries within seconds. Waiting out a longer outage is the
business of ``waiting``, which asks with ``NO_REPETITION``. Invariant: a request that is not repeatable is
sent again only where the service has provably taken nothing: no connection came about, or it answered 429.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, retry_if_result
from tenacity.retry import retry_base
from tenacity.stop import stop_after_attempt

from smartflows_provider.transport.errors import AnswerLost, NotSent
from smartflows_provider.wire.messages import Request, Response
from smartflows_provider.wire.retry_after import read_retry_after

_PASSING = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """How often and how soon a single call is sent again."""

    attempts: int = 4
    """Sent at most so often."""
    first_pause: float = 0.5
    """Seconds before the second try, at most; doubles with each try and is drawn at random below that."""
    longest_pause: float = 20.0
    """Seconds, also for what Retry-After asks."""

    def may_repeat_error(self, request: Request, error: BaseException) -> bool:
        """Tell whether a try that brought no answer may be repeated."""
        if isinstance(error, NotSent):
            # A refused certificate or a rejected handshake stays refused.
            return error.kind != "tls"
        return isinstance(error, AnswerLost) and request.repeatable

    def may_repeat_answer(self, request: Request, response: Response) -> bool:
        """Tell whether a try with this answer may be repeated."""
        return response.status == 429 or (request.repeatable and response.status in _PASSING)

    def pause(self, tries: int, response: Response | None) -> float:
        """
        Return the seconds to wait before the next try.

        :param tries: how many there have been.
        :param response: the last answer, if there was one.
        """
        asked = read_retry_after(response.headers) if response is not None else None
        if asked is not None:
            return min(asked, self.longest_pause)
        return random.uniform(0, min(self.longest_pause, self.first_pause * 2**tries))  # noqa: S311 - jitter

    def blocking(self, request: Request) -> Retrying:
        """Return the tenacity loop for a worker."""
        return Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=self._wait,
            retry=self._condition(request),
            retry_error_callback=_last_outcome,
        )

    def asynchronous(self, request: Request) -> AsyncRetrying:
        """Return the tenacity loop for an event loop."""
        return AsyncRetrying(
            stop=stop_after_attempt(self.attempts),
            wait=self._wait,
            retry=self._condition(request),
            retry_error_callback=_last_outcome,
        )

    def _condition(self, request: Request) -> retry_base:
        return retry_if_exception(lambda error: self.may_repeat_error(request, error)) | retry_if_result(
            lambda response: self.may_repeat_answer(request, response)
        )

    def _wait(self, state: RetryCallState) -> float:
        outcome = state.outcome
        answered = outcome is not None and not outcome.failed
        return self.pause(state.attempt_number, outcome.result() if outcome and answered else None)


NO_REPETITION = Repetition(attempts=1)
"""Send once; the caller decides what then."""


def _last_outcome(state: RetryCallState) -> Response:
    """Give the caller the last answer, or raise the last error, instead of tenacity's wrapper."""
    if state.outcome is None:
        raise RuntimeError("no try was made")
    response: Response = state.outcome.result()
    return response
