"""What the command shows and asks.

Results go to standard output, notes and errors to standard error, so that a script reads results alone.
Invariants: no line holds anything but printable signs, wherever its words come from; a reader that has gone
(``| head``) ends nothing, because executions may be being cancelled; a sign that the terminal's encoding
lacks is escaped.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from io import StringIO
from typing import TextIO

from smartflows_provider.cli.text import printable


class Screen:
    """
    A person's terminal, or a script's pipes.

    :param out: for results.
    :param notes: for notes, questions and errors.
    :param answers: where a person answers.
    """

    def __init__(self, *, out: TextIO, notes: TextIO, answers: TextIO) -> None:
        self._out, self._notes, self._answers = out, notes, answers
        self._gone: set[TextIO] = set()

    @classmethod
    def of_process(cls) -> Screen:
        """Return the screen of this process; a stream that its caller has closed goes nowhere."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        out, notes, answers = (stream or StringIO() for stream in (sys.stdout, sys.stderr, sys.stdin))
        return cls(out=out, notes=notes, answers=answers)

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where results do not go to one."""
        return shutil.get_terminal_size().columns if self._out.isatty() else None

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to answer."""
        return self._answers.isatty()

    def show(self, *lines: str) -> None:
        """Show lines of a result."""
        self._write(self._out, lines)

    def note(self, text: str) -> None:
        """Say something beside the result, on as many lines as the text has."""
        self._write(self._notes, text.splitlines())

    def ask(self, question: str) -> bool:
        """Ask a question; anything but a yes is a no."""
        self._write(self._notes, [f"{question} [y/N] "], end="")
        answer = self._answers.readline()
        if not answer.endswith("\n"):
            self._write(self._notes, [""])
        return answer.strip().lower() in {"y", "yes"}

    def _write(self, stream: TextIO, lines: Iterable[str], *, end: str = "\n") -> None:
        if stream in self._gone:
            return
        try:
            stream.write("".join(f"{printable(line)}{end}" for line in lines))
            stream.flush()
        except BrokenPipeError:
            self._gone.add(stream)
            _discard(stream)


def _discard(stream: TextIO) -> None:
    """Send what the stream still holds nowhere, so that Python does not complain when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
