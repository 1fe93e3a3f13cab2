"""Arguments that templates have filled in, checked before anything is sent.

A template turns everything into text and can turn out empty, so what an operator holds when it runs is not
what its author wrote. Invariant: what cannot be meant is an error that names the argument, and never a
default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from smartflows_provider.exceptions import FlowConfigurationError, RunIdentity

NOTHING_SENT = "Nothing was sent."
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


def text_argument(value: Any, name: str, *, where: RunIdentity) -> str:
    """
    Return an id or name.

    :raises FlowConfigurationError: if it is empty, no text, or text that cannot be sent.
    """
    if (
        isinstance(value, str)
        and value.strip() not in {"", ".", ".."}
        and _HALF_CHARACTER.search(value) is None
    ):
        return value
    raise _unusable(value, name, "an id or a name as text", where)


def flag_argument(value: Any, name: str, *, where: RunIdentity) -> bool:
    """
    Return a yes or no that may come out of a template as a word.

    :raises FlowConfigurationError: for any other word.
    """
    word = str(value).strip().lower()
    if word in _YES | _NO:
        return word in _YES
    raise _unusable(value, name, "true or false", where)


def mapping_argument(value: Any, name: str, *, where: RunIdentity) -> Mapping[str, Any]:
    """
    Return a mapping; text is read as JSON, None is an empty one.

    :raises FlowConfigurationError: if it is anything else. The message does not show what it is.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _unusable(None, name, "a mapping, or JSON text of one", where, shown="other text") from None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        shown = f"of type {type(value).__name__}"
        raise _unusable(None, name, "a mapping, or JSON text of one", where, shown=shown)
    return cast("Mapping[str, Any]", value)


def users_argument(value: Any, name: str, *, where: RunIdentity) -> list[dict[str, str]]:
    """
    Return users of Airflow as ``{"id", "name"}``; text is an id, or JSON, None is nobody.

    :raises FlowConfigurationError: if it is anything else.
    """
    takes = "the id of a user, {'id', 'name'}, or a list of these"
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _unusable(value, name, takes, where) from None
    if value is None:
        return []
    users = value if isinstance(value, list | tuple) else [value]
    named: list[dict[str, Any]] = [
        {"id": user.get("id"), "name": user.get("name") or user.get("id")}
        if isinstance(user, Mapping)
        else {"id": user, "name": user}
        for user in users
    ]
    if not all(isinstance(part, str) and part.strip() for user in named for part in user.values()):
        raise _unusable(value, name, takes, where)
    return named


def _unusable(
    value: Any, name: str, takes: str, where: RunIdentity, *, shown: str | None = None
) -> FlowConfigurationError:
    return FlowConfigurationError(
        f"The argument {name} is {shown or repr(value)}; it takes {takes}.",
        where=where,
        fate=NOTHING_SENT,
        advice="Look at what its template renders to, under Rendered Templates.",
    )
