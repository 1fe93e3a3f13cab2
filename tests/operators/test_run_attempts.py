"""Attempts in a row: a retry goes on, a clear starts anew, another task's clear changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.airflow_versions import needs_task_state
from support.outcomes import acting, operator_for, outcome
from support.service import LONG, cancels, panel_flow, starts, statuses
from support.tasks import MODES, Attempt, FakeStateStore, Mode, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowDocumentError,
    FlowExecutionCanceledError,
    FlowExecutionGoneError,
    FlowKilledError,
    FlowStateUnknownError,
    FlowTimeoutError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import stop
from smartflows_provider.lifecycle.record import RECORD_KEY

SETTLING = stop.cancel_and_settle.__kwdefaults__
WORK = {"id": "work", "kind": "work", "message": "Working", "duration": 0.1}


@pytest.fixture(autouse=True)
def answers_at_once(server: DevServer) -> None:
    server.configure(hold="ignored")


def unlandable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the output of a finished run be out of reach, as a storage that is down makes it."""

    def fail(*_: Any, **__: Any) -> Any:
        raise FlowDocumentError("The storage is down.")

    monkeypatch.setattr("smartflows_provider.operators.remote_run.take_output", fail)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("siblings_cleared", [0, 1, 3])
def test_a_retry_takes_the_output_of_the_run_that_succeeded_whatever_was_cleared_beside_it(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, mode: Mode, siblings_cleared: int
) -> None:
    panel_flow(server, WORK)
    attempt = Attempt()

    def clear_siblings(event: dict[str, Any]) -> dict[str, Any]:
        attempt.clear_number += siblings_cleared
        return event

    attempt.before_resume = clear_siblings
    with monkeypatch.context() as patched:
        unlandable(patched)
        failed = outcome(server, mode, attempt=attempt)
    assert type(failed.error) is FlowDocumentError
    again = Attempt(store=attempt.store, try_number=2, clear_number=siblings_cleared)
    run = outcome(server, mode, attempt=again)
    assert run.value["execution_id"] == failed.execution_id
    assert len(starts(server)) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_clear_after_a_failure_starts_anew(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    panel_flow(server, WORK)
    attempt = Attempt(max_tries=2)
    with monkeypatch.context() as patched:
        unlandable(patched)
        outcome(server, mode, attempt=attempt)
    again = Attempt(store=attempt.store, try_number=2, max_tries=3, clear_number=1)
    assert outcome(server, mode, attempt=again).error is None
    assert statuses(server) == ["Success", "Success"]


@needs_task_state
def test_a_task_that_is_resumed_was_not_cleared_and_says_so_in_its_record(server: DevServer) -> None:
    panel_flow(server, WORK)
    attempt = Attempt()

    def clear_sibling(event: dict[str, Any]) -> dict[str, Any]:
        attempt.clear_number = 5
        return event

    def resume(event: dict[str, Any]) -> dict[str, Any]:
        return clear_sibling(event)

    attempt.before_resume = resume
    operator = operator_for("deferrable")
    run_task(operator, attempt)
    resumed = Attempt(store=attempt.store, clear_number=5)
    event = attempt.events[-1]
    operator_for("deferrable").execute_complete(resumed.context(), event)
    assert attempt.store is not None
    assert attempt.store.get(RECORD_KEY)["epoch"] == {"max_tries": 0, "clear_number": 5}


@pytest.mark.parametrize("mode", MODES)
def test_a_store_that_cannot_be_read_or_written_does_not_cover_up_the_tasks_own_end(
    server: DevServer, mode: Mode
) -> None:
    class Failing(FakeStateStore):
        broken = False

        def get(self, key: str, default: Any = None) -> Any:
            if self.broken:
                raise RuntimeError("the API server does not answer")
            return super().get(key, default)

        def set(self, key: str, value: Any, *, retention: Any = None) -> None:
            super().set(key, value, retention=retention)
            self.broken = value["execution_id"] is not None

    panel_flow(server, LONG)
    store = Failing()
    run = outcome(server, mode, attempt=Attempt(store=store), timeout=0.2)
    assert type(run.error) is FlowTimeoutError


# --- what a task that fails leaves alive ---


@pytest.mark.parametrize("mode", MODES)
def test_a_task_that_leaves_its_run_alive_names_it_in_an_xcom(server: DevServer, mode: Mode) -> None:
    panel_flow(server, LONG)
    run = outcome(server, mode, timeout=0.2, cancel_on_timeout=False)
    assert type(run.error) is FlowTimeoutError
    assert run.attempt.xcoms["execution_left"] == run.execution_id


@pytest.mark.parametrize("mode", MODES)
def test_a_task_whose_run_is_over_names_none(server: DevServer, mode: Mode) -> None:
    panel_flow(server, WORK, {"kind": "fail", "message": "No"})
    assert "execution_left" not in outcome(server, mode).attempt.xcoms
    assert "execution_left" not in outcome(server, mode, timeout=0.01).attempt.xcoms
    gone = outcome(server, mode, meanwhile=server.expire, flow=panel_flow(server, LONG, name="Long").id)
    assert type(gone.error) is FlowExecutionGoneError
    assert "execution_left" not in gone.attempt.xcoms


@pytest.mark.parametrize("mode", MODES)
def test_a_retry_that_cannot_look_at_the_run_names_it(server: DevServer, mode: Mode) -> None:
    panel_flow(server, LONG)
    first = outcome(server, mode, timeout=0.2, cancel_on_timeout=False)
    server.stop()
    again = Attempt(store=first.attempt.store, try_number=2)
    try:
        with pytest.raises(FlowStateUnknownError):
            run_task(operator_for(mode), again)
    finally:
        server.start()
    assert again.xcoms == {"execution_left": first.execution_id}


@pytest.mark.parametrize("mode", MODES)
def test_a_retry_whose_key_is_refused_says_so_for_good_and_keeps_the_run(
    server: DevServer, mode: Mode
) -> None:
    panel_flow(server, LONG)
    first = outcome(server, mode, timeout=0.2, cancel_on_timeout=False)
    server.revoke_key()
    with pytest.raises(FlowAuthenticationError, match="The execution was kept") as refused:
        run_task(operator_for(mode), Attempt(store=first.attempt.store, try_number=2))
    assert first.execution_id in str(refused.value)
    assert statuses(server) == ["Running"]
    assert cancels(server) == []


# --- our own cancel ---


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_a_stopped_attempt_has_cancelled_is_waited_for_and_not_taken_for_the_flows_end(
    server: DevServer, mode: Mode
) -> None:
    server.configure(cancel_seconds=1)
    panel_flow(server, LONG)
    first = operator_for("sync", wait_for_completion=True)
    attempt = Attempt()

    def stop(execution_id: str) -> None:
        first.on_kill()

    with acting(server, stop), pytest.raises(FlowKilledError):
        run_task(first, attempt)
    assert attempt.store is not None
    assert attempt.store.get(RECORD_KEY)["stopped"] is True
    again = Attempt(store=attempt.store, try_number=2)
    server.configure(speed=100_000)
    run = outcome(server, mode, attempt=again)
    assert run.error is None, run.error
    assert statuses(server) == ["Canceled", "Success"]


@pytest.mark.parametrize("mode", MODES)
def test_an_earlier_attempts_run_that_is_cancelled_while_it_is_waited_for_fails_with_a_retry(
    server: DevServer, mode: Mode, hook: SmartFlowsHook
) -> None:
    """The attempt before may have asked for it in its last moment, without being able to say so."""
    panel_flow(server, LONG)
    first = outcome(server, mode, timeout=0.2, cancel_on_timeout=False)
    again = Attempt(store=first.attempt.store, try_number=2)
    run = outcome(server, mode, attempt=again, meanwhile=hook.cancel)
    assert type(run.error) is FlowKilledError
    assert not isinstance(run.error, AirflowFailException)
    assert "which an earlier attempt has started, was cancelled" in run.message
    third = Attempt(store=first.attempt.store, try_number=3)
    server.configure(speed=100_000)
    assert outcome(server, mode, attempt=third).error is None
    assert statuses(server) == ["Canceled", "Success"]


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_this_attempt_has_started_and_somebody_else_cancelled_fails_for_good(
    server: DevServer, mode: Mode, hook: SmartFlowsHook
) -> None:
    panel_flow(server, LONG)
    run = outcome(server, mode, meanwhile=hook.cancel)
    assert type(run.error) is FlowExecutionCanceledError


@pytest.mark.parametrize("mode", MODES)
def test_a_clear_whose_old_run_would_not_stop_is_brought_about_by_the_retry(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """A task cleared while it ran has its number of tries unchanged."""
    panel_flow(server, LONG)
    server.configure(cancel_seconds=600)
    monkeypatch.setattr(stop.cancel_and_settle, "__kwdefaults__", {**SETTLING, "seconds": 0.0})
    first = Attempt(max_tries=2)
    run_task(operator_for(mode, wait_for_completion=False), first)
    for number in (2, 3):
        again = Attempt(store=first.store, max_tries=2, try_number=number, clear_number=1)
        failed = outcome(server, mode, attempt=again)
        assert type(failed.error) is FlowStateUnknownError
        assert "has not stopped." in failed.message
    assert len(starts(server)) == 1


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_succeeded_although_a_stopped_attempt_had_cancelled_it_is_not_run_again(
    server: DevServer, mode: Mode
) -> None:
    server.configure(cancel_seconds=600)
    panel_flow(server, LONG)
    operator, attempt = operator_for(mode, wait_for_completion=False), Attempt(max_tries=1)
    store = attempt.store
    assert store is not None
    run_task(operator, attempt)
    store.set(RECORD_KEY, {**store.get(RECORD_KEY), "stopped": True})
    server.advance(3600)
    again = outcome(server, mode, attempt=Attempt(store=store, max_tries=1, try_number=2))
    assert again.value["status"] == "Success"
    assert len(starts(server)) == 1


def test_a_run_whose_record_cannot_be_read_is_not_taken_for_one_that_somebody_else_has_cancelled(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    class DeafStore(FakeStateStore):
        def get(self, key: str, default: Any = None) -> Any:
            raise RuntimeError("the API server does not answer")

    execution_id = hook.start(panel_flow(server, LONG).id).execution_id
    hook.cancel(execution_id)
    context = Attempt(store=DeafStore(), try_number=2, max_tries=2).context()
    event = {"schema_version": 1, "reason": "finished", "execution_id": execution_id, "status": "Canceled"}
    with pytest.raises(FlowKilledError) as killed:
        operator_for("deferrable").execute_complete(context, event)
    assert not isinstance(killed.value, AirflowFailException)
