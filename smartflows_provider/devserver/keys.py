"""API keys, the users behind them, and what their roles allow.

A key carries its user's rights and can be revoked at any time. Invariant: a key is compared and never
shown; everything that leaves this module names users.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

Role = Literal["super user", "user", "reader", "no api licence"]
"""
``super user`` may do everything; ``user`` starts flows and sees only its own executions; ``reader`` sees
everything and changes nothing; ``no api licence`` is refused everywhere, as by a licence without the API.
"""
ROLES: tuple[Role, ...] = get_args(Role)

_NAMESPACE = uuid.UUID("2c1ad2f3-9a1b-4b8e-8f0f-5f3d6d1f4a10")


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody who has a key."""

    id: str
    name: str
    role: Role

    def reference(self) -> dict[str, Any]:
        """Return ``{id, displayName}``, the service's way to point at the user."""
        return {"id": self.id, "displayName": self.name}


class Denied(Exception):
    """A call that its key does not allow; the text says why, ``status`` is 401 or 403."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class KeyRing:
    """The keys that are valid now."""

    def __init__(self, keys: Iterable[tuple[str, Role]] = ()) -> None:
        self._users: dict[str, User] = {}
        self._added = 0
        for key, role in keys:
            self.add(key, role)

    def add(self, key: str, role: Role = "super user") -> User:
        """
        Make a key valid, for a user of its own, named by role and number.

        :raises ValueError: if the key is empty or the role unknown.
        """
        if not key:
            raise ValueError("a key must not be empty")
        if role not in ROLES:
            raise ValueError(f"there is no role {role!r}; there are {', '.join(ROLES)}")
        self._added += 1
        number = self._added
        name = f"Devserver {role}" if number == 1 else f"Devserver {role} {number}"
        user = User(id=str(uuid.uuid5(_NAMESPACE, name)), name=name, role=role)
        self._users[key] = user
        return user

    def revoke(self, key: str) -> None:
        """Make a key invalid; an unknown one is ignored."""
        self._users.pop(key, None)

    def user_of(self, key: str | None) -> User:
        """
        Return whose key this is.

        :raises Denied: 401 if it is missing, unknown or revoked; 403 if the licence lacks the API.
        """
        if not key:
            raise Denied("The header X-API-Key is missing.", status=401)
        wanted = key.encode("utf-8", "surrogateescape")
        for known, user in list(self._users.items()):
            if hmac.compare_digest(known.encode(), wanted):
                if user.role == "no api licence":
                    raise Denied("The licence of this project does not include the API.", status=403)
                return user
        raise Denied("The API key is not valid.", status=401)


def check_may_change(user: User) -> None:
    """
    Return if the user may start, answer and cancel.

    :raises Denied: 403 for a reader.
    """
    if user.role == "reader":
        raise Denied(f"The role '{user.role}' lacks the right to run flows.", status=403)


def check_may_switch_faults(user: User) -> None:
    """
    Return if the user may see and switch the faults.

    :raises Denied: 403 for anybody but a super user.
    """
    if user.role != "super user":
        raise Denied(f"The role '{user.role}' may not switch faults; a super user may.", status=403)


def check_may_see(user: User, *, owner_id: str) -> None:
    """
    Return if the user may see an execution of the given owner.

    :raises Denied: 403 for somebody else's, unless the role sees everything.
    """
    if not may_see(user, owner_id=owner_id):
        raise Denied(f"The role '{user.role}' sees only its own executions.", status=403)


def may_see(user: User, *, owner_id: str) -> bool:
    """Return whether the user sees executions of the given owner."""
    return user.role != "user" or user.id == owner_id


def read_key(text: str) -> tuple[str, Role]:
    """
    Return key and role of a ``KEY`` or ``KEY:role`` from the command line.

    What follows the last colon is a role only if there is one of that name, so keys may hold colons.
    """
    key, _, word = text.rpartition(":")
    for role in ROLES:
        if key and word == role:
            return key, role
    return text, "super user"
