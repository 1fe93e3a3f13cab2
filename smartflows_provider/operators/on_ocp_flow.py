"""What operators do with OCP flows.

Apart from the operators' arguments, so that a DAG parse does not load it. Invariants: a flow is created only
where a look-up has just found none of its name; a creation or a deletion whose answer is lost is not sent
again before the platform was asked what became of it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NoReturn

from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowException,
    FlowNotFoundError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.hooks.translation import NOTHING_DONE, NOTHING_SENT, may_be_taken, translate
from smartflows_provider.operators.arguments import text_argument
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.wire.errors import (
    NotFound,
    UnusableId,
    WireError,
)
from smartflows_provider.wire.ocp import Flow, check_name, delete_flow, get_flow, listed

if TYPE_CHECKING:
    from smartflows_provider.exceptions import RunIdentity
    from smartflows_provider.hooks.ocp import OcpHook
    from smartflows_provider.operators.ocp import (
        OcpCreateFlowOperator,
        OcpDeleteFlowOperator,
        OcpGetFlowOperator,
        OcpUpdateFlowOperator,
    )

LOOK_AFTER = (0.0, 1.0, 3.0)
"""Seconds before each look at what became of a request whose answer was lost; the platform may be at it."""


def get_flow_for(operator: OcpGetFlowOperator) -> dict[str, Any]:
    """Return the operator's flow."""
    with operator.hook as hook:
        if operator.flow_id is not None:
            return _shown(hook.get_flow(_flow_id(hook, operator)))
        return _shown(hook.find_flow(**_named(hook, operator)))


def update_flow_for(operator: OcpUpdateFlowOperator) -> dict[str, Any]:
    """Replace the fields of the operator's flow, and return it."""
    with operator.hook as hook:
        fields = _fields(operator, where=hook.identity())
        return _shown(hook.update_flow(_flow_id(hook, operator), **fields))


def delete_flow_for(operator: OcpDeleteFlowOperator) -> dict[str, Any]:
    """
    Delete the operator's flow.

    :raises FlowNotFoundError: if there is none and the operator does not allow for that.
    """
    flow_id: str | None = None
    with operator.hook as hook:
        try:
            flow_id = _flow_id(hook, operator)
            _delete(hook, flow_id, operator)
        except FlowNotFoundError as missing:
            if operator.if_missing == "fail":
                raise
            operator.log.info("There is nothing to delete: %s", missing.what)
            return {"flow_id": flow_id, "deleted": False}
    operator.log.info("Flow %s was deleted.", flow_id)
    return {"flow_id": flow_id, "deleted": True}


def create_flow_for(operator: OcpCreateFlowOperator) -> dict[str, Any]:
    """
    Create the operator's flow, unless there is one of its name.

    :raises FlowRequestRefusedError: if there is one and the operator does not allow for that.
    """
    with operator.hook as hook:
        name = text_argument(operator.name, "name", where=hook.identity())
        where = hook.identity(flow=name)
        try:
            check_name(name)
        except UnusableId as error:
            raise translate(error, where=where) from None
        fields = _fields(operator, where=where)
        there = hook.find_flows(name=name)
        if there:
            return _there_already(hook, operator, name, fields, there)
        flow = _create(hook, operator, name, fields)
    operator.log.info("Flow %r was created%s.", name, f" with the id {flow.id}" if flow.id else "")
    return {**_shown(flow), "action": "created"}


# --- creating ----------------------------------------------------------------------------------------


def _there_already(
    hook: OcpHook,
    operator: OcpCreateFlowOperator,
    name: str,
    fields: dict[str, list[str] | None],
    there: list[Flow],
) -> dict[str, Any]:
    """Return what is there, brought up to date where the operator asks for that."""
    if operator.if_exists == "fail":
        raise FlowRequestRefusedError(
            f"There is a flow of this name already, and if_exists='fail': {listed(there)}.",
            where=hook.identity(flow=name),
            fate=NOTHING_DONE,
            advice="Take another name, delete that flow, or set if_exists to 'skip' or 'update'. It may be "
            "of an earlier attempt of this task that ended before it could say so.",
        )
    updates = operator.if_exists == "update"
    # Asked again, because only a single one will do, and with its id where it is to be changed.
    flow = there[0] if len(there) == 1 and not updates else hook.find_flow(name=name, needs_id=updates)
    if not updates or _has(flow, fields):
        operator.log.info("There is a flow %r already; it is left as it is.", name)
        return {**_shown(flow), "action": "skipped"}
    changed = hook.update_flow(flow.id, **fields)
    operator.log.info("There is a flow %r already; its fields were replaced.", name)
    return {**_shown(changed), "action": "updated"}


def _create(
    hook: OcpHook, operator: OcpCreateFlowOperator, name: str, fields: dict[str, list[str] | None]
) -> Flow:
    inputs, outputs = fields["input_fields"] or [], fields["output_fields"] or []
    try:
        return hook.client.run(hook.creation(name, inputs, outputs))
    except (WireError, TransportError) as error:
        if not may_be_taken(error):
            raise translate(error, where=hook.identity(flow=name)) from None
        lost = error
    operator.log.warning("Whether flow %r was created is open: %s. Looking for it.", name, lost)
    there, doubt = _look_for(hook, name)
    wanted = {"input_fields": inputs, "output_fields": outputs}
    if len(there) == 1 and _has(there[0], wanted):
        return there[0]
    where = hook.identity(flow=name)
    if there:
        raise FlowSubmissionUnclearError(
            f"It is open whether this task has created the flow: {lost}",
            where=where,
            fate=f"There was none of the name before; now there are: {listed(there)}, but not one alone with "
            "the fields that were asked for.",
            advice="Look whose they are; then delete what is too many, or set if_exists, and clear the task.",
        )
    raise FlowServiceError(
        f"It is open whether the flow was created: {lost}",
        where=where,
        fate=doubt or "The platform was asked several times since and has no flow of the name.",
        advice="A retry looks for the flow before it creates one; with if_exists='skip' or 'update' it goes "
        "on with one that has come meanwhile.",
    )


def _look_for(hook: OcpHook, name: str) -> tuple[list[Flow], str]:
    """Return the flows of a name as soon as there are any; else none, and why that is not certain."""
    doubt = ""
    for pause in LOOK_AFTER:
        time.sleep(pause)
        try:
            there = hook.find_flows(name=name)
        except FlowException as error:
            doubt = f"The platform could not be asked for it: {error.what}"
            continue
        doubt = ""
        if there:
            return there, ""
    return [], doubt


# --- deleting ----------------------------------------------------------------------------------------


def _delete(hook: OcpHook, flow_id: str, operator: OcpDeleteFlowOperator) -> None:
    try:
        hook.client.run(delete_flow(flow_id))
    except (WireError, TransportError) as error:
        if not may_be_taken(error):
            raise translate(error, where=hook.identity(flow=flow_id)) from None
        lost = error
    else:
        return
    operator.log.warning("Whether flow %s was deleted is open: %s. Looking for it.", flow_id, lost)
    fate = ""
    for pause in LOOK_AFTER:
        time.sleep(pause)
        try:
            hook.client.run(get_flow(flow_id))
            fate = "The flow is still there."
        except NotFound:
            return
        except (WireError, TransportError) as error:
            fate = f"The platform could not be asked whether it is still there: {error}"
    _still_there(hook, flow_id, lost, fate)


def _still_there(hook: OcpHook, flow_id: str, lost: WireError | TransportError, fate: str) -> NoReturn:
    raise FlowServiceError(
        f"It is open whether the flow was deleted: {lost}",
        where=hook.identity(flow=flow_id),
        fate=fate,
        advice="A retry deletes it; with if_missing='skip' it also succeeds where the flow is gone by then.",
    )


# --- arguments ---------------------------------------------------------------------------------------


def find_flow_id(hook: OcpHook, *, flow_id: Any, name: Any, group: Any) -> str:
    """
    Return the id of the flow that a task is about.

    :param hook: the connection.
    :param flow_id: as the task's author names it; None where the name counts.
    :param name: in any case.
    :param group: in any case; None means that the name alone tells.
    :raises FlowNotFoundError: if no flow has the name; no retry helps.
    :raises FlowAmbiguousError: if several have it; no retry helps.
    :raises FlowConfigurationError: for an argument that cannot be, or where no id is shown; no retry helps.
    """
    if flow_id is not None:
        return text_argument(flow_id, "flow_id", where=hook.identity())
    where = hook.identity()
    wanted = text_argument(name, "name", where=where)
    within = None if group is None else text_argument(group, "group", where=where)
    return hook.find_flow(name=wanted, group=within, needs_id=True).id


def _flow_id(hook: OcpHook, operator: Any) -> str:
    return find_flow_id(hook, flow_id=operator.flow_id, name=operator.name, group=operator.group)


def _named(hook: OcpHook, operator: OcpGetFlowOperator) -> dict[str, Any]:
    where = hook.identity()
    group = None if operator.group is None else text_argument(operator.group, "group", where=where)
    return {"name": text_argument(operator.name, "name", where=where), "group": group}


def _fields(
    operator: OcpCreateFlowOperator | OcpUpdateFlowOperator, *, where: RunIdentity
) -> dict[str, list[str] | None]:
    """Return the operator's lists of fields; None for one that is not given."""
    return {name: _names(getattr(operator, name), name, where) for name in ("input_fields", "output_fields")}


def _names(value: Any, name: str, where: RunIdentity) -> list[str] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = ""
    if value is None:
        return None
    if isinstance(value, list | tuple) and all(isinstance(one, str) and one.strip() for one in value):
        return list(value)
    raise FlowConfigurationError(
        f"The argument {name} is no list of names.",
        where=where,
        fate=NOTHING_SENT,
        advice="Give a list, or JSON text of one; look at what its template renders to, under Rendered "
        "Templates.",
    )


# --- answers -----------------------------------------------------------------------------------------


def _shown(flow: Flow) -> dict[str, Any]:
    return {
        "flow_id": flow.id or None,
        "name": flow.name,
        "group": flow.group or None,
        "input_fields": list(flow.input_fields),
        "output_fields": list(flow.output_fields),
        "canvas_id": flow.canvas_id or None,
    }


def _has(flow: Flow, fields: dict[str, list[str] | None] | dict[str, list[str]]) -> bool:
    """Tell whether a flow is seen to have the fields, as far as they are given; what is not shown is not."""
    return all(
        value is None or (flow.raw.get(name) is not None and value == list(getattr(flow, name)))
        for name, value in fields.items()
    )
