"""A worker dies or is stopped in each phase of a task."""

from __future__ import annotations

import signal

from faults.case import NUMBER_XSD, OUTPUT, PROOF, READ_EXECUTION, UNTIL_LET_GO
from faults.rows import DEFERRABLE, RE_ATTACHES, SYNC, row

KILLED_RETRIES = {"retries": 2, "retry_delay": 1}
NAMED = "Executions of this flow since then"
CHANGING_INPUT = {"data": {"Number": "{{ ti.try_number }}"}, "root": "Data"}


@row(fault="task SIGKILLed while it waits", modes=SYNC, since=RE_ATTACHES, **KILLED_RETRIES)
def test_a_task_killed_while_it_waits_is_attached_to_by_its_retry(case):
    execution = case.start_and_wait()
    case.kill_task()
    case.wait_until_waiting(attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)
    case.wait_for_log(f"Attached to execution {execution['id']}")


@row(fault="whole worker SIGKILLed while its task waits", modes=SYNC, since=RE_ATTACHES, **KILLED_RETRIES)
def test_a_worker_that_vanishes_while_its_task_waits_is_noticed_and_its_run_attached_to(case):
    execution = case.start_and_wait()
    case.kill_task(supervisor=True)
    case.wait_until_waiting(attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)
    case.wait_for_log(f"Attached to execution {execution['id']}")


@row(fault="task SIGKILLed right after its run was recorded", modes=SYNC, since=RE_ATTACHES, **KILLED_RETRIES)
def test_a_task_killed_right_after_the_record_is_attached_to_by_its_retry(case):
    first_question = case.hold_answer(r"^GET \S*/progress")
    case.start()
    assert first_question.met.wait(150)
    case.kill_task()
    first_question.release()
    case.wait_until_waiting(attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)


@row(fault="task SIGKILLed between submission and record", since=RE_ATTACHES, **KILLED_RETRIES)
def test_a_task_killed_before_the_record_leaves_a_run_that_the_retry_names_and_does_not_double(case):
    case.hold_submission()
    execution = case.execution()
    case.kill_task()
    case.wait_for_end("failed", attempt=2)
    assert case.task()["try_number"] == 2
    case.wait_for_log(f"FlowSubmissionUnclearError.*(?s:.*){NAMED}(?s:.*){execution['id']}")


@row(
    fault="task SIGKILLed between submission and record, proof",
    operator=PROOF,
    since=RE_ATTACHES,
    **KILLED_RETRIES,
)
def test_a_task_killed_before_the_record_leaves_a_run_that_the_retry_adopts_on_proof(case):
    case.flow(UNTIL_LET_GO, OUTPUT, xsd=NUMBER_XSD)
    case.hold_submission()
    case.kill_task()
    case.wait_until_waiting(attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)


@row(fault="worker told to stop (SIGTERM), retries left", modes=SYNC, expected=2, **KILLED_RETRIES)
def test_a_worker_told_to_stop_cancels_once_and_its_retry_starts_anew(case):
    first = case.start_and_wait()
    case.kill_task(signal.SIGTERM)
    case.wait_for_status("Canceled", index=0)
    second = case.wait_until_waiting(attempt=2, count=2)
    assert first["id"] != second["id"]
    case.let_go()
    case.wait_for_end("success", attempt=2)
    case.wait_for_log(f"cancelled execution {first['id']}")


@row(
    fault="task SIGKILLed after the event, on its last stretch",
    modes=DEFERRABLE,
    operator={"resume_on_worker": True},
    since=RE_ATTACHES,
    **KILLED_RETRIES,
)
def test_a_task_killed_on_its_last_stretch_brings_the_output_on_its_retry(case):
    case.start_and_wait()
    held = case.hold_answer(READ_EXECUTION)
    case.let_go()
    assert held.met.wait(150)
    case.kill_task()
    held.release()
    case.wait_for_end("success", attempt=2)


@row(
    fault="task fails after its flow has finished, and is retried",
    kind="fails_first",
    retries=1,
    since=RE_ATTACHES,
)
def test_a_retry_after_a_failure_of_the_task_takes_the_finished_runs_output(case):
    case.start_and_wait()
    case.let_go()
    case.wait_for_end("success", attempt=2)


@row(fault="flow ends in Error, the task is retried", expected=2, retries=1)
def test_a_retry_after_an_error_of_the_flow_starts_a_new_run(case):
    case.flow(UNTIL_LET_GO, {"kind": "fail", "message": "No paper"})
    case.start_and_wait()
    case.flow(OUTPUT)
    case.let_go()
    case.wait_for_end("success", attempt=2)
    case.wait_for_log("No paper")


def _input_changes_on_retry(case):
    case.flow(UNTIL_LET_GO, OUTPUT, xsd=NUMBER_XSD)
    execution = case.start_and_wait()
    case.kill_task()
    return execution


@row(
    fault="retry with another input, on_input_changed='attach'",
    modes=SYNC,
    operator={**CHANGING_INPUT, "on_input_changed": "attach"},
    since=RE_ATTACHES,
    **KILLED_RETRIES,
)
def test_a_retry_with_another_input_attaches_where_that_is_wanted(case):
    _input_changes_on_retry(case)
    case.wait_until_waiting(attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)


@row(
    fault="retry with another input, on_input_changed='restart'",
    modes=SYNC,
    expected=2,
    operator={**CHANGING_INPUT, "on_input_changed": "restart"},
    since=RE_ATTACHES,
    **KILLED_RETRIES,
)
def test_a_retry_with_another_input_supersedes_where_that_is_wanted(case):
    _input_changes_on_retry(case)
    case.wait_until_waiting(attempt=2, count=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)
    assert case.execution(0)["status"] == "Canceled"


@row(
    fault="retry with another input, on_input_changed='fail'",
    modes=SYNC,
    operator={**CHANGING_INPUT, "on_input_changed": "fail"},
    since=RE_ATTACHES,
    **KILLED_RETRIES,
)
def test_a_retry_with_another_input_fails_where_that_is_wanted_and_names_the_run_it_kept(case):
    execution = _input_changes_on_retry(case)
    case.wait_for_end("failed", attempt=2)
    case.wait_for_log(f"(?s)FlowInputError.*{execution['id']}.*left as it is")
    assert case.task()["try_number"] == 2
