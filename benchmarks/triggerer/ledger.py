"""What became of the deferred tasks, as the database and the triggers' logs tell.

Why this module exists: that no wait is lost, and none ends twice, is read from Airflow's own records. It
reads SQLite itself, because Airflow's models take settings with them.

Invariants: nothing is written; a task that goes on has the event of its own execution, and nothing but that.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_FIRED = '"Trigger fired event"'
_STATES = (
    "SELECT map_index, state, next_method, next_kwargs, scheduled_dttm FROM task_instance WHERE map_index > ?"
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a task was handed that goes on."""

    event: Mapping[str, Any]
    """Empty where it was handed something else than an event."""
    moment: datetime
    """When it was handed back to the scheduler."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The tasks, by what became of them."""

    waiting: int
    ended: Mapping[int, Ended]
    """By map index."""
    other: Mapping[str, int]
    """How many are in another state."""


def read(database: Path, *, first: int) -> Ledger:
    """
    Read what became of tasks.

    :param database: Airflow's, on SQLite.
    :param first: map index of the first task.
    """
    waiting, ended, other = 0, {}, Counter[str]()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        for index, state, method, arguments, moment in connection.execute(_STATES, (first - 1,)):
            if state == "deferred":
                waiting += 1
            elif state == "scheduled":
                ended[index] = Ended(
                    event=_event(arguments) if method == "execute_complete" else {},
                    moment=datetime.fromisoformat(moment).replace(tzinfo=UTC),
                )
            else:
                other[str(state)] += 1
    return Ledger(waiting=waiting, ended=ended, other=other)


def fired_again(logs: Path) -> int:
    """Return for how many tasks the triggers' logs tell of more than one event."""
    fired = Counter[Path]()
    for file in logs.rglob("*.trigger.*.log"):
        fired[file.parent] += file.read_text(errors="replace").count(_FIRED)
    return sum(count > 1 for count in fired.values())


def _event(arguments: str) -> Mapping[str, Any]:
    """Return the event among a task's arguments, however Airflow has wrapped it."""
    found: Any = json.loads(arguments)
    for key in ("__var", "event", "__var"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    return found if isinstance(found, dict) else {}
