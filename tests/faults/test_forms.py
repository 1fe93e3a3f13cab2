"""Forms under Airflow's Required Actions: people answer them there or elsewhere, or do something else."""

from __future__ import annotations

import time

from faults.airflow_under_test import CLEAR_DISCARDS_STATE
from faults.case import ANSWER, PERSON, TASK
from faults.rows import DEFERRABLE, RE_ATTACHES, row
from faults.world import TRIGGERER, wait_for

ASK = {"on_user_input": "ask"}
FORM = {
    "id": "ask",
    "name": "Approval",
    "kind": "form",
    "fields": [{"key": "ok", "title": "Is it OK?", "required": True}],
}
SECOND = {"id": "greet", "name": "Greeting", "kind": "form", "fields": [{"key": "text", "title": "Greeting"}]}
OUTPUT = {"id": "output", "kind": "output", "values": {"answer": ANSWER, "ok": "{{ answers.ok }}"}}


def asks(case, *steps, attempt=1, count=1):
    """The task has met the flow's form, and Airflow asks."""
    if steps:
        case.flow(*steps)
        case.start()
    execution = case.wait_for_executions(count)
    case.wait_for_status("UserInput")

    def shown():
        form = case.rest.form(case.dag_id, case.run_id, TASK)
        return form is not None and not form["response_received"]

    wait_for(shown, what=case._told("a form under Required Actions"))
    # The form of an earlier attempt may still be there.
    case.wait_for_log(f"(?s)(asks a person, in Airflow.*){{{attempt}}}", timeout=180)
    case.wait_for_state("deferred", attempt=attempt)
    case.wait_until_asked_about(execution["id"], since=time.time())
    case.wait_until_the_scheduler_knows()
    return execution


def answer(case, **values):
    case.rest.answer_form(case.dag_id, case.run_id, TASK, chosen="Send", **values)


def ends_well(case, ok, *, attempt=1):
    case.wait_for_end("success", attempt=attempt)
    assert case.manifest()["values"] == {"answer": ANSWER, "ok": ok}
    assert case.execution()["status"] == "Success"


@row(fault="form of a deferred task answered", modes=DEFERRABLE, kind="asks")
def test_a_form_answer_that_resumes_the_task_does_not_cancel_its_run(case):
    execution = case.start_and_wait()
    case.rest.answer_form(case.dag_id, case.run_id, "run_flow", chosen="Yes")
    time.sleep(15)
    assert case.execution()["status"] == "Waiting"
    case.let_go()
    case.wait_for_end("success")
    assert case.manifest()["execution_id"] == execution["id"]


@row(fault="the flow's form answered in Airflow", operator=ASK)
def test_a_flows_form_is_answered_in_airflow(case):
    asks(case, FORM, OUTPUT)
    form = case.rest.form(case.dag_id, case.run_id, TASK)
    assert form["subject"] == f"Flow '{case.flow_id}' asks for: Approval"
    assert form["params"]["ok"]["schema"]["title"] == "Is it OK?"
    answer(case, ok="yes")
    ends_well(case, "yes")


@row(fault="the flow's form answered in its own panel", operator=ASK)
def test_a_flows_form_is_answered_in_its_own_panel(case):
    execution = asks(case, FORM, OUTPUT)
    case.world.service.service.answer(execution["id"], {"ok": "sure"}, user=PERSON)
    ends_well(case, "sure")
    form = case.rest.form(case.dag_id, case.run_id, TASK)
    assert form["chosen_options"] == ["Answered in the flow's own panel"]


@row(fault="the flow asks twice", operator=ASK)
def test_a_second_form_is_shown_or_ends_in_a_clear_message(case):
    execution = asks(case, FORM, SECOND, OUTPUT)
    answer(case, ok="yes")
    if CLEAR_DISCARDS_STATE:
        wait_for(
            lambda: "text" in (case.rest.form(case.dag_id, case.run_id, TASK) or {})["params"],
            what=case._told("the second form"),
        )
        case.wait_for_state("deferred")
        case.wait_until_the_scheduler_knows()
        answer(case, text="hello")
        ends_well(case, "yes")
        return
    case.wait_for_end("failed")
    case.wait_for_log("Airflow before 3.4 shows only the first form of a task instance")
    case.wait_for_log(f"(?s)FlowUserInputRequiredError.*{execution['id']}")
    assert case.execution()["status"] == "UserInput"


@row(fault="marked failed while a person is asked", operator=ASK)
def test_a_task_marked_failed_while_a_person_is_asked_cancels_its_run(case):
    asks(case, FORM, OUTPUT)
    case.mark("failed")
    case.wait_for_status("Canceled")
    assert case.state() == "failed"


@row(
    fault="cleared while a person is asked", operator=ASK, expected=2, discards_state=True, since=RE_ATTACHES
)
def test_a_task_cleared_while_a_person_is_asked_supersedes_its_run_and_asks_anew(case):
    asks(case, FORM, OUTPUT)
    case.clear()
    case.wait_for_status("Canceled", index=0)
    asks(case, attempt=2, count=2)
    answer(case, ok="again")
    ends_well(case, "again", attempt=2)


@row(fault="only triggerer killed while a person is asked", operator=ASK, group="6 only triggerer killed")
def test_a_triggerer_that_is_killed_while_a_person_is_asked_loses_no_answer(case):
    def disturb():
        case.world.kill(TRIGGERER)
        case.world.start(TRIGGERER)

    case.world.need_triggerers(TRIGGERER)
    execution = asks(case, FORM, OUTPUT)
    case.once(disturb)
    case.world.service.service.answer(execution["id"], {"ok": "sure"}, user=PERSON)
    ends_well(case, "sure")
