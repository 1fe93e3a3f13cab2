"""Many starts through one client, in a process of its own, and what their callers were told.

Invariant: a start is tried again only where the caller was told that the service has taken nothing, which is
what an operator does.
"""

from __future__ import annotations

import asyncio
import json
from typing import IO

from benchmarks.waits.answers import FLOW
from benchmarks.waits.contenders import CONNECTION, MAX_CONNECTIONS
from benchmarks.waits.driver import main
from smartflows_provider.exceptions import FlowConnectionError, FlowServiceError
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.wire.smart_flows import XML_TYPE

TRIES = 10
MADE, OPEN, NOTHING = "made", "open", "nothing"
"""What a caller was told: made, with an id; open whether it was; nothing taken, each time it tried."""


async def _start_all(argument: str, lines: IO[str]) -> str:
    count = int(argument)
    told: dict[str, tuple[str, str]] = {}
    markers = [f"<start>{number}</start>" for number in range(count)]
    left = iter(markers)

    async def caller(hook: SmartFlowsHook) -> None:
        for marker in left:
            told[marker] = await _start(hook, marker)

    async with SmartFlowsHook(CONNECTION) as hook:
        print("ready", file=lines, flush=True)
        await asyncio.gather(*(caller(hook) for _ in range(MAX_CONNECTIONS)))
    return json.dumps(told)


async def _start(hook: SmartFlowsHook, marker: str) -> tuple[str, str]:
    """Return what the caller was told, and the execution's id."""
    for _ in range(TRIES):
        try:
            made = await hook.astart(FLOW, body=marker.encode(), content_type=XML_TYPE)
        except FlowConnectionError:
            continue
        except FlowServiceError:
            return OPEN, ""
        return MADE, made.execution_id
    return NOTHING, ""


if __name__ == "__main__":
    main(_start_all)
