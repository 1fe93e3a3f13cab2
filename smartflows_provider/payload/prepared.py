"""The finished payload and the sink that it grows in.

Bytes are hashed as they come, because the fingerprint is needed before the payload is sent, and go to memory
or, past a limit, to a temporary file, so that an upload has a known length and can be repeated. Invariant: a
temporary file belongs to exactly one owner, first the sink, then the payload, and the owner's ``close``
removes it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from smartflows_provider.payload.errors import PayloadTooLarge
from smartflows_provider.wire.messages import Body

MEMORY_LIMIT = 1024 * 1024
"""Bytes up to which a payload stays in memory."""
MAX_BYTES = 16 * 1024**3
"""Bytes of the largest payload; what has more is taken for an iterator without end."""
CHUNK = 64 * 1024
"""Bytes that are read and checked at a time."""


@dataclass(frozen=True, kw_only=True)
class PreparedPayload:
    """What is ready to be sent; a context manager that removes its temporary file at the end."""

    body: Body | None
    """None for an empty body; a path if it is larger than the memory limit."""
    content_type: str | None
    """With its charset; None without a body."""
    fingerprint: str
    """SHA-256 in hex over content type and bytes: equal input has an equal fingerprint."""
    size: int
    """Bytes."""
    description: str
    """For logs: kind and size, no content."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file, if there is one; harmless to repeat."""
        if isinstance(self.body, Path):
            self.body.unlink(missing_ok=True)


class PayloadSink:
    """Takes bytes, hashes them, and keeps them in memory or in a temporary file."""

    def __init__(
        self,
        *,
        content_type: str,
        memory_limit: int = MEMORY_LIMIT,
        max_bytes: int = MAX_BYTES,
        folder: Path | None = None,
        unhashed: bytes = b"",
    ) -> None:
        """
        Begin empty.

        :param memory_limit: bytes up to which the content stays in memory.
        :param max_bytes: where it ends; an iterator without end would fill the disk.
        :param folder: where a temporary file goes; None for the system's place.
        :param unhashed: a value that is different in each start, so that the fingerprint leaves it out.
        """
        self._unhashed = unhashed
        self._tail = b""
        self._content_type = content_type
        self._memory_limit = memory_limit
        self._max_bytes = max_bytes
        self._folder = folder
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._hash = hashlib.sha256(content_type.encode() + b"\0")
        self.size = 0

    def write(self, data: bytes, /) -> None:
        """
        Take the next bytes.

        :raises PayloadTooLarge: if there are more than the limit.
        """
        self._fingerprint(data)
        self.size += len(data)
        if self.size > self._max_bytes:
            raise PayloadTooLarge(self._max_bytes)
        if self._file is not None:
            self._file.write(data)
            return
        self._memory += data
        if len(self._memory) > self._memory_limit:
            self._spill()

    def __iter__(self) -> Iterator[bytes]:
        """Read the content back from its beginning, in chunks of :data:`CHUNK` bytes."""
        if self._file is None or self._path is None:
            for start in range(0, len(self._memory), CHUNK):
                yield bytes(self._memory[start : start + CHUNK])
            return
        self._file.flush()
        with self._path.open("rb") as content:
            while chunk := content.read(CHUNK):
                yield chunk

    def finish(self, *, description: str) -> PreparedPayload:
        """
        Return the payload, which owns the temporary file from now on.

        :param description: the kind of content; the size is added.
        """
        body: Body = bytes(self._memory)
        if self._file is not None and self._path is not None:
            self._file.close()
            body, self._path = self._path, None
        return PreparedPayload(
            body=body,
            content_type=self._content_type,
            fingerprint=self._finished_fingerprint(),
            size=self.size,
            description=f"{description}, {self.size:,} bytes",
        )

    def discard(self) -> None:
        """Remove what was kept, unless a payload owns it."""
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _fingerprint(self, data: bytes) -> None:
        if not self._unhashed:
            self._hash.update(data)
            return
        # The value may lie across two writes: what could be its beginning waits for the next one.
        seen = (self._tail + data).replace(self._unhashed, b"")
        kept = min(len(seen), len(self._unhashed) - 1)
        self._tail = seen[len(seen) - kept :]
        self._hash.update(seen[: len(seen) - kept])

    def _finished_fingerprint(self) -> str:
        self._hash.update(self._tail)
        return self._hash.hexdigest()

    def _spill(self) -> None:
        self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - finish() or discard() closes it
            prefix="smartflows-payload-", dir=self._folder, delete=False
        )
        self._path = Path(self._file.name)
        self._file.write(self._memory)
        self._memory = bytearray()


def empty_payload() -> PreparedPayload:
    """Return the payload of a flow that takes no input."""
    return PreparedPayload(
        body=None,
        content_type=None,
        fingerprint=hashlib.sha256(b"\0").hexdigest(),
        size=0,
        description="none",
    )
