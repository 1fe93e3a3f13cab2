"""Paths that DAG authors give, as paths on any storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import ObjectStoragePath

from smartflows_provider.exceptions import FlowConfigurationError, RunIdentity

if TYPE_CHECKING:
    from smartflows_provider.output.storage import StoragePath


def storage_path(path: Any, *, where: RunIdentity, fate: str = "Nothing was fetched.") -> StoragePath | None:
    """
    Return a path on object storage, None for None or an empty template.

    :param path: a path object, or a path or URL as text, ``s3://aws_default@bucket/reports`` say.
    :param where: which run it is for.
    :param fate: what became of the run so far.
    :raises FlowConfigurationError: if its storage is not known here, for lack of a provider package say.
    """
    if path is None or path == "":
        return None
    if hasattr(path, "fs"):
        return cast("StoragePath", path)
    try:
        found = ObjectStoragePath(str(path))
        # Only this loads the storage's driver.
        _ = found.fs
    except (ValueError, ImportError, TypeError) as error:
        raise FlowConfigurationError(
            f"The path {str(path)!r} leads to no storage that is known here: {error}",
            where=where,
            fate=fate,
            advice="Check the scheme, and install the provider package for it, "
            "apache-airflow-providers-amazon for s3:// say.",
        ) from error
    return found
