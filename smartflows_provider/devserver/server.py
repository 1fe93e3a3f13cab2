"""Run the server: in a thread for tests, in the foreground for the command line.

uvicorn does the HTTP; what is added here is a socket that is bound before anybody is told the port, a
stop that does not wait for held calls, and the connection handed to the application so that faults can
reset it. Invariant: a :class:`DevServer` leaves no thread and no open socket behind when it is stopped.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from smartflows_provider.devserver import objects
from smartflows_provider.devserver.app import Journal, Parts, RecordedRequest, make_app
from smartflows_provider.devserver.faults import TRANSPORT, Fault, FaultBox
from smartflows_provider.devserver.flows import Flow, bundled_folder, load_flows, read_flow
from smartflows_provider.devserver.keys import KeyRing, Role
from smartflows_provider.devserver.profiles import Profile
from smartflows_provider.devserver.sections import Section, known_sections
from smartflows_provider.devserver.service import Service
from smartflows_provider.devserver.store import Store

S = TypeVar("S", bound=Section)

DEFAULT_KEY = "devserver-key"
_START_SECONDS = 30
_LAST_PORT = 65_535
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _Protocol(H11Protocol):
    """uvicorn's HTTP protocol, with the connection in the scope; calls are in the journal, not logged."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inner: ASGIApp = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRANSPORT] = self.transport
            await inner(scope, receive, send)

        self.app = with_transport
        self.access_log = False


class HttpServer(uvicorn.Server):
    """
    uvicorn, stopping at once when asked.

    :param parts: what the application works with.
    :param on_ready: called when calls are answered and signals are caught.
    :param certificate: PEM file; with ``private_key`` the server speaks TLS.
    :raises ValueError: for a private key without a certificate.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        on_ready: Callable[[], object],
        certificate: Path | None = None,
        private_key: Path | None = None,
    ) -> None:
        if private_key is not None and certificate is None:
            raise ValueError("a private key needs a certificate")
        self._parts = parts
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_ready = on_ready
        super().__init__(
            uvicorn.Config(
                make_app(parts),
                http=_Protocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                log_level="warning",
                server_header=False,
                timeout_keep_alive=75,
                ssl_certfile=certificate,
                ssl_keyfile=private_key,
            )
        )
        self.config.load()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._on_ready()

    async def main_loop(self) -> None:
        """Serve until asked to stop."""
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is idle, give what is not a second, then end it."""
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, busy = await asyncio.wait(self.server_state.tasks, timeout=1.0)
            for task in busy:
                task.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal, held calls included."""
        super().handle_exit(sig, frame)
        self.stop()

    def stop(self) -> None:
        """Ask the server to stop, held calls included. From any thread, once it is ready."""
        self.should_exit = True
        self._parts.stopping.set()
        self._parts.service.wake()
        if self._loop is not None:
            # Its loop may have ended meanwhile.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._woken.set)


def bind(host: str, port: int) -> socket.socket:
    """
    Return a listening socket's predecessor: bound, so that its port is known.

    :raises OSError: if the address is taken or not this machine's.
    :raises ValueError: if there is no such port.
    """
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"the port is {port}, but can be 0 to {_LAST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sends small answers without delay only where it is.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def serve_in_foreground(server: HttpServer, bound: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then return."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[bound])


class DevServer:
    """
    A server in a thread, with handles for tests.

    :param flows: a folder of flows, or None for those that come with the package.
    :param state: of the SQLite file.
    :param api_key: of a super user.
    :param profile: how it behaves where the vendor's documents are silent.
    :param certificate: PEM file; with ``private_key`` the server speaks TLS.
    """

    def __init__(
        self,
        *,
        flows: Path | None = None,
        state: Path,
        api_key: str = DEFAULT_KEY,
        profile: Profile | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
        private_key: Path | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.api_key = api_key
        self._state = state
        self._certificate, self._private_key = certificate, private_key
        self._keys = KeyRing([(api_key, "super user")])
        self._faults = FaultBox()
        self._journal = Journal()
        self._profile = profile or Profile()
        self._flows: dict[str, Flow] = {}
        self._service: Service | None = None
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None
        self._sections = [kind(self._now) for kind in known_sections()]
        self.load_flows(flows or bundled_folder())

    # --- running --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to serve; calls are answered when this returns. Does nothing if it serves already."""
        if self._thread is not None:
            return
        ready = threading.Event()
        with ExitStack() as on_failure:
            store = Store(self._state)
            on_failure.callback(store.close)
            service = Service(flows=self._flows.values(), store=store, profile=self._profile)
            parts = Parts(
                service=service,
                keys=self._keys,
                faults=self._faults,
                journal=self._journal,
                remote_faults=True,
                stopping=threading.Event(),
                sections=self._sections,
            )
            server = HttpServer(
                parts, on_ready=ready.set, certificate=self._certificate, private_key=self._private_key
            )
            bound = bind(self.host, self.port)
            on_failure.pop_all()
        self.port = bound.getsockname()[1]
        self._service, self._server = service, server
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [bound]}, name="smart-flows-devserver", daemon=True
        )
        self._thread.start()
        if not ready.wait(_START_SECONDS):
            raise RuntimeError(f"the server on {self.url} did not start within {_START_SECONDS} s")

    def stop(self) -> None:
        """Stop to serve; connections are refused from now on. The state stays."""
        if self._thread is None or self._server is None or self._service is None:
            return
        self._server.stop()
        self._thread.join()
        self._service.store.close()
        self._thread = self._server = self._service = None

    def restart(self) -> None:
        """Stop and start again: same address, same state."""
        self.stop()
        self.start()

    # --- where it is ----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Base address without a slash at its end."""
        return f"{self._scheme}://{self._quoted_host}:{self.port}"

    def connection_json(self, *, api_key: str | None = None) -> str:
        """Return the JSON form of an Airflow connection, for ``AIRFLOW_CONN_SMARTFLOWS_DEFAULT``."""
        return json.dumps(
            {
                "conn_type": "smartflows",
                "host": f"{self._scheme}://{self._quoted_host}",
                "port": self.port,
                "password": self.api_key if api_key is None else api_key,
            }
        )

    @property
    def connection_uri(self) -> str:
        """The URI form of an Airflow connection, for ``AIRFLOW_CONN_SMARTFLOWS_DEFAULT``."""
        host = quote(f"{self._scheme}://{self._quoted_host}", safe="")
        return f"smartflows://:{quote(self.api_key, safe='')}@{host}:{self.port}"

    @property
    def _scheme(self) -> str:
        return "https" if self._certificate else "http"

    @property
    def _quoted_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def section(self, kind: type[S]) -> S:
        """
        Return the stand-in of a further system, with its handles for tests; it outlives restarts.

        :raises LookupError: if the server has none of the kind.
        """
        for section in self._sections:
            if isinstance(section, kind):
                return section
        raise LookupError(f"the server has no {kind.__name__}")

    def section_connection_json(self, kind: type[Section]) -> str:
        """Return the JSON form of an Airflow connection that leads to a section."""
        host = f"{self._scheme}://{self._quoted_host}"
        return json.dumps(self.section(kind).connection(host=host, port=self.port))

    def _now(self) -> float:
        """Return the server's epoch seconds, by the real clock while it is stopped."""
        return time.time() if self._service is None else self._service.now()

    # --- what it serves -------------------------------------------------------------------------------

    def add_flow(self, **definition: Any) -> Flow:
        """
        Add a flow, or replace the one with its id.

        :param definition: the keys of ``flow.yaml``, with ``xsd`` as the schema's text and ``templates``
            as ``{file name: text}``.
        :raises FlowDefinitionError: if it cannot be used.
        """
        flow = read_flow(definition)
        self._add(flow)
        return flow

    def load_flows(self, folder: Path | str) -> list[Flow]:
        """
        Add the flows of a folder.

        :raises FlowDefinitionError: if one cannot be used.
        """
        flows = load_flows(Path(folder))
        for flow in flows:
            self._add(flow)
        return flows

    def _add(self, flow: Flow) -> None:
        self._flows[flow.id] = flow
        if self._service is not None:
            self._service.add_flow(flow)

    # --- how it behaves -------------------------------------------------------------------------------

    @property
    def profile(self) -> Profile:
        """How it behaves where the vendor's documents are silent. May be set at any time."""
        return self._profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self._profile = profile
        if self._service is not None:
            self._service.profile = profile

    def configure(self, **choices: Any) -> None:
        """Change some choices of the profile."""
        self.profile = replace(self._profile, **choices)

    def inject(self, fault: Fault) -> None:
        """Switch a fault on."""
        self._faults.add(fault)

    def pending_faults(self) -> list[Fault]:
        """Return the faults that can still meet a call."""
        return list(self._faults.active())

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._faults.clear()

    def add_key(self, key: str, role: Role = "super user") -> None:
        """Make another key valid."""
        self._keys.add(key, role)

    def revoke_key(self, key: str | None = None) -> None:
        """Make a key invalid, the server's own if none is named."""
        self._keys.revoke(self.api_key if key is None else key)

    def advance(self, seconds: float) -> None:
        """Put the server's clock ahead, so that executions proceed without waiting."""
        self.service.advance(seconds)

    def expire(self, execution_id: str) -> None:
        """
        Clean an execution and its documents up.

        :raises KeyError: if there is no such execution.
        """
        self.service.purge(execution_id)

    # --- what it saw ----------------------------------------------------------------------------------

    @property
    def service(self) -> Service:
        """
        The project behind the interface.

        :raises RuntimeError: while the server is stopped.
        """
        if self._service is None:
            raise RuntimeError("the server is stopped")
        return self._service

    @property
    def requests(self) -> list[RecordedRequest]:
        """The latest 10,000 requests, oldest first, those being answered included."""
        return self._journal.entries()

    def clear_requests(self) -> None:
        """Forget the requests."""
        self._journal.clear()

    def executions(self) -> list[Mapping[str, Any]]:
        """
        Return every execution there ever was, oldest first, purged ones included.

        Each is the execution object with ``state``, and with the progress' ``message`` and
        ``percentage``; status words are spelled as in the SDK.
        """
        shown: list[Mapping[str, Any]] = []
        for record in self.service.store.records():
            look = self.service.look(record.id)
            entry = objects.execution(self.service, record, look)
            extra = {"status": str(look.status), "message": look.message, "percentage": look.percentage}
            shown.append({**entry, **extra, "purged": record.purged})
        return shown

    def input_of(self, execution_id: str) -> bytes:
        """Return the bytes an execution was started with."""
        return self.service.store.input_of(execution_id)


@contextmanager
def running_server(**settings: Any) -> Iterator[DevServer]:
    """
    Serve while the block runs.

    :param settings: as for :class:`DevServer`; without ``state`` the state ends with the block.
    """
    with tempfile.TemporaryDirectory(prefix="smart-flows-devserver-") as folder:
        server = DevServer(**{"state": Path(folder) / "state.sqlite", **settings})
        server.start()
        try:
            yield server
        finally:
            server.stop()
