"""The JSON objects of the interface: progress, execution, document and their parts.

Key names and nesting are the documented ones; the profile decides how status words are spelled.
Invariant: an object is made from one look, so its parts never contradict each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from smartflows_provider.devserver.engine import Block, Look, Stage
from smartflows_provider.devserver.flows import EventStep, Flow, FormStep, OutputStep
from smartflows_provider.devserver.profiles import Profile
from smartflows_provider.devserver.service import Service, callbacks_of
from smartflows_provider.devserver.store import Record, StoredDocument
from smartflows_provider.wire.smart_flows import ExecutionStatus

_HAS_OUTPUT = frozenset({ExecutionStatus.SUCCESS, ExecutionStatus.WARNING})


def moment(at: float | None) -> str | None:
    """Return a time as ISO 8601, UTC, with milliseconds."""
    if at is None:
        return None
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def spelled(status: str, profile: Profile) -> str:
    """Return a status word in the profile's spelling."""
    if profile.status_spelling == "manual":
        return re.sub(r"(?<=[a-z])[A-Z]", lambda found: f" {found[0].lower()}", status)
    if profile.status_spelling == "lower":
        return status.lower()
    return status.upper() if profile.status_spelling == "upper" else status


def progress(service: Service, record: Record, look: Look) -> dict[str, Any]:
    """Return the progress object: with the form in ``UserInput``, with the output when finished."""
    shown: dict[str, Any] = {
        "id": record.id,
        "percentage": look.percentage,
        "message": look.message,
        "status": spelled(look.status, service.profile),
        "currentData": None,
        "schema": None,
        "model": None,
        "form": None,
    }
    if isinstance(look.waits_at, FormStep):
        shown.update(_form(look.waits_at))
    elif look.status == ExecutionStatus.SELECT_FLOW:
        shown.update(_flow_choice(service))
    elif look.status in _HAS_OUTPUT:
        shown.update(_described(look.progressed.model, _titles(look)))
    return shown


def summary(service: Service, record: Record, look: Look) -> dict[str, Any]:
    """Return the execution object as lists show it."""
    flow = service.flow_of(record)
    owner = {"id": record.owner_id, "displayName": record.owner_name}
    return {
        "id": record.id,
        "mode": "Unattended" if record.story.unattended else "Attended",
        "createdAt": moment(record.story.created_at),
        "createdBy": owner,
        "modifiedAt": moment(look.since),
        "modifiedBy": owner,
        "status": spelled(look.status, service.profile),
        "flow": flow.reference() if flow else None,
    }


def execution(service: Service, record: Record, look: Look) -> dict[str, Any]:
    """Return the execution object with ``state``."""
    so_far, flow = look.progressed, service.flow_of(record)
    finished = look.status in _HAS_OUTPUT
    waits_at = look.waits_at
    state = {
        "inputData": service.data_of(record),
        "output": {"parts": parts(look), **_described(so_far.model, _titles(look))} if finished else None,
        "stages": [_stage(stage, record.id, service.profile) for stage in so_far.stages],
        "iterations": [],
        "report": [_report(flow, so_far.blocks)] if flow else [],
        "waitingFor": None,
        "warnings": so_far.warnings,
        "errors": [
            {
                "error": "FlowExecutionError",
                "message": failure.message,
                "causes": list(failure.causes),
                "stackTrace": f"at block '{failure.block}'",
            }
            for failure in so_far.failures
        ],
    }
    if isinstance(waits_at, EventStep):
        state["waitingFor"] = {
            "callbackId": callbacks_of(record.id, waits_at)[0],
            "displayName": waits_at.name,
        }
    return {**summary(service, record, look), "state": state}


def with_outputs(
    service: Service, record: Record, look: Look, *, output: str | None
) -> dict[str, Any] | None:
    """Return the execution object with ``outputs``; None if it has no output of the id or name."""
    outputs = parts(look)
    if output is not None:
        outputs = [part for part in outputs if output in {part["id"], part["displayName"]}]
        if not outputs:
            return None
    return {**summary(service, record, look), "outputs": outputs}


def parts(look: Look) -> list[dict[str, Any]]:
    """Return what each step put out, one part each."""
    return [
        {"id": block.step.id, "displayName": block.step.name, **_described(block.model, _titles_of(block))}
        for block in look.progressed.blocks
        if block.model
    ]


def document(stored: StoredDocument, record: Record, flow: Flow | None) -> dict[str, Any]:
    """Return a document's metadata."""
    return {
        "id": stored.id,
        "displayName": stored.name,
        "description": None,
        "contentType": stored.content_type,
        "createdAt": moment(stored.created_at),
        "createdBy": {"id": record.owner_id, "displayName": record.owner_name},
        "templateId": stored.template,
        "language": "en",
        "finished": True,
        "expiration": None,
        "flowExecution": {
            "id": record.id,
            "displayName": flow.name if flow else "",
            "type": "flowExecution",
        },
    }


def _described(model: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, Any]:
    properties = {key: {"type": _type(value), "title": titles.get(key, key)} for key, value in model.items()}
    items = [
        {"key": key, "title": entry["title"], "description": "", "type": entry["type"]}
        for key, entry in properties.items()
    ]
    return {
        "schema": {"type": "object", "properties": properties},
        "model": dict(model),
        "form": [{"type": "section", "items": items}],
    }


def _form(step: FormStep) -> dict[str, Any]:
    properties: dict[str, dict[str, Any]] = {}
    for entry in step.fields:
        properties[entry.key] = {"type": entry.type, "title": entry.title}
        if entry.choices:
            properties[entry.key]["enum"] = list(entry.choices)
        if entry.default is not None:
            properties[entry.key]["default"] = entry.default
    items = [
        {"key": entry.key, "title": entry.title, "description": entry.description, "type": entry.type}
        for entry in step.fields
    ]
    required = [entry.key for entry in step.fields if entry.required]
    return {
        "schema": {"type": "object", "title": step.name, "properties": properties, "required": required},
        "model": {entry.key: entry.default for entry in step.fields if entry.default is not None},
        "form": [{"type": "section", "title": step.name, "items": items}],
    }


def _flow_choice(service: Service) -> dict[str, Any]:
    ids = [flow.id for flow in service.flows()]
    entry = {"type": "string", "title": "Flow", "enum": ids}
    item = {"key": "flow", "title": "Flow", "description": "The flow to run", "type": "string"}
    return {
        "schema": {"type": "object", "properties": {"flow": entry}, "required": ["flow"]},
        "model": {},
        "form": [{"type": "section", "title": "Select a flow", "items": [item]}],
    }


def _titles_of(block: Block) -> Mapping[str, str]:
    return block.step.titles if isinstance(block.step, OutputStep) else {}


def _titles(look: Look) -> dict[str, str]:
    titles: dict[str, str] = {}
    for block in look.progressed.blocks:
        titles.update(_titles_of(block))
    return titles


def _stage(stage: Stage, execution_id: str, profile: Profile) -> dict[str, Any]:
    last = {
        "id": execution_id,
        "percentage": stage.percentage,
        "message": stage.message,
        "status": spelled(stage.status, profile),
    }
    start, end = moment(stage.start), moment(stage.end)
    return {"start": start, "end": end, "input": stage.input, "lastProgress": last}


def _report(flow: Flow, blocks: Sequence[Block]) -> dict[str, Any]:
    shown = [
        {
            "id": block.step.id,
            "displayName": block.step.name,
            "step": {
                "status": block.status,
                "start": moment(block.start),
                "end": moment(block.end),
                "input": None,
                "output": dict(block.model) or None,
            },
            "condition": block.step.when or None,
            "try": None,
            "switch": None,
        }
        for block in blocks
        if block.status != "Running"
    ]
    return {"id": flow.id, "blocks": shown}


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"
