"""Beginning a run whose id is ours: an unclear start is looked for, and sent again as the same run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout
from support.tasks import FakeStateStore

from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConnectionError,
    FlowException,
    FlowKilledError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.begin import LOOK_UP_PAUSES, RunBeginning
from smartflows_provider.lifecycle.options import RunOptions
from smartflows_provider.lifecycle.record import AttemptIdentity, Epoch, RunRecord, TaskStateStore
from smartflows_provider.lifecycle.run_request import BegunRun, RunRequest, Submission
from smartflows_provider.transport.errors import AnswerLost, NotSent
from smartflows_provider.wire.errors import KeyRefused, RequestRefused, ServiceFault, Throttled
from smartflows_provider.wire.run import RunPhase, RunSnapshot

LOST = AnswerLost("POST /x brought no answer: reset", kind="reset")
EXISTS = RequestRefused("it exists already", status=200)
log = logging.getLogger(__name__)


class Service:
    """Knows runs by the id that the client gives them."""

    def __init__(self, *answers: Exception | None, takes: bool = True) -> None:
        self.answers = list(answers)
        self.takes = takes
        self.runs: list[str] = []
        self.sent: list[str] = []
        self.looks = 0

    def start(self, run_id: str) -> RunSnapshot:
        self.sent.append(run_id)
        answer = self.answers.pop(0) if self.answers else None
        if run_id in self.runs:
            raise EXISTS
        if self.takes or answer is None:
            self.runs.append(run_id)
        if answer is not None:
            raise answer
        return snapshot(run_id)

    def find(self, _: float, run_id: str) -> list[RunSnapshot]:
        self.looks += 1
        return [snapshot(run_id)] if run_id in self.runs else []


class Hook(SmartFlowsHook):
    """Finds every run under way."""

    client: Any = SimpleNamespace(run=lambda _: snapshot("first"))


def recorded(store: FakeStateStore) -> RunRecord:
    record = TaskStateStore(store, retention=None).load()
    assert record is not None
    return record


def snapshot(run_id: str, phase: RunPhase = RunPhase.ACTIVE) -> RunSnapshot:
    return RunSnapshot(execution_id=run_id, status="Running", phase=phase)


def begin(
    service: Service,
    store: FakeStateStore | None = None,
    *,
    number: int = 1,
    prepare: Callable[[RunRecord | None], Submission] | None = None,
    check: Callable[[], None] = lambda: None,
) -> tuple[BegunRun, list[float]]:
    """Begin a run named ``mine``; return it, and how long was paused."""
    pauses: list[float] = []

    def named(record: RunRecord | None) -> Submission:
        run_id = record.correlation if record and record.execution_id is None else None
        return Submission(send=lambda: service.start(run_id or "mine"), correlation=run_id or "mine")

    beginning = RunBeginning(
        hook=Hook(),
        store=TaskStateStore(store or FakeStateStore(), retention=None),
        attempt=AttemptIdentity(epoch=Epoch(max_tries=1, clear_number=0), number=number),
        options=RunOptions(),
        log=log,
        check=check,
        sleep=pauses.append,
    )
    request = RunRequest(
        flow="Letter",
        fingerprint="same",
        prepare=prepare or named,
        proven=service.find,
        repeatable=True,
    )
    beginning.recall()
    return beginning.attach("Letter") or beginning.begin(request), pauses


def test_a_start_that_was_taken_without_an_answer_is_found_and_not_sent_again() -> None:
    service = Service(LOST)
    begun, _ = begin(service)
    assert (begun.execution_id, begun.started_here) == ("mine", True)
    assert service.sent == ["mine"]


@pytest.mark.parametrize("error", [LOST, ServiceFault("503", status=503)])
def test_a_start_that_was_not_taken_is_sent_again_under_the_same_id(error: Exception) -> None:
    service = Service(error, takes=False)
    begun, pauses = begin(service)
    assert (begun.execution_id, service.sent, service.runs) == ("mine", ["mine", "mine"], ["mine"])
    assert pauses == [LOOK_UP_PAUSES[0]]


def test_a_first_start_that_arrives_late_is_one_run_with_the_second() -> None:
    service = Service(LOST, takes=False)
    find = service.find

    def late(since: float, run_id: str) -> list[RunSnapshot]:
        if service.looks == 0:
            found = find(since, run_id)
            service.runs.append(run_id)
            return found
        return find(since, run_id)

    service.find = late  # type: ignore[method-assign]
    begun, _ = begin(service)
    assert (begun.execution_id, service.runs) == ("mine", ["mine"])
    assert service.sent == ["mine", "mine"]


def test_a_service_that_stays_away_leaves_it_open_for_a_retry_and_is_asked_a_few_times_only() -> None:
    store, service = (
        FakeStateStore(),
        Service(*[ServiceFault("503", status=503, retry_after=7)] * 20, takes=False),
    )
    with pytest.raises(FlowStateUnknownError) as caught:
        begin(service, store)
    assert str(caught.value) == (
        "It is open whether the service has started the execution. 503. [Smart Flows, connection "
        "'smartflows_default', flow 'Letter', execution mine]\n"
        "Execution mine may have been started, and then goes on; no other was started.\n"
        "A retry looks for it by its id, goes on with it, or starts it under the same id if it is not there. "
        "If no retry is left, look for it at the service."
    )
    assert caught.value.retry_after == 7
    assert not isinstance(caught.value, AirflowFailException)
    assert len(service.sent) == 1 + len(LOOK_UP_PAUSES)
    assert recorded(store).execution_id is None
    assert recorded(store).correlation == "mine"


def test_a_start_that_the_last_repetition_has_brought_about_is_found() -> None:
    service = Service(*[LOST] * (1 + len(LOOK_UP_PAUSES)), takes=False)
    start = service.start

    def start_and_take_the_last(run_id: str) -> RunSnapshot:
        service.takes = len(service.sent) == len(LOOK_UP_PAUSES)
        return start(run_id)

    service.start = start_and_take_the_last  # type: ignore[method-assign]
    begun, _ = begin(service)
    assert (begun.execution_id, service.runs) == ("mine", ["mine"])
    assert len(service.sent) == 1 + len(LOOK_UP_PAUSES)


@pytest.mark.parametrize("taken", [True, False])
def test_a_retry_goes_on_with_a_start_that_stayed_open(taken: bool) -> None:
    store, service = FakeStateStore(), Service(*[LOST] * 6, takes=False)
    with pytest.raises(FlowStateUnknownError):
        begin(service, store)
    if taken:
        service.runs.append("mine")
    service.takes = True
    sent = len(service.sent)
    begun, _ = begin(service, store, number=2)
    assert (begun.execution_id, service.runs) == ("mine", ["mine"])
    assert len(service.sent) == sent + (not taken)


def test_what_refuses_the_second_start_says_nothing_of_the_first() -> None:
    service = Service(LOST, RequestRefused("no such scheme", status=200), takes=False)
    with pytest.raises(FlowStateUnknownError, match="no such scheme"):
        begin(service)
    assert len(service.sent) == 2


def test_a_start_that_is_refused_at_once_is_a_refusal() -> None:
    service = Service(RequestRefused("no such scheme", status=200), takes=False)
    with pytest.raises(FlowRequestRefusedError, match="no such scheme"):
        begin(service)
    assert service.looks == 1


def test_a_refusal_is_open_where_the_service_cannot_be_asked_for_the_run() -> None:
    store, service = FakeStateStore(), Service(RequestRefused("it did not come up", status=200), takes=True)

    def away(since: float, run_id: str) -> list[RunSnapshot]:
        raise ServiceFault("503", status=503)

    find, service.find = service.find, away  # type: ignore[method-assign]
    with pytest.raises(FlowStateUnknownError, match="it did not come up"):
        begin(service, store)
    service.find = find  # type: ignore[method-assign]
    begun, _ = begin(service, store, number=2)
    assert (begun.execution_id, service.sent) == ("mine", ["mine"])


def test_a_second_start_that_was_not_sent_is_tried_again() -> None:
    service = Service(LOST, NotSent("no way", kind="refused"), takes=False)
    begun, _ = begin(service)
    assert (begun.execution_id, len(service.sent)) == ("mine", 3)


def test_an_execution_timeout_while_the_start_is_not_answered_is_not_answered_with_another_start() -> None:
    service = Service(AirflowTaskTimeout("Timeout"), takes=False)  # type: ignore[arg-type]
    with pytest.raises(
        FlowStateUnknownError, match="execution_timeout passed while the start was not answered"
    ):
        begin(service)
    assert service.sent == ["mine"]


def test_a_start_that_was_taken_when_execution_timeout_passed_is_found() -> None:
    service = Service(AirflowTaskTimeout("Timeout"))  # type: ignore[arg-type]
    begun, _ = begin(service)
    assert (begun.execution_id, service.sent) == ("mine", ["mine"])


@pytest.mark.parametrize("taken", [True, False])
def test_a_retry_of_an_attempt_that_died_while_it_started_the_run_goes_on_with_that_run(taken: bool) -> None:
    store, service = FakeStateStore(), Service(takes=taken)

    class DiedError(BaseException):
        pass

    def dies(record: RunRecord | None) -> Submission:
        def send() -> RunSnapshot:
            if taken:
                service.start("first")
            raise DiedError

        return Submission(send=send, correlation="first")

    with pytest.raises(DiedError):
        begin(service, store, prepare=dies)
    begun, pauses = begin(service, store, number=2)
    assert (begun.execution_id, service.runs) == ("first", ["first"])
    assert pauses == []


def test_a_run_that_is_there_without_a_record_is_attached_to_and_nothing_is_sent() -> None:
    store, service = FakeStateStore(), Service()

    def prepare(_: RunRecord | None) -> Submission:
        return Submission(send=lambda: service.start("mine"), correlation="mine", adopted=snapshot("mine"))

    begun, _ = begin(service, store, prepare=prepare)
    assert (begun.execution_id, begun.started_here, service.sent) == ("mine", False, [])
    record: Any = TaskStateStore(store, retention=None).load()
    assert (record.execution_id, record.started_try) == ("mine", 0)


def intent_of(store: FakeStateStore, run_id: str) -> None:
    """Leave what an attempt leaves that died while it was starting a run."""
    TaskStateStore(store, retention=None).save(
        RunRecord(
            execution_id=None,
            flow="Letter",
            fingerprint="same",
            epoch=Epoch(max_tries=1, clear_number=0),
            submitted_at=1.0,
            deadline=4e9,
            correlation=run_id,
            started_try=1,
        )
    )


def test_a_refusal_of_a_run_that_an_earlier_attempt_has_started_is_that_run() -> None:
    store, service = FakeStateStore(), Service()
    intent_of(store, "first")
    find = service.find

    def unseen_at_first(since: float, run_id: str) -> list[RunSnapshot]:
        found = find(since, run_id)
        if service.looks == 1:
            service.runs.append(run_id)
            return []
        return found

    service.find = unseen_at_first  # type: ignore[method-assign]
    begun, _ = begin(service, store, number=2)
    assert (begun.execution_id, service.runs) == ("first", ["first"])


NOT_NOW = {
    "refused": (RequestRefused("no", status=200), FlowStateUnknownError),
    "key": (KeyRefused("401", status=401), FlowAuthenticationError),
    "busy": (Throttled("429", status=429), FlowServiceError),
    "away": (NotSent("no way", kind="refused"), FlowConnectionError),
}


@pytest.mark.parametrize(("answer", "kind"), NOT_NOW.values(), ids=NOT_NOW)
def test_what_a_retry_is_answered_says_nothing_of_what_was_sent_before_which_stays_on_record(
    answer: Exception, kind: type[FlowException]
) -> None:
    store, service = FakeStateStore(), Service(answer, takes=False)
    intent_of(store, "first")
    with pytest.raises(kind, match=str(answer)) as caught:
        begin(service, store, number=2)
    assert (
        caught.value.fate == "Execution first may have been started, and then goes on; no other was started."
    )
    assert recorded(store).correlation == "first"
    service.runs.append("first")
    begun, _ = begin(service, store, number=3)
    assert (begun.execution_id, service.runs) == ("first", ["first"])


def test_a_kill_before_a_start_that_may_be_a_second_one_leaves_the_first_on_record() -> None:
    store, service = FakeStateStore(), Service(takes=False)
    intent_of(store, "first")

    def killed() -> None:
        raise FlowKilledError("killed")

    with pytest.raises(FlowKilledError):
        begin(service, store, number=2, check=killed)
    assert service.sent == []
    assert recorded(store).correlation == "first"


def test_a_record_that_cannot_be_read_fails_without_a_list_of_what_the_service_cannot_list() -> None:
    store, service = FakeStateStore(), Service()
    store.set("flow_run", {"schema_version": "?"})
    with pytest.raises(FlowSubmissionUnclearError) as caught:
        begin(service, store)
    assert caught.value.fate == "The service cannot list its executions."
    assert caught.value.advice.startswith("Find this task's at the service, cancel it or take its output;")
    assert service.sent == []


def test_an_execution_timeout_ends_the_repetitions_of_a_start() -> None:
    service = Service(LOST, AirflowTaskTimeout("Timeout"), LOST, takes=False)  # type: ignore[arg-type]
    with pytest.raises(FlowStateUnknownError):
        begin(service)
    assert len(service.sent) == 2
