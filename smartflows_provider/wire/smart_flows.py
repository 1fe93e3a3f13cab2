"""How Smart Flows (Xpertdoc, Experlogix Document Automation) speaks.

Every call of its REST API below ``/api/v1`` as an exchange: the requests it takes and what the answers
mean. Wire facts come from the vendor's page "Using the API" and its generated SDKs; where the vendor is
silent the reader accepts every safe form (any 2xx, plain arrays or page objects, error bodies as JSON,
HTML or nothing). Invariants: an unknown status word is kept as it came and is never a success; ids are
quoted into paths; only requests that do no harm twice are marked repeatable.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from smartflows_provider.wire.answers import identifier, object_of, raise_for_status, told, unreadable
from smartflows_provider.wire.documents import Document
from smartflows_provider.wire.errors import (
    FlowAmbiguous,
    FlowNotFound,
    UnreadableAnswer,
)
from smartflows_provider.wire.messages import (
    JSON_TYPE,
    Body,
    Exchange,
    Request,
    Response,
    content_type_header,
    json_body,
    query_of,
    segment,
    utf8,
)
from smartflows_provider.wire.run import Execution, Reference, RunPhase, RunSnapshot
from smartflows_provider.wire.smart_flows_forms import form_title
from smartflows_provider.wire.text import clean_text

API_PREFIX = "/api/v1"
KEY_HEADER = "X-API-Key"
XML_TYPE = 'application/xml; charset="utf-8"'

PAGE_SIZE = 100
"""Entries asked for per page of a list."""
DEFAULT_PAGE_SIZE = 20
"""Entries per page where the service is not asked for a number, so no page but the last is shorter."""
_FILTER_PATH = "/flows/executions/filter"
MAX_PAGES = 1000
"""Where a listing is given up, should a service have new pages for ever."""
NO_STATUS = "no status"
"""Stands in a list for the status of an execution that has none; whoever needs it asks for the execution."""


class ExecutionStatus(StrEnum):
    """The status words of a flow execution, as the vendor's SDK spells them."""

    QUEUED = "Queued"
    RUNNING = "Running"
    WAITING = "Waiting"
    USER_INPUT = "UserInput"
    SUCCESS = "Success"
    WARNING = "Warning"
    ERROR = "Error"
    CANCELED = "Canceled"
    SELECT_FLOW = "SelectFlow"
    INTERRUPTED = "Interrupted"


_PHASES: Mapping[str, RunPhase] = {
    ExecutionStatus.QUEUED: RunPhase.ACTIVE,
    ExecutionStatus.RUNNING: RunPhase.ACTIVE,
    ExecutionStatus.WAITING: RunPhase.ACTIVE,
    ExecutionStatus.USER_INPUT: RunPhase.NEEDS_PERSON,
    ExecutionStatus.SELECT_FLOW: RunPhase.NEEDS_PERSON,
    ExecutionStatus.SUCCESS: RunPhase.SUCCEEDED,
    ExecutionStatus.WARNING: RunPhase.WARNED,
    ExecutionStatus.ERROR: RunPhase.FAILED,
    ExecutionStatus.CANCELED: RunPhase.CANCELED,
    ExecutionStatus.INTERRUPTED: RunPhase.INTERRUPTED,
}
_WORDS = {status.lower(): status for status in ExecutionStatus}
_WORD_LENGTH = 100
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def read_status(word: str) -> str:
    """
    Return a status word in its documented spelling.

    The manuals print ``User input`` where the wire has ``UserInput``; case and spaces are ignored. A word
    that is not documented is returned as it came.
    """
    return _WORDS.get("".join(word.split()).lower(), clean_text(word)[:_WORD_LENGTH])


def phase_of(status: str) -> RunPhase:
    """Return what a status word means to a waiter; ``RunPhase.UNKNOWN`` for an undocumented one."""
    return _PHASES.get(read_status(status), RunPhase.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class User:
    """The user whose rights the key carries."""

    id: str
    name: str
    raw: Mapping[str, Any]


Operator = Literal[
    "between", "notBetween", "equalTo", "notEqualTo", "like", "notLike", "greaterThan", "lessThan",
    "greaterThanOrEqualTo", "lessThanOrEqualTo", "isTrue", "isFalse", "isBlank", "notIsBlank", "in",
    "isNull", "isNotNull",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of a filter."""

    key: str
    operator: Operator
    values: Sequence[str] = ()

    def as_node(self) -> dict[str, Any]:
        """Return the condition as a node of the filter object."""
        return {"condition": {"key": self.key, "operator": self.operator, "values": list(self.values)}}


def all_of(*conditions: Condition) -> dict[str, Any]:
    """Return the filter node that all conditions must meet."""
    if len(conditions) == 1:
        return conditions[0].as_node()
    return {"group": {"type": "and", "nodes": [condition.as_node() for condition in conditions]}}


# --- calls -------------------------------------------------------------------------------------------


def start(
    *,
    flow_id: str | None = None,
    dataset_id: str | None = None,
    body: Body | None = None,
    content_type: str | None = None,
) -> Exchange[RunSnapshot]:
    """
    Start an execution: ``POST /flows/executions``.

    :param flow_id: the flow; None opens an execution in status ``SelectFlow``.
    :param dataset_id: the plug-in's data set, for input of plug-in records.
    :param body: none, XML, or the plug-in's JSON.
    :param content_type: of the body; required with one.
    :returns: the first progress.
    :raises ValueError: if a body comes without its content type.
    """
    request = Request(
        method="POST",
        path="/flows/executions",
        query=query_of(flowId=flow_id, datasetId=dataset_id),
        headers=_input_headers(body, content_type),
        body=body,
        repeatable=False,
    )
    return _read_progress((yield request))


def start_unattended(
    *, flow: str, body: Body | None = None, content_type: str | None = None
) -> Exchange[Execution]:
    """
    Start an execution that never asks anybody: ``POST /flows/executions/start``.

    Form fields take their defaults.

    :param flow: id or name of the flow.
    :param body: the input, if the flow takes one.
    :param content_type: of the body; required with one.
    :returns: the execution.
    :raises ValueError: if a body comes without its content type.
    """
    request = Request(
        method="POST",
        path="/flows/executions/start",
        query=query_of(flow=flow),
        headers=_input_headers(body, content_type),
        body=body,
        repeatable=False,
    )
    return _read_execution((yield request))


def start_flow(
    flow: str | None,
    *,
    body: Body | None = None,
    content_type: str | None = None,
    unattended: bool = False,
    dataset_id: str | None = None,
) -> Exchange[RunSnapshot]:
    """
    Start an execution of a flow named by id or name, attended or not.

    A name is looked up for both ways, so that a wrong or an ambiguous one is the same clear error.

    :param flow: id or name; None opens an execution in status ``SelectFlow``.
    :raises ValueError: as :func:`start_flow_by_id`, before the look-up.
    """
    _check_start(flow, body=body, content_type=content_type, unattended=unattended, dataset_id=dataset_id)
    flow_id = None if flow is None else (yield from find_flow(flow)).id
    return (
        yield from start_flow_by_id(
            flow_id, body=body, content_type=content_type, unattended=unattended, dataset_id=dataset_id
        )
    )


def start_flow_by_id(
    flow_id: str | None,
    *,
    body: Body | None = None,
    content_type: str | None = None,
    unattended: bool = False,
    dataset_id: str | None = None,
) -> Exchange[RunSnapshot]:
    """
    Start an execution of a flow whose id is known: one request and no look-up.

    :param flow_id: None opens an execution in status ``SelectFlow``.
    :param dataset_id: goes with attended starts only.
    :raises ValueError: if ``unattended`` comes without a flow or with ``dataset_id``, or a body without its
        content type.
    """
    _check_start(flow_id, body=body, content_type=content_type, unattended=unattended, dataset_id=dataset_id)
    if unattended and flow_id is not None:
        execution = yield from start_unattended(flow=flow_id, body=body, content_type=content_type)
        return RunSnapshot(execution_id=execution.id, status=execution.status, phase=execution.phase)
    return (yield from start(flow_id=flow_id, dataset_id=dataset_id, body=body, content_type=content_type))


def _check_start(
    flow: str | None,
    *,
    body: Body | None,
    content_type: str | None,
    unattended: bool,
    dataset_id: str | None,
) -> None:
    _input_headers(body, content_type)
    if unattended and (flow is None or dataset_id is not None):
        raise ValueError("an unattended start needs a flow and takes no dataset_id")


def progress(execution_id: str, *, hold_seconds: float | None = None) -> Exchange[RunSnapshot]:
    """
    Ask how far an execution is: ``GET /flows/executions/{id}/progress``.

    :param hold_seconds: how long the service may keep its answer back (query ``timeout``), rounded up to
        whole seconds. None leaves the choice to the service; what it takes zero for is not documented. A
        service that rejects the parameter is asked again without it, and the snapshot says so in
        ``hold_refused``.
    """
    path = f"/flows/executions/{segment(execution_id)}/progress"
    if hold_seconds is not None:
        # A fraction must not become a zero.
        whole = math.ceil(hold_seconds)
        response = yield Request(
            method="GET", path=path, query=query_of(timeout=str(whole)), hold_seconds=float(whole)
        )
        if response.status not in {400, 422}:
            return _read_progress(response)
    # The service holds an answer for 30 s where the parameter is missing.
    response = yield Request(method="GET", path=path, hold_seconds=30.0)
    return _read_progress(response, hold_refused=hold_seconds is not None)


def find_progress(execution_ids: Sequence[str]) -> Exchange[dict[str, RunSnapshot]]:
    """
    Ask for the statuses of many executions at once: ``POST /flows/executions/filter`` with ``id`` ``in``.

    That ``id`` is a key of the filter is inferred from the vendor's SDK, not documented.

    :param execution_ids: which; each once.
    :returns: what was found, by id; an execution without a status counts as not found.
    :raises UnreadableAnswer: if the answer holds executions that were not asked for, so that the service does
        not filter by id.
    """
    where = Condition(key="id", operator="in", values=tuple(execution_ids)).as_node()
    count = len(execution_ids)
    executions = yield from find_executions(where=where, limit=count, page_size=count)
    foreign = {execution.id for execution in executions} - set(execution_ids)
    if foreign:
        raise UnreadableAnswer(
            f"the answer to POST {_FILTER_PATH} names {len(foreign)} executions that were not asked for",
            status=200,
        )
    return {
        execution.id: RunSnapshot(execution_id=execution.id, status=execution.status, phase=execution.phase)
        for execution in executions
        if execution.status != NO_STATUS
    }


def answer_form(execution_id: str, values: Mapping[str, Any]) -> Exchange[RunSnapshot]:
    """
    Answer the form of an execution in ``UserInput``; it then resumes: ``POST …/progress``.

    :param values: ``{form key: value}``; fields left out are left empty.
    """
    request = Request(
        method="POST",
        path=f"/flows/executions/{segment(execution_id)}/progress",
        headers=content_type_header(JSON_TYPE),
        body=json_body(values, "the answer to the form"),
        repeatable=False,
    )
    return _read_progress((yield request))


def cancel(execution_id: str) -> Exchange[RunSnapshot | None]:
    """
    Cancel an execution: ``DELETE …/progress``, or ``DELETE /flows/executions/{id}`` where that is missing.

    The vendor's pages and its SDKs disagree on the address, so the second is tried after 404 or 405.
    Harmless to repeat.

    :returns: the progress, or None where the service answered without one.
    :raises NotFound: if no address that is offered knows such an execution.
    """
    path = f"/flows/executions/{segment(execution_id)}"
    response = yield Request(method="DELETE", path=f"{path}/progress")
    if response.status in {404, 405}:
        other = yield Request(method="DELETE", path=path)
        # An address that is not offered (405) tells nothing about the execution, so the first answer holds.
        response = response if other.status == 405 and response.status == 404 else other
    raise_for_status(response)
    return _read_progress(response) if response.body.strip() else None


def get_execution(execution_id: str) -> Exchange[Execution]:
    """Read an execution with its ``state`` (input, output, stages, report): ``GET …/{id}``."""
    return _read_execution((yield Request(method="GET", path=f"/flows/executions/{segment(execution_id)}")))


def get_outputs(execution_id: str, *, output: str | None = None) -> Exchange[Execution]:
    """
    Read an execution with its ``outputs``: ``GET /flows/executions/{id}/status``.

    :param output: id or name of one flow output; None brings all.
    """
    path = f"/flows/executions/{segment(execution_id)}/status"
    return _read_execution((yield Request(method="GET", path=path, query=query_of(output=output))))


def find_executions(
    *,
    flow: str | None = None,
    where: Mapping[str, Any] | None = None,
    sort: str = "createdAt,desc",
    limit: int | None = None,
    until: Callable[[Execution], bool] | None = None,
    page_size: int = PAGE_SIZE,
) -> Exchange[list[Execution]]:
    """
    List executions, page by page.

    :param flow: id of a flow whose executions are meant (``GET /flows/{flow}/executions``).
    :param where: a filter node, see :func:`all_of` (``POST /flows/executions/filter``); not together
        with ``flow``.
    :param sort: ``field,asc`` or ``field,desc``.
    :param limit: stop after so many; None brings all.
    :param until: stop after a page on which this holds for every execution, as one that is too old does.
    :param page_size: entries to ask for per page.
    :raises ValueError: if both ``flow`` and ``where`` are given.
    """
    if flow is not None and where is not None:
        raise ValueError(
            "executions are listed by flow or by filter, not by both: put the flow in the filter"
        )
    path = "/flows/executions" if flow is None else f"/flows/{segment(flow)}/executions"

    def page(number: int, size: int) -> Request:
        query = query_of(page=str(number), size=str(size), sort=sort)
        if where is None:
            return Request(method="GET", path=path, query=query)
        return Request(
            method="POST",
            path=_FILTER_PATH,
            query=query,
            headers=content_type_header(JSON_TYPE),
            body=json_body(where, "the filter"),
        )

    def read(entry: Any) -> Execution:
        return _execution(entry, word=_status_word(entry) or NO_STATUS)

    def is_last(entries: list[Mapping[str, Any]]) -> bool:
        return until is not None and all(until(read(entry)) for entry in entries)

    found = yield from _all_pages(page, limit=limit, size=page_size, is_last=is_last)
    return [read(entry) for entry in found]


def send_event(
    callback_id: str, *, execution_id: str | None = None, text: str | None = None
) -> Exchange[Any]:
    """
    Resume an execution in ``Waiting``: ``POST /flows/callback/{callbackId}``.

    :param execution_id: which execution, where the callback is shared.
    :param text: what the flow gets to read.
    :returns: the service's answer, decoded where it is JSON, else None.
    """
    request = Request(
        method="POST",
        path=f"/flows/callback/{segment(callback_id)}",
        query=query_of(executionId=execution_id),
        headers=content_type_header('text/plain; charset="utf-8"') if text is not None else (),
        body=utf8(text, "the event's text") if text is not None else None,
        repeatable=False,
    )
    response = yield request
    raise_for_status(response)
    return response.json() if response.content_type.endswith("json") and response.body.strip() else None


def list_flows(*, limit: int | None = None) -> Exchange[list[Reference]]:
    """List the project's flows: ``GET /flows``."""
    found = yield from _all_pages(
        lambda number, size: Request(
            method="GET", path="/flows", query=query_of(page=str(number), size=str(size))
        ),
        limit=limit,
    )
    return [flow for flow in map(_reference, found) if flow is not None]


def get_flow(flow: str) -> Exchange[Reference]:
    """Read one flow: ``GET /flows/{flow}``."""
    response = yield Request(method="GET", path=f"/flows/{segment(flow)}")
    found = _reference(object_of(response))
    if found is None:
        raise unreadable(response, "lacks an 'id'")
    return found


def find_flow(flow: str) -> Exchange[Reference]:
    """
    Return the one flow that an id or a name means.

    An id (a GUID) is taken as it is, without a call. A name is looked up, because ids differ between
    environments; only an exact match counts.

    :raises FlowNotFound: if no flow has the name; the message lists names that come close.
    :raises FlowAmbiguous: if several have it; the message lists their ids.
    """
    if is_flow_id(flow):
        return Reference(id=flow)
    return flow_among((yield from list_flows()), flow)


def is_flow_id(flow: str) -> bool:
    """Tell whether a text is a flow's id, and not a name that has to be looked up."""
    return _GUID.fullmatch(flow) is not None


def flow_among(flows: Sequence[Reference], flow: str) -> Reference:
    """
    Return the one of some flows that an id or a name means.

    :param flows: as :func:`list_flows` brings them.
    :raises FlowNotFound: as :func:`find_flow`.
    :raises FlowAmbiguous: as :func:`find_flow`.
    """
    by_id = [one for one in flows if flow and one.id == flow]
    matches = by_id or [one for one in flows if flow and one.name == flow]
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(one.id for one in matches)
        raise FlowAmbiguous(f"{len(matches)} flows are named {flow!r}: {ids}. Name the flow by its id.")
    raise FlowNotFound(f"no flow is named {flow!r}. {_flows_there_are(flow, flows)}")


_NAMES_SHOWN = 10


def _flows_there_are(wanted: str, flows: Sequence[Reference]) -> str:
    """Return a sentence with the names of flows, those that come close to the wanted one if there are any."""
    names = sorted({one.name for one in flows if one.name})
    folded = wanted.casefold()
    names = [name for name in names if folded in name.casefold() or name.casefold() in folded] or names
    if not names:
        return "The key sees no flow at all."
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"Flows that the key can see: {', '.join(map(repr, names[:_NAMES_SHOWN]))}{more}."


def get_document(document_id: str) -> Exchange[Document]:
    """Read a document's metadata: ``GET /documents/{id}``."""
    response = yield Request(method="GET", path=f"/documents/{segment(document_id)}")
    raw = object_of(response)
    found = identifier(raw)
    if not found:
        raise unreadable(response, "lacks an 'id'")
    return Document(
        id=found,
        name=told(raw, "displayName") or found,
        content_type=told(raw, "contentType"),
        raw=raw,
    )


def document_content(document_id: str) -> Request:
    """
    Return the request for a document's bytes, ``GET /documents/{id}/content``, to be streamed.

    It asks for them unpacked: most documents are packed by themselves, and only so is their size announced.
    """
    path = f"/documents/{segment(document_id)}/content"
    return Request(method="GET", path=path, headers=(("Accept", "*/*"), ("Accept-Encoding", "identity")))


def current_user() -> Exchange[User]:
    """Read whose rights the key carries: ``GET /users/me``. Needs a valid key, so it tests one."""
    response = yield Request(method="GET", path="/users/me")
    raw = object_of(response)
    name = next((raw[key] for key in ("displayName", "userName", "name", "email") if raw.get(key)), "")
    return User(id=str(raw.get("id", "")), name=clean_text(str(name)), raw=raw)


def public_settings() -> Exchange[Mapping[str, Any]]:
    """Read ``projectId``, ``projectConsoleUrl``, ``flowExecutionPanelUrl``: ``GET /settings/public``."""
    return object_of((yield Request(method="GET", path="/settings/public")))


def system_info() -> Exchange[Mapping[str, Any]]:
    """Read the server's version: ``GET /system/info``."""
    return object_of((yield Request(method="GET", path="/system/info")))


# --- answers -----------------------------------------------------------------------------------------


def _read_progress(response: Response, *, hold_refused: bool = False) -> RunSnapshot:
    raw = object_of(response)
    execution_id, word = identifier(raw), _status_word(raw)
    if not execution_id or not word:
        raise unreadable(response, "lacks 'id' or 'status'")
    status = read_status(word)
    phase = _PHASES.get(status, RunPhase.UNKNOWN)
    form = {key: raw[key] for key in ("schema", "form", "model") if raw.get(key)}
    return RunSnapshot(
        execution_id=execution_id,
        status=status,
        phase=phase,
        percentage=_percentage(raw.get("percentage")),
        message=told(raw, "message"),
        form=form if phase is RunPhase.NEEDS_PERSON else {},
        asks=_asked(status, form) if phase is RunPhase.NEEDS_PERSON else "",
        hold_refused=hold_refused,
    )


def _asked(status: str, form: Mapping[str, Any]) -> str:
    return "which flow to run" if status == ExecutionStatus.SELECT_FLOW else form_title(form)


def _percentage(value: Any) -> int | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    return int(value) if usable else None


def _read_execution(response: Response) -> Execution:
    raw = object_of(response)
    word = _status_word(raw)
    if not word or not identifier(raw):
        raise unreadable(response, "lacks 'id' or 'status'")
    return _execution(raw, word=word)


def _status_word(raw: Mapping[str, Any]) -> str:
    """Return an object's status word, empty where it has none."""
    word = raw.get("status")
    return word if isinstance(word, str) and word.strip() else ""


def _execution(raw: Mapping[str, Any], *, word: str) -> Execution:
    """Return an object that has an id as an execution in a status."""
    return Execution(
        id=identifier(raw),
        status=read_status(word),
        phase=phase_of(word),
        flow=_reference(raw.get("flow")) or Reference(id=""),
        created_at=told(raw, "createdAt"),
        modified_at=told(raw, "modifiedAt"),
        created_by=_reference(raw.get("createdBy")),
        raw=raw,
    )


def _reference(raw: Any) -> Reference | None:
    found = identifier(raw)
    if not found:
        return None
    return Reference(id=found, name=told(raw, "displayName") or told(raw, "name"))


def _entries(response: Response) -> list[Mapping[str, Any]]:
    """Read a list: a plain array (SDK), or a page object with ``content``; each entry has an id."""
    raise_for_status(response)
    raw = response.json()
    entries = raw.get("content") if isinstance(raw, Mapping) else raw
    if not isinstance(entries, list):
        raise unreadable(response, "is neither an array nor a page with 'content'")
    if not all(map(identifier, entries)):
        # Left out, they would be missing where it counts that a list is whole.
        raise unreadable(response, "has an entry without an 'id'")
    return entries


def _all_pages(
    page: Callable[[int, int], Request],
    *,
    limit: int | None,
    size: int = PAGE_SIZE,
    is_last: Callable[[list[Mapping[str, Any]]], bool] = lambda _: False,
) -> Generator[Request, Response, list[Mapping[str, Any]]]:
    """
    Collect a list over its pages.

    The last page is one that brings nothing new (also where a service ignores paging and repeats itself),
    or is shorter than the pages before it. A first page with fewer entries than were asked for may come
    from a service with a limit of its own, and is the last only if it is shorter than any such limit.

    :param size: entries to ask for per page.
    :param is_last: tells of a page's entries whether no later page matters.
    :raises UnreadableAnswer: if an entry has no id, or the list has no end.
    """
    size = size if limit is None else min(size, max(limit, 1))
    found: dict[str, Mapping[str, Any]] = {}
    full = min(size, DEFAULT_PAGE_SIZE)
    for number in range(MAX_PAGES):
        response = yield page(number, size)
        entries = _entries(response)
        fresh = {key: entry for entry in entries if (key := identifier(entry)) not in found}
        found.update(fresh)
        enough = limit is not None and len(found) >= limit
        if len(entries) < full or not fresh or enough or is_last(entries):
            return list(found.values())[:limit]
        full = max(full, len(entries))
    raise unreadable(
        response,
        f"still goes on after {MAX_PAGES:,} pages with {len(found):,} entries; narrow it, or limit it",
    )


def _input_headers(body: Body | None, content_type: str | None) -> tuple[tuple[str, str], ...]:
    if body is None:
        return ()
    if not content_type:
        raise ValueError("a body needs a content_type")
    return content_type_header(content_type)
