"""What is read from the three shapes of an answer, from literal JSON of the vendor's documentation."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartflows_provider.output.errors import OutputError, OutputTooDeep, TitlesCollide
from smartflows_provider.output.extractor import (
    MAX_DEPTH,
    DocumentRef,
    FlowError,
    Output,
    extract,
    plain_values,
)
from smartflows_provider.wire.smart_flows import ExecutionStatus

EXECUTION_ID = "85f8fe94-6f61-4216-af6c-4889e2547b72"
DOCUMENT = {"id": "23639cf9-2f2c-4f5d-8f9b-3f8e6f9c2f11", "displayName": "My document", "type": "document"}
TOTAL_KEY = "0a6c2f0e-6f4e-4b1b-9d51-5a1d1f6f7c11"
COUNT_KEY = "1b7d3f1f-7a5f-4c2c-8e62-6b2e2a7a8d22"

LAYOUT_FORM = [
    {"items": [{"key": "heading", "type": "section", "title": "Totals"}, {"key": "total", "type": "text"}]},
    {"key": "hint", "type": "help"},
]

TITLED_SCHEMA = {
    "properties": {TOTAL_KEY: {"type": "number", "title": "Total"}, "plain": {"title": "Plain title"}}
}
TITLED_FORM = [{"items": [{"key": COUNT_KEY, "title": "Count"}, {"key": TOTAL_KEY, "title": "Shown total"}]}]

KEYS = [
    "id", "type", "status", "state", "output", "outputs", "parts", "model", "schema", "form", "properties",
    "title", "key", "items", "displayName", "warnings", "errors", "causes", "message", "error", "report",
    "blocks", "step", "stages", "end", "modifiedAt", "$$hashKey", TOTAL_KEY, COUNT_KEY,
]  # fmt: skip
WORDS = (*ExecutionStatus, "document", "section", "User input", "", "\ud800", "\x00")
ANY_KEY = st.sampled_from(KEYS)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(ANY_KEY | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)


def progress(**fields):
    return {
        "id": EXECUTION_ID,
        "percentage": 100,
        "message": "Done",
        "status": "Success",
        "currentData": None,
        "schema": {},
        "form": [],
        **fields,
    }


def execution(output=None, *, status="Success", **state):
    return {
        "id": EXECUTION_ID,
        "mode": "Default",
        "createdAt": "2024-05-01T08:00:00.000Z",
        "createdBy": {"id": "u1", "displayName": "Ada"},
        "modifiedAt": "2024-05-01T08:00:09.000Z",
        "status": status,
        "flow": {"id": "f1", "displayName": "Monthly report", "type": "flow"},
        "state": {"inputData": {}, "output": output, **state},
    }


class TestWhereTheOutputStands:
    def test_a_finished_progress_has_it_in_its_model(self):
        assert extract(progress(model={"total": 12, "empty": {}, "none": None})) == Output(
            values={"total": 12, "empty": {}, "none": None}
        )

    @pytest.mark.parametrize("status", ["UserInput", "User input", "SelectFlow"])
    def test_the_defaults_of_a_form_that_waits_are_no_output(self, status):
        assert extract(progress(status=status, model={"approved": False})).values == {}

    def test_an_execution_has_it_in_its_state(self):
        raw = execution({"parts": [], "schema": {}, "model": {"total": 12}, "form": []})
        assert extract(raw).values == {"total": 12}

    def test_a_single_part_is_merged_with_the_outputs_own_model(self):
        raw = execution({"model": {"a": 1, "b": 2}, "parts": [{"id": "p", "model": {"b": 2, "c": 3}}]})
        assert extract(raw).values == {"a": 1, "b": 2, "c": 3}

    def test_a_single_part_that_contradicts_the_own_model_loses_nothing(self):
        raw = execution({"model": {"a": 1}, "parts": [{"id": "p", "model": {"a": 2}}]})
        assert extract(raw).values == {"a": 1, "a_2": 2}

    def test_several_parts_stand_under_their_names_and_equal_names_are_numbered(self):
        parts = [
            {"id": "p1", "displayName": "Invoice", "schema": {}, "model": {"a": 1}, "form": []},
            {"id": "p2", "displayName": "Invoice", "schema": {}, "model": {"a": 2}, "form": []},
            {"id": "p3", "displayName": "", "model": {"a": 3}},
            {"model": {"a": 4}},
            {"id": "p5", "displayName": "Nothing", "model": None},
        ]
        assert extract(execution({"model": {"top": 0}, "parts": parts})).values == {
            "top": 0,
            "Invoice": {"a": 1},
            "Invoice_2": {"a": 2},
            "p3": {"a": 3},
            "part 4": {"a": 4},
        }

    def test_a_part_that_the_own_model_repeats_is_not_listed_twice(self):
        parts = [
            {"id": "p1", "displayName": "Figures", "model": {"a": 1, "b": {"c": 2}}},
            {"id": "p2", "displayName": "Other", "model": {"a": 3}},
        ]
        own = {"a": 1, "b": {"c": 2}, "d": 4}
        assert extract(execution({"model": own, "parts": parts})).values == {**own, "Other": {"a": 3}}

    @pytest.mark.parametrize(
        "outputs",
        [
            [
                {"id": "p1", "displayName": "Invoice", "model": {"a": 1}},
                {"displayName": "Letter", "model": {}},
            ],
            {"Invoice": {"a": 1}, "Letter": {}},
            {"Invoice": {"schema": {}, "form": [], "model": {"a": 1}}, "Letter": {"model": {}}},
            {
                "parts": [
                    {"displayName": "Invoice", "model": {"a": 1}},
                    {"displayName": "Letter", "model": {}},
                ]
            },
        ],
    )
    def test_a_status_answer_names_its_outputs_in_any_of_four_ways(self, outputs):
        raw = {"id": EXECUTION_ID, "status": "Success", "outputs": outputs}
        assert extract(raw).values == {"Invoice": {"a": 1}, "Letter": {}}

    @pytest.mark.parametrize("outputs", [{"Invoice": {"a": 1}}, {"model": {"a": 1}}, [{"model": {"a": 1}}]])
    def test_a_status_answer_with_one_output_is_that_output(self, outputs):
        assert extract({"id": EXECUTION_ID, "status": "Success", "outputs": outputs}).values == {"a": 1}

    def test_a_bare_model_with_a_value_named_model_is_not_taken_for_a_part(self):
        cars = [{"model": "T", "price": 850}, {"model": {"name": "A"}, "price": 500}]
        assert extract({"outputs": cars}).values == {"part 1": cars[0], "part 2": cars[1]}

    @pytest.mark.parametrize("model", [[1, 2], "done", 7, False])
    def test_a_model_that_is_no_object_becomes_the_value(self, model):
        assert extract(progress(model=model)).values == {"value": model}


class TestLayout:
    def test_a_key_that_only_a_layout_item_has_is_dropped(self):
        model = {"heading": "Totals", "hint": None, "total": 12, "extra": 1, "$id": 2, "$$hashKey": "o:1"}
        raw = progress(model=model, form=LAYOUT_FORM, schema={"properties": {"total": {"type": "integer"}}})
        assert extract(raw).values == {"total": 12, "extra": 1, "$id": 2}

    def test_a_layout_item_that_the_schema_has_as_a_property_is_a_value(self):
        raw = progress(model={"hint": "kept"}, form=LAYOUT_FORM, schema={"properties": {"hint": {}}})
        assert extract(raw).values == {"hint": "kept"}

    def test_a_document_in_a_layout_element_is_still_found(self):
        found = extract(progress(model={"hint": {"link": DOCUMENT}}, form=LAYOUT_FORM))
        assert (found.values, [one.path for one in found.documents]) == ({}, ["hint.link"])


class TestDocuments:
    def test_references_are_lifted_out_of_any_depth_with_what_only_held_them(self):
        other = {"id": 7, "type": "document"}
        model = {"total": 1, "result": {"files": [[DOCUMENT], {"My file": other}]}, "mixed": [other, "text"]}
        found = extract(progress(model=model))
        assert found.values == {"total": 1, "mixed": ["text"]}
        assert found.documents == (
            DocumentRef(id=DOCUMENT["id"], name="My document", path="result.files[0][0]"),
            DocumentRef(id="7", name="7", path='result.files[1]."My file"'),
        )

    def test_a_document_in_a_part_names_the_part_in_its_path(self):
        parts = [
            {"displayName": "One", "model": {"file": DOCUMENT}},
            {"displayName": "Two", "model": {"a": 1}},
        ]
        found = extract(execution({"parts": parts}))
        assert found.values == {"Two": {"a": 1}}
        assert [one.path for one in found.documents] == ["One.file"]

    def test_the_model_itself_may_be_a_reference(self):
        found = extract(progress(model=DOCUMENT))
        assert (found.values, [one.id for one in found.documents]) == ({}, [DOCUMENT["id"]])

    @pytest.mark.parametrize("value", [{"type": "document"}, {"type": "document", "id": ""}])
    def test_what_has_no_id_cannot_be_fetched_and_stays_a_value(self, value):
        assert extract(progress(model={"file": value})) == Output(values={"file": value})

    @settings(derandomize=True, max_examples=60, deadline=None)
    @given(st.data())
    def test_every_document_is_listed_exactly_once(self, data):
        ids = data.draw(st.lists(st.uuids().map(str), min_size=1, max_size=6))
        leaf = st.sampled_from(ids).map(lambda one: {"id": one, "type": "document"}) | st.integers()
        tree = st.recursive(
            leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
        )
        model = data.draw(tree)
        planted = re.findall(r'"id": "([^"]*)", "type": "document"', json.dumps(model))
        found = extract(progress(model=model))
        assert [one.id for one in found.documents] == list(dict.fromkeys(planted))
        assert '"document"' not in json.dumps(found.values)


class TestTitles:
    def test_guid_keys_get_the_titles_of_schema_or_form_and_other_keys_stay(self):
        model = {TOTAL_KEY: 1.5, COUNT_KEY: 2, "plain": 3, "rows": [{COUNT_KEY: 4}]}
        raw = execution({"schema": TITLED_SCHEMA, "form": TITLED_FORM, "model": model})
        assert extract(raw, values_by_title=True).values == {
            "Total": 1.5,
            "Count": 2,
            "plain": 3,
            "rows": [{"Count": 4}],
        }
        assert extract(raw).values == model

    @pytest.mark.parametrize("other", [COUNT_KEY, "Total"])
    def test_keys_that_would_meet_in_one_name_are_an_error_that_names_them(self, other):
        raw = progress(
            model={TOTAL_KEY: 1, other: 2}, form=[{"key": COUNT_KEY, "title": "Total"}], schema=TITLED_SCHEMA
        )
        with pytest.raises(TitlesCollide) as caught:
            extract(raw, values_by_title=True)
        assert str(caught.value) == (
            f"the keys {TOTAL_KEY!r} and {other!r} of the output would both be named 'Total'; give the "
            "fields different titles in the flow, or set values_by_title=False"
        )

    @pytest.mark.parametrize("value", [1, 2])
    def test_titles_that_meet_where_a_part_is_merged_with_the_outputs_own_model_are_an_error_too(self, value):
        part = {"id": "p", "model": {COUNT_KEY: value}, "form": [{"key": COUNT_KEY, "title": "Total"}]}
        raw = execution({"model": {TOTAL_KEY: 1}, "schema": TITLED_SCHEMA, "parts": [part]})
        with pytest.raises(TitlesCollide) as caught:
            extract(raw, values_by_title=True)
        assert str(caught.value) == (
            f"the keys {TOTAL_KEY!r} of the output and {COUNT_KEY!r} of its part would both be named "
            "'Total'; give the fields different titles in the flow, or set values_by_title=False"
        )
        assert extract(raw).values == {TOTAL_KEY: 1, COUNT_KEY: value}

    @pytest.mark.parametrize("repeated", [1, 2])
    def test_a_field_that_a_part_repeats_is_no_collision(self, repeated):
        part = {"id": "p", "model": {TOTAL_KEY: repeated}, "schema": TITLED_SCHEMA}
        raw = execution({"model": {TOTAL_KEY: 1}, "schema": TITLED_SCHEMA, "parts": [part]})
        values = extract(raw, values_by_title=True).values
        assert values == ({"Total": 1} if repeated == 1 else {"Total": 1, "Total_2": 2})

    def test_a_nested_field_gets_the_title_of_the_form_item_that_names_it_by_its_path(self):
        form = [
            {"key": f"rows[].{COUNT_KEY}", "title": "Count"},
            {"key": f"sum.{TOTAL_KEY}", "title": "Total"},
        ]
        raw = progress(model={"rows": [{COUNT_KEY: 4}], "sum": {TOTAL_KEY: 5}}, form=form)
        assert extract(raw, values_by_title=True).values == {"rows": [{"Count": 4}], "sum": {"Total": 5}}

    def test_fields_of_several_parts_may_share_a_title(self):
        parts = [{"displayName": name, "model": {TOTAL_KEY: 1}, "schema": TITLED_SCHEMA} for name in "AB"]
        found = extract(execution({"parts": parts}), values_by_title=True)
        assert found.values == {"A": {"Total": 1}, "B": {"Total": 1}}

    def test_the_titles_of_a_progress_and_of_a_status_answer_are_taken_alike(self):
        described = {"model": {TOTAL_KEY: 1}, "schema": TITLED_SCHEMA}
        for raw in (progress(**described), {"outputs": [described]}, {"outputs": {"Any": described}}):
            assert extract(raw, values_by_title=True).values == {"Total": 1}

    def test_a_layout_item_with_a_guid_key_is_dropped_under_its_title_too(self):
        form = [{"key": COUNT_KEY, "type": "heading", "title": "Total"}]
        raw = progress(model={COUNT_KEY: "Total", TOTAL_KEY: 1}, form=form, schema=TITLED_SCHEMA)
        assert extract(raw, values_by_title=True).values == {"Total": 1}


class TestReport:
    def test_warnings_and_errors_are_read_as_sentences(self):
        found = extract(
            execution(
                status="Error",
                warnings=["slow", {"message": "no printer"}, {"text": "odd"}, None, 7],
                errors=[
                    {
                        "error": "DocumentError",
                        "message": "Template missing",
                        "causes": ["no file", {"error": "IO", "message": "404", "causes": ["gone"]}],
                        "stackTrace": "at …",
                    },
                    "plain",
                    {},
                ],
            )
        )
        assert found.warnings == ("slow", "no printer", "odd", "7")
        assert found.errors == (
            FlowError(
                error="DocumentError", message="Template missing", causes=("no file", "IO: 404", "gone")
            ),
            FlowError(error="", message="plain"),
            FlowError(error="", message=""),
        )
        assert [str(error) for error in found.errors] == [
            "DocumentError: Template missing (caused by no file; IO: 404; gone)",
            "plain",
            "an error without a message",
        ]

    def test_the_failing_blocks_are_named_also_inside_a_try_block(self):
        inner = {"id": "b2", "displayName": "Send mail", "step": {"status": "error"}}
        report = [
            {
                "id": "r1",
                "blocks": [
                    {"id": "b0", "displayName": "Load", "step": {"status": "Output"}},
                    {"id": "b1", "displayName": "", "step": {"status": "Error"}, "try": {"blocks": [inner]}},
                ],
            },
            {"id": "r2", "blocks": [inner]},
        ]
        assert extract(execution(report=report)).failing_block == "b1, Send mail"
        assert extract(execution(report=[])).failing_block is None

    def test_a_progress_and_a_status_answer_may_tell_what_an_execution_tells_in_its_state(self):
        told = {
            "warnings": ["slow"],
            "errors": ["bad"],
            "stages": [{"end": "2024-05-01T08:00:08.000Z"}],
            "report": [{"blocks": [{"id": "b", "step": {"status": "Error"}}]}],
        }
        status_answer = {"id": EXECUTION_ID, "status": "Error", "outputs": {"model": {"a": 1}}, **told}
        for raw in (
            progress(status="Error", model={"a": 1}, **told),
            status_answer,
            execution({"model": {"a": 1}}, status="Error", **told),
        ):
            found = extract(raw)
            assert found == Output(
                values={"a": 1},
                warnings=("slow",),
                errors=(FlowError(error="", message="bad"),),
                failing_block="b",
                stages=1,
                finished_at="2024-05-01T08:00:08.000Z",
            )

    def test_stages_are_counted_and_the_last_end_is_when_it_finished(self):
        stages = [{"start": "08:00", "end": "08:01"}, {"start": "08:02", "end": "2024-05-01T08:00:08.000Z"}]
        found = extract(execution(stages=stages))
        assert (found.stages, found.finished_at) == (2, "2024-05-01T08:00:08.000Z")

    def test_without_stages_the_last_change_of_a_stable_run_is_when_it_finished(self):
        assert extract(execution()).finished_at == "2024-05-01T08:00:09.000Z"

    @pytest.mark.parametrize("status", ["Waiting", "Exploded", None])
    def test_a_run_that_is_not_stable_has_not_finished(self, status):
        assert extract(execution(status=status, stages=[{"end": "08:01"}])).finished_at is None


class TestHostileAnswers:
    def test_numbers_and_characters_that_json_cannot_carry_are_replaced_and_said(self):
        model = json.loads(
            '{"a": NaN, "rows": [{"b": 1e999}], "c": "\\ud800x\\u0000", "d": "\\ud83d\\ude00"}'
        )
        found = extract(progress(model=model))
        assert found.values == {"a": None, "rows": [{"b": None}], "c": "\ufffdx\ufffd", "d": "😀"}
        assert found.warnings == (
            "a held a number that JSON cannot carry; None stands for it",
            "rows[0].b held a number that JSON cannot carry; None stands for it",
            "c held characters that JSON cannot carry everywhere; '\ufffdx\ufffd' stands for it",
        )

    def test_keys_that_become_equal_when_cleaned_are_both_kept(self):
        assert extract(progress(model={"\x00": 1, "\ufffd": 2})).values == {"\ufffd": 1, "\ufffd_2": 2}

    @pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"in": inner}])
    def test_values_nested_too_deep_are_a_clear_error(self, wrap):
        model = 1
        for _ in range(MAX_DEPTH):
            model = wrap(model)
        assert extract(progress(model=model)).values
        for _ in range(100_000):
            model = wrap(model)
        with pytest.raises(
            OutputTooDeep, match="nested deeper than 100 levels; make the flow's output flatter"
        ):
            extract(progress(model=model))

    def test_what_is_not_a_value_may_be_nested_at_any_depth(self):
        deep = []
        for _ in range(100_000):
            deep = [deep]
        found = extract(execution({"model": {"a": 1}, "schema": deep, "form": deep}, report=deep))
        assert (found.values, found.failing_block) == ({"a": 1}, None)

    def test_one_of_many_entries_is_found(self):
        model = {"rows": [1] * 100_000 + [DOCUMENT]}
        assert [one.path for one in extract(progress(model=model)).documents] == ["rows[100000]"]

    @settings(derandomize=True, max_examples=120, deadline=None)
    @given(
        raw=st.dictionaries(ANY_KEY, ANY_JSON, max_size=8),
        state=st.none() | st.dictionaries(ANY_KEY, ANY_JSON, max_size=8),
        by_title=st.booleans(),
    )
    def test_any_json_gives_strict_json_or_an_output_error(self, raw, state, by_title):
        if state is not None:
            raw["state"] = state
        try:
            found = extract(raw, values_by_title=by_title)
        except OutputError:
            assert by_title
            return
        json.dumps(found.values, allow_nan=False, ensure_ascii=False).encode()
        texts = (*found.warnings, *map(str, found.errors), found.failing_block or "", found.finished_at or "")
        "".join(texts).encode()
        for document in found.documents:
            f"{document.id}{document.name}{document.path}".encode()


def test_plain_values_are_strict_json_and_keep_what_looks_like_a_document() -> None:
    given = {"d": {"type": "document", "id": "7"}, "n": float("nan"), "t": "a\x00\ud800", "e": {}, "l": []}
    values, notes = plain_values(given)
    assert values == {"d": {"type": "document", "id": "7"}, "n": None, "t": "a\ufffd\ufffd", "e": {}, "l": []}
    assert len(notes) == 2
    assert notes[0] == "n held a number that JSON cannot carry; None stands for it"


def test_plain_values_that_are_nested_too_deeply_are_refused() -> None:
    deep: object = 1
    for _ in range(101):
        deep = {"a": deep}
    with pytest.raises(OutputTooDeep):
        plain_values(deep)
