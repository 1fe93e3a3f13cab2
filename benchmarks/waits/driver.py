"""One side at work, in a process of its own: so many waits, begun in steps, and what they cost.

Why this module exists: CPU time, memory and a blocked loop can only be told apart where one process has one
side.

Invariants: everything is imported before the waits begin; marks are taken between steps, so what lies between
two of them is one step's; what the driver itself does between two marks is the same for all sides. It says
``ready``, waits for a line, and ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Self

from benchmarks.waits.contenders import CONTENDERS, Ended, Waiter
from benchmarks.work import memory

PROBE = 0.01
"""Seconds for which the task sleeps that notices a blocked loop."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens between two marks."""

    waits: int
    """How many have been begun by the end, all told."""
    ramp: float
    """Seconds over which the new ones begin."""
    rest: float
    """Seconds after that."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.ramp + self.rest


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a driver does."""

    contender: str
    address: str
    interval: float
    """Seconds between two questions about one run."""
    steps: Sequence[Step]
    probe: bool = False
    """Whether a task notices how long the loop is blocked."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the plan that :meth:`text` has written."""
        fields = json.loads(text)
        return cls(**{**fields, "steps": [Step(**step) for step in fields["steps"]]})

    def text(self) -> str:
        """Return the plan as text."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Where the process stood at the end of a step."""

    moment: float
    """Of the machine's steady clock."""
    cpu: float
    """Seconds of the processor so far."""
    rss: int
    """Bytes."""
    delay_high: float
    """Seconds by which the probe woke late, in the step: the 99th percentile."""
    delay_longest: float


@dataclass(frozen=True, kw_only=True)
class Event:
    """The end of a wait."""

    wait: int
    moment: float
    events: int
    right: bool


@dataclass(frozen=True, kw_only=True)
class Driven:
    """What came of a plan."""

    begun: float
    """Of the machine's steady clock."""
    marks: Sequence[Mark]
    events: Sequence[Event]

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what :meth:`text` has written."""
        fields = json.loads(text)
        return cls(
            begun=fields["begun"],
            marks=[Mark(**mark) for mark in fields["marks"]],
            events=[Event(**event) for event in fields["events"]],
        )

    def text(self) -> str:
        """Return this as text."""
        return json.dumps(asdict(self))


@dataclass
class _Drive:
    """The waits of one plan."""

    plan: Plan
    waiter: Waiter
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    async def run(self) -> Driven:
        begun = time.monotonic()
        marks = [self._mark()]
        probe = asyncio.create_task(self._probe()) if self.plan.probe else None
        due = begun
        for step in self.plan.steps:
            await self._begin(step, due)
            due += step.seconds
            await asyncio.sleep(due - time.monotonic())
            marks.append(self._mark())
        unfinished = [task for task in [*self.tasks, probe] if task is not None and not task.done()]
        for task in unfinished:
            task.cancel()
        failures = await asyncio.gather(*self.tasks, return_exceptions=True)
        for failure in failures:
            if isinstance(failure, Exception):
                raise failure
        return Driven(begun=begun, marks=marks, events=self.events)

    async def _begin(self, step: Step, due: float) -> None:
        """Begin the new waits of a step, evenly."""
        first = len(self.tasks)
        new = step.waits - first
        for number in range(new):
            left = due + step.ramp * number / new - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
            self.tasks.append(asyncio.create_task(self._wait(first + number)))

    async def _wait(self, wait: int) -> None:
        ended: Ended = await self.waiter(wait, self.plan.interval)
        self.events.append(Event(wait=wait, moment=time.monotonic(), events=ended.events, right=ended.right))

    async def _probe(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(PROBE)
            self.delays.append(time.monotonic() - began - PROBE)

    def _mark(self) -> Mark:
        delays, self.delays = sorted(self.delays), []
        return Mark(
            moment=time.monotonic(),
            cpu=time.process_time(),
            rss=memory("VmRSS") or 0,
            delay_high=delays[int(0.99 * (len(delays) - 1))] if delays else 0.0,
            delay_longest=delays[-1] if delays else 0.0,
        )


async def _drive(plan: Plan, lines: IO[str]) -> Driven:
    async with CONTENDERS[plan.contender].opener(plan.address) as waiter:
        print("ready", file=lines, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        return await _Drive(plan, waiter).run()


def main(work: Callable[[str, IO[str]], Awaitable[str]]) -> None:
    """
    Do work in this process, and print what came of it where Airflow's log does not go.

    :param work: takes the command's argument and where its lines go; returns the last line.
    """
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as lines, Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        print(asyncio.run(_awaited(work(sys.argv[1], lines))), file=lines, flush=True)


async def _awaited(work: Awaitable[str]) -> str:
    return await work


async def _work(argument: str, lines: IO[str]) -> str:
    return (await _drive(Plan.read(argument), lines)).text()


if __name__ == "__main__":
    main(_work)
