"""The answer to a start is lost: it is open whether the service has started an execution."""

from __future__ import annotations

from faults.case import NUMBER_XSD, OUTPUT, PROOF, START, UNTIL_LET_GO
from faults.rows import DEFERRABLE, row
from faults.tcp_proxy import Trouble, http_answer
from faults.world import wait_for

UNCLEAR = "(?s)FlowSubmissionUnclearError.*Executions of this flow since then:.*{}"
MAPPED = 8


def states(case):
    return sorted(str(one["state"]) for one in case.rest.all_task_instances(case.dag_id, case.run_id))


def fails_once_and_names_its_run(case):
    case.wait_for_end("failed")
    assert case.task()["try_number"] == 1
    case.wait_for_log(UNCLEAR.format(case.execution()["id"]))


@row(fault="answer to the start lost: reset before its first byte", retries=2)
def test_a_reset_before_the_answers_first_byte_is_not_submitted_again(case):
    case.proxy.begin(Trouble(kind="reset", request=START, after=0))
    case.start()
    fails_once_and_names_its_run(case)


@row(fault="answer to the start lost: cut within the answer", retries=2)
def test_a_reset_within_the_answer_is_not_submitted_again(case):
    case.proxy.begin(Trouble(kind="reset", request=START, after=150))
    case.start()
    fails_once_and_names_its_run(case)


@row(fault="answer to the start lost: time limit", retries=2, extra={"read_timeout": 3})
def test_a_start_that_is_answered_too_late_is_not_submitted_again(case):
    case.proxy.begin(Trouble(kind="hold", request=START))
    case.start()
    fails_once_and_names_its_run(case)


@row(fault="answer to the start lost: 502 of a proxy", retries=2)
def test_a_502_after_the_service_took_the_start_is_not_submitted_again(case):
    answer = http_answer("502 Bad Gateway", body="bad gateway")
    case.proxy.begin(Trouble(kind="replace", request=START, answer=answer))
    case.start()
    fails_once_and_names_its_run(case)


@row(fault="answer to the start lost: reset, proof", retries=2, operator=PROOF)
def test_a_run_whose_start_was_not_answered_is_adopted_on_proof(case):
    case.flow(UNTIL_LET_GO, OUTPUT, xsd=NUMBER_XSD)
    case.proxy.begin(Trouble(kind="reset", request=START, after=0))
    case.start_and_wait()
    case.let_go()
    case.wait_for_end("success")
    assert case.task()["try_number"] == 1


@row(
    fault="answers lost among mapped tasks of one flow, proof",
    modes=DEFERRABLE,
    expected=MAPPED,
    ordered=False,
    mapped=MAPPED,
    operator=PROOF,
)
def test_mapped_tasks_that_lose_their_answers_adopt_their_own_runs_on_proof(case):
    case.flow(UNTIL_LET_GO, OUTPUT, xsd=NUMBER_XSD)
    case.proxy.begin(Trouble(kind="reset", request=START, after=0, count=3))
    case.start()
    case.wait_for_executions(MAPPED)
    for state in ("deferred", "success"):
        wait_for(lambda state=state: states(case) == [state] * MAPPED, what=case._told(f"all {state}"))
        case.wait_until_the_scheduler_knows()
        case.let_go()
    assert len({case.manifest(map_index=index)["execution_id"] for index in range(MAPPED)}) == MAPPED


@row(
    fault="answers lost among mapped tasks of one flow",
    modes=DEFERRABLE,
    expected=MAPPED,
    ordered=False,
    mapped=MAPPED,
    retries=1,
)
def test_mapped_tasks_that_lose_their_answers_adopt_none_of_their_siblings_runs(case):
    case.proxy.begin(Trouble(kind="reset", request=START, after=0, count=3))
    case.start()
    case.wait_for_executions(MAPPED)

    wait_for(lambda: states(case) == ["deferred"] * 5 + ["failed"] * 3, what=case._told("3 failed tasks"))
    case.wait_until_the_scheduler_knows()
    case.let_go()
    wait_for(lambda: states(case) == ["failed"] * 3 + ["success"] * 5, what=case._told("5 finished tasks"))
    manifests = [case.manifest(map_index=index) for index in range(MAPPED)]
    taken = [one["execution_id"] for one in manifests if one is not None]
    assert len(taken) == len(set(taken)) == 5
