"""Interruptions at awkward moments: the run is stopped, kept, or named, and never doubled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.triggers.base import BaseTrigger
from support.airflow_versions import needs_task_state
from support.interruptions import Stop
from support.outcomes import acting, operator_for, outcome
from support.service import CONN_VARIABLE, LONG, START, cancels, panel_flow, starts, statuses
from support.tasks import MODES, Attempt, FakeStateStore, Mode, first_event, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowEventError,
    FlowException,
    FlowKilledError,
    FlowRecordError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.operators import run_flow
from smartflows_provider.operators.run_flow import FlowRun
from smartflows_provider.transport.blocking import BlockingClient

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="R"><xs:complexType>
<xs:sequence><xs:element name="r" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
<xs:element name="a" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="ref" type="xs:string" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
ROWS: dict[str, Any] = {"root": "R", "row": "r", "on_input_changed": "restart"}
MARKED: dict[str, Any] = {"data": {}, "root": "R", "correlation_path": "ref"}
RETRY: dict[str, int] = {"try_number": 2, "max_tries": 3}
CLEAR: dict[str, int] = {"try_number": 2, "max_tries": 5, "clear_number": 1}
NO_LIST = Fault(action="status", status=503, path=r"/flows/[^/]+/executions$", method="GET", count=None)
LOST = Fault(action="reset", path=START, method="POST", taken=True)


class Killed(BaseException):
    """Stands for SIGKILL: nothing runs after it."""


class FailingStore(FakeStateStore):
    """Fails once, when the run's id is to be written."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error: BaseException | None = error

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if self._error is not None and value["execution_id"] is not None:
            error, self._error = self._error, None
            raise error
        super().set(key, value, retention=retention)


@pytest.fixture(autouse=True)
def answers_at_once(server: DevServer) -> None:
    server.configure(hold="ignored")


def program(server: DevServer, *steps: dict[str, Any]) -> None:
    server.add_flow(name="Letter", start_from="program", xsd=XSD, steps=list(steps))


def started(server: DevServer, store: FakeStateStore, **arguments: Any) -> str:
    """Start a run that is left alive, and return its id."""
    run_task(operator_for("sync", wait_for_completion=False, **arguments), Attempt(store=store, max_tries=3))
    return str(server.executions()[-1]["id"])


def deferred(server: DevServer, attempt: Attempt, **arguments: Any) -> BaseTrigger:
    panel_flow(server, LONG)
    with pytest.raises(TaskDeferred) as caught:
        operator_for("deferrable", **arguments).execute(attempt.context())
    trigger: BaseTrigger = caught.value.trigger
    return trigger


# --- kills ---


@pytest.mark.parametrize("again", [RETRY, CLEAR], ids=["retry", "clear"])
def test_a_kill_while_the_input_is_read_stops_the_earlier_run_at_once(
    server: DevServer, again: dict[str, int]
) -> None:
    program(server, LONG)
    store = FakeStateStore()
    started(server, store, rows=[{"a": 1}], **ROWS)

    def rows(context: Any) -> Any:
        operator.on_kill()
        raise Killed

    operator = operator_for("sync", rows=rows, **ROWS)
    with pytest.raises(Killed):
        run_task(operator, Attempt(store=store, **again))
    assert statuses(server) == ["Canceled"]


@pytest.mark.parametrize("again", [RETRY, CLEAR], ids=["retry", "clear"])
def test_a_kill_that_the_input_outlives_names_the_earlier_run_and_starts_no_other(
    server: DevServer, again: dict[str, int]
) -> None:
    program(server, LONG)
    store = FakeStateStore()
    execution_id = started(server, store, rows=[{"a": 1}], **ROWS)

    def rows(context: Any) -> Any:
        operator.on_kill()
        return [{"a": 2}]

    operator = operator_for("sync", rows=rows, **ROWS)
    with pytest.raises(FlowKilledError, match=f"execution {execution_id}"):
        run_task(operator, Attempt(store=store, **again))
    assert statuses(server) == ["Canceled"]


def test_a_kill_while_a_retry_looks_at_its_run_stops_it_although_the_look_fails(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, LONG)
    store = FakeStateStore()
    started(server, store)
    operator = operator_for("sync")
    real = SmartFlowsHook.look_exchange

    def look(hook: SmartFlowsHook, execution_id: str, **options: Any) -> Any:
        operator.on_kill()
        server.inject(Fault(action="status", status=503, path="/progress", method="GET", count=None))
        return real(hook, execution_id, **options)

    monkeypatch.setattr(SmartFlowsHook, "look_exchange", look)
    with pytest.raises(FlowKilledError, match="The service was asked to cancel it"):
        run_task(operator, Attempt(store=store, **RETRY))
    assert statuses(server) == ["Canceled"]


def test_a_kill_that_comes_after_the_run_has_succeeded_does_not_have_it_run_again(
    server: DevServer, stop: Stop
) -> None:
    panel_flow(server, LONG)
    operator, attempt = operator_for("sync"), Attempt(max_tries=3)

    def kill() -> None:
        server.advance(3600)
        operator.on_kill()

    with (
        acting(server, lambda _: stop(kill)),
        pytest.raises(FlowKilledError, match="had ended in Success"),
    ):
        run_task(operator, attempt)
    again = outcome(server, "sync", attempt=Attempt(store=attempt.store, **RETRY))
    assert again.error is None, again.error
    assert len(starts(server)) == 1


def test_a_kill_of_a_task_that_does_not_wait_is_no_success(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, LONG)
    operator = operator_for("sync", wait_for_completion=False)
    real = SmartFlowsHook.execution_exchange

    def be_killed(hook: SmartFlowsHook, execution_id: str, **more: Any) -> Any:
        operator.on_kill()
        return real(hook, execution_id, **more)

    monkeypatch.setattr(SmartFlowsHook, "execution_exchange", be_killed)
    with pytest.raises(FlowKilledError):
        run_task(operator)
    assert statuses(server) == ["Canceled"]


def test_a_kill_while_a_start_is_looked_up_is_final_where_no_later_attempt_could_look(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(server, LONG)
    server.inject(LOST)
    operator = operator_for("sync", durable=False, **MARKED)

    def look(*_: Any) -> list[Any]:
        operator.on_kill()
        return []

    monkeypatch.setattr(run_flow, "executions_since", look)
    with pytest.raises(FlowSubmissionUnclearError) as unclear:
        run_task(operator, Attempt())
    assert isinstance(unclear.value, AirflowFailException)


# --- execution_timeout ---


@needs_task_state
def test_an_execution_timeout_while_the_id_is_recorded_stops_the_run_and_names_it(server: DevServer) -> None:
    panel_flow(server, LONG)
    operator = operator_for("sync")
    with pytest.raises(FlowTimeoutError) as timed_out:
        run_task(operator, Attempt(store=FailingStore(AirflowTaskTimeout("Timeout"))))
    (execution,) = server.executions()
    assert f"Execution {execution['id']} is Canceled." in str(timed_out.value)


@pytest.mark.parametrize("durable", [True, False])
def test_an_execution_timeout_while_a_start_is_looked_up_leaves_it_open_for_good(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    program(server, LONG)
    server.inject(LOST)
    server.inject(NO_LIST)

    def sleep(run: FlowRun, seconds: float) -> None:
        raise AirflowTaskTimeout("Timeout")

    monkeypatch.setattr(FlowRun, "_sleep", sleep)
    with pytest.raises(FlowSubmissionUnclearError):
        run_task(operator_for("sync", durable=durable, **MARKED), Attempt())


def test_after_an_execution_timeout_it_is_a_retry_that_starts_again_where_the_author_allows_for_that(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, LONG)
    send = BlockingClient.run
    sent: list[str] = []

    def time_out(client: BlockingClient, exchange: Any) -> Any:
        found = send(client, exchange)
        if len(starts(server)) > len(sent):
            sent.append("start")
            raise AirflowTaskTimeout("Timeout")
        return found

    monkeypatch.setattr(BlockingClient, "run", time_out)
    given: dict[str, Any] = {"on_ambiguous_submission": "resubmit", "wait_for_completion": False}
    store = FakeStateStore()
    with pytest.raises(FlowStateUnknownError, match="execution_timeout passed while the start") as left:
        run_task(operator_for("sync", **given), Attempt(store=store, max_tries=3))
    assert left.value.advice == "A retry starts another, as on_ambiguous_submission='resubmit' asks."
    assert len(starts(server)) == 1
    monkeypatch.setattr(BlockingClient, "run", send)
    run_task(operator_for("sync", **given), Attempt(store=store, **RETRY))
    assert len(starts(server)) == 2


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (400, "The execution was kept."),
        (404, "It was started, but the service has no such execution, or no longer."),
    ],
)
def test_a_run_that_nobody_waits_for_is_named_where_it_cannot_be_read(
    server: DevServer, status: int, fate: str
) -> None:
    panel_flow(server, LONG)
    server.inject(Fault(action="status", status=status, method="GET", path="/flows/executions/[^/]+$"))
    with pytest.raises(FlowException) as refused:
        run_task(operator_for("sync", wait_for_completion=False), Attempt())
    (execution,) = server.executions()
    assert refused.value.fate == fate
    assert f"execution {execution['id']}" in str(refused.value)


def test_a_kill_right_before_a_start_leaves_nothing_in_the_way_of_the_next_one(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, LONG)
    server.inject(LOST)
    store = FakeStateStore()
    with pytest.raises(FlowSubmissionUnclearError):
        run_task(operator_for("sync"), Attempt(store=store, max_tries=3))
    operator = operator_for("sync")

    def set_and_kill(key: str, value: Any, **more: Any) -> None:
        FakeStateStore.set(store, key, value, **more)
        operator.on_kill()

    with monkeypatch.context() as patch:
        patch.setattr(store, "set", set_and_kill)
        with pytest.raises(FlowKilledError):
            run_task(operator, Attempt(store=store, **CLEAR))
    run_task(
        operator_for("sync", wait_for_completion=False), Attempt(store=store, **{**CLEAR, "try_number": 3})
    )
    assert len(starts(server)) == 2


@pytest.mark.parametrize("cancel", [True, False])
def test_an_execution_timeout_while_a_form_is_answered_gives_the_run_up_as_the_author_wants(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, cancel: bool
) -> None:
    panel_flow(server, {"kind": "form", "fields": [{"key": "way", "title": "Way"}]}, LONG)

    def answer(*_: Any, **__: Any) -> Any:
        raise AirflowTaskTimeout("Timeout")

    monkeypatch.setattr(run_flow, "answer_forms", answer)
    attempt = Attempt()
    with pytest.raises(FlowTimeoutError):
        run_task(
            operator_for("sync", on_user_input="answer", answers={"way": "x"}, cancel_on_timeout=cancel),
            attempt,
        )
    assert statuses(server) == ["Canceled" if cancel else "UserInput"]
    assert ("execution_left" in attempt.xcoms) is not cancel


def test_a_retry_after_our_own_slow_cancel_at_a_timeout_starts_a_new_run(server: DevServer) -> None:
    server.configure(cancel_seconds=1)
    panel_flow(server, LONG)
    for mode in MODES:
        first = outcome(server, mode, timeout=0.2)
        assert type(first.error) is FlowTimeoutError
        again = Attempt(store=first.attempt.store, **RETRY)
        run_task(operator_for("sync", wait_for_completion=False), again)
        assert statuses(server)[-2:] == ["Canceled", "Running"]


# --- records ---


@needs_task_state
def test_a_worker_that_died_before_the_record_and_a_siblings_clear_start_no_second_run(
    server: DevServer,
) -> None:
    panel_flow(server, LONG)
    store = FailingStore(Killed())
    with pytest.raises(Killed):
        run_task(operator_for("sync"), Attempt(store=store, max_tries=3))
    again = Attempt(store=store, max_tries=3, try_number=2, clear_number=1)
    run = outcome(server, "sync", attempt=again)
    assert type(run.error) is FlowSubmissionUnclearError
    assert statuses(server) == ["Running"]


@needs_task_state
@pytest.mark.parametrize(
    ("end", "expected"),
    [("cancel", ["Canceled", "Running"]), ("finish", ["Success"]), ("none", ["Running"])],
)
def test_a_task_that_was_cleared_while_it_was_starting_a_run_starts_another_once_none_goes_on(
    server: DevServer, hook: SmartFlowsHook, end: str, expected: list[str]
) -> None:
    """Airflow takes no record of an attempt any more that was cleared while it ran."""
    panel_flow(server, LONG)
    store = FailingStore(Killed())
    with pytest.raises(Killed):
        run_task(operator_for("sync"), Attempt(store=store, max_tries=3))
    (execution,) = server.executions()
    if end == "cancel":
        hook.cancel(execution["id"])
    elif end == "finish":
        server.advance(3600)
    cleared = Attempt(store=store, max_tries=3, try_number=2, clear_number=1)
    run = outcome(server, "sync", attempt=cleared, wait_for_completion=False)
    assert (run.error is None) is (end == "cancel")
    assert statuses(server) == expected


def test_a_clear_stays_one_through_attempts_that_could_not_stop_the_old_run(server: DevServer) -> None:
    panel_flow(server, LONG)
    store = FakeStateStore()
    started(server, store)
    server.inject(Fault(action="status", status=500, method="DELETE", count=None))
    cleared = {"max_tries": 3, "clear_number": 1}
    second = outcome(server, "sync", attempt=Attempt(store=store, try_number=2, **cleared))
    assert type(second.error) is FlowStateUnknownError
    server.clear_faults()
    run_task(operator_for("sync", wait_for_completion=False), Attempt(store=store, try_number=3, **cleared))
    assert statuses(server) == ["Canceled", "Running"]


@needs_task_state
def test_a_run_that_could_not_be_recorded_is_waited_for_until_it_has_stopped(server: DevServer) -> None:
    server.configure(cancel_seconds=1)
    panel_flow(server, LONG)
    store = FailingStore(RuntimeError("the API server does not answer"))
    first = outcome(server, "sync", attempt=Attempt(store=store, max_tries=3))
    assert type(first.error) is FlowRecordError
    assert "is Canceled." in first.message
    run_task(operator_for("sync", wait_for_completion=False), Attempt(store=store, **RETRY))
    assert statuses(server) == ["Canceled", "Running"]


@pytest.mark.parametrize("durable", [pytest.param(True, marks=needs_task_state), False])
def test_a_run_that_could_not_be_announced_is_named_and_kept_only_where_a_retry_finds_it(
    server: DevServer, durable: bool
) -> None:
    panel_flow(server, LONG)
    attempt = Attempt()

    def fail(key: str, value: Any) -> None:
        raise RuntimeError("the API server does not answer")

    attempt._push = fail  # type: ignore[method-assign]
    run = outcome(server, "sync", attempt=attempt, durable=durable)
    assert type(run.error) is FlowRecordError
    assert run.execution_id in run.message
    assert statuses(server) == ["Running" if durable else "Canceled"]


def test_a_run_that_is_over_is_not_said_to_be_left(server: DevServer) -> None:
    panel_flow(server, {"kind": "fail", "message": "No"})
    store = FakeStateStore()
    outcome(server, "sync", attempt=Attempt(store=store, max_tries=3))
    server.inject(Fault(action="status", status=400, path=START, method="POST"))
    again = outcome(server, "sync", attempt=Attempt(store=store, **RETRY))
    assert again.error is not None
    assert "execution_left" not in again.attempt.xcoms


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
def test_a_run_found_by_look_up_and_cancelled_by_somebody_is_the_same_in_both_modes(
    server: DevServer, hook: SmartFlowsHook, mode: Mode
) -> None:
    program(server, LONG)
    store = FailingStore(Killed())
    with pytest.raises(Killed):
        run_task(operator_for(mode, **MARKED), Attempt(store=store, max_tries=3))
    again = Attempt(store=store, **RETRY)
    run = outcome(server, mode, attempt=again, meanwhile=hook.cancel, **MARKED)
    assert type(run.error) is FlowKilledError
    assert len(starts(server)) == 1


# --- resumptions ---


def test_a_connection_that_was_removed_while_the_task_was_deferred_leaves_a_run_that_is_named(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt()
    trigger = deferred(server, attempt, max_outage=1)
    monkeypatch.delenv(CONN_VARIABLE)
    event = first_event(trigger)
    with pytest.raises(FlowConfigurationError, match="The execution was kept") as caught:
        operator_for("deferrable").execute_complete(attempt.context(), event)
    (execution,) = server.executions()
    assert f"execution {execution['id']}" in str(caught.value)
    assert attempt.xcoms["execution_left"] == execution["id"]


def test_a_connection_that_was_removed_before_a_retry_leaves_a_run_that_is_named(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt()
    deferred(server, attempt)
    monkeypatch.delenv(CONN_VARIABLE)
    (execution,) = server.executions()
    with pytest.raises(FlowException, match=f"execution {execution['id']}"):
        run_task(operator_for("sync"), Attempt(store=attempt.store, try_number=2))


@pytest.mark.parametrize("durable", [True, False])
def test_an_event_of_no_known_shape_and_one_of_another_run_name_the_run_that_is_kept(
    server: DevServer, hook: SmartFlowsHook, durable: bool
) -> None:
    attempt = Attempt()
    deferred(server, attempt, durable=durable)
    (execution,) = server.executions()
    other = hook.start(panel_flow(server, {"kind": "work"}, name="Other").id).execution_id
    foreign = {"schema_version": 1, "reason": "finished", "execution_id": other}
    for event in ({"schema_version": 99}, foreign):
        attempt.xcoms.pop("execution_left", None)
        with pytest.raises(FlowEventError, match=f"flow 'Letter', execution {execution['id']}"):
            operator_for("deferrable", durable=durable).execute_complete(attempt.context(), event)
        assert attempt.xcoms["execution_left"] == execution["id"]
    assert cancels(server) == []


@pytest.mark.parametrize("durable", [True, False])
def test_a_trigger_that_airflow_could_not_run_leaves_a_run_that_is_named_and_attached_to(
    server: DevServer, durable: bool
) -> None:
    attempt = Attempt()
    deferred(server, attempt, durable=durable)
    (execution,) = server.executions()
    operator = operator_for("deferrable", durable=durable)
    with pytest.raises(
        FlowStateUnknownError, match="The wait in the triggerer failed: Trigger failure"
    ) as caught:
        operator.resume_execution("__fail__", {"error": "Trigger failure"}, attempt.context())
    assert f"execution {execution['id']}" in str(caught.value)
    assert attempt.xcoms["execution_left"] == execution["id"]
    if durable:
        server.advance(3600)
        again = outcome(server, "sync", attempt=Attempt(store=attempt.store, try_number=2))
        assert again.value["execution_id"] == execution["id"]


def test_the_time_limit_of_a_task_without_a_record_counts_from_its_beginning_after_a_form(
    server: DevServer,
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1000)
    attempt = Attempt(started_at=began)
    deferred(server, attempt, durable=False, timeout=1500)
    with pytest.raises(TaskDeferred) as caught:
        operator_for("deferrable", durable=False, timeout=1500).execute_complete(
            attempt.context(), {"chosen_options": [], "params_input": {}}
        )
    assert caught.value.trigger.deadline == began.timestamp() + 1500
