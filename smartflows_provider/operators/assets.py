"""Telling Airflow which assets a task has renewed, and with what.

Airflow records an event for each outlet of a task that succeeds; here the events get their content.
Invariant: the documents are landed and the run is judged by the time this is asked, so nothing in here
fails the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.definitions.asset import AssetRef

from smartflows_provider.output.lineage import Landing, asset_uri, public_address


def describe_events(
    outlets: Iterable[Any], *, context: Mapping[str, Any], landing: Landing, log: Any
) -> None:
    """
    Say what the outlets' events carry.

    An alias gets each document as an asset of its own, an asset that is one of the documents what is known
    of that document, and any other asset, such as the folder, what is known of the run.

    :param outlets: of the task; those that are no assets are left alone.
    :param context: the task's context.
    :param landing: what the task has brought.
    :param log: the task's logger.
    """
    documents = {asset_uri(str(one["uri"])): one for one in landing.documents}
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            for uri, document in documents.items():
                with _described(outlet, log):
                    context["outlet_events"][outlet].add(
                        Asset(uri=uri), extra=landing.document_extra(document)
                    )
        elif isinstance(outlet, Asset | AssetRef):
            with _described(outlet, log):
                accessor = context["outlet_events"][outlet]
                found = documents.get(public_address(accessor.key.uri))
                extra = landing.run_extra() if found is None else landing.document_extra(found)
                accessor.extra = {**accessor.extra, **extra}


@contextmanager
def _described(outlet: Any, log: Any) -> Iterator[None]:
    """Let nothing out; what Airflow takes for an asset depends on its version and its database."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("An event of the outlet %r could not be described: %s", outlet, error)
