"""A person answers a form of Airflow's while the task is deferred: that resumes it, and cancels nothing."""

from __future__ import annotations

import time

from faults.rows import DEFERRABLE, row


@row(fault="form of a deferred task answered", modes=DEFERRABLE, kind="asks")
def test_a_form_answer_that_resumes_the_task_does_not_cancel_its_run(case):
    execution = case.start_and_wait()
    case.rest.answer_form(case.dag_id, case.run_id, "run_flow", chosen="Yes")
    time.sleep(15)
    assert case.execution()["status"] == "Waiting"
    case.let_go()
    case.wait_for_end("success")
    assert case.manifest()["execution_id"] == execution["id"]
