"""What operators do with an execution that another task, or somebody else, has started.

Apart from the operators' arguments, so that a DAG parse does not load it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from smartflows_provider.exceptions import FlowConfigurationError, FlowNotFoundError, FlowStateUnknownError
from smartflows_provider.lifecycle.answering import answer_forms
from smartflows_provider.lifecycle.results import (
    ResultOptions,
    Results,
    check_outputs,
    documents_of,
    land_documents,
    take_output,
)
from smartflows_provider.lifecycle.stop import cancel_and_settle
from smartflows_provider.lifecycle.worker_kill import stopped_while_fetching
from smartflows_provider.lifecycle.xcom_keys import EXECUTION_URL_KEY
from smartflows_provider.operators.arguments import mapping_argument, text_argument
from smartflows_provider.operators.storage import storage_path
from smartflows_provider.output.documents import document_dir
from smartflows_provider.output.extractor import DocumentRef
from smartflows_provider.output.lineage import Landing
from smartflows_provider.output.manifest import FlowEntry
from smartflows_provider.waiting.holding import SHORTEST_NAMED

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.exceptions import RunIdentity
    from smartflows_provider.hooks.smart_flows import SmartFlowsHook
    from smartflows_provider.operators.smart_flows import (
        SmartFlowsAnswerFormOperator,
        SmartFlowsCancelExecutionOperator,
        SmartFlowsDownloadDocumentsOperator,
        SmartFlowsGetOutputOperator,
        SmartFlowsSendEventOperator,
    )

NO_EXECUTION_FOLDER = "documents"
"""Folder of documents that are named by their ids."""


def take_output_of(operator: SmartFlowsGetOutputOperator, context: Context) -> Results:
    """Return the results of the operator's execution; push its address for the link."""
    hook, execution_id, where = _execution(operator)
    outputs = mapping_argument(operator.outputs, "outputs", where=where)
    check_outputs(outputs, where=where)
    documents_path = storage_path(operator.documents_path, where=where)
    url = hook.execution_url(execution_id)
    context["ti"].xcom_push(key=EXECUTION_URL_KEY, value=url)
    return take_output(
        hook,
        execution_id,
        options=ResultOptions(
            outputs=outputs,
            values_by_title=operator.values_by_title,
            documents_path=documents_path,
            max_document_bytes=operator.max_document_bytes,
            max_xcom_bytes=operator.max_xcom_bytes,
        ),
        on_warning=operator.on_warning,
        where=hook.identity(execution_id=execution_id, url=url),
        log=operator.log,
        check=partial(_stop_if_killed, operator, where),
        own=False,
    )


def download_for(operator: SmartFlowsDownloadDocumentsOperator) -> Landing:
    """Land the documents that the operator names."""
    hook = operator.hook
    base = storage_path(operator.documents_path, where=hook.identity())
    if base is None:
        raise FlowConfigurationError(
            "The argument documents_path is empty.",
            where=hook.identity(),
            fate="Nothing was fetched.",
            advice="Set it to a path or URL that documents can go to.",
        )
    if operator.document_ids is None:
        _, execution_id, where = _execution(operator)
        execution, documents = documents_of(hook, execution_id, where=where)
    else:
        where = hook.identity()
        execution, documents = None, _documents_named(operator.document_ids, where)
    entries = land_documents(
        hook,
        documents,
        target=document_dir(base, NO_EXECUTION_FOLDER if execution is None else execution.id),
        max_bytes=operator.max_document_bytes,
        where=where,
        log=operator.log,
        check=partial(_stop_if_killed, operator, where),
    )
    if execution is None:
        return Landing(documents=tuple(entries))
    return Landing(
        documents=tuple(entries),
        execution_id=execution.id,
        flow=FlowEntry(id=execution.flow.id, name=execution.flow.name),
        status=execution.status,
        url=hook.execution_url(execution.id),
    )


def answer_for(operator: SmartFlowsAnswerFormOperator) -> str:
    """Answer the form of the operator's execution and return the status after that."""
    hook, execution_id, where = _execution(operator)
    answers = mapping_argument(operator.answers, "answers", where=where)
    answered = answer_forms(hook, execution_id, answers=answers, where=where, log=operator.log)
    if not answered.forms:
        raise FlowStateUnknownError(
            f"The execution asks nothing, its status is {answered.status}.",
            where=where,
            fate="Nothing was answered.",
            advice="If its form is still to come, a retry looks again.",
        )
    return answered.status


def send_event_for(operator: SmartFlowsSendEventOperator) -> None:
    """Send the operator's event, once."""
    hook = operator.hook
    callback_id = text_argument(operator.callback_id, "callback_id", where=hook.identity())
    text = (
        operator.text
        if operator.text is None or isinstance(operator.text, str)
        else json.dumps(operator.text)
    )
    hook.send_event(callback_id, execution_id=operator.execution_id or None, text=text)
    operator.log.info("Sent the event to callback %s.", callback_id)


def cancel_for(operator: SmartFlowsCancelExecutionOperator) -> str:
    """Cancel the operator's execution, wait until it has stopped, and say what became of it."""
    hook, execution_id, where = _execution(operator)
    # A wrong key or a service out of reach is said as such; what is gone has stopped.
    with suppress(FlowNotFoundError):
        hook.get_progress(execution_id, hold_seconds=SHORTEST_NAMED)
    stopped = cancel_and_settle(hook, execution_id, cause="request", seconds=operator.settle_seconds)
    if not stopped.is_over:
        raise FlowStateUnknownError(
            "The execution has not stopped.", where=where, fate=stopped.fate, advice="A retry asks again."
        )
    operator.log.info("%s", stopped.fate)
    return stopped.fate


def _stop_if_killed(
    operator: SmartFlowsGetOutputOperator | SmartFlowsDownloadDocumentsOperator, where: RunIdentity
) -> None:
    """
    Stop a task that was told to.

    :raises FlowKilledError: a retry fetches again what this attempt did not bring.
    """
    if operator.killed:
        raise stopped_while_fetching(where=where)


def _execution(operator: Any) -> tuple[SmartFlowsHook, str, RunIdentity]:
    """Return the operator's hook, its execution's id once that was checked, and both for messages."""
    hook: SmartFlowsHook = operator.hook
    execution_id = text_argument(operator.execution_id, "execution_id", where=hook.identity())
    return hook, execution_id, hook.identity(execution_id=execution_id)


def _documents_named(ids: Any, where: RunIdentity) -> list[DocumentRef]:
    """Return what ids of documents, or a manifest's own entries, point at."""
    entries = ids if isinstance(ids, list | tuple) else [ids]
    named = [one.get("id") if isinstance(one, Mapping) else one for one in entries]
    return [
        DocumentRef(id=text_argument(one, "document_ids", where=where), name="", path="") for one in named
    ]
