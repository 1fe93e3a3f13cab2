"""What becomes of waits and of starts in a network that resets one exchange in a hundred.

*Lost*: a wait whose run ended and whose event did not come; a start whose caller holds an id that the service
does not know. *Doubled*: a wait with two events; a start that the service carried out twice, or that it
carried out though its caller was told that nothing was taken. A start of which the caller was told that this
is open is neither, as long as the service has carried it out once at most. Invariant: the service's own
record decides.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.waits.contenders import OURS, VARIABLE, connection_variable
from benchmarks.waits.driver import Step
from benchmarks.waits.proxy import resetting
from benchmarks.waits.server import serving
from benchmarks.waits.starts import MADE, NOTHING, OPEN
from benchmarks.waits.trial import HOST, Endings, Outcome, Trial, environment
from benchmarks.work import ROOT
from tests.support.loopback_certificates import Certificates

_BEGIN = 2.0
"""Seconds over which the waits begin, and before which no run ends."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    waits: int
    interval: float
    seconds: float
    """By which all runs have ended."""
    rest: float
    """Seconds for the last events to come."""
    starts: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found."""

    sizes: Sizes
    bad_events: int
    """Lost, doubled or wrong."""
    bad_starts: int
    """Lost or doubled."""
    open_starts: int
    resets: int


@dataclass(kw_only=True)
class Waits:
    """Waits through a proxy, as a trial that can run beside others."""

    sizes: Sizes
    seed: str
    resets: int = 0
    """Exchanges that were reset, once the trial is over."""

    def trial(self) -> Trial:
        """Return the trial."""
        sizes = self.sizes
        return Trial(
            contender=OURS,
            steps=[Step(waits=sizes.waits, ramp=_BEGIN, rest=sizes.seconds + sizes.rest)],
            interval=sizes.interval,
            endings=Endings(count=sizes.waits, first=_BEGIN, last=_BEGIN + sizes.seconds),
            way=self._through,
        )

    @contextmanager
    def _through(self, port: int) -> Iterator[int]:
        with resetting(port, seed=self.seed) as proxy:
            yield proxy.port
            self.resets = proxy.resets()


def measure(waits: Waits, outcome: Outcome, certificates: Certificates) -> Found:
    """
    Return what became of the waits, and let starts pass through a proxy as well.

    :param outcome: of the waits' trial.
    """
    told, made, resets = _starts(waits.sizes, certificates, waits.seed)
    return Found(
        sizes=waits.sizes,
        bad_events=len(outcome.lost) + len(outcome.wrong),
        bad_starts=sum(is_bad(answer, made.get(marker, ())) for marker, answer in told.items()),
        open_starts=sum(answer[0] == OPEN for answer in told.values()),
        resets=waits.resets + resets,
    )


def is_bad(told: Sequence[str], made: Sequence[str]) -> bool:
    """
    Tell whether a start was lost or doubled.

    :param told: what its caller was told, and the id.
    :param made: the ids of what the service has made of it.
    """
    what, execution_id = told
    if what == MADE:
        return list(made) != [execution_id]
    return len(made) > (0 if what == NOTHING else 1)


def _starts(
    sizes: Sizes, certificates: Certificates, seed: str
) -> tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]], int]:
    """Return what callers were told and what the service made, by marker, and the number of resets."""
    with serving(certificates) as server, resetting(server.port, seed=seed) as proxy:
        named = connection_variable(OURS, host=HOST, port=proxy.port, extra={})
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.waits.starts", str(sizes.starts)],
            cwd=ROOT,
            env={**environment(server), VARIABLE: named},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1]), server.record().started, proxy.resets()
