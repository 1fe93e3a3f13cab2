"""What an instance of Workflow Server is watched and stopped by, as one value.

The server knows no result and no cancelling, so whoever waits names the states that are good or bad, and
says what stops an instance. Operators and sensors check these words at every DAG parse, so nothing is
imported here that they would not load anyway. Invariant: terms are plain JSON without secrets, and those that
an older release has written can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from smartflows_provider.option_words import check_word, check_words

_SET_STATE = "set_state:"


@dataclass(frozen=True, kw_only=True)
class ProcessTerms:
    """What one instance is watched and stopped by."""

    success_states: tuple[str, ...] = ()
    """States that mean success; with none, being finished does."""
    failure_states: tuple[str, ...] = ()
    """States that mean failure."""
    success_activities: tuple[str, ...] = ()
    """Activities that mean success, for schemes whose activities have no states."""
    passed_states_count: bool = True
    """Whether states and activities count that the instance has come through before a look."""
    wait_for: Literal["finalized", "idle"] = "finalized"
    """Whether an instance that waits for a command or a timer counts as done; ``idle`` names no success."""
    on_kill: str = "none"
    """What stops it: ``none``, ``delete``, or ``set_state:`` with a state's name."""
    on_purged: Literal["succeed", "fail"] | None = None
    """
    What it means that an instance is there no more: its scheme may delete what has finished. None takes it
    for a success where nothing but the end is waited for; where states or activities are named, in which of
    them it ended is not known, so that it is a failure; and where deleting stops it, it counts as stopped.
    """
    identity_id: str | None = None
    """In whose name a state is set to stop it."""
    impersonated_identity_id: str | None = None
    """For whom the former acts."""

    def __post_init__(self) -> None:
        check_words(self)
        check_word("passed_states_count", self.passed_states_count, (True, False))
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
        if self.wait_for == "idle" and self.names_success:
            raise ValueError(
                "wait_for='idle' does not go with success_states or success_activities: it is content with "
                "an instance at rest wherever that is, and they are with one that is there, at rest or not; "
                "leave one of the two out"
            )
        if self.stop_state in self.success_states:
            raise ValueError(
                f"on_kill sets the state {self.stop_state!r}, which is one of success_states: a process that "
                "was stopped would count as a success; stop it with a state that nothing else leads to"
            )

    @property
    def names_success(self) -> bool:
        """Whether it is said which states or activities are a success."""
        return bool(self.success_states or self.success_activities)

    @property
    def gone_means(self) -> Literal["success", "stopped", "failure"]:
        """What it means that an instance which was created is there no more."""
        if self.on_purged is None and self.on_kill == "delete":
            return "stopped"
        if self.on_purged is None:
            return "failure" if self.names_success or self.failure_states else "success"
        return "success" if self.on_purged == "succeed" else "failure"

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
