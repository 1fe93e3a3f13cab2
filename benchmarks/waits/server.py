"""The service that the waits ask: every API of ``answers`` over TLS, in a process of its own.

Why this module exists: what is measured is a client, so its server has to be cheap, and has to know better
than any client when a run was over and who asked when.

Invariants: a held answer leaves when the run's status changes; moments are those of the machine's steady
clock, so that the server's and a client's compare; it ends when the one who started it does, because its
standard input ends then. It is told what to do by lines of JSON, and answers each with one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import uvloop

from benchmarks.program import running
from benchmarks.waits.answers import Answer, Question, answer, execution_id, read_question, started
from tests.support.loopback_certificates import Certificates, server_context

_REASONS = {200: b"OK", 404: b"Not Found"}
_LONGEST_LINE = 2**26
_FIRST_STARTED = 500_000_000
"""Number of the first run that a start makes."""


@dataclass(frozen=True)
class Asked:
    """One request that reached the service."""

    moment: float
    kind: str
    waits: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the service has seen."""

    asked: Sequence[Asked]
    started: dict[str, list[str]]
    """Ids of the executions by the marker that their start carried."""


class Server:
    """A handle on the server's process."""

    def __init__(self, commands: IO[str], answers: IO[str], *, port: int, authority: Path) -> None:
        self._commands, self._answers = commands, answers
        self.port = port
        self.authority = authority
        """The file that makes its certificate trusted."""

    def end_at(self, moments: dict[int, float]) -> None:
        """Have runs end at moments of the steady clock; those that are not named never do."""
        self._tell({"moments": list(moments.items())})

    def record(self) -> Record:
        """Return what the service has seen so far."""
        seen = self._tell({"record": True})
        asked = [Asked(moment, kind, tuple(waits)) for moment, kind, waits in seen["asked"]]
        return Record(asked=asked, started=seen["started"])

    def _tell(self, command: Any) -> Any:
        print(json.dumps(command), file=self._commands, flush=True)
        return json.loads(self._answers.readline())


@contextmanager
def serving(certificates: Certificates) -> Iterator[Server]:
    """Run the server and yield a handle on it."""
    with running(__spec__.name, str(certificates.server)) as program:
        port = int(program.told)
        yield Server(program.questions, program.answers, port=port, authority=certificates.authority)


@dataclass
class _Service:
    """What all connections share."""

    moments: dict[int, float] = field(default_factory=dict)
    asked: list[tuple[float, str, tuple[int, ...]]] = field(default_factory=list)
    started: dict[str, list[str]] = field(default_factory=dict)
    next_started: int = _FIRST_STARTED

    def is_stable(self, wait: int) -> bool:
        return time.monotonic() >= self.moments.get(wait, float("inf"))

    def ask(self, question: Question, connection: _Connection) -> None:
        """Answer a question, now or when there is news."""
        now = time.monotonic()
        self.asked.append((now, question.kind, question.waits))
        if question.kind == "start":
            self.started.setdefault(question.marker, []).append(execution_id(self.next_started))
            connection.reply(started(self.next_started))
            self.next_started += 1
        elif question.hold and not self.is_stable(question.waits[0]):
            news = self.moments.get(question.waits[0], float("inf"))
            seconds = min(question.hold, news - now)
            # A timer may go off a little early; the answer must not be the old one for that.
            connection.hold(seconds + 0.001, partial(self._answer, question, connection))
        else:
            self._answer(question, connection)

    def _answer(self, question: Question, connection: _Connection) -> None:
        connection.reply(answer(question, self.is_stable))


class _Connection(asyncio.Protocol):
    """One client's connection; it carries one request at a time."""

    def __init__(self, service: _Service) -> None:
        self._service = service
        self._bytes = b""
        self._transport: asyncio.Transport | None = None
        self._held: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if self._held is not None:
            self._held.cancel()

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        head, end, rest = self._bytes.partition(b"\r\n\r\n")
        if not end:
            return
        line, *fields = head.split(b"\r\n")
        length = 0
        for each in fields:
            name, _, value = each.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return
        self._bytes = rest[length:]
        method, target, _ = line.decode().split(" ")
        question = read_question(method, target, rest[:length])
        if question is None:
            self.reply(Answer(404, b"{}"))
        else:
            self._service.ask(question, self)

    def hold(self, seconds: float, then: Any) -> None:
        """Do something later, unless the client has gone by then."""
        self._held = asyncio.get_running_loop().call_later(seconds, then)

    def reply(self, told: Answer) -> None:
        """Send an answer."""
        if self._transport is None:
            return
        self._transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (told.status, _REASONS[told.status], len(told.body), told.body)
        )


async def _serve(certificate: Path) -> None:
    service, loop = _Service(), asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: _Connection(service), "127.0.0.1", 0, ssl=server_context(certificate), backlog=4096
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        if "moments" in command:
            service.moments = dict(command["moments"])
            told: Any = {}
        else:
            told = {"asked": service.asked, "started": service.started}
        print(json.dumps(told), flush=True)


def _main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1])))


if __name__ == "__main__":
    _main()
