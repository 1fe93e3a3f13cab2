"""How a place inside an output is written: as the JMESPath expression that finds it.

Error messages and document references use the same form, so that what people read there can be pasted
into ``outputs``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_LONGEST = 500
"""Letters of a place that are shown."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Place:
    """
    A place inside an output; its text is the expression.

    Kept as its last step and the place that this is in: most places are never shown, and to write each of
    them would copy long keys again for every value inside.
    """

    step: str | int | None = None
    """A key, a number in an array, or None for the outermost."""
    within: Place | None = None

    def __str__(self) -> str:
        """Return the expression; one of more than some hundred letters is cut, and ends in three dots."""
        steps = []
        place: Place | None = self
        while place is not None:
            steps.append(place.step)
            place = place.within
        path = ""
        for step in reversed(steps):
            if isinstance(step, str):
                path = child(path, step[:_LONGEST])
            elif step is not None:
                path = f"{path}[{step}]"
            if len(path) >= _LONGEST:
                return f"{path[:_LONGEST]}…"
        return path


def child(path: str, key: str) -> str:
    """Return the path of a key of the object at ``path`` (empty for the outermost)."""
    name = key if _IDENTIFIER.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return f"{path}.{name}" if path else name
