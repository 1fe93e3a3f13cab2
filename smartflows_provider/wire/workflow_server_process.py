"""What a process instance of Workflow Server shows, and what that means to somebody who waits for it.

The server knows no result: an instance is finished when its scheme ends, and whether that is good stands in
the state or activity that it ended in. So a waiter brings terms that name the good and the bad ones.
Invariants: the decision is one pure function; a status that is not documented is never a success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from smartflows_provider.wire.answers import told
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.text import clean_text
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

_WORD_LENGTH = 100
PURGED = "Purged"
"""Shown for an instance that was created and is there no more."""
DELETED = "Deleted"
"""Shown for an instance that is there no more where deleting stops it."""


class InstanceStatus(IntEnum):
    """The ``InstanceStatus`` of an instance, as the vendor documents it."""

    INITIALIZED = 0
    RUNNING = 1
    IDLED = 2
    """Waits for a command or a timer: at rest, not finished."""
    FINALIZED = 3
    """Finished."""
    TERMINATED = 4
    """Ended with an error."""
    ERROR = 5
    """Failed; somebody can revive it."""
    UNKNOWN = 254
    NOT_FOUND = 255

    @property
    def word(self) -> str:
        """The status for people."""
        return _WORDS.get(self, self.name.capitalize())


_WORDS: Mapping[int, str] = {InstanceStatus.NOT_FOUND: "NotFound"}
_FAILED = frozenset({InstanceStatus.TERMINATED, InstanceStatus.ERROR})
_UNFINISHED = frozenset({InstanceStatus.INITIALIZED, InstanceStatus.RUNNING, InstanceStatus.IDLED})


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process instance, as ``getinstanceinfo`` shows it."""

    id: str
    status: int
    """An :class:`InstanceStatus` where it is a documented one."""
    state: str = ""
    """Name of the state it is in; empty where the activity has none."""
    activity: str = ""
    """Name of the activity it is in."""
    scheme_code: str = ""
    scheme_id: str = ""
    parent_id: str = ""
    root_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Values of its process parameters, by name."""
    transitions: tuple[Mapping[str, Any], ...] = ()
    """The way it went, in the server's own keys."""
    history: tuple[Any, ...] = ()
    """What the server tells of earlier steps, as it tells it."""
    raw: Mapping[str, Any]
    """The whole object."""

    @property
    def shown_status(self) -> str:
        """The status for people: its word, and the state in brackets if there is one."""
        try:
            word = InstanceStatus(self.status).word
        except ValueError:
            word = f"InstanceStatus {self.status}"[:_WORD_LENGTH]
        return f"{word} ({clean_text(self.state)[:_WORD_LENGTH]})" if self.state else word


def read_process(raw: Any, *, process_id: str) -> Process | None:
    """
    Return the instance that an object of the server shows; None where it shows none.

    :param raw: as the server answers it.
    :param process_id: that it was asked for by.
    """
    status = raw.get("InstanceStatus") if isinstance(raw, Mapping) else None
    if not isinstance(raw, Mapping) or not isinstance(status, int) or isinstance(status, bool):
        return None
    parameters, transitions, history = (
        raw.get(key) for key in ("ProcessParameters", "Transitions", "History")
    )
    ways = transitions if isinstance(transitions, list) else []
    return Process(
        id=process_id,
        status=status,
        state=_name(raw, "StateName"),
        activity=_name(raw, "ActivityName"),
        scheme_code=told(raw, "SchemeCode"),
        scheme_id=told(raw, "SchemeId"),
        parent_id=told(raw, "ParentProcessId"),
        root_id=told(raw, "RootProcessId"),
        parameters=parameters if isinstance(parameters, Mapping) else {},
        transitions=tuple(way for way in ways if isinstance(way, Mapping)),
        history=tuple(history) if isinstance(history, list) else (),
        raw=raw,
    )


def _name(raw: Mapping[str, Any], key: str) -> str:
    """Return a name that decides; what is no text is none, so that nothing is taken for one."""
    value = raw.get(key)
    return clean_text(value) if isinstance(value, str) else ""


def phase_of(process: Process, terms: ProcessTerms) -> RunPhase:
    """
    Return what an instance's status means to a waiter.

    A state that means failure counts first, then an end by an error; then a status that is not documented,
    which is none to go by; then states and activities that mean success, whatever else the instance still
    does, and then the state that stops it. An instance that stands in none of them may have come through some
    between two looks: the last of those decides, a success at once, the others once it has finished. Only
    then does it count whether it has finished: where successes are named, it has failed.

    :param process: as it stands.
    :param terms: what it is waited for.
    """
    here = _meaning(process.state, process.activity, terms)
    if here is RunPhase.FAILED or process.status in _FAILED:
        return RunPhase.FAILED
    finished = process.status == InstanceStatus.FINALIZED
    if not finished and process.status not in _UNFINISHED:
        return RunPhase.UNKNOWN
    if here is not None:
        return here
    passed = _passed(process, terms)
    if passed is not None and (finished or passed is RunPhase.SUCCEEDED):
        return passed
    if finished:
        return RunPhase.FAILED if terms.names_success else RunPhase.SUCCEEDED
    if process.status == InstanceStatus.IDLED and terms.wait_for == "idle":
        return RunPhase.SUCCEEDED
    return RunPhase.ACTIVE


def _meaning(state: str, activity: str, terms: ProcessTerms) -> RunPhase | None:
    """Return what it means to be in a state and an activity; None if nothing in particular."""
    if state and state in terms.failure_states:
        return RunPhase.FAILED
    if (state and state in terms.success_states) or activity in terms.success_activities:
        return RunPhase.SUCCEEDED
    return RunPhase.CANCELED if state and state == terms.stop_state else None


def _passed(process: Process, terms: ProcessTerms) -> RunPhase | None:
    """Return what the last place meant that an instance has come through and that means something."""
    if not terms.passed_states_count:
        return None
    ways = _in_order(process.transitions)
    for way in reversed(ways):
        meaning = _meaning(_name(way, "ToStateName"), _name(way, "ToActivityName"), terms)
        if meaning is not None:
            return meaning
    if not ways:
        return None
    return _meaning(_name(ways[0], "FromStateName"), _name(ways[0], "FromActivityName"), terms)


def _in_order(ways: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return transitions, the earliest first; as the server lists them where it does not tell their times."""
    try:
        return sorted(ways, key=lambda way: datetime.fromisoformat(way["TransitionTime"]))
    except (KeyError, TypeError, ValueError):
        return ways


def why_failed(process: Process, terms: ProcessTerms) -> str:
    """Return why an instance counts as failed, in a sentence; empty where it does not."""
    if phase_of(process, terms) is not RunPhase.FAILED:
        return ""
    if process.state and process.state in terms.failure_states:
        return f"It is in the state {process.state!r}, which is one of failure_states"
    if process.status == InstanceStatus.TERMINATED:
        return "The server has ended it because of an error; the server's log tells more"
    if process.status == InstanceStatus.ERROR:
        return "An error has stopped it; the server's log tells more, and it can be revived there"
    place = f"the state {process.state!r}" if process.state else f"the activity {process.activity!r}"
    if _passed(process, terms) is RunPhase.FAILED:
        listed = ", ".join(map(repr, terms.failure_states))
        return f"It has finished in {place}, and came through one of failure_states: {listed}"
    wanted = ", ".join(map(repr, (*terms.success_states, *terms.success_activities)))
    return f"It has finished in {place}, and success was to be {wanted}"
