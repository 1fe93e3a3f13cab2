"""The hook for PhixFlow's actionflow endpoints.

Every method exists twice, blocking and with the prefix ``a`` for ``async``, over the same call of
``wire.phixflow``. Errors come as the tree of ``smartflows_provider.exceptions``. Invariant: the key leaves
only in the header that the connection names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from smartflows_provider.exceptions import FlowException, SystemHints
from smartflows_provider.hooks.base import FlowSystemHook
from smartflows_provider.output.errors import OutputError
from smartflows_provider.output.extractor import FlowError, Output, plain_values
from smartflows_provider.systems import PHIXFLOW, PHIXFLOW_CONN_ID, PHIXFLOW_LABEL
from smartflows_provider.wire import phixflow as wire
from smartflows_provider.wire.errors import UnreadableAnswer
from smartflows_provider.wire.phixflow_answers import FailedRecord, failed_records, message_of, result_of
from smartflows_provider.wire.phixflow_paths import API_PREFIX, endpoint_path
from smartflows_provider.wire.phixflow_terms import ActionflowTerms
from smartflows_provider.wire.run import NO_TERMS, Execution, RunPhase, RunSnapshot, Terms

if TYPE_CHECKING:
    from smartflows_provider.hooks.connection import ConnectionReader
    from smartflows_provider.transport.settings import ClientSettings
    from smartflows_provider.wire.messages import Exchange

KEY_PLACE = "{key}"
DEFAULT_TERMS = ActionflowTerms()
_RECORDS_LISTED = 100
"""Records that failed which a manifest lists; one answer may hold a million."""
_RECORDS_TOLD = 98
"""The same of an error, which lists 100 sentences: the message and how many more there are among them."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TAKEN = frozenset({"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"})
"""Headers, in lower case, that a request has for other purposes."""
_LOOK = "Look at PhixFlow's console for what was done"
_NO_CANCEL = "as PhixFlow has no call that stops a run"


class EndpointArguments(TypedDict, total=False):
    """Which endpoint is called, and with what."""

    application: str | None
    """Name of the application (version 11); None for an address of version 10."""
    actionflow: str | None
    """Name of the actionflow."""
    path: str | None
    """Instead of names, a path below the connection's API prefix, as a URL alias has it."""
    method: wire.Method
    """``POST`` unless the endpoint's author chose otherwise."""
    parameters: Mapping[str, Any]
    """Input parameters, which go into the query."""
    body: Any
    """Anything that JSON can say; bytes and files go as they are, with ``content_type``."""
    content_type: str | None
    """Of bytes and files."""
    timeout_ms: int | None
    """Overrides the endpoint's own limit, in milliseconds."""


class PhixFlowHook(FlowSystemHook):
    """
    Speaks to one PhixFlow server.

    :param phixflow_conn_id: a connection of the type ``phixflow``: host, port, the API key as password if the
        endpoints need one; extras as the connection form lists them.
    """

    conn_name_attr = "phixflow_conn_id"
    default_conn_name = PHIXFLOW_CONN_ID
    conn_type = PHIXFLOW
    hook_name = PHIXFLOW_LABEL
    system = PHIXFLOW_LABEL
    hints = SystemHints(
        credential="API key",
        key="Put an API key of PhixFlow's into the connection's password.",
        denied="Have the user of the API key allowed to run the actionflow.",
        not_found="Check application and actionflow, or the path, and the connection's API prefix; the "
        "actionflow must be set up as an API endpoint. Where a run was asked for, check status_path.",
        refused_start="Mend what the endpoint names: usually the method, an input parameter or the body.",
        flow_gone="Check application and actionflow, or the path, and the connection's API prefix; the "
        "actionflow must be set up as an API endpoint.",
        clean_up="PhixFlow's clean-up settings",
        cancel_off=_NO_CANCEL,
        timeout_off=_NO_CANCEL,
        unclear_start=f"{_LOOK}; then clear the task to call the endpoint again.",
        find_run=_LOOK,
        gone="If status_path was not where its status is asked, set it, and clear the task with "
        "on_clear='resume', which goes on with this one.",
    )

    def __init__(self, phixflow_conn_id: str = default_conn_name) -> None:
        super().__init__(phixflow_conn_id)
        self.phixflow_conn_id = phixflow_conn_id
        self._test_path: str | None = None
        self._kept: dict[str, Execution] = {}

    def read_settings(self, reader: ConnectionReader) -> ClientSettings:
        """Return how to reach the server, from the connection's fields."""
        self._test_path = reader.text("test_path")
        header = reader.text("key_header", "Authorization") or ""
        if not _HEADER.fullmatch(header) or header.lower() in _TAKEN:
            raise reader.error(
                f"The connection's extra 'key_header' is {header!r}.",
                "Give the name of the header that PhixFlow takes the API key from.",
            )
        form = reader.text("key_value", f"Bearer {KEY_PLACE}") or ""
        if KEY_PLACE not in form or not form.isascii() or not form.isprintable():
            raise reader.error(
                f"The connection's extra 'key_value' lacks {KEY_PLACE}, or holds what no header can carry.",
                f"Give the header's value with {KEY_PLACE} in the key's place, as in Bearer {KEY_PLACE}; the "
                "key itself goes into the password.",
            )
        key = reader.password if reader.secret.strip() else None
        return reader.settings(
            api_prefix=API_PREFIX,
            auth_headers={} if key is None else {header: form.replace(KEY_PLACE, key)},
            hidden=() if key is None else (key,),
            tells_failure=wire.may_be_failure,
            long_poll_seconds=0.0,
        )

    # --- for the lifecycle ---

    def keep(self, execution: Execution) -> None:
        """
        Remember a run that has ended, since nobody can ask for one in the mode *Wait for result*.

        :param execution: with an id.
        """
        self._kept[execution.id] = execution

    def look_exchange(
        self, execution_id: str, *, hold_seconds: float | None, terms: Terms = NO_TERMS
    ) -> Exchange[RunSnapshot]:
        """
        Return the call that asks for a run's status; answers are never held.

        A run in the mode *Wait for result* is over once it is known. What it came to is known only to the
        process that has had the answer; for others it is gone, and is never taken for one that did not run.
        """
        del hold_seconds
        read = ActionflowTerms.from_dict(terms)
        kept = self._kept.get(execution_id)
        if kept is not None:
            return wire.answered(RunSnapshot(execution_id=execution_id, status=kept.status, phase=kept.phase))
        if read.mode == "wait":
            return wire.answer_lost(execution_id)
        return wire.look(execution_id, terms=read)

    def cancel_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[RunSnapshot | None]:
        """Return a call that sends nothing and refuses: the vendor documents none that stops a run."""
        del terms
        return wire.cancel(execution_id)

    def execution_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[Execution]:
        """Return the call that asks for a run's status and keeps the whole answer."""
        kept = self._kept.get(execution_id)
        if kept is not None:
            return wire.answered(kept)
        return wire.get_execution(execution_id, terms=ActionflowTerms.from_dict(terms))

    def output_of(self, execution: Execution, *, values_by_title: bool = False) -> Output:
        """
        Return what a run returned: an object as it is, anything else under the output's name or ``result``.

        Records that failed are the errors of a run that failed, and the warnings of one that was to warn.

        :param execution: of this hook.
        :param values_by_title: changes nothing: PhixFlow has no titles.
        :raises OutputError: if the returned data is not where the terms say; no retry helps.
        """
        del values_by_title
        terms = ActionflowTerms.from_dict(execution.raw["terms"])
        body = execution.raw["body"]
        if execution.phase is RunPhase.FAILED:
            return Output(values={}, errors=_errors(body, terms))
        if execution.phase not in {RunPhase.SUCCEEDED, RunPhase.WARNED}:
            return Output(values={})
        try:
            result = result_of(body, terms)
        except UnreadableAnswer as error:
            raise OutputError(
                f"{error}. Set output_name and result_path to where the answer has the returned data"
            ) from None
        if not isinstance(result, Mapping):
            result = {} if result is None else {terms.output_name or "result": result}
        values, notes = plain_values(result)
        warnings = _listed(failed_records(body, terms)) if execution.phase is RunPhase.WARNED else ()
        return Output(values=values, warnings=(*warnings, *notes))

    # --- calling endpoints ---

    def call(
        self,
        *,
        terms: ActionflowTerms = DEFAULT_TERMS,
        limit_seconds: float | None = None,
        **endpoint: Unpack[EndpointArguments],
    ) -> Execution:
        """
        Call an endpoint in the mode *Wait for result*, and return the run that has ended, well or not.

        :param terms: how its answer is read.
        :param limit_seconds: after how long the server aborts the work; None is ``timeout_ms``, or 60 s.
        :param endpoint: which one, and with what.
        :returns: ``phase`` says what it came to; :meth:`output_of` has the returned data.
        :raises FlowServiceError: if there was no usable answer; the server aborts the work by itself at the
            endpoint's limit, and whether it was done before is open.
        :raises FlowSubmissionUnclearError: for a 4xx that the endpoint's author may have chosen; whether the
            work was done is open.
        :raises FlowException: one of its kinds; each says whether a retry helps.
        """
        return self.run(self._call(terms, limit_seconds, endpoint), flow=label_of(endpoint))

    async def acall(
        self,
        *,
        terms: ActionflowTerms = DEFAULT_TERMS,
        limit_seconds: float | None = None,
        **endpoint: Unpack[EndpointArguments],
    ) -> Execution:
        """Call an endpoint as :meth:`call` does."""
        return await self.arun(self._call(terms, limit_seconds, endpoint), flow=label_of(endpoint))

    def _call(
        self, terms: ActionflowTerms, limit_seconds: float | None, endpoint: EndpointArguments
    ) -> Exchange[Execution]:
        return (
            yield from wire.trigger_and_wait(self.trigger(endpoint), terms=terms, hold_seconds=limit_seconds)
        )

    def start(
        self, *, terms: ActionflowTerms = DEFAULT_TERMS, **endpoint: Unpack[EndpointArguments]
    ) -> RunSnapshot:
        """
        Call an endpoint in the mode *Poll for result*, which answers at once.

        :param terms: how its answers are read.
        :param endpoint: which one, and with what.
        :returns: the run; its ``execution_id`` is the process id.
        :raises FlowServiceError: if it is open whether a run was started.
        :raises FlowSubmissionUnclearError: the same after a 4xx that the endpoint's author may have chosen.
        :raises FlowRequestRefusedError: if the endpoint says that the actionflow failed.
        :raises FlowException: one of its kinds; each says whether a retry helps.
        """
        return self.run(self._start(terms, endpoint), flow=label_of(endpoint))

    async def astart(
        self, *, terms: ActionflowTerms = DEFAULT_TERMS, **endpoint: Unpack[EndpointArguments]
    ) -> RunSnapshot:
        """Call an endpoint as :meth:`start` does."""
        return await self.arun(self._start(terms, endpoint), flow=label_of(endpoint))

    def _start(self, terms: ActionflowTerms, endpoint: EndpointArguments) -> Exchange[RunSnapshot]:
        return (yield from wire.trigger_and_poll(self.trigger(endpoint), terms=terms))

    def trigger(self, endpoint: EndpointArguments) -> wire.Trigger:
        """
        Return a call of an endpoint, its address below the connection's API prefix.

        :raises UnusableId: if the address cannot be used.
        :raises ValueError: if the endpoint is not named, or named twice.
        """
        path = endpoint_path(
            application=endpoint.get("application"),
            actionflow=endpoint.get("actionflow"),
            path=endpoint.get("path"),
            prefix=self.settings.api_prefix,
        )
        return wire.Trigger(
            path=path,
            method=endpoint.get("method", "POST"),
            query=endpoint.get("parameters") or {},
            body=endpoint.get("body"),
            content_type=endpoint.get("content_type"),
            timeout_ms=endpoint.get("timeout_ms"),
        )

    # --- runs ---

    def get_progress(self, process_id: str, *, terms: ActionflowTerms = DEFAULT_TERMS) -> RunSnapshot:
        """
        Ask how a run is.

        :param process_id: of a run in the mode *Poll for result*.
        :param terms: where and how it is asked for.
        :raises FlowNotFoundError: if there is no such run (any more).
        :raises FlowServiceError: if the answer has no status; the message lists the answer's keys.
        """
        return self.run(wire.look(process_id, terms=terms), execution_id=process_id)

    async def aget_progress(self, process_id: str, *, terms: ActionflowTerms = DEFAULT_TERMS) -> RunSnapshot:
        """Ask how a run is, as :meth:`get_progress` does."""
        return await self.arun(wire.look(process_id, terms=terms), execution_id=process_id)

    def get_execution(self, process_id: str, *, terms: ActionflowTerms = DEFAULT_TERMS) -> Execution:
        """Ask for a run as :meth:`get_progress` does, and keep the whole answer for :meth:`output_of`."""
        return self.run(wire.get_execution(process_id, terms=terms), execution_id=process_id)

    async def aget_execution(self, process_id: str, *, terms: ActionflowTerms = DEFAULT_TERMS) -> Execution:
        """Ask for a run as :meth:`get_execution` does."""
        return await self.arun(wire.get_execution(process_id, terms=terms), execution_id=process_id)

    # --- connection ---

    def test_connection(self) -> tuple[bool, str]:
        """
        Ask what the connection's ``test_path`` names, else whether the server answers at all.

        :returns: whether the connection works as far as that shows, and a sentence for people.
        """
        try:
            settings = self.settings
            test_path = (
                None
                if self._test_path is None
                else endpoint_path(path=self._test_path, prefix=settings.api_prefix)
            )
            code = self.run(wire.probe(test_path))
        except (FlowException, ValueError) as error:
            return False, str(error)
        if test_path is None:
            return True, (
                f"Connected: the server answers ({code}) and does not refuse the key. Only the call of "
                "an endpoint shows whether it takes it: set the extra 'test_path' to one that a GET does no "
                "harm to."
            )
        return True, f"Connected: the server answers at {test_path} ({code}) and takes the key."


def label_of(endpoint: EndpointArguments) -> str:
    """Return what people call an endpoint: its names with a slash between them, or its path."""
    names = [endpoint.get("application"), endpoint.get("actionflow")]
    return endpoint.get("path") or "/".join(name for name in names if name)


def _errors(body: Any, terms: ActionflowTerms) -> tuple[FlowError, ...]:
    """Return why a run failed: the author's message, then each record that failed."""
    try:
        failed = failed_records(body, terms)
    except UnreadableAnswer:
        # The answer of a failure need not have the records.
        failed = []
    message = message_of(body, terms)
    listed = _listed(failed, most=_RECORDS_TOLD)
    told = (message, *listed) if message else listed
    return tuple(FlowError(error="", message=sentence) for sentence in told)


def _listed(failed: list[FailedRecord], *, most: int = _RECORDS_LISTED) -> tuple[str, ...]:
    more = (f"and {len(failed) - most} more records",) if len(failed) > most else ()
    return (*(f"record {record}" for record in failed[:most]), *more)
