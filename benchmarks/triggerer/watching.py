"""What a program takes, seen from outside: time of the processor, memory, open files.

Invariants: what is looked at is a program and its descendants, as they are at each look; the highest is of
one look, so no sum of peaks that never met; the time of processes that have ended since a look is kept.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

PAUSE = 0.5
"""Seconds between two looks."""


@dataclass
class Taken:
    """What some processes have taken so far."""

    memory: int = 0
    """Bytes at the highest, what is shared with other processes included."""
    files: int = 0
    """Open files and connections at the most."""
    connections: int = 0
    """Of these, connections, at the most."""
    _first: dict[int, float] = field(default_factory=dict)
    _last: dict[int, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of the processor's time, from the first look at each process to the last."""
        return sum(self._last.values()) - sum(self._first.values())

    def look(self, processes: list[psutil.Process]) -> None:
        """Take in what processes have taken."""
        memory = files = connections = 0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                with process.oneshot():
                    times = process.cpu_times()
                    self._last[process.pid] = times.user + times.system
                    self._first.setdefault(process.pid, times.user + times.system)
                    memory += process.memory_info().rss
                    files += process.num_fds()
                connections += len(process.net_connections("inet"))
        self.memory = max(self.memory, memory)
        self.files = max(self.files, files)
        self.connections = max(self.connections, connections)


@dataclass
class TriggererTaken:
    """What a triggerer has taken: its two processes do different things."""

    supervisor: Taken = field(default_factory=Taken)
    """Airflow's process that reads and writes the database and the triggers' logs."""
    runner: Taken = field(default_factory=Taken)
    """The process with the loop that the triggers run in."""


@contextlib.contextmanager
def watching(pid: int, taken: TriggererTaken | None = None) -> Iterator[TriggererTaken]:
    """
    Look at a triggerer again and again for the time of a `with` block.

    :param pid: of the process that was started.
    :param taken: of a triggerer before it, to go on with.
    """
    found, over = taken or TriggererTaken(), threading.Event()

    def look() -> None:
        with contextlib.suppress(psutil.Error):
            supervisor = psutil.Process(pid)
            found.supervisor.look([supervisor])
            found.runner.look(supervisor.children(recursive=True))

    def go_on() -> None:
        while not over.wait(PAUSE):
            look()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield found
        look()
    finally:
        over.set()
        thread.join()
