"""Answers that were packed for the way (``Content-Encoding``), unpacked in pieces of limited size.

The HTTP libraries unpack as well, but each in its own way and older releases without a limit, so that a few
kilobytes could fill the memory. Invariants: a piece is never larger than ``PIECE``, whatever was packed into
it; packed bytes that hold next to nothing, which no limit for an answer's size would end, and a packed answer
that ends too early are errors; what was not asked for is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

PACKINGS: Final = "gzip, deflate"
"""What is asked for; every service and proxy that packs at all knows these."""
PIECE: Final = 256 * 1024
"""Bytes."""
_EMPTY: Final = 1024 * 1024
"""Packed bytes that may hold nothing; beyond them at least half as many must come of them."""

_AUTOMATIC, _RAW = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS


class PackingUnknown(Exception):
    """The answer is packed in a way that nobody asked for."""


class PackingBroken(Exception):
    """The packed bytes are damaged, or their end is missing."""


class Unpacker:
    """
    Unpacks one answer.

    :param encoding: its ``Content-Encoding``; empty if it has none.
    :raises PackingUnknown: if that is none of those asked for, or several.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise PackingUnknown(self._encoding)
        self._plain = self._encoding in {"", "identity"}
        self._stream: zlib._Decompress | None = None
        self._taken = 0
        self._made = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Unpack the next bytes of the answer.

        :raises PackingBroken: if they are damaged, or go on without anything in them.
        """
        if self._plain:
            yield data
            return
        self._taken += len(data)
        while data:
            if self._stream is None or self._stream.eof:
                # gzip allows several packs one after the other. Some servers send deflate without its head.
                headless = self._encoding == "deflate" and data[0] & 0x0F != 8
                self._stream = zlib.decompressobj(_RAW if headless else _AUTOMATIC)
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error:
                raise PackingBroken("its packed bytes are damaged") from None
            data = self._stream.unconsumed_tail or self._stream.unused_data
            self._made += len(piece)
            if piece:
                yield piece
        if self._taken > _EMPTY + 2 * self._made:
            raise PackingBroken("its packed bytes hold next to nothing")

    def end(self) -> Iterator[bytes]:
        """
        Return what is left at the end of the answer.

        :raises PackingBroken: if the end of the pack is missing.
        """
        if self._stream is None:
            return
        rest = self._stream.flush()
        if rest:
            yield rest
        if not self._stream.eof:
            raise PackingBroken("the end of its packed bytes is missing")
