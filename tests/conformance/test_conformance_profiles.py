"""What the vendors leave open, and what must not show, on every flow system."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.tasks import Attempt, FakeStateStore, Mode

from conformance.observing import (
    both_modes,
    run,
)
from conformance.systems import CANARY, CASES, Case

# --- what the vendors leave open ---


PROFILES = [(kind, profile) for kind in CASES if kind.runs for profile in kind.profiles]


@pytest.mark.parametrize(
    ("chosen", "profile"),
    PROFILES,
    ids=[f"{kind.name}-{name}" for kind, name in PROFILES],
    indirect=["chosen"],
)
@both_modes
def test_every_reading_of_what_the_vendor_leaves_open_works(chosen: Case, profile: str, mode: Mode) -> None:
    more = chosen.configure(profile)
    seen = run(chosen.operator(mode, seconds=0.2, **more))
    assert seen.message == ""
    assert chosen.total(seen.value) == 7


# --- secrets ---


@both_modes
def test_nothing_that_airflow_stores_or_shows_holds_the_credential(
    runner: Case, mode: Mode, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    store = FakeStateStore()
    attempt = Attempt(store=store)
    seen = run(runner.operator(mode, seconds=0.2), attempt)
    badly = run(runner.operator(mode, seconds=0.0, ends="badly"))
    lost = run(runner.operator(mode, seconds=3600.0), meanwhile=(runner, lambda _: runner.rotate()))
    stored: list[Any] = [seen.value, attempt.xcoms, attempt.events, store.entries]
    stored += [trigger.serialize() for trigger in attempt.deferrals + lost.attempt.deferrals]
    shown = [json.dumps(stored), badly.message, lost.message, *seen.log, *lost.log, caplog.text]
    shown += list(capsys.readouterr())
    shown += [f"{request.path}?{request.query}" for request in runner.server.requests]
    assert [text for text in shown if CANARY in text] == []
