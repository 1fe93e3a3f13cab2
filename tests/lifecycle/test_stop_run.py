"""Asking the service to stop a run: what became of it, in a sentence, and never an exception."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from support.service import LONG, asked, cancels, panel_flow, statuses

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.stop import (
    CancelReply,
    Stopped,
    cancel_and_look,
    cancel_and_settle,
    cancel_now,
    look,
)
from smartflows_provider.wire.run import RunPhase


@pytest.fixture
def running(server: DevServer, hook: SmartFlowsHook) -> str:
    server.configure(hold="ignored")
    return hook.start(panel_flow(server, LONG).id).execution_id


def test_a_cancelled_run_is_told_to_be_canceled(hook: SmartFlowsHook, running: str) -> None:
    stopped = cancel_and_look(hook, running, cause="timeout")
    assert (stopped.fate, stopped.phase, stopped.is_over) == (
        f"Execution {running} is Canceled.",
        RunPhase.CANCELED,
        True,
    )


def test_a_service_that_answers_a_cancel_with_nothing_is_asked_for_the_status(
    server: DevServer, hook: SmartFlowsHook, running: str
) -> None:
    server.configure(cancel_answer="empty")
    assert cancel_and_look(hook, running, cause="timeout").fate == f"Execution {running} is Canceled."


@pytest.mark.parametrize("answer", ["object", "empty"])
def test_a_cancelled_run_that_goes_on_for_a_while_is_told_so(
    server: DevServer, hook: SmartFlowsHook, running: str, answer: Any
) -> None:
    server.configure(cancel_seconds=60, cancel_answer=answer)
    stopped = cancel_and_look(hook, running, cause="timeout")
    assert stopped.fate == f"The service was asked to cancel execution {running}, still Running."
    assert not stopped.is_over


def test_a_run_that_is_left_alone_is_told_to_go_on(hook: SmartFlowsHook, running: str) -> None:
    stopped = look(hook, running)
    assert (stopped.fate, stopped.is_over) == (f"Execution {running} is still Running.", False)


def test_a_purged_run_is_over(server: DevServer, hook: SmartFlowsHook, running: str) -> None:
    server.expire(running)
    for stopped in (
        cancel_and_look(hook, running, cause="timeout"),
        look(hook, running),
        cancel_and_settle(hook, running, cause="timeout"),
    ):
        assert (stopped.fate, stopped.gone, stopped.is_over) == (
            f"The service no longer has execution {running}.",
            True,
            True,
        )


def test_a_run_that_is_gone_after_it_was_cancelled_was_stopped(
    server: DevServer, hook: SmartFlowsHook, running: str
) -> None:
    server.expire(running)
    stopped = look(hook, running, after_cancel=True)
    assert (stopped.fate, stopped.phase, stopped.gone) == (
        f"The service no longer has execution {running}, which it was asked to cancel.",
        RunPhase.CANCELED,
        True,
    )


@pytest.mark.parametrize(
    ("phase", "gone", "stopped"),
    [
        (RunPhase.ACTIVE, False, True),
        (RunPhase.CANCELED, True, True),
        (RunPhase.CANCELED, False, False),
        (RunPhase.SUCCEEDED, False, False),
        (RunPhase.SUCCEEDED, True, False),
        (RunPhase.FAILED, True, False),
        (None, True, False),
        (None, False, False),
    ],
)
def test_a_run_that_ended_by_itself_was_not_stopped_also_if_it_is_gone(
    phase: RunPhase | None, gone: bool, stopped: bool
) -> None:
    assert Stopped(fate="", phase=phase, gone=gone).was_stopped is stopped


def test_a_service_that_refuses_to_cancel_what_is_over_is_asked_for_the_status(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    finished = hook.start(panel_flow(server, {"kind": "work"}).id).execution_id
    server.inject(Fault(action="status", status=409, body="It is over.", method="DELETE", count=None))
    stopped = cancel_and_look(hook, finished, cause="timeout")
    assert (stopped.fate, stopped.phase) == (f"Execution {finished} is Success.", RunPhase.SUCCEEDED)


@pytest.mark.parametrize("status", [400, 401, 403, 503])
def test_a_run_that_cannot_be_cancelled_may_still_be_running(
    server: DevServer, hook: SmartFlowsHook, running: str, status: int
) -> None:
    server.inject(Fault(action="status", status=status, method="DELETE", count=None))
    stopped = cancel_and_look(hook, running, cause="timeout")
    assert stopped.fate.startswith(f"Execution {running} may still be running: it could not be cancelled (")
    assert f"answered with {status}" in stopped.fate
    assert not stopped.is_over
    assert statuses(server) == ["Running"]


def test_a_service_that_is_down_leaves_the_status_open(
    server: DevServer, hook: SmartFlowsHook, running: str
) -> None:
    server.stop()
    assert look(hook, running).fate.startswith(
        f"Execution {running} may still be running: its status is open (GET "
    )
    after = look(hook, running, after_cancel=True)
    assert "although the service was asked to cancel it: its status is open" in after.fate
    assert not cancel_and_look(hook, running, cause="timeout").is_over
    assert not cancel_and_settle(hook, running, cause="timeout").is_over


def test_the_hurried_cancel_asks_once(server: DevServer, hook: SmartFlowsHook, running: str) -> None:
    assert cancel_now(hook.settings, hook.cancel_exchange(running)) == CancelReply()
    assert len(cancels(server)) == 1
    assert statuses(server) == ["Canceled"]


def test_the_hurried_cancel_is_not_repeated_and_says_what_went_wrong(
    server: DevServer, hook: SmartFlowsHook, running: str
) -> None:
    server.inject(Fault(action="status", status=503, method="DELETE", count=None))
    problem = cancel_now(hook.settings, hook.cancel_exchange(running)).problem
    assert problem is not None
    assert "answered with 503" in problem
    assert len(cancels(server)) == 1


def test_the_hurried_cancel_gives_up_within_the_time_that_a_killed_worker_has(
    server: DevServer, hook: SmartFlowsHook, running: str
) -> None:
    server.inject(Fault(action="delay", seconds=20, method="DELETE", count=None))
    began = time.monotonic()
    problem = cancel_now(hook.settings, hook.cancel_exchange(running)).problem
    assert time.monotonic() - began < 5
    assert problem is not None
    assert "brought no answer" in problem


def test_the_hurried_cancel_finds_the_other_address(
    server: DevServer, hook: SmartFlowsHook, running: str
) -> None:
    server.configure(cancel_address="execution")
    assert cancel_now(hook.settings, hook.cancel_exchange(running)) == CancelReply()
    assert asked(server, "DELETE") == [
        f"/api/v1/flows/executions/{running}/progress",
        f"/api/v1/flows/executions/{running}",
    ]


def test_the_hurried_cancel_does_not_wait_for_an_answer_that_trickles_in(
    server: DevServer, hook: SmartFlowsHook, running: str
) -> None:
    server.inject(Fault(action="slow", size=1, seconds=1.0, method="DELETE", count=None))
    began = time.monotonic()
    reply = cancel_now(hook.settings, hook.cancel_exchange(running))
    assert time.monotonic() - began < 5
    assert reply.problem is not None
    assert re.search(r"broke off: only \d bytes came in \d s$", reply.problem)


def test_the_hurried_cancel_tells_of_a_run_that_had_ended_by_itself(
    server: DevServer, hook: SmartFlowsHook, running: str
) -> None:
    server.advance(3600)
    assert cancel_now(hook.settings, hook.cancel_exchange(running)) == CancelReply(ended_in="Success")
