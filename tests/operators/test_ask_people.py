"""``on_user_input="ask"``: a flow's form under Airflow's Required Actions, in both modes."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.execution_time import task_runner
from airflow.triggers.base import BaseTrigger
from asgiref.sync import async_to_sync
from support.airflow_versions import needs_task_state
from support.metering import Sent, sent
from support.outcomes import Outcome, logged, operator_for, outcome
from support.required_actions import Detail, RequiredActions, actions
from support.service import asked, cancels, panel_flow, starts, statuses
from support.tasks import MODES, Attempt, Mode, first_event, revive

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowKilledError,
    FlowRecordError,
    FlowServiceError,
    FlowUserInputRequiredError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import airflow_form, asking, form_watch
from smartflows_provider.lifecycle.required_action import ELSEWHERE, close_form
from smartflows_provider.operators import run_flow
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.wire.smart_flows_answers import read_answers
from smartflows_provider.wire.smart_flows_forms import AnswersDoNotFit, Form

__all__ = ["actions", "sent"]

WORK = {"kind": "work", "message": "Working", "duration": 0.1}
FORM = {
    "id": "ask",
    "name": "Approval",
    "kind": "form",
    "fields": [
        {"key": "f1", "title": "Way of delivery", "description": "How it travels", "required": True},
        {"key": "f2", "title": "Copies", "type": "integer", "default": 1},
        {"key": "f3", "title": "Colour", "choices": ["red", "blue"]},
    ],
}
SECOND = {
    "id": "again",
    "name": "Greeting",
    "kind": "form",
    "fields": [{"key": "g1", "title": "Greeting", "required": True}],
}
ANSWERED = {
    "kind": "output",
    "values": {"way": "{{ answers.f1 }}", "copies": "{{ answers.f2 }}", "colour": "{{ answers.f3 }}"},
}
POSTS = {"method": "POST", "path": "/progress$"}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


@pytest.fixture(autouse=True)
def _quick(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for what stands still until a person acts."""
    server.configure(hold="ignored")
    monkeypatch.setattr(asking, "SETTLE_PAUSES", (0.02, 0.02))


def ask(server: DevServer, mode: Mode, actions: RequiredActions, **arguments: Any) -> Outcome:
    """Run the task in Airflow's stead, with the forms of the fixture."""
    given = {"attempt": Attempt(ti_id=actions.ti_id), "on_user_input": "ask", **arguments}
    return outcome(server, mode, **given)


def ask_between_work(server: DevServer, mode: Mode, actions: RequiredActions) -> Outcome:
    """Run a flow that works, asks a person, who chooses mail, and works again."""
    panel_flow(server, WORK, FORM, WORK, ANSWERED)
    actions.person = lambda detail: actions.answer(detail, f1="mail")
    return ask(server, mode, actions)


def ask_and_leave(attempt: Attempt, **arguments: Any) -> BaseTrigger:
    """Run the task until it is deferred with what the flow asks at once, and return its trigger."""
    operator = operator_for("deferrable", on_user_input="ask", **arguments)
    with pytest.raises(TaskDeferred):
        operator.execute(attempt.context())
    asks = {"schema_version": 1, "reason": "needs_person", "execution_id": attempt.xcoms["execution_id"]}
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute_complete(attempt.context(), asks)
    return revive(deferred.value.trigger)


def answers_posted(server: DevServer) -> int:
    return len(asked(server, "POST", "/progress"))


def test_a_persons_answer_in_airflow_reaches_the_flow_and_the_task_goes_on(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, WORK, FORM, WORK, ANSWERED)
    actions.person = lambda detail: actions.answer(detail, f1="mail", f2=3)
    run = ask(server, mode, actions)
    assert run.value["values"] == {"way": "mail", "copies": 3, "colour": None}
    assert "Ada has answered the form of execution" in " ".join(run.log)
    (shown,) = actions.asked
    assert shown.subject == "Flow 'Letter' asks for: Approval"
    assert shown.options == ["Send"]
    assert shown.assigned_users == []
    assert shown.params == {
        "f1": {
            "value": None,
            "description": "How it travels",
            "schema": {"type": "string", "title": "Way of delivery"},
        },
        "f2": {"value": 1, "description": None, "schema": {"type": ["integer", "null"], "title": "Copies"}},
        "f3": {
            "value": None,
            "description": None,
            "schema": {"type": ["string", "null"], "enum": ["red", "blue"], "title": "Colour"},
        },
    }
    assert f"](<{run.attempt.xcoms['execution_url']}>)" in (shown.body or "")


def test_a_worker_is_held_for_work_alone_and_not_while_a_person_thinks(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    run = ask_between_work(server, mode, actions)
    forms = [trigger.open_form is not None for trigger in run.attempt.deferrals]
    assert forms == ([True] if mode == "sync" else [False, True, False])


@needs_task_state
def test_the_runs_deadline_stays_what_it_was_over_forms(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    run = ask_between_work(server, mode, actions)
    assert len({trigger.deadline for trigger in run.attempt.deferrals}) == 1


def test_an_answer_in_the_flows_own_panel_is_noticed_and_closes_airflows_form(
    server: DevServer, mode: Mode, actions: RequiredActions, hook: SmartFlowsHook
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    actions.person = lambda _: hook.answer_form(server.executions()[-1]["id"], {"f1": "fax"})
    run = ask(server, mode, actions)
    assert run.value["values"]["way"] == "fax"
    (shown,) = actions.asked
    assert shown.chosen_options == ["Answered in the flow's own panel"]
    assert shown.responded_by_user is None
    assert answers_posted(server) == 1
    assert "no longer asks: it was answered in its own panel, or has ended." in " ".join(run.log)


def test_a_form_that_is_answered_in_both_places_is_posted_once(
    server: DevServer, mode: Mode, actions: RequiredActions, hook: SmartFlowsHook
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)

    def both_places(detail: Detail) -> None:
        hook.answer_form(server.executions()[-1]["id"], {"f1": "fax"})
        actions.answer(detail, f1="mail")

    server.inject(Fault(action="delay", seconds=1, path="/progress$", method="GET", after=3, count=1))
    actions.person = both_places
    run = ask(server, mode, actions)
    assert run.value["values"]["way"] == "fax"
    assert answers_posted(server) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"f1": "mail", "f2": "many"}, "'f2' (Copies) takes a whole number."),
        ({"f1": ""}, "the form requires 'f1'."),
        ({"f1": "mail", "f3": "green"}, "'f3' (Colour) takes one of 'red', 'blue'."),
    ],
)
def test_an_answer_that_does_not_fit_is_asked_for_again_with_the_reason(
    server: DevServer, mode: Mode, actions: RequiredActions, wrong: dict[str, Any], said: str
) -> None:
    panel_flow(server, FORM, ANSWERED)

    def person(detail: Detail) -> None:
        actions.answer(detail, **(wrong if len(actions.asked) == 1 else {"f1": "mail"}))

    actions.person = person
    run = ask(server, mode, actions)
    assert run.value["values"]["way"] == "mail"
    assert answers_posted(server) == 1
    first, second = actions.asked
    assert "not taken" not in (first.body or "")
    assert "**The answer was not taken:**" in (second.body or "")
    assert any(f"asked for again: {said}" in line for line in run.log)


def test_an_answer_that_the_service_refuses_is_asked_for_again_with_its_words(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, ANSWERED)
    words = {"body": '{"message": "No such way."}', "headers": {"Content-Type": "application/json"}}
    server.inject(Fault(action="status", status=422, **words, **POSTS))
    actions.person = lambda detail: actions.answer(detail, f1="mail")
    run = ask(server, mode, actions)
    assert run.value["values"]["way"] == "mail"
    assert [("No such way" in (shown.body or "")) for shown in actions.asked] == [False, True]


def test_an_answer_of_which_it_is_open_whether_it_arrived_is_not_posted_twice(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    server.inject(Fault(action="reset", taken=True, **POSTS))
    actions.person = lambda detail: actions.answer(detail, f1="mail")
    run = ask(server, mode, actions)
    assert run.value["values"]["way"] == "mail"
    assert answers_posted(server) == 1
    assert len(actions.asked) == 1


def test_an_answer_that_was_lost_fails_the_attempt_and_the_retry_asks_anew(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    server.inject(Fault(action="reset", **POSTS))
    actions.person = lambda detail: actions.answer(detail, f1="mail")
    first = ask(server, mode, actions)
    assert type(first.error) is FlowServiceError
    assert statuses(server) == ["UserInput"]
    attempt = Attempt(ti_id=actions.ti_id, store=first.attempt.store, try_number=2)
    second = ask(server, mode, actions, attempt=attempt)
    assert second.value["values"]["way"] == "mail"
    assert len(starts(server)) == 1


def test_several_forms_in_one_attempt_are_shown_one_after_the_other(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    result = {"kind": "output", "values": {"way": "{{ answers.f1 }}", "greeting": "{{ answers.g1 }}"}}
    panel_flow(server, FORM, WORK, SECOND, result)
    actions.person = lambda detail: actions.answer(detail, **{next(iter(detail.params)): "x"})
    run = ask(server, mode, actions)
    assert run.value["values"] == {"way": "x", "greeting": "x"}
    assert [shown.subject.partition(": ")[2] for shown in actions.asked] == ["Approval", "Greeting"]


def test_a_second_form_that_this_airflow_cannot_show_ends_in_a_clear_message(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, WORK, SECOND)
    actions.keeps_first = True
    actions.person = lambda detail: actions.answer(detail, f1="x")
    run = ask(server, mode, actions)
    assert type(run.error) is FlowUserInputRequiredError
    assert "The execution asks once more, for Greeting" in run.message
    assert "Airflow before 3.4 shows only the first form of a task instance." in run.message
    assert "Answer in the flow's own panel and clear the task with on_clear='resume'" in run.message
    assert run.attempt.xcoms["execution_url"] in run.message
    assert statuses(server) == ["UserInput"]
    assert cancels(server) == []


def test_the_same_form_is_shown_again_also_where_airflow_keeps_the_first_one(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, ANSWERED)
    actions.keeps_first = True
    actions.person = lambda detail: actions.answer(detail, f1="" if len(actions.asked) == 1 else "mail")
    run = ask(server, mode, actions)
    assert run.value["values"]["way"] == "mail"


@pytest.mark.parametrize("change", [{"answers": {"f1": "fax"}}, {"assignees": ["ada"]}])
def test_a_form_of_an_earlier_attempt_does_not_stand_for_one_that_shows_something_else(
    server: DevServer, actions: RequiredActions, change: dict[str, Any]
) -> None:
    panel_flow(server, FORM, ANSWERED)
    actions.keeps_first = True
    attempt = Attempt(ti_id=actions.ti_id)
    ask_and_leave(attempt)
    actions.person = lambda detail: actions.answer(detail, f1="x")
    later = Attempt(ti_id=actions.ti_id, store=attempt.store, try_number=2)
    run = ask(server, "deferrable", actions, attempt=later, **change)
    assert type(run.error) is FlowUserInputRequiredError
    assert "Airflow before 3.4 shows only the first form of a task instance" in run.message
    assert answers_posted(server) == 0


@pytest.mark.parametrize("cancel", [True, False])
def test_a_form_that_nobody_answers_in_time_is_given_up(
    server: DevServer, mode: Mode, actions: RequiredActions, *, cancel: bool
) -> None:
    panel_flow(server, FORM)
    run = ask(server, mode, actions, answer_timeout=0.2, cancel_on_timeout=cancel)
    assert type(run.error) is FlowUserInputRequiredError
    assert "Nobody has answered what the execution asks within answer_timeout, 0.2 seconds." in run.message
    assert "Clear the task to have it ask again" in run.message
    assert actions.asked[0].chosen_options == ["Not answered in time"]
    assert statuses(server) == ["Canceled" if cancel else "UserInput"]


def test_a_form_that_a_triggerer_has_closed_before_it_died_is_nobodys_answer(
    server: DevServer, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    trigger = ask_and_leave(Attempt(ti_id=actions.ti_id))
    # The flow has gone on, and asks the same once more.
    close_form(actions.ti_id, ELSEWHERE)
    event = first_event(trigger)
    assert event.get("reason") == "needs_person"


class OneChannel:
    """The way to Airflow that all triggers of a triggerer share, as it is on Airflow 3.1."""

    def __init__(self, actions: RequiredActions) -> None:
        self.actions = actions
        self.begun = self.answered = 0
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def send(self, msg: Any) -> Any:
        return async_to_sync(self._asend)(msg)

    async def _asend(self, msg: Any) -> Any:
        self.loops.add(asyncio.get_running_loop())
        self.begun += 1
        await asyncio.sleep(0.05)
        self.answered += 1
        return self.actions.send(msg)


def test_a_trigger_asks_airflow_on_its_own_event_loop_and_breaks_no_question_off(
    server: DevServer, actions: RequiredActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, FORM)
    trigger = ask_and_leave(Attempt(ti_id=actions.ti_id))
    channel = OneChannel(actions)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", channel)

    async def run() -> None:
        waiting = asyncio.ensure_future(anext(aiter(trigger.run())))
        while channel.begun < 2 or channel.begun == channel.answered:
            await asyncio.sleep(0.005)
        waiting.cancel()
        await asyncio.wait({waiting})
        await asyncio.sleep(0.2)
        assert channel.loops == {asyncio.get_running_loop()}

    asyncio.run(run())
    assert channel.answered == channel.begun


def test_who_answers_right_before_the_form_is_given_up_is_heard_and_the_run_is_not_cancelled(
    server: DevServer, actions: RequiredActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    trigger = ask_and_leave(Attempt(ti_id=actions.ti_id), answer_timeout=0.3)

    def answer_first(ti_id: str, why: str) -> None:
        actions.answer(actions.details[actions.ti_id], f1="mail")
        close_form(ti_id, why)

    monkeypatch.setattr(form_watch, "close_form", answer_first)
    assert first_event(trigger)["params_input"]["f1"] == "mail"
    assert cancels(server) == []


def test_an_answer_in_the_panel_right_before_the_end_of_the_time_counts(
    server: DevServer, mode: Mode, actions: RequiredActions, hook: SmartFlowsHook
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    actions.person = lambda _: hook.answer_form(server.executions()[-1]["id"], {"f1": "fax"})
    run = ask(server, mode, actions, answer_timeout=0.4, poll_interval=60)
    assert run.value["values"]["way"] == "fax"
    assert cancels(server) == []


def test_the_runs_own_deadline_holds_while_a_person_is_asked(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, FORM)
    run = ask(server, mode, actions, timeout=0.5)
    assert "The execution was not finished in time; its last status was UserInput." in run.message
    assert statuses(server) == ["Canceled"]


def test_a_form_that_cannot_be_looked_at_for_a_while_is_looked_at_again(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, ANSWERED)
    actions.broken = RuntimeError("the API server is away")
    actions.person = lambda detail: actions.answer(detail, f1="mail")
    run = ask(server, mode, actions)
    assert run.value["values"]["way"] == "mail"
    assert "Airflow's form could not be looked at; looking again: the API server is away" in run.log


def test_a_form_that_airflow_does_not_take_fails_the_attempt_with_an_error_that_names_the_run(
    server: DevServer, mode: Mode, actions: RequiredActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, FORM, ANSWERED)

    def away(*_: Any, **__: Any) -> bool:
        raise RuntimeError("the API server is away")

    monkeypatch.setattr(asking, "ask_person", away)
    run = ask(server, mode, actions)
    assert type(run.error) is FlowRecordError
    assert "Airflow has not taken the form to show: RuntimeError: the API server is away" in run.message
    assert run.execution_id in run.message
    assert statuses(server) == ["UserInput"]


def test_answers_are_what_the_form_begins_with_and_those_that_do_not_fit_are_left_out(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, ANSWERED)
    actions.person = actions.answer
    run = ask(server, mode, actions, answers={"Way of delivery": "mail", "f2": "7", "f3": "green"})
    assert run.value["values"] == {"way": "mail", "copies": 7, "colour": None}
    (shown,) = actions.asked
    assert {key: param["value"] for key, param in shown.params.items()} == {
        "f1": "mail",
        "f2": 7,
        "f3": None,
    }


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ada", [("ada", "ada")]),
        (["ada", {"id": "7", "name": "Bob"}], [("ada", "ada"), ("7", "Bob")]),
        ('["ada"]', [("ada", "ada")]),
        ({"id": "7"}, [("7", "7")]),
        (None, []),
    ],
)
def test_assignees_are_those_who_may_answer(
    server: DevServer, actions: RequiredActions, given: Any, meant: Any
) -> None:
    panel_flow(server, FORM, ANSWERED)
    actions.person = lambda detail: actions.answer(detail, f1="mail")
    ask(server, "sync", actions, assignees=given)
    assert [(user.id, user.name) for user in actions.asked[0].assigned_users] == meant


@pytest.mark.parametrize("given", ["", [""], [1], {"name": "Ada"}, "[1", "{}", [["ada"]]])
def test_assignees_that_are_no_users_are_refused_before_anything_is_started(
    server: DevServer, mode: Mode, actions: RequiredActions, given: Any
) -> None:
    panel_flow(server, FORM)
    run = ask(server, mode, actions, assignees=given)
    assert type(run.error) is FlowConfigurationError
    assert "it takes the id of a user, {'id', 'name'}, or a list of these." in run.message
    assert server.executions() == []


def test_a_form_that_airflow_cannot_show_is_left_to_the_panel(
    server: DevServer,
    mode: Mode,
    actions: RequiredActions,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    monkeypatch.setattr(airflow_form, "MAX_FORM_BYTES", 100)

    def answer_when_nobody_else_is_asked(execution_id: str) -> None:
        time.sleep(0.5)
        hook.answer_form(execution_id, {"f1": "fax"})

    run = ask(server, mode, actions, meanwhile=answer_when_nobody_else_is_asked)
    assert run.value["values"]["way"] == "fax"
    assert actions.asked == []
    assert any("Airflow cannot show the form of execution" in line for line in run.log)


def log_of_a_stale_answer(actions: RequiredActions) -> list[str]:
    """Resume a deferred task by the answer to a form that it has not shown, and return what it logs."""
    stale = {"chosen_options": ["Send"], "params_input": {"f1": "old"}, "timedout": False}
    attempt = Attempt(ti_id=actions.ti_id)
    operator = operator_for("deferrable", on_user_input="ask")
    with pytest.raises(TaskDeferred):
        operator.execute(attempt.context())
    with logged() as log, pytest.raises(TaskDeferred):
        operator.execute_complete(attempt.context(), stale)
    return log


def test_an_answer_to_the_form_of_an_earlier_attempt_is_not_sent_and_the_task_asks_for_itself(
    server: DevServer, actions: RequiredActions
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    log = log_of_a_stale_answer(actions)
    assert (
        "The answer that somebody has given in Airflow was not sent: its form was that of an earlier "
        "attempt, and the task asks for itself."
    ) in log
    assert answers_posted(server) == 0


def test_a_stale_forms_answer_is_not_sent_while_the_flow_asks_nobody(
    server: DevServer, actions: RequiredActions
) -> None:
    panel_flow(server, {**WORK, "duration": 60}, FORM, ANSWERED)
    log = log_of_a_stale_answer(actions)
    assert any("was not sent: its form was that of an earlier attempt" in line for line in log)
    assert answers_posted(server) == 0


def test_the_answer_to_an_earlier_form_is_not_sent_to_one_that_airflow_cannot_show(
    server: DevServer, actions: RequiredActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    attempt = Attempt(ti_id=actions.ti_id)
    ask_and_leave(attempt)
    monkeypatch.setattr(airflow_form, "MAX_FORM_BYTES", 100)
    ask_and_leave(attempt)
    stale = {"chosen_options": ["Send"], "params_input": {"f1": "old"}, "timedout": False}
    with logged() as log, pytest.raises(TaskDeferred):
        operator_for("deferrable", on_user_input="ask").execute_complete(attempt.context(), stale)
    assert any("The answer that somebody has given in Airflow was not sent" in line for line in log)
    assert answers_posted(server) == 0


def test_the_reason_for_asking_again_is_not_shown_above_another_form(
    server: DevServer,
    actions: RequiredActions,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panel_flow(server, FORM, SECOND, {"kind": "output", "values": {"greeting": "{{ answers.g1 }}"}})

    def answered_in_the_panel_meanwhile(form: Form, values: Any) -> Any:
        if form.title != "Approval":
            return read_answers(form, values)
        hook.answer_form(server.executions()[-1]["id"], {"f1": "fax"})
        raise AnswersDoNotFit("no such way")

    monkeypatch.setattr(asking, "read_answers", answered_in_the_panel_meanwhile)
    actions.person = lambda detail: actions.answer(detail, **{next(iter(detail.params)): "x"})
    run = ask(server, "deferrable", actions)
    assert run.value["values"] == {"greeting": "x"}
    assert [shown.subject.partition(": ")[2] for shown in actions.asked] == ["Approval", "Greeting"]
    assert all("not taken" not in (shown.body or "") for shown in actions.asked)


def test_a_task_that_is_killed_while_it_gives_an_answer_on_cancels_its_run_and_asks_nobody_again(
    server: DevServer, actions: RequiredActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel_flow(server, FORM, WORK, ANSWERED)
    attempt = Attempt(ti_id=actions.ti_id)
    ask_and_leave(attempt)
    answer = {"chosen_options": ["Send"], "params_input": {"f1": "mail"}, "timedout": False}
    operator = operator_for("deferrable", on_user_input="ask")

    def killed_before(form: Form, values: Any) -> Any:
        operator.on_kill()
        return read_answers(form, values)

    monkeypatch.setattr(asking, "read_answers", killed_before)
    with logged() as log, pytest.raises(FlowKilledError) as caught:
        operator.execute_complete(attempt.context(), answer)
    assert "The task was stopped before the execution was finished." in str(caught.value)
    assert not any("asked for again" in line for line in log)
    assert statuses(server) == ["Canceled"]
    assert len(actions.asked) == 1


# --- which flow ---


def choice(server: DevServer, mode: Mode, actions: RequiredActions, **arguments: Any) -> Outcome:
    return ask(server, mode, actions, flow=None, **arguments)


def test_a_person_selects_the_flow_and_it_is_started_in_place_of_the_execution_that_asked(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    wanted = panel_flow(server, WORK, {"kind": "output", "values": {"a": 1}})
    other = panel_flow(server, WORK, name="Other")
    actions.person = lambda detail: actions.answer(detail, flow=wanted.id)
    run = choice(server, mode, actions)
    assert run.value["flow"]["id"] == wanted.id
    assert statuses(server) == ["Canceled", "Success"]
    assert run.attempt.xcoms["execution_id"] == run.execution_id == run.value["execution_id"]
    (shown,) = actions.asked
    assert shown.subject == "Which flow is to be run?"
    schema = shown.params["flow"]["schema"]
    assert {wanted.id: "Letter", other.id: "Other"}.items() <= schema["values_display"].items()
    assert schema["enum"] == list(schema["values_display"])
    assert "Ada has selected the flow 'Letter'." in run.log


def test_the_selected_flow_gets_the_tasks_input(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    wanted = server.add_flow(name="Letter", steps=[{"kind": "output", "values": {"a": "{{ data.n }}"}}])
    actions.person = lambda detail: actions.answer(detail, flow=wanted.id)
    run = choice(server, mode, actions, data={"n": "7"}, root="r")
    assert server.input_of(run.execution_id) == server.input_of(server.executions()[0]["id"])


def test_a_flow_that_is_not_there_is_asked_for_again(
    server: DevServer, mode: Mode, actions: RequiredActions
) -> None:
    wanted = panel_flow(server, {"kind": "output", "values": {"a": 1}})
    actions.person = lambda detail: actions.answer(
        detail, flow="gone" if len(actions.asked) == 1 else wanted.id
    )
    run = choice(server, mode, actions)
    assert run.value["flow"]["id"] == wanted.id
    assert "no flow was selected" in (actions.asked[1].body or "")


def test_a_flow_that_is_selected_in_the_panel_is_gone_on_with(
    server: DevServer, mode: Mode, actions: RequiredActions, hook: SmartFlowsHook
) -> None:
    wanted = panel_flow(server, WORK, {"kind": "output", "values": {"a": 1}})
    actions.person = lambda _: hook.answer_form(server.executions()[-1]["id"], {"flow": wanted.id})
    run = choice(server, mode, actions)
    assert run.value["values"] == {"a": 1}
    assert len(starts(server)) == 1


def test_a_task_that_is_killed_between_the_cancel_and_the_start_of_the_selected_flow_starts_nothing(
    server: DevServer, actions: RequiredActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = panel_flow(server, {"kind": "output", "values": {"a": 1}})
    attempt = Attempt(ti_id=actions.ti_id)
    ask_and_leave(attempt, flow=None)
    answer = {"chosen_options": ["Send"], "params_input": {"flow": wanted.id}, "timedout": False}
    operator = operator_for("deferrable", on_user_input="ask", flow=None)
    settle = run_flow.cancel_and_settle

    def killed_after(*arguments: Any, **named: Any) -> Any:
        stopped = settle(*arguments, **named)
        operator.on_kill()
        return stopped

    monkeypatch.setattr(run_flow, "cancel_and_settle", killed_after)
    with pytest.raises(FlowKilledError):
        operator.execute_complete(attempt.context(), answer)
    assert statuses(server) == ["Canceled"]
    actions.person = lambda detail: actions.answer(detail, flow=wanted.id)
    monkeypatch.setattr(run_flow, "cancel_and_settle", settle)
    again = Attempt(ti_id=actions.ti_id, store=attempt.store, try_number=2)
    run = choice(server, "deferrable", actions, attempt=again)
    assert run.value["values"] == {"a": 1}
    assert statuses(server) == ["Canceled", "Canceled", "Success"]


# --- what is counted ---


def test_a_run_that_asks_twice_in_one_attempt_counts_as_one(
    server: DevServer, mode: Mode, actions: RequiredActions, sent: Sent
) -> None:
    panel_flow(server, WORK, FORM, WORK, ANSWERED)
    actions.person = lambda detail: actions.answer(detail, f1="" if len(actions.asked) == 1 else "mail")
    ask(server, mode, actions)
    assert len(actions.asked) == 2
    assert sent.counts() == {"runs.started": 1, "runs.ended.succeeded": 1}
    assert sent.named("smartflows.waits.open")[-1] == 0


@pytest.mark.parametrize("cancel", [True, False])
def test_a_run_that_nobody_answers_is_counted_once_for_what_becomes_of_it(
    server: DevServer, mode: Mode, actions: RequiredActions, sent: Sent, *, cancel: bool
) -> None:
    panel_flow(server, FORM)
    ask(server, mode, actions, answer_timeout=0.2, cancel_on_timeout=cancel)
    became = {"runs.cancelled.person_needed": 1} if cancel else {"runs.left.failed": 1}
    assert sent.counts() == {"runs.started": 1, **became}


def test_the_run_that_asks_which_flow_to_run_counts_as_cancelled_and_the_selected_one_as_another(
    server: DevServer, mode: Mode, actions: RequiredActions, sent: Sent
) -> None:
    wanted = panel_flow(server, WORK, {"kind": "output", "values": {"a": 1}})
    actions.person = lambda detail: actions.answer(detail, flow=wanted.id)
    choice(server, mode, actions)
    assert sent.counts() == {
        "runs.started": 2,
        "runs.cancelled.flow_selected": 1,
        "runs.ended.succeeded": 1,
    }


# --- the arguments ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"assignees": ["ada"]}, "t: assignees goes with on_user_input='ask'."),
        ({"answer_timeout": 60}, "t: answer_timeout goes with on_user_input='ask'."),
        (
            {"on_user_input": "ask", "answer_timeout": -1},
            "t: answer_timeout is -1; it takes a number of seconds above 0.",
        ),
    ],
)
def test_arguments_that_cannot_work_are_refused_at_parse_time(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SmartFlowsRunFlowOperator(task_id="t", flow="Letter", **arguments)
