"""The words that all flow systems share for a document of a run: what it is, and its bytes on their way.

Each system's module says by which calls they come. Invariant: only a 2xx answer is a document's bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from smartflows_provider.wire.answers import raise_for_status
from smartflows_provider.wire.messages import Response

Chunks = TypeVar("Chunks")


@dataclass(frozen=True, kw_only=True)
class Document:
    """The metadata of one document."""

    id: str
    name: str
    content_type: str = ""
    raw: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class DocumentStream(Generic[Chunks]):
    """A document's bytes on their way."""

    content_type: str
    """Media type, empty if the service named none."""
    size: int | None
    """Bytes the service announced, None if it did not."""
    chunks: Chunks
    """The bytes in pieces, to be read once."""


def read_document_head(head: Response, chunks: Chunks) -> DocumentStream[Chunks]:
    """
    Read the head of a document's content.

    :param head: the answer without its body.
    :param chunks: the body, still to be read.
    :raises WireError: for any answer other than 2xx.
    """
    raise_for_status(head)
    return DocumentStream(content_type=head.content_type, size=head.announced_size, chunks=chunks)
