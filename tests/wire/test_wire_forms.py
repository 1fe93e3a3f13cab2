"""Forms of executions that need a person, as they are read."""

from __future__ import annotations

from typing import Any

import pytest

from smartflows_provider.wire.smart_flows_forms import (
    AnswersDoNotFit,
    FormField,
    find_answers,
    form_title,
    read_form,
)

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


def field_of(described: Any, **item: Any) -> FormField:
    """Return a form's only field."""
    form = {"schema": {"properties": {"a": described}}, "form": [{"items": [{"key": "a", **item}]}]}
    (field,) = read_form(form).fields
    return field


def test_fields_come_in_the_schemas_order_with_the_forms_titles_at_any_depth() -> None:
    assert read_form(FORM).fields == [
        FormField(key="name", title="Name", required=True, schema={"type": "string"}),
        FormField(key="copies", title="Copies", schema={"type": "integer"}),
        FormField(key="note", title="Note", schema={"type": "string"}),
    ]
    assert read_form(FORM).defaults == {"copies": 1}


@pytest.mark.parametrize(
    ("form", "title"),
    [
        ({"schema": {"title": "Approval"}, "form": [{"title": "Section"}]}, "Approval"),
        ({"schema": {}, "form": [{"items": []}, {"title": "Section"}]}, "Section"),
        ({"schema": {"title": " "}, "form": "x"}, ""),
        ({"schema": {"title": "a\x00\ud800"}}, "a\ufffd\ufffd"),
    ],
)
def test_a_forms_title_is_the_schemas_else_that_of_its_first_titled_section(form: Any, title: str) -> None:
    assert form_title(form) == title
    assert read_form(form).title == title


def test_what_a_field_is_said_to_take_is_read() -> None:
    described = {
        "type": "array", "minItems": 1, "maxItems": 2,
        "items": {"type": "string", "enum": ["a", "b"], "minLength": 1, "items": {"type": "string"}},
    }  # fmt: skip
    assert field_of(described).schema == {
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": {"type": "string", "enum": ["a", "b"], "minLength": 1},
    }
    number = {"type": ["number", "null"], "minimum": 1, "exclusiveMaximum": 9.5, "multipleOf": 0.5}
    assert field_of(number).schema == number


@pytest.mark.parametrize(
    "described",
    [
        {"type": "file"}, {"type": ["string", 1]}, {"type": []}, {"type": {}}, {"enum": []}, {"enum": "ab"},
        {"minimum": "1"}, {"minimum": True}, {"multipleOf": 0}, {"multipleOf": -1}, {"minLength": -1},
        {"maxLength": 1.5}, {"format": "uri"}, {"format": ["date"]}, {"items": ["string"]},
        {"$ref": "http://example.com/schema"}, {"pattern": "(a+)+$"}, {"oneOf": [{"type": "string"}]}, "text",
    ],
)  # fmt: skip
def test_what_is_not_understood_of_a_field_is_left_to_the_service(described: Any) -> None:
    assert field_of(described).schema == {}


def test_choices_are_called_what_the_layout_calls_them() -> None:
    choices = {"type": "integer", "enum": [1, 2, 3]}
    as_list = [{"value": 1, "name": "One"}, {"value": 2, "name": ""}, "x", {"name": "None"}]
    assert field_of(choices, titleMap=as_list).choice_names == {"1": "One"}
    assert field_of(choices, titleMap={"1": "One", "3": "Three"}).choice_names == {"1": "One", "3": "Three"}
    assert field_of({"type": "integer"}, titleMap=as_list).choice_names == {}
    assert field_of(choices, titleMap="x").choice_names == {}


def test_the_layout_tells_which_fields_are_long_and_which_are_only_shown() -> None:
    assert field_of({"type": "string"}, type="textarea").multiline
    assert field_of({"type": "string"}, readonly=True).readonly
    assert field_of({"type": "string", "readOnly": True}).readonly
    assert not field_of({"type": "string", "readOnly": "no"}, readonly=[]).readonly
    assert field_of({"description": "Schema's"}).description == "Schema's"
    assert field_of({"description": "Schema's"}, description="Item's").description == "Item's"


def test_answers_are_found_by_key_and_by_title_and_those_to_another_form_left_out() -> None:
    form = read_form(FORM)
    assert find_answers(form, {"Name": "Ada", "note": "hi", "signature": "x"}) == {
        "name": "Ada",
        "note": "hi",
    }


def test_a_key_wins_over_a_title() -> None:
    form = read_form({"schema": {"properties": {"a": {"title": "b"}, "b": {"title": "c"}}}})
    assert find_answers(form, {"b": 1}) == {"b": 1}


def test_a_title_of_several_fields_is_refused() -> None:
    form = read_form({"schema": {"properties": {"a": {"title": "Name"}, "b": {"title": "Name"}}}})
    with pytest.raises(AnswersDoNotFit) as caught:
        find_answers(form, {"Name": "Ada"})
    assert str(caught.value) == (
        "several fields have the title 'Name'; answer by key. The form asks: 'a' (Name), 'b' (Name)"
    )


@pytest.mark.parametrize("form", [{}, {"schema": None}, {"schema": {"properties": []}}, {"form": "x"}])
def test_a_form_without_fields_is_one(form: dict[str, Any]) -> None:
    assert read_form(form).fields == []
    assert str(read_form(form)) == "nothing"


def test_a_form_nested_beyond_reason_is_no_trouble() -> None:
    node: Any = [{"key": "a", "title": "Deep"}]
    for _ in range(5000):
        node = [{"items": node}]
    form = {"schema": {"properties": {"a": {"title": "Own"}}}, "form": node}
    assert read_form(form).fields == [FormField(key="a", title="Deep")]
