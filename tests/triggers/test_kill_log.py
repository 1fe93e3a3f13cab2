"""Where the lines about a cancelled run go."""

from __future__ import annotations

import asyncio
import contextvars
from types import SimpleNamespace

import pytest

from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.lifecycle.deferred_kill import WaitedRun
from smartflows_provider.lifecycle.ownership import Ownership
from smartflows_provider.triggers.execution import FlowExecutionTrigger


async def test_what_on_kill_logs_in_its_thread_belongs_to_the_task_of_the_trigger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = contextvars.ContextVar("owner", default="nobody")
    seen: list[tuple[str, str]] = []

    def look(run: WaitedRun, since: float) -> Ownership:
        seen.append((owner.get(), run.execution_id))
        return "kept"

    monkeypatch.setattr(deferred_kill, "_look", look)

    async def killed(execution_id: str) -> None:
        owner.set(f"task of {execution_id}")
        trigger = FlowExecutionTrigger(
            system="smartflows", conn_id="c", execution_id=execution_id, deadline=1.0
        )
        trigger.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
        await trigger.on_kill()

    await asyncio.gather(killed("a"), killed("b"))
    assert sorted(seen) == [("task of a", "a"), ("task of b", "b")]
