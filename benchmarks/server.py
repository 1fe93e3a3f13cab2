"""A server that costs little: it sends bytes from memory and drops what it is sent.

Why this module exists: what is measured is a client, so the server must be a process of its own, and quicker
than any client. It speaks TLS, as the services do: with TLS bytes come in small records, which is the larger
part of a client's work. Invariant: it ends when the one who started it does, because its standard input ends
then.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.program import running
from tests.support.loopback_certificates import make_certificates, server_context

_BLOCK = bytes(range(256)) * 4096
"""A megabyte."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the server is reached."""

    url: str
    authority: str
    """The file that makes its certificate trusted."""


@contextmanager
def serving(folder: Path) -> Iterator[Address]:
    """
    Run the server and yield its address.

    ``GET /<size>`` is answered with so many bytes, ``GET /<size>/<rate>`` with so many bytes per second.

    :param folder: where its certificates go.
    """
    certificates = make_certificates(folder)
    with running(__spec__.name, str(certificates.server)) as program:
        yield Address(url=program.told, authority=str(certificates.authority))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send as many bytes as the path says, as fast as it says."""
        size, _, rate = self.path.strip("/").partition("/")
        left = int(size)
        self._head(size=left)
        due = time.monotonic()
        while left:
            sent = _BLOCK[:left] if left < len(_BLOCK) else _BLOCK
            self.connection.sendall(sent)
            left -= len(sent)
            if rate:
                due += len(sent) / int(rate)
                time.sleep(max(0.0, due - time.monotonic()))

    def do_POST(self) -> None:
        """Take a body and drop it."""
        left = int(self.headers["Content-Length"])
        buffer = bytearray(len(_BLOCK))
        while left:
            taken = self.rfile.readinto(memoryview(buffer)[:left])
            if not taken:
                return
            left -= taken
        self._head(size=0)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _head(self, *, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()


def _serve(certificate: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = server_context(certificate).wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"https://127.0.0.1:{server.server_port}", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
