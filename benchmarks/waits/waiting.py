"""The group ``waiting``: our trigger beside a bare loop and beside the triggers of other providers.

A run has four parts: *checks* (what asking once costs, and a wait's memory), *defaults* (how soon the end of
a run is noticed where nothing is set), *crowd* (thousands of waits in one process) and *resets* (a network
that resets connections). Invariants: a ratio compares what was measured in the same run; the contenders of a
part begin in another order each run, except where the bare loop has to make as many requests as ours has
made.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.comparison import Figure
from benchmarks.sheet import Reading, Sheet
from benchmarks.waits import resets
from benchmarks.waits.contenders import (
    BARE,
    DATABRICKS,
    DBT_CLOUD,
    FIVETRAN,
    OURS,
    PEERS,
    Contender,
)
from benchmarks.waits.driver import Step
from benchmarks.waits.trial import Endings, Outcome, Trial, carry_out
from tests.support.loopback_certificates import Certificates, make_certificates

SHORT_POLLS = {"long_poll_seconds": 0}
SHARED_QUERY = {"batch_status": True}
PAGE = 500
"""Runs that one shared question may ask for, as the service allows."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    is_full: bool
    contenders: Sequence[Contender]
    """Who takes part in the checks."""
    checks: Sequence[Step]
    check_interval: float
    judged_peers: Mapping[str, float]
    """How much of a peer's CPU time ours may take at most."""
    defaults: Step
    """Thirty waits."""
    peer_defaults: Step
    default_endings: Endings
    peer_endings: Endings
    few: int
    """Waits from which the growth to a crowd is measured."""
    crowd: int
    interval: float
    """Seconds, the crowd's ``poll_interval``."""
    window: float
    """Seconds for which a crowd's loop is watched."""
    shared_interval: float
    """Seconds, the ``poll_interval`` where one query asks for many."""
    resets: resets.Sizes


FULL = Sizes(
    is_full=True,
    contenders=(OURS, BARE, *PEERS),
    checks=(
        Step(waits=50, ramp=1, rest=3),
        Step(waits=200, ramp=2, rest=4),
        Step(waits=200, ramp=0, rest=10),
    ),
    check_interval=2.0,
    judged_peers={DBT_CLOUD.name: 0.25, FIVETRAN.name: 0.25, DATABRICKS.name: 0.5},
    defaults=Step(waits=30, ramp=2, rest=153),
    peer_defaults=Step(waits=30, ramp=2, rest=148),
    default_endings=Endings(count=30, first=60, last=152),
    peer_endings=Endings(count=30, first=30, last=85),
    few=200,
    crowd=5000,
    interval=30.0,
    window=30.0,
    shared_interval=60.0,
    resets=resets.Sizes(waits=300, interval=2.0, seconds=120.0, rest=20.0, starts=1000),
)
SMALL = Sizes(
    is_full=False,
    contenders=(OURS, BARE, DBT_CLOUD, DATABRICKS, FIVETRAN),
    checks=(
        Step(waits=20, ramp=0.5, rest=0.5),
        Step(waits=80, ramp=1, rest=2),
        Step(waits=80, ramp=0, rest=5),
    ),
    check_interval=1.0,
    # A machine that is busy wakes a process for several answers at once, which makes a cheap question cheaper
    # yet; ours are asked together on any machine and gain nothing by that.
    judged_peers={DBT_CLOUD.name: 0.3, FIVETRAN.name: 0.25, DATABRICKS.name: 0.65},
    defaults=Step(waits=30, ramp=1, rest=19),
    peer_defaults=Step(waits=30, ramp=1, rest=19),
    default_endings=Endings(count=30, first=4, last=18),
    peer_endings=Endings(count=0, first=0, last=0),
    few=100,
    crowd=1000,
    interval=4.0,
    window=5.0,
    shared_interval=6.0,
    resets=resets.Sizes(waits=100, interval=1.0, seconds=12.0, rest=5.0, starts=150),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run has brought."""

    checks: dict[str, Outcome]
    defaults: dict[str, Outcome]
    crowd: Outcome
    same_load: Outcome
    """The bare loop with as many waits and requests as the crowd."""
    shared: Outcome
    resets: resets.Found


def sheet(folder: Path, scale: float, runs: int, tell: Callable[[str], None]) -> Sheet:
    """
    Measure.

    :param folder: where certificates go.
    :param scale: 1 for the full size; all below is one small size.
    :param runs: how often each is measured.
    :param tell: takes a line of progress.
    """
    sizes, certificates = FULL if scale >= 1 else SMALL, make_certificates(folder)
    found = []
    for number in range(runs):
        runner = _Runner(sizes, certificates, number, partial(_tell, tell, f"run {number + 1} of {runs}"))
        found.append(runner.run())
    lines = [*_check_lines(found, sizes), *_memory_lines(found, sizes), *_default_lines(found, sizes)]
    lines += [*_crowd_lines(found, sizes), *_shared_lines(found, sizes), *_reset_lines(found)]
    return Sheet(
        head=("", "ours", "beside it", "ratio", "goal"),
        lines=[line.cells() for line in lines],
        judged=[line.judged for line in lines if line.judged is not None],
        runs=runs,
    )


@dataclass(frozen=True)
class _Runner:
    """One run."""

    sizes: Sizes
    certificates: Certificates
    number: int
    tell: Callable[[str], None]

    def run(self) -> Run:
        checks = self._checks()
        through_proxy = resets.Waits(sizes=self.sizes.resets, seed=f"resets {self.number}")
        defaults, shared, reset = self._defaults(through_proxy)
        crowd, same_load = self._crowd()
        self.tell("starts in a network that resets connections")
        found = resets.measure(through_proxy, reset, self.certificates)
        return Run(
            checks=checks, defaults=defaults, crowd=crowd, same_load=same_load, shared=shared, resets=found
        )

    def _checks(self) -> dict[str, Outcome]:
        """One after the other, or where time is short side by side."""
        sizes = self.sizes
        order = sizes.contenders if self.number % 2 == 0 else tuple(reversed(sizes.contenders))
        trials = [
            Trial(
                contender=each,
                steps=sizes.checks,
                interval=sizes.check_interval,
                extra=SHORT_POLLS if each is OURS else {},
            )
            for each in order
        ]
        self.tell(f"a question every {sizes.check_interval:g} s: {', '.join(each.name for each in order)}")
        if not sizes.is_full:
            return {each.trial.contender.name: each for each in self._carry_out(trials)}
        return {trial.contender.name: self._carry_out([trial])[0] for trial in trials}

    def _defaults(self, through_proxy: resets.Waits) -> tuple[dict[str, Outcome], Outcome, Outcome]:
        """Side by side: thirty waits and shared queries cost next to nothing, and resets are counted."""
        sizes = self.sizes
        peers = PEERS if sizes.is_full else ()
        trials = [
            Trial(contender=OURS, steps=[sizes.defaults], endings=sizes.default_endings),
            *(
                Trial(contender=each, steps=[sizes.peer_defaults], endings=sizes.peer_endings)
                for each in peers
            ),
        ]
        interval = sizes.shared_interval
        shared = Trial(
            contender=OURS,
            steps=[
                Step(waits=sizes.crowd, ramp=interval / 3, rest=interval),
                Step(waits=sizes.crowd, ramp=0, rest=interval),
            ],
            interval=interval,
            extra=SHARED_QUERY,
            endings=Endings(count=sizes.crowd // 10, first=interval / 2, last=1.3 * interval),
        )
        self.tell("default settings, shared queries, and waits in a network that resets connections")
        *defaults, together, reset = self._carry_out([*trials, shared, through_proxy.trial()])
        return {each.trial.contender.name: each for each in defaults}, together, reset

    def _crowd(self) -> tuple[Outcome, Outcome]:
        """First ours, then the bare loop with as many requests as ours has made."""
        sizes = self.sizes
        few = Step(waits=sizes.few, ramp=1, rest=1)
        ours = Trial(
            contender=OURS,
            steps=[
                few,
                Step(waits=sizes.crowd, ramp=0.8 * sizes.interval, rest=0.5 * sizes.interval),
                Step(waits=sizes.crowd, ramp=0, rest=sizes.window),
                Step(waits=sizes.crowd, ramp=0, rest=sizes.interval),
            ],
            interval=sizes.interval,
            probe=True,
            endings=Endings(
                count=sizes.crowd // 10, first=1.2 * sizes.interval, last=1.3 * sizes.interval + sizes.window
            ),
        )
        self.tell(f"{sizes.crowd:,} waits in one process")
        (crowd,) = self._carry_out([ours])
        interval = sizes.crowd * crowd.seconds_of(2) / max(1, len(crowd.asked_in(2)))
        bare = Trial(
            contender=BARE,
            steps=[
                few,
                Step(waits=sizes.crowd, ramp=2, rest=interval),
                Step(waits=sizes.crowd, ramp=0, rest=sizes.window),
            ],
            interval=interval,
            probe=True,
        )
        self.tell(f"the bare loop with as many requests, one per wait and {interval:.1f} s")
        (same_load,) = self._carry_out([bare])
        return crowd, same_load

    def _carry_out(self, trials: Sequence[Trial]) -> list[Outcome]:
        return carry_out(trials, self.certificates, seed=f"run {self.number}")


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One line of the table."""

    name: str
    ours: Reading
    beside: Reading | None = None
    ratio: Reading | None = None

    @property
    def judged(self) -> Reading | None:
        """What has the goal."""
        judged = self.ratio if self.ratio is not None and self.ratio.most is not None else self.ours
        return judged if judged.most is not None else None

    def cells(self) -> tuple[str, ...]:
        """Return the line of the table."""
        shown = ["" if each is None else each.line()[1] for each in (self.ours, self.beside, self.ratio)]
        return (self.name, *shown, self.judged.goal if self.judged else "")


def _line(
    name: str,
    *,
    ours: Sequence[float],
    unit: str,
    digits: int = 0,
    most: float | None = None,
    exact: bool = False,
    beside: Sequence[float] = (),
    most_ratio: float | None = None,
) -> _Line:
    """
    Return a line about figures of several runs.

    :param most: the goal for our figure.
    :param beside: what is compared, by run.
    :param most_ratio: the goal for our figure as a part of the other.
    """
    own = Reading(name=name, figure=Figure.of(ours), unit=unit, digits=digits, most=most, exact=exact)
    if not beside:
        return _Line(name=name, ours=own)
    parts = [one / max(other, 1e-9) for one, other in zip(ours, beside, strict=True)]
    return _Line(
        name=name,
        ours=own,
        beside=replace(own, figure=Figure.of(beside), most=None),
        ratio=Reading(name=name, figure=Figure.of(parts), unit="", digits=2, most=most_ratio),
    )


def _check_lines(runs: Sequence[Run], sizes: Sizes) -> list[_Line]:
    """Say what a question costs; the last step is the one without new waits."""
    last = len(sizes.checks) - 1
    costs = {
        each.name: [run.checks[each.name].cpu_per_request(last) for run in runs] for each in sizes.contenders
    }
    goals = {BARE.name: 1.3, **sizes.judged_peers}
    return [
        _line(
            f"CPU time per status check, beside {name}",
            ours=costs[OURS.name],
            beside=cost,
            unit="ms",
            digits=2,
            most_ratio=goals.get(name),
        )
        for name, cost in costs.items()
        if name != OURS.name
    ]


def _memory_lines(runs: Sequence[Run], sizes: Sizes) -> list[_Line]:
    """Say what a wait takes; the peers' waits are few, since many would take gigabytes."""
    ours = [run.crowd.rss_per_wait(1) for run in runs]
    few, many = (step.waits for step in sizes.checks[:2])
    lines = [
        _line(
            f"memory per additional wait, {sizes.few:,} to {sizes.crowd:,}, beside {BARE.name}",
            ours=ours,
            beside=[run.same_load.rss_per_wait(1) for run in runs],
            unit="KB",
            most=20,
        )
    ]
    return lines + [
        _line(
            f"the same, beside {each.name} from {few} to {many}",
            ours=ours,
            beside=[run.checks[each.name].rss_per_wait(1) for run in runs],
            unit="KB",
        )
        for each in sizes.contenders
        if each.name not in {OURS.name, BARE.name}
    ]


def _default_lines(runs: Sequence[Run], sizes: Sizes) -> list[_Line]:
    """Seconds say something about a machine, so they are judged in the full size only."""
    delays = {
        name: [statistics.median(run.defaults[name].latencies) for run in runs] for name in runs[0].defaults
    }
    requests = {
        name: [run.defaults[name].requests_per_minute_and_wait for run in runs] for name in runs[0].defaults
    }
    lines = [
        _line(
            "end of a run to event, 30 waits, default settings, median",
            ours=delays[OURS.name],
            unit="s",
            digits=3,
            most=0.3 if sizes.is_full else None,
        ),
        _line(
            "requests per minute and wait there",
            ours=requests[OURS.name],
            unit="",
            digits=1,
            most=3 if sizes.is_full else None,
        ),
    ]
    for each in PEERS:
        if each.name in delays:
            name = f"{each.name}, which asks every {each.default_interval:g} s"
            lines += [
                _line(
                    f"end to event, beside {name}",
                    ours=delays[OURS.name],
                    beside=delays[each.name],
                    unit="s",
                    digits=3,
                ),
                _line(
                    f"requests per minute and wait, beside {each.name}",
                    ours=requests[OURS.name],
                    beside=requests[each.name],
                    unit="",
                    digits=1,
                ),
            ]
    return lines


def _crowd_lines(runs: Sequence[Run], sizes: Sizes) -> list[_Line]:
    watched = 2
    interval = sizes.interval
    name = f"{sizes.crowd:,} waits, one query each, every {interval:g} s"
    return [
        _line(
            f"{name}: end to event, median, in intervals",
            ours=[statistics.median(run.crowd.latencies) / interval for run in runs],
            unit="",
            digits=2,
            most=0.5,
        ),
        _line(
            f"{name}: the longest time without a question, beyond one interval, in intervals",
            ours=[max(run.crowd.longest_gaps) / interval - 1 for run in runs],
            unit="",
            digits=2,
            most=1,
        ),
        _line(
            f"{name}: requests per second, beside the bare loop",
            ours=[_rate(run.crowd, watched) for run in runs],
            beside=[_rate(run.same_load, watched) for run in runs],
            unit="",
        ),
        _line(
            f"{name}: loop blocked, 99th percentile, beside the bare loop under the same load",
            ours=[1000 * run.crowd.marks[watched + 1].delay_high for run in runs],
            beside=[1000 * run.same_load.marks[watched + 1].delay_high for run in runs],
            unit="ms",
            digits=1,
            # In a few seconds a millisecond more or less is chance.
            most_ratio=1.2 if sizes.is_full else 2.0,
        ),
        _line(
            f"{name}: loop blocked at the longest",
            ours=[1000 * run.crowd.marks[watched + 1].delay_longest for run in runs],
            beside=[1000 * run.same_load.marks[watched + 1].delay_longest for run in runs],
            unit="ms",
            digits=1,
            most_ratio=1.2 if sizes.is_full else None,
        ),
        _line(
            f"{name}: CPU time per minute",
            ours=[60 * run.crowd.cpu_of(watched) / run.crowd.seconds_of(watched) for run in runs],
            beside=[60 * run.same_load.cpu_of(watched) / run.same_load.seconds_of(watched) for run in runs],
            unit="s",
            digits=1,
        ),
    ]


def _shared_lines(runs: Sequence[Run], sizes: Sizes) -> list[_Line]:
    """The second step is one interval, in which no wait begins."""
    interval = sizes.shared_interval
    least = -(-sizes.crowd // PAGE)
    name = f"{sizes.crowd:,} waits, shared queries, every {interval:g} s"
    return [
        _line(
            f"{name}: requests per interval",
            ours=[float(len(run.shared.asked_in(1))) for run in runs],
            unit="",
            most=max(12.0, 1.2 * least),
        ),
        _line(
            f"{name}: end to event, median, in intervals",
            ours=[statistics.median(run.shared.latencies) / interval for run in runs],
            unit="",
            digits=2,
        ),
        _line(
            f"{name}: CPU time per minute",
            ours=[60 * run.shared.cpu_of(1) / run.shared.seconds_of(1) for run in runs],
            unit="s",
            digits=1,
        ),
    ]


def _rate(outcome: Outcome, step: int) -> float:
    """Return requests per second."""
    return len(outcome.asked_in(step)) / outcome.seconds_of(step)


def _tell(tell: Callable[[str], None], where: str, what: str) -> None:
    tell(f"{where}: {what}")


def _reset_lines(runs: Sequence[Run]) -> list[_Line]:
    first = runs[0].resets.sizes
    return [
        _line(
            f"1 % of exchanges reset: events lost, doubled or wrong, of {first.waits:,}",
            ours=[float(run.resets.bad_events) for run in runs],
            unit="",
            most=0,
            exact=True,
        ),
        _line(
            f"1 % of exchanges reset: starts lost or doubled, of {first.starts:,}",
            ours=[float(run.resets.bad_starts) for run in runs],
            unit="",
            most=0,
            exact=True,
        ),
        _line(
            "exchanges that were reset",
            ours=[float(run.resets.resets) for run in runs],
            unit="",
        ),
        _line(
            "starts of which the caller was told that it is open what became of them",
            ours=[float(run.resets.open_starts) for run in runs],
            unit="",
        ),
    ]
