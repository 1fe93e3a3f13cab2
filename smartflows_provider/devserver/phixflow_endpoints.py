"""The endpoints of the PhixFlow section, and the runs that calls of them began.

How far a run is follows from the clock whenever somebody asks. Invariants: a run that ended stays as it is;
in the mode *Wait for result* one that takes longer than its limit is aborted, and has failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["wait", "poll"]
Outcome = Literal["Success", "Fail"]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One actionflow with an endpoint, as its author set it up."""

    application: str
    actionflow: str
    mode: Mode = "wait"
    """*Wait for result* or *Poll for result*."""
    seconds: float = 0.0
    """How long a run takes."""
    outcome: Outcome = "Success"
    message: str = ""
    """The author's message."""
    output: str = "Out"
    """Name of the output connection point."""
    result: Any = None
    """Returned data; None is none."""
    records: Sequence[Mapping[str, Any]] | None = None
    """What became of each record, ``{id, status, message}``; None where records do not go one by one."""
    status_code: int = 200
    """HTTP status of the first answer, and of a success."""
    failure_code: int | None = None
    """HTTP status of a failure; None leaves it to the profile."""
    content_type: str | None = None
    """Of answers; one that is not JSON makes them texts; None leaves it to the profile."""
    body: str | None = None
    """The whole answer of a success, in place of everything else."""
    method: str = "POST"
    limit_seconds: float = 60.0
    """After so long the server aborts a run in the mode *Wait for result*."""
    anonymous: bool = False
    """Whether it is called without a key."""
    alias: str | None = None
    """Replaces application and actionflow in the address; may have several parts."""

    def __post_init__(self) -> None:
        if self.mode not in {"wait", "poll"}:
            raise ValueError(f"mode is {self.mode!r}, but can be wait, poll")
        if self.outcome not in {"Success", "Fail"}:
            raise ValueError(f"outcome is {self.outcome!r}, but can be Success, Fail")

    def is_at(self, parts: Sequence[str]) -> bool:
        """
        Return whether the parts of an address, without ``action`` and ``trigger``, name this endpoint.

        Version 11 names application and actionflow, version 10 the actionflow alone.
        """
        named = [(self.application, self.actionflow), (self.actionflow,)]
        if self.alias is not None:
            named.append(tuple(self.alias.strip("/").split("/")))
        return tuple(parts) in named


@dataclass(kw_only=True)
class Run:
    """What one call began."""

    process_id: str
    endpoint: Endpoint
    began_at: float
    limit_seconds: float | None
    """None where nothing aborts it."""
    ended: tuple[Outcome, str] | None = field(default=None)
    """What it came to, and the message; None while it goes on."""

    def look(self, now: float) -> tuple[Outcome, str] | None:
        """Return what it came to by now, None while it goes on."""
        if self.ended is None:
            passed = now - self.began_at
            if self.limit_seconds is not None and min(passed, self.endpoint.seconds) > self.limit_seconds:
                self.ended = ("Fail", f"Aborted by the server after {self.limit_seconds:g} s")
            elif passed >= self.endpoint.seconds:
                self.ended = (self.endpoint.outcome, self.endpoint.message)
        return self.ended


BUNDLED: Sequence[Endpoint] = (
    Endpoint(application="MyApp", actionflow="My API", result={"rows": 3}),
    Endpoint(application="MyApp", actionflow="Nightly", mode="poll", seconds=0.3, result={"rows": 3}),
)
"""Endpoints that every server has."""
