"""A person ends the task, or its time is up: the service hears of it, once, in every phase."""

from __future__ import annotations

import os
import time

from faults.case import OUTPUT, UNTIL_LET_GO
from faults.rows import BOTH, DEFERRABLE, SYNC, row
from faults.world import wait_for

TOLD_TO_STOP = "Terminating process"
MANY = int(os.environ.get("FAULT_MAPPED", "24"))
AFTERWARDS = {"id": "afterwards", "kind": "work", "message": "Working", "duration": 8}
FORM = {"id": "ask", "kind": "form", "fields": [{"key": "ok", "title": "OK", "type": "string"}]}


def during_submission(case, act):
    """The person acts while the service's answer to the start is under way."""
    held = case.hold_submission()
    act()
    case.wait_for_log(TOLD_TO_STOP, pause=0.5)
    held.release()


def is_cancelled(case, state):
    case.wait_for_status("Canceled", index=0)
    assert case.state() == state


def runs_anew(case):
    case.wait_for_status("Canceled", index=0)
    case.wait_until_waiting(attempt=2, count=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)


@row(fault="marked failed during submission", retries=2)
def test_a_task_marked_failed_while_it_submits_cancels_its_run(case):
    during_submission(case, lambda: case.mark("failed"))
    is_cancelled(case, "failed")


@row(fault="marked success during submission", retries=2)
def test_a_task_marked_success_while_it_submits_cancels_its_run(case):
    during_submission(case, lambda: case.mark("success"))
    is_cancelled(case, "success")


@row(fault="cleared during submission", ends_scheduler=BOTH, expected=2, discards_state=True, retries=2)
def test_a_task_cleared_while_it_submits_cancels_its_run_and_starts_anew(case):
    during_submission(case, case.clear)
    runs_anew(case)


@row(fault="DAG run marked failed during submission", retries=2)
def test_a_dag_run_marked_failed_while_its_task_submits_cancels_the_run(case):
    during_submission(case, lambda: case.mark_dag_run("failed"))
    is_cancelled(case, "failed")


@row(fault="marked failed while it waits", retries=2)
def test_a_task_marked_failed_while_it_waits_cancels_its_run(case):
    case.start_and_wait()
    case.mark("failed")
    is_cancelled(case, "failed")


@row(fault="marked success while it waits", retries=2)
def test_a_task_marked_success_while_it_waits_cancels_its_run(case):
    case.start_and_wait()
    case.mark("success")
    is_cancelled(case, "success")


@row(fault="DAG run marked failed while it waits", retries=2)
def test_a_dag_run_marked_failed_while_its_task_waits_cancels_the_run(case):
    case.start_and_wait()
    case.mark_dag_run("failed")
    is_cancelled(case, "failed")


@row(
    fault="marked failed between event and resume, flow finished",
    modes=DEFERRABLE,
    pool="own",
    operator={"resume_on_worker": True},
)
def test_a_task_marked_failed_between_event_and_resume_leaves_a_finished_run_as_it_is(case):
    case.start_and_wait()
    case.close_pool()
    case.let_go()
    case.wait_for_state("scheduled")
    case.mark("failed")
    case.open_pool()
    time.sleep(10)
    assert case.state() == "failed"
    assert case.execution()["status"] == "Success"


@row(
    fault="marked failed between event and resume, flow waits for a person",
    modes=DEFERRABLE,
    pool="own",
    operator={"on_user_input": "answer", "answers": {"ok": "yes"}},
)
def test_a_task_marked_failed_between_event_and_resume_cancels_a_run_that_goes_on(case):
    case.flow(UNTIL_LET_GO, FORM, AFTERWARDS, OUTPUT)
    case.start_and_wait()
    case.close_pool()
    case.let_go()
    case.wait_for_state("scheduled")
    case.mark("failed")
    case.open_pool()
    is_cancelled(case, "failed")


@row(
    fault="cleared between event and resume, flow waits for a person",
    modes=DEFERRABLE,
    pool="own",
    expected=2,
    discards_state=True,
    operator={"on_user_input": "answer", "answers": {"ok": "yes"}},
)
def test_a_task_cleared_between_event_and_resume_supersedes_its_run(case):
    case.flow(UNTIL_LET_GO, FORM, AFTERWARDS, OUTPUT)
    case.start_and_wait()
    case.close_pool()
    case.let_go()
    case.wait_for_state("scheduled")
    case.clear()
    case.open_pool()
    runs_anew(case)


@row(fault="timeout", operator={"timeout": 8})
def test_a_run_that_takes_too_long_is_cancelled(case):
    execution = case.start_and_wait()
    case.wait_for_end("failed")
    is_cancelled(case, "failed")
    case.wait_for_log(f"(?s)FlowTimeoutError.*{execution['id']}")


@row(fault="timeout with a retry left", expected=2, operator={"timeout": 12}, retries=1)
def test_a_retry_after_a_timeout_starts_a_new_run_with_a_time_of_its_own(case):
    case.start_and_wait()
    runs_anew(case)


@row(fault="execution_timeout", execution_timeout=12)
def test_a_task_that_takes_too_long_cancels_its_run(case):
    execution = case.start_and_wait()
    case.wait_for_end("failed")
    is_cancelled(case, "failed")
    case.wait_for_log(f"(?s)FlowTimeoutError.*{execution['id']}")


@row(fault="timeout, flow finishes at the deadline's last look", operator={"timeout": 12})
def test_a_run_that_finished_while_nobody_could_look_counts_at_the_deadline(case):
    case.start_and_wait()
    silence = case.hold_answer(r"^GET \S*/progress")
    assert silence.answered.wait(60)
    case.let_go()
    silence.release()
    case.wait_for_end("success")


@row(fault="marked failed, cancel_on_kill=False", operator={"cancel_on_kill": False})
def test_a_kill_leaves_the_run_alone_where_that_is_wanted_and_says_so(case):
    execution = case.start_and_wait()
    case.mark("failed")
    case.wait_for_log(f"(?s){execution['id']}.*cancel_on_kill=False|cancel_on_kill=False.*{execution['id']}")
    time.sleep(10)
    assert case.execution()["status"] == "Waiting"
    assert not case.cancels()


@row(fault="timeout, cancel_on_timeout=False", operator={"timeout": 8, "cancel_on_timeout": False})
def test_a_timeout_leaves_the_run_alone_where_that_is_wanted_and_says_so(case):
    execution = case.start_and_wait()
    case.wait_for_end("failed")
    case.wait_for_log(f"(?s)FlowTimeoutError.*{execution['id']}.*cancel_on_timeout=False")
    assert case.execution()["status"] == "Waiting"
    assert not case.cancels()


@row(fault="person cancels at the service", modes=SYNC + DEFERRABLE, retries=2)
def test_a_run_that_a_person_cancels_at_the_service_is_not_started_again(case):
    execution = case.start_and_wait()
    case.cancel_at_the_service()
    case.wait_for_end("failed")
    assert case.task()["try_number"] == 1
    case.wait_for_log(f"(?s)FlowExecutionCanceledError.*{execution['id']}")


@row(
    fault=f"DAG run with {MANY} deferred mapped tasks marked failed",
    modes=DEFERRABLE,
    expected=MANY,
    ordered=False,
    mapped=MANY,
    group="1 many",
)
def test_a_dag_run_with_many_deferred_tasks_marked_failed_cancels_every_run(case):
    case.start()
    wait_for(lambda: len(case.executions()) == MANY, what="all executions", timeout=1200, pause=3)

    def states():
        return {one["state"] for one in case.rest.all_task_instances(case.dag_id, case.run_id)}

    wait_for(lambda: states() == {"deferred"}, what="all tasks to be deferred", timeout=600, pause=3)
    since = time.time()
    for one in case.executions():
        case.wait_until_asked_about(one["id"], since=since)
    marked_at = time.monotonic()
    case.mark_dag_run("failed")
    wait_for(
        lambda: all(one["status"] == "Canceled" for one in case.executions()),
        what=lambda: f"{[one['status'] for one in case.executions()]} to be Canceled",
        timeout=300,
    )
    case.measured["seconds until all were cancelled"] = round(time.monotonic() - marked_at, 1)
