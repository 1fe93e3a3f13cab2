"""The manifest: what downstream tasks get of a run, the same in every mode.

It is plain JSON in a fixed order of keys, small enough for XCom. What makes it too large moves to storage:
then ``values`` is null and one more key, ``values_file``, says where they are, and the same with
``documents`` and ``documents_file``. Neither is null otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NotRequired, TypedDict, cast

from smartflows_provider.output.documents import LandedDocument, land
from smartflows_provider.output.errors import ManifestTooLarge
from smartflows_provider.output.extractor import DocumentRef, Output
from smartflows_provider.output.file_names import DOCUMENTS_NAME, VALUES_NAME
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


class SpilledFile(TypedDict):
    """Where something is that was too large for XCom: a JSON file in UTF-8."""

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
    documents: list[DocumentEntry] | None
    warnings: list[str]
    stages: int
    url: str | None
    values_file: NotRequired[SpilledFile]
    documents_file: NotRequired[SpilledFile]


_Movable = Literal["values", "documents"]
_FILES: Final[Mapping[_Movable, str]] = {"values": VALUES_NAME, "documents": DOCUMENTS_NAME}
_WAYS: Final[tuple[tuple[_Movable, ...], ...]] = (("values",), ("documents",), ("values", "documents"))
"""What moves to storage; the first way that is enough is taken."""


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
    Make the manifest fit into XCom: over the limit, its values, its list of documents, or both move to files.

    :param manifest: as :func:`build_manifest` returns it; not changed.
    :param max_bytes: the option ``max_xcom_bytes``.
    :param spill_to: the run's directory below ``documents_path``, where ``values.json`` and
        ``documents.json`` are written; None if there is no such path.
    :returns: the same manifest, or one with ``values`` null and ``values_file`` set, or the same with
        ``documents`` and ``documents_file``, or both.
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
            f"{over} {limit}. Set documents_path, so that the values or the list of documents go to a file "
            "there, keep fewer values with outputs, or raise max_xcom_bytes."
        )
    contents = {
        part: json.dumps(manifest[part], ensure_ascii=False, allow_nan=False).encode() for part in _FILES
    }
    sizes = [size]
    for way in _WAYS:
        files = {f"{part}_file": _file(spill_to / _FILES[part], contents[part]) for part in way}
        fitting = cast("Manifest", {**manifest, **dict.fromkeys(way), **files})
        sizes.append(size_of(fitting))
        if sizes[-1] <= max_bytes:
            for part in way:
                land([contents[part]], spill_to, _FILES[part])
            return fitting
    raise ManifestTooLarge(
        f"{over} {limit}, and without its values and documents it still has {sizes[-1]:,}, warnings: "
        f"{len(manifest['warnings'])}. Raise max_xcom_bytes to at least {min(sizes):,}."
    )


def _file(path: StoragePath, content: bytes) -> SpilledFile:
    return SpilledFile(uri=uri_of(path), sha256=hashlib.sha256(content).hexdigest(), size=len(content))
