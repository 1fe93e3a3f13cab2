"""The trigger of asset watchers: its arguments, its events, its state, and one question for all watchers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from support.airflow_versions import deserialize, serialize, skip_module_without
from support.service import CONN_VARIABLE, LONG, panel_flow
from support.tasks import revive

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import finished_feed, flow_names
from smartflows_provider.triggers import finished_watch
from smartflows_provider.triggers.smart_flows import SmartFlowsFinishedEventTrigger
from smartflows_provider.version_compat import EVENTS_AFTER_RESTARTS
from smartflows_provider.waiting.watermark import Position, Watermark
from smartflows_provider.wire.run import Execution, Reference, RunPhase
from smartflows_provider.wire.smart_flows_finished import Listing, ListingWay, moment_text

skip_module_without(EVENTS_AFTER_RESTARTS)

from airflow.sdk.execution_time.context import (  # noqa: E402
    AssetStateStoreAccessor,
    AssetStateStoreAccessors,
)
from airflow.serialization.encoders import encode_trigger  # noqa: E402
from airflow.triggers.shared_stream import SharedStreamManager  # noqa: E402

FILTER = r"/flows/executions/filter$"
EVERYTHING: dict[str, Any] = {
    "flow": "Letter",
    "smart_flows_conn_id": "other",
    "statuses": ["Warning", "Error"],
    "poll_interval": 5.0,
    "since": "2026-11-24T08:00:00.000Z",
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished_feed, "GATHERING", 0.05)
    monkeypatch.setattr(finished_watch, "SETTLING", 0.0)
    monkeypatch.setattr(finished_watch, "READ_AGAIN", 0.05)


def trigger(**arguments: Any) -> SmartFlowsFinishedEventTrigger:
    return SmartFlowsFinishedEventTrigger(**{"flow": "Letter", "poll_interval": 0.1, **arguments})


class Store:
    """The state of an asset, as Airflow keeps it: JSON text."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.fails = False

    async def aget(self, key: str, default: Any = None) -> Any:
        if self.fails:
            raise RuntimeError("no API server")
        return json.loads(self.entries[key]) if key in self.entries else default

    async def aset(self, key: str, value: Any) -> None:
        if self.fails:
            raise RuntimeError("no API server")
        self.entries[key] = json.dumps(value)


class Triggerer:
    """Runs triggers as Airflow 3.3 does, and confirms their events or does not."""

    def __init__(self, *, confirms: bool = True) -> None:
        self.streams = SharedStreamManager(log=logging.getLogger("streams"))  # type: ignore[arg-type]
        self.confirms = confirms
        self.fired: list[dict[str, Any]] = []
        self._running: list[asyncio.Task[None]] = []

    def start(self, one: SmartFlowsFinishedEventTrigger, store: Any) -> None:
        one.asset_state_store = store
        self._running.append(asyncio.create_task(self._run(len(self._running), one)))

    async def _run(self, number: int, one: SmartFlowsFinishedEventTrigger) -> None:
        key = one.shared_stream_key()
        if key is None:
            events = one.run()
        else:
            stream = self.streams.subscribe(trigger_id=number, trigger=one, key=key)
            events = one.filter_shared_stream(stream)
        try:
            async for event in events:
                self.fired.append(event.payload)
                seq = None if key is None else self.streams.bind_pending_event(trigger_id=number, key=key)
                if self.confirms and seq is not None:
                    self.streams.confirm_persisted([seq])
        finally:
            if key is not None:
                await self.streams.unsubscribe(number, key)

    async def end(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.streams.stop_all()

    def ids(self) -> list[str]:
        return [event["execution_id"] for event in self.fired]


@asynccontextmanager
async def triggerer(**how: Any) -> AsyncIterator[Triggerer]:
    running = Triggerer(**how)
    try:
        yield running
    finally:
        await running.end()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def looks(server: DevServer) -> int:
    return sum(request.path.endswith("/filter") for request in server.requests)


async def after_a_look(server: DevServer, *, more: int = 2) -> None:
    asked = looks(server)
    await until(lambda: looks(server) >= asked + more)


def finish(hook: SmartFlowsHook, flow: str = "Letter") -> Awaitable[str]:
    return asyncio.to_thread(lambda: hook.start(flow).execution_id)


@pytest.fixture
def letters(server: DevServer) -> DevServer:
    panel_flow(server, {"id": "out", "kind": "output", "values": {"secret": "Zoë"}})
    panel_flow(server, {"id": "broken", "kind": "fail", "message": "No data"}, name="Report")
    return server


# --- arguments ---


def test_the_row_holds_all_arguments_and_brings_the_same_trigger_back() -> None:
    made = SmartFlowsFinishedEventTrigger(**EVERYTHING)
    assert made.serialize() == (
        "smartflows_provider.triggers.smart_flows.SmartFlowsFinishedEventTrigger",
        EVERYTHING,
    )
    assert revive(made).serialize() == made.serialize()
    assert deserialize(serialize(made.serialize()[1])) == EVERYTHING


def test_airflow_takes_a_trigger_that_was_stored_for_the_same_one() -> None:
    made = SmartFlowsFinishedEventTrigger(**EVERYTHING)
    path, kwargs = made.serialize()
    stored = json.loads(json.dumps(encode_trigger(made)["kwargs"]))
    assert BaseEventTrigger.hash(path, stored) == BaseEventTrigger.hash(path, kwargs)


def test_arguments_written_in_another_way_are_the_same_trigger() -> None:
    other = SmartFlowsFinishedEventTrigger(
        **{
            **EVERYTHING,
            "statuses": ("error", "Warning", "Error"),
            "poll_interval": 5,
            "since": datetime(2026, 11, 24, 8, tzinfo=UTC),
        }
    )
    assert other.serialize()[1] == EVERYTHING


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flow": " "}, "flow is ' '; it takes a text."),
        ({"flow": None}, "flow is None; it takes a text."),
        ({"smart_flows_conn_id": ""}, "smart_flows_conn_id is ''; it takes a text."),
        ({"statuses": []}, "statuses is []; it takes a list of statuses, some of Queued, Running"),
        ({"statuses": "Success"}, "statuses is 'Success'; it takes a list of statuses"),
        ({"statuses": ["Done"]}, "a status is 'Done'; it takes one of 'Queued'"),
        ({"poll_interval": 0}, "poll_interval is 0; it takes seconds above 0."),
        ({"poll_interval": float("inf")}, "poll_interval is inf; it takes seconds above 0."),
        ({"poll_interval": True}, "poll_interval is True; it takes seconds above 0."),
        ({"since": "yesterday"}, "since is 'yesterday'; it takes a time, such as '2026-11-24T08:00:00Z'."),
    ],
)
def test_an_argument_that_cannot_be_meant_is_an_error_while_the_dag_is_parsed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match="SmartFlowsFinishedEventTrigger: ") as raised:
        SmartFlowsFinishedEventTrigger(**{"flow": "Letter", **arguments})
    assert message in str(raised.value)


# --- events ---


async def test_an_event_says_which_execution_and_nothing_of_its_output(
    letters: DevServer, hook: SmartFlowsHook
) -> None:
    async with triggerer() as running:
        await finish(hook)
        running.start(trigger(), Store())
        await after_a_look(letters)
        execution_id = await finish(hook)
        await finish(hook, "Report")
        await until(lambda: bool(running.fired))
        await after_a_look(letters)
    (event,) = running.fired
    row = next(row for row in letters.executions() if row["id"] == execution_id)
    assert event == {
        "schema_version": 1,
        "conn_id": "smartflows_default",
        "execution_id": execution_id,
        "flow": {"id": row["flow"]["id"], "name": "Letter"},
        "status": "Success",
        "created_at": row["createdAt"],
        "finished_at": row["modifiedAt"],
    }
    assert json.loads(json.dumps(TriggerEvent(event).payload)) == event


async def test_other_statuses_fire_where_they_are_asked_for(letters: DevServer, hook: SmartFlowsHook) -> None:
    panel_flow(letters, LONG, name="Long")
    async with triggerer() as running:
        running.start(trigger(flow="Report", statuses=["Error"]), Store())
        running.start(trigger(flow="Long", statuses=["Canceled"]), Store())
        await after_a_look(letters)
        failed, canceled = await finish(hook, "Report"), await finish(hook, "Long")
        await asyncio.to_thread(hook.cancel, canceled)
        await until(lambda: len(running.fired) == 2)
    assert {event["execution_id"]: event["status"] for event in running.fired} == {
        failed: "Error",
        canceled: "Canceled",
    }


# --- restarts ---


@pytest.mark.parametrize("confirms", [True, False])
async def test_what_ends_while_no_triggerer_lives_fires_after_a_restart(
    letters: DevServer, hook: SmartFlowsHook, confirms: bool
) -> None:
    store = Store()
    async with triggerer(confirms=confirms) as first:
        first.start(trigger(), store)
        await until(lambda: bool(store.entries))
        before = await finish(hook)
        await until(lambda: first.ids() == [before])
        await after_a_look(letters)
    meanwhile = await finish(hook)
    async with triggerer() as second:
        second.start(trigger(), store)
        await until(lambda: meanwhile in second.ids())
        await after_a_look(letters)
    # What Airflow has not told to have comes again, and nothing else does.
    assert second.ids() == ([meanwhile] if confirms else [before, meanwhile])


async def test_a_trigger_of_two_assets_keeps_its_position_for_both(
    letters: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"one": Store(), "two": Store()}

    async def aget(accessor: Any, key: str, default: Any = None) -> Any:
        return await state[accessor._name].aget(key, default)

    async def aset(accessor: Any, key: str, value: Any) -> None:
        await state[accessor._name].aset(key, value)

    monkeypatch.setattr(AssetStateStoreAccessor, "aget", aget)
    monkeypatch.setattr(AssetStateStoreAccessor, "aset", aset)
    both = AssetStateStoreAccessors(inlets=[Asset("one"), Asset("two")])
    async with triggerer() as running:
        running.start(trigger(), both)
        await until(lambda: bool(state["two"].entries))
        await finish(hook)
        await until(lambda: bool(running.fired))
        await after_a_look(letters)
    assert state["one"].entries == state["two"].entries
    # One of them is watched by this trigger only since then.
    state["one"].entries.clear()
    async with triggerer() as running:
        running.start(trigger(), both)
        later = await finish(hook)
        await until(lambda: bool(running.fired))
    assert running.ids() == [later]


async def test_without_a_state_each_start_begins_with_what_ends_from_then_on(
    letters: DevServer, hook: SmartFlowsHook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await finish(hook)
    async with triggerer() as running:
        running.start(trigger(since="2026-01-01"), None)
        await after_a_look(letters)
        later = await finish(hook)
        await until(lambda: bool(running.fired))
    assert running.ids() == [later]
    assert "begins with what ends from now on: this Airflow keeps no state" in caplog.text


async def test_a_state_that_cannot_be_read_or_written_loses_nothing(
    letters: DevServer, hook: SmartFlowsHook, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    async with triggerer() as running:
        store.fails = True
        running.start(trigger(since="2026-01-01"), store)
        early = await finish(hook)
        await until(lambda: "cannot read its position from Airflow (RuntimeError)" in caplog.text)
        assert running.fired == []
        store.fails = False
        await until(lambda: running.ids() == [early])
        store.fails = True
        later = await finish(hook)
        await until(lambda: running.ids() == [early, later])
        await until(lambda: "cannot store its position in Airflow (RuntimeError)" in caplog.text)
        store.fails = False
        last = await finish(hook)
        await until(lambda: running.ids() == [early, later, last])
    assert len(store.entries) == 1


# --- one question for all ---


async def test_twenty_watchers_of_a_connection_cost_what_one_costs(
    letters: DevServer, hook: SmartFlowsHook
) -> None:
    async with triggerer() as running:
        for number in range(19):
            running.start(trigger(flow=f"Letter {number}", poll_interval=600.0), Store())
        running.start(trigger(poll_interval=0.3), Store())
        await after_a_look(letters, more=5)
        asked = [request.path.rpartition("/")[2] for request in letters.requests]
        await finish(hook)
        await until(lambda: len(running.fired) == 1)
    # One question for each look, and one for the names of all flows.
    assert asked.count("flows") == 1
    assert asked.count("filter") == len(asked) - 1 <= 6


async def test_a_watcher_that_begins_beside_one_of_a_later_time_leaves_the_past_out(
    letters: DevServer, hook: SmartFlowsHook
) -> None:
    await finish(hook)
    async with triggerer() as running:
        running.start(trigger(flow="Report", since="2100-01-01"), Store())
        running.start(trigger(), Store())
        await after_a_look(letters, more=3)
        new = await finish(hook)
        await until(lambda: bool(running.fired))
        await after_a_look(letters)
    assert running.ids() == [new]


# --- many events ---


@asynccontextmanager
async def looks_of(
    monkeypatch: pytest.MonkeyPatch, one: SmartFlowsFinishedEventTrigger
) -> AsyncIterator[tuple[finished_feed.Watcher, AsyncIterator[finished_watch.Batch]]]:
    """Let a test say what each look brings."""
    joined: list[finished_feed.Watcher] = []

    class Feed:
        @contextmanager
        def joined(self, watcher: finished_feed.Watcher) -> Iterator[None]:
            joined.append(watcher)
            yield

    @asynccontextmanager
    async def shared_feed(conn_id: str) -> AsyncIterator[Feed]:
        yield Feed()

    monkeypatch.setattr(finished_watch, "shared_feed", shared_feed)
    one.asset_state_store = Store()  # type: ignore[assignment]
    batches = finished_watch.FinishedWatch(one).batches()
    first = asyncio.ensure_future(anext(batches))
    await until(lambda: bool(joined))
    joined[0].found.put_nowait(brought(range(1)))
    assert len((await first).events) == 1
    yield joined[0], batches


def brought(numbers: range) -> finished_feed.Found:
    ended = [execution(f"e{number}", number) for number in numbers]
    return finished_feed.Found(executions=ended, position=Position(mark=float(numbers.stop)))


def execution(name: str, at: float) -> Execution:
    return Execution(
        id=name,
        status="Success",
        phase=RunPhase.SUCCEEDED,
        flow=Reference(id="f"),
        modified_at=moment_text(at),
        raw={},
    )


async def test_looks_that_come_quicker_than_events_are_fired_for_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Else ever more of them wait, until Airflow takes the watcher for stuck and has it begin anew.
    monkeypatch.setattr(finished_watch, "SETTLING", 0.5)
    async with looks_of(monkeypatch, trigger()) as (watcher, batches):
        following = asyncio.ensure_future(anext(batches))
        for number in range(1, 4):
            watcher.found.put_nowait(brought(range(number, number + 1)))
            await asyncio.sleep(0.02)
        batch = await following
    assert [event["execution_id"] for event in batch.events] == ["e1", "e2", "e3"]
    assert batch.position.mark == 4.0


async def test_a_look_that_brings_much_is_fired_for_in_parts_that_are_kept_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finished_watch, "AT_ONCE", 2)
    async with looks_of(monkeypatch, trigger()) as (watcher, batches):
        watcher.found.put_nowait(brought(range(1, 6)))
        parts = [await anext(batches) for _ in range(3)]
    fired = [[event["execution_id"] for event in part.events] for part in parts]
    assert fired == [["e1", "e2"], ["e3", "e4"], ["e5"]]
    assert [part.position.mark for part in parts] == [2.0, 4.0, 6.0]
    # After a restart there, only what was not fired for yet comes.
    everything = Listing(
        executions=[execution(f"e{number}", number) for number in range(1, 6)],
        in_one_piece=True,
        way=ListingWay(),
    )
    revived = Watermark(parts[1].position)
    assert [one.id for one in revived.take(everything, lambda _: True)] == ["e5"]


# --- trouble ---


async def test_an_outage_is_told_of_once_and_made_up_for(
    letters: DevServer, hook: SmartFlowsHook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with triggerer() as running:
        running.start(trigger(), Store())
        await after_a_look(letters)
        letters.inject(Fault(action="status", status=503, path=FILTER, count=None))
        meanwhile = await finish(hook)
        await after_a_look(letters, more=4)
        assert running.fired == []
        letters.clear_faults()
        await until(lambda: running.ids() == [meanwhile])
    assert caplog.text.count("does not tell about ended executions") == 1
    assert caplog.text.count("tells about ended executions again") == 1


async def test_a_refused_key_is_named_and_a_rotated_one_is_picked_up(
    letters: DevServer,
    hook: SmartFlowsHook,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters.add_key("canary-key-7f3a")
    async with triggerer() as running:
        running.start(trigger(), Store())
        await after_a_look(letters)
        meanwhile = await finish(hook)
        letters.revoke_key()
        await until(lambda: "Put a valid key into the connection" in caplog.text)
        monkeypatch.setenv(CONN_VARIABLE, letters.connection_json(api_key="canary-key-7f3a"))
        await until(lambda: running.ids() == [meanwhile])
    assert letters.api_key not in caplog.text
    assert "canary" not in caplog.text + repr(running.fired)


async def test_retry_after_is_honoured(letters: DevServer, caplog: pytest.LogCaptureFixture) -> None:
    async with triggerer() as running:
        running.start(trigger(), Store())
        await after_a_look(letters)
        letters.inject(
            Fault(action="status", status=429, path=FILTER, headers={"Retry-After": "30"}, count=None)
        )
        await until(lambda: "does not tell about ended executions" in caplog.text)
        asked = looks(letters)
        await asyncio.sleep(0.5)
        assert looks(letters) == asked


async def test_a_flow_that_is_yet_to_be_made_and_one_that_is_there_twice_are_told_of(
    letters: DevServer,
    hook: SmartFlowsHook,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(flow_names, "TRY_AGAIN", 0.1)
    twin = letters.add_flow(
        id="9b8f0f0e-1f43-4f0e-8a5f-8d4b8e2c7a10",
        name="Report",
        start_from="panel",
        steps=[{"id": "out", "kind": "output", "values": {"a": "b"}}],
    )
    async with triggerer() as running:
        running.start(trigger(flow="New"), Store())
        running.start(trigger(flow="Report"), Store())
        await until(lambda: "no flow is named 'New'" in caplog.text)
        await until(lambda: "2 flows are named 'Report'" in caplog.text)
        await asyncio.to_thread(hook.start, twin.id)
        panel_flow(letters, {"id": "out", "kind": "output", "values": {"a": "b"}}, name="New")
        made = await finish(hook, "New")
        await until(lambda: running.ids() == [made])
        await until(lambda: "'New' now is the flow" in caplog.text)
    assert caplog.text.count("no flow is named 'New'") == 1


async def test_a_flow_that_takes_the_place_of_one_of_its_name_fires_from_its_first_execution(
    letters: DevServer, hook: SmartFlowsHook
) -> None:
    steps = [{"id": "out", "kind": "output", "values": {"a": "b"}}]
    async with triggerer() as running:
        running.start(trigger(), Store())
        before = await finish(hook)
        await until(lambda: bool(running.fired) or looks(letters) > 3)
        old = next(row for row in letters.executions() if row["id"] == before)["flow"]["id"]
        letters.add_flow(id=old, name="Old letter", start_from="panel", steps=steps)
        new = "9b8f0f0e-1f43-4f0e-8a5f-8d4b8e2c7a10"
        letters.add_flow(id=new, name="Letter", start_from="panel", steps=steps)
        made = await finish(hook)
        await until(lambda: made in running.ids() or looks(letters) > 60)
        await after_a_look(letters, more=5)
    assert made in running.ids()
    # The names of flows are looked up once more, and not at each look.
    assert len([one for one in letters.requests if one.path.endswith("/flows")]) <= 6


async def test_a_service_that_refuses_the_filter_is_asked_otherwise_and_says_so_once(
    letters: DevServer, hook: SmartFlowsHook, caplog: pytest.LogCaptureFixture
) -> None:
    letters.inject(Fault(action="status", status=400, path=FILTER, count=None))
    async with triggerer() as running:
        running.start(trigger(), Store())
        await until(lambda: "the latest changes of all executions are listed" in caplog.text)
        names = [await finish(hook) for _ in range(3)]
        await until(lambda: running.ids() == names)
    assert caplog.text.count("does not take the question") == 1


async def test_a_service_that_refuses_the_filter_while_it_starts_is_asked_as_before_afterwards(
    letters: DevServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(finished_feed, "BEST_WAY_AGAIN", 0.5)
    letters.inject(Fault(action="status", status=500, path=FILTER, count=1))
    async with triggerer() as running:
        running.start(trigger(), Store())
        await until(lambda: "the latest changes of all executions are listed" in caplog.text)
        await after_a_look(letters, more=3)
    assert caplog.text.count("the service takes the question about ended executions.") == 1


async def test_the_last_event_of_a_look_comes_after_the_scheduler_has_seen_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finished_watch, "SETTLING", 5.0)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(finished_watch.asyncio, "sleep", sleep)
    spacing = finished_watch.Spacing()
    position = Position(mark=0.0)
    for count in (1, 3):
        batch = finished_watch.Batch(events=[{"n": number} for number in range(count)], position=position)
        assert [event["n"] async for event in spacing.events(batch)] == list(range(count))
    assert slept[0] == 0.0
    assert slept[1] == pytest.approx(5.0, abs=1.0)
