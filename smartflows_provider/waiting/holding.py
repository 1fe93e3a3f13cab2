"""What a service does with the wish to hold its answer back, as its answers show.

A held answer brings a change at once and costs one request for many seconds; whether a service holds, and
what it takes no seconds at all for, is found out by asking. All waits on a connection share what one of them
has learned. Invariants: a second is the shortest hold that is named, unless the service is seen to answer at
once where none is wished for; what a service rejects is not named again.
"""

from __future__ import annotations

SHORTEST_NAMED = 1.0
"""Seconds to name in a question that is not to be held: without a number the service takes thirty, and what
zero means to it is not documented."""
SHORTEST_HOLD = 2.0
"""Seconds; a hold that would be shorter is none."""
PROOFS = 3
"""How many answers in a row must show the same before it is believed."""
ZERO_AGAIN = 1000
"""After so many answers zero is tried again: a service that was slow for once is not slow for ever."""
LONGEST_AT_ONCE = 5.0
"""Seconds for which an answer may be under way that the service was to give at once."""


def was_held(wished: float, *, took: float) -> bool:
    """
    Tell whether the service has held an answer, if not for as long as was wished.

    :param wished: seconds.
    :param took: seconds until the answer came.
    """
    return wished >= SHORTEST_HOLD and took >= wished / 2


class Holding:
    """
    What is known of one service.

    :param tries_zero: whether to ask with zero seconds where an answer is wanted at once. Only worth it where
        many answers are wanted: a service may take zero for its default.
    """

    def __init__(self, *, tries_zero: bool = False) -> None:
        self._tries_zero = tries_zero
        self._named = True
        self._holds = True
        self._ignored = 0
        self._held_zero = 0
        self._named_since = 0

    def wish(self, seconds: float, *, first: bool = False) -> float | None:
        """
        Return the hold to ask for where one of so many seconds would be liked; None to name none at all.

        :param seconds: how long the answer may be held; below :data:`SHORTEST_HOLD` it is wanted at once.
        :param first: whether it is the first question of a wait, which tries a hold even where earlier ones
            were ignored: a service may hold the answer about one run and not about another.
        """
        if not self._named:
            return None
        if seconds >= SHORTEST_HOLD and (self._holds or first):
            return seconds
        return 0.0 if self._tries_zero else SHORTEST_NAMED

    def learn(self, wished: float | None, *, took: float, refused: bool, unchanged: bool) -> None:
        """
        Take in an answer about a run that is not over.

        :param wished: the hold that was asked for.
        :param took: seconds until the answer came.
        :param refused: whether the service rejected the wish.
        :param unchanged: whether the answer was known already, so that there was nothing to answer early for.
        """
        if refused and wished == 0.0:
            self._tries_zero = False
        elif refused:
            self._named = False
        elif wished == SHORTEST_NAMED:
            self._try_zero_again()
        elif wished == 0.0:
            self._held_zero = self._held_zero + 1 if took > LONGEST_AT_ONCE else 0
            self._tries_zero = self._held_zero < PROOFS
        elif wished is not None and wished >= SHORTEST_HOLD:
            if was_held(wished, took=took):
                self._ignored = 0
            elif unchanged:
                self._ignored += 1
            self._holds = self._ignored < PROOFS

    def _try_zero_again(self) -> None:
        """Ask with zero seconds once more after a while, where answers were only slow."""
        self._named_since += 1
        if self._held_zero >= PROOFS and self._named_since >= ZERO_AGAIN:
            self._held_zero, self._named_since, self._tries_zero = PROOFS - 1, 0, True
