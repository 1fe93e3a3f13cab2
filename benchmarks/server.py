"""A server that costs little: it sends bytes from memory and drops what it is sent.

Why this module exists: what is measured is a client, so the server must be a process of its own, and quicker
than any client. Invariant: it ends when the one who started it does, because its standard input ends then.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.work import ROOT

_BLOCK = bytes(range(256)) * 4096
"""A megabyte."""


@contextmanager
def serving() -> Iterator[str]:
    """Run the server and yield its address; ``GET /<size>`` is answered with so many bytes."""
    with subprocess.Popen(
        [sys.executable, "-m", __spec__.name],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        if program.stdin is None or program.stdout is None:
            raise RuntimeError("the server was started without pipes")
        with program.stdin:
            url = program.stdout.readline().strip()
            if not url:
                raise RuntimeError("the server did not start; its reason is on standard error")
            yield url


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send as many bytes as the path says."""
        left = int(self.path.strip("/"))
        self._head(size=left)
        while left:
            sent = _BLOCK[:left] if left < len(_BLOCK) else _BLOCK
            self.connection.sendall(sent)
            left -= len(sent)

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

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def _head(self, *, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()


def _serve() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    _serve()
