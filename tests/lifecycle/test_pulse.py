"""A process that has stood still knows it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from smartflows_provider.lifecycle import pulse as module
from smartflows_provider.lifecycle.pulse import Pulse


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        time.sleep(60)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_a_process_that_goes_on_has_not_stood_still(clock: Clock) -> None:
    pulse = Pulse()
    for _ in range(100):
        clock.now += 9
        pulse.beat()
    assert not pulse.stood_still_within(600)


def test_a_gap_between_two_beats_is_a_standstill_for_as_long_as_it_matters(clock: Clock) -> None:
    pulse = Pulse()
    clock.now += 11
    assert pulse.stood_still_within(600)
    for _ in range(100):
        clock.now += 5
        pulse.beat()
    assert pulse.stood_still_within(600)
    assert not pulse.stood_still_within(400)


def test_a_process_that_was_stopped_by_a_signal_notices_it() -> None:
    code = (
        "import smartflows_provider.lifecycle.pulse as p, sys, time\n"
        "p.BEAT, p.STANDSTILL = 0.05, 1.0\n"
        "pulse = p.pulse(); print('beats', flush=True); sys.stdin.readline()\n"
        "print(pulse.stood_still_within(600), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "beats\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.3)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "True\n"
