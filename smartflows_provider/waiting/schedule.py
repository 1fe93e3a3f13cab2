"""When to ask again.

A young wait is asked often, an old one seldom, and no two waits keep step. Invariant: everything here is
arithmetic on seconds; randomness comes in as a number between 0 and 1.
"""

from __future__ import annotations

FIRST_HOLD = 2.0
"""Seconds; a young wait has the service answer this soon, so that its first messages are seen."""
HOLD_GROWTH = 14.0
"""How many times as long as a wait has lasted its next answer may be held: with holds of up to 30 seconds a
wait asks three times in its first minute, and twice in each that follows."""
SHORTEST_PAUSE = 1.0
"""Seconds between two questions that the service answers at once."""
SHORTEST_POLL_INTERVAL = 0.1
"""Seconds; a poll interval below it counts as this, so that nothing asks without a pause."""
LONGEST_POLL_INTERVAL = 24 * 3600.0
"""Seconds; a poll interval above it counts as this, an infinite one too."""
PAUSE_AFTER_CHANGE = 2.0
"""Seconds, the longest pause where something has just changed."""
JITTER = 0.25
"""Part of a pause by which it varies."""
LONGEST_BACKOFF = 60.0
"""Seconds between two questions during an outage, unless the service asks for more."""
DEADLINE_GRACE = 30.0
"""Seconds after the deadline for which a question that fails is asked again."""
MISSING_PATIENCE = 60.0
"""Seconds for which a connection that Airflow does not find is asked for again."""
LONGEST_RETRY_AFTER = 300.0
"""Seconds; what Retry-After asks beyond this is not honoured."""


def hold_for(waited: float, *, longest: float, remaining: float) -> float:
    """
    Return how long the service may keep its next answer back, 0 for not at all.

    :param waited: seconds since this wait began.
    :param longest: seconds that the connection, and the number of waits on it, allow for.
    :param remaining: seconds until the deadline.
    """
    return max(0.0, min(longest, max(FIRST_HOLD, HOLD_GROWTH * waited), remaining))


def pause_after_answer(
    waited: float, *, poll_interval: float, draw: float, least: float = 0.0, first: bool = False
) -> float:
    """
    Return the pause before the next short poll: a tenth of the time waited, within limits, with jitter.

    :param poll_interval: seconds, the longest pause.
    :param draw: a random number from 0 to 1; the pause varies by a quarter.
    :param least: seconds that the number of waits on the connection asks for.
    :param first: whether it is the first pause of a wait. It is any up to the full one, so that waits that
        begin together part at once.
    """
    base = min(poll_interval / (1 + JITTER), max(SHORTEST_PAUSE, waited / 10, least))
    if first:
        return max(min(base, SHORTEST_PAUSE), base * draw)
    return base * (1 + JITTER * draw)


def pause_after_failure(failures: int, *, retry_after: float | None, draw: float) -> float:
    """
    Return the pause after a question that failed: exponential with full jitter, or what the service asks.

    :param failures: how many in a row, at least 1.
    :param retry_after: seconds the service named, None if it named none.
    :param draw: a random number from 0 to 1.
    """
    backoff = min(LONGEST_BACKOFF, 2.0 ** min(failures, 10)) * draw
    if retry_after is None:
        return max(backoff, 0.1)
    return min(retry_after, LONGEST_RETRY_AFTER) + backoff / 10
