"""A TCP proxy that resets some of the exchanges that pass through it, in a process of its own.

Why this module exists: a network's resets come from between client and service, and meet requests that the
service has carried out as well as some it has never seen.

Invariants: TLS passes untouched; an exchange is what a client sends and what comes back, a TLS handshake
included; which exchanges are met, and whether before the service hears of them, after it, or amid the answer,
follows from a seed; it ends when the one who started it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.program import Program, running

SHARE = 0.01
_CHUNK = 65_536
_FATES = ("before", "after", "amid")


class Proxy:
    """A handle on the proxy's process."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.port = int(program.told)

    def resets(self) -> int:
        """Return how many exchanges it has met so far."""
        print("resets", file=self._program.questions, flush=True)
        return int(self._program.answers.readline())


@contextmanager
def resetting(port: int, *, seed: str) -> Iterator[Proxy]:
    """
    Run the proxy and yield a handle on it.

    :param port: where it leads to, on the loopback address.
    """
    with running(__spec__.name, str(port), seed) as program:
        yield Proxy(program)


@dataclass
class _Trouble:
    """Whom it meets."""

    draw: random.Random
    met: int = 0

    def fate(self) -> str | None:
        """Return what becomes of the next exchange; None if nothing does."""
        if self.draw.random() >= SHARE:
            return None
        self.met += 1
        return self.draw.choice(_FATES)


class _Line:
    """One connection."""

    def __init__(
        self,
        trouble: _Trouble,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        service: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._trouble = trouble
        self._from_client, self._to_client = client
        self._from_service, self._to_service = service
        self._is_between = True
        self._fate: str | None = None

    async def carry(self) -> None:
        """Carry bytes both ways until one side ends."""
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (self._to_client, self._to_service):
                writer.close()

    async def _requests(self) -> None:
        while chunk := await self._from_client.read(_CHUNK):
            if self._is_between:
                self._is_between, self._fate = False, self._trouble.fate()
            if self._fate == "before":
                _reset(self._to_client)
                return
            self._to_service.write(chunk)
            await self._to_service.drain()

    async def _answers(self) -> None:
        while chunk := await self._from_service.read(_CHUNK):
            self._is_between = True
            if self._fate is not None:
                self._to_client.write(chunk[: len(chunk) // 2] if self._fate == "amid" else b"")
                await asyncio.sleep(0.01)
                _reset(self._to_client)
                return
            self._to_client.write(chunk)
            await self._to_client.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _serve(port: int, seed: str) -> None:
    trouble = _Trouble(random.Random(seed))

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            service = await asyncio.open_connection("127.0.0.1", port)
            await _Line(trouble, (reader, writer), service).carry()

    listening = await asyncio.start_server(carry, "127.0.0.1", 0, backlog=4096)
    print(listening.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(trouble.met, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
