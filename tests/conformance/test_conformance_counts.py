"""What is counted of runs, on every flow system: it comes with the machinery that they share."""

from __future__ import annotations

from support.metering import Sent, sent
from support.tasks import Mode

from conformance.observing import both_modes, run
from conformance.systems import Case

__all__ = ["sent"]


@both_modes
def test_a_run_counts_as_started_and_ended_once_under_its_systems_name(
    runner: Case, sent: Sent, mode: Mode
) -> None:
    operator = runner.operator(mode, seconds=0.1)
    assert run(operator).error is None
    run(runner.operator(mode, seconds=0.1, ends="badly"))
    counts = sent.counts()
    assert counts == {"runs.started": 2, "runs.ended.succeeded": 1, "runs.ended.failed": 1}
    systems = {(tags or {}).get("system") for _, _, _, tags in sent.entries} - {None}
    assert systems == {operator.system}
