"""Each run is counted once for what becomes of it, in every mode and through all processes it takes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.airflow_versions import needs_task_state
from support.memory import FLOW, KEY, Fate, Memory, reply
from support.metering import Sent, sent
from support.tasks import Attempt, FakeStateStore
from support.triggerer import to_the_end
from test_modes_alike import CASES, FOR_EVER, OPERATOR_CASES, Case, Mode, memory, run_operator, run_sensor
from test_worker_processes_alike import run_operator as run_with_triggerer
from test_worker_processes_alike import run_sensor as run_sensor_with_triggerer

from smartflows_provider.exceptions import FlowException, FlowRecordError, FlowSubmissionUnclearError
from smartflows_provider.lifecycle.poller import shared_poller
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.transport.errors import AnswerLost
from smartflows_provider.waiting.wait import WaitPolicy

__all__ = ["memory", "sent"]

STARTED = {"runs.started": 1}
ENDS: dict[str, dict[str, int]] = {
    "status Success": {"runs.ended.succeeded": 1},
    "status Warning": {"runs.ended.warned": 1},
    "status Error": {"runs.ended.failed": 1},
    "status Canceled": {"runs.ended.canceled": 1},
    "status Interrupted": {"runs.ended.interrupted": 1},
    "warnings are failures": {"runs.ended.warned": 1},
    "a person is a failure": {"runs.cancelled.person_needed": 1},
    "502 passes": {"runs.ended.succeeded": 1, "polls.failed.passing": 2},
    "a key that is refused": {"runs.left.failed": 1, "polls.failed.refused": 2},
    "a right that is denied": {"runs.left.failed": 1, "polls.failed.denied": 2},
    "a run that is purged": {"runs.ended.gone": 1, "polls.failed.gone": 1},
    "timeout": {"runs.cancelled.timeout": 1},
    "timeout without a cancel": {"runs.left.failed": 1},
    "execution_timeout": {"runs.cancelled.timeout": 1},
}
"""What the cases of :mod:`test_modes_alike` come to, beside the start of their run."""


def counted(sent: Sent) -> dict[str, int]:
    found = sent.counts()
    sent.clear()
    return found


@pytest.mark.parametrize("name", ENDS)
def test_a_run_is_counted_once_on_a_worker_deferred_resumed_and_ended_in_the_triggerer(
    memory: Memory, sent: Sent, name: str
) -> None:
    case = {**CASES, **OPERATOR_CASES}[name]
    expected = {**STARTED, **ENDS[name]}
    run_operator(memory, "sync", case)
    assert counted(sent) == expected
    run_operator(memory, "deferrable", case)
    assert counted(sent) == expected
    for resumes in (False, True):
        run_with_triggerer(memory, case, resume_on_worker=resumes)
        assert counted(sent) == expected


@pytest.mark.parametrize("name", [name for name in ENDS if name in CASES and CASES[name].ways])
def test_the_end_that_a_sensor_sees_is_counted_apart_and_once(memory: Memory, sent: Sent, name: str) -> None:
    case = CASES[name]
    expected = {
        metric.replace("runs.ended", "sensors.ended"): number
        for metric, number in ENDS[name].items()
        if not metric.startswith(("runs.left", "runs.cancelled"))
    }
    for way in case.ways:
        run_sensor(memory, way, case)
        assert counted(sent) == expected
    run_sensor_with_triggerer(memory, case)
    assert counted(sent) == expected


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_retry_that_goes_on_with_its_run_starts_none(memory: Memory, sent: Sent, mode: Mode) -> None:
    attempt = Attempt()
    run_operator(memory, mode, CASES["a key that is refused"], attempt=attempt)
    assert counted(sent) == {**STARTED, "runs.left.failed": 1, "polls.failed.refused": 2}
    again = Attempt(store=attempt.store, try_number=2)
    run_operator(memory, mode, CASES["status Success"], attempt=again, begun=True)
    assert counted(sent) == {"runs.reattached": 1, "runs.ended.succeeded": 1}


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_cleared_task_counts_the_cancel_of_its_old_run_and_the_start_of_the_new_one(
    memory: Memory, sent: Sent, mode: Mode
) -> None:
    attempt = Attempt()
    run_operator(memory, mode, CASES["a key that is refused"], attempt=attempt)
    sent.clear()
    cleared = Attempt(store=attempt.store, try_number=2, max_tries=1, clear_number=1)
    run_operator(memory, mode, CASES["status Success"], attempt=cleared, begun=True)
    assert counted(sent) == {"runs.cancelled.clear": 1, **STARTED, "runs.ended.succeeded": 1}


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_another_input_that_restarts_counts_the_cancel_of_the_old_run(
    memory: Memory, sent: Sent, mode: Mode
) -> None:
    def case(name: str, line: str) -> Case:
        arguments = {"data": {"Line": line}, "root": "Order", "on_input_changed": "restart"}
        return replace(CASES[name], arguments=arguments)

    attempt = Attempt()
    run_operator(memory, mode, case("a key that is refused", "pen"), attempt=attempt)
    sent.clear()
    again = Attempt(store=attempt.store, try_number=2)
    run_operator(memory, mode, case("status Success", "ink"), attempt=again, begun=True)
    assert counted(sent) == {"runs.cancelled.input_changed": 1, **STARTED, "runs.ended.succeeded": 1}


class Forgetful(FakeStateStore):
    """Takes the intent to start a run, and not the run."""

    def set(self, key: str, value: Any, **options: Any) -> None:
        if value["execution_id"] is not None:
            raise RuntimeError("the API server does not answer")
        super().set(key, value, **options)


@needs_task_state
def test_a_run_that_cannot_be_recorded_counts_as_started_and_cancelled(memory: Memory, sent: Sent) -> None:
    found = run_operator(memory, "sync", CASES["status Success"], attempt=Attempt(store=Forgetful()))
    assert type(found.error) is FlowRecordError
    assert counted(sent) == {**STARTED, "runs.cancelled.unrecorded": 1}


def lose_the_start(memory: Memory) -> None:
    """Take the request that starts a run, and lose its answer."""

    before = memory.interfere

    def interfere(request: Any, serve: Any) -> Any:
        answer = before(request, serve)
        if request.method == "POST":
            raise AnswerLost("no answer", kind="reset")
        return answer

    memory.interfere = interfere


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_run_that_is_found_on_proof_is_adopted_and_not_started(
    memory: Memory, sent: Sent, mode: Mode
) -> None:
    marked = {"data": {"Line": "pen"}, "root": "Order", "correlation_path": "Reference"}
    case = Case(arguments=marked)
    found = run_operator(memory, mode, case, before=lambda: lose_the_start(memory))
    assert found.error is None, found.message
    assert counted(sent) == {"runs.adopted": 1, "runs.ended.succeeded": 1}


def test_a_start_of_which_it_stays_open_whether_it_was_taken_is_unclear(memory: Memory, sent: Sent) -> None:
    found = run_operator(memory, "sync", Case(), before=lambda: lose_the_start(memory))
    assert type(found.error) is FlowSubmissionUnclearError
    assert counted(sent) == {"runs.unclear": 1}


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_backend_that_fails_fails_no_run(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no backend")

    backend = SimpleNamespace(incr=fail, gauge=fail, timing=fail)
    monkeypatch.setattr("smartflows_provider.lifecycle.metrics.Stats", backend)
    monkeypatch.setattr("smartflows_provider.lifecycle.spans.tracer", fail)
    found = run_operator(memory, mode, CASES["status Success"])
    assert found.error is None, found.message


def test_the_gauge_of_waits_falls_where_waits_end_and_where_they_are_taken_away(
    memory: Memory, sent: Sent
) -> None:
    first, second = memory.service.start(), memory.service.start()
    memory.service.fates = [Fate(seconds=FOR_EVER)]
    second.status = "Running"

    async def leave() -> None:
        policy = WaitPolicy(deadline=memory.clock.wall + 100)
        async with shared_poller("smartflows", "smartflows_default") as poller:
            waits = [
                asyncio.create_task(poller.wait_for(policy, execution_id=run.id, log=FakeLog()))
                for run in (first, second)
            ]
            await asyncio.sleep(0)
            waits[1].cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    asyncio.run(leave())
    shown = sent.named("smartflows.waits.open")
    assert max(shown) >= 1
    assert shown[-1] == 0


class FakeLog:
    """Takes lines and keeps none."""

    def log(self, *arguments: Any) -> None:
        """Take a line."""


def test_the_time_from_a_runs_end_to_the_event_holds_what_the_trigger_waits_then(
    memory: Memory, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smartflows_provider.triggers.execution.LEAST_LIFE", 0.2)
    for resumes in (False, True):
        memory.renew()
        memory.service.fates = [Fate(end="Success")]
        operator = SmartFlowsRunFlowOperator(
            task_id="task", flow=FLOW, deferrable=True, resume_on_worker=resumes
        )
        to_the_end(operator, Attempt())
    ended_here, resumed = sent.named("smartflows.events.latency")
    assert ended_here >= 0
    assert resumed >= 100


def test_nothing_that_is_sent_names_a_run_or_holds_a_secret(memory: Memory, sent: Sent) -> None:
    for name in ("status Error", "a key that is refused", "timeout"):
        run_operator(memory, "deferrable", {**CASES, **OPERATOR_CASES}[name])
    sent.settle()
    everything = repr(sent.entries)
    assert sent.entries
    assert KEY not in everything
    assert all(run.id not in everything for run in memory.service.runs)


def test_a_cancel_that_the_trigger_could_not_send_is_counted_where_the_worker_sends_it(
    memory: Memory, sent: Sent
) -> None:
    refused: list[str] = []

    def refuse_once() -> None:
        before = memory.interfere

        def interfere(request: Any, serve: Any) -> Any:
            if request.method == "DELETE" and not refused:
                refused.append(request.path)
                return reply(request, {"message": "No."}, status=400)
            return before(request, serve)

        memory.interfere = interfere

    found = run_operator(memory, "deferrable", OPERATOR_CASES["timeout"], before=refuse_once)
    assert isinstance(found.error, FlowException)
    assert refused
    assert counted(sent) == {**STARTED, "runs.cancelled.timeout": 1}
