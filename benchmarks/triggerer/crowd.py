"""Many waits in one real triggerer, from rows to events.

Invariants: nothing but the triggerer runs, so a task that goes on stays as the triggerer has left it; no
execution ends before the service was asked about all; when executions end is drawn from a seed; a run ends,
with an error, when nothing has happened for long.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from benchmarks.triggerer import ledger, probe
from benchmarks.triggerer.ledger import Ledger
from benchmarks.triggerer.watching import TriggererTaken, watching
from benchmarks.waits.answers import execution_id, final_status
from benchmarks.waits.server import Server, serving
from benchmarks.work import ROOT
from smartflows_provider.demo.ports import LOOPBACK
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.stack import AirflowStack
from tests.support.loopback_certificates import make_certificates

TRIGGERER = "triggerer"
FIRST = 1
"""Map index of the first wait; the probe has the one before."""
PATIENCE = 150.0
"""Seconds without any progress after which a run is given up."""
DEADLINE = 7 * 24 * 3600.0
KEY = "benchmark-key"


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What is to be done."""

    waits: int
    seconds: float
    """Over which executions end, once all waits have been started."""
    seed: int = 0
    kill_after: float | None = None
    """Part of the seconds after which the triggerer is killed and another started; None for never."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it."""

    waits: int
    starting: float
    """Seconds from the triggerer's start until the service had been asked about each execution."""
    ending: float
    """Seconds from the last end of an execution until the last task was handed back."""
    lags: Sequence[float]
    """Seconds from the end of each execution until its task was handed back."""
    lost: int
    """Waits that did not end."""
    wrong: int
    """Waits that ended with something else than the end of their own execution."""
    repeated: int
    """Tasks whose triggers have fired more than one event."""
    requests: int
    """That reached the service."""
    block_starting: float
    """Seconds for which the loop stood still at the longest, until then."""
    block: float
    """The same from then on."""
    taken: TriggererTaken

    @property
    def typical_lag(self) -> float:
        """The median."""
        return median(self.lags)

    @property
    def long_lag(self) -> float:
        """What one in a hundred exceeds."""
        return quantiles(self.lags, n=100)[-1]


def run(crowd: Crowd, folder: Path, *, tell: Callable[[str], None]) -> Outcome:
    """
    Have a triggerer work off a crowd of waits.

    :param folder: an empty one.
    :param tell: takes a line of progress.
    :raises RuntimeError: if waits are left over and nothing happens any more.
    """
    _allow_files(crowd.waits)
    with (
        serving(make_certificates(folder)) as service,
        ProcessTree(logs=folder / "components") as processes,
    ):
        airflow = AirflowStack(
            processes, dags_folder=folder / "dags", home=folder / "airflow", env=_settings(crowd)
        )
        airflow.prepare()
        file = folder / "probe"
        file.touch()
        _write_rows(airflow, crowd, service, file)
        return _Run(crowd, airflow, service, file, tell).go()


class _Run:
    """One run, once everything is there."""

    def __init__(
        self, crowd: Crowd, airflow: AirflowStack, service: Server, file: Path, tell: Callable[[str], None]
    ) -> None:
        self._crowd, self._airflow, self._service, self._file = crowd, airflow, service, file
        self._tell = tell
        self._taken = TriggererTaken()

    def go(self) -> Outcome:
        began = time.monotonic()
        self._airflow.start_component(TRIGGERER)
        with watching(self._airflow.processes.pid_of(TRIGGERER), self._taken):
            self._wait_until(lambda: self._asked() == self._crowd.waits, self._asked, "been asked for")
            started = time.monotonic()
            moments = self._moments(started + 5.0)
            self._service.end_at(moments)
            if self._crowd.kill_after is not None:
                time.sleep(5.0 + self._crowd.seconds * self._crowd.kill_after)
                self._airflow.processes.end(TRIGGERER, signal.SIGKILL)
            else:
                self._wait_for_the_end()
        if self._crowd.kill_after is not None:
            self._airflow.start_component(TRIGGERER)
            with watching(self._airflow.processes.pid_of(TRIGGERER), self._taken):
                self._wait_for_the_end()
        return self._outcome(moments, began=began, started=started)

    def _asked(self) -> int:
        """How many waits the service has been asked about."""
        return len({wait for asked in self._service.record().asked for wait in asked.waits})

    def _ledger(self) -> Ledger:
        return ledger.read(self._airflow.database, first=FIRST)

    def _wait_for_the_end(self) -> None:
        self._wait_until(
            lambda: self._ledger().waiting == 0, lambda: self._crowd.waits - self._ledger().waiting, "ended"
        )

    def _wait_until(self, over: Callable[[], bool], count: Callable[[], int], what: str) -> None:
        done, since = -1, time.monotonic()
        while not over():
            self._airflow.processes.require_running()
            if (now := count()) != done:
                done, since = now, time.monotonic()
                self._tell(f"{done:,} of {self._crowd.waits:,} waits have {what}")
            if time.monotonic() - since > PATIENCE:
                raise RuntimeError(f"only {done:,} of {self._crowd.waits:,} waits have {what}")
            time.sleep(2.0)

    def _moments(self, first: float) -> dict[int, float]:
        """Return when each wait's execution ends."""
        drawn = random.Random(self._crowd.seed)
        return {
            wait: first + drawn.random() * self._crowd.seconds
            for wait in range(FIRST, FIRST + self._crowd.waits)
        }

    def _outcome(self, moments: Mapping[int, float], *, began: float, started: float) -> Outcome:
        found, told = self._ledger(), probe.read(self._file)
        since_epoch = time.time() - time.monotonic()
        ends = {wait: ended.moment.timestamp() - since_epoch for wait, ended in found.ended.items()}
        record = self._service.record()
        return Outcome(
            waits=self._crowd.waits,
            starting=started - began,
            ending=max(ends.values(), default=0.0) - max(moments.values()),
            lags=[end - moments[wait] for wait, end in ends.items()],
            lost=self._crowd.waits - len(ends),
            wrong=sum(not _is_right(wait, ended.event) for wait, ended in found.ended.items()),
            repeated=ledger.fired_again(self._airflow.home / "logs"),
            requests=len(record.asked),
            block_starting=max(second.block for second in told if second.moment <= started),
            block=max(second.block for second in told if second.moment > started),
            taken=self._taken,
        )


def _is_right(wait: int, event: Mapping[str, object]) -> bool:
    """Tell whether an event says how the wait's own execution has ended."""
    told = event.get("execution_id"), event.get("reason"), event.get("status")
    return told == (execution_id(wait), "finished", final_status(wait))


def _settings(crowd: Crowd) -> dict[str, str]:
    return {
        "AIRFLOW__TRIGGERER__CAPACITY": str(crowd.waits + 10),
        "PYTHONPATH": str(ROOT),
    }


def _write_rows(airflow: AirflowStack, crowd: Crowd, service: Server, file: Path) -> None:
    plan = {
        "connection": {
            "conn_id": "smartflows_default",
            "conn_type": "smartflows",
            "host": f"https://{LOOPBACK}",
            "port": service.port,
            "password": KEY,
            "extra": json.dumps({"ca_bundle": str(service.authority)}),
        },
        "execution_ids": [execution_id(wait) for wait in range(FIRST, FIRST + crowd.waits)],
        "seconds": DEADLINE,
        "probe_file": str(file),
    }
    subprocess.run(
        [airflow.python, "-m", "benchmarks.triggerer.rows"],
        cwd=ROOT,
        env=airflow.env,
        input=json.dumps(plan),
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    )


def _allow_files(waits: int) -> None:
    """Let programs that are started open as many files as the system allows: one per trigger."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < waits + 200:
        raise RuntimeError(f"{waits:,} triggers need as many open files, and the system allows {most:,}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
