"""Secrets that nothing shows by itself.

An error reporter may capture the locals of each frame, and a debugger or a finished task's ``repr`` does
likewise. Invariant: the values are what they hold in every other way.
"""

from __future__ import annotations


class HiddenText(str):
    """A text that no ``repr`` shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr("***")


class HiddenBytes(bytes):
    """Bytes that no ``repr`` shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(b"***")
