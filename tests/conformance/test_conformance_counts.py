"""What is counted of runs, on every flow system: it comes with the machinery that they share."""

from __future__ import annotations

from typing import Any

import pytest
from support.metering import Sent, sent
from support.tasks import Mode

from conformance.observing import both_modes, run
from conformance.systems import Case

__all__ = ["sent"]


@both_modes
@pytest.mark.parametrize(("ends", "outcome"), [({}, "succeeded"), ({"ends": "badly"}, "failed")])
def test_a_run_counts_as_started_and_ended_once_under_its_systems_name(
    runner: Case, sent: Sent, mode: Mode, ends: dict[str, Any], outcome: str
) -> None:
    operator = runner.operator(mode, seconds=0.1, **ends)
    run(operator)
    assert sent.counts() == {"runs.started": 1, f"runs.ended.{outcome}": 1}
    assert {tags["system"] for _, _, _, tags in sent.entries if tags} == {operator.system}
