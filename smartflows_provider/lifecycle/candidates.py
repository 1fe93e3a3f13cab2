"""Which executions might be the one whose start was never answered, and which one proves to be it.

Invariants: only a value of ours that an execution echoes is proof; the same flow and the same second prove
nothing, as hundreds of mapped tasks may start one flow at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from smartflows_provider.lifecycle.run_request import Candidate
from smartflows_provider.wire.answers import read_moment
from smartflows_provider.wire.errors import NotFound
from smartflows_provider.wire.run import Execution, RunSnapshot
from smartflows_provider.wire.smart_flows import find_executions, get_execution

if TYPE_CHECKING:
    from smartflows_provider.hooks.smart_flows import SmartFlowsHook

CLOCK_TOLERANCE = 60.0
"""Seconds by which the service's clock may be behind this machine's."""
MOST_READ = 500
"""How many are read in search of a value of ours."""


def executions_since(hook: SmartFlowsHook, flow_id: str | None, since: float) -> list[Execution]:
    """
    Return the executions that were created since a moment, those nearest to it first.

    :param hook: the connection.
    :param flow_id: the flow; None looks at all flows.
    :param since: epoch seconds.
    :raises WireError: as the call does. :raises TransportError: as the call does.
    """
    earliest = since - CLOCK_TOLERANCE
    found = hook.client.run(find_executions(flow=flow_id, until=lambda one: _created(one) < earliest))
    recent = [one for one in found if _created(one) >= earliest]
    return sorted(recent, key=lambda one: abs(_created(one) - since))


def candidates(executions: list[Execution]) -> list[Candidate]:
    """Return what a message tells of executions that may be the one that was started."""
    return [
        Candidate(
            text=f"{one.id}, {one.status}, created {one.created_at or 'at an unknown time'}", phase=one.phase
        )
        for one in executions
    ]


def proven(hook: SmartFlowsHook, executions: list[Execution], correlation: str) -> list[RunSnapshot]:
    """
    Return those executions whose input holds a value of ours.

    How the service shows an execution's input is its own affair: the value is looked for anywhere in it.

    :param executions: candidates; the first :data:`MOST_READ` are read.
    :param correlation: the value, unlike any other.
    :raises WireError: as the calls do. :raises TransportError: as the calls do.
    """
    found = []
    for candidate in executions[:MOST_READ]:
        try:
            execution = hook.client.run(get_execution(candidate.id))
        except NotFound:
            continue
        state = execution.raw.get("state")
        if isinstance(state, dict) and correlation in json.dumps(state.get("inputData")):
            found.append(
                RunSnapshot(execution_id=execution.id, status=execution.status, phase=execution.phase)
            )
    return found


def _created(execution: Execution) -> float:
    """Return when an execution was created; one that does not tell may be recent."""
    created = read_moment(execution.created_at)
    return float("inf") if created is None else created
