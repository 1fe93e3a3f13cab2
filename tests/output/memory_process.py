"""A process that lands a document from a server of its own and tells how much memory that took."""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
from typing import Any

from support.peak_memory import peak, tell


def serve(listener: socket.socket, size: int) -> None:
    """Send one document."""
    stream, _ = listener.accept()
    while b"\r\n\r\n" not in stream.recv(65_536):
        pass
    stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    block = b"\xa5" * 1024 * 1024
    for _ in range(size // len(block)):
        stream.sendall(block)
    stream.close()


def main() -> None:
    from upath import UPath

    from smartflows_provider.output.documents import land
    from smartflows_provider.transport.blocking import BlockingClient
    from smartflows_provider.transport.settings import ClientSettings
    from smartflows_provider.wire.documents import read_document_head
    from smartflows_provider.wire.smart_flows import document_content

    place, size, storage = json.loads(sys.argv[1])
    target: Any = UPath(place, **storage)
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener, size), daemon=True)
    server.start()
    land([b"x"], target, "warm-up.pdf")
    before = peak()
    client = BlockingClient(
        ClientSettings(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", api_prefix="")
    )
    with client.stream(document_content("d1")) as (head, chunks):
        stream = read_document_head(head, chunks)
        landed = land(stream.chunks, target, "Report.pdf", expected_size=stream.size)
    tell({"bytes": peak() - before, "size": landed.size})


if __name__ == "__main__":
    main()
