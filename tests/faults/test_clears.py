"""A person clears tasks: the old run is stable before a new one is created, and siblings keep theirs."""

from __future__ import annotations

import signal

from faults.airflow_under_test import CLEAR_DISCARDS_STATE, KEEP_STATE
from faults.rows import BOTH, DEFERRABLE, RE_ATTACHES, SYNC, row
from faults.world import wait_for

MAPPED = 3


def finished(case):
    execution = case.start_and_wait()
    case.let_go()
    case.wait_for_end("success")
    # A clear in the moment in which the scheduler ends the DAG run is lost to Airflow, and the task with it.
    case.wait_for_dag_run("success")
    return execution


def runs_anew(case, first, *, attempt=2):
    """The cleared task has a run of its own, which it finishes."""
    second = case.wait_until_waiting(attempt=attempt, count=2)
    assert second["id"] != first["id"]
    case.let_go()
    case.wait_for_end("success", attempt=attempt)
    assert case.manifest()["execution_id"] == second["id"]


def is_superseded(case, first, **options):
    case.clear(**options)
    runs_anew(case, first)
    assert case.execution(0)["status"] == "Canceled"


@row(fault="cleared when finished", expected=2, discards_state=True)
def test_a_finished_task_that_is_cleared_runs_the_flow_again(case):
    first = finished(case)
    case.clear()
    runs_anew(case, first)
    assert case.execution(0)["status"] == "Success"


@row(fault="cleared while it waits", ends_scheduler=SYNC, expected=2, discards_state=True, since=RE_ATTACHES)
def test_a_waiting_task_that_is_cleared_supersedes_its_run(case):
    is_superseded(case, case.start_and_wait())


@row(fault="cleared when finished, keep_task_state", expected=2, since="3.4")
def test_a_finished_task_that_is_cleared_with_its_state_runs_the_flow_again(case):
    first = finished(case)
    case.clear(**KEEP_STATE)
    runs_anew(case, first)


@row(fault="cleared while it waits, keep_task_state", ends_scheduler=SYNC, expected=2, since="3.4")
def test_a_waiting_task_that_is_cleared_with_its_state_supersedes_its_run(case):
    is_superseded(case, case.start_and_wait(), **KEEP_STATE)


@row(
    fault="cleared while it waits, retries raised before",
    ends_scheduler=SYNC,
    expected=2,
    discards_state=True,
    retries=1,
    own_file=True,
    since=RE_ATTACHES,
)
def test_a_clear_after_retries_were_raised_supersedes_the_run(case):
    first = case.start_and_wait()
    case.rewrite(retries=4)
    is_superseded(case, first)


@row(
    fault="cleared while it waits, retries lowered before",
    ends_scheduler=SYNC,
    expected=2,
    discards_state=True,
    retries=3,
    own_file=True,
    since=RE_ATTACHES,
)
def test_a_clear_after_retries_were_lowered_supersedes_the_run(case):
    first = case.start_and_wait()
    case.rewrite(retries=1)
    is_superseded(case, first)


@row(
    fault="retries raised while it waits, then a retry",
    modes=SYNC,
    retries=1,
    own_file=True,
    since=RE_ATTACHES,
)
def test_a_retry_after_retries_were_raised_attaches(case):
    case.start_and_wait()
    case.rewrite(retries=4)
    case.kill_task()
    case.wait_until_waiting(attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)


@row(fault="whole DAG run cleared when finished", expected=2)
def test_a_finished_dag_run_that_is_cleared_runs_the_flow_again(case):
    first = finished(case)
    wait_for(lambda: case.rest.dag_run(case.dag_id, case.run_id)["state"] == "success", what="the run's end")
    case.clear_dag_run()
    runs_anew(case, first)


@row(fault="whole DAG run cleared while it waits", ends_scheduler=SYNC, expected=2, since=RE_ATTACHES)
def test_a_dag_run_that_is_cleared_while_its_task_waits_supersedes_the_run(case):
    first = case.start_and_wait()
    case.clear_dag_run()
    runs_anew(case, first)
    assert case.execution(0)["status"] == "Canceled"


@row(
    fault="cleared while it is deferred, on_clear='resume'",
    modes=DEFERRABLE,
    operator={"on_clear": "resume"},
    since=RE_ATTACHES,
)
def test_a_clear_goes_on_with_the_run_where_that_is_wanted(case):
    goes_on_after_a_clear(case)


@row(
    fault="cleared while it runs, on_clear='resume' (told to stop like any worker, it cancels)",
    ends_scheduler=SYNC,
    modes=SYNC,
    expected=2,
    operator={"on_clear": "resume"},
)
def test_a_worker_cannot_tell_a_clear_from_another_stop_so_the_next_attempt_starts_anew(case):
    is_superseded(case, case.start_and_wait(), **KEEP_STATE)


@row(
    fault="cleared while it waits, on_clear='resume', cancel_on_kill=False",
    ends_scheduler=SYNC,
    operator={"on_clear": "resume", "cancel_on_kill": False},
    since=RE_ATTACHES,
)
def test_a_clear_goes_on_with_the_run_where_a_kill_cancels_nothing(case):
    goes_on_after_a_clear(case)


def goes_on_after_a_clear(case):
    first = case.start_and_wait()
    case.clear(**KEEP_STATE)
    case.wait_until_waiting(attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)
    assert case.manifest()["execution_id"] == first["id"]


@row(fault="cleared when finished, on_clear='resume'", operator={"on_clear": "resume"}, since=RE_ATTACHES)
def test_a_clear_takes_the_finished_runs_output_again_where_that_is_wanted(case):
    finished(case)
    case.clear(**KEEP_STATE)
    case.wait_for_end("success", attempt=2)


@row(fault="sibling cleared while ours waits", sibling=True)
def test_a_sibling_that_is_cleared_leaves_our_run_alone(case):
    case.start_and_wait()
    case.wait_for_state("success", task_id="sibling")
    case.clear("sibling")
    case.wait_for_state("success", task_id="sibling", attempt=2)
    case.let_go()
    case.wait_for_end("success")


@row(
    fault="sibling cleared, then our worker is SIGKILLed (its retry counts as a clear)",
    modes=SYNC,
    sibling=True,
    expected=2,
    retries=2,
    since=RE_ATTACHES,
)
def test_a_retry_after_a_sibling_was_cleared_and_a_worker_died_without_a_word_supersedes_its_run(case):
    case.start_and_wait()
    case.wait_for_state("success", task_id="sibling")
    case.clear("sibling")
    case.wait_for_state("success", task_id="sibling", attempt=2)
    case.kill_task(signal.SIGKILL)
    case.wait_until_waiting(attempt=2, count=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)
    assert case.execution(0)["status"] == "Canceled"


@row(
    fault="sibling cleared, then our task fails after its flow and is retried",
    sibling=True,
    kind="fails_first",
    retries=1,
    since=RE_ATTACHES,
)
def test_a_retry_after_a_sibling_was_cleared_takes_the_finished_runs_output(case):
    case.start_and_wait()
    case.wait_for_state("success", task_id="sibling")
    case.clear("sibling")
    case.wait_for_state("success", task_id="sibling", attempt=2)
    case.let_go()
    case.wait_for_end("success", attempt=2)


@row(
    fault="one of three mapped tasks cleared",
    ends_scheduler=SYNC,
    modes=BOTH,
    expected=MAPPED + 1,
    ordered=False,
    mapped=MAPPED,
    since=RE_ATTACHES,
)
def test_one_mapped_task_that_is_cleared_supersedes_its_own_run_only(case):
    case.start()
    case.wait_for_executions(MAPPED)
    waiting = "running" if case.mode == "sync" else "deferred"
    for index in range(MAPPED):
        case.wait_for_state(waiting, map_index=index)

    def run_of(index):
        return case.rest.xcom(case.dag_id, case.run_id, "run_flow", key="execution_id", map_index=index)

    wait_for(lambda: all(map(run_of, range(MAPPED))), what="the runs' ids")
    before = [run_of(index) for index in range(MAPPED)]
    case.clear(("run_flow", 1))
    case.wait_for_executions(MAPPED + 1)
    case.wait_for_state(waiting, map_index=1, attempt=2)
    if case.mode == "deferrable":
        case.wait_until_the_scheduler_knows()
    case.let_go()
    for index in range(MAPPED):
        case.wait_for_state("success", map_index=index)
    after = [case.manifest(map_index=index)["execution_id"] for index in range(MAPPED)]
    assert [after[0], after[2]] == [before[0], before[2]]
    by_id = {one["id"]: one for one in case.executions()}
    assert by_id[before[1]]["status"] == "Canceled"
    assert CLEAR_DISCARDS_STATE or by_id[before[1]]["modifiedAt"] <= by_id[after[1]]["createdAt"]
