"""Rows about output: documents that land on disk beside plain ``requests``, and values beside ``json``.

Invariant: both sides read from the same server, over TLS, and write to the same folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks.comparison import MEGABYTE, Row
from benchmarks.server import serving
from benchmarks.work import Work
from smartflows_provider.output.documents import land
from smartflows_provider.output.extractor import extract
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.wire.messages import Request

DOCUMENT = 1024**3
"""Bytes."""
LINE = 500_000_000
"""Bytes per second that the server sends at most: a line of four gigabits."""
LINES = 100_000
"""Objects in the model."""
_CHUNK = 256 * 1024


@contextmanager
def rows(folder: Path, scale: float) -> Iterator[Sequence[Row]]:
    """Serve a document, write an answer with a large model, and yield the rows."""
    size, answer = int(DOCUMENT * scale), folder / "answer.json"
    answer.write_text(json.dumps(_answer(int(LINES * scale))))
    with serving(folder) as server:
        where = {"url": server.url, "authority": server.authority, "folder": str(folder)}
        yield [
            Row(
                name=name,
                ours=Work.of(own_document, **where, path=path, size=size),
                theirs=Work.of(bare_document, **where, path=path),
                amount=size // MEGABYTE,
                unit="MB",
                least_ratio=least_ratio,
                most_memory=30.0,
            )
            for name, path, least_ratio in (
                (f"a document of {size / 1024**2:,.0f} MiB over a line of 4 Gbit/s", f"/{size}/{LINE}", 0.9),
                # Hash, client and server together need more than two cores.
                ("the same as fast as the machine can", f"/{size}", 0.5),
            )
        ] + [
            Row(
                name=f"values of a model of {answer.stat().st_size / MEGABYTE:.0f} MB",
                ours=Work.of(own_values, path=str(answer)),
                theirs=Work.of(bare_values, path=str(answer)),
                amount=answer.stat().st_size // MEGABYTE,
                unit="MB",
            ),
        ]


def own_document(*, url: str, authority: str, folder: str, path: str, size: int) -> None:
    """Land a document as an operator does: hashed, counted, under its name only when it is whole."""
    settings = ClientSettings(base_url=url, api_prefix="", ca_bundle=authority)
    with (
        BlockingClient(settings) as client,
        client.stream(Request(method="GET", path=path)) as (head, chunks),
    ):
        landed = land(chunks, Path(folder), "own.bin", expected_size=head.announced_size)
    Path(folder, "own.bin").unlink()
    if landed.size != size:
        raise RuntimeError(f"{landed.size:,} bytes came")


def bare_document(*, url: str, authority: str, folder: str, path: str) -> None:
    """Write the same document with ``requests``."""
    target = Path(folder, "bare.bin")
    with (
        requests.get(f"{url}{path}", stream=True, timeout=60, verify=authority) as answer,
        target.open("wb") as file,
    ):
        for chunk in answer.iter_content(_CHUNK):
            file.write(chunk)
    target.unlink()


def own_values(path: str) -> None:
    """Read an answer and take the values and the document references out."""
    extract(json.loads(Path(path).read_bytes()))


def bare_values(path: str) -> None:
    """Read the same answer."""
    json.loads(Path(path).read_bytes())


def _answer(lines: int) -> dict[str, Any]:
    """Return an execution with values and, now and then, a document."""
    return {
        "status": "Success",
        "state": {
            "output": {
                "model": {
                    "lines": [
                        {
                            "number": number,
                            "customer": f"Customer {number}",
                            "amount": number / 4,
                            "paid": number % 3 == 0,
                            "letter": {"type": "document", "id": f"document-{number}", "name": "Letter.pdf"}
                            if number % 1000 == 0
                            else None,
                        }
                        for number in range(lines)
                    ]
                }
            }
        },
    }
