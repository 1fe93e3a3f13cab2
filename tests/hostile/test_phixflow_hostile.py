"""Answers of a PhixFlow endpoint that are made to break things: short errors, no second call, no lost run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.phixflow import TRIGGER, WAYS, Bench, Way, bench
from support.tasks import MODES, Attempt, FakeStateStore, Mode

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import (
    FlowExecutionFailedError,
    FlowOutputError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.transport.settings import ClientSettings

__all__ = ["bench"]

STATUS = r"/status$"
JSON = {"content-type": "application/json"}
LONGEST_MESSAGE = 5000


def ends_with(bench: Bench, way: Way, body: str) -> None:
    bench.add(way)
    path = TRIGGER if way == "wait" else STATUS
    bench.server.inject(
        Fault(path=path, action="status", status=200, taken=True, count=None, headers=JSON, body=body)
    )


def nested(levels: int) -> str:
    return f'{{"status": "Success", "Out": {"[" * levels}1{"]" * levels}}}'


@pytest.mark.parametrize("levels", [200, 100_000])
@pytest.mark.parametrize("way", WAYS)
def test_data_that_is_nested_too_deeply_is_an_error_that_says_so(bench: Bench, way: Way, levels: int) -> None:
    ends_with(bench, way, nested(levels))
    error = bench.error(way, max_outage=0.2, output_name="Out")
    unread = FlowSubmissionUnclearError if way == "wait" else FlowStateUnknownError
    assert type(error) in {FlowOutputError, unread}
    assert "nested" in str(error)
    assert len(str(error)) < LONGEST_MESSAGE
    assert bench.section.started == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_without_end_is_not_read_and_not_asked_for_by_another_call(
    bench: Bench, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults: Any = ClientSettings.__init__
    monkeypatch.setitem(defaults.__kwdefaults__, "max_body_bytes", 10_000)
    bench.add(way)
    path = TRIGGER if way == "wait" else STATUS
    bench.server.inject(Fault(path=path, action="oversized", size=20_000_000, taken=True, count=None))
    store = FakeStateStore()
    error = bench.error(way, attempt=Attempt(store=store, max_tries=1), max_outage=0.2)
    assert type(error) is (FlowSubmissionUnclearError if way == "wait" else FlowStateUnknownError)
    assert "is larger than 10000 bytes" in str(error)
    bench.server.clear_faults()
    retry = Attempt(store=store, max_tries=1, try_number=2)
    if way == "wait":
        assert type(bench.error(way, attempt=retry)) is FlowSubmissionUnclearError
    else:
        assert bench.run(way, attempt=retry)["execution_id"] == "4711"
    assert bench.section.started == 1


@pytest.mark.parametrize("way", WAYS)
def test_ten_thousand_records_are_told_in_a_few_lines(bench: Bench, way: Way) -> None:
    records = [{"id": "x" * 200, "status": "Fail", "message": "\x00" * 50}] * 10_000
    ends_with(bench, way, json.dumps({"status": "Success", "records": records}))
    error = bench.error(way, records_field="records")
    assert type(error) is FlowExecutionFailedError
    assert error.what.endswith("\n  - and 9902 more records")
    assert len(str(error)) < 40_000


@pytest.mark.parametrize("word", ["x" * 1_000_000, "\x1b[31m\r\n\x00\ud800", "${jndi:ldap://x}", "<script>"])
@pytest.mark.parametrize("mode", MODES)
def test_a_status_word_that_is_made_to_be_shown_is_short_and_harmless(
    bench: Bench, mode: Mode, word: str
) -> None:
    ends_with(bench, mode, json.dumps({"status": word, "message": word}))
    error = bench.error(mode, timeout=0.3)
    assert len(str(error)) < LONGEST_MESSAGE
    assert "\x00" not in str(error)
    str(error).encode()
