"""An upgrade with actionflows under way loses none: the terms of each version that wrote some are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.airflow_versions import needs_task_state
from support.phixflow import Bench, bench
from support.tasks import Attempt, FakeStateStore, first_event

from smartflows_provider.lifecycle.record import RECORD_KEY
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.wire.phixflow_terms import ActionflowTerms

__all__ = ["bench"]

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ROWS = [json.loads(path.read_text()) for path in sorted(GOLDEN.glob("phixflow_trigger-*.json"))]


@pytest.mark.parametrize("row", ROWS)
def test_a_trigger_that_an_earlier_version_has_deferred_is_revived_and_resumes_the_task(
    bench: Bench, row: dict[str, Any]
) -> None:
    bench.add("deferrable", result={"rows": 3})
    bench.run("deferrable", wait_for_completion=False)
    event = first_event(FlowExecutionTrigger(**{**row, "execution_id": "4711"}))
    assert (event["reason"], event["status"]) == ("finished", "Success")
    manifest = bench.task("deferrable", output_name="Out").execute_complete(Attempt().context(), event)
    assert (manifest["execution_id"], manifest["values"]) == ("4711", {"rows": 3})


@pytest.mark.parametrize("row", ROWS)
def test_terms_of_each_version_mean_what_they_did(row: dict[str, Any]) -> None:
    read = ActionflowTerms.from_dict({**row["terms"], "invented_later": 1}).as_dict()
    assert {name: read[name] for name in row["terms"]} == row["terms"]


def test_a_deferred_trigger_that_knows_fewer_terms_than_today_is_revived(bench: Bench) -> None:
    bench.add("deferrable")
    bench.run("deferrable", wait_for_completion=False)
    row = {**ROWS[-1], "execution_id": "4711", "terms": {"endpoint": "MyApp/Job"}}
    assert first_event(FlowExecutionTrigger(**row))["reason"] == "finished"


@needs_task_state
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("record-*.json")), ids=lambda path: path.stem)
def test_a_retry_attaches_to_the_run_of_a_record_that_an_earlier_version_has_written(
    bench: Bench, path: Path
) -> None:
    bench.add("sync")
    bench.run("sync", wait_for_completion=False)
    row = json.loads(path.read_text())
    store = FakeStateStore()
    store.set(RECORD_KEY, {**row, "execution_id": "4711", "deadline": 4e9})
    epoch = row["epoch"]
    attempt = Attempt(store=store, max_tries=epoch["max_tries"], clear_number=epoch["clear_number"])
    assert bench.run("sync", attempt=attempt)["execution_id"] == "4711"
    assert bench.section.started == 1
