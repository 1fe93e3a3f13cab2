"""Forms as Airflow is given them to show."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartflows_provider.lifecycle import airflow_form
from smartflows_provider.lifecycle.airflow_form import (
    AirflowForm,
    FormNotForAirflow,
    flow_choice_for_airflow,
    form_for_airflow,
)
from smartflows_provider.wire.run import Reference
from smartflows_provider.wire.smart_flows_forms import read_form


def shown(
    *,
    title: str = "Approval",
    required: bool = False,
    default: Any = None,
    answers: Any = None,
    problem: str = "",
    url: str = "https://flows.example.com/e1",
    item: Any = None,
    **described: Any,
) -> AirflowForm:
    """Return Airflow's form for one with the field ``a``."""
    form = read_form(
        {
            "schema": {"title": title, "properties": {"a": described}, "required": ["a"] * required},
            "form": [{"items": [{"key": "a", **(item or {})}]}],
            "model": {"a": default},
        }
    )
    return form_for_airflow(form, flow="'Letter'", url=url, answers=answers or {}, problem=problem)


@pytest.mark.parametrize(
    ("described", "schema"),
    [
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": "string", "required": True}, {"type": "string"}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": ["string", "null"], "required": True}, {"type": "string"}),
        ({"type": "null"}, {"type": ["string", "null"]}),
        ({}, {"type": ["string", "null"]}),
        ({"type": "integer", "minimum": 1}, {"type": ["integer", "null"], "minimum": 1}),
        ({"type": "string", "format": "date"}, {"type": ["string", "null"], "format": "date"}),
        ({"item": {"type": "textarea"}}, {"type": ["string", "null"], "format": "multiline"}),
        ({"enum": ["x"], "required": True}, {"type": "string", "enum": ["x"]}),
        ({"enum": [1, 2], "required": True}, {"type": "integer", "enum": [1, 2]}),
        ({"type": "string", "enum": ["x"], "required": True}, {"type": "string", "enum": ["x"]}),
        ({"type": "string", "enum": ["x"]}, {"type": ["string", "null"], "enum": ["x"]}),
        ({"type": "array", "items": {"type": "string"}, "required": True},
         {"type": "array", "items": {"type": "string"}}),
        ({"type": "array", "items": {"enum": ["x"]}, "required": True},
         {"type": "array", "items": {"enum": ["x"]}, "examples": ["x"]}),
    ],
)  # fmt: skip
def test_a_field_is_asked_with_what_it_takes(described: Any, schema: Any) -> None:
    param = shown(**described).params["a"]
    assert param == {"value": None, "description": None, "schema": {**schema, "title": "a"}}


def test_a_switch_begins_with_no_because_it_has_no_third_position() -> None:
    assert shown(type="boolean").params["a"] == {
        "value": False,
        "description": None,
        "schema": {"type": ["boolean", "null"], "title": "a"},
    }
    required = shown(type=["boolean", "null"], required=True).params["a"]
    assert (required["value"], required["schema"]["type"]) == (False, "boolean")
    assert shown(type="boolean", default=True).params["a"]["value"] is True


def test_titles_descriptions_and_names_of_choices_are_shown() -> None:
    item = {"title": "Way", "description": "How", "titleMap": [{"value": "m", "name": "Mail"}]}
    assert shown(type="string", enum=["m"], required=True, item=item).params["a"] == {
        "value": None,
        "description": "How",
        "schema": {"type": "string", "enum": ["m"], "title": "Way", "values_display": {"m": "Mail"}},
    }


def test_a_given_answer_that_fits_takes_the_place_of_the_default() -> None:
    assert shown(type="integer", default=1, answers={"a": "5"}).params["a"]["value"] == 5
    assert shown(type="integer", default=1, answers={"a": "many"}).params["a"]["value"] == 1


def test_the_body_says_where_else_it_can_be_answered_and_why_it_is_asked_again() -> None:
    assert shown(type="string").body == (
        "It can be answered in [the flow's own panel](<https://flows.example.com/e1>), too."
    )
    assert shown(type="string", url="").body == "It can be answered in the flow's own panel, too."
    again = shown(type="string", problem="'a' takes [a](http://evil) number")
    assert again.body.startswith(r"**The answer was not taken:** 'a' takes \[a\]\(http://evil\) number")


def test_what_is_only_shown_stands_above_the_form_as_text_without_markup() -> None:
    form = shown(
        type="string", default="![x](http://evil)\n# b", item={"readonly": True, "title": "<b>T</b>"}
    )
    assert form.params == {}
    assert form.body.startswith(r"- \<b\>T\</b\>: \!\[x\]\(http://evil\) \# b")


@pytest.mark.parametrize(
    ("subject", "changes", "same"),
    [
        (None, {}, True),
        (None, {"value": 7}, False),
        (None, {"description": "other"}, False),
        (None, {"schema": {"type": "integer"}}, False),
        ("Flow 'Letter' asks for: Other", {}, False),
    ],
)
def test_a_form_is_told_from_an_earlier_one_by_what_it_asks(
    subject: Any, changes: Any, *, same: bool
) -> None:
    form = shown(type="string")
    params = {"a": {**form.params["a"], **changes}}
    assert form.is_shown_as(subject=subject or form.subject, body=form.body, params=params) is same
    assert not form.is_shown_as(subject=form.subject, body=form.body, params=None)
    assert not form.is_shown_as(subject=form.subject, body=form.body, params={"a": 1})


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"default": "500 EUR"}, True),
        ({"default": "500 EUR", "problem": "it was too late"}, True),
        ({"default": "500 EUR", "url": "https://flows.example.com/e2"}, True),
        ({"default": "9 EUR"}, False),
    ],
)
def test_a_form_is_told_from_an_earlier_one_by_what_it_only_shows(changes: Any, *, same: bool) -> None:
    readonly = {"readonly": True, "title": "Amount"}
    first, later = shown(default="500 EUR", item=readonly), shown(**changes, item=readonly)
    assert later.is_shown_as(subject=first.subject, body=first.body, params=first.params) is same
    assert not later.is_shown_as(subject=first.subject, body=None, params=first.params)


@pytest.mark.parametrize(
    ("described", "why"),
    [
        ({"enum": [float("nan")]}, "it is no plain JSON (ValueError)"),
        ({"default": 2**64}, "it is no plain JSON (ValueError)"),
        ({"enum": ["\ud800"]}, "it is no plain JSON (UnicodeEncodeError)"),
        ({"enum": ["x" * 300_000]}, "it has 300,235 bytes, and 262,144 is the limit"),
    ],
)
def test_a_form_that_airflow_cannot_keep_is_told(described: Any, why: str) -> None:
    with pytest.raises(FormNotForAirflow) as caught:
        shown(**described)
    assert why in str(caught.value)


@pytest.mark.parametrize("key", ["_options", "chosen_options"])
def test_a_field_with_a_name_that_airflow_keeps_for_itself_is_told(key: str) -> None:
    form = read_form({"schema": {"properties": {key: {"type": "string"}}}})
    with pytest.raises(FormNotForAirflow) as caught:
        form_for_airflow(form, flow="f", url="", answers={})
    assert str(caught.value) == f"it has a field {key!r}, a name that Airflow keeps for itself"


def test_flows_are_called_by_name_and_by_id_where_a_name_is_not_unique() -> None:
    flows = [
        Reference(id="3", name="b"),
        Reference(id="1", name="a"),
        Reference(id="2", name="b"),
        Reference(id="4"),
    ]
    form = flow_choice_for_airflow(flows, url="")
    schema = form.params["flow"]["schema"]
    assert schema["values_display"] == {"4": "4", "1": "a", "2": "b (2)", "3": "b (3)"}
    assert schema["enum"] == ["4", "1", "2", "3"]
    with pytest.raises(FormNotForAirflow, match=r"^the key sees no flow to select$"):
        flow_choice_for_airflow([], url="")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(["type", "enum", "title", "minimum", "format", "items", "description", "readOnly"])


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    described=st.dictionaries(WORDS, JSON, max_size=5),
    default=JSON,
    item=st.dictionaries(WORDS, JSON, max_size=3),
)
def test_whatever_a_service_says_of_a_field_airflow_gets_plain_json_or_none(
    described: Any, default: Any, item: Any
) -> None:
    form = read_form(
        {
            "schema": {"properties": {"a": described}},
            "form": [{"items": [{**item, "key": "a"}]}],
            "model": {"a": default},
        }
    )
    try:
        made = form_for_airflow(form, flow="f", url="", answers={"a": default})
    except FormNotForAirflow:
        return
    text = json.dumps([made.subject, made.body, made.params], allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) <= airflow_form.MAX_FORM_BYTES
