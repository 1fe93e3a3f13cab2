"""Connections of ``requests`` that tell whether they ever stood, that end on demand, and that are not fooled.

urllib3 raises the same errors for a TLS handshake that breaks off and for an answer that never comes, yet
only the first proves that the service has taken nothing. Python takes a head that is cut off for a whole
one, and the body for an empty one. Invariants: an error that leaves ``connect`` is marked, whatever wraps it
later, and no other is; an answer has a whole head that ends; its bytes keep the pace.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from typing import Any
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssltransport import SSLTransport

from smartflows_provider.transport.pace import Pace

MOST_LINES = 1024 * 1024
"""Bytes of a head, with announcements such as ``100 Continue`` before it, and of the lines after a body."""
_MARK = "smartflows_while_connecting"


def never_stood(error: BaseException) -> bool:
    """Tell whether an error left ``connect``; ask for each of its causes."""
    return getattr(error, _MARK, False)


class OpenSockets:
    """The sockets of one client, also those that its threads are reading from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: WeakSet[socket.socket | SSLTransport] = WeakSet()
        self.ended = False
        """Whether no socket of the client may be used any more."""

    def add(self, opened: socket.socket | SSLTransport) -> None:
        """Note a socket; it is ended at once where all were."""
        with self._lock:
            self._sockets.add(opened)
            ended = self.ended
        if ended:
            _end(opened)

    def end(self) -> None:
        """End all sockets now and from now on, so that whoever waits for one of them is woken by an error."""
        with self._lock:
            self.ended = True
            opened = list(self._sockets)
        for each in opened:
            _end(each)


def _end(opened: socket.socket | SSLTransport) -> None:
    # TLS within the TLS of a proxy.
    while isinstance(opened, SSLTransport):
        opened = opened.socket
    # The method of a TLS socket would take the session away from the thread that is reading.
    with suppress(OSError):
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


class _PacedReads(io.RawIOBase):
    """
    The bytes of a socket, as long as they keep the pace.

    With TLS it is called for every 16 KiB, so it asks the socket itself.

    :param raw: the socket's file, which keeps it open.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, pace: Pace) -> None:
        self._raw = raw
        self._receive = sock.recv_into
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        began = time.monotonic()
        size = self._receive(buffer)
        self._pace.received(size, waited=time.monotonic() - began)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines:
    """The lines before or after an answer's body, which together have a limit."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._size = 0
        self.close = stream.close

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        self._size += len(line)
        if self._size > MOST_LINES:
            raise HTTPException("the lines around the answer's body have no end")
        return line


class _HeadLines(_Lines):
    """The lines of an answer's head, of which the last is empty."""

    def readline(self, limit: int = -1) -> bytes:
        line = super().readline(limit)
        if not line:
            raise RemoteDisconnected("the connection was closed before the answer's head was whole")
        return line


class _CarefulResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp: Any = io.BufferedReader(_PacedReads(raw, sock, Pace(sock.gettimeout())))

    def begin(self) -> None:
        with self._reading(_HeadLines):
            super().begin()

    def _read_and_discard_trailer(self) -> None:
        with self._reading(_Lines):
            super()._read_and_discard_trailer()  # type: ignore[misc]

    @contextmanager
    def _reading(self, kind: type[_Lines]) -> Iterator[None]:
        stream = self.fp
        self.fp = lines = kind(stream)
        try:
            yield
        finally:
            if self.fp is lines:
                self.fp = stream


class _PlainConnection(HTTPConnection):
    response_class = _CarefulResponse

    def __init__(self, *args: Any, opened: OpenSockets, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._opened = opened

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            setattr(error, _MARK, True)
            raise
        self._opened.add(self.sock)


class _TlsConnection(_PlainConnection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class CarefulAdapter(HTTPAdapter):
    """
    The adapter of ``requests`` with connections as this module describes them, also through proxies.

    :param opened: takes note of their sockets.
    """

    def __init__(self, *, opened: OpenSockets, **kwargs: Any) -> None:
        self._opened = opened
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools for direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self._use_careful_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        """Return the pools for connections through a proxy."""
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        self._use_careful_pools(manager)
        return manager

    def _use_careful_pools(self, manager: PoolManager) -> None:
        pools: dict[str, Any] = {
            "http": partial(_PlainPool, opened=self._opened),
            "https": partial(_TlsPool, opened=self._opened),
        }
        manager.pool_classes_by_scheme = pools
