"""The manifest: what downstream tasks get of a run, the same in every mode.

It is plain JSON in a fixed order of keys, small enough for XCom. Values over the limit move to storage: then
``values`` is null and one more key, ``values_file``, says where they are. ``values`` is never null otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NotRequired, TypedDict

from smartflows_provider.output.documents import LandedDocument, land
from smartflows_provider.output.errors import ManifestTooLarge
from smartflows_provider.output.extractor import DocumentRef, Output
from smartflows_provider.output.file_names import VALUES_NAME
from smartflows_provider.output.storage import StoragePath, uri_of

SCHEMA_VERSION: Final = 1
"""Grows when a key changes its meaning; new keys alone do not change it."""


class FlowEntry(TypedDict):
    """Which flow ran."""

    id: str
    name: str


class DocumentEntry(TypedDict):
    """One document; what is not known is null, and ``uri`` is where it was not landed."""

    id: str
    name: str
    content_type: str | None
    size: int | None
    sha256: str | None
    uri: str | None


class ValuesFile(TypedDict):
    """Where values are that were too large for XCom: a JSON file in UTF-8."""

    uri: str
    sha256: str
    size: int


class Manifest(TypedDict):
    """What a run left behind, for other tasks."""

    schema_version: int
    execution_id: str
    flow: FlowEntry
    status: str
    created_at: str | None
    finished_at: str | None
    values: dict[str, Any] | None
    documents: list[DocumentEntry]
    warnings: list[str]
    stages: int
    url: str | None
    values_file: NotRequired[ValuesFile]


def referenced(document: DocumentRef) -> DocumentEntry:
    """Return the entry of a document that was not landed."""
    return DocumentEntry(
        id=document.id, name=document.name, content_type=None, size=None, sha256=None, uri=None
    )


def landed(
    document: DocumentRef, file: LandedDocument, *, name: str = "", content_type: str = ""
) -> DocumentEntry:
    """
    Return the entry of a landed document.

    :param name: from the document's metadata; empty keeps the reference's. The file's own name is the end of
        its URI.
    :param content_type: from the document's metadata; empty is unknown.
    """
    return DocumentEntry(
        id=document.id,
        name=name or document.name,
        content_type=content_type or None,
        size=file.size,
        sha256=file.sha256,
        uri=file.uri,
    )


def build_manifest(
    output: Output,
    *,
    execution_id: str,
    flow_id: str,
    flow_name: str,
    status: str,
    created_at: str,
    url: str,
    values: Mapping[str, Any] | None = None,
    documents: Iterable[DocumentEntry] | None = None,
) -> Manifest:
    """
    Put the manifest together.

    :param output: what the extractor read.
    :param status: the service's word in its documented spelling.
    :param created_at: ISO 8601; empty becomes null, as ``url`` does.
    :param url: the run's page for people, without secrets.
    :param values: what a selection kept; None takes all of the output's values.
    :param documents: entries in the order of the output; None lists all references as not landed.
    """
    if documents is None:
        documents = map(referenced, output.documents)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        execution_id=execution_id,
        flow=FlowEntry(id=flow_id, name=flow_name),
        status=status,
        created_at=created_at or None,
        finished_at=output.finished_at,
        values=dict(output.values if values is None else values),
        documents=list(documents),
        warnings=list(output.warnings),
        stages=output.stages,
        url=url or None,
    )


def size_of(manifest: Manifest) -> int:
    """Return the bytes that the manifest takes as JSON in XCom."""
    return len(json.dumps(manifest, allow_nan=False))


def fit(manifest: Manifest, *, max_bytes: int, spill_to: StoragePath | None) -> Manifest:
    """
    Make the manifest fit into XCom: over the limit, its values move to a file.

    :param manifest: as :func:`build_manifest` returns it; not changed.
    :param max_bytes: the option ``max_xcom_bytes``.
    :param spill_to: the run's directory below ``documents_path``, where ``values.json`` is written; None if
        there is no such path.
    :returns: the same manifest, or one with ``values`` null and ``values_file`` set.
    :raises ManifestTooLarge: if there is no path, or if the rest alone is over the limit; a retry does not
        help.
    :raises StorageFailed: a retry helps if the storage was only away.
    """
    size = size_of(manifest)
    if size <= max_bytes:
        return manifest
    over = f"the manifest of execution {manifest['execution_id']} has {size:,} bytes, over"
    limit = f"max_xcom_bytes={max_bytes:,}"
    if spill_to is None:
        raise ManifestTooLarge(
            f"{over} {limit}. Set documents_path, so that the values go to a file there, keep fewer values "
            "with outputs, or raise max_xcom_bytes."
        )
    content = json.dumps(manifest["values"], ensure_ascii=False, allow_nan=False).encode()
    fitting = manifest.copy()
    fitting["values"] = None
    fitting["values_file"] = ValuesFile(
        uri=uri_of(spill_to / VALUES_NAME), sha256=hashlib.sha256(content).hexdigest(), size=len(content)
    )
    if (rest := size_of(fitting)) > max_bytes:
        raise ManifestTooLarge(
            f"{over} {limit}, and without its values it still has {rest:,}, "
            f"documents: {len(manifest['documents'])}, warnings: {len(manifest['warnings'])}. "
            f"Raise max_xcom_bytes to at least {min(rest, size):,}."
        )
    land([content], spill_to, VALUES_NAME)
    return fitting
