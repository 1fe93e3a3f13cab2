"""A component of Airflow dies, restarts, freezes or is away while tasks wait. No person wanted anything."""

from __future__ import annotations

import signal
import time

from faults.case import Case
from faults.rows import DEFERRABLE, RE_ATTACHES, SYNC, row
from faults.world import SPARE, TRIGGERER, wait_for

from smartflows_provider.demo.stack import EXECUTION_API

OUTAGE = 180
WATCHED = 20
"""Seconds after a triggerer woke up in which it must not cancel anything."""


def goes_on(case, *, attempt=1):
    """The task still waits for the only run, and takes its output."""
    case.wait_until_waiting(attempt=attempt)
    case.let_go()
    case.wait_for_end("success", attempt=attempt)
    assert not case.cancels()


def moves(case, before):
    """The trigger has come to another triggerer, which asks."""
    wait_for(lambda: case.triggerer() not in {before, None}, what=case._told("the trigger to move"))
    case.wait_until_asked_about(case.execution()["id"], since=time.time())


@row(fault="scheduler and its workers killed, restarted", group="2 scheduler", retries=2, since=RE_ATTACHES)
def test_a_scheduler_that_is_killed_with_its_workers_loses_no_run(case):
    def disturb():
        case.world.kill("scheduler")
        case.world.start("scheduler")

    case.start_and_wait()
    case.once(disturb)
    goes_on(case, attempt=2 if case.mode == "sync" else 1)


@row(
    fault="scheduler killed, its workers live on, restarted",
    group="3 scheduler alone",
    # Airflow starts a second attempt and stops the worker of the first, which cancels its run.
    expected={"sync": 2, "deferrable": 1},
    retries=2,
    since=RE_ATTACHES,
)
def test_a_scheduler_that_is_killed_alone_loses_no_run(case):
    def disturb():
        case.world.kill("scheduler", alone=True)
        case.world.start("scheduler")

    case.start_and_wait()
    case.once(disturb)
    time.sleep(75)
    case.wait_until_waiting(count=len(case.executions()))
    case.let_go()
    case.wait_for_end("success")


@row(
    fault="API server away for 3 minutes",
    group="4 API server",
    ends_scheduler=SYNC,
    # An attempt that starts in the outage fails at once.
    retries=8,
    retry_delay=40,
    expected={"sync": 2, "deferrable": 1},
)
def test_an_api_server_that_is_away_for_three_minutes_loses_no_run(case):
    def disturb():
        for name in ("api-server", EXECUTION_API):
            case.world.kill(name)
        time.sleep(OUTAGE)
        for name in (EXECUTION_API, "api-server"):
            case.world.start(name)

    case.start_and_wait()
    case.once(disturb)
    if case.mode == "sync":
        # After so long Airflow ends the worker, which cancels its run; the next attempt starts anew.
        wait_for(
            lambda: case.state() == "running" and _goes_on(case), what=case._told("a retry"), timeout=300
        )
    case.wait_until_waiting(count=len(case.executions()))
    case.let_go()
    case.wait_for_end("success")


def _goes_on(case):
    """Tell whether the latest execution is one that goes on."""
    return case.execution()["status"] == "Waiting"


@row(fault="triggerer killed, a spare takes over", modes=DEFERRABLE, group="5 triggerer killed", retries=2)
def test_a_triggerer_that_is_killed_is_replaced_by_the_spare(case):
    case.world.need_triggerers(TRIGGERER, SPARE)
    case.start_and_wait()
    before = case.triggerer()
    case.once(lambda: case.world.kill(case.world.triggerers[before]))
    moves(case, before)
    goes_on(case)


@row(fault="only triggerer killed, restarted", modes=DEFERRABLE, group="6 only triggerer killed", retries=2)
def test_an_only_triggerer_that_is_killed_and_restarted_goes_on(case):
    def disturb():
        case.world.kill(TRIGGERER)
        case.world.start(TRIGGERER)

    case.world.need_triggerers(TRIGGERER)
    case.start_and_wait()
    before = case.triggerer()
    case.once(disturb)
    moves(case, before)
    goes_on(case)


@row(fault="triggerer redeployed (SIGTERM)", modes=DEFERRABLE, group="7 triggerer redeployed", retries=2)
def test_a_triggerer_that_is_redeployed_goes_on(case):
    case.world.need_triggerers(TRIGGERER)
    case.start_and_wait()
    before = case.triggerer()
    case.once(lambda: case.world.redeploy(TRIGGERER))
    moves(case, before)
    goes_on(case)


FROZEN = "8 triggerer frozen"


def freeze(case: Case) -> None:
    case.once(lambda: case.world.need_triggerers(TRIGGERER))
    case.start_and_wait()
    before = case.triggerer()

    def disturb():
        case.world.need_triggerers(TRIGGERER, SPARE)
        case.world.processes.send(TRIGGERER, signal.SIGSTOP)

    case.once(disturb)
    moves(case, before)


def wake(case: Case) -> None:
    case.once(lambda: case.world.processes.send(TRIGGERER, signal.SIGCONT))
    time.sleep(WATCHED)
    assert not case.cancels()


@row(fault="triggerer frozen, taken over, task succeeds, thawed", modes=DEFERRABLE, group=FROZEN)
def test_a_triggerer_that_was_frozen_does_not_cancel_when_its_successor_has_finished(case):
    freeze(case)
    case.let_go()
    case.wait_for_end("success")
    case.once(lambda: case.world.processes.send(TRIGGERER, signal.SIGCONT))
    time.sleep(WATCHED)
    # The task may be over because a person marked it, so the run may be asked to stop; it had finished.
    assert case.execution()["status"] == "Success"


@row(
    fault="triggerer frozen, taken over, timeout keeps the run, thawed",
    modes=DEFERRABLE,
    group=FROZEN,
    operator={"timeout": 90, "cancel_on_timeout": False},
)
def test_a_triggerer_that_was_frozen_does_not_cancel_a_run_that_its_successor_has_kept(case):
    freeze(case)
    case.wait_for_end("failed")
    wake(case)
    assert case.execution()["status"] == "Waiting"
    case.wait_for_log("cancel_on_timeout=False")


@row(fault="triggerer frozen, taken over, thawed while the task waits", modes=DEFERRABLE, group=FROZEN)
def test_a_triggerer_that_was_frozen_does_not_cancel_while_its_successor_waits(case):
    freeze(case)
    wake(case)
    assert case.execution()["status"] == "Waiting"
    goes_on(case)
