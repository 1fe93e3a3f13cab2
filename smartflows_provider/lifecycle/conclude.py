"""What the end of a wait means for the task: go on, or which error.

Shared by the operators and the sensor in both modes. Invariants: only Success, and Warning where the
author allows it, let a task succeed; "could not find out" never reads as "failed"; every error says what
became of the remote run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowEventError,
    FlowException,
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowExecutionInterruptedError,
    FlowExecutionWarningError,
    FlowKilledError,
    FlowPermissionError,
    FlowStateUnknownError,
    FlowTimeoutError,
    FlowUserInputRequiredError,
    RunIdentity,
)
from smartflows_provider.waiting.event import FormAnswer, WaitEvent, read_resumption
from smartflows_provider.wire.run import RunPhase

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.lifecycle.options import OnWarning

KEPT = "The execution was kept."
_LISTED = 100
"""Sentences of a flow that a message lists; one answer may hold a million."""


def read_event(event: Mapping[str, Any] | None, *, where: RunIdentity) -> WaitEvent | FormAnswer:
    """
    Read what the task was resumed with.

    :raises FlowEventError: if it is of no known shape; the remote run is kept.
    """
    try:
        return read_resumption(event)
    except ValueError as error:
        raise FlowEventError(
            f"The task was resumed, but {error}.",
            where=where,
            fate=KEPT,
            advice="Clear the task with on_clear='resume' to go on with the execution.",
        ) from None


def with_address(hook: FlowSystemHook, ended: WaitEvent) -> tuple[WaitEvent, str | None]:
    """
    Return how a wait ended, and where a person looks at the run.

    A connection that was removed or made unusable meanwhile ends the wait too: then there is no address.

    :param hook: the connection.
    :param ended: how the wait ended.
    """
    try:
        return ended, hook.execution_url(ended.execution_id)
    except FlowConfigurationError as error:
        unusable = replace(ended, reason="misconfigured", detail=str(error))
        return ended if ended.reason == "misconfigured" else unusable, None


def ends_well(phase: RunPhase, *, on_warning: OnWarning) -> bool:
    """Tell whether a stable status lets the task succeed."""
    return phase is RunPhase.SUCCEEDED or (phase is RunPhase.WARNED and on_warning == "succeed")


def error_of_ended_run(
    *,
    phase: RunPhase,
    status: str,
    where: RunIdentity,
    on_warning: OnWarning,
    errors: Sequence[str] = (),
    warnings: Sequence[str] = (),
    failing_block: str | None = None,
    own: bool = True,
) -> FlowException | None:
    """
    Return the error that a stable status means for the task, None for a success.

    :param phase: of the status.
    :param status: the service's word.
    :param where: which run it is.
    :param on_warning: whether warnings are a failure.
    :param errors: the flow's own errors.
    :param warnings: the flow's own warnings.
    :param failing_block: the flow's block that failed.
    :param own: whether the task has started the run; one that only looks has not.
    """
    if ends_well(phase, on_warning=on_warning):
        return None
    retry = "a retry starts a new execution." if own else "a retry looks again, and starts none."
    if phase is RunPhase.WARNED:
        return FlowExecutionWarningError(
            f"The execution ended in {status}, and on_warning='fail'.{_listed(warnings)}",
            where=where,
            fate="It is finished; its documents may exist.",
            advice="Mend what the flow warns of, or allow for it with on_warning='succeed'.",
        )
    if phase is RunPhase.FAILED:
        block = f" in block {failing_block!r}" if failing_block else ""
        return FlowExecutionFailedError(
            f"The execution ended in {status}{block}.{_listed(errors) or ' The flow gave no reason.'}",
            where=where,
            fate=where.hints.ended,
            advice=f"Mend what the flow names; {retry}",
        )
    if phase is RunPhase.CANCELED:
        return FlowExecutionCanceledError(
            f"The execution ended in {status}: somebody stopped it at the service.",
            where=where,
            fate="It is finished.",
            advice="Clear the task to run it again."
            if own
            else "The task only looks at it: give it the id of another one.",
        )
    if phase is RunPhase.INTERRUPTED:
        return FlowExecutionInterruptedError(
            f"The execution ended in {status}: the service stopped it, or it went on too long."
            f"{_listed(errors)}",
            where=where,
            fate="It is finished.",
            advice=_begin(retry),
        )
    return FlowStateUnknownError(
        f"The execution was taken for finished, but its status is {status}.",
        where=where,
        fate=KEPT,
        advice="A retry asks again.",
    )


def canceled_by_earlier_attempt(*, where: RunIdentity) -> FlowKilledError:
    """Return the error for a run of an earlier attempt that was cancelled, perhaps by that attempt itself."""
    return FlowKilledError(
        "The execution, which an earlier attempt has started, was cancelled: by that attempt, as it was "
        "being stopped, or by somebody at the service.",
        where=where,
        fate="It is finished.",
        advice="A retry starts a new execution.",
    )


def error_of_unfinished_wait(event: WaitEvent, *, where: RunIdentity, own: bool = True) -> FlowException:
    """
    Return the error for a wait that ended without an end of the run, but for its deadline or a person.

    :param event: how the wait ended.
    :param where: which run it is.
    :param own: whether the task has started the run; a sensor has not.
    """
    go_on = "clear the task with on_clear='resume', or see to the execution at the service" if own else (
        "clear the sensor"
    )  # fmt: skip
    clean_up = where.hints.clean_up
    if event.reason == "refused":
        return FlowAuthenticationError(
            f"The service refused the {where.hints.credential} during the wait: {event.detail}",
            where=where,
            fate=KEPT,
            advice=f"Put a valid {where.hints.credential} into the connection and {go_on}.",
        )
    if event.reason == "denied":
        return FlowPermissionError(
            f"The service denied the key's right during the wait: {event.detail}",
            where=where,
            fate=KEPT,
            advice="Have the right given back to the role of the key's user, or the licence mended, and then "
            f"{go_on}.",
        )
    if event.reason == "misconfigured":
        return FlowConfigurationError(
            f"The connection became unusable during the wait: {event.detail}",
            where=where,
            fate=KEPT,
            advice=f"Mend the connection and {go_on}.",
        )
    if event.reason == "gone" and own:
        advice = f"Look into {clean_up}; clear the task to start a new execution. {where.hints.gone}"
        return FlowExecutionGoneError(
            f"The execution disappeared during the wait: {event.detail}",
            where=where,
            fate=f"{_begin(clean_up)} may have purged it; how it ended is not known.",
            advice=advice.strip(),
        )
    if event.reason == "gone":
        return FlowExecutionGoneError(
            f"The service has no such execution: {event.detail}",
            where=where,
            fate=f"It never was, or {clean_up} have purged it; its end is not known.",
            advice=where.hints.not_found,
        )
    return FlowStateUnknownError(
        f"The execution's status could not be found out: {event.detail}",
        where=where,
        fate=f"{KEPT} Its last known status was {event.status or 'none'}.",
        advice="A retry attaches to it where Airflow keeps task state (3.3 and later)."
        if own
        else "A retry asks again.",
    )


def purged_error(status: str, detail: str, *, where: RunIdentity) -> FlowExecutionGoneError:
    """
    Return the error for a run that was removed between its end and the reading of its output.

    :param status: in which it has ended.
    :param detail: what the service answered.
    :param where: which run it is.
    """
    return FlowExecutionGoneError(
        f"The execution ended in {status}, but was gone when its output was to be read: {detail}.",
        where=where,
        fate=f"{_begin(where.hints.clean_up)} have purged it; what it had made may be gone with it.",
        advice="Let the clean-up settings keep executions for longer; clear the task to start a new one.",
    )


def timeout_error(*, where: RunIdentity, status: str | None, fate: str) -> FlowTimeoutError:
    """Return the error for a run that was not finished at its deadline."""
    return FlowTimeoutError(
        f"The execution was not finished in time; its last status was {status or 'not known'}.",
        where=where,
        fate=fate,
        advice="Raise timeout, or execution_timeout, if it needs longer; a retry has a new time limit.",
    )


def person_needed_error(*, where: RunIdentity, status: str, fate: str) -> FlowUserInputRequiredError:
    """Return the error for a run that needs a person where the task does not allow for one."""
    return FlowUserInputRequiredError(
        f"The execution is in {status} and needs a person, and on_user_input='fail'.",
        where=where,
        fate=fate,
        advice=where.hints.person,
    )


def unanswered_error(*, where: RunIdentity, seconds: float, fate: str) -> FlowUserInputRequiredError:
    """Return the error for a run whose question nobody has answered in time."""
    return FlowUserInputRequiredError(
        f"Nobody has answered what the execution asks within answer_timeout, {seconds:g} seconds.",
        where=where,
        fate=fate,
        advice="Clear the task to have it ask again; raise answer_timeout if people need longer.",
    )


def _begin(part: str) -> str:
    """Return a part of a sentence as its beginning."""
    return part[:1].upper() + part[1:]


def _listed(sentences: Sequence[str]) -> str:
    more = f"\n  - and {len(sentences) - _LISTED} more" if len(sentences) > _LISTED else ""
    return "".join(f"\n  - {sentence}" for sentence in sentences[:_LISTED]) + more
