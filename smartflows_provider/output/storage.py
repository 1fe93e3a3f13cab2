"""Writing one file to a storage, all of it or nothing.

A storage is a directory on disk (``pathlib.Path``) or anything fsspec reaches (``ObjectStoragePath``,
``UPath``). Leaving a ``with open(…, "wb")`` by an exception closes the file, and an object store then keeps
the part under its final name. So every file is written under a temporary key beside its place and moved when
it is complete; a process that is killed leaves at most a hidden ``.….part`` behind.

A path is used through its filesystem and not through its own ``open`` and ``move``: Airflow's path reports
every write to the lineage collector, and temporary keys are no data assets.
Invariant: under the final name stands the old file, the whole new file, or nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

from upath import UPath

from smartflows_provider.output.errors import StorageFailed


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

    def __init__(self, handle: Any, *, uri: str) -> None:
        self._handle = handle
        self.uri = uri
        """Where the file will stand."""

    def write(self, chunk: bytes) -> None:
        """
        Append a chunk.

        :raises StorageFailed: if the storage does not take it; a retry helps if the storage was only away.
        """
        with _storing(self.uri):
            self._handle.write(chunk)


def uri_of(path: StoragePath) -> str:
    """
    Return the address under which ``ObjectStoragePath(uri)`` opens the file again.

    It is not percent-encoded, because fsspec does not decode, and it holds a connection's id but no secret.
    """
    address = str(path)
    return address if "://" in address else f"file://{Path(address).absolute()}"


@contextmanager
def whole_file(directory: StoragePath, name: str) -> Iterator[WholeFile]:
    """
    Open a file for writing that appears under its name only when the block ends well.

    :param directory: where it goes; made if it is missing.
    :param name: a safe file name; an existing file of the name is replaced.
    :returns: a context manager with the open file. An error raised in the block is the one that leaves it;
        what then fails while cleaning up is not shown.
    :raises StorageFailed: if the storage does not take it; a retry helps if the storage was only away.
    """
    target = directory / name
    uri = uri_of(target)
    folder = UPath(directory) if isinstance(directory, Path) else directory
    fs, place = folder.fs, (folder / name).path
    part = (folder / f".{uuid.uuid4().hex}.part").path
    try:
        with _storing(uri):
            fs.makedirs(folder.path, exist_ok=True)
            handle = fs.open(part, mode="wb")
        try:
            yield WholeFile(handle, uri=uri)
        except BaseException:
            with suppress(Exception):
                handle.close()
            raise
        with _storing(uri):
            handle.close()
            fs.mv(part, place)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(part)
        raise


@contextmanager
def _storing(uri: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what a storage raises depends on its driver
        raise StorageFailed(
            f"{uri} could not be written: {type(error).__name__}: {error}. Check that documents_path exists, "
            "that its connection may write there, and that there is room."
        ) from error
