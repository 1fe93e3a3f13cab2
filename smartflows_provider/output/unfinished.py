"""Files on their way: nothing stands under their final name until they are finished.

One way for each kind of storage. On a file system a file is written beside its place and renamed. Object
stores whose driver can hold back an upload get it under its final key, where nothing shows before the end.
Every other storage gets a temporary key that is moved. Invariants: ``finish`` is the only step that touches
the final name; ``abandon`` leaves nothing behind, also where a step has failed; a process that is killed
leaves at most what nobody sees: a hidden ``.….part``, or an upload that was never completed.
"""

from __future__ import annotations

import fcntl
import math
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Protocol

_MIB: Final = 1024 * 1024
PART_SIZE: Final = 5 * _MIB
"""Bytes that an upload keeps in memory before it sends them; the least that S3 takes as a part."""
_MOST_PARTS: Final = 9_000
"""S3 takes 10,000 parts; a little room is left."""
_ON_DISK: Final = frozenset({"file", "local"})
_TWO_PHASE: Final = frozenset({"s3", "s3a", "gs", "gcs"})
"""Drivers that upload without showing anything, and then complete or abort: s3fs and gcsfs."""


class Unfinished(Protocol):
    """A file that is being written."""

    def write(self, chunk: bytes) -> None:
        """Append bytes."""

    def finish(self) -> None:
        """Make it appear under its final name, replacing a file that stands there."""

    def abandon(self) -> None:
        """Remove what was written; also after ``finish`` has failed."""


def begin_file(fs: Any, folder: str, place: str, *, size: int | None) -> Unfinished:
    """
    Begin a file in the way that its storage allows.

    :param fs: the fsspec filesystem.
    :param folder: where the file goes; made if the storage has folders.
    :param place: the file's final place.
    :param size: bytes that are expected; None if unknown.
    """
    if _speaks(fs, _ON_DISK):
        return _LocalFile(Path(folder), Path(place))
    if _speaks(fs, _TWO_PHASE):
        return _Upload(fs, place, size=size)
    return _TemporaryKey(fs, folder, place)


def remove_left_overs(fs: Any, folder: str) -> None:
    """
    Remove what killed processes have left in a folder of a file system; nothing to do on other storages.

    A file that somebody is still writing is kept: its writer holds a lock, which ends with the process.
    """
    if not _speaks(fs, _ON_DISK):
        return
    with suppress(OSError):
        for left in Path(folder).glob(".*.part"):
            # Whatever cannot be opened, or locked, is left for those who own it.
            # NFS locks only what is open for writing.
            with suppress(OSError), left.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def _speaks(fs: Any, protocols: frozenset[str]) -> bool:
    own = {fs.protocol} if isinstance(fs.protocol, str) else fs.protocol
    return not protocols.isdisjoint(own)


def _is_safe(file: IO[bytes]) -> bool:
    """Lock a new file; False if it was taken for a left-over before it could be locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Where there are no locks, left-overs are kept.
        return True
    return os.fstat(file.fileno()).st_nlink > 0


def _part_name() -> str:
    return f".{uuid.uuid4().hex}.part"


class _LocalFile:
    """
    A file beside its place, renamed at the end.

    It is not flushed to the disk itself: that would cost more than the transfer, and a machine that loses its
    power loses the task with it.
    """

    def __init__(self, folder: Path, place: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._place = place
        while True:
            self._part = folder / _part_name()
            self._file = self._part.open("xb")
            if _is_safe(self._file):
                return
            self._file.close()

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)

    def finish(self) -> None:
        self._file.flush()
        # NFS tells of a full disk only when a file is closed; the lock must hold until it has its name.
        os.close(os.dup(self._file.fileno()))
        self._part.replace(self._place)
        self._file.close()

    def abandon(self) -> None:
        self._part.unlink(missing_ok=True)
        with suppress(OSError):
            self._file.close()


class _Upload:
    """An upload under the final key, which the store shows when it is completed."""

    def __init__(self, fs: Any, key: str, *, size: int | None) -> None:
        # The driver's own default would hold 50 MiB of each document.
        part_size = max(PART_SIZE, math.ceil((size or 0) / _MOST_PARTS / _MIB) * _MIB)
        self._file = fs.open(key, mode="wb", block_size=part_size, autocommit=True)
        # Only now: else the driver would keep the file for a transaction, for ever or for somebody else's.
        self._file.autocommit = False

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)

    def finish(self) -> None:
        # With this close() completes the upload, a small file's in a single request.
        self._file.autocommit = True
        self._file.close()

    def abandon(self) -> None:
        try:
            self._file.discard()
        finally:
            # Else the file would close itself when it is forgotten, and upload the rest.
            self._file.closed = True


class _TemporaryKey:
    """A file under a temporary key, moved at the end."""

    def __init__(self, fs: Any, folder: str, place: str) -> None:
        fs.makedirs(folder, exist_ok=True)
        self._fs, self._place = fs, place
        self._part = f"{folder.rstrip('/')}/{_part_name()}"
        self._file = fs.open(self._part, mode="wb")

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)

    def finish(self) -> None:
        self._file.close()
        self._fs.mv(self._part, self._place)

    def abandon(self) -> None:
        with suppress(Exception):
            self._file.close()
        self._fs.rm_file(self._part)
