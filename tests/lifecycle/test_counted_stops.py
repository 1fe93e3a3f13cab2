"""Runs whose tasks are stopped: counted by what the service has taken, once."""

from __future__ import annotations

import logging

import pytest
from support.metering import Sent, sent
from support.service import LONG, panel_flow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.deferred_kill import TaskIdentity, WaitedRun, _stop
from smartflows_provider.lifecycle.metrics import CancelCause, meter_of
from smartflows_provider.lifecycle.ownership import Ownership
from smartflows_provider.lifecycle.stop import cancel_and_look, cancel_and_settle
from smartflows_provider.lifecycle.worker_kill import WorkerKill

__all__ = ["sent"]

REFUSES = Fault(action="status", status=500, method="DELETE", count=None)
log = logging.getLogger("tests.stops")


@pytest.fixture
def running(server: DevServer, hook: SmartFlowsHook) -> str:
    flow = panel_flow(server, LONG)
    return hook.start(flow.id).execution_id


@pytest.fixture
def finished(server: DevServer, hook: SmartFlowsHook) -> str:
    flow = panel_flow(server, {"kind": "work", "duration": 0})
    return hook.start(flow.id).execution_id


def killed_on_a_worker(hook: SmartFlowsHook, run: str, *, cancels: bool = True) -> None:
    kill = WorkerKill(
        hook.cancel_exchange,
        where=lambda: hook.identity(execution_id=run),
        cancels=cancels,
        meter=meter_of(hook),
        log=log,
    )
    kill.settings, kill.execution_id = hook.settings, run
    kill.kill()
    kill.say()


def killed_in_the_triggerer(run: str, why: Ownership, *, cancels: bool = True) -> None:
    task = TaskIdentity(dag_id="d", run_id="r", task_id="t")
    waited = WaitedRun(
        system="smartflows", conn_id="smartflows_default", execution_id=run, task=task, cancel=cancels
    )
    _stop(waited, why)


def test_a_kill_on_a_worker_counts_one_cancel(hook: SmartFlowsHook, running: str, sent: Sent) -> None:
    killed_on_a_worker(hook, running)
    assert sent.counts() == {"runs.cancelled.kill": 1}


def test_a_kill_on_a_worker_that_shall_not_or_cannot_cancel_leaves_the_run(
    server: DevServer, hook: SmartFlowsHook, running: str, sent: Sent
) -> None:
    killed_on_a_worker(hook, running, cancels=False)
    server.inject(REFUSES)
    killed_on_a_worker(hook, running)
    assert sent.counts() == {"runs.left.killed": 2}


def test_a_kill_of_a_run_that_has_ended_by_itself_counts_nothing(
    hook: SmartFlowsHook, finished: str, sent: Sent
) -> None:
    killed_on_a_worker(hook, finished)
    killed_in_the_triggerer(finished, "ended")
    assert cancel_and_look(hook, finished, cause="timeout").is_over
    assert sent.counts() == {}


@pytest.mark.parametrize(("why", "cause"), [("ended", "kill"), ("succeeded", "kill"), ("replaced", "clear")])
def test_a_deferred_task_that_is_ended_counts_one_cancel(
    hook: SmartFlowsHook, running: str, sent: Sent, why: Ownership, cause: CancelCause
) -> None:
    killed_in_the_triggerer(running, why)
    assert sent.counts() == {f"runs.cancelled.{cause}": 1}


def test_a_deferred_task_whose_run_shall_not_or_cannot_be_cancelled_leaves_it(
    server: DevServer, hook: SmartFlowsHook, running: str, sent: Sent
) -> None:
    killed_in_the_triggerer(running, "ended", cancels=False)
    server.inject(REFUSES)
    killed_in_the_triggerer(running, "ended")
    assert sent.counts() == {"runs.left.killed": 2}


def test_a_cancel_that_was_counted_before_is_not_counted_again(
    hook: SmartFlowsHook, running: str, sent: Sent
) -> None:
    cancel_and_settle(hook, running, cause=None)
    assert sent.counts() == {}
