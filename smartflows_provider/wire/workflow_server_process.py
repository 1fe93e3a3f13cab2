"""What a process instance of Workflow Server shows, and what that means to somebody who waits for it.

The server knows no result: an instance is finished when its scheme ends, and whether that is good stands in
the state or activity that it ended in. So a waiter brings terms that name the good and the bad ones.
Invariants: the decision is one pure function; a status that is not documented is never a success; terms are
plain JSON without secrets, and those of an older release can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, Literal

from smartflows_provider.option_words import check_word, check_words
from smartflows_provider.wire.answers import told
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.text import clean_text

_WORD_LENGTH = 100
_SET_STATE = "set_state:"
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


@dataclass(frozen=True, kw_only=True)
class ProcessTerms:
    """What one instance is watched and stopped by."""

    success_states: tuple[str, ...] = ()
    """States that mean success, reached or passed through at a look; with none, being finished does."""
    failure_states: tuple[str, ...] = ()
    """States that mean failure."""
    success_activities: tuple[str, ...] = ()
    """Activities that mean success, for schemes whose activities have no states."""
    wait_for: Literal["finalized", "idle"] = "finalized"
    """Whether an instance that waits for a command or a timer counts as done where no success is named."""
    on_kill: str = "none"
    """What stops it: ``none``, ``delete``, or ``set_state:`` with a state's name."""
    on_purged: Literal["succeed", "fail"] | None = None
    """
    What it means that an instance is there no more: its scheme may delete what has finished. None takes
    ``succeed``, but where deleting stops it: then one that is gone counts as stopped.
    """
    identity_id: str | None = None
    """In whose name a state is set to stop it."""
    impersonated_identity_id: str | None = None
    """For whom the former acts."""

    def __post_init__(self) -> None:
        check_words(self)
        check_on_kill(self.on_kill)
        if self.on_purged is not None:
            check_word("on_purged", self.on_purged, ("succeed", "fail"))
        if self.on_purged == "succeed" and self.on_kill == "delete":
            raise ValueError(
                "on_kill='delete' and on_purged='succeed' do not go together: an instance that was deleted "
                "looks like one that was purged; stop it with 'set_state:' and a state's name, or leave "
                "on_purged out"
            )
        for name in _NAMES:
            if not all(isinstance(entry, str) and entry for entry in _entries(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it takes a list of names")

    @property
    def names_success(self) -> bool:
        """Whether it is said which states or activities are a success."""
        return bool(self.success_states or self.success_activities)

    @property
    def gone_means(self) -> RunPhase | None:
        """What it means that an instance which was created is there no more; None for a failure."""
        if self.on_purged == "fail":
            return None
        return RunPhase.CANCELED if self.on_kill == "delete" else RunPhase.SUCCEEDED

    @property
    def stop_state(self) -> str | None:
        """The state that is set to stop an instance, None if that is not how it is stopped."""
        return self.on_kill.removeprefix(_SET_STATE) if self.on_kill.startswith(_SET_STATE) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the terms as JSON."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: list(value) if name in _NAMES else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> ProcessTerms:
        """
        Return the terms that a JSON object holds.

        :param mapping: keys that are missing take their defaults, and unknown ones are ignored, because
            another release may have written it.
        :raises ValueError: for a value that no release has written.
        """
        known = {entry.name for entry in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in mapping.items()
            if name in known
        }
        return cls(**values)


_NAMES = ("success_states", "failure_states", "success_activities")


def _entries(terms: ProcessTerms, name: str) -> tuple[Any, ...]:
    """Return a field with names; a text, whose letters would pass for names, becomes one that does not."""
    value = getattr(terms, name)
    return value if isinstance(value, tuple) else (None,)


def check_on_kill(value: Any) -> str:
    """
    Return what an option says about stopping an instance.

    :param value: ``none``, ``delete``, or ``set_state:`` with the name of a state behind it.
    :raises ValueError: for anything else; the message says what there is.
    """
    if isinstance(value, str):
        state = value.removeprefix(_SET_STATE) if value.startswith(_SET_STATE) else ""
        if state.strip() or value in {"none", "delete"}:
            return value
    raise ValueError(
        f"on_kill is {value!r}; it takes 'none', 'delete', or 'set_state:' with the name of a state, "
        "'set_state:Cancelled' say"
    )


def phase_of(process: Process, terms: ProcessTerms) -> RunPhase:
    """
    Return what an instance's status means to a waiter.

    A state that means failure counts first, then an end by an error; then states and activities that mean
    success, whatever else the instance still does; then the state that stops it. Only after those does it
    count whether it has finished: where successes are named and it has ended elsewhere, it has failed.

    :param process: as it stands.
    :param terms: what it is waited for.
    """
    state = process.state
    if state and state in terms.failure_states:
        return RunPhase.FAILED
    if process.status in _FAILED:
        return RunPhase.FAILED
    finished = process.status == InstanceStatus.FINALIZED
    if not finished and process.status not in _UNFINISHED:
        return RunPhase.UNKNOWN
    if (state and state in terms.success_states) or process.activity in terms.success_activities:
        return RunPhase.SUCCEEDED
    if state and state == terms.stop_state:
        return RunPhase.CANCELED
    if finished:
        return RunPhase.FAILED if terms.names_success else RunPhase.SUCCEEDED
    if process.status == InstanceStatus.IDLED and terms.wait_for == "idle" and not terms.names_success:
        return RunPhase.SUCCEEDED
    return RunPhase.ACTIVE


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
    wanted = ", ".join(map(repr, (*terms.success_states, *terms.success_activities)))
    return f"It has finished in {place}, and success was to be {wanted}"
