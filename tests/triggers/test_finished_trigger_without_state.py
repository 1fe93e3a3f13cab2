"""The trigger of asset watchers as an Airflow runs it that keeps no state of assets and shares no streams."""

from __future__ import annotations

import asyncio
import logging

import pytest
from support.service import asked, panel_flow

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import finished_feed
from smartflows_provider.triggers import finished_watch
from smartflows_provider.triggers.smart_flows import SmartFlowsFinishedEventTrigger


async def test_it_fires_for_what_ends_from_its_start_on_and_says_so(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(finished_feed, "GATHERING", 0.05)
    monkeypatch.setattr(finished_watch, "SETTLING", 0.0)
    caplog.set_level(logging.INFO)
    panel_flow(server, {"id": "out", "kind": "output", "values": {"a": 1}})
    await asyncio.to_thread(hook.start, "Letter")
    events = SmartFlowsFinishedEventTrigger(flow="Letter", poll_interval=0.1).run()
    first = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(60):
        while len(asked(server, "POST", "/filter")) < 2:
            await asyncio.sleep(0.02)
        assert not first.done()
        later = await asyncio.to_thread(hook.start, "Letter")
        event = await first
    await events.aclose()
    assert event.payload["execution_id"] == later.execution_id
    assert "begins with what ends from now on: this Airflow keeps no state" in caplog.text
