"""Answers to forms: what is posted, and what is refused with which words."""

from __future__ import annotations

import json
import math
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from smartflows_provider.wire.smart_flows_answers import fitting, match_answers, read_answers
from smartflows_provider.wire.smart_flows_forms import AnswersDoNotFit, Form, read_form

FORM = read_form(
    {
        "schema": {
            "properties": {
                "name": {"type": "string", "title": "Name"},
                "copies": {"type": "integer", "title": "Copies"},
                "note": {"type": "string", "title": "Note"},
            },
            "required": ["name"],
        },
        "model": {"copies": 1},
    }
)
ASKED = "The form asks: 'name' (Name), 'copies' (Copies), 'note' (Note)"


def form_of(described: dict[str, Any], *, required: bool = False, default: Any = None, **item: Any) -> Form:
    """Return a form with the one field ``a``."""
    return read_form(
        {
            "schema": {"properties": {"a": {"title": "A", **described}}, "required": ["a"] * required},
            "form": [{"items": [{"key": "a", **item}]}],
            "model": {"a": default},
        }
    )


def refusal(post: Any, form: Form, answers: dict[str, Any]) -> str:
    with pytest.raises(AnswersDoNotFit) as caught:
        post(form, answers)
    return str(caught.value)


def test_answers_fit_by_key_and_by_title_and_keep_the_forms_defaults() -> None:
    assert match_answers(FORM, {"Name": "Ada", "note": "hi"}) == {"name": "Ada", "copies": 1, "note": "hi"}


def test_an_answer_replaces_a_default_and_may_be_null() -> None:
    assert match_answers(FORM, {"name": "Ada", "copies": None}) == {"name": "Ada", "copies": None}


def test_answers_none_of_which_belong_are_refused_with_what_the_form_asks() -> None:
    said = refusal(match_answers, FORM, {"city": "Łódź", "age": 3})
    assert said == f"none of the answers ['age', 'city'] belongs to the form. {ASKED}"


@pytest.mark.parametrize("answers", [{"note": "hi"}, {"name": None, "note": "hi"}])
def test_a_missing_required_field_is_refused(answers: dict[str, Any]) -> None:
    assert refusal(match_answers, FORM, answers) == f"the form requires 'name'. {ASKED}"


def test_a_required_field_with_a_default_needs_no_answer() -> None:
    form = form_of({"type": "string"}, required=True, default="Ada")
    assert match_answers(form, {"a": "Ada"}) == {"a": "Ada"}
    assert read_answers(form, {}) == {"a": "Ada"}


def test_a_form_without_fields_takes_no_answers() -> None:
    assert match_answers(read_form({}), {"name": "Ada"}) == {}


@pytest.mark.parametrize(
    ("described", "given", "posted"),
    [
        ({"type": "integer"}, "12", 12),
        ({"type": "integer"}, 3.0, 3),
        ({"type": "number"}, "12", 12),
        ({"type": "number"}, " -1.5e2 ", -150.0),
        ({"type": "boolean"}, "True", True),
        ({"type": "boolean"}, "false", False),
        ({"type": ["integer", "null"]}, "7", 7),
        ({"type": "string"}, "7", "7"),
        ({"type": ["string", "integer"]}, "7", "7"),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": ["1", 1]}, 1, 1),
        ({"enum": [True, False]}, "True", True),
        ({"type": "array", "items": {"type": "integer"}}, ["2", 1], [2, 1]),
        ({"type": "array", "items": {"enum": [1, 2]}}, '["2", 1]', [2, 1]),
        ({"type": "object"}, '{"b": 1}', {"b": 1}),
        ({}, {"any": "thing"}, {"any": "thing"}),
    ],
)
def test_text_of_a_template_becomes_what_the_field_takes(described: Any, given: Any, posted: Any) -> None:
    assert json.dumps(match_answers(form_of(described), {"a": given})) == json.dumps({"a": posted})


def test_a_choice_may_be_given_by_its_name() -> None:
    form = form_of(
        {"type": "integer", "enum": [1, 2]},
        titleMap=[{"value": 1, "name": "By mail"}, {"value": 2, "name": "By fax"}],
    )
    assert match_answers(form, {"a": "By fax"}) == {"a": 2}
    assert refusal(match_answers, form, {"a": "By bird"}) == "'a' (A) takes one of 'By mail', 'By fax'"


@pytest.mark.parametrize(
    ("described", "given", "takes"),
    [
        ({"type": "string"}, 5, "text"),
        ({"type": "integer"}, "many", "a whole number"),
        ({"type": "integer"}, "1_000", "a whole number"),
        ({"type": "integer"}, True, "a whole number"),
        ({"type": "number"}, "nan", "a number"),
        ({"type": "boolean"}, "yes", "true or false"),
        ({"type": "array"}, "x", "a list"),
        ({"type": "object"}, "x", "a JSON object"),
        ({"type": ["integer", "boolean"]}, "x", "a whole number or true or false"),
        ({"type": "array", "items": {"type": "integer"}}, ["x"], "a list of which each is a whole number"),
        ({"enum": ["a", "b"]}, "c", "one of 'a', 'b'"),
        ({"enum": [1, 2]}, True, "one of '1', '2'"),
        ({"enum": list(range(12))}, 12, f"one of {', '.join(repr(str(n)) for n in range(10))} and 2 more"),
        ({"type": "number", "minimum": 1}, 0, "a number from 1 on"),
        ({"type": "number", "maximum": 1}, "2", "a number up to 1"),
        ({"type": "number", "exclusiveMinimum": 1}, 1, "a number above 1"),
        ({"type": "number", "exclusiveMaximum": 1}, 1, "a number below 1"),
        ({"type": "integer", "multipleOf": 5}, 3, "a multiple of 5"),
        ({"type": "string", "minLength": 2}, "x", "text of at least 2 characters"),
        ({"type": "string", "maxLength": 2}, "xyz", "text of at most 2 characters"),
        ({"type": "array", "minItems": 1}, [], "a list of at least 1"),
        ({"type": "array", "maxItems": 1}, [1, 2], "a list of at most 1"),
        ({"type": "string", "format": "date"}, "31.12.2026", "a date as YYYY-MM-DD"),
        ({"type": "string", "format": "email"}, "ada", "an e-mail address"),
    ],
)
def test_an_answer_that_the_schema_forbids_is_refused_with_what_the_field_takes(
    described: Any, given: Any, takes: str
) -> None:
    assert refusal(match_answers, form_of(described), {"a": given}) == f"'a' (A) takes {takes}"


def test_all_that_is_wrong_is_said_at_once_and_no_answer_is_repeated() -> None:
    form = read_form({"schema": {"properties": {"a": {"type": "integer"}, "b": {"enum": ["x"]}}}})
    said = refusal(match_answers, form, {"a": "secret-1", "b": "secret-2"})
    assert said == "'a' (a) takes a whole number; 'b' (b) takes one of 'x'"


def test_a_default_that_the_schema_forbids_is_the_forms_own_affair() -> None:
    form = form_of({"type": "integer"}, default="none")
    assert read_answers(form, {}) == {"a": "none"}
    assert read_answers(form, {"a": "none"}) == {"a": "none"}


def test_a_person_who_empties_a_field_leaves_it_out_and_one_who_does_not_see_it_keeps_its_default() -> None:
    assert read_answers(FORM, {"name": "Ada", "copies": None, "note": ""}) == {"name": "Ada"}
    assert read_answers(FORM, {"name": "Ada"}) == {"name": "Ada", "copies": 1}
    assert refusal(read_answers, FORM, {"name": "", "note": "x"}) == f"the form requires 'name'. {ASKED}"


def test_text_that_airflows_form_has_taken_for_an_object_is_text_again() -> None:
    form = form_of({"type": "string"}, default='{"b":  1}')
    assert read_answers(form, {"a": {"b": 1}}) == {"a": '{"b":  1}'}
    assert refusal(read_answers, form, {"a": {"b": 2}}) == "'a' (A) takes text"


def test_zero_and_no_are_answers() -> None:
    form = read_form({"schema": {"properties": {"n": {"type": "integer"}, "b": {"type": "boolean"}}}})
    assert read_answers(form, {"n": 0, "b": False}) == {"n": 0, "b": False}


def test_what_is_only_shown_and_what_is_unknown_cannot_be_answered() -> None:
    form = form_of({"type": "string"}, default="shown", readonly=True)
    assert read_answers(form, {"a": "changed", "z": 1}) == {"a": "shown"}


def test_what_is_only_shown_need_not_be_filled_in_although_the_form_requires_it() -> None:
    assert read_answers(form_of({"type": "string"}, required=True, readonly=True), {}) == {}


@pytest.mark.parametrize(
    ("described", "given", "posted"),
    [
        ({"type": "string", "format": "date"}, date(2026, 1, 31), "2026-01-31"),
        ({"type": "number", "multipleOf": 0.5}, Decimal("1.5"), 1.5),
        ({"type": "array"}, (1, 2), [1, 2]),
    ],
)
def test_a_value_of_python_is_checked_in_the_form_in_which_it_is_sent(
    described: Any, given: Any, posted: Any
) -> None:
    form = form_of(described)
    assert match_answers(form, {"a": given}) == {"a": posted}
    assert fitting(form.fields[0], given) == posted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (math.nan, "'a': Out of range float values are not JSON compliant"),
        (math.inf, "'a': Out of range float values are not JSON compliant"),
        pytest.param(10**400, "'a' (A) takes a smaller number", id="huge"),
    ],
)
def test_a_number_that_is_none_is_refused_as_an_answer_and_breaks_nothing(given: Any, said: str) -> None:
    form = form_of({"type": "number", "multipleOf": 0.5})
    assert refusal(read_answers, form, {"a": given}) == said
    assert fitting(form.fields[0], given) is None


def test_a_value_is_given_as_the_field_takes_it_or_not_at_all() -> None:
    (field,) = form_of({"type": "integer", "maximum": 3}).fields
    assert fitting(field, "3") == 3
    assert fitting(field, "4") is None
    (choice,) = form_of({"enum": ["x"]}).fields
    assert fitting(choice, None) is None
