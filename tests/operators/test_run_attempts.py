"""Attempts in a row: a retry goes on, a clear starts anew, another task's clear changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from support.outcomes import operator_for, outcome
from support.service import LONG, cancels, panel_flow, starts, statuses
from support.tasks import MODES, Attempt, FakeStateStore, Mode, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowDocumentError,
    FlowExecutionGoneError,
    FlowStateUnknownError,
    FlowTimeoutError,
)
from smartflows_provider.lifecycle.record import RECORD_KEY

WORK = {"id": "work", "kind": "work", "message": "Working", "duration": 0.1}


@pytest.fixture(autouse=True)
def answers_at_once(server: DevServer) -> None:
    server.configure(hold="ignored")


def unlandable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the output of a finished run be out of reach, as a storage that is down makes it."""

    def fail(*_: Any, **__: Any) -> Any:
        raise FlowDocumentError("The storage is down.")

    monkeypatch.setattr("smartflows_provider.operators.run_flow.take_output", fail)


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
