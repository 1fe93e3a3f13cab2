"""The service, or the way to it, is troubled while a task waits."""

from __future__ import annotations

import time

from faults.rows import RE_ATTACHES, row
from faults.tcp_proxy import Trouble, http_answer

SECONDS = 8
SHORT = {"long_poll_seconds": 2, "read_timeout": 3}
LOGIN = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>"


def survives(case, trouble):
    """The run goes on through some seconds of trouble, and the task ends as if there had been none."""
    case.start_and_wait()
    case.proxy.begin(trouble)
    case.proxy.reset_all()
    assert trouble.met.wait(90)
    time.sleep(SECONDS)
    case.proxy.end(trouble)
    case.let_go()
    case.wait_for_end("success")


@row(fault="connections reset for some seconds", extra=SHORT)
def test_resets_while_the_task_waits_are_survived(case):
    survives(case, Trouble(kind="reset"))


@row(fault="answers cut for some seconds", extra=SHORT)
def test_cut_answers_while_the_task_waits_are_survived(case):
    survives(case, Trouble(kind="reset", after=180))


@row(fault="service silent for some seconds", extra=SHORT)
def test_silence_while_the_task_waits_is_survived(case):
    survives(case, Trouble(kind="blackhole"))


@row(fault="503 with Retry-After for some seconds", extra=SHORT)
def test_503_with_retry_after_while_the_task_waits_is_survived(case):
    answer = http_answer("503 Service Unavailable", headers="Retry-After: 2\r\n", body="busy")
    survives(case, Trouble(kind="answer", answer=answer))


@row(fault="sign-in page with 200 for some seconds", extra=SHORT)
def test_a_sign_in_page_while_the_task_waits_is_survived(case):
    survives(case, Trouble(kind="answer", answer=http_answer("200 OK", body=LOGIN, kind="text/html")))


@row(
    fault="outage longer than max_outage, then a retry",
    extra=SHORT,
    operator={"max_outage": 5},
    retries=6,
    retry_delay=3,
    since=RE_ATTACHES,
)
def test_an_outage_longer_than_max_outage_keeps_the_run_and_the_retry_attaches(case):
    execution = case.start_and_wait()
    outage = case.proxy.begin(Trouble(kind="reset"))
    case.proxy.reset_all()
    case.wait_for_state("up_for_retry", "queued", "scheduled", "running", attempt=1)
    case.wait_for_log("(?s)FlowStateUnknownError.*The execution was kept", timeout=120)
    case.proxy.end(outage)
    case.wait_until_waiting(attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)
    case.wait_for_log(f"Attached to execution {execution['id']}")


@row(fault="key rotated in the connection while the task waits")
def test_a_key_that_is_rotated_while_the_task_waits_is_read_again(case):
    case.start_and_wait()
    old, case.key = case.key, case.world.key()
    case.rest.change_password(case.name, case.key)
    case.world.service.revoke_key(old)
    since = time.time() + 12
    case.wait_until_asked_about(case.execution()["id"], since=since)
    case.let_go()
    case.wait_for_end("success")


@row(fault="key revoked while the task waits", retries=2)
def test_a_key_that_is_revoked_while_the_task_waits_ends_it_with_the_run_kept_and_named(case):
    execution = case.start_and_wait()
    case.world.service.revoke_key(case.key)
    case.wait_for_end("failed")
    assert case.task()["try_number"] == 1
    case.wait_for_log(f"(?s)FlowAuthenticationError.*{execution['id']}.*kept")
    assert case.execution()["status"] == "Waiting"


@row(fault="execution purged while the task waits", retries=2)
def test_an_execution_that_is_purged_while_the_task_waits_is_said_to_be_gone(case):
    execution = case.start_and_wait()
    case.world.service.expire(execution["id"])
    case.wait_for_end("failed")
    assert case.task()["try_number"] == 1
    case.wait_for_log(f"(?s)FlowExecutionGoneError.*{execution['id']}")
