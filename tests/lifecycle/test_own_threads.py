"""Questions from threads of our own reach Airflow over a triggerer's real channel, and disturb nobody's."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
from airflow.jobs.triggerer_job_runner import TriggerCommsDecoder
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import GetVariable
from support.service import LONG, asked, panel_flow, statuses

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.lifecycle.daemon_threads import DaemonThreads
from smartflows_provider.lifecycle.own_threads import asking, context_of_triggerer
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.version_compat import TRIGGER_ON_KILL

PATIENCE = 20.0


class Supervisor:
    """The other end of a triggerer's channel: answers each question after a moment, in order."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.questions: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            piece = self._end.recv(size - len(read))
            if not piece:
                raise EOFError
            read += piece
        return read

    def _serve(self) -> None:
        try:
            while True:
                number, body, *_ = msgspec.msgpack.decode(self._read(int.from_bytes(self._read(4), "big")))
                self.questions.append(body["type"])
                answer = msgspec.msgpack.encode([number, self._answer(body), None])
                self._end.sendall(len(answer).to_bytes(4, "big") + answer)
        except (EOFError, OSError):
            return

    def _answer(self, body: dict) -> dict | None:
        if body["type"] == "GetTaskStates":
            return {"type": "TaskStatesResult", "task_states": {"r": {"t": "failed"}}}
        if body["type"] == "GetXCom":
            return {"type": "XComResult", "key": body["key"], "value": None}
        if body["type"] == "GetVariable":
            return {"type": "VariableResult", "key": body["key"], "value": body["key"]}
        return None


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


async def channel(end: socket.socket, monkeypatch: pytest.MonkeyPatch) -> TriggerCommsDecoder:
    """Make the channel as a triggerer does."""
    reader, writer = await asyncio.open_connection(sock=end)
    made = TriggerCommsDecoder(async_writer=writer, async_reader=reader, socket=end)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made, raising=False)
    if hasattr(made, "start_reader"):
        await made.start_reader()
    return made


async def test_answers_reach_whoever_has_asked_the_triggerer_itself_or_one_of_our_threads(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(ends[1])
    comms = await channel(ends[0], monkeypatch)
    threads = DaemonThreads("asking", count=8)
    found: list[object] = []
    ask = partial(task_runner.RuntimeTaskInstance.get_task_states, dag_id="d", run_ids=["r"], task_ids=["t"])

    def look() -> None:
        found.append(asking(ask))

    begun = [threads.submit(partial(context_of_triggerer().run, look)) for _ in range(40)]
    own = [await comms.asend(GetVariable(key=str(number))) for number in range(40)]
    await asyncio.wait_for(asyncio.gather(*map(asyncio.wrap_future, begun)), PATIENCE)
    assert [one.value for one in own] == [str(number) for number in range(40)]
    assert found == [{"r": {"t": "failed"}}] * 40
    assert sorted(supervisor.questions) == ["GetTaskStates"] * 40 + ["GetVariable"] * 40


async def test_a_kill_of_a_deferred_task_reaches_the_service_over_the_triggerers_channel(
    server: DevServer,
    hook: SmartFlowsHook,
    ends: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supervisor = Supervisor(ends[1])
    comms = await channel(ends[0], monkeypatch)
    deferred_kill._states_of.cache_clear()
    server.configure(hold="ignored")
    execution_id = hook.start(panel_flow(server, LONG).id).execution_id
    trigger = FlowExecutionTrigger(
        system="smartflows", conn_id="smartflows_default", execution_id=execution_id, deadline=4e9
    )
    trigger.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    waiting = asyncio.create_task(anext(aiter(trigger.run())))
    while not asked(server, "GET", "/progress"):
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if TRIGGER_ON_KILL.available:
        await trigger.on_kill()
    async with asyncio.timeout(PATIENCE):
        while statuses(server) != ["Canceled"]:
            await asyncio.sleep(0.01)
    assert "GetTaskStates" in supervisor.questions
    assert (await comms.asend(GetVariable(key="still there"))).value == "still there"


def test_without_an_event_loop_airflow_is_asked_directly() -> None:
    assert context_of_triggerer().run(asking, threading.get_ident) == threading.get_ident()
