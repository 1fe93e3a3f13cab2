"""The form of an execution that needs a person, and how answers fit into it.

A form comes as ``schema.properties.{key}`` with types, ``form[].items[]`` with keys and titles, and
``model`` with the default values; that a field's choices are called by an item's ``titleMap``, and that an
item may be ``readonly``, is inferred from the layout's kin. Invariants: an answer reaches the service only
under a key that the form has; what a service says of a field is taken for what it is known to mean and else
left to the service's own check, so that no answer is refused for a word that is not understood.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from smartflows_provider.wire.text import clean_text

_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
_NUMBERS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems")
_FORMATS: Final = ("date", "date-time", "time", "email")


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One field that a person would fill in."""

    key: str
    title: str
    description: str = ""
    required: bool = False
    readonly: bool = False
    """Whether it is only shown."""
    multiline: bool = False
    schema: Mapping[str, Any] = field(default_factory=dict)
    """What an answer must be: a JSON schema of the few words that are understood."""
    choice_names: Mapping[str, str] = field(default_factory=dict)
    """What people call the choices, by the choice as text."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What an execution asks a person."""

    title: str
    """Empty where the form has none."""
    fields: Sequence[FormField]
    defaults: Mapping[str, Any]
    """``{key: value}`` of the fields that have one."""

    def __str__(self) -> str:
        return ", ".join(f"{one.key!r} ({one.title})" for one in self.fields) or "nothing"


class AnswersDoNotFit(ValueError):
    """The answers cannot be posted to this form; the text says why and what the form asks for."""


def form_title(form: Mapping[str, Any]) -> str:
    """Return the title of a form as a progress shows it, empty where it has none."""
    titles = [_mapping(form.get("schema")).get("title")]
    sections = form.get("form")
    if isinstance(sections, list):
        titles += [section.get("title") for section in sections if isinstance(section, Mapping)]
    return next((clean_text(title) for title in titles if isinstance(title, str) and title.strip()), "")


def read_form(form: Mapping[str, Any]) -> Form:
    """
    Read a form, its fields in the order of its schema.

    :param form: ``schema``, ``form`` and ``model`` of a progress.
    """
    schema = _mapping(form.get("schema"))
    properties, model = _mapping(schema.get("properties")), _mapping(form.get("model"))
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    items = {str(item["key"]): item for item in reversed(list(_items(form.get("form"))))}
    fields = [
        _field(str(key), _mapping(description), items.get(str(key), {}), required=key in required)
        for key, description in properties.items()
    ]
    defaults = {one.key: model[one.key] for one in fields if model.get(one.key) is not None}
    return Form(title=form_title(form), fields=fields, defaults=defaults)


def find_answers(form: Form, answers: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the answers that belong to a form under its own keys.

    :param answers: by key or by title; those that belong to another form are left out.
    :raises AnswersDoNotFit: if a title is not unique.
    """
    found: dict[str, Any] = {}
    for name, value in answers.items():
        keys = [one.key for one in form.fields if one.key == name] or [
            one.key for one in form.fields if one.title == name
        ]
        if len(keys) > 1:
            raise AnswersDoNotFit(
                f"several fields have the title {name!r}; answer by key. The form asks: {form}"
            )
        if keys:
            found[keys[0]] = value
    return found


def _field(key: str, described: Mapping[str, Any], item: Mapping[str, Any], *, required: bool) -> FormField:
    title, description = item.get("title"), item.get("description") or described.get("description")
    names = _choice_names(item.get("titleMap"))
    schema = _understood(described)
    return FormField(
        key=key,
        title=clean_text(str(title or described.get("title") or key)),
        description=clean_text(description) if isinstance(description, str) else "",
        required=required,
        readonly=item.get("readonly") is True or described.get("readOnly") is True,
        multiline=item.get("type") == "textarea",
        schema=schema,
        choice_names=names if "enum" in schema or "enum" in schema.get("items", {}) else {},
    )


def _understood(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is understood of a field's schema, so that it can be relied on."""
    schema: dict[str, Any] = {}
    kind = described.get("type")
    kinds = [kind] if isinstance(kind, str) else kind
    if isinstance(kinds, list) and kinds and all(isinstance(one, str) and one in _TYPES for one in kinds):
        schema["type"] = kind
    choices = described.get("enum")
    if isinstance(choices, list) and choices:
        schema["enum"] = choices
    schema |= {name: described[name] for name in _NUMBERS if _is_number(described.get(name))}
    if schema.get("multipleOf", 1) <= 0:
        del schema["multipleOf"]
    schema |= {
        name: described[name]
        for name in _COUNTS
        if isinstance(described.get(name), int) and _is_number(described[name]) and described[name] >= 0
    }
    if described.get("format") in _FORMATS:
        schema["format"] = described["format"]
    entries = described.get("items")
    if isinstance(entries, Mapping):
        # One level is what a form can show; what lies deeper is the service's to check.
        schema["items"] = _understood({name: entries[name] for name in entries if name != "items"})
    return schema


def _choice_names(title_map: Any) -> dict[str, str]:
    if isinstance(title_map, Mapping):
        title_map = [{"value": value, "name": name} for value, name in title_map.items()]
    if not isinstance(title_map, list):
        return {}
    return {
        str(entry["value"]): clean_text(str(entry["name"]))
        for entry in title_map
        if isinstance(entry, Mapping) and "value" in entry and entry.get("name")
    }


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


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
