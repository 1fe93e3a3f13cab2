"""Starting several long-lived programs and leaving none of them behind.

Why this module exists: Airflow's components fork workers, parsers and trigger runners, some of them into
process groups of their own, and those outlive a component that dies early. Ending "the process and its
children" is therefore not enough.

Invariants:
* Each program runs in a session of its own, so Ctrl-C in the terminal reaches only the caller, which
  then ends everything in order.
* Each program carries a mark in its environment that no other process has. Descendants inherit it, so a
  process is found by its mark however often it was re-parented. `SPT_NOENV` keeps `setproctitle` from
  overwriting the mark.
* A watching process (`reaper`) holds the other end of a pipe. When the caller is gone, even by SIGKILL,
  it ends whatever still carries the mark.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

MARK_VARIABLE = "SMART_FLOWS_DEMO_MARK"
NAME_VARIABLE = "SMART_FLOWS_DEMO_PROGRAM"


class ProgramEndedError(RuntimeError):
    """A program that should keep running has ended; the message holds the end of its output."""


def marked_processes(mark: str, *, program: str | None = None) -> Iterator[psutil.Process]:
    """Yield the living processes that carry a mark.

    :param mark: value of the environment variable `MARK_VARIABLE`
    :param program: only this program's, descendants included; None for all of them
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            carried = process.environ()
            if carried.get(MARK_VARIABLE) == mark and program in {None, carried.get(NAME_VARIABLE)}:
                yield process


def kill_marked(mark: str, *, pause: float = 0.1) -> None:
    """Kill every process that carries a mark, until two looks in a row find none.

    Looking twice catches a process that was forked between a look and the kill of its parent.

    :param mark: value of the environment variable `MARK_VARIABLE`
    :param pause: seconds between two looks
    """
    clean_looks = 0
    while clean_looks < 2:
        found = list(marked_processes(mark))
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        clean_looks = 0 if found else clean_looks + 1
        time.sleep(pause)


def tail(path: Path, *, lines: int = 25) -> str:
    """Return the last lines of a text file, or a note that there is none.

    :param path: the file
    :param lines: how many lines at most
    """
    if not path.exists():
        return f"({path} does not exist)"
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


class ProcessTree:
    """Programs that live and end together.

    Use it as a context manager: leaving it ends every program and every descendant of one.

    :param logs: folder that receives one file of output per program; made if it does not exist
    :param grace: seconds that the programs get at the end to finish by themselves
    """

    def __init__(self, *, logs: Path, grace: float = 2.0) -> None:
        self.mark = uuid.uuid4().hex
        self.logs = logs
        self.grace = grace
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._reaper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        self._reaper = subprocess.Popen(
            [sys.executable, "-m", "smartflows_provider.demo.reaper", self.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        """Start a program with its output in `<logs>/<name>.log`, behind what is there already.

        :param name: what messages call the program
        :param command: program and arguments
        :param env: the whole environment; the marks are added
        """
        with self.log_of(name).open("ab") as output:
            self._programs[name] = subprocess.Popen(
                list(command),
                env={**env, MARK_VARIABLE: self.mark, NAME_VARIABLE: name, "SPT_NOENV": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log_of(self, name: str) -> Path:
        """Return the file that holds the output of a program."""
        return self.logs / f"{name}.log"

    def pid_of(self, name: str) -> int:
        """Return the process id of a program."""
        return self._programs[name].pid

    def require_running(self) -> None:
        """Check that no program has ended by itself.

        :raises ProgramEndedError: names the program, its exit code and the end of its output; starting
            anew may help if the cause was a port that another program took in between
        """
        for name, program in list(self._programs.items()):
            code = program.poll()
            if code is not None:
                raise ProgramEndedError(
                    f"{name} ended by itself with exit code {code}. The end of {self.log_of(name)}:\n"
                    f"{tail(self.log_of(name))}"
                )

    def alive(self) -> list[psutil.Process]:
        """Return all living processes of this tree, descendants included."""
        return list(marked_processes(self.mark))

    def processes_of(self, name: str) -> list[psutil.Process]:
        """Return the living processes of one program, descendants included, itself first if it lives."""
        own = self._programs[name].pid if name in self._programs else 0
        found = marked_processes(self.mark, program=name)
        return sorted(found, key=lambda process: (process.pid != own, process.pid))

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to every process of one program, descendants included.

        :param name: the program
        :param number: the signal; SIGSTOP freezes the program and SIGCONT wakes it up
        """
        for process in self.processes_of(name):
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def end(self, name: str, number: signal.Signals, *, grace: float = 60.0, alone: bool = False) -> None:
        """End one program with a signal, as a crash or a redeploy does; it is not missed from then on.

        :param name: the program
        :param number: SIGKILL, or a signal on which the program ends in order
        :param grace: seconds that the program gets before it is killed
        :param alone: leave its descendants to themselves instead of killing what is left of them
        """
        program = self._programs.pop(name)
        if number is signal.SIGKILL and not alone:
            self.send(name, number)
        program.send_signal(number)
        try:
            program.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
        while not alone and (left := self.processes_of(name)):
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(0.1)

    def stop(self) -> None:
        """End all programs: SIGTERM first, SIGKILL for what still lives after the grace period.

        May be called more than once.
        """
        for program in self._programs.values():
            if program.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(program.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.grace
        for program in self._programs.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(timeout=max(0.0, deadline - time.monotonic()))
        kill_marked(self.mark)
        for program in self._programs.values():
            program.wait()
        self._programs.clear()
        self._dismiss_reaper()

    def _dismiss_reaper(self) -> None:
        if self._reaper is None or self._reaper.stdin is None:
            return
        self._reaper.stdin.close()
        self._reaper.wait()
        self._reaper = None
