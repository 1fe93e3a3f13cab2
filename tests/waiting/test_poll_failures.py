"""What each error of wire and transport means for a wait: decisive ones are few, all else may pass."""

from __future__ import annotations

import pytest

from smartflows_provider.transport.errors import AnswerLost, AnswerTooLarge, NotSent, TransportError
from smartflows_provider.waiting.failures import read_failure
from smartflows_provider.wire.errors import (
    AccessDenied,
    KeyRefused,
    NotFound,
    RedirectAnswered,
    RequestRefused,
    ServiceFault,
    Throttled,
    UnreadableAnswer,
    WireError,
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyRefused("no", status=401), "refused"),
        (AccessDenied("no", status=403), "denied"),
        (NotFound("no", status=404), "gone"),
        (NotFound("no", status=410), "gone"),
        (RequestRefused("no", status=400), "passing"),
        (RedirectAnswered("no", status=302), "passing"),
        (ServiceFault("no", status=500), "passing"),
        (UnreadableAnswer("no", status=200), "passing"),
        (NotSent("no", kind="dns"), "passing"),
        (AnswerLost("no", kind="reset"), "passing"),
        (AnswerTooLarge("no", kind="too_large"), "passing"),
    ],
)
def test_only_refusals_of_the_key_and_a_missing_execution_are_decisive(
    error: WireError | TransportError, kind: str
) -> None:
    seen = read_failure(error)
    assert (seen.kind, seen.text) == (kind, "no")


def test_a_refusal_that_does_not_say_what_it_is_about_has_the_connection_read_again() -> None:
    assert read_failure(RequestRefused("no", status=200)).refresh
    assert not read_failure(ServiceFault("no", status=500)).refresh


def test_the_time_that_the_service_asks_for_is_kept() -> None:
    assert read_failure(Throttled("slow", status=429, retry_after=7)).retry_after == 7
    assert read_failure(ServiceFault("down", status=503, retry_after=9)).retry_after == 9
