"""The form of an execution that needs a person, and how answers fit into it.

A form comes as ``schema.properties.{key}`` with types, ``form[].items[]`` with keys and titles, and
``model`` with the default values. Invariant: an answer reaches the service only under a key that the form
has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One field that a person would fill in."""

    key: str
    title: str
    required: bool = False


class AnswersDoNotFit(ValueError):
    """The answers cannot be posted to this form; the text says why and what the form asks for."""


def read_fields(form: Mapping[str, Any]) -> list[FormField]:
    """
    Return the fields of a form, in the order of its schema.

    :param form: ``schema``, ``form`` and ``model`` of a progress.
    """
    schema = form.get("schema")
    schema = schema if isinstance(schema, Mapping) else {}
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    titles = {str(item["key"]): str(item["title"]) for item in _items(form.get("form")) if item.get("title")}
    fields = []
    for key, description in properties.items():
        own = description.get("title") if isinstance(description, Mapping) else None
        fields.append(
            FormField(key=str(key), title=titles.get(str(key)) or str(own or key), required=key in required)
        )
    return fields


def match_answers(form: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the answers to this form under its own keys.

    :param form: ``schema``, ``form`` and ``model`` of a progress.
    :param answers: by key or by title; those that belong to another form are left out.
    :returns: ``{key: value}``; fields without an answer keep the form's default.
    :raises AnswersDoNotFit: if none belongs to this form, a title is not unique, or a required field
        without a default has no answer.
    """
    fields = read_fields(form)
    asked = ", ".join(f"{field.key!r} ({field.title})" for field in fields) or "nothing"
    defaults = form.get("model")
    values = {
        field.key: defaults[field.key]
        for field in fields
        if isinstance(defaults, Mapping) and defaults.get(field.key) is not None
    }
    fitting: dict[str, Any] = {}
    for name, value in answers.items():
        keys = [field.key for field in fields if field.key == name] or [
            field.key for field in fields if field.title == name
        ]
        if len(keys) > 1:
            raise AnswersDoNotFit(
                f"several fields have the title {name!r}; answer by key. The form asks: {asked}"
            )
        if keys:
            fitting[keys[0]] = value
    if fields and not fitting:
        raise AnswersDoNotFit(
            f"none of the answers {sorted(answers)} belongs to the form. The form asks: {asked}"
        )
    values.update(fitting)
    missing = [field.key for field in fields if field.required and field.key not in values]
    if missing:
        raise AnswersDoNotFit(f"the form requires {', '.join(map(repr, missing))}. The form asks: {asked}")
    return values


def _items(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the form's items with a key, at whatever depth of groups they stand."""
    rest = [node]
    while rest:
        one = rest.pop()
        if isinstance(one, list):
            rest += reversed(one)
        elif isinstance(one, Mapping):
            if one.get("key"):
                yield one
            rest.append(one.get("items"))
