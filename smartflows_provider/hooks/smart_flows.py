"""The hook for Smart Flows (Xpertdoc, Experlogix Document Automation).

Every method exists twice, blocking and with the prefix ``a`` for ``async``, over the same call of
``wire.smart_flows``. Errors come as the tree of ``smartflows_provider.exceptions``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from smartflows_provider.exceptions import FlowException, SystemHints
from smartflows_provider.hooks.base import FlowSystemHook, page_of
from smartflows_provider.hooks.payload import (
    InputOptions,
    aprepare_payload,
    prepare_payload,
    read_options,
)
from smartflows_provider.hooks.translation import NOTHING_SENT, translate
from smartflows_provider.output.extractor import Output, extract
from smartflows_provider.systems import SMART_FLOWS, SMART_FLOWS_CONN_ID, SMART_FLOWS_LABEL
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.documents import read_document_head
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.run import NO_TERMS, Execution, Reference, RunSnapshot, Terms

if TYPE_CHECKING:
    from smartflows_provider.hooks.connection import ConnectionReader
    from smartflows_provider.wire.documents import Document, DocumentStream
    from smartflows_provider.wire.messages import Body, Exchange, Request


class SmartFlowsHook(FlowSystemHook):
    """
    Speaks to one Smart Flows project.

    :param smart_flows_conn_id: a connection of the type ``smartflows``: host, port, the API key as
        password; extras as the connection form lists them.
    """

    conn_name_attr = "smart_flows_conn_id"
    default_conn_name = SMART_FLOWS_CONN_ID
    conn_type = SMART_FLOWS
    hook_name = SMART_FLOWS_LABEL
    system = SMART_FLOWS_LABEL
    hints = SystemHints(
        key="Put the key into the connection's password; it is made in the project console under "
        "Users > Security.",
        denied="Two reasons are usual: the licence does not include the API (it takes Smart Flows Connect "
        "or a like edition), or the role of the key's user lacks the right.",
        unknown_flow="Name the flow as the project console does, or by its id; ids differ between "
        "environments.",
        ambiguous_flow="Take the id from the project console.",
        not_found="Check the id, and the connection's API prefix; the project's clean-up settings may have "
        "removed it.",
        refused_start="Mend what the service names: usually the input, which must be what the flow starts "
        "from (none, XML that fits its XSD, or plug-in records).",
        flow_gone="Ids differ between environments: check the id, or give the flow's name, which is "
        "looked up.",
        clean_up="the project's clean-up settings",
        person="Start it with unattended=True, give answers with on_user_input='answer', or let it wait with "
        "on_user_input='wait'.",
        wait="Wait for it with SmartFlowsExecutionSensor; a retry looks again.",
    )

    def __init__(self, smart_flows_conn_id: str = default_conn_name) -> None:
        super().__init__(smart_flows_conn_id)
        self.smart_flows_conn_id = smart_flows_conn_id
        self._panel_url: str | None = None

    def read_settings(self, reader: ConnectionReader) -> ClientSettings:
        """Return how to reach the project, from the connection's fields."""
        self._panel_url = None
        return reader.settings(
            api_prefix=wire.API_PREFIX,
            auth_headers={wire.KEY_HEADER: reader.password},
            long_poll_seconds=reader.number("long_poll_seconds", 30.0, least=0),
            batch_status=reader.flag("batch_status", default=False),
        )

    def look_exchange(
        self, execution_id: str, *, hold_seconds: float | None, terms: Terms = NO_TERMS
    ) -> Exchange[RunSnapshot]:
        """Return the call that asks for an execution's progress; there are no terms."""
        del terms
        return wire.progress(execution_id, hold_seconds=hold_seconds)

    def look_all_exchange(self, execution_ids: Sequence[str]) -> Exchange[dict[str, RunSnapshot]]:
        """Return the call that asks for many executions at once."""
        return wire.find_progress(execution_ids)

    def cancel_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[RunSnapshot | None]:
        """Return the call that cancels an execution; there are no terms."""
        del terms
        return wire.cancel(execution_id)

    def execution_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[Execution]:
        """Return the call that reads an execution with its ``state``; there are no terms."""
        del terms
        return wire.get_execution(execution_id)

    def output_of(self, execution: Execution, *, values_by_title: bool = False) -> Output:
        """Return an execution's output: its values, references to its documents, warnings and errors."""
        return extract(execution.raw, values_by_title=values_by_title)

    # --- starting ---

    def start(
        self,
        flow: str | None = None,
        *,
        body: Body | None = None,
        content_type: str | None = None,
        unattended: bool = False,
        dataset_id: str | None = None,
        **inputs: Unpack[InputOptions],
    ) -> RunSnapshot:
        """
        Start an execution.

        The input is one of ``xml``, ``data``, ``rows`` and ``records``, or ``body`` where it is ready to be
        sent, or none. It is read a few rows at a time and checked before anything is sent.

        :param flow: id or name of the flow; a name is looked up. None opens an execution in which a
            person selects the flow; not with ``unattended``.
        :param body: XML as bytes, the plug-in's JSON as bytes, a file of either, or None.
        :param content_type: of the body, ``wire.smart_flows.XML_TYPE`` or ``JSON_TYPE``.
        :param unattended: run without asking anybody; form fields take their defaults.
        :param dataset_id: the plug-in's data set.
        :param inputs: ``xml`` (text, bytes, an lxml element, or a path object), ``data`` (a mapping),
            ``rows`` (mappings from any iterable, lists with ``columns``, a DB-API cursor, or a path) or
            ``records`` (of a plug-in); ``root``, ``row``, ``header``, ``columns``, ``xsd``, ``none_as``,
            ``namespaces``, ``bad_characters`` and ``hide_payload`` as :class:`SmartFlowsRunFlowOperator`
            takes them. Relative paths are taken from the working directory.
        :returns: the first progress; its ``execution_id`` names the run.
        :raises FlowInputError: if the input cannot be sent; no retry helps.
        :raises FlowConfigurationError: if the arguments contradict each other; no retry helps.
        :raises FlowConnectionError: if nothing was taken; a retry helps.
        :raises FlowServiceError: if it is open whether the execution was started.
        :raises FlowRequestRefusedError: if the service refuses the input; no retry helps.
        """
        start = partial(wire.start_flow, flow, unattended=unattended, dataset_id=dataset_id)
        if not inputs:
            return self.run(start(body=body, content_type=content_type), flow=flow)
        where = self.identity(flow=flow)
        arguments, hide = read_options(inputs, body=body, where=where)
        with prepare_payload(arguments, where=where, fate=NOTHING_SENT, hide_payload=hide) as payload:
            exchange = start(body=payload.body, content_type=payload.content_type)
            return self.run(exchange, flow=flow, hide_words=hide)

    async def astart(
        self,
        flow: str | None = None,
        *,
        body: Body | None = None,
        content_type: str | None = None,
        unattended: bool = False,
        dataset_id: str | None = None,
        **inputs: Unpack[InputOptions],
    ) -> RunSnapshot:
        """
        Start an execution as :meth:`start` does.

        The input is read in a thread of its own, which a cursor must allow for (SQLite's with
        ``check_same_thread=False``).
        """
        start = partial(wire.start_flow, flow, unattended=unattended, dataset_id=dataset_id)
        if not inputs:
            return await self.arun(start(body=body, content_type=content_type), flow=flow)
        where = self.identity(flow=flow)
        arguments, hide = read_options(inputs, body=body, where=where)
        with await aprepare_payload(arguments, where=where, fate=NOTHING_SENT, hide_payload=hide) as payload:
            exchange = start(body=payload.body, content_type=payload.content_type)
            return await self.arun(exchange, flow=flow, hide_words=hide)

    # --- following ---

    def get_progress(self, execution_id: str, *, hold_seconds: float | None = None) -> RunSnapshot:
        """
        Return how far an execution is.

        :param hold_seconds: how long the service may wait for news before it answers; None leaves that to the
            service, which takes 30.
        """
        exchange = wire.progress(execution_id, hold_seconds=hold_seconds)
        return self.run(exchange, execution_id=execution_id)

    async def aget_progress(self, execution_id: str, *, hold_seconds: float | None = None) -> RunSnapshot:
        """Return how far an execution is, as :meth:`get_progress` does."""
        exchange = wire.progress(execution_id, hold_seconds=hold_seconds)
        return await self.arun(exchange, execution_id=execution_id)

    def get_execution(self, execution_id: str) -> Execution:
        """Return an execution with its ``state``: input, output, stages, report, warnings, errors."""
        return self.run(wire.get_execution(execution_id), execution_id=execution_id)

    async def aget_execution(self, execution_id: str) -> Execution:
        """Return an execution as :meth:`get_execution` does."""
        return await self.arun(wire.get_execution(execution_id), execution_id=execution_id)

    def get_output(self, execution_id: str, *, output: str | None = None) -> Execution:
        """
        Return an execution with its ``outputs``.

        :param output: id or name of one flow output; None brings all.
        """
        return self.run(wire.get_outputs(execution_id, output=output), execution_id=execution_id)

    async def aget_output(self, execution_id: str, *, output: str | None = None) -> Execution:
        """Return an execution with its outputs as :meth:`get_output` does."""
        return await self.arun(wire.get_outputs(execution_id, output=output), execution_id=execution_id)

    def find_executions(
        self,
        flow: str | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        sort: str = "createdAt,desc",
        limit: int | None = None,
    ) -> list[Execution]:
        """
        Return executions, the newest first.

        :param flow: id of the flow whose executions are meant.
        :param where: a filter node, see ``wire.smart_flows.all_of``.
        :param sort: ``field,asc`` or ``field,desc``.
        :param limit: at most so many.
        """
        return self.run(wire.find_executions(flow=flow, where=where, sort=sort, limit=limit), flow=flow)

    async def afind_executions(
        self,
        flow: str | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        sort: str = "createdAt,desc",
        limit: int | None = None,
    ) -> list[Execution]:
        """Return executions as :meth:`find_executions` does."""
        exchange = wire.find_executions(flow=flow, where=where, sort=sort, limit=limit)
        return await self.arun(exchange, flow=flow)

    # --- acting ---

    def answer_form(self, execution_id: str, values: Mapping[str, Any]) -> RunSnapshot:
        """
        Answer the form of an execution that needs a person; it then goes on.

        :param values: ``{form key: value}``; fields left out are left empty.
        """
        return self.run(wire.answer_form(execution_id, values), execution_id=execution_id)

    async def aanswer_form(self, execution_id: str, values: Mapping[str, Any]) -> RunSnapshot:
        """Answer a form as :meth:`answer_form` does."""
        return await self.arun(wire.answer_form(execution_id, values), execution_id=execution_id)

    def cancel(self, execution_id: str) -> RunSnapshot | None:
        """Ask the service to cancel an execution; harmless to repeat."""
        return self.run(wire.cancel(execution_id), execution_id=execution_id)

    async def acancel(self, execution_id: str) -> RunSnapshot | None:
        """Ask the service to cancel an execution as :meth:`cancel` does."""
        return await self.arun(wire.cancel(execution_id), execution_id=execution_id)

    def send_event(
        self, callback_id: str, *, execution_id: str | None = None, text: str | None = None
    ) -> Any:
        """
        Resume an execution that waits for an external event.

        :param callback_id: the flow's callback.
        :param execution_id: which execution, where the callback is shared.
        :param text: what the flow gets to read.
        """
        exchange = wire.send_event(callback_id, execution_id=execution_id, text=text)
        return self.run(exchange, execution_id=execution_id)

    async def asend_event(
        self, callback_id: str, *, execution_id: str | None = None, text: str | None = None
    ) -> Any:
        """Resume an execution as :meth:`send_event` does."""
        exchange = wire.send_event(callback_id, execution_id=execution_id, text=text)
        return await self.arun(exchange, execution_id=execution_id)

    # --- flows and documents ---

    def document_exchange(self, document_id: str) -> Exchange[Document]:
        """Return the call that reads a document's metadata."""
        return wire.get_document(document_id)

    def document_request(self, document_id: str) -> Request:
        """Return the request for a document's bytes, to be streamed."""
        return wire.document_content(document_id)

    def list_flows(self) -> list[Reference]:
        """Return the project's flows, as far as the key may see them."""
        return self.run(wire.list_flows())

    async def alist_flows(self) -> list[Reference]:
        """Return the project's flows as :meth:`list_flows` does."""
        return await self.arun(wire.list_flows())

    def find_flow(self, flow: str) -> Reference:
        """
        Return the one flow that an id or a name means.

        :raises FlowNotFoundError: if there is none; no retry helps.
        :raises FlowAmbiguousError: if several have the name; no retry helps.
        """
        return self.run(wire.find_flow(flow), flow=flow)

    async def afind_flow(self, flow: str) -> Reference:
        """Return the one flow that is meant, as :meth:`find_flow` does."""
        return await self.arun(wire.find_flow(flow), flow=flow)

    def get_document(self, document_id: str) -> Document:
        """Return a document's metadata."""
        return self.run(self.document_exchange(document_id))

    async def aget_document(self, document_id: str) -> Document:
        """Return a document's metadata as :meth:`get_document` does."""
        return await self.arun(self.document_exchange(document_id))

    @contextmanager
    def download_document(self, document_id: str) -> Iterator[DocumentStream[Iterator[bytes]]]:
        """
        Open a document's bytes as a stream; the memory it takes does not depend on its size.

        :returns: a context manager over content type, announced size and an iterator of chunks.
        :raises FlowServiceError: if the transfer breaks off; a retry helps.
        """
        try:
            with self.client.stream(self.document_request(document_id)) as (head, chunks):
                yield read_document_head(head, chunks)
        except (WireError, TransportError) as error:
            raise translate(error, where=self.identity()) from None

    @asynccontextmanager
    async def adownload_document(
        self, document_id: str
    ) -> AsyncIterator[DocumentStream[AsyncIterator[bytes]]]:
        """Open a document's bytes as :meth:`download_document` does."""
        client = await self.aclient()
        try:
            async with client.stream(self.document_request(document_id)) as (head, chunks):
                yield read_document_head(head, chunks)
        except (WireError, TransportError) as error:
            raise translate(error, where=self.identity()) from None

    # --- the project ---

    def execution_url(self, execution_id: str) -> str:
        """
        Return where a person looks at an execution.

        The address of a single execution in the panel is not documented. Where a project's is known, the
        connection's extra ``execution_url`` gives it with ``{execution_id}`` in its place; else it is the
        address of the execution panel itself, which the project is asked for once (``/client`` where it
        does not tell, or cannot be asked just now).
        """
        settings = self.settings
        if settings.page_template is None and self._panel_url is None:
            try:
                found = self.client.run(wire.public_settings(), repetition=NO_REPETITION)
            except (WireError, TransportError):
                return _panel_url({}, settings)
            self._panel_url = _panel_url(found, settings)
        return page_of(settings, execution_id) or self._panel_url or ""

    async def aexecution_url(self, execution_id: str) -> str:
        """Return where a person looks at an execution, as :meth:`execution_url` does."""
        settings = await self.asettings()
        if settings.page_template is None and self._panel_url is None:
            try:
                client = await self.aclient()
                found = await client.run(wire.public_settings(), repetition=NO_REPETITION)
            except (WireError, TransportError):
                return _panel_url({}, settings)
            self._panel_url = _panel_url(found, settings)
        return page_of(settings, execution_id) or self._panel_url or ""

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether host and key work: who the key's user is, and the server's version."""
        try:
            user = self.run(wire.current_user())
        except FlowException as error:
            return False, str(error)
        try:
            version = str(self.client.run(wire.system_info()).get("version") or "unknown")
        except (WireError, TransportError):
            version = "unknown"
        return True, f"Connected to Smart Flows {version} as {user.name or user.id or 'an unnamed user'}."


def _panel_url(public: Mapping[str, Any], settings: ClientSettings) -> str:
    """Return the address of the execution panel, as a project's public settings tell it."""
    found = public.get("flowExecutionPanelUrl")
    usable = isinstance(found, str) and found.startswith(("http://", "https://"))
    return str(found) if usable else f"{settings.base_url}/client"
