"""Paths that DAG authors give, as paths on any storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath

if TYPE_CHECKING:
    from smartflows_provider.output.storage import StoragePath


def storage_path(path: Any) -> StoragePath | None:
    """
    Return a path on object storage, None for None or an empty template.

    :param path: a path object, or a path or URL as text, ``s3://aws_default@bucket/reports`` say.
    """
    if path is None or path == "":
        return None
    return path if hasattr(path, "fs") else ObjectStoragePath(str(path))
