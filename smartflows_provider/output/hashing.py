"""The SHA-256 of a stream, computed beside the transfer.

Hashing costs about as much time as receiving and writing together, and needs no GIL; done in a thread of its
own it costs a transfer next to nothing. Invariants: at most ``_AHEAD`` chunks wait to be hashed; a small file
starts no thread; no thread outlives the block.
"""

from __future__ import annotations

import hashlib
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Self

_AHEAD = 3
"""Chunks; with more of them the memory of each would be fetched from the system anew."""
_SMALL = 1024 * 1024
"""Bytes that are hashed at once, before a thread is worth it."""


class StreamHash:
    """Hashes chunks while the block runs; :attr:`hexdigest` after it."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._chunks.put(None)
            self._thread.join()

    @property
    def hexdigest(self) -> str:
        """The hash of all chunks, hexadecimal."""
        return self._digest.hexdigest()

    def update(self, chunk: bytes) -> None:
        """Take the next chunk; waits while too many are still to be hashed."""
        self._size += len(chunk)
        if self._size <= _SMALL:
            self._digest.update(chunk)
            return
        if self._thread is None:
            for _ in range(_AHEAD):
                self._room.put(None)
            self._thread = threading.Thread(target=self._hash, daemon=True)
            self._thread.start()
        self._room.get()
        self._chunks.put(chunk)

    def _hash(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            self._digest.update(chunk)
            self._room.put(None)
