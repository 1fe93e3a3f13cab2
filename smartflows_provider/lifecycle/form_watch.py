"""Waits for whichever comes first: an answer to Airflow's form, or the run going on without one.

Runs in the triggerer, so that nobody holds a worker while a person thinks. Airflow from 3.3 on resumes the
task by itself where its form is answered; before that, and where somebody was quicker than the deferral, the
form is looked at here. Invariants: an answer that was given in the flow's own panel is noticed, and closes
Airflow's form; at the end of the time to answer the run is looked at once more, and a form that was answered
by then counts; a form that cannot be looked at ends no wait; one that was closed is nobody's answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from smartflows_provider.lifecycle.own_threads import asking_aside
from smartflows_provider.lifecycle.required_action import (
    CLOSED,
    ELSEWHERE,
    TOO_LATE,
    close_form,
    given_answer,
)
from smartflows_provider.version_compat import AIRFLOW_V_3_3_PLUS
from smartflows_provider.waiting.event import FormAnswer
from smartflows_provider.waiting.wait import End, WaitPolicy

if TYPE_CHECKING:
    from smartflows_provider.lifecycle.poller import StatusPoller


LOOK_INTERVAL = 60.0 if AIRFLOW_V_3_3_PLUS else 5.0
"""Seconds between two looks at Airflow's form."""


@dataclass(frozen=True, kw_only=True)
class OpenForm:
    """A question that a person is being asked, as it travels in a trigger's row: small, no secrets."""

    question: str
    """Which question of the run it is, see :attr:`smartflows_provider.wire.run.RunSnapshot.question`."""
    ti_id: str | None = None
    """The task instance for which Airflow shows a form; None where it is asked in the flow's panel alone."""
    until: float | None = None
    """Epoch seconds until which an answer is waited for; None for as long as the run may take."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row's value."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any] | None) -> OpenForm | None:
        """Read a row's value; None where there is no form."""
        return None if row is None else cls(**row)


async def answer_or_end(
    poller: StatusPoller,
    policy: WaitPolicy,
    *,
    execution_id: str,
    form: OpenForm,
    log: Any,
    clock: Callable[[], float] = time.time,
) -> FormAnswer | End:
    """
    Wait for an answer to a form, or for an end of the wait for the run without one.

    :param poller: of the run's connection.
    :param policy: of the wait for the run.
    :param execution_id: the run.
    :param form: what a person is being asked.
    :param log: the trigger's logger.
    :param clock: gives epoch seconds.
    :returns: the answer; else how the wait ended, ``unanswered`` where nobody has answered in time.
    """
    asked = replace(policy, asked=form.question)
    waiting = asyncio.ensure_future(poller.wait_for(asked, execution_id=execution_id, log=log))
    answering = asyncio.ensure_future(_answer(form, log=log, clock=clock))
    try:
        await asyncio.wait({waiting, answering}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            end = waiting.result()
        else:
            answer = answering.result()
            if answer is not None and not _is_closed(answer):
                return answer
            waiting.cancel()
            if answer is not None and (form.until is None or clock() < form.until):
                # A triggerer that is no more has closed it: what the run asks now is another question.
                return await poller.wait_for(policy, execution_id=execution_id, log=log)
            end = await poller.wait_for(
                replace(asked, deadline=min(policy.deadline, clock())), execution_id=execution_id, log=log
            )
            if end.reason == "deadline" and clock() < policy.deadline:
                end = replace(end, reason="unanswered")
    finally:
        waiting.cancel()
        answering.cancel()
        await asyncio.gather(waiting, answering, return_exceptions=True)
    if end.reason in {"moved_on", "needs_person", "finished"}:
        log.info("Execution %s no longer asks: it was answered in its own panel, or has ended.", execution_id)
        await _close(form, ELSEWHERE, log=log)
    elif end.reason in {"unanswered", "deadline"}:
        # Before the run is stopped: nobody is to answer what is over, and who was quicker is heard.
        answer = await _close(form, TOO_LATE, log=log)
        if answer is not None and end.reason == "unanswered":
            return answer
    if end.reason == "moved_on":
        return await poller.wait_for(policy, execution_id=execution_id, log=log)
    return end


async def _answer(form: OpenForm, *, log: Any, clock: Callable[[], float]) -> FormAnswer | None:
    """Return the answer to a form once there is one; None when the time for it is over."""
    told = False
    while True:
        if form.ti_id is not None:
            try:
                answer = await asking_aside(partial(given_answer, form.ti_id))
            except Exception as error:  # noqa: BLE001 - what keeps Airflow from answering may be anything
                if not told:
                    log.warning("Airflow's form could not be looked at; looking again: %s", error)
                told = True
            else:
                if answer is not None:
                    return answer
        left = None if form.until is None else form.until - clock()
        if left is not None and left <= 0:
            return None
        await asyncio.sleep(LOOK_INTERVAL if left is None else min(LOOK_INTERVAL, left))


async def _close(form: OpenForm, why: str, *, log: Any) -> FormAnswer | None:
    """Have Airflow ask no longer; return the answer of a person who was quicker."""
    if form.ti_id is None:
        return None
    try:
        await asking_aside(partial(close_form, form.ti_id, why))
    except Exception as error:  # noqa: BLE001 - the wait goes on, and an answer that comes is checked
        log.info("Airflow's form could not be closed: %s", error)
        with suppress(Exception):
            answer = await asking_aside(partial(given_answer, form.ti_id))
            return None if answer is None or _is_closed(answer) else answer
    return None


def _is_closed(answer: FormAnswer) -> bool:
    return not CLOSED.isdisjoint(answer.chosen)
