"""The schemes and process instances that the Workflow Server stand-in plays, without HTTP.

A scheme is a list of activities. An instance is in one of them, busy for its seconds; then it rests where the
activity has commands, ends where the activity ends it or is the last, and else goes on to the next one. Where
it stands is worked out from the time, whenever somebody asks. Not safe for threads: the section has the lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from smartflows_provider.wire.workflow_server_process import InstanceStatus

ENDS = frozenset({InstanceStatus.FINALIZED, InstanceStatus.TERMINATED, InstanceStatus.ERROR})


@dataclass(frozen=True, kw_only=True)
class Activity:
    """One place in a scheme where an instance can be."""

    name: str
    state: str = ""
    """Name of the state it means; empty for an activity without one."""
    seconds: float = 0.0
    """How long an instance is busy here."""
    commands: Mapping[str, str] = field(default_factory=dict)
    """Commands that an instance at rest takes here, each with the activity it leads to."""
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Process parameters that get a value when an instance comes here."""
    ends: int | None = None
    """The :class:`InstanceStatus` in which an instance ends here, None if it goes on."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """
    What instances go through.

    Activities behind one that ends are reached by commands and by setting a state only.
    """

    code: str
    activities: tuple[Activity, ...]
    """The first is where instances begin; in the last they end as ``Finalized``, unless it has commands."""
    purges: bool = False
    """Whether instances are deleted when they are finished."""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [activity.name for activity in self.activities]
        if not names or len(set(names)) < len(names) or not all(names):
            raise ValueError(f"the scheme {self.code!r} needs activities, each with a name of its own")
        for activity in self.activities:
            for command, target in activity.commands.items():
                if target not in names:
                    raise ValueError(f"the command {command!r} leads to {target!r}, which is no activity")
            if activity.ends is not None and activity.ends not in ENDS:
                raise ValueError(f"{activity.name!r} ends in {activity.ends!r}; that is no end")

    def index(self, activity: str) -> int:
        """Return the place of an activity."""
        return [one.name for one in self.activities].index(activity)

    def with_state(self, state: str) -> int | None:
        """Return the place of the first activity with a state, None if there is none."""
        for place, activity in enumerate(self.activities):
            if activity.state and activity.state == state:
                return place
        return None

    @property
    def states(self) -> list[str]:
        """The states, each once."""
        return list(dict.fromkeys(activity.state for activity in self.activities if activity.state))


def scheme_of(code: str, activities: Iterable[Mapping[str, Any] | Activity], **more: Any) -> Scheme:
    """
    Return a scheme.

    :param activities: each an :class:`Activity` or its fields.
    :raises ValueError: if it cannot be played. :raises TypeError: for an unknown field.
    """
    made = tuple(one if isinstance(one, Activity) else Activity(**one) for one in activities)
    return Scheme(code=code, activities=made, **more)


class Instance:
    """
    One process instance.

    :param parameters: process parameters that are kept.
    :param now: epoch seconds.
    """

    def __init__(self, *, process_id: str, scheme: Scheme, parameters: Mapping[str, Any], now: float) -> None:
        self.id = process_id
        self.scheme = scheme
        self.parameters = dict(parameters)
        self.transitions: list[dict[str, Any]] = []
        self.status: int = InstanceStatus.RUNNING
        self._place = 0
        self._since = now
        self._enter()
        self.proceed(now)

    @property
    def activity(self) -> Activity:
        """Where it is."""
        return self.scheme.activities[self._place]

    @property
    def has_ended(self) -> bool:
        """Whether it goes nowhere by itself any more."""
        return self.status not in {InstanceStatus.RUNNING, InstanceStatus.IDLED}

    @property
    def is_purged(self) -> bool:
        """Whether its scheme deletes it, now that it is finished."""
        return self.scheme.purges and self.status == InstanceStatus.FINALIZED

    def proceed(self, now: float) -> None:
        """Go as far as the time allows."""
        while self.status == InstanceStatus.RUNNING:
            done = self._since + self.activity.seconds
            if now < done:
                return
            last = self._place + 1 == len(self.scheme.activities)
            if self.activity.ends is not None:
                self.status = self.activity.ends
            elif self.activity.commands:
                self.status = InstanceStatus.IDLED
            elif last:
                self.status = InstanceStatus.FINALIZED
            else:
                self._move(self._place + 1, at=done, trigger="Auto")

    def command(self, name: str, *, parameters: Mapping[str, Any], now: float) -> bool:
        """Carry out a command; False if it is not taken here."""
        if name not in self.commands():
            return False
        self.parameters.update(parameters)
        self._move(self.scheme.index(self.activity.commands[name]), at=now, trigger=name)
        self.proceed(now)
        return True

    def commands(self) -> Sequence[str]:
        """Return the commands that it takes now."""
        return list(self.activity.commands) if self.status == InstanceStatus.IDLED else []

    def set_state(self, state: str, *, parameters: Mapping[str, Any], now: float) -> bool:
        """Go to a state; False if its scheme has none of the name."""
        place = self.scheme.with_state(state)
        if place is None:
            return False
        self.parameters.update(parameters)
        self._move(place, at=now, trigger="SetState")
        self.proceed(now)
        return True

    def end(self, status: int) -> None:
        """Take a status, where it is."""
        self.status = status

    def info(self) -> dict[str, Any]:
        """Return what ``getinstanceinfo`` shows."""
        shown = {
            "Id": self.id,
            "ActivityName": self.activity.name,
            "SchemeId": f"{self.scheme.code}-1",
            "SchemeCode": self.scheme.code,
            "InstanceStatus": int(self.status),
            "ProcessParameters": dict(self.parameters),
            "Transitions": list(self.transitions),
            "History": [],
            "ParentProcessId": None,
            "RootProcessId": self.id,
        }
        return {**shown, "StateName": self.activity.state} if self.activity.state else shown

    def _move(self, place: int, *, at: float, trigger: str) -> None:
        before = self.activity
        self._place, self._since, self.status = place, at, InstanceStatus.RUNNING
        last = place + 1 == len(self.scheme.activities)
        self.transitions.append(
            {
                "FromActivityName": before.name,
                "ToActivityName": self.activity.name,
                "FromStateName": before.state or None,
                "ToStateName": self.activity.state or None,
                "IsFinalised": last or self.activity.ends is not None,
                "TransitionClassifier": "NotSpecified",
                "TransitionTime": datetime.fromtimestamp(at, UTC).isoformat(),
                "TriggerName": trigger,
            }
        )
        self._enter()

    def _enter(self) -> None:
        self.parameters.update(self.activity.sets)


TEST_SCHEME = scheme_of(
    "TestScheme",
    [{"name": "Work", "state": "Working", "seconds": 0.3}, {"name": "Done", "state": "Done"}],
)
APPROVAL_SCHEME = scheme_of(
    "Approval",
    [
        {"name": "Draft", "state": "Draft", "seconds": 0.1},
        {"name": "Decision", "state": "Approval", "commands": {"approve": "Approve", "reject": "Reject"}},
        {
            "name": "Approve",
            "state": "Approved",
            "sets": {"Decision": "approved"},
            "ends": InstanceStatus.FINALIZED,
        },
        {
            "name": "Reject",
            "state": "Rejected",
            "sets": {"Decision": "rejected"},
            "ends": InstanceStatus.FINALIZED,
        },
        {"name": "Withdraw", "state": "Withdrawn", "ends": InstanceStatus.FINALIZED},
    ],
)
BUNDLED = (TEST_SCHEME, APPROVAL_SCHEME)
"""Schemes that every server has."""
