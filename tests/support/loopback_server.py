"""A server that does to each connection what a script says, byte for byte."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

PATIENCE = 30.0
"""Seconds after which a server stops to wait for a client, so that no test hangs."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """A request as it came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """Number of the connection, from 0."""


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    """Return an answer with its length, as JSON unless ``content_type`` says otherwise."""
    named = {"content_type": "application/json", "content_length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status} Some reason", *lines, "", ""]).encode("latin-1") + body


@dataclass
class Connection:
    """One connection of a client."""

    number: int
    stream: socket.socket
    server: LoopbackServer
    _pending: bytes = field(default=b"")

    def read_request(self) -> Received | None:
        """Return the next request, None where the client has hung up."""
        while b"\r\n\r\n" not in self._pending:
            if not self._read_more():
                return None
        head, _, self._pending = self._pending.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", "0"))
        while len(self._pending) < size:
            if not self._read_more():
                return None
        body, self._pending = self._pending[:size], self._pending[size:]
        received = Received(method=method, target=target, headers=headers, body=body, connection=self.number)
        self.server.requests.append(received)
        return received

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.stream.sendall(data)

    def reset(self) -> None:
        """End the connection as a crashed process or a firewall does."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()

    def wait_for_client(self) -> None:
        """Return when the client has hung up."""
        while self._read_more():
            self._pending = b""

    def relay(self, host: str, port: int) -> None:
        """Pass bytes on to another server and back until one side ends."""
        with socket.create_connection((host, port), PATIENCE) as other:
            back = threading.Thread(target=_pump, args=(other, self.stream), daemon=True)
            back.start()
            _pump(self.stream, other)
            back.join(PATIENCE)

    def _read_more(self) -> bool:
        data = self.stream.recv(65_536)
        self._pending += data
        return bool(data)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class LoopbackServer:
    """
    Serves on a port of 127.0.0.1 while the block runs.

    :param script: what to do with each connection; it is closed afterwards.
    :param tls: speaks TLS with this.
    :param port: to serve on, instead of a free one.
    """

    def __init__(
        self, script: Callable[[Connection], None], *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self._script = script
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(PATIENCE)
        for stream in self._open:
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            number = self.connections
            self.connections += 1
            stream.settimeout(PATIENCE)
            self._open.append(stream)
            thread = threading.Thread(target=self._serve, args=(number, stream), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, number: int, stream: socket.socket) -> None:
        with suppress(OSError):
            if self._tls is not None:
                stream = self._tls.wrap_socket(stream, server_side=True)
                self._open.append(stream)
            with stream:
                self._script(Connection(number, stream, self))


def answers(*replies: bytes) -> Callable[[Connection], None]:
    """Return a script that answers request by request on kept connections, the last for ever."""
    rest = list(replies)
    lock = threading.Lock()

    def script(connection: Connection) -> None:
        while connection.read_request() is not None:
            with lock:
                reply = rest.pop(0) if len(rest) > 1 else rest[0]
            connection.send(reply)

    return script
