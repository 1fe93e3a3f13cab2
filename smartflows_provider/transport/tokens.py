"""The access token of a connection, kept for as long as it holds.

One token serves everything that uses the same settings: all waits of a triggerer, the hurried cancel of a
kill. Invariants: a token is renewed before it expires, so that no call fails of its age; one that the service
has refused is not used again; where no token can be had, the call itself was not sent, and the error says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from smartflows_provider.transport.errors import NotSent, TransportError
from smartflows_provider.wire.errors import AccessDenied, KeyRefused, RequestRefused, Throttled, WireError
from smartflows_provider.wire.grants import Token

RENEW_BEFORE = 60.0
"""Seconds before its end when a token is renewed, but never in the first half of its life."""


class TokenCache:
    """
    The present token.

    :param clock: gives seconds that never jump.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._token: Token | None = None
        self._renew_at = 0.0

    @property
    def value(self) -> str | None:
        """The token as it is, old or not; None where there is none."""
        return self._token.value if self._token else None

    def usable(self) -> str | None:
        """Return the token if it need not be renewed yet."""
        return self.value if self._clock() < self._renew_at else None

    def keep(self, token: Token, *, asked: float) -> str:
        """
        Use a token from now on, and return its value.

        :param asked: when it was asked for; its life began no earlier.
        """
        life = float("inf") if token.lifetime is None else token.lifetime
        self._token = token
        self._renew_at = asked + max(life / 2, life - RENEW_BEFORE)
        return token.value

    def drop(self, value: str) -> None:
        """Use a token no more, which the service has refused; another one that came meanwhile stays."""
        if self.value == value:
            self._renew_at = 0.0

    def now(self) -> float:
        """Return the clock's seconds."""
        return self._clock()


def no_token(error: WireError | TransportError) -> WireError | TransportError:
    """
    Return what a failure to get a token means for the call that needed it: that was not sent.

    :param error: of the request for the token.
    """
    if isinstance(error, NotSent | KeyRefused | AccessDenied | RequestRefused | Throttled):
        return error
    return NotSent(f"no access token could be had: {error}", kind="token")
