"""Landing documents: from a stream of bytes to a file on the user's storage.

Invariants: memory does not grow with a document; the file appears whole or not at all; a repeated run writes
the same places, ``{documents_path}/{execution_id}/{name}``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from smartflows_provider.output.errors import DocumentIncomplete, DocumentTooLarge
from smartflows_provider.output.file_names import safe_name
from smartflows_provider.output.hashing import StreamHash
from smartflows_provider.output.storage import StoragePath, whole_file


@dataclass(frozen=True, kw_only=True)
class LandedDocument:
    """A file that was written whole."""

    uri: str
    """Opens again with ``ObjectStoragePath(uri)``."""
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal, of the bytes as they were written."""


def document_dir(documents_path: StoragePath, execution_id: str) -> StoragePath:
    """Return where the files of one run go; nothing is made yet."""
    return documents_path / safe_name(execution_id)


def land(
    chunks: Iterable[bytes],
    target_dir: StoragePath,
    name: str,
    *,
    max_bytes: int | None = None,
    expected_size: int | None = None,
) -> LandedDocument:
    """
    Write a stream to a file, hashing it on the way.

    :param chunks: the bytes; an error raised while reading them leaves no file and is passed on.
    :param target_dir: see :func:`document_dir`; made if it is missing.
    :param name: see :func:`~smartflows_provider.output.file_names.safe_name`; an existing file is replaced.
    :param max_bytes: the option ``max_document_bytes``; None is no limit. Also checked against
        ``expected_size`` before anything is read.
    :param expected_size: bytes that ``chunks`` must add up to, such as a ``Content-Length`` of a body without
        ``Content-Encoding``; None if unknown.
    :raises DocumentTooLarge: a retry does not help.
    :raises DocumentIncomplete: a retry helps.
    :raises StorageFailed: a retry helps if the storage was only away.
    """
    if max_bytes is not None and expected_size is not None and expected_size > max_bytes:
        raise _too_large(name, f"has {expected_size:,} bytes", max_bytes)
    size = 0
    with whole_file(target_dir, name, size=expected_size) as file, StreamHash() as digest:
        for chunk in chunks:
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise _too_large(name, "goes on", max_bytes)
            if expected_size is not None and size > expected_size:
                break
            digest.update(chunk)
            file.write(chunk)
        if expected_size is not None and size != expected_size:
            came = "more came" if size > expected_size else f"{size:,} came"
            raise DocumentIncomplete(
                f"the document {name!r} was announced with {expected_size:,} bytes, but {came}; nothing was "
                "kept. A retry fetches it again."
            )
    return LandedDocument(uri=file.uri, size=size, sha256=digest.hexdigest)


def _too_large(name: str, what: str, max_bytes: int) -> DocumentTooLarge:
    return DocumentTooLarge(
        f"the document {name!r} {what}, over max_document_bytes={max_bytes:,}; nothing was kept. Raise "
        "max_document_bytes, or let the flow make a smaller document."
    )
