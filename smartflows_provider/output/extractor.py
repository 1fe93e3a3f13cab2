"""From what the service answers about a finished run to the run's output.

Three shapes are read alike: a progress (``model`` at the top), an execution (``state.output`` with a
``model`` of its own, ``parts``, or both) and a status answer (``outputs``; the vendor does not document
its inside, so a list of parts, a mapping of names to parts or models, and a single output are all read).
The service is not ours, so nothing about the answer is taken for granted. Invariants: whatever JSON comes
in, the only error that leaves is an :class:`OutputError`; no value is lost except layout (below); every
document reference is listed once; the result can be written as strict JSON.

**Layout**: an xd-schema-form keeps layout in ``schema`` and ``form`` and values in ``model``, but a model
may repeat a pure layout element. A top-level key of the model is layout only if a form item of that key
has a layout type (heading, help text, button and the like) and the schema has no property of that name.
``$$hashKey``, which browsers' form code writes into objects, is dropped at any depth. All else is a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from smartflows_provider.output.errors import OutputTooDeep, TitlesCollide
from smartflows_provider.output.numbering import Numbering
from smartflows_provider.output.paths import Place
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.smart_flows import phase_of
from smartflows_provider.wire.text import clean_text

MAX_DEPTH: Final = 100
"""How deep values may be nested; far below what makes JSON writers and XCom give up."""

_LAYOUT_TYPES = frozenset(
    {
        "actions", "button", "buttons", "divider", "fieldset", "header", "heading", "help", "html", "label",
        "separator", "section", "submit", "tabs", "title",
    }
)  # fmt: skip
_PART_KEYS = frozenset({"description", "displayName", "form", "id", "model", "parts", "schema", "type"})
_GUID = re.compile(r"\{?[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.IGNORECASE)
_BROWSER_KEYS = frozenset({"$$hashKey"})
_SENTENCE_LIMIT = 500
_NOTES_LIMIT = 100
"""Replaced values that are named; one answer may hold millions."""
_CAUSES_LIMIT = 100
_ERROR_LIMIT = 2000


@dataclass(frozen=True, kw_only=True)
class DocumentRef:
    """A document that the output points at."""

    id: str
    name: str
    """The name the reference shows; the id where it shows none."""
    path: str
    """Where it stood, as a JMESPath expression over the service's own keys; below the part's name where
    the output has several parts."""


@dataclass(frozen=True, kw_only=True)
class FlowError:
    """One error that the flow itself reported."""

    error: str
    """The kind of error; empty if the service gave none."""
    message: str
    """What went wrong; empty if the service did not say."""
    causes: tuple[str, ...] = ()
    """What led to it, outermost first."""

    def __str__(self) -> str:
        """Return the error as one sentence for a log or a message."""
        told = ": ".join(filter(None, (self.error, self.message))) or "an error without a message"
        text = f"{told} (caused by {'; '.join(self.causes)})" if self.causes else told
        return text if len(text) <= _ERROR_LIMIT else f"{text[:_ERROR_LIMIT]}…"


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a run left behind."""

    values: dict[str, Any]
    """The output model without layout and without document references; one model as it is, several parts
    under their names."""
    documents: tuple[DocumentRef, ...] = ()
    """In the order in which they stand in the output, each id once."""
    warnings: tuple[str, ...] = ()
    """The flow's own, then what had to be replaced so that the values are strict JSON."""
    errors: tuple[FlowError, ...] = ()
    failing_block: str | None = None
    """Names of the blocks whose step ended in ``Error``, in the order of the report; None if there is
    none."""
    stages: int = 0
    """How many times the run started or resumed; 0 where the answer does not tell."""
    finished_at: str | None = None
    """ISO 8601; None while the run is not stable or where the answer does not tell."""


def extract(raw: Mapping[str, Any], *, values_by_title: bool = False) -> Output:
    """
    Read a run's output from a progress, an execution with ``state``, or a status answer with ``outputs``.

    A progress that waits for a person carries that form's defaults in ``model``, and these are no output.

    :param raw: the decoded answer.
    :param values_by_title: rename keys that are GUIDs to the titles that ``schema`` or ``form`` give them.
    :raises OutputTooDeep: if values are nested deeper than 100 levels; a retry does not help.
    :raises TitlesCollide: if several keys of one object would get the same title; a retry does not help.
    """
    # Where an answer has no state, what a state would hold may stand beside its output.
    state = _mapping(raw.get("state")) or raw
    lift = _Lift()
    values = _assemble(_own_part(raw), _parts(raw), lift, values_by_title=values_by_title)
    blocks = dict.fromkeys(
        name
        for block in _mappings(state.get("report"))
        if _word(_mapping(block.get("step")).get("status")) == "error"
        and (name := _text(block.get("displayName")) or _text(block.get("id")))
    )
    return Output(
        values=values,
        documents=tuple(lift.documents.values()),
        warnings=(*filter(None, map(_sentence, _list(state.get("warnings")))), *lift.notes),
        errors=tuple(_flow_error(entry) for entry in _list(state.get("errors"))),
        failing_block=", ".join(blocks) or None,
        stages=len(_list(state.get("stages"))),
        finished_at=_finished_at(raw, state),
    )


def plain_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """
    Return values as strict JSON with clean text, for systems whose outputs point at no documents.

    :param values: decoded JSON.
    :returns: the values, and what had to be replaced for that, as sentences.
    :raises OutputTooDeep: if they are nested deeper than 100 levels; a retry does not help.
    """
    lift = _Lift(finds_documents=False)
    read = lift.read(_Part(name="", model=values), Place(), titles={})
    return _as_object(read), tuple(lift.notes)


# --- where the output stands -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One model with what describes it."""

    name: str
    model: Any
    layout: frozenset[str] = frozenset()
    titles: Mapping[str, str] = field(default_factory=dict)


def _output(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that holds ``model`` or ``parts``, in whichever shape it came."""
    output = _mapping(_mapping(raw.get("state")).get("output"))
    if output:
        return output
    outputs = raw.get("outputs")
    if isinstance(outputs, Mapping) and _is_single_output(outputs):
        return outputs
    if outputs:
        return {"parts": outputs}
    status = raw.get("status")
    waits = isinstance(status, str) and phase_of(status) is RunPhase.NEEDS_PERSON
    return {} if waits else raw


def _is_single_output(outputs: Mapping[str, Any]) -> bool:
    return isinstance(outputs.get("parts"), list) or _is_part(outputs)


def _is_part(entry: Any) -> bool:
    """Tell a part (an object that holds a model) from a bare model that has a value named model."""
    if not isinstance(entry, Mapping) or "model" not in entry:
        return False
    if "schema" in entry or "form" in entry:
        return True
    return isinstance(entry["model"], Mapping | None) and entry.keys() <= _PART_KEYS


def _own_part(raw: Mapping[str, Any]) -> _Part | None:
    output = _output(raw)
    return None if output.get("model") is None else _part("", output)


def _parts(raw: Mapping[str, Any]) -> list[_Part]:
    parts = _output(raw).get("parts")
    if isinstance(parts, Mapping):
        named = [(clean_text(name), entry) for name, entry in parts.items()]
    else:
        named = [("", entry) for entry in _list(parts)]
    found = []
    for number, (given, entry) in enumerate(named, start=1):
        if not _is_part(entry):
            found.append(_Part(name=given or f"part {number}", model=entry))
        elif entry["model"] is not None:
            name = given or _text(entry.get("displayName")) or _text(entry.get("id")) or f"part {number}"
            found.append(_part(name, entry))
    return found


def _part(name: str, entry: Mapping[str, Any]) -> _Part:
    schema, form = entry.get("schema"), entry.get("form")
    properties = _mapping(_mapping(schema).get("properties"))
    layout = {
        key
        for described in _mappings(form)
        if isinstance(key := described.get("key"), str)
        and _word(described.get("type")) in _LAYOUT_TYPES
        and key not in properties
    }
    titles: dict[str, str] = {}
    for described in _mappings(form):
        if isinstance(key := described.get("key"), str) and (title := _text(described.get("title"))):
            # A form names a nested field by its path, as in rows[].total; only its last part is a key.
            titles.setdefault(key.rpartition(".")[2], title)
    for described in _mappings(schema):
        for key, subschema in _mapping(described.get("properties")).items():
            if title := _text(_mapping(subschema).get("title")):
                titles[key] = title
    return _Part(name=name, model=entry.get("model"), layout=frozenset(layout), titles=titles)


def _assemble(
    own: _Part | None, parts: Sequence[_Part], lift: _Lift, *, values_by_title: bool
) -> dict[str, Any]:
    """
    Put the models together.

    One model is the values. Of several, the output's own model stays at the top and each part stands under
    its name, unless the output's own model holds all of it already. A key that is taken by another value
    gets a number.
    """
    values: dict[str, Any] = {}
    names = Numbering()

    def read(part: _Part, path: Place) -> Any:
        return lift.read(part, path, titles=part.titles if values_by_title else {})

    if own is not None:
        values = _as_object(read(own, Place()))
    if len(parts) == 1:
        more = _as_object(read(parts[0], Place()))
        if own is not None and values_by_title:
            _check_titles(own, values, parts[0], more)
        _merge(values, more, names)
    else:
        for part in parts:
            model = read(part, Place(part.name))
            if model is not _LIFTED and not _is_within(model, values):
                values[names.free(part.name, values)] = model
    return values


def _is_within(model: Any, values: Mapping[str, Any]) -> bool:
    """Tell whether the values already hold all of a part, as where the output's model repeats its parts."""
    if not isinstance(model, dict) or not model:
        return False
    return all(key in values and values[key] == value for key, value in model.items())


def _as_object(model: Any) -> dict[str, Any]:
    if model is _LIFTED:
        return {}
    return model if isinstance(model, dict) else {"value": model}


def _merge(values: dict[str, Any], more: dict[str, Any], names: Numbering) -> None:
    for key, value in more.items():
        if key not in values or values[key] != value:
            values[names.free(key, values)] = value


def _check_titles(own: _Part, values: Mapping[str, Any], part: _Part, more: Mapping[str, Any]) -> None:
    """Refuse to merge two models in which different fields have the same title."""
    for name in filter(more.__contains__, values):
        first, second = _field_of(name, own), _field_of(name, part)
        if first != second:
            raise TitlesCollide(
                f"the keys {first!r} of the output and {second!r} of its part would both be named {name!r}; "
                "give the fields different titles in the flow, or set values_by_title=False"
            )


def _field_of(name: str, part: _Part) -> str:
    """Return the key of the part's model that a value's name came from."""
    fields = (key for key in _mapping(part.model) if _GUID.fullmatch(key) and part.titles.get(key) == name)
    return next(fields, name)


# --- values ------------------------------------------------------------------------------------------


class _Lifted:
    """Stands where only document references stood."""


_LIFTED = _Lifted()


class _Lift:
    """Copies models as strict JSON and takes the document references out on the way."""

    def __init__(self, *, finds_documents: bool = True) -> None:
        self._finds_documents = finds_documents
        self.documents: dict[str, DocumentRef] = {}
        self._notes: list[str] = []
        self._replaced = 0

    @property
    def notes(self) -> list[str]:
        """What had to be replaced; beyond some places only how many more there are."""
        more = self._replaced - len(self._notes)
        return (
            [*self._notes, f"values at {more:,} more places were replaced likewise"] if more else self._notes
        )

    def read(self, part: _Part, path: Place, *, titles: Mapping[str, str]) -> Any:
        """Return the part's model without layout and references, or ``_LIFTED`` if only these were in it."""
        if isinstance(part.model, Mapping):
            return self._copy_object(part.model, path, MAX_DEPTH, titles, layout=part.layout)
        return self._copy(part.model, path, MAX_DEPTH, titles)

    def _copy(self, node: Any, path: Place, depth: int, titles: Mapping[str, str]) -> Any:
        if isinstance(node, Mapping | list) and depth == 0:
            raise OutputTooDeep(
                f"the flow's output is nested deeper than {MAX_DEPTH} levels; make the flow's output flatter"
            )
        if isinstance(node, Mapping):
            return self._copy_object(node, path, depth, titles)
        if isinstance(node, list):
            return self._copy_array(node, path, depth, titles)
        if isinstance(node, str):
            return self._noted(path, node, clean_text(node), "characters that JSON cannot carry everywhere")
        if isinstance(node, float) and not math.isfinite(node):
            return self._noted(path, node, None, "a number that JSON cannot carry")
        return node

    def _copy_object(
        self,
        node: Mapping[str, Any],
        path: Place,
        depth: int,
        titles: Mapping[str, str],
        *,
        layout: frozenset[str] = frozenset(),
    ) -> dict[str, Any] | _Lifted:
        document_id = _document_id(node) if self._finds_documents else ""
        if document_id and document_id not in self.documents:
            name = _text(node.get("displayName")) or _text(node.get("name")) or document_id
            self.documents[document_id] = DocumentRef(id=document_id, name=name, path=str(path))
        copied: dict[str, Any] = {}
        sources: dict[str, str] = {}
        names = Numbering()
        for raw_key, value in node.items():
            key = clean_text(raw_key)
            if key in _BROWSER_KEYS:
                continue
            kept = self._copy(value, Place(key, path), depth - 1, titles)
            if kept is _LIFTED or raw_key in layout:
                continue
            title = titles.get(raw_key, key) if _GUID.fullmatch(raw_key) else key
            if title in copied and titles:
                raise TitlesCollide(
                    f"the keys {sources[title]!r} and {key!r} of {str(path) or 'the output'} would both be "
                    f"named {title!r}; give the fields different titles in the flow, or set "
                    "values_by_title=False"
                )
            name = names.free(title, copied)
            copied[name], sources[name] = kept, key
        if document_id or (node and not copied and not node.keys() <= _BROWSER_KEYS):
            return _LIFTED
        return copied

    def _copy_array(
        self, node: list[Any], path: Place, depth: int, titles: Mapping[str, str]
    ) -> list[Any] | _Lifted:
        copied = []
        for index, value in enumerate(node):
            kept = self._copy(value, Place(index, path), depth - 1, titles)
            if kept is not _LIFTED:
                copied.append(kept)
        return _LIFTED if node and not copied else copied

    def _noted(self, path: Place, before: Any, after: Any, what: str) -> Any:
        if before is not after and before != after:
            self._replaced += 1
            if self._replaced <= _NOTES_LIMIT:
                place = str(path) or "the output"
                self._notes.append(f"{place} held {what}; {after!r} stands for it"[:_SENTENCE_LIMIT])
        return after


def _document_id(node: Mapping[str, Any]) -> str:
    """Return the id where the object is a document reference, else nothing."""
    return _text(node.get("id")) if node.get("type") == "document" else ""


# --- reading what may be anything --------------------------------------------------------------------


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    """Return a list as it is, nothing as an empty one, anything else as the only entry."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in a value, outer before inner, in order; without recursion, so at any depth."""
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            yield node
            pending.extend(reversed([*node.values()]))
        elif isinstance(node, list):
            pending.extend(reversed(node))


def _text(value: Any) -> str:
    """Return a string or number as trimmed text, anything else as nothing."""
    if isinstance(value, str):
        return clean_text(value).strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _word(value: Any) -> str:
    return _text(value).casefold()


def _sentence(entry: Any) -> str:
    """Return what a warning or a cause says, whether it is a text or an object with texts."""
    told = _mapping(entry)
    return (
        _text(entry)
        or ": ".join(filter(None, (_text(told.get("error")), _text(told.get("message")))))
        or "; ".join(filter(None, map(_text, told.values())))[:_SENTENCE_LIMIT]
    )


def _flow_error(entry: Any) -> FlowError:
    told = _mapping(entry)
    causes: list[str] = []
    pending = list(reversed(_list(told.get("causes"))))
    while pending and len(causes) < _CAUSES_LIMIT:
        cause = pending.pop()
        if sentence := _sentence(cause):
            causes.append(sentence)
        pending.extend(reversed(_list(_mapping(cause).get("causes"))))
    return FlowError(
        error=_text(told.get("error")),
        message=_text(told.get("message")) or ("" if told.get("error") else _sentence(entry)),
        causes=tuple(causes),
    )


def _finished_at(raw: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    status = raw.get("status")
    if not isinstance(status, str) or not phase_of(status).is_stable:
        return None
    ends = [end for stage in _list(state.get("stages")) if (end := _text(_mapping(stage).get("end")))]
    return (ends[-1] if ends else _text(raw.get("modifiedAt"))) or None
