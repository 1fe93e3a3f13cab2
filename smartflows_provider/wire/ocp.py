"""How OCP flows (Omilia Cloud Platform, Orchestrator API) are spoken to.

Every call is a generator that yields requests and is sent the answers, see
:mod:`smartflows_provider.wire.messages`. There is no run in this API: flows are created, changed and deleted,
and have a status, which a waiter takes for a run's (see :mod:`.ocp_status`). Source: the vendor's pages
*Flows* of the Orchestrator API. Invariants: every path ends in a slash, as the vendor writes them; a flow
that was not asked for by its id has one only where the answer shows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn

from smartflows_provider.wire.answers import (
    error_text,
    identifier,
    object_of,
    raise_for_status,
    unreadable,
)
from smartflows_provider.wire.errors import (
    FlowAmbiguous,
    FlowNotFound,
    NotFound,
    RequestRefused,
    UnsendableValue,
    UnusableId,
)
from smartflows_provider.wire.messages import (
    JSON_TYPE,
    Exchange,
    Request,
    Response,
    content_type_header,
    json_body,
    query_of,
    segment,
)
from smartflows_provider.wire.ocp_status import StatusTerms, read_status
from smartflows_provider.wire.run import Execution, Reference, RunSnapshot
from smartflows_provider.wire.text import clean_text

API_PREFIX = "/api"
"""What stands before every path; newer installations have ``/orchestrator/api``."""
ID_FIELD = "id"
"""Where an answer shows a flow's id, if it does: no page of the vendor's shows one."""
DEFAULT_TERMS = StatusTerms()
_NAME = re.compile(r"[A-Za-z0-9_]+")
_LISTED = 10
_PAGE_KEYS = ("results", "content")
_TOLD_BY_ALL = frozenset({"message", "detail", "error_description", "title", "error", "errors", "causes"})
"""Keys of an error body that :func:`error_text` reads."""
_ERROR_DEPTH = 4
"""Levels of an error body by fields that are read."""


class FlowInUse(RequestRefused):
    """409: the flow cannot be deleted, because other apps or flows use it."""


class FlowIdNotShown(UnusableId):
    """The service shows no id for a flow that was found by its name, and the next call needs one."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A flow as the service shows it."""

    id: str
    """Empty where it was found by its name and the answer shows none."""
    name: str
    group: str = ""
    """Empty where the answer shows none."""
    input_fields: tuple[str, ...] = ()
    output_fields: tuple[str, ...] = ()
    canvas_id: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole object."""


# --- reading -----------------------------------------------------------------------------------------


def get_flow(flow_id: str) -> Exchange[Flow]:
    """Read a flow: ``GET /flows/{id}/``."""
    response = yield Request(method="GET", path=_flow_path(flow_id))
    return replace(_flow(object_of(response), response), id=flow_id)


def find_flows(*, name: str, group: str | None = None, id_field: str = ID_FIELD) -> Exchange[list[Flow]]:
    """
    Return the flows of a name: ``GET /flows/?name__iexact=…&group__iexact=…``; none is no error.

    The answer is one object or a list (documented), or a page with ``results`` or ``content``. Entries of
    other names or groups are left out, so that a service which ignores the filter does no harm.

    :param name: in any case.
    :param group: in any case; None means all groups.
    :param id_field: where an entry shows its id.
    """
    if not (isinstance(name, str) and name.strip()):
        raise UnusableId(f"{name!r} is not a usable name of a flow")
    if group is not None and not (isinstance(group, str) and group.strip()):
        raise UnusableId(f"{group!r} is not a usable name of a group")
    query = query_of(name__iexact=name, group__iexact=group)
    response = yield Request(method="GET", path="/flows/", query=query)
    flows = [_flow(entry, response, id_field) for entry in _entries(response)]
    return [flow for flow in flows if _is(flow, name, group)]


def find_flow(
    *, name: str, group: str | None = None, needs_id: bool = False, id_field: str = ID_FIELD
) -> Exchange[Flow]:
    """
    Return the one flow of a name.

    :param name: in any case.
    :param group: in any case; None means that the name alone tells.
    :param needs_id: whether the next call needs the flow's id.
    :param id_field: where an entry shows its id.
    :raises FlowNotFound: if there is none; the message names the groups in which there is one.
    :raises FlowAmbiguous: if there are several; the message lists them.
    :raises FlowIdNotShown: if the answer shows no id although it is needed.
    """
    flows = yield from find_flows(name=name, group=group, id_field=id_field)
    if not flows:
        elsewhere = [] if group is None else (yield from find_flows(name=name, id_field=id_field))
        raise _none_found(name, group, elsewhere)
    if len(flows) > 1:
        raise _several_found(name, group, flows)
    if needs_id and not flows[0].id:
        raise FlowIdNotShown(
            f"the service shows no id ({id_field!r}) for the flow {name!r}, without which nothing can be "
            "done to the flow and its status cannot be asked"
        )
    return flows[0]


def check_name(name: str) -> None:
    """
    Return if a flow can be created under a name.

    :raises UnusableId: if it holds anything but letters A to Z, digits and underscores.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise UnusableId(
            f"a flow cannot be named {name!r}: its name takes letters A to Z, digits and underscores only"
        )


# --- changing ----------------------------------------------------------------------------------------


def create_flow(
    *,
    name: str,
    input_fields: Sequence[str] = (),
    output_fields: Sequence[str] = (),
    id_field: str = ID_FIELD,
) -> Exchange[Flow]:
    """
    Create a flow: ``POST /flows/``. What a name that is taken comes to is not documented.

    :param name: checked before anything is sent.
    :param input_fields: names of its input fields.
    :param output_fields: names of its output fields.
    :param id_field: where the answer shows the flow's id.
    :raises UnusableId: for a name or fields that cannot be; nothing was sent.
    :raises RequestRefused: if the service does not take it; the message says which field and why.
    """
    check_name(name)
    body = {
        "name": name,
        "input_fields": checked_fields(input_fields, "input_fields"),
        "output_fields": checked_fields(output_fields, "output_fields"),
    }
    response = yield Request(
        method="POST",
        path="/flows/",
        headers=content_type_header(JSON_TYPE),
        body=json_body(body, "the flow"),
        repeatable=False,
    )
    _check(response)
    return _flow(object_of(response), response, id_field)


def update_flow(
    flow_id: str, *, input_fields: Sequence[str] | None = None, output_fields: Sequence[str] | None = None
) -> Exchange[Flow]:
    """
    Replace a flow's fields: ``PUT /flows/{id}/``. Harmless to repeat.

    :param flow_id: of the flow.
    :param input_fields: names of its input fields; None keeps those that it has, which are read first.
    :param output_fields: names of its output fields; None keeps those that it has.
    :raises UnusableId: if nothing is to be replaced, fields cannot be, or those to be kept are not shown;
        nothing was changed.
    :raises RequestRefused: if the service does not take them; the message says which field and why.
    """
    if input_fields is None and output_fields is None:
        raise UnsendableValue(
            "neither input_fields nor output_fields is given, so there is nothing to replace"
        )
    given = {"input_fields": input_fields, "output_fields": output_fields}
    body = {key: checked_fields(value, key) for key, value in given.items() if value is not None}
    path = _flow_path(flow_id)
    if len(body) < len(given):
        present = yield from get_flow(flow_id)
        for key in given.keys() - body.keys():
            if present.raw.get(key) is None:
                # What is not shown is not known to be empty.
                raise UnsendableValue(
                    f"the answer about flow {flow_id!r} does not show its {key}, so that they cannot be "
                    f"kept; give {key} too"
                )
            body[key] = list(getattr(present, key))
    response = yield Request(
        method="PUT", path=path, headers=content_type_header(JSON_TYPE), body=json_body(body, "the flow")
    )
    _check(response)
    return replace(_flow(object_of(response), response), id=flow_id)


def delete_flow(flow_id: str) -> Exchange[None]:
    """
    Delete a flow: ``DELETE /flows/{id}/``.

    It is not repeated by itself, since after a lost answer the second one would say that there is no such
    flow.

    :raises NotFound: if there is no such flow.
    :raises FlowInUse: if apps or flows use it; the message lists them as the service does.
    """
    _check((yield Request(method="DELETE", path=_flow_path(flow_id), repeatable=False)))


def checked_fields(fields: Any, what: str) -> list[str]:
    """
    Return names of fields as a list.

    :param what: names the argument in messages.
    :raises UnsendableValue: if they are no list of names.
    """
    if not isinstance(fields, list | tuple) or not all(
        isinstance(name, str) and name.strip() for name in fields
    ):
        raise UnsendableValue(f"{what} takes a list of names")
    return list(fields)


# --- statuses ----------------------------------------------------------------------------------------


def get_status(flow_id: str) -> Exchange[str]:
    """
    Ask for a flow's status: ``GET /apps/{id}/status/``.

    :returns: one of :class:`~.ocp_status.FlowStatus`, else the service's own word.
    :raises NotFound: if there is no such flow.
    """
    raw = yield from _status(flow_id)
    return read_status(raw["status"])


def look(flow_id: str, *, terms: StatusTerms = DEFAULT_TERMS) -> Exchange[RunSnapshot]:
    """
    Ask for a flow's status as one looks at a run.

    :param terms: which status is waited for.
    """
    status = yield from get_status(flow_id)
    return RunSnapshot(execution_id=flow_id, status=status, phase=terms.phase_of(status))


def get_execution(flow_id: str, *, terms: StatusTerms = DEFAULT_TERMS) -> Exchange[Execution]:
    """
    Ask for a flow's status as one reads a run: in one request, so its name is not known.

    :param terms: which status is waited for.
    """
    raw = yield from _status(flow_id)
    status = read_status(raw["status"])
    return Execution(
        id=flow_id, status=status, phase=terms.phase_of(status), flow=Reference(id=flow_id), raw=raw
    )


def _status(flow_id: str) -> Exchange[Mapping[str, Any]]:
    response = yield Request(method="GET", path=f"/apps/{segment(flow_id)}/status/")
    raw = object_of(response)
    word = raw.get("status")
    if not isinstance(word, str) or not word.strip():
        raise unreadable(response, f"lacks a 'status'; it has {_keys(raw)}")
    return {**raw, "status": clean_text(word.strip())}


def probe(name: str) -> Exchange[Literal["looked", "told", "untold"]]:
    """
    Look a name up to see whether a connection works; no flow needs to have it.

    :returns: ``looked`` where the service answers with flows or none; ``told`` for a 404 with a reason, which
        a wrong address may have too; ``untold`` for a 404 without one.
    """
    response = yield Request(method="GET", path="/flows/", query=query_of(name__iexact=name))
    if response.status in {404, 410}:
        return "told" if error_text(response) else "untold"
    for entry in _entries(response):
        _flow(entry, response)
    return "looked"


# --- answers -----------------------------------------------------------------------------------------


def _flow_path(flow_id: str) -> str:
    return f"/flows/{segment(flow_id)}/"


def _flow(raw: Any, response: Response, id_field: str = ID_FIELD) -> Flow:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("name"), str) or not raw["name"]:
        shown = f"; it has {_keys(raw)}" if isinstance(raw, Mapping) else ""
        raise unreadable(response, f"has a flow without a 'name'{shown}")
    return Flow(
        id=identifier({"id": raw.get(id_field)}),
        name=clean_text(raw["name"]),
        group=_group(raw.get("group")),
        input_fields=_names(raw, "input_fields", response),
        output_fields=_names(raw, "output_fields", response),
        canvas_id=_text(raw.get("canvas_id")),
        raw=raw,
    )


def _group(value: Any) -> str:
    """Return a group's name: as it is, or out of an object."""
    if isinstance(value, Mapping):
        value = value.get("name")
    return _text(value)


def _text(value: Any) -> str:
    """Return a text; empty for anything else."""
    return clean_text(value) if isinstance(value, str) else ""


def _names(raw: Mapping[str, Any], key: str, response: Response) -> tuple[str, ...]:
    """Return an array of texts; what lacks it has none."""
    value = raw.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise unreadable(response, f"has {key!r} that is no array of texts")
    return tuple(clean_text(name) for name in value)


def _entries(response: Response) -> list[Any]:
    """Read what a name stands for: one object, a list, or a page of a list that has one page only."""
    if response.status in {404, 410}:
        return []
    raise_for_status(response)
    raw = response.json()
    if isinstance(raw, list):
        return raw
    if not isinstance(raw, Mapping):
        raise unreadable(response, f"is neither an object nor an array but {type(raw).__name__}")
    for key in _PAGE_KEYS:
        if isinstance(raw.get(key), list):
            if raw.get("next") or raw.get("last") is False:
                raise unreadable(response, "goes on on further pages, although it is about one name")
            entries: list[Any] = raw[key]
            return entries
    return [raw]


def _is(flow: Flow, name: str, group: str | None) -> bool:
    """Tell whether a flow is of a name, and of a group as far as its group is shown."""
    if flow.name.casefold() != name.casefold():
        return False
    return group is None or not flow.group or flow.group.casefold() == group.casefold()


def _none_found(name: str, group: str | None, elsewhere: Sequence[Flow]) -> FlowNotFound:
    if group is None:
        return FlowNotFound(f"no flow is named {name!r}")
    there = f"; those of the name are: {listed(elsewhere)}" if elsewhere else ", nor in any other group"
    return FlowNotFound(f"no flow is named {name!r} in the group {group!r}{there}")


def _several_found(name: str, group: str | None, flows: Sequence[Flow]) -> FlowAmbiguous:
    place = "" if group is None else f" in the group {group!r}"
    return FlowAmbiguous(f"{len(flows)} flows are named {name!r}{place}: {listed(flows)}")


def listed(flows: Sequence[Flow]) -> str:
    """Return flows for a message: ten of them at most."""
    shown = "; ".join(
        f"{flow.name!r} (group {flow.group or 'not shown'}, id {flow.id or 'not shown'})"
        for flow in flows[:_LISTED]
    )
    return f"{shown} and {len(flows) - _LISTED} more" if len(flows) > _LISTED else shown


def _keys(raw: Mapping[str, Any]) -> str:
    """Return an object's keys for a message."""
    shown = ", ".join(repr(clean_text(str(key))[:40]) for key in list(raw)[:_LISTED])
    return shown or "no keys"


# --- refusals ----------------------------------------------------------------------------------------


def _check(response: Response) -> None:
    """
    Return for any 2xx; else raise what the answer means, with what it says of single fields.

    :raises WireError: one of its kinds.
    """
    try:
        raise_for_status(response)
    except NotFound:
        raise
    except RequestRefused as error:
        _refuse(response, error)


def _refuse(response: Response, error: RequestRefused) -> NoReturn:
    said = "; ".join(part for part in (error_text(response), _field_text(response)) if part)
    if response.status == 409 and response.request.method == "DELETE":
        kind: type[RequestRefused] = FlowInUse
        said = said or "the flow is in use; the service does not say by what"
    else:
        kind = type(error)
    raise kind(error.message, status=error.status, retry_after=error.retry_after, detail=said) from None


def _field_text(response: Response) -> str:
    """Return what a body ``{field: [sentence, …]}`` says, as one line; empty for other bodies."""
    if not response.content_type.endswith("json"):
        return ""
    try:
        raw = json.loads(response.body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(raw, Mapping):
        return ""
    fields = {key: value for key, value in raw.items() if key not in _TOLD_BY_ALL}
    lines = list(_field_lines(fields))
    return error_text(replace(response, body=json.dumps(lines).encode()))


def _field_lines(raw: Any, place: str = "", depth: int = 0) -> Iterator[str]:
    if depth > _ERROR_DEPTH:
        return
    if isinstance(raw, str):
        yield f"{place}: {raw}" if place else raw
    elif isinstance(raw, list):
        for entry in raw:
            yield from _field_lines(entry, place, depth + 1)
    elif isinstance(raw, Mapping):
        for key, value in raw.items():
            yield from _field_lines(value, f"{place}.{key}" if place else str(key), depth + 1)
