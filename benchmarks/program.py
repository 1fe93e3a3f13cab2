"""A program beside the measuring one: a server, or a proxy.

Invariants: it ends when its standard input is closed, so it never outlives what has started it; its first
line says where it is reached.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from benchmarks.work import ROOT


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that is running."""

    questions: IO[str]
    """Its standard input."""
    answers: IO[str]
    """Its standard output, after the first line."""
    told: str
    """The first line."""


@contextmanager
def running(module: str, *arguments: str) -> Iterator[Program]:
    """
    Run a module as a program.

    :param module: its full name.
    :raises RuntimeError: if it does not start.
    """
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        if program.stdin is None or program.stdout is None:
            raise RuntimeError(f"{module} was started without pipes")
        with program.stdin:
            told = program.stdout.readline().strip()
            if not told:
                raise RuntimeError(f"{module} did not start; its reason is on standard error")
            yield Program(questions=program.stdin, answers=program.stdout, told=told)
