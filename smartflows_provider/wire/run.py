"""The words that all flow systems share for the state of one remote run.

Each system's module maps its own status words to a :class:`RunPhase`; everything above decides by the
phase and shows people the system's own word. Invariant: a word that nobody documented becomes
``RunPhase.UNKNOWN``, never a success.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

Terms: TypeAlias = Mapping[str, Any]
"""On what terms one run is watched and stopped, as its system reads them: small, JSON, no secrets. They
travel in a trigger's row, so a system also reads those that an earlier version of it has written."""
NO_TERMS: Final[Terms] = MappingProxyType({})
"""For systems whose statuses mean the same for every run."""


class RunPhase(StrEnum):
    """What a remote run's status means to somebody who waits for it."""

    ACTIVE = "active"
    """Queued, busy, or waiting for an external event: ask again."""
    NEEDS_PERSON = "needs_person"
    """Stands still until a person answers."""
    SUCCEEDED = "succeeded"
    """Finished well. Stable."""
    WARNED = "warned"
    """Finished, with warnings; outputs may be complete. Stable."""
    FAILED = "failed"
    """Ended by an error of the flow itself. Stable."""
    CANCELED = "canceled"
    """Stopped on request. Stable."""
    INTERRUPTED = "interrupted"
    """Stopped by an event outside the flow. Stable; a new run may succeed."""
    UNKNOWN = "unknown"
    """A word this package does not know. Kept waiting for, and reported."""

    @property
    def is_stable(self) -> bool:
        """Whether the status can no longer change."""
        return self in _STABLE


_STABLE = frozenset(
    {RunPhase.SUCCEEDED, RunPhase.WARNED, RunPhase.FAILED, RunPhase.CANCELED, RunPhase.INTERRUPTED}
)


@dataclass(frozen=True, kw_only=True)
class RunSnapshot:
    """What one look at a remote run showed."""

    execution_id: str
    """The service's id of the run."""
    status: str
    """The service's own word, in its documented spelling where it is a known one."""
    phase: RunPhase
    """What the word means to a waiter."""
    percentage: int | None = None
    """0 to 100, None where the service gave none."""
    message: str = ""
    """What the run is doing at the moment, in the service's words."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """``schema``, ``form`` and ``model`` of the question to a person; empty if there is none."""
    asks: str = ""
    """What a person is asked, in a few words; empty where nothing is asked, or the service gave none."""
    gone: bool = False
    """Whether the service no longer has the run, so that its status is inferred from that."""
    hold_refused: bool = False
    """True where the service rejected the request to hold its answer, so that it is not asked again."""

    @property
    def question(self) -> str:
        """Tells one question to a person from another: a fingerprint; empty where nothing is asked."""
        if self.phase is not RunPhase.NEEDS_PERSON:
            return ""
        try:
            text = json.dumps([self.status, self.form], sort_keys=True)
        except (RecursionError, TypeError, ValueError):
            text = f"{self.status} {self.asks}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The service's way to point at something: ``{id, displayName}``."""

    id: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One flow execution as ``GET /flows/executions/{id}`` and the lists show it."""

    id: str
    status: str
    """Documented spelling where known."""
    phase: RunPhase
    flow: Reference
    created_at: str = ""
    """ISO 8601, UTC, milliseconds; empty if the service gave none."""
    modified_at: str = ""
    created_by: Reference | None = None
    raw: Mapping[str, Any]
    """The whole object, with ``state`` or ``outputs`` where the call brings them."""
