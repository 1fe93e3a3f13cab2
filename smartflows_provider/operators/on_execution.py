"""What operators do with an execution that another task, or somebody else, has started.

Apart from the operators' arguments, so that a DAG parse does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smartflows_provider.exceptions import FlowConfigurationError, FlowStateUnknownError
from smartflows_provider.lifecycle.results import (
    ResultOptions,
    check_outputs,
    documents_of,
    land_documents,
    take_output,
)
from smartflows_provider.lifecycle.stop import cancel_and_settle
from smartflows_provider.links import EXECUTION_URL_KEY
from smartflows_provider.operators.storage import storage_path
from smartflows_provider.output.documents import document_dir
from smartflows_provider.output.extractor import DocumentRef

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.operators.smart_flows import (
        SmartFlowsCancelExecutionOperator,
        SmartFlowsDownloadDocumentsOperator,
        SmartFlowsGetOutputOperator,
    )
    from smartflows_provider.output.manifest import DocumentEntry, Manifest

NO_EXECUTION_FOLDER = "documents"
"""Folder of documents that are named by their ids."""


def take_output_of(operator: SmartFlowsGetOutputOperator, context: Context) -> Manifest:
    """Return the manifest of the operator's execution; push its address for the link."""
    hook, execution_id = operator.hook, operator.execution_id
    check_outputs(operator.outputs, where=hook.identity(execution_id=execution_id))
    url = hook.execution_url(execution_id)
    context["ti"].xcom_push(key=EXECUTION_URL_KEY, value=url)
    return take_output(
        hook,
        execution_id,
        options=ResultOptions(
            outputs=operator.outputs,
            values_by_title=operator.values_by_title,
            documents_path=storage_path(operator.documents_path),
            max_document_bytes=operator.max_document_bytes,
            max_xcom_bytes=operator.max_xcom_bytes,
        ),
        on_warning=operator.on_warning,
        where=hook.identity(execution_id=execution_id, url=url),
        log=operator.log,
    )


def download_for(operator: SmartFlowsDownloadDocumentsOperator) -> list[DocumentEntry]:
    """Land the documents that the operator names."""
    hook, execution_id = operator.hook, operator.execution_id
    where = hook.identity(execution_id=execution_id)
    base = storage_path(operator.documents_path)
    if base is None:
        raise FlowConfigurationError(
            "documents_path is empty.",
            where=where,
            advice="Set it to a path or URL that documents can go to.",
        )
    if execution_id:
        documents = documents_of(hook, execution_id, where=where)
    else:
        ids = operator.document_ids or ()
        documents = [
            DocumentRef(id=one, name="", path="") for one in ([ids] if isinstance(ids, str) else ids)
        ]
    return land_documents(
        hook,
        documents,
        target=document_dir(base, execution_id or NO_EXECUTION_FOLDER),
        max_bytes=operator.max_document_bytes,
        where=where,
        log=operator.log,
    )


def cancel_for(operator: SmartFlowsCancelExecutionOperator) -> str:
    """Cancel the operator's execution, wait until it has stopped, and say what became of it."""
    hook, execution_id = operator.hook, operator.execution_id
    stopped = cancel_and_settle(hook, execution_id, seconds=operator.settle_seconds)
    if not stopped.is_over:
        raise FlowStateUnknownError(
            "The execution has not stopped.",
            where=hook.identity(execution_id=execution_id),
            fate=stopped.fate,
            advice="A retry asks again.",
        )
    operator.log.info("%s", stopped.fate)
    return stopped.fate
