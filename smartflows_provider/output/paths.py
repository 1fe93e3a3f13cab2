"""How a place inside an output is written: as the JMESPath expression that finds it.

Error messages and document references use the same form, so that what people read there can be pasted
into ``outputs``.
"""

from __future__ import annotations

import json
import re

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def child(path: str, key: str) -> str:
    """Return the path of a key of the object at ``path`` (empty for the outermost)."""
    name = key if _IDENTIFIER.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return f"{path}.{name}" if path else name


def item(path: str, index: int) -> str:
    """Return the path of an entry of the array at ``path`` (empty for the outermost)."""
    return f"{path}[{index}]"
