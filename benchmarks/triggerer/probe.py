"""A trigger that tells for how long the triggerer's loop stands still, and how many triggers run in it.

Why this module exists: Airflow's own watchdog only tells of blocks over a threshold, and only in its log. A
trigger is on the loop itself, so what it measures is what every other trigger suffers.

Invariant: it ends by itself only when its file is gone; it writes a line per second and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

PAUSE = 0.02
"""Seconds between two looks."""


@dataclass(frozen=True)
class Second:
    """What was seen in about a second."""

    moment: float
    """Of the steady clock, at its end."""
    block: float
    """Seconds for which the loop stood still at the longest."""
    triggers: int
    """How many ran, the probe not counted."""


class LoopProbe(BaseTrigger):
    """
    Writes to a file how the loop it runs in does.

    :param path: the file; it must be there.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the file is gone."""
        while self._tell(await self._second()):
            pass
        yield TriggerEvent({})

    def _tell(self, second: Second) -> bool:
        """Write a line, and return whether the file was there; one that is gone is not made again."""
        try:
            with Path(self.path).open("r+") as told:
                told.seek(0, SEEK_END)
                told.write(f"{second.moment} {second.block} {second.triggers}\n")
        except FileNotFoundError:
            return False
        return True

    async def _second(self) -> Second:
        began, block = time.monotonic(), 0.0
        while (looked := time.monotonic()) < began + 1.0:
            await asyncio.sleep(PAUSE)
            block = max(block, time.monotonic() - looked - PAUSE)
        # Airflow names the task of each trigger by the trigger's id.
        triggers = sum("(ID " in task.get_name() for task in asyncio.all_tasks()) - 1
        return Second(time.monotonic(), block, triggers)


def read(path: Path) -> Sequence[Second]:
    """Return what a probe has written so far."""
    found = []
    for line in path.read_text().splitlines():
        match line.split():
            case [moment, block, triggers]:
                found.append(Second(float(moment), float(block), int(triggers)))
    return found
