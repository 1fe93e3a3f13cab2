"""One line of progress that renews itself, and the text that stands in it.

Why this module exists: a person watches one line; a log file wants one line per change. Which of the two
it is follows from the stream.

Invariants: on a terminal the line is never wider than the terminal, so that it can be overwritten;
elsewhere a text is written only if it differs from the one before, and without the running time.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

ACTIVE_STATES = ("running", "deferred", "awaiting_input", "queued", "scheduled", "up_for_retry", "restarting")
"""Task states worth showing, the most telling first."""

CLEAR_TO_END_OF_LINE = "\x1b[K"


class LiveLine:
    """A line that shows what goes on; a context manager that ends it properly.

    :param stream: where to write
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._renews = stream.isatty()
        self._began = time.monotonic()
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renews and self._shown:
            self._stream.write("\n")
            self._stream.flush()

    def show(self, text: str) -> None:
        """Show a text in place of the one before.

        :param text: one line, without the running time
        """
        if self._renews:
            elapsed = f"{time.monotonic() - self._began:4.0f} s  "
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{(elapsed + text)[:width]}{CLEAR_TO_END_OF_LINE}")
        elif text != self._shown:
            self._stream.write(f"{text}\n")
        self._shown = text
        self._stream.flush()


def current_task(tasks: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the task instance that is most worth showing, or None if none is under way.

    :param tasks: the task instances of a DAG run
    """
    under_way = [task for task in tasks if task["state"] in ACTIVE_STATES]
    return min(under_way, key=lambda task: ACTIVE_STATES.index(task["state"]), default=None)


def describe_task(task: Mapping[str, Any]) -> str:
    """Return a task's name and state, with the attempt from the second on."""
    attempt = f" (attempt {task['try_number']})" if task["try_number"] > 1 else ""
    return f"{task['task_id']} {task['state'] or 'not yet scheduled'}{attempt}"


def describe_progress(progress: Mapping[str, Any]) -> str:
    """Return a remote flow's status, percentage and message; parts that it does not report are left out.

    :param progress: the progress object of a Smart Flows execution
    """
    parts = ["flow", str(progress.get("status") or "in an unknown status")]
    if progress.get("percentage") is not None:
        parts.append(f"{progress['percentage']:.0f} %")
    if progress.get("message"):
        parts.append(str(progress["message"]))
    return " ".join(parts)
