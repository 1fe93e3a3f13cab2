"""Forms of executions that need a person, and how answers fit into them."""

from __future__ import annotations

from typing import Any

import pytest

from smartflows_provider.wire.smart_flows_forms import AnswersDoNotFit, FormField, match_answers, read_fields

FORM: dict[str, Any] = {
    "schema": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "From the schema"},
            "copies": {"type": "integer", "title": "Copies"},
            "note": {"type": "string"},
        },
        "required": ["name"],
    },
    "form": [
        {"type": "section", "items": [{"key": "name", "title": "Name", "description": "", "type": "string"}]},
        {"type": "section", "items": [{"type": "group", "items": [{"key": "note", "title": "Note"}]}]},
    ],
    "model": {"copies": 1},
}
ASKED = "The form asks: 'name' (Name), 'copies' (Copies), 'note' (Note)"


def test_fields_come_in_the_schemas_order_with_the_forms_titles_at_any_depth() -> None:
    assert read_fields(FORM) == [
        FormField(key="name", title="Name", required=True),
        FormField(key="copies", title="Copies"),
        FormField(key="note", title="Note"),
    ]


def test_answers_fit_by_key_and_by_title_and_keep_the_forms_defaults() -> None:
    assert match_answers(FORM, {"Name": "Ada", "note": "hi"}) == {"name": "Ada", "copies": 1, "note": "hi"}


def test_an_answer_replaces_a_default_and_may_be_null() -> None:
    assert match_answers(FORM, {"name": "Ada", "copies": None}) == {"name": "Ada", "copies": None}


def test_answers_to_another_form_are_left_out() -> None:
    assert match_answers(FORM, {"name": "Ada", "signature": "x"}) == {"name": "Ada", "copies": 1}


def test_a_key_wins_over_a_title() -> None:
    form = {"schema": {"properties": {"a": {"title": "b"}, "b": {"title": "c"}}}}
    assert match_answers(form, {"b": 1}) == {"b": 1}


def test_answers_none_of_which_belong_are_refused_with_what_the_form_asks() -> None:
    with pytest.raises(AnswersDoNotFit) as caught:
        match_answers(FORM, {"city": "Łódź", "age": 3})
    assert str(caught.value) == f"none of the answers ['age', 'city'] belongs to the form. {ASKED}"


def test_a_missing_required_field_is_refused() -> None:
    with pytest.raises(AnswersDoNotFit) as caught:
        match_answers(FORM, {"note": "hi"})
    assert str(caught.value) == f"the form requires 'name'. {ASKED}"


def test_a_required_field_with_a_default_needs_no_answer() -> None:
    form = {**FORM, "model": {"name": "Ada"}}
    assert match_answers(form, {"note": "hi"}) == {"name": "Ada", "note": "hi"}


def test_a_title_of_several_fields_is_refused() -> None:
    form = {"schema": {"properties": {"a": {"title": "Name"}, "b": {"title": "Name"}}}}
    with pytest.raises(AnswersDoNotFit) as caught:
        match_answers(form, {"Name": "Ada"})
    assert str(caught.value) == (
        "several fields have the title 'Name'; answer by key. The form asks: 'a' (Name), 'b' (Name)"
    )


@pytest.mark.parametrize("form", [{}, {"schema": None}, {"schema": {"properties": []}}, {"form": "x"}])
def test_a_form_without_fields_takes_no_answers(form: dict[str, Any]) -> None:
    assert read_fields(form) == []
    assert match_answers(form, {"name": "Ada"}) == {}


def test_a_form_nested_beyond_reason_is_no_trouble() -> None:
    node: Any = [{"key": "a", "title": "Deep"}]
    for _ in range(5000):
        node = [{"items": node}]
    form = {"schema": {"properties": {"a": {"title": "Own"}}}, "form": node}
    assert read_fields(form) == [FormField(key="a", title="Deep")]
