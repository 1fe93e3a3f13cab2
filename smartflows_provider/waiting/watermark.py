"""Which executions a watcher fires for, given one listing after another.

An execution that was created early may end late, so what is remembered is up to when changes have been seen,
by the service's clock alone. A service may show a change a little after others of the same moment, and lists
move while they are paged: each listing therefore reaches back :data:`OVERLAP` before that mark, what has
fired is remembered by execution and status, and after a listing of several pages the mark moves only once
another one has brought nothing that was missing. Invariants: what reaches back far enough is fired for once
in a process, and again only after a restart; the position that is kept never is ahead of what was returned;
it stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

from smartflows_provider.wire.answers import read_moment
from smartflows_provider.wire.run import Execution
from smartflows_provider.wire.smart_flows_finished import Listing, modified, moment_text

OVERLAP = 120.0
"""Seconds before the mark that each listing reaches back to."""
REMEMBERED = 10_000
"""What has fired is remembered for at least so many, for executions that are changed again after their
end."""
KEPT = 500
"""Of what has fired so many at most are part of the position that is kept; about ten kilobytes."""
POSITION_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a watcher stands, as it is kept over restarts."""

    mark: float
    """Epoch seconds of the service up to which changes have been seen; 0 where there were none at all."""
    fired: tuple[str, ...] = ()
    """Digests of the latest that it has fired for, oldest first."""

    def as_dict(self) -> dict[str, Any]:
        """Return the position as JSON."""
        return {
            "schema_version": POSITION_SCHEMA,
            "seen_until": moment_text(self.mark),
            "fired": list(self.fired),
        }

    @classmethod
    def from_dict(cls, raw: Any) -> Self | None:
        """
        Return the position that :meth:`as_dict` has written, None for what is no position.

        :param raw: what was kept.
        """
        if not isinstance(raw, Mapping) or not isinstance(raw.get("fired"), list):
            return None
        mark = read_moment(str(raw.get("seen_until")))
        return None if mark is None else cls(mark=mark, fired=tuple(map(str, raw["fired"])))

    def after(self, fired: Sequence[Execution], *, until: Position) -> Position:
        """
        Return where a watcher stands that has fired for some of what was found, and not yet for the rest.

        :param fired: the first of them, in the order of their ends.
        :param until: where it stands after the rest.
        """
        seen = max((modified(execution) or 0.0 for execution in fired), default=0.0)
        digests = (*self.fired, *map(_digest, fired))
        return Position(mark=max(self.mark, min(seen, until.mark)), fired=digests[-KEPT:])


class Watermark:
    """
    What one watcher has seen and fired for.

    :param position: as it was kept; None for a watcher that begins.
    :param since: epoch seconds of the service; what changed last before that is never fired for.
    :param from_now: begin with what comes, and fire for nothing that is there already; so does a watcher that
        begins without ``since``.
    """

    def __init__(
        self, position: Position | None, *, since: float | None = None, from_now: bool = False
    ) -> None:
        self._since = since
        self._mark: float | None = None
        if position is not None:
            self._mark = position.mark
        elif not from_now:
            self._mark = since
        self._fired: dict[str, float] = dict.fromkeys(position.fired if position else (), 0.0)
        self._seen_in_pages: float | None = None

    @property
    def reach(self) -> float | None:
        """How far back the next listing must reach: None for as far as :data:`OVERLAP` before its latest."""
        return None if self._mark is None else max(self._mark - OVERLAP, 0.0)

    @property
    def position(self) -> Position | None:
        """Where the watcher stands after all listings so far; None before the first of all."""
        if self._mark is None:
            return None
        return Position(mark=self._mark, fired=tuple(self._fired)[-KEPT:])

    def take(self, listing: Listing, wanted: Callable[[Execution], bool]) -> list[Execution]:
        """
        Return what is to be fired for, in the order of the ends.

        :param listing: reaches back as far as :attr:`reach` says.
        :param wanted: whether the watcher is about an execution in its present status.
        """
        begins, oldest = self._mark is None, self.reach
        fresh: list[Execution] = []
        shown = 0
        for execution in sorted(listing.executions, key=lambda one: modified(one) or 0.0):
            changed, digest = modified(execution), _digest(execution)
            if not wanted(execution) or self._is_past(changed, oldest):
                continue
            if self._fired.pop(digest, None) is None:
                fresh.append(execution)
            self._fired[digest] = changed or 0.0
            shown += 1
        self._move(listing, fresh)
        self._forget(but=shown)
        return [] if begins else fresh

    def _is_past(self, changed: float | None, oldest: float | None) -> bool:
        """Whether an execution has been dealt with so long ago that it may be forgotten by now."""
        if changed is None:
            return False
        return (oldest is not None and changed < oldest) or (
            self._since is not None and changed < self._since
        )

    def _move(self, listing: Listing, fresh: list[Execution]) -> None:
        latest = max((modified(execution) or 0.0 for execution in listing.executions), default=0.0)
        was_seen, self._seen_in_pages = self._seen_in_pages, None if listing.in_one_piece else latest
        if self._mark is None:
            self._mark = latest
        elif listing.in_one_piece:
            self._mark = max(self._mark, latest)
        elif was_seen is not None and not any((modified(one) or 0.0) <= was_seen for one in fresh):
            self._mark = max(self._mark, was_seen)

    def _forget(self, *, but: int) -> None:
        """
        Forget the oldest, but nothing that a listing may show again.

        :param but: how many the last listing has shown; they are the latest.
        """
        reach = self.reach
        for digest in list(self._fired)[: max(len(self._fired) - max(REMEMBERED, but), 0)]:
            if reach is not None and self._fired[digest] < reach:
                del self._fired[digest]


def _digest(execution: Execution) -> str:
    return sha256(f"{execution.id} {execution.status}".encode()).hexdigest()[:16]
