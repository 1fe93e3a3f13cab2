"""What the lower rooms' errors become: class, what became of the call, what to do, when to come back."""

from __future__ import annotations

from typing import get_args

import pytest

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
)
from smartflows_provider.hooks.translation import NOTHING_DONE, NOTHING_SENT, NOTHING_TAKEN, OPEN, translate
from smartflows_provider.transport import errors as transport_errors
from smartflows_provider.transport.errors import (
    Abandoned,
    AnswerLost,
    AnswerPacked,
    AnswerTooLarge,
    FailureKind,
    NotSent,
    TransportError,
)
from smartflows_provider.wire import errors as wire_errors
from smartflows_provider.wire.errors import WireError

WHERE = RunIdentity(system="Smart Flows", conn_id="c")
MEANINGS: dict[str, tuple[type[FlowException], str]] = {
    "WireError": (FlowServiceError, OPEN),
    "UnsendableValue": (FlowConfigurationError, NOTHING_SENT),
    "UnusableId": (FlowConfigurationError, NOTHING_SENT),
    "KeyRefused": (FlowAuthenticationError, NOTHING_DONE),
    "AccessDenied": (FlowPermissionError, NOTHING_DONE),
    "NotFound": (FlowNotFoundError, NOTHING_DONE),
    "RequestRefused": (FlowRequestRefusedError, NOTHING_DONE),
    "Throttled": (FlowServiceError, NOTHING_TAKEN),
    "ServiceFault": (FlowServiceError, OPEN),
    "RedirectAnswered": (FlowRequestRefusedError, NOTHING_DONE),
    "UnreadableAnswer": (FlowServiceError, OPEN),
    "OutcomeUntold": (FlowSubmissionUnclearError, OPEN),
    "FlowNotFound": (FlowNotFoundError, NOTHING_DONE),
    "FlowAmbiguous": (FlowAmbiguousError, NOTHING_DONE),
}
WIRE = [one for one in vars(wire_errors).values() if isinstance(one, type) and issubclass(one, WireError)]


@pytest.mark.parametrize("kind", WIRE, ids=lambda kind: kind.__name__)
def test_every_error_of_the_wire_says_what_became_of_the_call_and_what_to_do(kind: type[WireError]) -> None:
    error = translate(kind("GET /x was answered", status=400, detail="its words"), where=WHERE)
    assert (type(error), error.fate) == MEANINGS[kind.__name__]
    assert (error.what, error.where) == ("GET /x was answered: its words", WHERE)
    assert error.advice
    assert error.retry_after is None


@pytest.mark.parametrize("kind", WIRE, ids=lambda kind: kind.__name__)
def test_the_time_that_the_service_names_is_carried_along(kind: type[WireError]) -> None:
    assert translate(kind("busy", status=503, retry_after=17.5), where=WHERE).retry_after == 17.5


@pytest.mark.parametrize("failure", get_args(FailureKind))
def test_every_failure_on_the_way_says_whether_something_can_have_been_taken(failure: FailureKind) -> None:
    kinds = {
        one
        for one in vars(transport_errors).values()
        if isinstance(one, type) and issubclass(one, TransportError)
    }
    assert kinds == {TransportError, NotSent, AnswerLost, AnswerTooLarge, AnswerPacked, Abandoned}
    for kind in kinds:
        error = translate(kind("it broke", kind=failure), where=WHERE)
        expected = (FlowConnectionError, NOTHING_TAKEN) if kind is NotSent else (FlowServiceError, OPEN)
        assert (type(error), error.fate) == expected
        assert error.advice


def test_a_caller_that_knows_better_says_what_became_of_the_run() -> None:
    error = translate(NotSent("no", kind="dns"), where=WHERE, fate="Nothing was started.")
    assert (error.fate, str(error).splitlines()[1]) == ("Nothing was started.", "Nothing was started.")
