"""Answers of a service that are made to break things end in an error that says so, or are read safely."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smartflows_provider.output.errors import ExpressionInvalid, OutputError, OutputTooDeep
from smartflows_provider.output.extractor import extract
from smartflows_provider.output.file_names import FileNames
from smartflows_provider.output.manifest import build_manifest, fit
from smartflows_provider.output.selection import check_expressions, select
from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.errors import UnreadableAnswer, UnsendableValue, WireError
from smartflows_provider.wire.messages import Request, Response

REQUEST = Request(method="GET", path="/x")
HALF = "\ud800"


def answered(body: bytes, exchange: Any) -> Any:
    """Run a call of one request."""
    request = next(exchange)
    try:
        exchange.send(Response(status=200, body=body, request=request))
    except StopIteration as end:
        return end.value
    raise AssertionError("the call asks for more")


@pytest.mark.parametrize("levels", [200, 1000, 5000, 100_000])
def test_a_model_that_is_nested_too_deeply_is_an_error_that_says_so_on_every_python(levels: int) -> None:
    body = b'{"id": "e", "status": "Success", "model": %s1%s}' % (b'{"a":' * levels, b"}" * levels)
    with pytest.raises(
        (UnreadableAnswer, OutputTooDeep), match=r"nested (too deeply|deeper than 100)"
    ) as caught:
        extract(answered(body, wire.get_execution("e")).raw)
    assert len(str(caught.value)) < 300


def test_references_by_id_are_values_like_any_other() -> None:
    model = {"$id": "1", "self": {"$ref": "1"}, "all": [{"$ref": "#"}]}
    assert extract({"status": "Success", "model": model}).values == model


def test_numbers_that_json_has_not_are_replaced_and_named() -> None:
    body = b'{"id": "e", "status": "Success", "state": {"output": {"model": {"a": NaN, "b": [1e999]}}}}'
    output = extract(answered(body, wire.get_execution("e")).raw)
    assert output.values == {"a": None, "b": [None]}
    assert output.warnings == (
        "a held a number that JSON cannot carry; None stands for it",
        "b[0] held a number that JSON cannot carry; None stands for it",
    )


def test_numbers_of_thousands_of_digits_are_an_unreadable_answer() -> None:
    with pytest.raises(UnreadableAnswer, match="is not JSON"):
        answered(b'{"id": %s}' % (b"1" * 5000), wire.get_execution("e"))


def test_half_characters_and_nul_never_reach_the_manifest() -> None:
    raw = {
        "id": f"{HALF}e",
        "status": "Success",
        "createdAt": HALF,
        "flow": {"id": f"f{HALF}", "displayName": f"\x00{HALF}"},
        "state": {
            "warnings": [HALF],
            "errors": [{"message": HALF}],
            "output": {
                "model": {
                    HALF: HALF,
                    "d": {"type": "document", "id": f"d{HALF}", "displayName": HALF},
                    "n": ["\x00"],
                }
            },
        },
    }
    execution = answered(json.dumps(raw).encode(), wire.get_execution("e"))
    output = extract(execution.raw)
    manifest = build_manifest(
        output,
        execution_id=execution.id,
        flow_id=execution.flow.id,
        flow_name=execution.flow.name,
        status=execution.status,
        created_at=execution.created_at,
        url="",
    )
    text = json.dumps(fit(manifest, max_bytes=10_000, spill_to=None), ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text
    assert output.values == {"\ufffd": "\ufffd", "n": ["\ufffd"]}
    assert [document.id for document in output.documents] == ["d\ufffd"]


def test_an_unknown_status_of_a_megabyte_is_shortened() -> None:
    body = json.dumps({"id": "e", "status": HALF + "x" * 1_000_000}).encode()
    snapshot = answered(body, wire.progress("e"))
    assert snapshot.status == "\ufffd" + "x" * 99


def test_many_parts_of_one_name_take_no_longer_than_parts_of_many() -> None:
    parts = [{"displayName": "a", "model": {"x": number}} for number in range(20_000)]
    values = extract({"status": "Success", "outputs": parts}).values
    assert list(values)[:3] == ["a", "a_2", "a_3"]
    assert len(values) == len(parts)


def test_places_below_a_long_key_are_not_written_out() -> None:
    model = {"k" * 1_000_000: [*[0] * 100_000, float("nan"), {"type": "document", "id": "d"}]}
    output = extract({"status": "Success", "model": model})
    assert len(output.warnings[0]) <= 600
    assert len(output.documents[0].path) <= 600


def test_what_was_replaced_a_hundred_thousand_times_is_counted() -> None:
    output = extract({"status": "Success", "model": {"a": [float("nan")] * 100_000}})
    assert len(output.warnings) == 101
    assert output.warnings[-1] == "values at 99,900 more places were replaced likewise"


def test_errors_with_causes_without_end_are_told_in_a_few_lines() -> None:
    cause: dict[str, Any] = {"message": "x" * 1000}
    for _ in range(5000):
        cause = {"message": "deeper", "causes": [cause]}
    (error,) = extract({"status": "Error", "state": {"errors": [cause]}}).errors
    assert len(str(error)) <= 2001


@pytest.mark.parametrize(
    "expression",
    ["(" * 5000, "!" * 5000 + "a", "a[?" * 3000, "a[", '`"\\ud800"`', f"'{HALF}'", "", "\x00"],
)
def test_expressions_that_break_their_reader_are_invalid(expression: str) -> None:
    with pytest.raises(ExpressionInvalid) as caught:
        select({"a": [1]}, {"n": expression})
    str(caught.value).encode()
    assert len(str(caught.value)) < 1000


def test_an_expression_is_checked_before_the_run() -> None:
    with pytest.raises(OutputError, match="outputs holds what is not a JMESPath expression"):
        check_expressions({"n": "(" * 5000})


@pytest.mark.parametrize(
    ("exchange", "message"),
    [
        (wire.answer_form("e", {"a": HALF}), "the answer to the form cannot be sent: half a character"),
        (wire.answer_form("e", {"a": float("nan")}), "the answer to the form cannot be sent as JSON"),
        (wire.answer_form("e", {(1, 2): 1}), "the answer to the form cannot be sent as JSON"),
        (wire.send_event("c", text=HALF), "the event's text cannot be sent: half a character"),
        (wire.start(flow_id="f", dataset_id=HALF), "datasetId cannot be sent: half a character"),
        (wire.get_execution(HALF), "is not a usable id"),
    ],
)
def test_what_the_service_cannot_take_is_refused_before_anything_is_sent(exchange: Any, message: str) -> None:
    with pytest.raises(WireError, match=message) as caught:
        next(exchange)
    str(caught.value).encode()
    assert isinstance(caught.value, UnsendableValue) or "usable id" in message


@pytest.mark.parametrize(
    "name", ["../../x", "con", "", "x" * 300, "..", HALF, "\x00", "a/../../b", "CON.pdf"]
)
def test_names_of_documents_are_one_harmless_segment(name: str) -> None:
    made = FileNames().give(name, content_type="application/pdf")
    assert made.endswith(".pdf")
    assert not set(made) & set('/\\:\x00"')
    assert made.partition(".")[0].casefold() not in {"con", ""}
    assert len(made.encode()) <= 200
