"""What a Retry-After header asks for, in seconds.

The header comes as a number or as a date (RFC 9110, 10.2.3) and is sometimes nonsense. Invariant: the
result is None or a finite number of at least zero; how much of it is honoured is the waiter's decision.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime


def read_retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """
    Return the seconds to wait, or None where the header is missing or unreadable.

    :param headers: of the answer, names in lower case.
    :param now: epoch seconds a date is compared with; the answer's own ``Date`` wins over it, because the
        two clocks may differ.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        moment = _epoch(text)
        if moment is None:
            return None
        reference = _epoch(headers.get("date", "")) or now or time.time()
        seconds = moment - reference
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _epoch(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # A zone of -0000 is read as none; HTTP dates are always UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
