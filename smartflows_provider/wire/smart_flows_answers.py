"""Answers to a form, made what its fields ask for, and checked against its schema.

Answers come as text where a template or a form of another program gives them. Invariants: text becomes a
number or a truth value only where the field takes no text and nothing is lost; a message names fields and
what they take, and never an answer, which may be personal; what the schema says beyond what is understood is
left to the service's own check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from smartflows_provider.wire.json_forms import NoForm, strict_json
from smartflows_provider.wire.smart_flows_forms import AnswersDoNotFit, Form, FormField, find_answers

_KINDS: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a JSON object",
    "null": "nothing",
}
_LIMITS: Final[Mapping[str, str]] = {
    "minimum": "a number from {0} on",
    "maximum": "a number up to {0}",
    "exclusiveMinimum": "a number above {0}",
    "exclusiveMaximum": "a number below {0}",
    "multipleOf": "a multiple of {0}",
    "minLength": "text of at least {0} characters",
    "maxLength": "text of at most {0} characters",
    "minItems": "a list of at least {0}",
    "maxItems": "a list of at most {0}",
}
_FORMAT_NAMES: Final[Mapping[str, str]] = {"date": "a date as YYYY-MM-DD", "email": "an e-mail address"}
_FORMATS: Final = FormatChecker(formats=tuple(_FORMAT_NAMES))
_CHOICES_SHOWN: Final = 10
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,300}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,200}(\.[0-9]{1,100})?(e[+-]?[0-9]{1,2})?", re.IGNORECASE)
_WORDS: Final[Mapping[str, bool]] = {"true": True, "false": False}


def match_answers(form: Form, answers: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what is posted for answers that an author has given beforehand.

    :param form: what is asked.
    :param answers: by key or by title; those that belong to another form are left out.
    :returns: ``{key: value}``; fields without an answer keep the form's default.
    :raises AnswersDoNotFit: if none belongs to this form, a title is not unique, a required field without a
        default has no answer, or an answer is not what its field takes.
    """
    found = _plain(find_answers(form, answers))
    if form.fields and not found:
        raise AnswersDoNotFit(
            f"none of the answers {sorted(answers)} belongs to the form. The form asks: {form}"
        )
    return _checked(form, {**form.defaults, **found})


def read_answers(form: Form, values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what is posted for what a person has filled in.

    :param form: what was asked.
    :param values: by key. A field that is missing keeps the form's default, one that was emptied is left
        out, and what is only shown keeps what it shows.
    :raises AnswersDoNotFit: if a required field was left empty, or an answer is not what its field takes.
    """
    known = {one.key: one for one in form.fields if not one.readonly}
    filled = {key: _as_shown(value, form.defaults.get(key)) for key, value in values.items() if key in known}
    merged = {**form.defaults, **_plain(filled)}
    return _checked(form, {key: value for key, value in merged.items() if value not in (None, "", [])})


def fitting(field: FormField, value: Any) -> Any:
    """Return a value as a field takes it, None for one that it does not take."""
    try:
        plain = _plain({field.key: value})[field.key]
    except AnswersDoNotFit:
        return None
    asked = _as_asked(plain, field.schema, field.choice_names)
    return asked if _problem(field, asked) is None else None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return answers in the form that JSON has for them, so that what is checked is what is sent.

    :raises AnswersDoNotFit: if JSON has none.
    """
    try:
        plain: dict[str, Any] = json.loads(strict_json(dict(values)))
    except NoForm as error:
        raise AnswersDoNotFit(str(error)) from None
    return plain


def _checked(form: Form, values: Mapping[str, Any]) -> dict[str, Any]:
    missing = [
        one.key
        for one in form.fields
        # What is only shown nobody can fill in.
        if one.required and not one.readonly and values.get(one.key) is None
    ]
    if missing:
        raise AnswersDoNotFit(f"the form requires {', '.join(map(repr, missing))}. The form asks: {form}")
    asked = {
        one.key: _as_asked(values[one.key], one.schema, one.choice_names)
        for one in form.fields
        if one.key in values
    }
    problems = [
        f"{one.key!r} ({one.title}) takes {problem}"
        for one in form.fields
        if asked.get(one.key) is not None
        and asked[one.key] != form.defaults.get(one.key)
        and (problem := _problem(one, asked[one.key])) is not None
    ]
    if problems:
        raise AnswersDoNotFit("; ".join(problems))
    return asked


def _as_shown(value: Any, default: Any) -> Any:
    """Return a value, or the text of which Airflow's form has made it an object."""
    if isinstance(value, dict) and isinstance(default, str):
        with suppress(ValueError, RecursionError):
            return default if json.loads(default) == value else value
    return value


def _as_asked(value: Any, schema: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    """Return a value in the form that a schema asks for, where that is plain; else as it is."""
    if "enum" in schema:
        return _choice(value, schema["enum"], names)
    kinds = schema.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if isinstance(value, str) and kinds and "string" not in kinds:
        value = _from_text(value.strip(), kinds)
    if isinstance(value, float) and value.is_integer() and "integer" in kinds and "number" not in kinds:
        return int(value)
    if isinstance(value, list):
        return [_as_asked(one, schema.get("items", {}), names) for one in value]
    return value


def _choice(value: Any, choices: Sequence[Any], names: Mapping[str, str]) -> Any:
    """Return the choice that a value means: itself, its text, or what people call it."""
    if any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in choices):
        return value
    meant = [one for one in choices if value in (text := str(one), names.get(text, text))]
    return meant[0] if len(meant) == 1 else value


def _from_text(text: str, kinds: set[str]) -> Any:
    if "boolean" in kinds and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if kinds & {"integer", "number"} and _WHOLE.fullmatch(text):
        return int(text)
    if "number" in kinds and _DECIMAL.fullmatch(text):
        return float(text)
    if kinds & {"array", "object"}:
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    return text


def _problem(field: FormField, value: Any) -> str | None:
    """Return what a field takes, if a value is not that; None where it is."""
    validator = Draft202012Validator(dict(field.schema), format_checker=_FORMATS)
    try:
        errors = {str(error.validator): error for error in reversed(list(validator.iter_errors(value)))}
    except OverflowError:
        return "a smaller number"
    # A list of the choices says more than their type.
    error = errors.get("enum") or next(iter(errors.values()), None)
    return None if error is None else _said(error, field)


def _said(error: ValidationError, field: FormField) -> str:
    wanted: Any = error.validator_value
    if error.validator == "enum":
        names = [field.choice_names.get(str(one), str(one)) for one in wanted]
        more = f" and {len(names) - _CHOICES_SHOWN} more" if len(names) > _CHOICES_SHOWN else ""
        return f"one of {', '.join(map(repr, names[:_CHOICES_SHOWN]))}{more}"
    if error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        listed = " or ".join(_KINDS[kind] for kind in kinds)
        return listed if not error.absolute_path else f"a list of which each is {listed}"
    if error.validator == "format":
        return _FORMAT_NAMES[str(wanted)]
    return _LIMITS[str(error.validator)].format(wanted)
