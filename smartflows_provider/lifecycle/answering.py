"""Answering an execution's forms with answers that are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smartflows_provider.exceptions import FlowUserInputRequiredError, RunIdentity
from smartflows_provider.waiting.holding import SHORTEST_NAMED
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.smart_flows import ExecutionStatus
from smartflows_provider.wire.smart_flows_answers import match_answers
from smartflows_provider.wire.smart_flows_forms import AnswersDoNotFit, read_form

if TYPE_CHECKING:
    from smartflows_provider.hooks.smart_flows import SmartFlowsHook

MAX_FORMS = 20
"""How many forms in a row are answered before that is taken for a circle."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came of answering."""

    forms: int
    """How many were answered; 0 where nothing was asked."""
    status: str
    """The execution's status after that, in the service's word."""
    phase: RunPhase
    """What that means."""


def answer_forms(
    hook: SmartFlowsHook, execution_id: str, *, answers: Mapping[str, Any], where: RunIdentity, log: Any
) -> Answered:
    """
    Answer the form that an execution shows, and those that follow at once, until it goes on.

    :param answers: ``{field key or title: value}``; each form takes those that belong to it.
    :param where: which run it is.
    :param log: the task's logger.
    :returns: how many forms were answered, and the status after that.
    :raises FlowUserInputRequiredError: if the answers do not fit the form; the execution waits on.
    """

    def refusal(what: str) -> FlowUserInputRequiredError:
        return FlowUserInputRequiredError(
            what,
            where=where,
            fate="The execution waits on for a person.",
            advice="Mend answers and clear the task with on_clear='resume', or answer in the panel.",
        )

    snapshot = hook.get_progress(execution_id, hold_seconds=SHORTEST_NAMED)
    for forms in range(MAX_FORMS):
        if snapshot.phase is not RunPhase.NEEDS_PERSON:
            return Answered(forms=forms, status=snapshot.status, phase=snapshot.phase)
        if snapshot.status == ExecutionStatus.SELECT_FLOW:
            raise refusal("The execution asks which flow to run, which answers cannot tell; set flow.")
        form = read_form(snapshot.form)
        try:
            values = match_answers(form, answers)
        except AnswersDoNotFit as error:
            raise refusal(f"The form cannot be answered: {error}.") from None
        titles = ", ".join(repr(field.title) for field in form.fields) or "no fields"
        log.info("Answering the form of execution %s: %s.", execution_id, titles)
        snapshot = hook.answer_form(execution_id, values)
    raise refusal(f"The execution still asks after {MAX_FORMS} answered forms.")
