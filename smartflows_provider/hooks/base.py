"""What the hooks of all flow systems share: a connection, two clients, and one way to report errors.

The lifecycle knows hooks only by this class. Invariants: the connection is looked up once for a hook and
again only when asked to; wire and transport errors leave ``run`` and ``arun`` as the error tree, and
``client`` and ``aclient`` as they are, for those who decide by them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from urllib.parse import quote

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from airflow.sdk.exceptions import AirflowRuntimeError
from asgiref.sync import sync_to_async

from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowConnectionError,
    FlowConnectionMissingError,
    FlowException,
    RunIdentity,
    SystemHints,
)
from smartflows_provider.hooks.connection import ConnectionReader
from smartflows_provider.hooks.translation import NOTHING_SENT, NOTHING_TAKEN, translate, without_words
from smartflows_provider.transport.asynchronous import AsyncClient
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.run import NO_TERMS, Terms

if TYPE_CHECKING:
    from smartflows_provider.output.extractor import Output
    from smartflows_provider.wire.documents import Document
    from smartflows_provider.wire.messages import Exchange, Request
    from smartflows_provider.wire.run import Execution, RunSnapshot

T = TypeVar("T")
_LOOK_UP_ERRORS = (AirflowNotFoundException, AirflowRuntimeError, PermissionError)


class FlowSystemHook(BaseHook):
    """
    One connection to one flow system.

    :param conn_id: the Airflow connection.
    """

    conn_type: ClassVar[str]
    """
    The connection type, by which the system goes everywhere else; one of another type has another system's
    key.
    """
    system: ClassVar[str]
    """The vendor's name of the system, for people."""
    hints: ClassVar[SystemHints] = SystemHints()
    """What people do about errors of the system."""
    success_stands: ClassVar[bool] = False
    """Whether a run may go on after what a task has waited for, so that a success that was seen stands."""

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.terms: Terms = NO_TERMS
        """On what terms the run is watched and stopped that a task has this hook for."""
        self._settings: ClientSettings | None = None
        self._client: BlockingClient | None = None
        self._aclient: AsyncClient | None = None

    # --- what each system says about itself ---

    @abstractmethod
    def read_settings(self, reader: ConnectionReader) -> ClientSettings:
        """Return how to reach the service, from the connection's fields."""

    @abstractmethod
    def look_exchange(
        self, execution_id: str, *, hold_seconds: float | None, terms: Terms = NO_TERMS
    ) -> Exchange[RunSnapshot]:
        """
        Return the call that asks for a run's status.

        :param hold_seconds: how long the service may keep its answer back; None to wish for nothing.
        :param terms: of the run.
        """

    def look_all_exchange(self, execution_ids: Sequence[str]) -> Exchange[dict[str, RunSnapshot]]:
        """
        Return the call that asks for the statuses of many runs at once, by id.

        It is made where the connection says ``batch_status``, for runs without terms.

        :raises NotImplementedError: where the system has no such call.
        """
        raise NotImplementedError(f"{self.system} has no call for many runs at once")

    @abstractmethod
    def cancel_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[RunSnapshot | None]:
        """
        Return the call that asks the service to stop a run; harmless to repeat.

        Where there is no way to stop it, the call raises RequestRefused and sends nothing.

        :param terms: of the run.
        """

    @abstractmethod
    def execution_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[Execution]:
        """
        Return the call that reads all there is of a run, its output included.

        :param terms: of the run.
        """

    @abstractmethod
    def output_of(self, execution: Execution, *, values_by_title: bool = False) -> Output:
        """
        Return what a run left behind; it asks nobody.

        :param execution: as :meth:`execution_exchange` brings it.
        :param values_by_title: replace keys that are GUIDs by titles, in systems that have such.
        :raises OutputError: if it cannot be taken; no retry helps.
        """

    def document_exchange(self, document_id: str) -> Exchange[Document]:
        """
        Return the call that reads the metadata of a document that :meth:`output_of` points at.

        :raises NotImplementedError: where runs of the system have no documents.
        """
        raise NotImplementedError(f"{self.system} has no documents")

    def document_request(self, document_id: str) -> Request:
        """
        Return the request for a document's bytes, to be streamed.

        :raises NotImplementedError: where runs of the system have no documents.
        """
        raise NotImplementedError(f"{self.system} has no documents")

    def execution_url(self, execution_id: str) -> str:
        """
        Return where a person looks at a run; empty where that is not known.

        The connection's extra ``execution_url`` gives it, with ``{execution_id}`` in its place.
        """
        return page_of(self.settings, execution_id) or ""

    async def aexecution_url(self, execution_id: str) -> str:
        """Return where a person looks at a run, as :meth:`execution_url` does."""
        return page_of(await self.asettings(), execution_id) or ""

    # --- clients ---

    @property
    def settings(self) -> ClientSettings:
        """
        How to reach the service.

        :raises FlowConfigurationError: if the connection is missing or unusable; no retry helps.
        :raises FlowConnectionError: if Airflow could not be asked for the connection; a retry helps.
        """
        if self._settings is None:
            self._settings = _unless_error(self._look_up())
        return self._settings

    @property
    def known_settings(self) -> ClientSettings | None:
        """:attr:`settings` where they were looked up already, else None; never looks anything up."""
        return self._settings

    async def asettings(self) -> ClientSettings:
        """Return :attr:`settings`, read without blocking the event loop."""
        if self._settings is None:
            self._settings = _unless_error(await self._alook_up())
        return self._settings

    @property
    def client(self) -> BlockingClient:
        """The blocking client; it raises errors of the wire and the transport as they are."""
        if self._client is None:
            self._client = BlockingClient(self.settings)
        return self._client

    async def aclient(self) -> AsyncClient:
        """Return the async client; it raises errors of the wire and the transport as they are."""
        if self._aclient is None:
            self._aclient = AsyncClient(await self.asettings())
        return self._aclient

    def run(
        self,
        exchange: Exchange[T],
        *,
        execution_id: str | None = None,
        flow: str | None = None,
        hide_words: bool = False,
    ) -> T:
        """
        Drive a call to its result on a worker.

        :param exchange: a call of the system's wire module.
        :param execution_id: the run it is about, for messages.
        :param flow: the flow it is about, for messages.
        :param hide_words: leave the service's own words, which may quote an input, out of messages.
        :raises FlowException: one of its kinds; each says whether a retry helps.
        """
        with self._translated(execution_id, flow, hide_words=hide_words):
            return self.client.run(exchange)

    async def arun(
        self,
        exchange: Exchange[T],
        *,
        execution_id: str | None = None,
        flow: str | None = None,
        hide_words: bool = False,
    ) -> T:
        """Drive a call as :meth:`run` does, without blocking the event loop."""
        client = await self.aclient()
        with self._translated(execution_id, flow, hide_words=hide_words):
            return await client.run(exchange)

    @contextmanager
    def _translated(self, execution_id: str | None, flow: str | None, *, hide_words: bool) -> Iterator[None]:
        """Turn errors of wire and transport into those that DAG authors see."""
        try:
            yield
        except (WireError, TransportError) as error:
            where = self.identity(execution_id=execution_id, flow=flow)
            raise translate(without_words(error) if hide_words else error, where=where) from None

    def identity(
        self, *, execution_id: str | None = None, flow: str | None = None, url: str | None = None
    ) -> RunIdentity:
        """Return which run an error or a log line is about."""
        return RunIdentity(
            system=self.system,
            conn_id=self.conn_id,
            flow=flow,
            execution_id=execution_id,
            url=url,
            hints=self.hints,
        )

    def get_conn(self) -> BlockingClient:
        """Return the blocking client."""
        return self.client

    def close(self) -> None:
        """Close the blocking client and forget the connection, so that the next call reads it again."""
        if self._client is not None:
            self._client.close()
        self._client = self._settings = None

    async def aclose(self) -> None:
        """Close the async client and forget the connection, so that the next call reads it again."""
        if self._aclient is not None:
            await self._aclient.close()
        self._aclient = self._settings = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _look_up(self) -> ClientSettings | FlowException:
        """Return the settings or the error; as a value, so that no frame of its traceback holds the key."""
        try:
            connection = self.get_connection(self.conn_id)
            return self._read(connection, connection.extra_dejson)
        except _LOOK_UP_ERRORS as error:
            return self._look_up_failed(error)

    async def _alook_up(self) -> ClientSettings | FlowException:
        """Return what :meth:`_look_up` does, without blocking the event loop."""
        try:
            connection = await get_async_connection(self.conn_id)
            return self._read(connection, await _extra_of(connection))
        except _LOOK_UP_ERRORS as error:
            return self._look_up_failed(error)

    def _read(self, connection: Any, extra: dict[str, Any]) -> ClientSettings | FlowException:
        try:
            reader = ConnectionReader(
                connection, extra=extra, conn_type=self.conn_type, system=self.system, hints=self.hints
            )
            return self.read_settings(reader)
        except FlowConfigurationError as error:
            error.__context__ = None
            return error.with_traceback(None)

    def _look_up_failed(
        self, error: AirflowNotFoundException | AirflowRuntimeError | PermissionError
    ) -> FlowException:
        if isinstance(error, AirflowNotFoundException):
            return self._connection_missing()
        if isinstance(error, PermissionError):
            return FlowConfigurationError(
                f"A secrets backend denies access to the Airflow connection {self.conn_id!r}.",
                where=self.identity(),
                fate=NOTHING_SENT,
                advice="Let the user that this process runs as read it, or run this on a host that may.",
            )
        return FlowConnectionError(
            f"Airflow could not be asked for the connection {self.conn_id!r}: {error}",
            where=self.identity(),
            fate=NOTHING_TAKEN,
            advice="Look at Airflow's API server; a retry asks again.",
        )

    def _connection_missing(self) -> FlowConnectionMissingError:
        return FlowConnectionMissingError(
            f"The Airflow connection {self.conn_id!r} does not exist.",
            where=self.identity(),
            fate=NOTHING_SENT,
            advice=f"Create it under Admin > Connections with the type {self.system!r}, or set the "
            f"environment variable AIRFLOW_CONN_{self.conn_id.upper()}; if it is set, it cannot be read: it "
            "must be the JSON or the URI form of a connection.",
        )


def page_of(settings: ClientSettings, execution_id: str) -> str | None:
    """Return where people look at a run by the connection's extra; None where it has no such address."""
    if settings.page_template is None:
        return None
    return settings.page_template.replace("{execution_id}", quote(execution_id, safe=""))


def _unless_error(found: ClientSettings | FlowException) -> ClientSettings:
    """Return settings, raise an error."""
    if isinstance(found, FlowException):
        raise found
    return found


async def _extra_of(connection: Any) -> Any:
    """
    Return a connection's extra, its secrets masked, without blocking the event loop.

    What common.compat has for this is younger than the releases that Airflow's own constraints name for
    Airflow 3.1 and 3.2. Before 3.3.2 masking asks Airflow in a thread, and on 3.1 only a thread of asgiref's
    may do that in a triggerer: another one would mix up Airflow's answers.
    """
    if hasattr(connection, "aextra_dejson"):
        return await connection.aextra_dejson()
    return await sync_to_async(lambda: connection.extra_dejson)()
