"""A side and its server at work together, and what both have seen.

Invariants: each trial has a server and a driver of its own; trials that run side by side begin at the same
moment, when all are ready; the runs that end, and when, follow from a seed alone, so that all sides of a run
get the same.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from benchmarks.waits.contenders import VARIABLE, Contender, address, connection_variable
from benchmarks.waits.driver import Driven, Event, Mark, Plan, Step
from benchmarks.waits.server import Asked, Record, Server, serving
from benchmarks.work import ROOT
from tests.support.loopback_certificates import Certificates

HOST = "127.0.0.1"
_FOREIGN = ("AIRFLOW", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_")
_BEFORE_BEGIN = 0.2
"""Seconds until the drivers have begun, a little more than it takes; runs' ends count from then."""


@dataclass(frozen=True, kw_only=True)
class Endings:
    """Which runs end, and when."""

    count: int
    """How many of the waits."""
    first: float
    """Seconds from the beginning before which none ends."""
    last: float
    """Seconds from the beginning by which all have ended."""

    def moments(self, waits: int, *, begin: float, seed: str) -> dict[int, float]:
        """
        Return the moments by wait.

        :param waits: how many there are.
        :param begin: the beginning.
        """
        draw = random.Random(seed)
        chosen = draw.sample(range(waits), self.count)
        return {wait: begin + draw.uniform(self.first, self.last) for wait in chosen}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one side is to do."""

    contender: Contender
    steps: Sequence[Step]
    interval: float | None = None
    """Seconds between two questions; None for the contender's default."""
    endings: Endings = field(default_factory=lambda: Endings(count=0, first=0, last=0))
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The connection's extra fields."""
    probe: bool = False
    """Whether to notice how long the loop is blocked."""
    way: Callable[[int], Any] | None = None
    """Opens something between driver and server, a context manager that takes the server's port and yields
    another."""

    @property
    def seconds_between(self) -> float:
        """Seconds between two questions."""
        return self.contender.default_interval if self.interval is None else self.interval

    @property
    def waits(self) -> int:
        """How many waits there are in the end."""
        return self.steps[-1].waits


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a trial."""

    trial: Trial
    driven: Driven
    record: Record
    ended: Mapping[int, float]
    """When which run ended."""

    @property
    def marks(self) -> Sequence[Mark]:
        """One at the beginning, and one after each step."""
        return self.driven.marks

    def asked_in(self, step: int) -> list[Asked]:
        """Return the requests that reached the service in a step."""
        begin, end = self.marks[step].moment, self.marks[step + 1].moment
        return [each for each in self.record.asked if begin <= each.moment < end]

    def cpu_of(self, step: int) -> float:
        """Return the seconds of the processor that a step took."""
        return self.marks[step + 1].cpu - self.marks[step].cpu

    def seconds_of(self, step: int) -> float:
        """Return the length of a step."""
        return self.marks[step + 1].moment - self.marks[step].moment

    def cpu_per_request(self, step: int) -> float:
        """Return the milliseconds of the processor that a request took in a step."""
        return 1000 * self.cpu_of(step) / max(1, len(self.asked_in(step)))

    def rss_per_wait(self, step: int) -> float:
        """Return the kilobytes by which the process grew in a step, for each wait that was begun in it."""
        grown = self.marks[step + 1].rss - self.marks[step].rss
        before = self.trial.steps[step - 1].waits if step else 0
        return grown / 1000 / (self.trial.steps[step].waits - before)

    @cached_property
    def latencies(self) -> list[float]:
        """
        Seconds from a run's end to its event.

        A run whose event did not come counts with the time until the trial's end.
        """
        came = {event.wait: event.moment for event in self.driven.events}
        end = self.marks[-1].moment
        return [came.get(wait, end) - moment for wait, moment in self.ended.items() if moment < end]

    @property
    def requests_per_minute_and_wait(self) -> float:
        """Requests that reached the service, for each minute that a wait has lasted."""
        came = {event.wait: event.moment for event in self.driven.events}
        end = self.marks[-1].moment
        lasted = sum(came.get(wait, end) - self.begun(wait) for wait in range(self.trial.waits))
        return 60 * len(self.record.asked) / lasted

    @property
    def longest_gaps(self) -> list[float]:
        """The longest time in seconds for which the service was not asked about a wait, for each wait."""
        end = self.marks[-1].moment
        came = {event.wait: event.moment for event in self.driven.events}
        last = [self.begun(wait) for wait in range(self.trial.waits)]
        longest = [0.0] * self.trial.waits
        for asked in self.record.asked:
            for wait in asked.waits:
                longest[wait] = max(longest[wait], asked.moment - last[wait])
                last[wait] = asked.moment
        return [max(gap, came.get(wait, end) - last[wait]) for wait, gap in enumerate(longest)]

    def begun(self, wait: int) -> float:
        """Return when a wait began."""
        due, before = self.driven.begun, 0
        for step in self.trial.steps:
            if wait < step.waits:
                return due + step.ramp * (wait - before) / (step.waits - before)
            due, before = due + step.seconds, step.waits
        raise ValueError(f"there is no wait {wait}")

    @property
    def lost(self) -> list[int]:
        """Waits whose run ended early enough, and whose event did not come."""
        came = {event.wait for event in self.driven.events}
        return [wait for wait in self.ended if wait not in came]

    @property
    def wrong(self) -> list[Event]:
        """Waits that ended with more than one event, with a wrong one, or though their run had not ended."""
        return [
            event
            for event in self.driven.events
            if event.events != 1 or not event.right or event.wait not in self.ended
        ]


def carry_out(trials: Sequence[Trial], certificates: Certificates, *, seed: str) -> list[Outcome]:
    """
    Run trials side by side and return what came of each.

    :param certificates: of the servers.
    :param seed: decides which runs end when.
    """
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(certificates)) for _ in trials]
        drivers = [
            stack.enter_context(_driving(trial, server, stack))
            for trial, server in zip(trials, servers, strict=True)
        ]
        for trial, driver in zip(trials, drivers, strict=True):
            if _line(driver, trial) != "ready":
                raise RuntimeError(
                    f"{trial.contender.name} did not get ready; its reason is on standard error"
                )
        begin = time.monotonic() + _BEFORE_BEGIN
        ended = [trial.endings.moments(trial.waits, begin=begin, seed=seed) for trial in trials]
        for server, moments in zip(servers, ended, strict=True):
            server.end_at(moments)
        for driver in drivers:
            if driver.stdin is not None:
                print("begin", file=driver.stdin, flush=True)
        driven = [Driven.read(_line(driver, trial)) for trial, driver in zip(trials, drivers, strict=True)]
        return [
            Outcome(trial=trial, driven=done, record=server.record(), ended=moments)
            for trial, done, server, moments in zip(trials, driven, servers, ended, strict=True)
        ]


def environment(server: Server) -> dict[str, str]:
    """Return the environment in which a process trusts a server and finds no Airflow of the machine's."""
    home = str(server.authority.parent / "airflow")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)},
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "NO_PROXY": "*",
        "PYTHONWARNINGS": "ignore",
        "SSL_CERT_FILE": str(server.authority),
    }


@contextmanager
def _driving(trial: Trial, server: Server, stack: ExitStack) -> Iterator[subprocess.Popen[str]]:
    """Start the driver of a trial; it ends with the trial at the latest."""
    port = server.port if trial.way is None else stack.enter_context(trial.way(server.port))
    plan = Plan(
        contender=trial.contender.name,
        address=address(HOST, port),
        interval=trial.seconds_between,
        steps=trial.steps,
        probe=trial.probe,
    )
    named = connection_variable(trial.contender, host=HOST, port=port, extra=trial.extra)
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.waits.driver", plan.text()],
        cwd=ROOT,
        env={**environment(server), VARIABLE: named},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def _line(driver: subprocess.Popen[str], trial: Trial) -> str:
    """Return the next line of a driver that is one of its own."""
    line = driver.stdout.readline() if driver.stdout is not None else ""
    if not line:
        raise RuntimeError(f"{trial.contender.name} has ended early; its reason is on standard error")
    return line.strip()
