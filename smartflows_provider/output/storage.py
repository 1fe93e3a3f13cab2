"""Writing one file to a storage, all of it or nothing.

A storage is a directory on disk (``pathlib.Path``) or anything fsspec reaches (``ObjectStoragePath``,
``UPath``). Leaving a ``with open(…, "wb")`` by an exception closes the file, and an object store then keeps
the part under its final name. So every file is begun and finished as ``unfinished`` describes.

A path is used through its filesystem and not through its own ``open`` and ``move``: Airflow's path reports
every write to the lineage collector, and temporary keys are no data assets.
Invariant: under the final name stands the old file, the whole new file, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

from upath import UPath

from smartflows_provider.output.errors import StorageFailed
from smartflows_provider.output.unfinished import Unfinished, begin_file, remove_left_overs


class ObjectPath(Protocol):
    """The part of an ``ObjectStoragePath`` or ``UPath`` that is needed here."""

    @property
    def fs(self) -> Any:
        """The fsspec filesystem."""

    @property
    def path(self) -> str:
        """The place within the filesystem."""

    def __truediv__(self, key: str, /) -> Self:
        """Return the place of a key below this one."""


StoragePath: TypeAlias = Path | ObjectPath
"""A place on a storage, as an operator makes it from ``documents_path``."""


class WholeFile:
    """A file that is being written; :func:`whole_file` makes it."""

    def __init__(self, file: Unfinished, *, uri: str) -> None:
        self._file = file
        self.uri = uri
        """Where the file will stand."""

    def write(self, chunk: bytes) -> None:
        """
        Append a chunk.

        :raises StorageFailed: if the storage does not take it; a retry helps if the storage was only away.
        """
        with _storing(self.uri):
            self._file.write(chunk)


def uri_of(path: StoragePath) -> str:
    """
    Return the address under which ``ObjectStoragePath(uri)`` opens the file again.

    It is not percent-encoded, because fsspec does not decode, and it holds a connection's id but no secret.
    """
    address = str(path)
    return address if "://" in address else f"file://{Path(address).absolute()}"


@contextmanager
def whole_file(directory: StoragePath, name: str, *, size: int | None = None) -> Iterator[WholeFile]:
    """
    Open a file for writing that appears under its name only when the block ends well.

    :param directory: where it goes; made if it is missing.
    :param name: a safe file name; an existing file of the name is replaced.
    :param size: bytes that are expected; None if unknown.
    :returns: a context manager with the open file. An error raised in the block is the one that leaves it;
        what then fails while cleaning up is not shown.
    :raises StorageFailed: if the storage does not take it; a retry helps if the storage was only away.
    """
    target = directory / name
    uri = uri_of(target)
    folder = _folder(directory)
    with _storing(uri):
        file = begin_file(folder.fs, folder.path, (folder / name).path, size=size)
    try:
        yield WholeFile(file, uri=uri)
        with _storing(uri):
            file.finish()
    except BaseException:
        with suppress(Exception):
            file.abandon()
        raise


def clear_left_overs(directory: StoragePath) -> None:
    """
    Remove the hidden parts of files that killed processes have left, where the storage shows which those are.

    :param directory: where they were to go.
    :raises StorageFailed: if the storage cannot be reached at all.
    """
    folder = _folder(directory)
    with _storing(uri_of(directory)):
        remove_left_overs(folder.fs, folder.path)


def _folder(directory: StoragePath) -> ObjectPath:
    return UPath(directory) if isinstance(directory, Path) else directory


@contextmanager
def _storing(uri: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what a storage raises depends on its driver
        raise StorageFailed(
            f"{uri} could not be written: {type(error).__name__}: {error}. Check that documents_path exists, "
            "that its connection may write there, and that there is room."
        ) from error
