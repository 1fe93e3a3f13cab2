"""A task that is being stopped stops its run: one request, never a success, and the next attempt starts "
"anew."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from support.airflow_versions import needs_task_state
from support.interruptions import Stop
from support.outcomes import acting, operator_for, outcome
from support.service import LONG, START, cancels, panel_flow, starts, statuses
from support.tasks import MODES, Attempt, FakeStateStore, Mode, first_event, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowKilledError
from smartflows_provider.operators import remote_run, run_flow
from smartflows_provider.operators.run_flow import FlowRun
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator


class StoppingStore(FakeStateStore):
    """Stops the task while it is reading or writing its record."""

    def __init__(self, *, at: str) -> None:
        super().__init__()
        self._at = at
        self.operator: SmartFlowsRunFlowOperator | None = None

    def _stop(self, moment: str) -> None:
        if moment == self._at and self.operator is not None:
            self.operator.on_kill()

    def get(self, key: str, default: Any = None) -> Any:
        self._stop("read")
        return super().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        super().set(key, value, retention=retention)
        self._stop("intent" if value["execution_id"] is None else "id")


def stopped_while_waiting(server: DevServer, stop: Stop, **arguments: Any) -> tuple[FlowKilledError, Attempt]:
    operator, attempt = operator_for("sync", **arguments), Attempt()
    with (
        acting(server, lambda execution_id: stop(operator.on_kill)),
        pytest.raises(FlowKilledError) as killed,
    ):
        run_task(operator, attempt)
    return killed.value, attempt


@pytest.mark.parametrize("hold", ["honoured", "ignored"])
def test_a_kill_during_the_wait_sends_one_cancel_and_fails_with_a_retry(
    server: DevServer, stop: Stop, hold: Any
) -> None:
    server.configure(hold=hold)
    panel_flow(server, LONG)
    error, attempt = stopped_while_waiting(server, stop)
    assert not isinstance(error, AirflowFailException)
    (execution,) = server.executions()
    assert str(error) == (
        "The task was stopped before the execution was finished. [Smart Flows, connection "
        f"'smartflows_default', flow 'Letter', execution {execution['id']}]\n"
        "The service was asked to cancel it.\n"
        "The next attempt starts anew if the execution was cancelled, and else attaches to it."
    )
    assert len(cancels(server)) == 1
    assert statuses(server) == ["Canceled"]

    operator = operator_for("sync", wait_for_completion=False)
    assert run_task(operator, attempt)["execution_id"] != execution["id"]
    assert statuses(server) == ["Canceled", "Running"]


def test_a_kill_is_never_a_success_even_if_the_run_finishes_meanwhile(server: DevServer, stop: Stop) -> None:
    server.configure(cancel_seconds=600)
    panel_flow(server, LONG)
    operator = operator_for("sync")

    def kill() -> None:
        operator.on_kill()
        server.advance(3600)

    with acting(server, lambda execution_id: stop(kill)), pytest.raises(FlowKilledError):
        run_task(operator)


@needs_task_state
def test_a_kill_that_shall_not_cancel_leaves_the_run_to_the_next_attempt(
    server: DevServer, stop: Stop
) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    error, attempt = stopped_while_waiting(server, stop, cancel_on_kill=False)
    assert "The execution was not cancelled, as cancel_on_kill=False asks." in str(error)
    assert cancels(server) == []
    server.advance(3600)
    again = outcome(server, "sync", attempt=attempt)
    assert again.value["status"] == "Success"
    assert len(starts(server)) == 1


def test_a_kill_whose_cancel_fails_says_that_the_run_may_go_on(server: DevServer, stop: Stop) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    server.inject(Fault(action="status", status=500, method="DELETE", count=None))
    error, _ = stopped_while_waiting(server, stop)
    assert "The execution may still be running: it could not be cancelled (DELETE " in str(error)
    assert len(cancels(server)) == 1


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wait", [True, False])
def test_a_kill_while_the_run_is_being_started_cancels_it_once_its_id_is_known(
    server: DevServer, mode: Mode, wait: bool
) -> None:
    panel_flow(server, LONG)
    store = StoppingStore(at="id")
    store.operator = operator_for(mode, wait_for_completion=wait)
    with pytest.raises(FlowKilledError, match="The service was asked to cancel it"):
        run_task(store.operator, Attempt(store=store))
    assert statuses(server) == ["Canceled"]
    assert len(cancels(server)) == 1


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", ["read", "intent"])
def test_a_kill_before_anything_was_sent_starts_nothing(server: DevServer, mode: Mode, at: str) -> None:
    panel_flow(server, LONG)
    store = StoppingStore(at=at)
    store.operator = operator_for(mode)
    with pytest.raises(FlowKilledError, match="No execution was started"):
        run_task(store.operator, Attempt(store=store))
    assert server.executions() == []
    assert store.entries == {}


def test_a_kill_of_a_task_that_never_ran_asks_for_nothing() -> None:
    operator_for("sync").on_kill()


def test_a_kill_logs_nothing_in_the_signal_handler_whose_lock_may_be_taken_but_says_it_afterwards(
    server: DevServer, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    operator = operator_for("sync")
    lines: list[tuple[bool, str]] = []
    handling = False

    class Log:
        def log(self, level: int, message: str, *values: object) -> None:
            lines.append((handling, message % values))

        def info(self, message: str, *values: object) -> None:
            lines.append((handling, message % values))

        error = warning = info

    def kill() -> None:
        nonlocal handling
        handling = True
        operator.on_kill()
        handling = False

    monkeypatch.setattr(type(operator), "log", Log())
    with acting(server, lambda execution_id: stop(kill)), pytest.raises(FlowKilledError):
        run_task(operator)
    assert [line for within, line in lines if within] == []
    assert [line for _, line in lines if line.startswith("The task is being stopped: cancelled")]


def test_a_kill_reads_no_connection_in_the_signal_handler(
    server: DevServer, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.configure(hold="ignored")
    panel_flow(server, LONG)
    operator = operator_for("sync")

    def kill() -> None:
        def asked(conn_id: str) -> Any:
            raise AssertionError("the connection was looked up")

        operator.hook.close()
        monkeypatch.setattr(type(operator.hook), "get_connection", asked)
        operator.on_kill()

    with acting(server, lambda execution_id: stop(kill)), pytest.raises(FlowKilledError):
        run_task(operator)
    assert statuses(server) == ["Canceled"]


@pytest.mark.parametrize("answers", [False, True])
def test_a_kill_while_the_task_is_about_to_defer_keeps_it_from_deferring(
    server: DevServer, answers: bool
) -> None:
    """Else the trigger would take the cancel for the flow's end."""
    form = {"id": "ask", "kind": "form", "fields": [{"key": "f1", "title": "Way", "required": True}]}
    panel_flow(server, *([form] if answers else []), LONG)
    operator = operator_for("deferrable", on_user_input="answer", answers={"f1": "mail"})
    attempt = Attempt()
    step = partial(operator.execute, attempt.context())
    if answers:
        with pytest.raises(TaskDeferred) as first:
            step()
        event = first_event(first.value.trigger)
        operator = operator_for("deferrable", on_user_input="answer", answers={"f1": "mail"})
        step = partial(operator.execute_complete, attempt.context(), event)
    with pytest.raises(TaskDeferred):
        step()
    with pytest.raises(FlowKilledError, match="The service was asked to cancel it"):
        operator.on_kill()
    assert statuses(server) == ["Canceled"]


def test_a_kill_between_a_forms_answer_and_the_next_wait_is_no_end_of_the_flow(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"id": "ask", "kind": "form", "fields": [{"key": "f1", "title": "Way", "required": True}]}
    panel_flow(server, form, LONG)
    operator = operator_for("deferrable", on_user_input="answer", answers={"f1": "mail"})
    real = run_flow.answer_forms

    def answer_and_be_killed(*args: Any, **kwargs: Any) -> Any:
        answered = real(*args, **kwargs)
        operator.on_kill()
        return answered

    monkeypatch.setattr(run_flow, "answer_forms", answer_and_be_killed)
    with pytest.raises(FlowKilledError):
        run_task(operator)
    assert statuses(server) == ["Canceled"]


@pytest.mark.parametrize("mode", MODES)
def test_a_kill_after_the_run_has_ended_cancels_nothing_and_lets_the_output_be_taken(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    panel_flow(server, {"id": "work", "kind": "work", "duration": 0.1})
    operator = operator_for(mode)
    real = remote_run.take_output

    def be_killed_and_take(*args: Any, **kwargs: Any) -> Any:
        operator.on_kill()
        return real(*args, **kwargs)

    monkeypatch.setattr(remote_run, "take_output", be_killed_and_take)
    assert run_task(operator)["status"] == "Success"
    assert cancels(server) == []


@needs_task_state
def test_a_kill_while_the_start_is_not_answered_says_that_it_is_open(
    server: DevServer, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, LONG)
    monkeypatch.setattr("smartflows_provider.lifecycle.begin.LOOK_UP_PAUSES", (5.0,))
    server.inject(Fault(action="reset", path=START, method="POST", taken=True))
    server.inject(Fault(action="status", status=503, path=r"/flows/[^/]+/executions$", count=None))
    operator = operator_for("sync")
    request_of = FlowRun._request_of

    def with_value(run: Any, payload: Any, *, unattended: bool) -> Any:
        request = request_of(run, payload, unattended=unattended)
        return replace(request, prepare=lambda record: replace(request.prepare(record), correlation="c0ffee"))

    monkeypatch.setattr(FlowRun, "_request_of", with_value)
    timer = threading.Timer(1.0, stop, [operator.on_kill])
    timer.start()
    with pytest.raises(FlowKilledError, match="It is open whether an execution was started"):
        run_task(operator)
    timer.join()
    assert cancels(server) == []
