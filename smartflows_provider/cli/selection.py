"""Which executions are meant: by status, flow, creator and age.

The service is asked for as little as is safe, and every criterion is applied here again, because how its
filters compare is not documented. Invariants: what the service is asked leaves out only statuses that are
known to be unwanted; an execution is never left out for something the service does not tell without being
counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smartflows_provider.wire.answers import read_moment
from smartflows_provider.wire.run import Execution
from smartflows_provider.wire.smart_flows import Condition, ExecutionStatus, all_of, phase_of


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a person has asked for."""

    flow: str | None = None
    """Id or name."""
    statuses: frozenset[str] = frozenset()
    """Documented words; none means every status that can still change."""
    older_than: float | None = None
    """Seconds since the creation, at least."""
    newer_than: float | None = None
    """Seconds since the creation, at most."""
    everyone: bool = False
    """Whether executions count that another user has created."""
    ended: bool = False
    """Whether executions count that are over; ``statuses`` says it more closely."""

    def takes(self, status: str) -> bool:
        """Return whether a status word is wanted."""
        if self.statuses:
            return status in self.statuses
        return self.ended or not phase_of(status).is_stable


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What was found."""

    executions: tuple[Execution, ...] = ()
    """Oldest first; those without a time of creation come before all others."""
    unclaimed: int = 0
    """How many were left out because the service does not tell whether the key's user has created them."""
    undated: int = 0
    """How many were left out because the service does not tell how old they are."""


def unwanted_statuses(selection: Selection) -> Mapping[str, Any] | None:
    """Return the filter node that leaves out what cannot be wanted; None if everything can be."""
    unwanted = [
        Condition(key="status", operator="notEqualTo", values=[status])
        for status in ExecutionStatus
        if phase_of(status).is_stable and not selection.takes(status)
    ]
    return all_of(*unwanted) if unwanted else None


def select(
    found: Iterable[Execution], selection: Selection, *, flow_id: str | None, user_id: str, now: float
) -> Selected:
    """
    Pick the executions that are meant.

    :param flow_id: of the selection's flow, None for all flows.
    :param user_id: of the key's user; empty if the service does not tell.
    :param now: epoch seconds.
    """
    kept: list[Execution] = []
    unclaimed = undated = 0
    for execution in found:
        if not selection.takes(execution.status):
            continue
        if flow_id is not None and execution.flow.id.casefold() != flow_id.casefold():
            continue
        claimed = _is_claimed(execution, selection, user_id)
        aged = _is_in_span(age_of(execution, now=now), selection)
        if claimed is False or aged is False:
            continue
        if claimed is None:
            unclaimed += 1
        elif aged is None:
            undated += 1
        else:
            kept.append(execution)
    kept.sort(key=lambda one: (read_moment(one.created_at) or 0.0, one.id))
    return Selected(executions=tuple(kept), unclaimed=unclaimed, undated=undated)


def age_of(execution: Execution, *, now: float) -> float | None:
    """Return how many seconds ago an execution was created; None if the service does not tell."""
    created = read_moment(execution.created_at)
    return None if created is None else max(0.0, now - created)


def is_too_old(execution: Execution, *, selection: Selection, now: float) -> bool:
    """Return whether neither this execution nor any older one is meant."""
    age = age_of(execution, now=now)
    return age is not None and selection.newer_than is not None and age > selection.newer_than


def _is_claimed(execution: Execution, selection: Selection, user_id: str) -> bool | None:
    """Return whether the creator is wanted; None if the service does not tell."""
    if selection.everyone:
        return True
    if execution.created_by is None or not user_id:
        return None
    return execution.created_by.id == user_id


def _is_in_span(age: float | None, selection: Selection) -> bool | None:
    """Return whether the age is wanted; None if the service does not tell and it matters."""
    older, newer = selection.older_than, selection.newer_than
    if older is None and newer is None:
        return True
    if age is None:
        return None
    return (older is None or age >= older) and (newer is None or age <= newer)
