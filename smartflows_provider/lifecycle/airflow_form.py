"""A flow's form as one of Airflow's, for the page *Required Actions*.

Airflow shows a control for each entry of ``params`` by its JSON schema: title, description, type, choices. It
checks little of what comes back, so that is done where the answer is read. Invariants: pure; a field is
called by the form's own key, so that the answer needs no translation; text of the service is shown as text,
never as markup.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from smartflows_provider.wire.run import Reference
from smartflows_provider.wire.smart_flows_answers import fitting
from smartflows_provider.wire.smart_flows_forms import Form, FormField

SEND: Final = "Send"
"""The one option of a form, which sends it."""
FLOW_KEY: Final = "flow"
"""The field by which a person selects a flow."""
MAX_FORM_BYTES: Final = 256 * 1024
"""Size of a form up to which Airflow's database is troubled with it."""
_RESERVED: Final = frozenset({"_options", "chosen_options"})
"""Names that Airflow keeps for itself."""
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$-])")


class FormNotForAirflow(Exception):
    """A form that Airflow cannot show; the text says why."""


@dataclass(frozen=True, kw_only=True)
class AirflowForm:
    """What Airflow is given to show."""

    subject: str
    body: str
    """Markdown."""
    params: Mapping[str, Mapping[str, Any]]
    """``{field: {"value", "description", "schema"}}``."""

    def is_shown_as(self, *, subject: object, body: object, params: object) -> bool:
        """
        Tell whether what Airflow shows asks the same, of the same things.

        Airflow before 3.4 shows the first form of a task instance, whichever it is given later. What a person
        decides on are also the values that the form begins with, and those that are only shown; where else it
        can be answered, and why it is asked again, do not matter.

        :param subject: of the form that Airflow has on record.
        :param body: of that form.
        :param params: of that form.
        """
        shown = _only_shown(body) if isinstance(body, str) else []
        return (subject, shown, params) == (self.subject, _only_shown(self.body), self.params)


def form_for_airflow(
    form: Form, *, flow: str, url: str, answers: Mapping[str, Any], problem: str = ""
) -> AirflowForm:
    """
    Return a flow's form as one of Airflow's.

    :param form: what the flow asks.
    :param flow: how messages name the flow.
    :param url: where people look at the execution, empty where that is not known.
    :param answers: ``{key: value}`` to begin with, in place of the form's own defaults.
    :param problem: why an answer that was given before was not taken.
    :raises FormNotForAirflow: if Airflow cannot show it.
    """
    asked = [field for field in form.fields if not field.readonly]
    for field in asked:
        if field.key in _RESERVED:
            raise FormNotForAirflow(f"it has a field {field.key!r}, a name that Airflow keeps for itself")
    params = {field.key: _param(field, _first_value(field, answers, form.defaults)) for field in asked}
    shown = [
        f"- {_text(field.title)}: {_text(str(form.defaults.get(field.key, '')))}"
        for field in form.fields
        if field.readonly
    ]
    title = " ".join(form.title.split()) or "input"
    return _within_limits(
        AirflowForm(
            subject=f"Flow {flow} asks for: {title}",
            body=_body(problem, "\n".join(shown), url=url),
            params=params,
        )
    )


def flow_choice_for_airflow(flows: Sequence[Reference], *, url: str, problem: str = "") -> AirflowForm:
    """
    Return the form by which a person selects a flow.

    :param flows: those that the key can see.
    :param url: where people look at the execution, empty where that is not known.
    :param problem: why an answer that was given before was not taken.
    :raises FormNotForAirflow: if there is no flow, or there are too many.
    """
    if not flows:
        raise FormNotForAirflow("the key sees no flow to select")
    ordered = sorted(flows, key=lambda one: (one.name.casefold(), one.id))
    times = Counter(one.name for one in ordered)
    shown = {
        one.id: (one.name or one.id) if times[one.name] == 1 else f"{one.name} ({one.id})".strip()
        for one in ordered
    }
    schema = {
        "type": "string",
        "title": "Flow",
        "enum": list(shown),
        "values_display": shown,
    }
    what = (
        "The execution was started without a flow. It is cancelled and started again with the selected one."
    )
    return _within_limits(
        AirflowForm(
            subject="Which flow is to be run?",
            body=_body(problem, what, url=url),
            params={FLOW_KEY: {"value": None, "description": "The flow to run", "schema": schema}},
        )
    )


def _body(problem: str, text: str, *, url: str) -> str:
    """Return what stands above a form: why it is asked again, a text, and where else it can be answered."""
    again = f"**The answer was not taken:** {_text(problem)}" if problem else ""
    return "\n\n".join(part for part in (again, text, _where_else(url)) if part)


def _where_else(url: str) -> str:
    if not url:
        return "It can be answered in the flow's own panel, too."
    return f"It can be answered in [the flow's own panel](<{url}>), too."


def _within_limits(form: AirflowForm) -> AirflowForm:
    try:
        text = json.dumps([form.subject, form.body, form.params], allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
        json.loads(text, parse_int=_checked_whole)
    except (RecursionError, TypeError, ValueError) as error:
        raise FormNotForAirflow(f"it is no plain JSON ({type(error).__name__})") from None
    if size > MAX_FORM_BYTES:
        raise FormNotForAirflow(f"it has {size:,} bytes, and {MAX_FORM_BYTES:,} is the limit")
    return form


def _checked_whole(digits: str) -> int:
    """Return a whole number that finds its way to Airflow, which is one of 64 bits."""
    number = int(digits)
    if not -(2**63) <= number < 2**64:
        raise ValueError("a whole number of more than 64 bits")
    return number


def _first_value(field: FormField, answers: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    value = fitting(field, answers.get(field.key))
    return defaults.get(field.key) if value is None else value


def _param(field: FormField, value: Any) -> dict[str, Any]:
    """Return the entry of Airflow's form for a field."""
    schema: dict[str, Any] = {"type": _kind_of(field), **field.schema, "title": field.title}
    kind = schema["type"]
    kinds = [one for one in ([kind] if isinstance(kind, str) else kind) if one != "null"] or ["string"]
    if kinds[0] == "boolean" and value is None:
        # Airflow's switch knows no third position, and shows none as no.
        value = False
    if not field.required:
        kinds = [*kinds, "null"]
    schema["type"] = kinds[0] if len(kinds) == 1 else kinds
    choices = schema.get("items", {}).get("enum")
    if choices is not None:
        # Only so Airflow shows the choices of a list.
        schema["examples"] = choices
    if field.multiline and "format" not in schema:
        schema["format"] = "multiline"
    if field.choice_names:
        schema["values_display"] = dict(field.choice_names)
    return {"value": value, "description": field.description or None, "schema": schema}


def _kind_of(field: FormField) -> str:
    """Return the type of a field that names none: that of its choices, else text."""
    choices = field.schema.get("enum", ())
    is_whole = choices and all(isinstance(one, int) and not isinstance(one, bool) for one in choices)
    return "integer" if is_whole else "string"


def _only_shown(body: str) -> list[str]:
    """Return the lines of a body that show values of the flow."""
    return [line for line in body.split("\n") if line.startswith("- ")]


def _text(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
