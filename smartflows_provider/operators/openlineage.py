"""What a task has read and written, in OpenLineage's terms.

The provider for OpenLineage calls operators when a task is over, and only where it is installed: nothing else
imports this module. A task that was deferred ends in another process than the one that has read the input, so
the datasets come from the operator's arguments and from what it has landed, and nothing is read again.
Invariants: no value of the input is told; with ``hide_payload`` the text of the query is not told either.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import BaseHook
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.sqlparser import get_openlineage_facets_with_sql
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    external_query_run,
    output_statistics_output_dataset,
)

from smartflows_provider.operators.base import LandingOperator
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.output.lineage import Landing, dataset_address
from smartflows_provider.output.storage import uri_of
from smartflows_provider.payload.options import is_address

MAX_DATASETS = 200
"""Documents that are told of one by one; of more, their folder is told of."""

Lineage: TypeAlias = OperatorLineage[Any, Any]


def lineage_of(operator: LandingOperator) -> Lineage:
    """Return what an operator has read and written by the end of its task."""
    written = landed_lineage(operator.landing, system=operator.system)
    if not isinstance(operator, SmartFlowsRunFlowOperator):
        return written
    dag = operator.get_dag()
    folder = Path(dag.fileloc).parent if dag is not None else Path()
    return _joined(payload_lineage(operator, folder=folder), written)


def landed_lineage(landing: Landing | None, *, system: str) -> Lineage:
    """
    Return what a task has written, and which run of the flow did it.

    :param landing: what the task has brought; None where it has not come so far.
    :param system: its flow system, named where the run has no address.
    """
    if landing is None:
        return OperatorLineage()
    run_facets = {}
    if landing.execution_id is not None:
        page = urlsplit(landing.url or "")
        run_facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(
            externalQueryId=landing.execution_id,
            source=f"{page.scheme}://{page.netloc}" if page.netloc else system,
        )
    return OperatorLineage(outputs=list(_outputs(landing)), run_facets=run_facets)


def payload_lineage(operator: SmartFlowsRunFlowOperator, *, folder: Path) -> Lineage:
    """
    Return what a task has read: files, and the tables of its query.

    Tables are told of where the hook of ``sql_conn_id`` says which database it leads to.

    :param operator: its templates rendered.
    :param folder: of the DAG file; relative paths are taken from it.
    """
    files: Lineage = OperatorLineage(inputs=list(_inputs(operator, folder)))
    sql = operator.payload_argument("sql")
    if not isinstance(sql, str) or not operator.sql_conn_id:
        return files
    try:
        hook = BaseHook.get_connection(operator.sql_conn_id).get_hook()
        queried = get_openlineage_facets_with_sql(
            hook=hook,
            sql=sql,
            conn_id=operator.sql_conn_id,
            database=None,
        )
    except Exception as error:  # noqa: BLE001 - hooks and the parser are foreign; what was written still counts
        reason = type(error).__name__ if operator.hide_payload else error
        operator.log.warning("OpenLineage does not learn of the tables of sql: %s", reason)
        return files
    if queried is None:
        return files
    if operator.hide_payload:
        queried = OperatorLineage(inputs=queried.inputs, outputs=queried.outputs)
    return _joined(files, queried)


def _joined(first: Lineage, second: Lineage) -> Lineage:
    """Return both; the class itself can do that only in newer releases."""
    return OperatorLineage(
        inputs=[*first.inputs, *second.inputs],
        outputs=[*first.outputs, *second.outputs],
        run_facets={**first.run_facets, **second.run_facets},
        job_facets={**first.job_facets, **second.job_facets},
    )


def _inputs(operator: SmartFlowsRunFlowOperator, folder: Path) -> Iterator[InputDataset]:
    xml, rows = operator.payload_argument("xml"), operator.payload_argument("rows")
    is_file = _is_path(rows) or (isinstance(rows, str) and not rows.lstrip().startswith("["))
    for path in (xml if _is_path(xml) or is_address(xml) else None, rows if is_file else None, operator.xsd):
        if path is not None and str(path) not in {"", "."}:
            namespace, name = dataset_address(_uri(path, folder))
            yield InputDataset(namespace=namespace, name=name)


def _is_path(value: Any) -> bool:
    return isinstance(value, PathLike) or hasattr(value, "fs")


def _uri(path: Any, folder: Path) -> str:
    text = str(path)
    return text if "://" in text else uri_of(folder / text)


def _outputs(landing: Landing) -> Iterator[OutputDataset]:
    documents = landing.documents
    if len(documents) > MAX_DATASETS:
        folder = str(documents[0]["uri"]).rpartition("/")[0]
        sizes = sum(one["size"] or 0 for one in documents)
        yield _output(folder, version=None, size=sizes, files=len(documents))
    else:
        for one in documents:
            yield _output(str(one["uri"]), version=one["sha256"], size=one["size"], files=1)
    for file in landing.spilled:
        yield _output(file["uri"], version=file["sha256"], size=file["size"], files=1)


def _output(uri: str, *, version: str | None, size: int | None, files: int) -> OutputDataset:
    namespace, name = dataset_address(uri)
    return OutputDataset(
        namespace=namespace,
        name=name,
        facets={"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)}
        if version
        else {},
        outputFacets={
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                size=size, fileCount=files
            )
        },
    )
