"""What a task is resumed with: how a wait ended, or what a person answered.

Events are stored as plain text in Airflow's database, so they are small and hold no secrets. Invariant:
what does not have the known shape is refused, never guessed at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from smartflows_provider.wire.run import RunPhase

EndReason = Literal[
    "finished", "needs_person", "moved_on", "unanswered", "deadline", "unreachable", "refused", "denied",
    "misconfigured", "gone",
]  # fmt: skip
"""
``moved_on``: the run no longer shows the question that a person is being asked elsewhere, and goes on.
``unanswered``: nobody has answered in time.
"""
END_REASONS: frozenset[str] = frozenset(get_args(EndReason))

MAX_DETAIL = 1000
"""Characters of an explanation that travels in an event."""
EVENT_SCHEMA = 1
"""Version of the event that a trigger hands to the worker. New keys alone do not change it: triggerers are
upgraded before workers, which pass over what they do not know."""


@dataclass(frozen=True, kw_only=True)
class WaitEvent:
    """How a wait ended, as it travels from the triggerer to the worker."""

    reason: EndReason
    execution_id: str
    status: str | None = None
    phase: RunPhase | None = None
    """What that status means; None where none was seen, or where an older release has written the event."""
    detail: str = ""
    canceled: bool = False
    """Whether the service has been asked to cancel the run."""
    deadline: float | None = None
    """Epoch seconds of the run's deadline, so that a wait that goes on keeps it."""

    def as_dict(self) -> dict[str, Any]:
        """Return the event's payload: small, JSON only, no secrets."""
        return {
            "schema_version": EVENT_SCHEMA,
            "reason": self.reason,
            "execution_id": self.execution_id,
            "status": self.status,
            "phase": None if self.phase is None else self.phase.value,
            "detail": self.detail,
            "canceled": self.canceled,
            "deadline": self.deadline,
        }

    @classmethod
    def from_dict(cls, event: Mapping[str, Any] | None) -> WaitEvent:
        """
        Read an event's payload.

        :raises ValueError: if it is not of the known shape; the text says what is wrong.
        """
        if not isinstance(event, Mapping) or event.get("schema_version") != EVENT_SCHEMA:
            raise ValueError(f"the event is not one of schema version {EVENT_SCHEMA}")
        reason, execution_id = event.get("reason"), event.get("execution_id")
        if not isinstance(reason, str) or reason not in END_REASONS:
            raise ValueError(f"the event has the unknown reason {reason!r}")
        if not isinstance(execution_id, str) or not execution_id:
            raise ValueError("the event names no execution")
        status = event.get("status")
        return cls(
            reason=cast("EndReason", reason),
            execution_id=execution_id,
            status=status if isinstance(status, str) else None,
            phase=_phase(event.get("phase")),
            detail=str(event.get("detail") or ""),
            canceled=event.get("canceled") is True,
            deadline=_moment(event.get("deadline")),
        )


@dataclass(frozen=True, kw_only=True)
class FormAnswer:
    """What a person answered in Airflow's own form, as Airflow hands it to the task that it resumes."""

    chosen: tuple[str, ...]
    """The options that were chosen."""
    values: Mapping[str, Any]
    """By the names of the form's fields; not checked by Airflow."""
    by: str = ""
    """Who has answered; empty where that is not told."""
    timed_out: bool = False
    """Whether nobody answered, so that these are the form's defaults."""

    def as_dict(self) -> dict[str, Any]:
        """Return what Airflow itself resumes a task with."""
        return {
            "chosen_options": list(self.chosen),
            "params_input": dict(self.values),
            "responded_by_user": {"id": self.by, "name": self.by} if self.by else None,
            "timedout": self.timed_out,
        }


def start_on_worker(why: str) -> dict[str, Any]:
    """Return the event of a task that cannot be started in the triggerer; ``why`` holds no secrets."""
    return {"schema_version": EVENT_SCHEMA, "start_on_worker": why[:MAX_DETAIL]}


def why_start_on_worker(event: Any) -> str | None:
    """Return why a task is to be started on a worker, None where the event says something else."""
    why = event.get("start_on_worker") if isinstance(event, Mapping) else None
    return why if isinstance(why, str) else None


def read_resumption(event: Any) -> WaitEvent | FormAnswer:
    """
    Read what a task was resumed with.

    :raises ValueError: if it is of no known shape; the text says what is wrong.
    """
    if isinstance(event, Mapping) and "chosen_options" in event:
        return _form_answer(event)
    return WaitEvent.from_dict(event)


def _form_answer(event: Mapping[str, Any]) -> FormAnswer:
    chosen, values = event["chosen_options"], event.get("params_input")
    options = chosen if isinstance(chosen, list | tuple) else (None,)
    if not all(isinstance(option, str) for option in options) or not isinstance(values, Mapping):
        raise ValueError("the event is not the answer to a form, although it names chosen options")
    return FormAnswer(
        chosen=tuple(chosen),
        values=values,
        by=_name(event.get("responded_by_user")),
        timed_out=event.get("timedout") is True,
    )


def _name(user: Any) -> str:
    """Return what a user is called, empty for none."""
    named = (user.get("name") or user.get("id")) if isinstance(user, Mapping) else None
    return named if isinstance(named, str) else ""


def _phase(word: Any) -> RunPhase | None:
    """Return a phase, None for a word that a newer release may have written."""
    try:
        return RunPhase(word)
    except ValueError:
        return None


def _moment(deadline: Any) -> float | None:
    """Return epoch seconds, None for none."""
    if deadline is None:
        return None
    try:
        moment = float(deadline)
    except (TypeError, ValueError, OverflowError):
        moment = math.nan
    if not math.isfinite(moment):
        raise ValueError("the event's deadline is no time")
    return moment
