"""What is counted and measured of remote runs, for Airflow's own metrics.

One table names everything that is sent; ``docs/observability.md`` shows it. Invariants: nothing here raises,
and nothing here keeps an event loop waiting, whatever Airflow's backend does; no name and no tag holds what
a run is given or brings, nor which run it is, so their number is bounded by that of the connections.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import Stats, conf
from airflow.utils.net import get_hostname

from smartflows_provider.exceptions import FlowSubmissionUnclearError
from smartflows_provider.lifecycle.daemon_threads import DaemonThreads
from smartflows_provider.version_compat import prepare_stats
from smartflows_provider.wire.answers import read_moment

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.waiting.failures import PollFailureKind
    from smartflows_provider.wire.run import RunPhase

log = logging.getLogger(__name__)

CancelCause = Literal[
    "kill", "clear", "input_changed", "timeout", "person_needed", "flow_selected", "unrecorded", "request"
]  # fmt: skip
"""Why a run is cancelled. ``kill``: the task was stopped or marked; ``clear``: it was cleared;
``input_changed``: ``on_input_changed='restart'``; ``timeout``: its time was up; ``person_needed``:
``on_user_input='fail'``, or nobody has answered in time; ``flow_selected``: one of the flow that a person
has selected takes its place; ``unrecorded``: Airflow could not note the run; ``request``: an operator, or the
command line, was asked to."""
LeftBecause = Literal["failed", "killed"]
"""Why a run was left alive: the task has ``failed`` without the run's end, or it was ``killed``, and the run
was not to be cancelled, or could not be."""

PREFIX = "smartflows"
LONGEST_PART = 64
"""Characters of a connection's or a host's name; Airflow refuses names of more than 250 in all."""
MOST_UNSENT = 1000
"""What is kept of a triggerer's metrics while the backend stands still."""
REMIND_AFTER = 10.0
"""Seconds after which an unchanged gauge is sent again; some backends forget a gauge that is silent."""


class Kind(StrEnum):
    """How a backend treats what it is sent."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMER = "timer"
    """Milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One metric."""

    name: str
    """After the prefix."""
    kind: Kind
    meaning: str
    tags: tuple[str, ...] = ()
    """Beside ``system`` and ``conn_id``, which all have."""


def _counter(name: str, meaning: str, *tags: str) -> Definition:
    return Definition(name=name, kind=Kind.COUNTER, meaning=meaning, tags=tags)


class Metric(Enum):
    """All that is sent."""

    RUNS_STARTED = _counter("runs.started", "a task has started a run, and the service has answered")
    RUNS_REATTACHED = _counter("runs.reattached", "a retry, or a cleared task, goes on with its earlier run")
    RUNS_ADOPTED = _counter(
        "runs.adopted", "a run whose start was not answered was found, and proves to be the task's"
    )
    RUNS_UNCLEAR = _counter(
        "runs.unclear", "a task has failed, and it is open whether the service has started a run"
    )
    RUNS_ENDED = _counter("runs.ended", "a task has taken the end of its run up", "outcome")
    SENSORS_ENDED = _counter(
        "sensors.ended", "a sensor has taken the end of a run up, which it has not started", "outcome"
    )
    RUNS_CANCELLED = _counter("runs.cancelled", "the service has taken the request to cancel a run", "cause")
    RUNS_LEFT = _counter(
        "runs.left", "a task is over without its run's end, and the run may go on", "because"
    )
    POLLS_FAILED = _counter("polls.failed", "a question for a run's status has brought none", "failure")
    WAITS_OPEN = Definition(
        name="waits.open",
        kind=Kind.GAUGE,
        meaning="waits for runs in this triggerer at present",
        tags=("hostname",),
    )
    EVENT_LATENCY = Definition(
        name="events.latency",
        kind=Kind.TIMER,
        meaning="from the end of a wait in the triggerer to its event, or to the task's success",
    )
    RUN_DURATION = Definition(
        name="runs.duration",
        kind=Kind.TIMER,
        meaning="of a run, from its creation to its end, where the service tells both",
        tags=("outcome",),
    )

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of its tags, in the order in which they follow the name."""
        return ("system", "conn_id", *self.value.tags)


@dataclass(frozen=True, kw_only=True)
class Meter:
    """
    What happens to runs of one connection.

    :param system: a connection type.
    :param conn_id: the Airflow connection.
    """

    system: str
    conn_id: str

    def run_started(self) -> None:
        """Count a run that was started."""
        self._count(Metric.RUNS_STARTED)

    def run_reattached(self) -> None:
        """Count a run of an earlier attempt that is gone on with."""
        self._count(Metric.RUNS_REATTACHED)

    def run_adopted(self) -> None:
        """Count a run that was found on proof."""
        self._count(Metric.RUNS_ADOPTED)

    def run_ended(self, phase: RunPhase | Literal["gone"], *, own: bool) -> None:
        """
        Count a run's end that a task takes up.

        :param phase: in which it has ended; ``gone`` where the service has lost it.
        :param own: whether the task has started the run.
        """
        self._count(Metric.RUNS_ENDED if own else Metric.SENSORS_ENDED, str(phase))

    def run_took(self, phase: RunPhase, *, created_at: str | None, finished_at: str | None) -> None:
        """Measure a run by the service's own clock, where it tells both times."""
        began, ended = read_moment(created_at or ""), read_moment(finished_at or "")
        if began is not None and ended is not None and ended >= began:
            self._measure(Metric.RUN_DURATION, ended - began, str(phase))

    def run_cancelled(self, cause: CancelCause) -> None:
        """Count a request to cancel that the service has taken."""
        self._count(Metric.RUNS_CANCELLED, cause)

    def run_left(self, because: LeftBecause) -> None:
        """Count a run that its task leaves alive."""
        self._count(Metric.RUNS_LEFT, because)

    def task_failed(self, error: BaseException, *, left: str | None) -> None:
        """
        Count what a task that fails leaves open.

        :param error: why it fails.
        :param left: the run that it leaves alive, None if there is none.
        """
        if isinstance(error, FlowSubmissionUnclearError):
            self._count(Metric.RUNS_UNCLEAR)
        elif left is not None:
            self.run_left("failed")

    def poll_failed(self, failure: PollFailureKind) -> None:
        """Count a question that has brought no status."""
        self._count(Metric.POLLS_FAILED, failure)

    def event_came_after(self, seconds: float) -> None:
        """Measure the time from the end of a wait to the trigger's event."""
        self._measure(Metric.EVENT_LATENCY, seconds)

    def waits_open(self, number: int) -> None:
        """Show how many waits there are in this triggerer."""
        _deliver(lambda: self._send(Metric.WAITS_OPEN, "gauge", number, get_hostname()))

    def _count(self, metric: Metric, *values: str) -> None:
        _deliver(partial(self._send, metric, "incr", 1, *values))

    def _measure(self, metric: Metric, seconds: float, *values: str) -> None:
        _deliver(partial(self._send, metric, "timing", seconds * 1000.0, *values))

    def _send(self, metric: Metric, call: str, amount: float, *values: str) -> None:
        """Send a metric with tags, and where Airflow does so with its own once more with them in its name."""
        parts = [_clean(one) for one in (self.system, self.conn_id, *values)]
        name = f"{PREFIX}.{metric.value.name}"
        prepare_stats()
        send = getattr(Stats, call)
        send(name, amount, tags=dict(zip(metric.tags, parts, strict=True)))
        if _in_names():
            send(".".join([name, *(part.replace(".", "__") for part in parts)]), amount)


def meter_of(hook: FlowSystemHook) -> Meter:
    """Return the meter of a hook's connection."""
    return Meter(system=hook.conn_type, conn_id=str(hook.conn_id))


class OpenWaits:
    """
    How many waits there are on a connection in a triggerer.

    :param meter: of the connection.
    :param steady: gives seconds that never jump.
    """

    def __init__(self, meter: Meter, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._meter = meter
        self._steady = steady
        self._number = 0
        self._sent_at = float("-inf")

    def are(self, number: int) -> None:
        """Take in that there are so many now."""
        self._number, self._sent_at = number, self._steady()
        self._meter.waits_open(number)

    def remind(self) -> None:
        """Tell the number again if it was not told for a while."""
        if self._steady() - self._sent_at >= REMIND_AFTER:
            self.are(self._number)


class _Outbox:
    """Sends in a thread what is told on an event loop; what a standing backend does not take is left out."""

    def __init__(self) -> None:
        self._threads = DaemonThreads("flow-metrics")
        self._places = threading.BoundedSemaphore(MOST_UNSENT)

    def put(self, send: Callable[[], None]) -> None:
        """Have it sent, soon."""
        if self._places.acquire(blocking=False):
            self._threads.submit(partial(self._send, send))

    def _send(self, send: Callable[[], None]) -> None:
        try:
            _send_quietly(send)
        finally:
            self._places.release()


_outbox = cache(_Outbox)


def _deliver(send: Callable[[], None]) -> None:
    """Send at once, or, on an event loop, in a thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _send_quietly(send)
    else:
        _outbox().put(send)


def _send_quietly(send: Callable[[], Any]) -> None:
    try:
        send()
    except Exception:
        log.debug("A metric could not be sent.", exc_info=True)


@cache
def _in_names() -> bool:
    """Tell whether metrics are also sent with their tags in their names, for backends that drop tags."""
    return bool(conf.getboolean("metrics", "legacy_names_on", fallback=True))


def _clean(part: str) -> str:
    """Return a part of a name, or a tag, that every backend takes."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", part)[:LONGEST_PART]
