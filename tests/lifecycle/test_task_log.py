"""What is noted about a wait reaches its task's log, and a log that stands still holds nothing else up."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from support.service import panel_flow

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.poller import shared_poller
from smartflows_provider.lifecycle.task_log import MOST, TaskLog
from smartflows_provider.waiting.wait import End, Note, WaitPolicy

PATIENCE = 60.0
"""Seconds, a generous safety stop."""
task_of: ContextVar[str] = ContextVar("task_of", default="nobody's")


class Pipe:
    """A log that stands still until it is let go on."""

    def __init__(self) -> None:
        self.goes = threading.Event()
        self.begun = threading.Event()
        self.lines: list[tuple[str, str]] = []

    def log(self, level: int, form: str, *texts: str) -> None:
        self.begun.set()
        if not self.goes.wait(PATIENCE):
            raise TimeoutError
        self.lines.append((task_of.get(), form % texts))


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.goes.set()


def note(text: str) -> Note:
    return Note(level=logging.INFO, text=text)


async def begun(pipe: Pipe) -> None:
    async with asyncio.timeout(PATIENCE):
        while not pipe.begun.is_set():
            await asyncio.sleep(0.01)


async def test_lines_keep_their_order_and_belong_to_the_task_of_the_wait(pipe: Pipe) -> None:
    task_of.set("letters")
    log = TaskLog(pipe)
    task_of.set("another's")
    log.write([note("one"), note("two")])
    await begun(pipe)
    log.write([note("three")])
    pipe.goes.set()
    await log.written()
    assert pipe.lines == [("letters", "one"), ("letters", "two"), ("letters", "three")]


async def test_what_comes_after_all_was_written_is_written_too(pipe: Pipe) -> None:
    pipe.goes.set()
    log = TaskLog(pipe)
    for text in ("one", "two"):
        log.write([note(text)])
        await log.written()
    assert [text for _, text in pipe.lines] == ["one", "two"]


async def test_a_line_that_comes_as_the_thread_ends_is_written_though_its_wait_leaves(pipe: Pipe) -> None:
    pipe.goes.set()
    log = TaskLog(pipe)
    log.write([note("one")])
    give_up = time.monotonic() + PATIENCE
    while not pipe.lines and time.monotonic() < give_up:
        # Without giving the event loop a turn, so that it does not know yet that all is written.
        time.sleep(0.01)
    time.sleep(0.05)
    log.write([note("two")])
    log.leave()
    async with asyncio.timeout(PATIENCE):
        while len(pipe.lines) < 2:
            await asyncio.sleep(0.01)
    assert [text for _, text in pipe.lines] == ["one", "two"]


async def test_where_the_log_stands_still_the_oldest_lines_are_left_out_and_that_is_said(pipe: Pipe) -> None:
    log = TaskLog(pipe)
    log.write([note("first")])
    await begun(pipe)
    for number in range(MOST + 5):
        log.write([note(str(number))])
    pipe.goes.set()
    await log.written()
    left_out = "Lines were left out here: the log did not take them."
    assert [text for _, text in pipe.lines] == ["first", left_out, *map(str, range(5, MOST + 5))]


async def test_as_many_lines_as_are_kept_are_all_written(pipe: Pipe) -> None:
    log = TaskLog(pipe)
    log.write([note("first")])
    await begun(pipe)
    log.write([note(str(number)) for number in range(MOST)])
    pipe.goes.set()
    await log.written()
    assert [text for _, text in pipe.lines] == ["first", *map(str, range(MOST))]


async def test_a_line_that_cannot_be_written_takes_no_other_along() -> None:
    written: list[str] = []

    class BrokenLog:
        def log(self, level: int, form: str, text: str) -> None:
            if text == "one":
                raise BrokenPipeError
            written.append(text)

    log = TaskLog(BrokenLog())
    log.write([note("one"), note("two")])
    await log.written()
    assert written == ["two"]


def test_a_loop_may_end_while_a_log_stands_still(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    async def leaves() -> None:
        log = TaskLog(pipe)
        log.write([note("last")])
        await begun(pipe)
        log.leave()

    asyncio.run(leaves())
    pipe.goes.set()
    until = time.monotonic() + PATIENCE
    while not pipe.lines and time.monotonic() < until:
        time.sleep(0.01)
    assert [text for _, text in pipe.lines] == ["last"]
    assert caplog.text == ""


async def wait_for(execution_id: str, log: Any) -> End:
    policy = WaitPolicy(deadline=time.time() + 3600, poll_interval=1.0)
    async with shared_poller("smartflows", "smartflows_default") as poller:
        return await poller.wait_for(policy, execution_id=execution_id, log=log)


async def test_a_wait_goes_on_while_its_log_stands_still_and_its_end_is_told_when_all_is_written(
    server: DevServer, hook: SmartFlowsHook, pipe: Pipe
) -> None:
    flow = panel_flow(server, {"kind": "work", "message": "Working", "duration": 3600}, name="Works")
    execution_id = hook.start(flow.id).execution_id
    async with asyncio.timeout(PATIENCE):
        waiting = asyncio.create_task(wait_for(execution_id, pipe))
        await begun(pipe)
        server.advance(3600)
        done, _ = await asyncio.wait([waiting], timeout=3.0)
        assert not done
        pipe.goes.set()
        assert (await waiting).reason == "finished"
    texts = [text for _, text in pipe.lines]
    assert "Working" in texts[0]
    assert "Success" in texts[-1]


async def test_a_cancelled_wait_does_not_wait_for_its_log(
    server: DevServer, hook: SmartFlowsHook, pipe: Pipe
) -> None:
    flow = panel_flow(server, {"kind": "work", "duration": 3600}, name="Works")
    waiting = asyncio.create_task(wait_for(hook.start(flow.id).execution_id, pipe))
    await begun(pipe)
    waiting.cancel()
    async with asyncio.timeout(PATIENCE / 2):
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert pipe.lines == []
