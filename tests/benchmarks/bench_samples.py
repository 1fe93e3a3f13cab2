"""Works for the tests of the benchmarks' frame."""

from __future__ import annotations


def take(megabytes: int) -> None:
    """Take memory, touch it, and give it back."""
    bytearray(megabytes * 1_000_000)


def fail(reason: str) -> None:
    """Fail."""
    raise RuntimeError(reason)
