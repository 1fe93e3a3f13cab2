"""Asking a person in Airflow what a flow asks, and giving the answer to the flow.

What a worker does around the wait for a person: a form is shown before it, the answer is checked and posted
after it. Invariants: an answer is posted once, to the very question that was shown, and only while the
execution still shows it; one that does not fit, or that the service refuses, is asked for again; what
Airflow cannot show is left to the flow's own panel, and said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smartflows_provider.exceptions import (
    FlowRecordError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowUserInputRequiredError,
    RunIdentity,
)
from smartflows_provider.lifecycle.airflow_form import (
    FLOW_KEY,
    FormNotForAirflow,
    flow_choice_for_airflow,
    form_for_airflow,
)
from smartflows_provider.lifecycle.form_watch import OpenForm
from smartflows_provider.lifecycle.required_action import ask_person
from smartflows_provider.waiting.holding import SHORTEST_NAMED
from smartflows_provider.wire.smart_flows import ExecutionStatus
from smartflows_provider.wire.smart_flows_answers import read_answers
from smartflows_provider.wire.smart_flows_forms import AnswersDoNotFit, find_answers, read_form

if TYPE_CHECKING:
    from smartflows_provider.hooks.smart_flows import SmartFlowsHook
    from smartflows_provider.lifecycle.airflow_form import AirflowForm
    from smartflows_provider.waiting.event import FormAnswer
    from smartflows_provider.wire.run import RunSnapshot

SETTLE_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between looks for a question to go away after its answer, so that it is not asked twice."""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """
    Asks about one execution.

    :param hook: the connection.
    :param execution_id: the execution.
    :param where: which run messages name.
    :param log: the task's logger.
    :param sleep: pauses for seconds; raises if the task was told to stop.
    """

    hook: SmartFlowsHook
    execution_id: str
    where: RunIdentity
    log: Any
    sleep: Callable[[float], None] = time.sleep

    def look(self) -> RunSnapshot:
        """Return what the execution shows now."""
        return self.hook.get_progress(self.execution_id, hold_seconds=SHORTEST_NAMED)

    def ask(
        self,
        snapshot: RunSnapshot,
        *,
        ti_id: Any,
        assignees: Sequence[Mapping[str, str]],
        answers: Mapping[str, Any],
        seconds: float | None,
        problem: str = "",
    ) -> OpenForm:
        """
        Have Airflow show what an execution asks.

        :param snapshot: of the execution.
        :param ti_id: the task instance.
        :param assignees: who may answer; empty for all.
        :param answers: ``{field key or title: value}`` to begin with.
        :param seconds: for which an answer is waited for; None for no limit.
        :param problem: why an answer that was given before was not taken.
        :returns: what is asked, for the wait.
        :raises FlowUserInputRequiredError: if this Airflow shows an earlier form of the task instance and
            cannot show another; the execution waits on.
        :raises FlowRecordError: if Airflow does not take the form; a retry asks again.
        """
        until = None if seconds is None else time.time() + seconds
        try:
            form = self._form(snapshot, answers=answers, problem=problem)
        except FormNotForAirflow as error:
            self.log.warning(
                "Airflow cannot show the form of execution %s: %s. It is to be answered in the flow's own "
                "panel: %s",
                self.execution_id,
                error,
                self.where.url,
            )
            return OpenForm(question=snapshot.question, until=until)
        try:
            is_shown = ask_person(ti_id, form, assignees=assignees)
        except Exception as error:
            raise FlowRecordError(
                f"Airflow has not taken the form to show: {type(error).__name__}: {error}",
                where=self.where,
                fate="The execution waits on for a person.",
                advice="A retry asks again where Airflow keeps task state (3.3 and later); or answer in the "
                "flow's own panel.",
            ) from error
        if not is_shown:
            raise FlowUserInputRequiredError(
                f"The execution asks once more, for {snapshot.asks or 'input'}, and Airflow before 3.4 shows "
                "only the first form of a task instance.",
                where=self.where,
                fate="The execution waits on for a person.",
                advice="Answer in the flow's own panel and clear the task with on_clear='resume', or upgrade "
                "Airflow to 3.4.",
            )
        self.log.info(
            "Execution %s asks a person, in Airflow under Required Actions%s: %s.",
            self.execution_id,
            f" ({', '.join(user['name'] for user in assignees)})" if assignees else "",
            form.subject,
        )
        return OpenForm(question=snapshot.question, ti_id=str(ti_id), until=until)

    def _form(self, snapshot: RunSnapshot, *, answers: Mapping[str, Any], problem: str) -> AirflowForm:
        url = self.where.url or ""
        if snapshot.status == ExecutionStatus.SELECT_FLOW:
            return flow_choice_for_airflow(self.hook.list_flows(), url=url, problem=problem)
        form = read_form(snapshot.form)
        try:
            known = find_answers(form, answers)
        except AnswersDoNotFit as error:
            self.log.warning("The given answers are left out: %s.", error)
            known = {}
        return form_for_airflow(form, flow=repr(self.where.flow), url=url, answers=known, problem=problem)

    def take(self, answer: FormAnswer, *, question: str) -> RunSnapshot | FlowChoice | Refused:
        """
        Give an answer to the execution.

        :param answer: what a person has filled in.
        :param question: the one that was shown for it, empty where this attempt has shown none.
        :returns: what the execution shows after that, the flow that was selected, or why the answer was not
            taken.
        :raises FlowServiceError: if it is open whether the answer has arrived; a retry asks anew.
        """
        snapshot = self.look()
        if not question or snapshot.question != question:
            self.log.warning(
                "The answer that %s has given in Airflow was not sent: %s.",
                answer.by or "somebody",
                f"execution {self.execution_id} no longer asks for it, it was answered in its own panel"
                if question
                else "its form was that of an earlier attempt, and the task asks for itself",
            )
            return snapshot
        if snapshot.status == ExecutionStatus.SELECT_FLOW:
            return self._choice(answer)
        form = read_form(snapshot.form)
        try:
            values = read_answers(form, answer.values)
            posted = self.hook.answer_form(self.execution_id, values)
        except AnswersDoNotFit as error:
            return Refused(why=f"{error}.")
        except FlowRequestRefusedError as error:
            return Refused(why=error.what)
        except FlowServiceError:
            # The answer may have arrived, although nobody has said so.
            posted = self._settled(self.look(), question)
            if posted.question == question:
                raise
        self.log.info(
            "%s has answered the form of execution %s: %s.",
            answer.by or "Somebody",
            self.execution_id,
            ", ".join(repr(one.title) for one in form.fields) or "no fields",
        )
        return self._settled(posted, question)

    def _choice(self, answer: FormAnswer) -> FlowChoice | Refused:
        flow = answer.values.get(FLOW_KEY)
        found = [one for one in self.hook.list_flows() if one.id == flow]
        if not found:
            return Refused(why="no flow was selected.")
        self.log.info("%s has selected the flow %r.", answer.by or "Somebody", found[0].name or found[0].id)
        return FlowChoice(flow_id=found[0].id)

    def _settled(self, snapshot: RunSnapshot, question: str) -> RunSnapshot:
        """Return what the execution shows once it no longer shows a question that was answered."""
        for pause in SETTLE_PAUSES:
            if snapshot.question != question:
                break
            self.sleep(pause)
            snapshot = self.look()
        return snapshot


@dataclass(frozen=True, kw_only=True)
class FlowChoice:
    """A person has selected a flow."""

    flow_id: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An answer was not taken."""

    why: str
    """A sentence for the person who is asked again."""
