"""A process that asks for a few megabytes which unpack to ten gigabytes, and tells what they cost."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from pathlib import Path

from support.loopback_server import LoopbackServer, answer, answers
from support.peak_memory import peak, tell

from smartflows_provider.output.documents import land
from smartflows_provider.transport.asynchronous import AsyncClient
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.wire.documents import read_document_head
from smartflows_provider.wire.messages import Request
from smartflows_provider.wire.smart_flows import document_content

GET = Request(method="GET", path="/things/1")


def ask(kind: str, url: str, folder: Path) -> None:
    settings = ClientSettings(base_url=url, api_prefix="", max_body_bytes=1_000_000)
    if kind == "async":

        async def run() -> None:
            async with AsyncClient(settings, repetition=NO_REPETITION) as client:
                await client.send(GET)

        asyncio.run(run())
    with BlockingClient(settings, repetition=NO_REPETITION) as client:
        if kind == "blocking":
            client.send(GET)
        with client.stream(document_content("d1")) as (head, chunks):
            stream = read_document_head(head, chunks)
            land(stream.chunks, folder, "a.pdf", max_bytes=50_000_000, expected_size=stream.size)


def main() -> None:
    kind, folder = json.loads(sys.argv[1])
    bomb = gzip.compress(bytes(100_000_000)) * 100
    with LoopbackServer(answers(answer(200, bomb, content_encoding="gzip"))) as server:
        before, error = peak(), ""
        try:
            ask(kind, server.url, Path(folder))
        except Exception as raised:  # noqa: BLE001 - told to the test
            error = type(raised).__name__
        tell({"bytes": peak() - before, "error": error, "packed": len(bomb)})


if __name__ == "__main__":
    main()
