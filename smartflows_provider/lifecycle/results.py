"""From a finished execution to what downstream tasks get: the manifest, and documents on storage.

Invariants: errors of the output room leave as the error tree, with the execution named; a document that
could not be brought is an error and never a gap in the manifest; names and order do not depend on which
transfer ends first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)

from smartflows_provider.exceptions import (
    FlowDocumentError,
    FlowOutputError,
    FlowStateUnknownError,
    RunIdentity,
)
from smartflows_provider.hooks.translation import translate
from smartflows_provider.lifecycle.conclude import error_of_ended_run, purged_error
from smartflows_provider.lifecycle.metrics import meter_of
from smartflows_provider.lifecycle.side_by_side import Halt, side_by_side
from smartflows_provider.lifecycle.spans import SpanName, flow_span, shown_of
from smartflows_provider.output.documents import document_dir, land
from smartflows_provider.output.errors import DocumentIncomplete, OutputError
from smartflows_provider.output.extractor import DocumentRef, Output
from smartflows_provider.output.file_names import FileNames
from smartflows_provider.output.lineage import Landing
from smartflows_provider.output.manifest import DocumentEntry, Manifest, build_manifest, fit, landed
from smartflows_provider.output.selection import check_expressions, select
from smartflows_provider.output.storage import clear_left_overs
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.errors import AnswerLost, NotSent, TransportError
from smartflows_provider.wire.documents import read_document_head
from smartflows_provider.wire.errors import REFUSALS, NotFound, ServiceFault, Throttled, WireError
from smartflows_provider.wire.run import Execution, Reference, RunPhase

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.lifecycle.options import OnWarning
    from smartflows_provider.output.storage import StoragePath
    from smartflows_provider.waiting.event import WaitEvent
    from smartflows_provider.wire.documents import Document

Check = Callable[[], None]
"""Returns if the task may go on, and raises what it is to end with if not."""
TRANSFER_ATTEMPTS = 4
"""How often one document's transfer is tried within a task's attempt."""
LONGEST_PAUSE = 20.0
"""Seconds between two of them, also for what Retry-After asks."""
SIDE_BY_SIDE = 4
"""How many documents are brought at once, at most."""


def go_on() -> None:
    """Let the task go on whatever happens: the check of one that nobody can stop."""


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """What of an output is taken along, and where to."""

    outputs: Mapping[str, str] | None = None
    """``{name: JMESPath}``; None keeps all values."""
    values_by_title: bool = False
    """Whether keys that are GUIDs are replaced by their titles."""
    documents_path: StoragePath | None = None
    """Where documents are landed; None lists them only."""
    max_document_bytes: int | None = None
    """Size limit for each document; None for no limit."""
    max_xcom_bytes: int
    """Size limit for the manifest."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a task has of a run."""

    manifest: Manifest
    """What it returns."""
    landing: Landing
    """What it has brought to storage, whether or not the manifest lists it."""


def check_outputs(
    outputs: Mapping[str, str] | None, *, where: RunIdentity, fate: str = "Nothing was fetched."
) -> None:
    """
    Refuse expressions that cannot be read, before they are needed.

    :param fate: what became of the run so far.
    :raises FlowOutputError: naming them; no retry helps.
    """
    if outputs:
        with output_errors(where, fate=fate):
            check_expressions(outputs)


@contextmanager
def output_errors(
    where: RunIdentity, *, fate: str = "The execution is finished; its output stays at the service."
) -> Iterator[None]:
    """Turn errors of the output room into those that DAG authors see."""
    try:
        yield
    except OutputError as error:
        kind = FlowDocumentError if error.retry_helps else FlowOutputError
        raise kind(str(error), where=where, fate=fate) from error


@contextmanager
def wire_errors(where: RunIdentity, *, about: str = "") -> Iterator[None]:
    """
    Turn errors of wire and transport into those that DAG authors see, with the execution named.

    :param about: what of the execution the calls are about.
    """
    try:
        yield
    except (WireError, TransportError) as error:
        raise translate(error, where=where, fate="Nothing at the service was changed.", about=about) from None


def judge(
    hook: FlowSystemHook,
    execution_id: str,
    *,
    on_warning: OnWarning,
    where: RunIdentity,
    log: Any,
    values_by_title: bool = False,
    ended: WaitEvent | None = None,
    own: bool = True,
) -> tuple[Execution, Output]:
    """
    Read a finished execution and let only a good end pass.

    :param hook: the connection.
    :param execution_id: the execution.
    :param on_warning: whether warnings are a failure.
    :param where: which run it is.
    :param log: the task's logger.
    :param values_by_title: whether keys that are GUIDs are replaced by their titles.
    :param ended: how it was seen to end; None where nobody has looked before.
    :param own: whether the task has started the execution; one that only looks has not.
    :returns: the execution and its output.
    :raises FlowExecutionGoneError: if it is gone although its end was seen; no retry helps.
    :raises FlowException: for an execution that ended badly, or is not finished.
    """
    with output_errors(where), wire_errors(where):
        execution = _read_ended(hook, execution_id, ended=ended, where=where, log=log, own=own)
        if ended is not None:
            meter_of(hook).run_ended(execution.phase, own=own)
        output = hook.output_of(execution, values_by_title=values_by_title)
    if ended is not None and own:
        count_duration(hook, execution, output)
    error = error_of_ended_run(
        phase=execution.phase,
        status=execution.status,
        where=where,
        on_warning=on_warning,
        errors=[str(one) for one in output.errors],
        warnings=output.warnings,
        failing_block=output.failing_block,
        own=own,
    )
    if error is not None:
        raise error
    say_end(execution_id, execution, output, may_go_on=hook.success_stands, log=log)
    return execution, output


def _read_ended(
    hook: FlowSystemHook,
    execution_id: str,
    *,
    ended: WaitEvent | None,
    where: RunIdentity,
    log: Any,
    own: bool,
) -> Execution:
    """
    Read an execution that a wait may have seen end.

    Where a run may go on after what was waited for, a success that was seen counts, whatever became of the
    run since.
    """
    succeeded = ended is not None and ended.phase is RunPhase.SUCCEEDED and hook.success_stands
    try:
        execution = _read(hook, execution_id)
    except NotFound as missing:
        if ended is None:
            raise
        if not succeeded:
            meter_of(hook).run_ended("gone", own=own)
            raise purged_error(ended.status or "an unknown status", str(missing), where=where) from None
        execution = Execution(
            id=execution_id, status="", phase=RunPhase.UNKNOWN, flow=Reference(id=""), raw={}
        )
    if ended is None or not succeeded or execution.phase is RunPhase.SUCCEEDED:
        return execution
    now = f"in {execution.status}" if execution.status else "gone"
    log.info(
        "Execution %s was seen in %s, which is a success; it is %s by now.", execution_id, ended.status, now
    )
    return replace(execution, phase=RunPhase.SUCCEEDED, status=ended.status or execution.status)


def _read(hook: FlowSystemHook, execution_id: str) -> Execution:
    """Read an execution; where it is refused, once more with the connection as it is by now."""
    try:
        return hook.client.run(hook.execution_exchange(execution_id, terms=hook.terms))
    except REFUSALS:
        # The key may have been rotated since the wait has last asked.
        hook.close()
    return hook.client.run(hook.execution_exchange(execution_id, terms=hook.terms))


def count_duration(hook: FlowSystemHook, execution: Execution, output: Output) -> None:
    """Measure how long a run that has ended took, where the service tells that."""
    meter_of(hook).run_took(execution.phase, created_at=execution.created_at, finished_at=output.finished_at)


def say_end(execution_id: str, execution: Execution, output: Output, *, may_go_on: bool, log: Any) -> None:
    """
    Write to a task's log how a run has ended that ended well.

    :param may_go_on: whether what was waited for need not be the run's end.
    """
    for warning in output.warnings:
        log.warning("The flow warns: %s", warning)
    log.info(
        "Execution %s %s %s.", execution_id, "has reached" if may_go_on else "ended in", execution.status
    )


def status_of(execution_id: str, execution: Execution, *, url: str | None) -> dict[str, Any]:
    """Return what a sensor returns of an execution that ended well."""
    return {"execution_id": execution_id, "status": execution.status, "url": url}


def manifest_of(
    execution: Execution,
    output: Output,
    *,
    options: ResultOptions,
    url: str | None,
    documents: Sequence[DocumentEntry] | None = None,
    target: StoragePath | None = None,
) -> Manifest:
    """
    Put the manifest of a finished execution together.

    :param execution: finished.
    :param output: what was read of it.
    :param options: what is taken along.
    :param url: the run's page for people.
    :param documents: those that were landed; None lists all as not landed.
    :param target: where what is too large for XCom goes; None for nowhere.
    :raises OutputError: if the output cannot be taken as asked for.
    """
    values = select(output.values, options.outputs) if options.outputs else None
    manifest = build_manifest(
        output,
        execution_id=execution.id,
        flow_id=execution.flow.id,
        flow_name=execution.flow.name,
        status=execution.status,
        created_at=execution.created_at,
        url=url or "",
        values=values,
        documents=documents,
    )
    return fit(manifest, max_bytes=options.max_xcom_bytes, spill_to=target)


def take_output(
    hook: FlowSystemHook,
    execution_id: str,
    *,
    options: ResultOptions,
    on_warning: OnWarning,
    where: RunIdentity,
    log: Any,
    ended: WaitEvent | None = None,
    check: Check = go_on,
    own: bool = True,
) -> Results:
    """
    Judge a finished execution as :func:`judge` does, and take its output along as :func:`collect` does.

    :param options: what is taken along.
    :param check: asked now and then while documents are brought; what it raises stops the transfers.
    """
    with flow_span(SpanName.TAKE_OUTPUT, shown_of(hook, execution_id, flow=where.flow)) as span:
        execution, output = judge(
            hook,
            execution_id,
            on_warning=on_warning,
            where=where,
            log=log,
            values_by_title=options.values_by_title,
            ended=ended,
            own=own,
        )
        span.tell({"status": execution.status})
        return collect(hook, execution, output, options=options, where=where, log=log, check=check)


def documents_of(
    hook: FlowSystemHook, execution_id: str, *, where: RunIdentity
) -> tuple[Execution, Sequence[DocumentRef]]:
    """
    Return a finished execution, and the documents that its output points at.

    :raises FlowStateUnknownError: if the execution is not finished; a retry looks again.
    """
    with output_errors(where), wire_errors(where):
        execution = _read(hook, execution_id)
        if execution.phase.is_stable:
            return execution, hook.output_of(execution).documents
    raise FlowStateUnknownError(
        f"The execution is not finished, its status is {execution.status}.",
        where=where,
        fate="Nothing was fetched; the execution was left as it is.",
        advice=where.hints.wait,
    )


def collect(
    hook: FlowSystemHook,
    execution: Execution,
    output: Output,
    *,
    options: ResultOptions,
    where: RunIdentity,
    log: Any,
    check: Check = go_on,
) -> Results:
    """
    Land the documents and put the manifest together.

    :param hook: the connection.
    :param execution: finished.
    :param output: what was read of it.
    :param options: what is taken along.
    :param where: which run it is.
    :param log: the task's logger.
    :param check: as in :func:`take_output`.
    :raises FlowOutputError: if the output cannot be taken as asked for; no retry helps.
    :raises FlowDocumentError: if a document could not be brought; a retry helps.
    """
    with output_errors(where):
        target = document_dir(options.documents_path, execution.id) if options.documents_path else None
        documents = (
            None
            if target is None
            else land_documents(
                hook,
                output.documents,
                target=target,
                max_bytes=options.max_document_bytes,
                where=where,
                log=log,
                check=check,
            )
        )
        manifest = manifest_of(
            execution, output, options=options, url=where.url, documents=documents, target=target
        )
    return Results(manifest=manifest, landing=Landing.of(manifest, documents or ()))


def land_documents(
    hook: FlowSystemHook,
    documents: Sequence[DocumentRef],
    *,
    target: StoragePath,
    max_bytes: int | None,
    where: RunIdentity,
    log: Any,
    check: Check = go_on,
) -> list[DocumentEntry]:
    """
    Bring documents to a directory, a few at once, in constant memory.

    The names are settled before the first byte comes, from the documents' metadata alone. If one document
    fails, the others are stopped; files that were whole by then stay.

    :param hook: the connection; its ``max_connections`` also limits how many come at once.
    :param documents: in the order of the output, which also decides the numbers of equal names.
    :param target: the directory.
    :param max_bytes: size limit for each.
    :param where: which run they are of.
    :param log: the task's logger.
    :param check: as in :func:`take_output`.
    :returns: the entries of the documents, in their order.
    :raises FlowException: what the first document that failed has failed with; it names the document.
    """
    if not documents:
        return []
    with output_errors(where):
        clear_left_overs(target)
    # A client of its own, as it is given up where the transfers are stopped.
    with closing(BlockingClient(hook.settings)) as client:
        transfers = _Transfers(hook, client, target=target, max_bytes=max_bytes, where=where, log=log)
        return transfers.bring(documents, check=check)


class _Transfers:
    """Brings documents; most of it runs in threads."""

    def __init__(
        self,
        hook: FlowSystemHook,
        client: BlockingClient,
        *,
        target: StoragePath,
        max_bytes: int | None,
        where: RunIdentity,
        log: Any,
    ) -> None:
        self._hook = hook
        self._client = client
        self._target = target
        self._max_bytes = max_bytes
        self._where = where
        self._log = log
        self._halt = Halt()

    def bring(self, documents: Sequence[DocumentRef], *, check: Check) -> list[DocumentEntry]:
        """Return the entries of the documents once all are landed."""
        at_once = partial(
            side_by_side,
            halt=self._halt,
            limit=min(SIDE_BY_SIDE, self._client.settings.max_connections),
            check=check,
            break_off=self._client.abandon,
        )
        described: list[Document] = at_once(partial(self._describe, one) for one in documents)
        folder = FileNames()
        names = [folder.give(document.name, content_type=document.content_type) for document in described]
        entries: list[DocumentEntry] = at_once(
            partial(self._bring, *each) for each in zip(documents, described, names, strict=True)
        )
        return entries

    def _describe(self, reference: DocumentRef) -> Document:
        """Return a document's metadata."""
        with self._errors(reference.name or reference.id):
            return self._client.run(self._hook.document_exchange(reference.id))

    def _bring(self, reference: DocumentRef, document: Document, name: str) -> DocumentEntry:
        """Land one document; a transfer that breaks off starts from the beginning, a few times."""
        again = Retrying(
            stop=stop_after_attempt(TRANSFER_ATTEMPTS) | stop_when_event_set(self._halt.event),
            wait=_pause,
            retry=retry_if_exception(_may_pass),
            sleep=sleep_using_event(self._halt.event),
            before_sleep=partial(self._say_again, document.name),
            reraise=True,
        )
        with self._errors(document.name):
            entry: DocumentEntry = again(self._bring_once, reference, document, name)
        return entry

    def _bring_once(self, reference: DocumentRef, document: Document, name: str) -> DocumentEntry:
        with self._client.stream(self._hook.document_request(reference.id)) as (head, chunks):
            stream = read_document_head(head, chunks)
            _refuse_sign_in_page(document, stream.content_type, where=self._where)
            file = land(
                self._halt.until(stream.chunks),
                self._target,
                name,
                max_bytes=self._max_bytes,
                expected_size=stream.size,
            )
        self._log.info("Document %r (%d bytes) is at %s", document.name, file.size, file.uri)
        content_type = document.content_type or stream.content_type
        return landed(reference, file, name=document.name, content_type=content_type)

    def _say_again(self, name: str, state: RetryCallState) -> None:
        """Log that a transfer is to start anew."""
        if state.outcome is None or state.next_action is None:
            return
        self._log.warning(
            "Document %r: %s. It is fetched again from its beginning in %.1f s, attempt %d of %d.",
            name,
            state.outcome.exception(),
            state.next_action.sleep,
            state.attempt_number + 1,
            TRANSFER_ATTEMPTS,
        )

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        with output_errors(self._where), wire_errors(self._where, about=f"Document {name!r}"):
            yield


def _may_pass(error: BaseException) -> bool:
    """Tell whether a transfer that failed may succeed if it is repeated at once."""
    if isinstance(error, NotSent):
        # A refused certificate stays refused.
        return error.kind != "tls"
    return isinstance(error, AnswerLost | ServiceFault | Throttled | DocumentIncomplete)


_backoff = wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE)


def _pause(state: RetryCallState) -> float:
    """Return the seconds before a transfer is repeated: what the service asks for, or a few."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, WireError) else None
    return _backoff(state) if asked is None else min(asked, LONGEST_PAUSE)


def _refuse_sign_in_page(document: Document, came_as: str, *, where: RunIdentity) -> None:
    """Raise where a proxy or a sign-in page has answered with HTML instead of the document."""
    announced = document.content_type.partition(";")[0].strip().lower()
    if came_as == "text/html" and announced not in {"", "text/html", "application/xhtml+xml"}:
        raise FlowDocumentError(
            f"Document {document.name!r} is of type {announced}, but an HTML page came.",
            where=where,
            fate="The page was not kept; the document stays at the service.",
            advice="A sign-in page or a proxy has probably answered instead; a retry fetches it again.",
        )
