"""One execution in full, as JSON for scripts and as lines for people.

Invariants: both are made from one object, so they tell the same; the input is in it only on request,
because it may hold personal data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from smartflows_provider.cli.table import as_object, moment
from smartflows_provider.cli.text import UNKNOWN, pad, printable, span
from smartflows_provider.output.errors import OutputError
from smartflows_provider.output.extractor import extract
from smartflows_provider.wire.run import Execution, RunPhase, RunSnapshot

_LABEL_WIDTH = 13


def details(
    execution: Execution, *, snapshot: RunSnapshot | None, url: str, now: float, with_input: bool
) -> dict[str, Any]:
    """
    Return what is known of an execution.

    :param execution: with its ``state``.
    :param snapshot: its progress, None if that could not be had.
    :param url: where a person looks at it.
    :param now: epoch seconds.
    :param with_input: whether the input is told.
    """
    state = _mapping(execution.raw.get("state"))
    told = as_object(execution, now=now)
    if snapshot is not None:
        told["status"] = snapshot.status
    told |= {
        "percentage": snapshot.percentage if snapshot else None,
        "message": (snapshot.message or None) if snapshot else None,
        "waits_for": _waits_for(snapshot, state),
        "stages": [_stage(entry) for entry in _list(state.get("stages"))],
    }
    try:
        output = extract(execution.raw)
    except OutputError as error:
        told |= {"warnings": [], "errors": [f"The output cannot be read: {error}"]}
        told |= {"failing_block": None, "documents": [], "finished_at": None}
    else:
        told |= {
            "warnings": list(output.warnings),
            "errors": list(map(str, output.errors)),
            "failing_block": output.failing_block,
            "documents": [{"id": one.id, "name": one.name} for one in output.documents],
            "finished_at": output.finished_at,
        }
    told["url"] = url
    if with_input:
        told["input"] = state.get("inputData")
    return told


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield the details as printable lines."""
    flow = told["flow"] or {}
    yield _labelled("Execution", told["id"])
    yield _labelled("Flow", _named(flow) if flow else UNKNOWN)
    progress = "" if told["percentage"] is None else f", {told['percentage']} %"
    message = f": {told['message']}" if told["message"] else ""
    yield _labelled("Status", f"{told['status']}{progress}{message}")
    creator = f" by {told['created_by']['name'] or told['created_by']['id']}" if told["created_by"] else ""
    yield _labelled("Age", span(told["age_seconds"]))
    yield _labelled("Created", f"{moment(told['created_at'] or '')}{creator}")
    yield _labelled("Modified", moment(told["modified_at"] or ""))
    if told["finished_at"]:
        yield _labelled("Finished", moment(told["finished_at"]))
    yield from _waiting_lines(told["waits_for"])
    for number, stage in enumerate(told["stages"], start=1):
        end = f" to {moment(stage['end'])}" if stage["end"] else ""
        since = moment(stage["start"] or "")
        yield _labelled(f"Stage {number}", f"{since}{end}, {stage['status'] or UNKNOWN}")
    if told["failing_block"]:
        yield _labelled("Failed in", f"block {told['failing_block']}")
    for label, key in (("Error", "errors"), ("Warning", "warnings")):
        for sentence in told[key]:
            yield _labelled(label, sentence)
    for document in told["documents"]:
        yield _labelled("Document", _named(document))
    yield _labelled("Look at it", told["url"])
    if "input" in told:
        yield "Input:"
        yield from json.dumps(told["input"], indent=2).splitlines()


def _waiting_lines(waits_for: Mapping[str, Any] | None) -> Iterator[str]:
    if waits_for is None:
        return
    if waits_for["for"] == "event":
        name = f" {waits_for['name']!r}" if waits_for["name"] else ""
        yield _labelled("Waits for", f"the event{name}, callback {waits_for['callback_id'] or UNKNOWN}")
        return
    name = f", form {waits_for['name']!r}" if waits_for["name"] else ""
    yield _labelled("Waits for", f"a person{name}")
    for field in waits_for["fields"]:
        required = " (required)" if field["required"] else ""
        yield _labelled("", f"- {field['title']}{required}")


def _waits_for(snapshot: RunSnapshot | None, state: Mapping[str, Any]) -> dict[str, Any] | None:
    if snapshot is not None and snapshot.phase is RunPhase.NEEDS_PERSON:
        schema = _mapping(snapshot.form.get("schema"))
        required = [key for key in _list(schema.get("required")) if isinstance(key, str)]
        return {
            "for": "person",
            "name": _text(schema.get("title")),
            "fields": [
                {"key": key, "title": _text(_mapping(entry).get("title")) or key, "required": key in required}
                for key, entry in _mapping(schema.get("properties")).items()
            ],
        }
    waiting = _mapping(state.get("waitingFor"))
    if waiting:
        callback, name = _text(waiting.get("callbackId")), _text(waiting.get("displayName"))
        return {"for": "event", "name": name, "callback_id": callback}
    return None


def _stage(entry: Any) -> dict[str, Any]:
    told = _mapping(entry)
    progress = _mapping(told.get("lastProgress"))
    return {
        "start": _text(told.get("start")),
        "end": _text(told.get("end")),
        "status": _text(progress.get("status")),
    }


def _named(told: Mapping[str, Any]) -> str:
    return f"{told['name']} ({told['id']})" if told["name"] else str(told["id"])


def _labelled(label: str, text: str) -> str:
    return f"{pad(f'{label}:' if label else '', _LABEL_WIDTH)}{printable(text)}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
