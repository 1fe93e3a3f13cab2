"""The records of a plug-in (Dynamics, Sugar) as the JSON that starts a flow for them.

The service takes ``{"id": [...], "entity": "account", "userId": "...", "organizationUniqueName": "..."}``,
where ``id`` is always an array and the last key is optional (vendor's page on starting flows from a plug-in).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from smartflows_provider.payload.errors import UnsupportedInput

_MAX_BITS = 128
"""Of an id that is a number; a GUID has as many."""
REQUIRED = ("id", "entity", "userId")
OPTIONAL = ("organizationUniqueName",)
_EXAMPLE = '{"id": ["…"], "entity": "account", "userId": "…"}'


def records_json(records: Mapping[str, Any]) -> bytes:
    """
    Return the body for plug-in records.

    :param records: ``id`` (one id or several), ``entity``, ``userId``, and optionally
        ``organizationUniqueName``.
    :raises UnsupportedInput: if a key is missing or unknown, or a value is not a text.
    """
    if not isinstance(records, Mapping):
        raise UnsupportedInput(f"records are a mapping such as {_EXAMPLE}, not {type(records).__name__}")
    missing = [key for key in REQUIRED if records.get(key) in (None, "", [], ())]
    if missing:
        raise UnsupportedInput(f"records lack {' and '.join(map(repr, missing))}; they look like {_EXAMPLE}")
    unknown = [key for key in records if key not in (*REQUIRED, *OPTIONAL)]
    if unknown:
        known = f"there are {', '.join((*REQUIRED, *OPTIONAL))}"
        raise UnsupportedInput(
            f"records have the unknown key {unknown[0]!r}; {known}",
            unquoted=f"records have an unknown key; {known}",
        )
    ids = records["id"]
    listed = list(ids) if isinstance(ids, Sequence | set | frozenset) and not isinstance(ids, str) else [ids]
    body: dict[str, Any] = {"id": [_text(one, key="id") for one in listed]}
    for key in (*REQUIRED[1:], *OPTIONAL):
        if records.get(key) is not None:
            body[key] = _text(records[key], key=key)
    return json.dumps(body, ensure_ascii=False).encode()


def _text(value: Any, *, key: str) -> str:
    if not isinstance(value, str | int | UUID) or isinstance(value, bool):
        raise UnsupportedInput(f"records: {key!r} is a text, not {type(value).__name__}")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise UnsupportedInput(f"records: {key!r} is a number too large for an id")
    text = str(value)
    if not text or not text.isprintable():
        raise UnsupportedInput(f"records: {key!r} is empty or holds characters that cannot be printed")
    return text
