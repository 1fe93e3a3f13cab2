"""Which executions might be the one whose start was never answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smartflows_provider.wire.smart_flows import Execution, find_executions, read_moment

if TYPE_CHECKING:
    from smartflows_provider.hooks.smart_flows import SmartFlowsHook

CLOCK_TOLERANCE = 60.0
"""Seconds by which the service's clock may be behind this machine's."""
MOST = 20


def executions_since(hook: SmartFlowsHook, flow_id: str | None, since: float) -> list[str]:
    """
    Describe the executions that were created since a moment, the newest first, a line each.

    :param hook: the connection.
    :param flow_id: the flow; None looks at all flows.
    :param since: epoch seconds.
    :raises WireError: as the call does. :raises TransportError: as the call does.
    """
    found = hook.client.run(find_executions(flow=flow_id, limit=100))
    recent = [one for one in found if _created(one) >= since - CLOCK_TOLERANCE]
    lines = [f"{one.id}, {one.status}, created {one.created_at or 'at an unknown time'}" for one in recent]
    more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return lines[:MOST] + more


def _created(execution: Execution) -> float:
    """Return when an execution was created; one that does not tell may be recent."""
    created = read_moment(execution.created_at)
    return float("inf") if created is None else created
