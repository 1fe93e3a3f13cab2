"""One piece of work, done and measured in a process of its own.

Why this module exists: only a process that did nothing else has a peak of memory that tells something.

Invariants: the process is made by exec, so it inherits no peak; the peak is the operating system's own
(VmHWM), which counts the memory of C libraries too; imports are done before the clock starts, and what they
take is the base that the peak is compared with.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one run of a piece of work took."""

    seconds: float
    memory: int | None
    """Bytes above the base at the highest; None where the operating system does not tell."""


@dataclass(frozen=True)
class Work:
    """A function and its arguments; two that are equal are the same work."""

    target: str
    """``module:function``."""
    arguments: tuple[tuple[str, str | int], ...] = ()

    @classmethod
    def of(cls, function: Callable[..., object], **arguments: str | int) -> Work:
        """Return the work of calling a module's function."""
        return cls(f"{function.__module__}:{function.__name__}", tuple(arguments.items()))

    def measure(self) -> Sample:
        """
        Do the work once.

        :raises CalledProcessError: if it fails; its reason is on standard error.
        """
        command = [sys.executable, "-m", __spec__.name, self.target, json.dumps(dict(self.arguments))]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        taken = json.loads(done.stdout.splitlines()[-1])
        return Sample(seconds=taken["seconds"], memory=taken["memory"])


def _do(target: str, arguments: dict[str, Any]) -> None:
    """Do a piece of work in this process and print what it took."""
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    base = memory("VmRSS")
    began = time.perf_counter()
    function(**arguments)
    seconds = time.perf_counter() - began
    peak = memory("VmHWM")
    taken = None if base is None or peak is None else peak - base
    print(json.dumps({"seconds": seconds, "memory": taken}))


def memory(field: str) -> int | None:
    """Return a field of this process's status in bytes; None on a system without such a file."""
    if not _STATUS.exists():
        return None
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    _do(sys.argv[1], json.loads(sys.argv[2]))
