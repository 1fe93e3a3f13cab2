"""The statuses of OCP flows, and what they mean to somebody who waits for one of them.

A flow is no run and never ends: it is started, stopped, or not deployed, and may become any of these again.
So what counts as an end is on the waiter's terms. Source: the vendor's Orchestrator API, *Get Flow Status*.
Invariant: a word that the vendor does not document is never taken for the status that is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from smartflows_provider.option_words import check_word
from smartflows_provider.wire.run import RunPhase


class FlowStatus(StrEnum):
    """Every status that the vendor documents."""

    STARTED = "started"
    STOPPED = "stopped"
    NOT_DEPLOYED = "not-deployed"


STATUS_WORDS = tuple(str(status) for status in FlowStatus)
"""The documented words."""
_BY_LETTERS = {word.replace("-", ""): word for word in STATUS_WORDS}


def read_status(word: str) -> str:
    """Return a documented status in its own spelling, in whatever case and joints it comes; else the word."""
    letters = "".join(letter for letter in word if letter not in " -_").lower()
    return _BY_LETTERS.get(letters, word)


@dataclass(frozen=True, kw_only=True)
class StatusTerms:
    """Which status is waited for."""

    target: str = str(FlowStatus.STARTED)
    """The documented status that ends the wait well."""
    failure: tuple[str, ...] = ()
    """Documented statuses that end it as a failure."""

    def __post_init__(self) -> None:
        check_word("target", self.target, STATUS_WORDS)
        if not isinstance(self.failure, tuple) or not all(word in STATUS_WORDS for word in self.failure):
            words = ", ".join(map(repr, STATUS_WORDS))
            raise ValueError(f"failure is {self.failure!r}; it takes a tuple of any of {words}")
        if self.target in self.failure:
            raise ValueError(f"{self.target!r} is waited for, so it cannot be a failure too")

    def as_dict(self) -> dict[str, Any]:
        """Return the terms as JSON, for a trigger's row."""
        return {"target": str(self.target), "failure": [str(word) for word in self.failure]}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> StatusTerms:
        """
        Read what :meth:`as_dict` has written, perhaps in another version: what it lacks is as by default.

        :param row: further keys are left out.
        """
        default = cls()
        return cls(
            target=row.get("target", default.target), failure=tuple(row.get("failure", default.failure))
        )

    def phase_of(self, status: str) -> RunPhase:
        """
        Return what a status means on these terms.

        :param status: as :func:`read_status` gives it.
        """
        if status not in STATUS_WORDS:
            return RunPhase.UNKNOWN
        if status == self.target:
            return RunPhase.SUCCEEDED
        return RunPhase.FAILED if status in self.failure else RunPhase.ACTIVE
