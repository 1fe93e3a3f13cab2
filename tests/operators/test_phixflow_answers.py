"""Each setting that says where an answer has what, off its default, in both modes of an endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.phixflow import TRIGGER, WAYS, Bench, Way, bench
from support.tasks import MODES, Mode

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import FlowExecutionFailedError, FlowSubmissionUnclearError

__all__ = ["bench"]

STATUS = r"/status$"
ENDED = {
    "outcome": {"word": "Success", "said": "3 read"},
    "message": "not this one",
    "lines": [
        {"key": "a", "result": "Success", "id": "x", "status": "Fail", "message": "not this one"},
        {"key": "b", "result": "Fail", "why": "No stock", "id": "y", "status": "Success"},
    ],
    "Out": {"rows": 3},
}
FIELDS: dict[str, Any] = {
    "status_field": "outcome.word",
    "message_field": "outcome.said",
    "records_field": "lines",
    "record_id_field": "key",
    "record_status_field": "result",
    "record_message_field": "why",
}


def ends_with(bench: Bench, way: Way, body: Any, status: int = 200) -> None:
    """Have the run end with an answer: the call's own, or that to the question for its status."""
    bench.add(way)
    bench.server.inject(
        Fault(
            path=TRIGGER if way == "wait" else STATUS,
            action="status",
            status=status,
            taken=True,
            count=None,
            headers={"content-type": "application/json"},
            body=json.dumps(body),
        )
    )


@pytest.mark.parametrize("way", WAYS)
def test_the_message_is_read_where_message_field_says(bench: Bench, way: Way) -> None:
    ends_with(bench, way, {"status": "Fail", "message": "not this one", "data": {"why": "No stock"}})
    error = bench.error(way, message_field="data.why")
    assert type(error) is FlowExecutionFailedError
    assert error.what == "The execution ended in Fail.\n  - No stock"


@pytest.mark.parametrize("way", WAYS)
def test_a_records_fields_are_read_where_the_settings_say(bench: Bench, way: Way) -> None:
    ends_with(bench, way, ENDED)
    error = bench.error(way, **FIELDS)
    assert type(error) is FlowExecutionFailedError
    assert error.what == "The execution ended in Success.\n  - 3 read\n  - record b: No stock"


@pytest.mark.parametrize(
    ("changed", "warnings"),
    [
        ({"record_id_field": "id"}, ["record y: No stock"]),
        ({"record_id_field": "none"}, ["record number 2: No stock"]),
        ({"record_status_field": "status"}, ["record a: Fail"]),
        ({"record_message_field": "message"}, ["record b: Fail"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("way", WAYS)
def test_each_field_of_a_record_is_read_by_its_own_setting(
    bench: Bench, way: Way, changed: dict[str, Any], warnings: list[str]
) -> None:
    ends_with(bench, way, ENDED)
    manifest = bench.run(way, **{**FIELDS, **changed}, on_partial_failure="warn", output_name="Out")
    assert (manifest["status"], manifest["warnings"]) == ("Success", warnings)
    assert manifest["values"] == {"rows": 3}


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_that_its_code_tells_has_the_message_too(bench: Bench, way: Way) -> None:
    ends_with(bench, way, {"why": "No stock"}, status=422)
    error = bench.error(way, failure_codes=[422], message_field="why")
    assert type(error) is FlowExecutionFailedError
    assert error.what == "The execution ended in 422.\n  - No stock"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_status_is_asked_as_status_method_says(bench: Bench, mode: Mode, method: Any) -> None:
    bench.add(mode, seconds=0.2)
    assert bench.run(mode, status_method=method)["status"] == "Success"
    asked = {one.method for one in bench.server.requests if one.path.endswith("/status")}
    assert asked == {method}


@pytest.mark.parametrize("mode", MODES)
def test_a_status_that_is_asked_by_post_is_asked_again_where_an_answer_is_lost(
    bench: Bench, mode: Mode
) -> None:
    bench.add(mode, seconds=0.2)
    bench.server.inject(Fault(path=STATUS, action="reset", taken=True, count=2))
    assert bench.run(mode, status_method="POST")["status"] == "Success"
    assert bench.section.started == 1


@pytest.mark.parametrize("records", [None, {}, [{"key": "a"}], [7], "text"])
def test_records_of_wait_mode_that_cannot_be_read_are_no_success_and_no_reason_to_call_again(
    bench: Bench, records: Any
) -> None:
    ends_with(bench, "wait", {"status": "Success", "records": records})
    error = bench.error(records_field="records", on_partial_failure="succeed")
    assert type(error) is FlowSubmissionUnclearError
    assert "'records'" in error.what or "record number 1" in error.what
    assert bench.section.started == 1
