"""The beginning of a run: exactly one execution at the service, whatever goes wrong on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.service import LONG, START, cancels, panel_flow, starts, statuses
from support.tasks import FakeStateStore

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConnectionError,
    FlowException,
    FlowExecutionGoneError,
    FlowInputError,
    FlowNotFoundError,
    FlowPermissionError,
    FlowRecordError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.begin import RunBeginning
from smartflows_provider.lifecycle.candidates import candidates, executions_since, proven
from smartflows_provider.lifecycle.options import RunOptions
from smartflows_provider.lifecycle.record import (
    RECORD_KEY,
    AttemptIdentity,
    Epoch,
    NoStore,
    RunRecord,
    TaskStateStore,
)
from smartflows_provider.lifecycle.run_request import BegunRun, RunRequest, Submission
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.smart_flows import start_flow

log = logging.getLogger("tests.begin")
UNANSWERED = [
    pytest.param(Fault(action="reset", method="POST", path=START, taken=True), id="reset after taking"),
    pytest.param(Fault(action="status", status=502, method="POST", path=START, taken=True), id="502"),
    pytest.param(Fault(action="status", status=500, method="POST", path=START, taken=True), id="500"),
    pytest.param(Fault(action="html", method="POST", path=START, taken=True), id="HTML with 200"),
    pytest.param(Fault(action="truncated", method="POST", path=START), id="truncated JSON"),
    pytest.param(Fault(action="cut", size=10, method="POST", path=START), id="cut body"),
]


class Store(TaskStateStore):
    """The record's store, telling what was at the service when something was written."""

    def __init__(self, server: DevServer) -> None:
        self.accessor = FakeStateStore()
        self.written: list[tuple[str | None, int]] = []
        self.fail_when: Callable[[RunRecord], bool] = lambda record: False
        self._server = server
        super().__init__(self.accessor, retention=None)

    def save(self, record: RunRecord) -> None:
        self.written.append((record.execution_id, len(self._server.executions())))
        if self.fail_when(record):
            raise RuntimeError("the API server does not answer")
        super().save(record)


class Task:
    """A task with its flow; each ``attempt`` is a new one of the same task instance."""

    def __init__(self, server: DevServer, hook: SmartFlowsHook, *steps: dict[str, Any]) -> None:
        self.server, self.hook = server, hook
        server.configure(hold="ignored")
        self.flow = panel_flow(server, *steps)
        self.store = Store(server)
        self.epoch = Epoch(max_tries=1, clear_number=0)
        self.number = 0
        self.correlation: str | None = None
        self.now: Callable[[], float] | None = None
        self.sleep: Callable[[float], None] = lambda seconds: None

    def clear(self) -> None:
        self.epoch = Epoch(max_tries=self.epoch.max_tries + 1, clear_number=self.epoch.clear_number + 1)

    def attempt(self, *, fingerprint: str = "same", **options: Any) -> BegunRun:
        def prepare(_: RunRecord | None) -> Submission:
            flow_id = self.hook.find_flow("Letter").id
            return Submission(
                send=lambda: self.hook.client.run(start_flow(flow_id)), correlation=self.correlation
            )

        self.number += 1
        clock = {} if self.now is None else {"clock": self.now, "steady": self.now}
        self.known: list[str | None] = []
        beginning = RunBeginning(
            hook=self.hook,
            store=self.store,
            attempt=AttemptIdentity(epoch=self.epoch, number=self.number),
            options=RunOptions(**options),
            log=log,
            run_known=self.known.append,
            sleep=self.sleep,
            **clock,
        )
        request = RunRequest(
            flow="Letter",
            fingerprint=fingerprint,
            prepare=prepare,
            candidates=lambda since: candidates(executions_since(self.hook, self.flow.id, since)),
            proven=lambda since, value: proven(
                self.hook, executions_since(self.hook, self.flow.id, since), value
            ),
        )
        beginning.recall()
        return beginning.attach("Letter") or beginning.begin(request)


@pytest.fixture
def task(server: DevServer, hook: SmartFlowsHook) -> Task:
    return Task(server, hook, LONG)


def ids(server: DevServer) -> list[str]:
    return [entry["id"] for entry in server.executions()]


# --- starting once ---


def test_the_intent_is_on_record_before_the_request_and_the_id_right_after(task: Task) -> None:
    begun = task.attempt(timeout=60)
    assert ids(task.server) == [begun.execution_id]
    assert task.store.written == [(None, 0), (begun.execution_id, 1)]
    record = task.store.load()
    assert record is not None
    assert (record.execution_id, record.flow, record.fingerprint) == (begun.execution_id, "Letter", "same")
    assert (record.epoch, record.deadline) == (task.epoch, begun.deadline)
    assert record.deadline - record.submitted_at == 60


def test_where_no_later_attempt_can_find_the_run_the_start_says_so_once(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    task.store = NoStore(notice="Airflow 3.1.8 keeps no task state.")
    begun = task.attempt()
    assert [line for line in caplog.messages if "flow" in line] == [
        "Starting flow 'Letter'.",
        "Airflow 3.1.8 keeps no task state.",
        f"Started execution {begun.execution_id} of flow 'Letter'.",
    ]


def test_an_intent_that_cannot_be_written_starts_nothing(task: Task) -> None:
    task.store.fail_when = lambda record: record.execution_id is None
    with pytest.raises(RuntimeError, match="API server"):
        task.attempt()
    assert ids(task.server) == []


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (Fault(action="status", status=400, body="no"), FlowRequestRefusedError, "Nothing was started."),
        (Fault(action="status", status=401), FlowAuthenticationError, "put a valid one"),
        (Fault(action="status", status=403), FlowPermissionError, "licence"),
        (Fault(action="status", status=404), FlowNotFoundError, "give the flow's name"),
        (Fault(action="status", status=409), FlowRequestRefusedError, "Mend what the service names"),
        (
            Fault(action="redirect", location="/elsewhere"),
            FlowRequestRefusedError,
            "set the connection's host",
        ),
        (Fault(action="status", status=429, count=None), FlowServiceError, "limit the tasks"),
    ],
)
def test_a_refused_request_leaves_no_record_and_no_execution(
    task: Task, fault: Fault, kind: type[FlowException], message: str
) -> None:
    task.server.inject(Fault(**{**vars(fault), "method": "POST", "path": START}))
    with pytest.raises(kind, match=message) as refused:
        task.attempt()
    assert type(refused.value) is kind
    assert "flow 'Letter'" in str(refused.value)
    assert ids(task.server) == []
    assert task.store.load() is None


def test_a_service_that_cannot_be_reached_leaves_no_record(task: Task) -> None:
    task.store.fail_when = lambda record: task.server.stop() is not None
    with pytest.raises(FlowConnectionError, match="Nothing was started"):
        task.attempt()
    assert task.store.load() is None
    task.server.start()
    assert ids(task.server) == []


def test_too_many_requests_are_waited_out(task: Task) -> None:
    task.server.inject(Fault(action="status", status=429, method="POST", path=START, count=2))
    task.attempt()
    assert len(ids(task.server)) == 1
    assert len(starts(task.server)) == 3


# --- unclear starts ---


@pytest.mark.parametrize("fault", UNANSWERED)
def test_an_unanswered_start_fails_for_good_and_names_what_it_may_have_started(
    task: Task, fault: Fault
) -> None:
    task.server.inject(fault)
    with pytest.raises(FlowSubmissionUnclearError) as unclear:
        task.attempt()
    (started,) = ids(task.server)
    message = str(unclear.value)
    assert message.startswith("It is open whether the service has started an execution. ")
    assert f"Executions of this flow since then:\n  {started}, Running, created 20" in message
    assert message.endswith("clear the task to start a new one, which does not look for the old one.")
    assert len(starts(task.server)) == 1

    with pytest.raises(FlowSubmissionUnclearError, match="An earlier attempt ended while it was starting it"):
        task.attempt()
    assert ids(task.server) == [started]

    task.clear()
    begun = task.attempt()
    assert ids(task.server) == [started, begun.execution_id]


def test_a_start_that_was_not_taken_is_unclear_too_and_the_list_says_there_is_none(task: Task) -> None:
    task.server.inject(Fault(action="reset", method="POST", path=START))
    with pytest.raises(FlowSubmissionUnclearError, match="lists no execution of this flow since then"):
        task.attempt()
    assert ids(task.server) == []


def test_where_the_executions_cannot_be_listed_the_message_says_so(task: Task) -> None:
    task.server.inject(Fault(action="status", status=500, method="POST", path=START))
    task.server.inject(Fault(action="status", status=403, method="GET", path=r"/executions$", count=None))
    with pytest.raises(FlowSubmissionUnclearError, match=r"executions could not be listed: GET .* 403"):
        task.attempt()


def test_a_long_list_of_candidates_is_cut(task: Task) -> None:
    for _ in range(23):
        task.hook.start(task.flow.id)
    task.server.inject(Fault(action="status", status=500, method="POST", path=START))
    with pytest.raises(FlowSubmissionUnclearError) as unclear:
        task.attempt()
    assert str(unclear.value).count(", Running, created ") == 20
    assert "\n  and 3 more\n" in str(unclear.value)


@pytest.mark.parametrize("fault", UNANSWERED)
def test_resubmit_starts_once_more(task: Task, fault: Fault) -> None:
    task.server.inject(fault)
    begun = task.attempt(on_ambiguous_submission="resubmit")
    assert len(starts(task.server)) == 2
    assert ids(task.server)[-1] == begun.execution_id


def test_resubmit_that_fails_before_it_is_sent_still_is_unclear(task: Task) -> None:
    server = task.server
    server.inject(Fault(action="reset", method="POST", path=START, taken=True))
    server.inject(Fault(action="status", status=400, method="POST", path=START))
    with pytest.raises(FlowSubmissionUnclearError, match=r"It was sent once more: POST .* 400") as unclear:
        task.attempt(on_ambiguous_submission="resubmit")
    assert ids(server)[0] in str(unclear.value)
    assert task.store.load() is not None


# --- records that cannot be written or read ---


def test_a_run_that_cannot_be_recorded_is_cancelled_and_named(task: Task) -> None:
    task.store.fail_when = lambda record: record.execution_id is not None
    with pytest.raises(FlowRecordError) as unrecorded:
        task.attempt()
    (started,) = ids(task.server)
    assert str(unrecorded.value) == (
        "The execution was started, but Airflow could not record it: RuntimeError: the API server does not "
        f"answer [Smart Flows, connection 'smartflows_default', flow 'Letter', execution {started}]\n"
        f"Execution {started} is Canceled.\nA retry starts a new execution."
    )
    assert statuses(task.server) == ["Canceled"]
    task.store.fail_when = lambda record: False
    task.attempt()
    assert statuses(task.server) == ["Canceled", "Running"]


@pytest.mark.parametrize(
    ("last_step", "phase"),
    [
        ({"kind": "work"}, RunPhase.SUCCEEDED),
        ({"kind": "warning", "message": "hm"}, RunPhase.WARNED),
    ],
)
def test_a_run_that_has_ended_well_before_it_could_be_recorded_is_gone_on_with(
    server: DevServer,
    hook: SmartFlowsHook,
    caplog: pytest.LogCaptureFixture,
    last_step: dict[str, Any],
    phase: RunPhase,
) -> None:
    task = Task(server, hook, last_step)
    task.store.fail_when = lambda record: record.execution_id is not None
    begun = task.attempt()
    assert (begun.execution_id, begun.phase, begun.started_here) == (ids(server)[0], phase, True)
    assert f"Execution {begun.execution_id} is {statuses(server)[0]}. It could not be" in caplog.text


def test_a_retry_after_a_run_that_ended_well_and_could_not_be_recorded_starts_no_second(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    task = Task(server, hook, {"kind": "work"})
    task.store.fail_when = lambda record: record.execution_id is not None
    begun = task.attempt()
    task.store.fail_when = lambda record: False
    with pytest.raises(FlowSubmissionUnclearError, match=begun.execution_id):
        task.attempt()
    assert ids(server) == [begun.execution_id]


def test_a_record_of_an_unknown_version_starts_nothing_and_says_what_to_look_at(task: Task) -> None:
    begun = task.attempt()
    task.store.accessor.set(RECORD_KEY, {**task.store.accessor.get(RECORD_KEY), "schema_version": 99})
    with pytest.raises(FlowSubmissionUnclearError) as unclear:
        task.attempt()
    message = str(unclear.value)
    assert "cannot be read: schema version 99 is not known." in message
    assert begun.execution_id in message
    assert "delete the task state 'flow_run'" in message
    assert ids(task.server) == [begun.execution_id]


# --- retries ---


def test_a_retry_attaches_to_what_is_under_way_and_keeps_the_deadline(task: Task) -> None:
    first = task.attempt(timeout=60)
    again = task.attempt(timeout=999)
    assert again == replace(first, started_here=False)
    assert len(starts(task.server)) == 1
    assert again.phase is RunPhase.ACTIVE


@pytest.mark.parametrize("last_step", [{"kind": "work"}, {"kind": "warning", "message": "hm"}])
def test_a_retry_attaches_to_what_ended_well(
    server: DevServer, hook: SmartFlowsHook, last_step: dict[str, Any]
) -> None:
    task = Task(server, hook, last_step)
    first, again = task.attempt(), task.attempt()
    assert again.execution_id == first.execution_id
    assert again.phase.is_stable
    assert len(starts(server)) == 1


@pytest.mark.parametrize(
    "end", [{"kind": "fail", "message": "no"}, {"kind": "interrupt", "message": "no"}, "cancel"]
)
def test_a_retry_after_a_bad_end_starts_anew(server: DevServer, hook: SmartFlowsHook, end: Any) -> None:
    task = Task(server, hook, LONG if end == "cancel" else end)
    first = task.attempt()
    if end == "cancel":
        hook.cancel(first.execution_id)
    again = task.attempt()
    assert again.execution_id != first.execution_id
    assert ids(server) == [first.execution_id, again.execution_id]


def test_a_retry_after_a_timeout_that_left_the_run_alive_has_its_own_time(task: Task) -> None:
    clock = [1_000_000.0]
    task.now = lambda: clock[0]
    first = task.attempt(timeout=100)
    clock[0] += 150
    again = task.attempt(timeout=100)
    assert again.execution_id == first.execution_id
    assert (first.deadline, again.deadline) == (1_000_100, 1_000_250)
    record = task.store.load()
    assert record is not None
    assert record.deadline == 1_000_250


def test_a_retry_that_cannot_ask_keeps_the_run_and_starts_no_other(task: Task) -> None:
    first = task.attempt()
    task.server.inject(Fault(action="status", status=503, path=r"/progress$", count=None))
    with pytest.raises(FlowStateUnknownError) as unknown:
        task.attempt()
    assert f"execution {first.execution_id}" in str(unknown.value)
    assert str(unknown.value).endswith("The execution was kept; no other was started.\nA retry asks again.")
    task.server.clear_faults()
    assert task.attempt() == replace(first, started_here=False)
    assert len(starts(task.server)) == 1


@pytest.mark.parametrize("purged", [404, 410])
def test_a_retry_whose_run_was_purged_says_so_and_starts_no_other(task: Task, purged: int) -> None:
    task.server.configure(purged=purged)
    first = task.attempt()
    task.server.expire(first.execution_id)
    with pytest.raises(FlowExecutionGoneError) as gone:
        task.attempt()
    assert f"execution {first.execution_id}" in str(gone.value)
    assert "It was purged, or the connection now leads to another project" in str(gone.value)
    assert len(starts(task.server)) == 1


# --- clears ---


def test_a_clear_cancels_the_old_run_and_starts_no_other_before_it_has_stopped(task: Task) -> None:
    task.server.configure(cancel_seconds=50)
    first = task.attempt()
    seen: list[list[str]] = []

    def sleep(seconds: float) -> None:
        seen.append(statuses(task.server))
        task.server.advance(20)

    task.clear()
    task.sleep = sleep
    again = task.attempt()
    assert seen == [["Running"]] * 3
    assert statuses(task.server) == ["Canceled", "Running"]
    assert ids(task.server) == [first.execution_id, again.execution_id]
    assert task.attempt() == replace(again, started_here=False)


def test_a_clear_whose_old_run_does_not_stop_starts_no_other_and_names_it(task: Task) -> None:
    task.server.configure(cancel_seconds=3600)
    first = task.attempt()
    clock = [1_000_000.0]

    def sleep(seconds: float) -> None:
        clock[0] += 10

    task.clear()
    task.now, task.sleep = lambda: clock[0], sleep
    with pytest.raises(FlowStateUnknownError) as running:
        task.attempt()
    assert str(running.value).endswith(
        f"The service was asked to cancel execution {first.execution_id}, still Running. "
        "No other was started.\nCancel it at the service if it does not stop by itself; a retry tries again."
    )
    assert clock[0] == 1_000_030
    assert statuses(task.server) == ["Running"]


def test_a_clear_of_a_finished_run_starts_anew_without_cancelling(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    task = Task(server, hook, {"kind": "work"})
    task.attempt()
    task.clear()
    server.inject(Fault(action="status", status=409, method="DELETE", count=None))
    task.attempt()
    assert statuses(server) == ["Success", "Success"]
    assert cancels(server) == []


def test_a_clear_of_a_purged_run_starts_anew(task: Task) -> None:
    first = task.attempt()
    task.server.expire(first.execution_id)
    task.clear()
    assert task.attempt().execution_id != first.execution_id


def test_a_clear_that_cannot_reach_the_service_starts_nothing_at_all(task: Task) -> None:
    first = task.attempt()
    task.server.inject(Fault(action="status", status=503, path=r"/progress$", count=None))
    task.clear()
    with pytest.raises(FlowStateUnknownError, match="No other was started"):
        task.attempt()
    assert ids(task.server) == [first.execution_id]


def test_a_clear_with_resume_goes_on_with_the_run_and_its_deadline(task: Task) -> None:
    first = task.attempt(timeout=60)
    task.clear()
    again = task.attempt(on_clear="resume")
    assert (again.execution_id, again.deadline) == (first.execution_id, first.deadline)
    record = task.store.load()
    assert record is not None
    assert record.epoch == task.epoch
    assert cancels(task.server) == []


# --- another input ---


def test_another_input_attaches_by_default(task: Task) -> None:
    first = task.attempt(fingerprint="one")
    assert task.attempt(fingerprint="two") == replace(first, started_here=False)


def test_another_input_restarts_where_the_author_wants_that(task: Task) -> None:
    first = task.attempt(fingerprint="one")
    again = task.attempt(fingerprint="two", on_input_changed="restart")
    assert again.execution_id != first.execution_id
    assert statuses(task.server) == ["Canceled", "Running"]
    third = task.attempt(fingerprint="two", on_input_changed="restart")
    assert third == replace(again, started_here=False)


def test_another_input_fails_where_the_author_wants_that_and_leaves_the_run(task: Task) -> None:
    first = task.attempt(fingerprint="one")
    with pytest.raises(FlowInputError) as changed:
        task.attempt(fingerprint="two", on_input_changed="fail")
    assert f"execution {first.execution_id}" in str(changed.value)
    assert "The execution was left as it is." in str(changed.value)
    assert statuses(task.server) == ["Running"]


def test_two_tasks_start_one_run_each(server: DevServer, hook: SmartFlowsHook) -> None:
    tasks = [Task(server, hook, LONG) for _ in range(2)]
    begun = {task.attempt().execution_id for task in tasks}
    assert begun == set(ids(server))
    assert len(begun) == 2
