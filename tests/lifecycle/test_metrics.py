"""What is sent of runs: names and tags that every backend takes, and nothing that holds a run up."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from support.metering import Sent, sent

from smartflows_provider import version_compat
from smartflows_provider.lifecycle import metrics
from smartflows_provider.lifecycle.metrics import CancelCause, Meter, Metric, OpenWaits
from smartflows_provider.lifecycle.spans import ATTRIBUTES, SpanName
from smartflows_provider.wire.run import RunPhase

__all__ = ["sent"]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "observability.md").read_text()
METER = Meter(system="smartflows", conn_id="smartflows_default")


def test_what_is_counted_is_sent_with_tags_and_with_these_in_its_name(sent: Sent) -> None:
    METER.run_ended(RunPhase.SUCCEEDED, own=True)
    tags = {"system": "smartflows", "conn_id": "smartflows_default", "outcome": "succeeded"}
    assert sent.entries == [
        ("counter", "smartflows.runs.ended", 1, tags),
        ("counter", "smartflows.runs.ended.smartflows.smartflows_default.succeeded", 1, None),
    ]


def test_where_airflow_sends_no_tags_in_names_none_are(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__LEGACY_NAMES_ON", "False")
    metrics._in_names.cache_clear()
    try:
        METER.run_started()
    finally:
        monkeypatch.undo()
        metrics._in_names.cache_clear()
    assert [name for _, name, _, _ in sent.entries] == ["smartflows.runs.started"]


@pytest.mark.parametrize("conn_id", ["a.b", "a b,c=d|e:f", "ü" * 300, "", "x" * 300])
def test_names_and_tags_are_such_as_every_backend_takes(sent: Sent, conn_id: str) -> None:
    meter = Meter(system="workflowserver", conn_id=conn_id)
    meter.run_cancelled("input_changed")
    meter.waits_open(3)
    for _, name, _, tags in sent.entries:
        influx = ",".join([f"airflow.{name}", *(f"{key}={value}" for key, value in (tags or {}).items())])
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", name)
        assert len(influx) <= 250
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]*", value) for value in (tags or {}).values())


def test_a_dot_in_a_connections_name_is_no_level_of_the_metrics_name(sent: Sent) -> None:
    Meter(system="ocp", conn_id="prod.eu").run_started()
    assert sent.entries[0][3] == {"system": "ocp", "conn_id": "prod.eu"}
    assert sent.entries[1][1] == "smartflows.runs.started.ocp.prod__eu"


@pytest.mark.parametrize(
    ("created_at", "finished_at", "milliseconds"),
    [
        ("2027-01-15T08:00:00.000Z", "2027-01-15T08:01:30.500Z", [90_500.0]),
        ("2027-01-15T08:00:00Z", None, []),
        (None, "2027-01-15T08:00:00Z", []),
        ("yesterday", "2027-01-15T08:00:00Z", []),
        ("2027-01-15T08:00:01Z", "2027-01-15T08:00:00Z", []),
    ],
)
def test_a_run_is_measured_only_where_the_service_tells_both_times(
    sent: Sent, created_at: str | None, finished_at: str | None, milliseconds: list[float]
) -> None:
    METER.run_took(RunPhase.SUCCEEDED, created_at=created_at, finished_at=finished_at)
    assert sent.named("smartflows.runs.duration") == milliseconds


def test_a_gauge_that_does_not_change_is_told_again_after_a_while(sent: Sent) -> None:
    now = 100.0
    waits = OpenWaits(METER, steady=lambda: now)
    waits.are(2)
    waits.remind()
    now += metrics.REMIND_AFTER
    waits.remind()
    waits.remind()
    assert sent.named("smartflows.waits.open") == [2, 2]


def test_a_backend_that_stands_still_holds_no_event_loop_and_piles_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, found = threading.Event(), Sent()

    def stand_still(*arguments: Any, **options: Any) -> None:
        go_on.wait(60)
        found.incr(*arguments, **options)

    monkeypatch.setattr(metrics, "Stats", SimpleNamespace(incr=stand_still))
    outbox = metrics._Outbox()
    monkeypatch.setattr(metrics, "_outbox", lambda: outbox)

    async def count() -> float:
        began = time.monotonic()
        for _ in range(metrics.MOST_UNSENT + 500):
            METER.run_started()
        return time.monotonic() - began

    assert asyncio.run(count()) < 30
    go_on.set()
    assert len(found.named("smartflows.runs.started")) == metrics.MOST_UNSENT


def test_the_page_lists_every_metric_with_its_kind_tags_and_meaning() -> None:
    listed = re.findall(r"^\| `smartflows\.([a-z.]+)` \| (counter|gauge|timer) \|", PAGE, re.MULTILINE)
    assert listed == [(one.value.name, one.value.kind) for one in Metric]
    for metric in Metric:
        tags = ", ".join(f"`{tag}`" for tag in metric.value.tags) or "none"
        row = f"| `smartflows.{metric.value.name}` | {metric.value.kind} | {tags} | {metric.value.meaning} |"
        assert row in PAGE


def test_the_page_lists_every_span_attribute_and_cause() -> None:
    for span in SpanName:
        assert f"| `{span.value[0]}` | {span.value[1]} |" in PAGE
    for name, meaning in ATTRIBUTES.items():
        assert f"| `smartflows.{name}` | {meaning} |" in PAGE
    for cause in get_args(CancelCause):
        assert f"`{cause}`" in PAGE
    assert version_compat.tracer("tests") is not None
