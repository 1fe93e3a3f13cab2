"""The SHA-256 of a stream, computed beside the transfer.

Hashing costs about as much time as receiving and writing together, and needs no GIL; done in a thread of its
own it costs a transfer the least. The thread has blocks of its own, which are used again and again: chunks
that one thread allocates and another frees make the allocator give memory back and fetch it anew, which costs
more than the copy. Invariants: at most ``_BLOCKS`` blocks are made; a small file starts no thread; no thread
outlives the block.
"""

from __future__ import annotations

import hashlib
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Self

_BLOCK = 256 * 1024
"""Bytes."""
_BLOCKS = 8
"""How many of them let the transfer go on while the hash has to wait for a core."""
_SMALL = 1024 * 1024
"""Bytes that are hashed at once, before a thread is worth it."""


class StreamHash:
    """Hashes chunks while the block runs; :attr:`hexdigest` after it."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._block = memoryview(b"")
        self._used = 0
        self._left_to_make = _BLOCKS
        self._filled: SimpleQueue[memoryview | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._filled.put(self._block[: self._used])
            self._filled.put(None)
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
            self._thread = threading.Thread(target=self._hash, daemon=True)
            self._thread.start()
        rest = memoryview(chunk)
        while rest:
            if self._used == len(self._block):
                self._next_block()
            taken = rest[: len(self._block) - self._used]
            self._block[self._used : self._used + len(taken)] = taken
            self._used += len(taken)
            rest = rest[len(taken) :]

    def _next_block(self) -> None:
        if self._used:
            self._filled.put(self._block)
        if self._left_to_make:
            self._left_to_make -= 1
            self._block = memoryview(bytearray(_BLOCK))
        else:
            self._block = self._free.get()
        self._used = 0

    def _hash(self) -> None:
        while (block := self._filled.get()) is not None:
            self._digest.update(block)
            self._free.put(block)
