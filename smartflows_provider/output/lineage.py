"""Where a run's documents went, for those who follow data: asset events and OpenLineage.

Both name a file by an address that is the same for everybody, so the id of an Airflow connection, which is
part of a path that opens, is no part of it. Invariants: only what was landed is told of; an extra is plain
JSON and bounded in size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from smartflows_provider.output.manifest import DocumentEntry, FlowEntry, Manifest, SpilledFile

MAX_LISTED_BYTES: Final = 16 * 1024
"""What the list of documents in an event's extra may take as JSON; Airflow stores it with each event."""

_ESCAPES = str.maketrans({"?": "%3F", "#": "%23"})
_OBJECT_STORES: Mapping[str, str] = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}


@dataclass(frozen=True, kw_only=True)
class Landing:
    """What a task has brought to storage."""

    documents: tuple[DocumentEntry, ...]
    """Those that were landed, in the order of the output."""
    execution_id: str | None = None
    """None where documents were fetched by their ids."""
    flow: FlowEntry | None = None
    status: str | None = None
    """The service's word in its documented spelling."""
    url: str | None = None
    """Where people look at the execution."""
    spilled: tuple[SpilledFile, ...] = ()
    """Files with what was too large for XCom."""

    @classmethod
    def of(cls, manifest: Manifest, documents: Iterable[DocumentEntry]) -> Self:
        """
        Return what a manifest tells of it.

        :param documents: the manifest's, which it may not list itself.
        """
        files = (manifest.get("values_file"), manifest.get("documents_file"))
        return cls(
            documents=tuple(one for one in documents if one["uri"]),
            execution_id=manifest["execution_id"],
            flow=manifest["flow"],
            status=manifest["status"],
            url=manifest["url"],
            spilled=tuple(file for file in files if file is not None),
        )

    def document_extra(self, document: DocumentEntry) -> dict[str, Any]:
        """Return what an event says of one document."""
        return {
            "execution_id": self.execution_id,
            "flow": self.flow,
            "document_id": document["id"],
            "name": document["name"],
            "uri": document["uri"],
            "sha256": document["sha256"],
            "size": document["size"],
            "content_type": document["content_type"],
        }

    def run_extra(self) -> dict[str, Any]:
        """
        Return what an event says of the whole run.

        ``document_count`` counts all documents; ``documents`` lists as many of the first as there is room
        for. ``sha256`` is there where there is one document.
        """
        listed: list[dict[str, Any]] = []
        room = MAX_LISTED_BYTES
        for one in self.documents:
            entry = {"name": one["name"], "uri": one["uri"], "sha256": one["sha256"]}
            room -= len(json.dumps(entry))
            if room < 0:
                break
            listed.append(entry)
        extra: dict[str, Any] = {
            "execution_id": self.execution_id,
            "flow": self.flow,
            "status": self.status,
            "document_count": len(self.documents),
            "documents": listed,
        }
        if len(self.documents) == 1:
            extra["sha256"] = self.documents[0]["sha256"]
        return extra


def public_address(uri: str) -> str:
    """Return a URI without the connection, ``s3://bucket/key`` for ``s3://aws_default@bucket/key``."""
    scheme, separator, rest = uri.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path}" if separator else uri


def asset_uri(uri: str) -> str:
    """
    Return the URI of the asset that a file is.

    Airflow cuts an asset's URI at ``#`` and sorts what follows ``?``, so that these are percent-encoded.
    All other letters stay as they are, and the URI is what an author writes down for the file.
    """
    return public_address(uri).translate(_ESCAPES)


def dataset_address(uri: str) -> tuple[str, str]:
    """
    Return namespace and name of a file as OpenLineage's naming conventions have them.

    :param uri: of a file on any storage, as :func:`~smartflows_provider.output.storage.uri_of` makes it.
    """
    scheme, _, rest = public_address(uri).partition("://")
    place, slash, path = rest.partition("/")
    if scheme in _OBJECT_STORES:
        return f"{_OBJECT_STORES[scheme]}://{place}", path or "/"
    return (f"{scheme}://{place}" if place else scheme), slash + path
