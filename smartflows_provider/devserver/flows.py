"""Flow definitions: what a ``flow.yaml`` beside its XSD and templates describes.

A definition is read into frozen values that hold everything an execution needs, XSD and templates as
text included. Invariant: :func:`read_flow` accepts exactly what :attr:`Flow.source` gives back, so an
execution can keep the definition it was started with, whatever becomes of the folder.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from smartflows_provider.devserver.inputs import XsdRefused, compile_xsd
from smartflows_provider.devserver.json_values import TOO_DEEP, NotJson, check_json
from smartflows_provider.wire.smart_flows import ExecutionStatus, read_status

StartFrom = Literal["panel", "plugin", "program"]
FieldType = Literal["string", "integer", "number", "boolean"]
_NAMESPACE = uuid.UUID("6d2f2b0c-7a0b-4b3c-9df1-0c4f3b0a7c55")


class FlowDefinitionError(ValueError):
    """A flow definition that cannot be used; the text names the flow, the place and what is expected."""


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One question of a form."""

    key: str
    title: str
    type: FieldType = "string"
    description: str = ""
    default: Any = None
    choices: Sequence[Any] = ()
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """What every step of a flow has. It becomes a block in the execution's report."""

    id: str
    name: str
    """Shown as the block's ``displayName``."""
    message: str
    """What the progress says while the step runs."""
    seconds: float = 0.0
    """How long it takes at speed 1."""
    when: str = ""
    """A Jinja2 expression; if it is false the step is skipped. Empty means always."""


@dataclass(frozen=True, kw_only=True)
class WorkStep(Step):
    """Takes its time."""


@dataclass(frozen=True, kw_only=True)
class FormStep(Step):
    """Asks a person: ``UserInput`` until the form is answered."""

    fields: Sequence[FormField]


@dataclass(frozen=True, kw_only=True)
class EventStep(Step):
    """Waits for an external event: ``Waiting`` until its callback is called."""

    callback: str = ""
    """A callback id that all executions share; each execution also has one of its own."""


@dataclass(frozen=True, kw_only=True)
class DocumentStep(Step):
    """Renders a document."""

    template: str
    format: Literal["html", "pdf"] = "pdf"
    file_name: str
    """A Jinja2 template."""
    place: Sequence[str]
    """Keys on the way to the document's reference in the output model."""


@dataclass(frozen=True, kw_only=True)
class OutputStep(Step):
    """Sets values of the output model."""

    values: Mapping[str, Any]
    """Strings in it are Jinja2; a string that is one ``{{ expression }}`` keeps the expression's type."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Titles of top-level keys that are not their own title."""


@dataclass(frozen=True, kw_only=True)
class WarningStep(Step):
    """Adds its message to the warnings; the execution will end in ``Warning``."""


@dataclass(frozen=True, kw_only=True)
class FailStep(Step):
    """Ends the execution in ``Error``."""

    causes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class InterruptStep(Step):
    """Ends the execution in ``Interrupted``."""


@dataclass(frozen=True, kw_only=True)
class StatusStep(Step):
    """Takes its time under an undocumented status word, to see what a client makes of it."""

    status: str


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One flow of the project."""

    id: str
    name: str
    start_from: StartFrom
    queued: float
    """Seconds in ``Queued`` before the first step, at speed 1."""
    xsd: str
    """Schema of the XML input; empty where the flow takes none."""
    templates: Mapping[str, str]
    steps: Sequence[Step]
    source: Mapping[str, Any]
    """The definition as :func:`read_flow` takes it."""

    @cached_property
    def digest(self) -> str:
        """A fingerprint of the definition."""
        return hashlib.sha256(json.dumps(self.source, sort_keys=True).encode()).hexdigest()

    def step(self, step_id: str) -> Step:
        """Return the step with this id."""
        return next(step for step in self.steps if step.id == step_id)

    def reference(self) -> dict[str, Any]:
        """Return ``{id, displayName, type}``, the service's way to point at the flow."""
        return {"id": self.id, "displayName": self.name, "type": "flow"}


def read_flow(source: Any) -> Flow:
    """
    Return the flow that a mapping describes.

    :param source: the keys of ``flow.yaml``, JSON values only, with the schema's text as ``xsd`` and
        ``{file name: text}`` as ``templates``. ``id`` may be missing: it then follows from the name.
    :raises FlowDefinitionError: if a key is missing, unknown or does not fit.
    """
    if not isinstance(source, Mapping) or not (source.get("name") or source.get("id")):
        raise FlowDefinitionError("a flow is a mapping with a 'name'")
    name = _text(source, "name") or _text(source, "id")
    try:
        flow = _flow(name, source)
        check_json(source)
    except (FlowDefinitionError, XsdRefused, NotJson) as error:
        raise FlowDefinitionError(f"flow {name!r}: {error}") from error
    return flow


def load_flows(folder: Path) -> list[Flow]:
    """
    Return the flows of a folder: one for each ``<subfolder>/flow.yaml``.

    Beside it stand the file that ``xsd`` names and the templates, which are all other files that
    templates and document steps can name.

    :raises FlowDefinitionError: if the folder holds no flow, or one that cannot be used; the message
        begins with the file's path.
    """
    found = sorted(folder.glob("*/flow.yaml"))
    if not found:
        raise FlowDefinitionError(f"{folder} holds no flow: expected <name>/flow.yaml in it")
    return [_load(path) for path in found]


def bundled_folder() -> Path:
    """Return the folder of the flows that come with the package."""
    return Path(str(files("smartflows_provider.devserver") / "flows_bundled"))


def _load(path: Path) -> Flow:
    try:
        source = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(source, dict):
            if isinstance(source.get("xsd"), str):
                source["xsd"] = (path.parent / source["xsd"]).read_text(encoding="utf-8")
            source["templates"] = {
                file.name: file.read_text(encoding="utf-8") for file in sorted(path.parent.glob("*.j2"))
            }
        return read_flow(source)
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise FlowDefinitionError(f"{path}: {error}") from error
    except RecursionError as error:
        raise FlowDefinitionError(f"{path}: {TOO_DEEP}") from error


_FLOW_KEYS = {"id", "name", "start_from", "queued", "xsd", "templates", "steps"}


def _flow(name: str, source: Mapping[str, Any]) -> Flow:
    _only(source, _FLOW_KEYS, "a flow")
    start_from = _choice(source, "start_from", get_args(StartFrom), "panel")
    xsd = _text(source, "xsd")
    if (start_from == "program") != bool(xsd):
        raise FlowDefinitionError("a flow that starts from a 'program' has an 'xsd', and no other has")
    if xsd:
        compile_xsd(xsd)
    raw_steps = source.get("steps") or []
    if not isinstance(raw_steps, list) or not all(isinstance(raw, Mapping) for raw in raw_steps):
        raise FlowDefinitionError("'steps' is a list of mappings")
    templates = _texts_by_name(source, "templates")
    steps = [_step(number, raw, templates) for number, raw in enumerate(raw_steps, start=1)]
    ids = [step.id for step in steps]
    if len(set(ids)) < len(ids):
        raise FlowDefinitionError("two steps have the same 'id'")
    return Flow(
        id=_text(source, "id") or str(uuid.uuid5(_NAMESPACE, name)),
        name=name,
        start_from=start_from,
        queued=_seconds(source, "queued"),
        xsd=xsd,
        templates=templates,
        steps=steps,
        source=source,
    )


_STEP_KEYS = {"id", "kind", "name", "message", "duration", "when"}


def _step(number: int, raw: Mapping[str, Any], templates: Mapping[str, str]) -> Step:
    kind = str(raw.get("kind", "work"))
    if kind not in _KINDS:
        raise FlowDefinitionError(f"step {number}: there is no kind {kind!r}; there are {', '.join(_KINDS)}")
    keys, build = _KINDS[kind]
    step_id = f"step{number}"
    try:
        step_id = _text(raw, "id") or step_id
        _only(raw, _STEP_KEYS | keys, f"a step of kind {kind!r}")
        message = _text(raw, "message")
        name = _text(raw, "name") or message or kind.replace("_", " ").capitalize()
        common = {
            "id": step_id,
            "name": name,
            "message": message or name,
            "seconds": _seconds(raw, "duration"),
            "when": _text(raw, "when"),
        }
        return build(raw, common, templates)
    except FlowDefinitionError as error:
        raise FlowDefinitionError(f"step {number} ({step_id}): {error}") from error


_Build = Callable[[Mapping[str, Any], dict[str, Any], Mapping[str, str]], Step]
"""Builds a step from its own keys, the common ones, and the flow's templates."""


def _form(raw: Mapping[str, Any], common: dict[str, Any], _: Mapping[str, str]) -> Step:
    fields = raw.get("fields")
    if not isinstance(fields, list) or not fields:
        raise FlowDefinitionError("a form needs 'fields', a list")
    return FormStep(**common, fields=[_form_field(entry) for entry in fields])


def _form_field(raw: Any) -> FormField:
    known = {"key", "title", "type", "description", "default", "choices", "required"}
    if not isinstance(raw, Mapping) or not raw.get("key"):
        raise FlowDefinitionError("a form's field needs a 'key'")
    _only(raw, known, "a form's field")
    key = _text(raw, "key")
    choices, required = raw.get("choices"), raw.get("required", False)
    if not isinstance(choices, list | tuple | None):
        raise FlowDefinitionError(f"'choices' is a list, not {choices!r}")
    if not isinstance(required, bool):
        raise FlowDefinitionError(f"'required' is true or false, not {required!r}")
    return FormField(
        key=key,
        title=_text(raw, "title") or key,
        type=_choice(raw, "type", get_args(FieldType), "string"),
        description=_text(raw, "description"),
        default=raw.get("default"),
        choices=tuple(choices or ()),
        required=required,
    )


def _document(raw: Mapping[str, Any], common: dict[str, Any], templates: Mapping[str, str]) -> Step:
    template = _text(raw, "template")
    if template not in templates:
        raise FlowDefinitionError(f"there is no template {template!r}; there are {sorted(templates)}")
    kind = _choice(raw, "format", ("html", "pdf"), "pdf")
    return DocumentStep(
        **common,
        template=template,
        format=kind,
        file_name=_text(raw, "file_name") or f"{common['name']}.{kind}",
        place=(_text(raw, "place") or str(common["id"])).split("."),
    )


def _output(raw: Mapping[str, Any], common: dict[str, Any], _: Mapping[str, str]) -> Step:
    values = raw.get("values")
    if not isinstance(values, Mapping):
        raise FlowDefinitionError("an output needs 'values', a mapping")
    return OutputStep(**common, values=values, titles=_texts_by_name(raw, "titles"))


def _status(raw: Mapping[str, Any], common: dict[str, Any], _: Mapping[str, str]) -> Step:
    word = _text(raw, "status")
    if not word or read_status(word) in set(ExecutionStatus):
        raise FlowDefinitionError("needs a 'status' that is no documented word")
    return StatusStep(**common, status=word)


_KINDS: Mapping[str, tuple[set[str], _Build]] = {
    "work": (set(), lambda _, common, __: WorkStep(**common)),
    "form": ({"fields"}, _form),
    "wait_for_event": (
        {"callback"},
        lambda raw, common, _: EventStep(**common, callback=_text(raw, "callback")),
    ),
    "document": ({"template", "format", "file_name", "place"}, _document),
    "output": ({"values", "titles"}, _output),
    "warning": (set(), lambda _, common, __: WarningStep(**common)),
    "fail": (
        {"causes"},
        lambda raw, common, _: FailStep(**common, causes=_texts(raw, "causes")),
    ),
    "interrupt": (set(), lambda _, common, __: InterruptStep(**common)),
    "status": ({"status"}, _status),
}


def _only(raw: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    unknown = set(raw) - set(known)
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))
        raise FlowDefinitionError(f"{what} has no {names}; it has {', '.join(sorted(known))}")


def _choice(raw: Mapping[str, Any], key: str, choices: Sequence[str], default: str) -> Any:
    value = raw.get(key, default)
    if value not in choices:
        raise FlowDefinitionError(f"{key!r} is {value!r}, but can be {', '.join(choices)}")
    return value


def _text(raw: Mapping[str, Any], key: str) -> str:
    """Return the text under a key, empty where there is none; a number without quotes is a text too."""
    value = raw.get(key)
    if value is None:
        return ""
    if not _is_text(value):
        raise FlowDefinitionError(f"{key!r} is a text, not {value!r}")
    return str(value)


def _texts(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = raw.get(key)
    if not isinstance(values, list | tuple | None) or not all(map(_is_text, values or ())):
        raise FlowDefinitionError(f"{key!r} is a list of texts, not {values!r}")
    return tuple(map(str, values or ()))


def _texts_by_name(raw: Mapping[str, Any], key: str) -> dict[str, str]:
    values = raw.get(key)
    if not isinstance(values, Mapping | None) or not all(map(_is_text, (values or {}).values())):
        raise FlowDefinitionError(f"{key!r} is a mapping of texts, not {values!r}")
    return {str(name): str(text) for name, text in (values or {}).items()}


def _is_text(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


_LONGEST_SECONDS = 1_000_000_000


def _seconds(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key, 0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _LONGEST_SECONDS:
        raise FlowDefinitionError(f"{key!r} is a number of seconds, not {value!r}")
    return float(value)
