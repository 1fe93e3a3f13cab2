"""Many waits on one connection: what they share, who is asked when, what becomes of them when they leave."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import certifi
import pytest
from airflow.providers.common.compat.connection import get_async_connection
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.comms import ErrorResponse
from support.service import CONN_VARIABLE, LONG, asked, cancels, panel_flow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.flows import Flow
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks import base
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import poller as poller_module
from smartflows_provider.lifecycle import shared_connection, shared_question
from smartflows_provider.lifecycle.poller import StatusPoller, shared_poller
from smartflows_provider.transport import asynchronous
from smartflows_provider.transport.asynchronous import AsyncClient
from smartflows_provider.transport.errors import AnswerTooLarge
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.waiting.crowd import DueQueue
from smartflows_provider.waiting.holding import Holding
from smartflows_provider.waiting.wait import End, Wait, WaitPolicy
from smartflows_provider.wire.messages import Request

CONNECTION = ("smartflows", "smartflows_default")
PATIENCE = 60.0
"""Seconds, a generous safety stop."""
log = logging.getLogger(__name__)


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The look-ups of connections."""
    seen: list[str] = []

    async def noted(conn_id: str) -> Any:
        seen.append(conn_id)
        return await get_async_connection(conn_id)

    monkeypatch.setattr(base, "get_async_connection", noted)
    return seen


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[AsyncClient]:
    """The clients that were made."""
    made: list[AsyncClient] = []

    class Noted(AsyncClient):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(base, "AsyncClient", Noted)
    return made


@pytest.fixture
def under_way(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions were under way each time one was sent."""
    counts: list[int] = []
    now = 0
    send = AsyncClient._send_once

    async def counted(client: AsyncClient, request: Request) -> Any:
        nonlocal now
        now += 1
        counts.append(now)
        try:
            return await send(client, request)
        finally:
            now -= 1

    monkeypatch.setattr(AsyncClient, "_send_once", counted)
    return counts


def connect(server: DevServer, monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    connection = json.loads(server.connection_json())
    connection["extra"] = {**(connection.get("extra") or {}), **extra}
    monkeypatch.setenv(CONN_VARIABLE, json.dumps(connection))


def started(hook: SmartFlowsHook, flow: Flow, count: int) -> list[str]:
    return [hook.start(flow.id).execution_id for _ in range(count)]


def working(server: DevServer, seconds: float) -> Flow:
    return panel_flow(server, {"kind": "work", "duration": seconds}, name=f"Works {seconds}")


def long_flow(server: DevServer) -> Flow:
    return panel_flow(server, LONG, name="Long")


def throttled(path: str, *, seconds: int, count: int | None = 1) -> Fault:
    """Return what makes the service ask for patience."""
    return Fault(action="status", status=429, headers={"Retry-After": str(seconds)}, path=path, count=count)


async def wait_for(execution_id: str, **policy: Any) -> End:
    made = WaitPolicy(**{"deadline": time.time() + 3600, "poll_interval": 2.0, "max_outage": 1.0, **policy})
    async with shared_poller(*CONNECTION) as poller:
        return await poller.wait_for(made, execution_id=execution_id, log=log)


@asynccontextmanager
async def waiting(execution_ids: Sequence[str], **policy: Any) -> AsyncIterator[list[asyncio.Task[End]]]:
    tasks = [asyncio.create_task(wait_for(each, **policy)) for each in execution_ids]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ends(execution_ids: Sequence[str], **policy: Any) -> list[tuple[str, str | None]]:
    async with asyncio.timeout(PATIENCE), waiting(execution_ids, **policy) as tasks:
        return [(end.reason, end.status) for end in await asyncio.gather(*tasks)]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)


# --- what is shared ---


async def test_waits_on_a_connection_share_one_look_up_and_one_client(
    server: DevServer, hook: SmartFlowsHook, look_ups: list[str], clients: list[AsyncClient]
) -> None:
    execution_ids = started(hook, working(server, 0.3), 40)
    assert await ends(execution_ids) == [("finished", "Success")] * 40
    assert look_ups == ["smartflows_default"]
    assert len(clients) == 1


async def test_the_client_is_closed_when_the_last_wait_leaves_and_made_anew_for_the_next(
    server: DevServer, hook: SmartFlowsHook, clients: list[AsyncClient]
) -> None:
    first, last = started(hook, long_flow(server), 2)
    async with waiting([first]) as early:
        async with waiting([last]):
            await until(lambda: len(asked(server, "GET", "/progress")) == 2)
        assert poller_module._shared[asyncio.get_running_loop()]
        assert clients[0]._connector is not None
        early[0].cancel()
    assert poller_module._shared[asyncio.get_running_loop()] == {}
    await until(lambda: clients[0]._connector is None)
    await ends(started(hook, working(server, 0.1), 1))
    assert len(clients) == 2


def test_each_event_loop_has_a_client_of_its_own(
    server: DevServer, hook: SmartFlowsHook, clients: list[AsyncClient]
) -> None:
    execution_ids = started(hook, working(server, 0.5), 8)
    found: list[Any] = []

    def wait_in_a_loop(part: Sequence[str]) -> None:
        found.extend(asyncio.run(ends(part)))

    threads = [threading.Thread(target=wait_in_a_loop, args=(execution_ids[n::2],)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == [("finished", "Success")] * 8
    assert len(clients) == 2


async def test_a_rotated_key_is_looked_up_once_for_all(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, look_ups: list[str]
) -> None:
    connect(server, monkeypatch, max_connections=4)
    execution_ids = started(hook, working(server, 2.0), 20)
    async with waiting(execution_ids, poll_interval=0.5) as tasks:
        await until(lambda: len(asked(server, "GET", "/progress")) >= 20)
        server.add_key("the-new-key")
        monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key="the-new-key"))
        server.revoke_key()
        found = await asyncio.gather(*tasks)
    assert {(end.reason, end.status) for end in found} == {("finished", "Success")}
    # Once at first, once for the new key, and once more for what was refused while that was looked up.
    assert len(look_ups) <= 3


async def test_a_connection_that_was_changed_is_noticed_after_a_while_without_a_refusal(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, clients: list[AsyncClient]
) -> None:
    connect(server, monkeypatch, long_poll_seconds=0)
    execution_ids = started(hook, long_flow(server), 1)
    async with waiting(execution_ids, poll_interval=0.1) as tasks:
        await until(lambda: len(clients) == 1 and asked(server, "GET", "/progress"))
        connect(server, monkeypatch, long_poll_seconds=0, read_timeout=33)
        monkeypatch.setattr(shared_connection, "READ_AGAIN", 0.0)
        await until(lambda: len(clients) > 1)
        assert clients[-1].settings.read_timeout == 33
        await until(lambda: clients[0]._connector is None)
        assert not tasks[0].done()


async def test_where_airflow_does_not_answer_a_connection_that_works_goes_on(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(server, monkeypatch, long_poll_seconds=0)
    execution_ids = started(hook, long_flow(server), 1)
    async with waiting(execution_ids, poll_interval=0.1) as tasks:
        await until(lambda: asked(server, "GET", "/progress"))
        monkeypatch.delenv(CONN_VARIABLE)
        monkeypatch.setattr(shared_connection, "READ_AGAIN", 0.0)
        await until(lambda: "goes on as it was known" in caplog.text)
        seen = len(asked(server, "GET", "/progress"))
        await until(lambda: len(asked(server, "GET", "/progress")) > seen + 2)
        assert not tasks[0].done()


async def test_a_key_that_is_rotated_while_the_connection_is_looked_up_is_looked_up_once_more(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, long_poll_seconds=0)
    execution_ids = started(hook, long_flow(server), 1)
    old_is_read, let_go = asyncio.Event(), asyncio.Event()

    async def tells_late(conn_id: str) -> Any:
        connection = await get_async_connection(conn_id)
        old_is_read.set()
        await let_go.wait()
        return connection

    async with shared_poller(*CONNECTION) as poller, waiting(execution_ids, poll_interval=0.2) as tasks:
        await until(lambda: asked(server, "GET", "/progress"))
        monkeypatch.setattr(base, "get_async_connection", tells_late)
        monkeypatch.setattr(shared_connection, "READ_AGAIN", 0.0)
        await asyncio.wait_for(old_is_read.wait(), PATIENCE)
        monkeypatch.setattr(shared_connection, "READ_AGAIN", 300.0)
        server.add_key("the-new-key")
        monkeypatch.setenv(CONN_VARIABLE, server.connection_json(api_key="the-new-key"))
        server.revoke_key()
        await until(lambda: poller.connection._doubted)
        let_go.set()
        await until(lambda: [request.status for request in server.requests][-3:] == [200] * 3)
        assert not tasks[0].done()


async def test_a_key_that_stays_refused_is_not_looked_up_for_each_wait(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, look_ups: list[str]
) -> None:
    connect(server, monkeypatch, max_connections=2)
    execution_ids = started(hook, long_flow(server), 40)
    server.revoke_key()
    assert await ends(execution_ids) == [("refused", None)] * 40
    assert len(look_ups) <= 4


async def test_waits_that_come_while_a_connection_cannot_be_looked_up_do_not_queue_for_it(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_ids = started(hook, working(server, 0.1), 20)
    tries = 0

    async def fails_slowly(conn_id: str) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 2:
            await asyncio.sleep(0.5)
            raise AirflowRuntimeError(ErrorResponse())
        return await get_async_connection(conn_id)

    monkeypatch.setattr(base, "get_async_connection", fails_slowly)
    assert await ends(execution_ids, max_outage=30) == [("finished", "Success")] * 20
    assert tries <= 6


async def test_questions_that_begin_together_load_the_certificates_once(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[ssl.SSLContext] = []
    load = asynchronous._load_tls

    def noting(settings: ClientSettings) -> ssl.SSLContext:
        contexts.append(load(settings))
        return contexts[-1]

    monkeypatch.setattr(asynchronous, "_load_tls", noting)
    request = Request(method="GET", path="/flows")
    async with AsyncClient(ClientSettings(base_url="https://localhost", api_prefix="")) as client:
        given = await asyncio.gather(*(client._tls_context(request, "https://localhost") for _ in range(9)))
    assert given == contexts * 9


async def test_a_wait_that_leaves_does_not_take_the_look_up_of_the_others_along(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, look_ups: list[str]
) -> None:
    execution_ids = started(hook, working(server, 0.1), 2)
    let_go = asyncio.Event()

    async def slow(conn_id: str) -> Any:
        look_ups.append(conn_id)
        await let_go.wait()
        return await get_async_connection(conn_id)

    monkeypatch.setattr(base, "get_async_connection", slow)
    async with waiting(execution_ids) as tasks:
        await until(lambda: look_ups)
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        let_go.set()
        assert (await tasks[1]).status == "Success"
    assert len(look_ups) == 1


async def test_a_certificate_that_is_renewed_under_its_name_is_taken_up(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    clients: list[AsyncClient],
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes())
    connect(server, monkeypatch, long_poll_seconds=0, ca_bundle=str(bundle))
    async with waiting(started(hook, long_flow(server), 1), poll_interval=0.1):
        await until(lambda: asked(server, "GET", "/progress"))
        monkeypatch.setattr(shared_connection, "READ_AGAIN", 0.0)
        seen = len(asked(server, "GET", "/progress"))
        await until(lambda: len(asked(server, "GET", "/progress")) > seen + 2)
        assert len(clients) == 1
        os.utime(bundle, (1, 1))
        await until(lambda: len(clients) > 1)


# --- leaving ---


async def test_a_cancelled_wait_takes_its_question_along_and_leaves_the_others(
    server: DevServer, hook: SmartFlowsHook, under_way: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=1)
    first, second = started(hook, long_flow(server), 1)[0], started(hook, working(server, 1.0), 1)[0]
    async with waiting([first], poll_interval=600.0) as held:
        await until(lambda: len(under_way) == 2)
        async with waiting([second], poll_interval=600.0) as tasks:
            await until(lambda: len(poller_module._shared[asyncio.get_running_loop()]) == 1)
            held[0].cancel()
            # Long before the service would have answered.
            end = await asyncio.wait_for(tasks[0], 15)
    assert (end.reason, end.status) == ("finished", "Success")
    assert max(under_way) == 1
    assert cancels(server) == []


@pytest.mark.filterwarnings("error")
def test_a_loop_that_ends_in_the_middle_leaves_nothing_open(
    server: DevServer, hook: SmartFlowsHook, clients: list[AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    execution_ids = started(hook, long_flow(server), 50)

    async def begin() -> list[asyncio.Task[End]]:
        tasks = [asyncio.create_task(wait_for(each)) for each in execution_ids]
        await until(lambda: len(asked(server, "GET", "/progress")) >= 32)
        return tasks

    tasks = asyncio.run(begin())
    assert all(task.cancelled() for task in tasks)
    assert clients[0]._connector is None
    assert "exception was never retrieved" not in caplog.text
    assert cancels(server) == []


async def test_a_question_that_follows_at_once_is_taken_along_by_a_cancelled_wait(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, under_way: list[int]
) -> None:
    (execution_id,) = started(hook, long_flow(server), 1)
    settle = StatusPoller._settle

    def asks_at_once(self: StatusPoller, *args: Any, **more: Any) -> None:
        settle(self, *args, **more)
        # As a timer does that was due in the same round of the event loop.
        self._ask_who_is_due()

    monkeypatch.setattr(StatusPoller, "_settle", asks_at_once)
    async with shared_poller(*CONNECTION) as poller, asyncio.timeout(PATIENCE):
        async with waiting([execution_id], poll_interval=30.0):
            # The first answer is held for two seconds, so the second question follows at once.
            await until(lambda: len(under_way) == 2)
            (question,) = poller._questions
        await asyncio.wait([question])
    assert question.cancelled()


async def test_an_unforeseen_error_ends_the_wait_that_it_is_about_and_no_other(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = started(hook, working(server, 0.3), 2)
    look = SmartFlowsHook.look_exchange

    def breaks(self: SmartFlowsHook, execution_id: str, **more: Any) -> Any:
        if execution_id == broken:
            raise ZeroDivisionError("unforeseen")
        return look(self, execution_id, **more)

    monkeypatch.setattr(SmartFlowsHook, "look_exchange", breaks)
    async with waiting([broken, sound]) as tasks:
        with pytest.raises(ZeroDivisionError, match="unforeseen"):
            await tasks[0]
        assert (await tasks[1]).status == "Success"


async def test_an_unknown_system_is_an_error_and_not_a_wait() -> None:
    with pytest.raises(ValueError, match="unknown flow system 'telex'"):
        await StatusPoller("telex", "c").wait_for(
            WaitPolicy(deadline=time.time() + 9), execution_id="e1", log=log
        )


# --- who is asked when ---


async def test_as_long_as_there_is_room_the_service_holds_each_answer_and_a_change_is_seen_at_once(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    execution_ids = started(hook, long_flow(server), 10)
    async with waiting(execution_ids, poll_interval=60.0) as tasks:
        # The first answers are held briefly, so that first messages are seen.
        await until(lambda: len(asked(server, "GET", "/progress")) == 20)
        await asyncio.to_thread(server.advance, 3600)
        found = await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert {end.status for end in found} == {"Success"}
    # No third question was asked: what was held has brought the change.
    queries = [request.query for request in server.requests if request.path.endswith("/progress")]
    assert len(queries) == 20
    assert set(queries[:10]) == {"timeout=2"}
    assert {int(query.partition("=")[2]) >= 28 for query in queries[10:]} == {True}


async def test_other_calls_do_not_queue_behind_answers_that_are_held(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2)
    execution_ids = started(hook, long_flow(server), 2)
    async with waiting(execution_ids, poll_interval=60.0):
        # The second answers are held for about half a minute.
        await until(lambda: len(asked(server, "GET", "/progress")) == 4)
        async with shared_poller(*CONNECTION) as poller, poller.connection.use() as lent:
            client = await lent.aclient()
            async with asyncio.timeout(15):
                await asyncio.gather(*(client.run(lent.cancel_exchange(each)) for each in execution_ids))
    assert len(cancels(server)) == 2


async def test_where_it_is_crowded_all_are_asked_in_turn_and_never_more_at_once_than_allowed(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, under_way: list[int]
) -> None:
    connect(server, monkeypatch, max_connections=2)
    execution_ids = started(hook, long_flow(server), 12)
    async with waiting(execution_ids, poll_interval=2.0):
        await until(lambda: len(asked(server, "GET", "/progress")) >= 60)
    assert max(under_way) <= 2
    asks = [(request.path.split("/")[-2], request.at) for request in server.requests
            if request.path.endswith("/progress")]  # fmt: skip
    moments = {each: [at for name, at in asks if name == each] for each in execution_ids}
    assert min(map(len, moments.values())) >= 3
    assert max(map(len, moments.values())) <= 2 * min(map(len, moments.values()))


async def test_where_answers_are_held_in_turn_a_wait_with_a_short_poll_interval_keeps_it(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2)
    *patient, hasty = started(hook, long_flow(server), 5)

    def moments(execution_id: str) -> list[float]:
        return [at for request in server.requests if f"/{execution_id}/progress" in request.path
                for at in [request.at]]  # fmt: skip

    async with waiting(patient, poll_interval=20.0), waiting([hasty], poll_interval=2.0):
        await until(lambda: len(moments(hasty)) >= 5)
    assert {request.query for request in server.requests if request.path.endswith("/progress")} >= {
        "timeout=2",
        "timeout=3",
    }
    between = [after - before for before, after in pairwise(moments(hasty))]
    # All five in two turns take more than five seconds.
    assert max(between[1:]) < 3.5
    assert all(moments(each) for each in patient)


async def test_a_wait_with_a_long_poll_interval_ends_in_time_among_others(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2)
    *hasty, patient = started(hook, long_flow(server), 5)
    async with waiting(hasty, poll_interval=6.0):
        await until(lambda: len(asked(server, "GET", "/progress")) >= 4)
        began = time.monotonic()
        ends_soon = wait_for(patient, poll_interval=600.0, deadline=time.time() + 9)
        end = await asyncio.wait_for(ends_soon, PATIENCE)
    assert (end.reason, end.status) == ("deadline", "Running")
    # The connections hold two others for three seconds when its time ends.
    assert 8.5 < time.monotonic() - began < 20


async def test_a_wait_with_a_long_poll_interval_has_its_turn_among_others(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller_module, "LONGEST_TURN", 8.0)
    connect(server, monkeypatch, max_connections=2)
    *hasty, patient = started(hook, long_flow(server), 5)
    async with waiting([patient], poll_interval=600.0), waiting(hasty, poll_interval=8.0):
        await until(lambda: len(asked(server, "GET", "/progress")) >= 14)
    assert len(asked(server, "GET", f"{patient}/progress")) >= 2


async def test_a_wait_that_begins_where_it_is_crowded_is_asked_for_before_those_that_were_already(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2)
    *others, new = started(hook, long_flow(server), 7)

    def turns() -> list[str]:
        return [path.split("/")[-2] for path in asked(server, "GET", "/progress")]

    async with waiting(others, poll_interval=20.0):
        await until(lambda: len(turns()) >= 7)
        async with waiting([new], poll_interval=20.0):
            seen = len(turns())
            await until(lambda: new in turns())
    # Both connections had others when it began, and one of them may have been given away just then.
    assert turns()[seen:].index(new) <= 2


@pytest.mark.parametrize(
    "case", [*product([2, 32], ["honoured", "ignored", "rejected"], ["none", "rejected"])], ids=str
)
async def test_whatever_a_service_makes_of_holds_all_waits_end(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[int, str, str],
) -> None:
    connections, hold, zero_hold = case
    server.configure(hold=hold, zero_hold=zero_hold)
    connect(server, monkeypatch, max_connections=connections)
    execution_ids = started(hook, working(server, 1.0), 8)
    assert await ends(execution_ids, poll_interval=1.0) == [("finished", "Success")] * 8


async def test_a_service_that_takes_zero_for_its_default_is_asked_with_a_second_once_that_has_shown(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smartflows_provider.waiting.holding.LONGEST_AT_ONCE", 0.2)
    monkeypatch.setattr("smartflows_provider.devserver.app.DEFAULT_HOLD_SECONDS", 0.4)
    server.configure(zero_hold="default")
    connect(server, monkeypatch, max_connections=2)
    execution_ids = started(hook, long_flow(server), 4)
    async with waiting(execution_ids, poll_interval=0.5):
        await until(lambda: any(request.query == "timeout=1" for request in server.requests))
    queries = [request.query for request in server.requests if request.path.endswith("/progress")]
    assert queries[:3] == ["timeout=0"] * 3


async def test_a_service_that_asks_for_patience_is_left_alone_by_all_waits(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, long_poll_seconds=0)
    execution_ids = started(hook, long_flow(server), 10)
    async with waiting(execution_ids, poll_interval=0.3):
        await until(lambda: len(asked(server, "GET", "/progress")) >= 20)
        server.inject(throttled("/progress$", seconds=2))
        await until(lambda: any(request.status == 429 for request in server.requests))
        refused = next(request.at for request in server.requests if request.status == 429)
        await until(lambda: time.time() > refused + 3)
    # What was under way when the answer came is no breach.
    later = [request.at - refused for request in server.requests if request.at > refused + 0.2]
    assert later
    assert min(later) >= 1.9


async def test_waits_that_found_no_room_are_asked_for_when_the_connection_gives_more(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2)
    first, rest = started(hook, working(server, 1.0), 2), started(hook, working(server, 0.1), 4)
    async with waiting(first, poll_interval=60.0) as early:
        await until(lambda: len(asked(server, "GET", "/progress")) == 2)
        async with waiting(rest, poll_interval=60.0) as late:
            connect(server, monkeypatch, max_connections=8)
            monkeypatch.setattr(shared_connection, "READ_AGAIN", 0.0)
            async with shared_poller(*CONNECTION) as poller, asyncio.timeout(PATIENCE):
                while poller.connection.settings.max_connections != 8:
                    async with poller.connection.use():
                        await asyncio.sleep(0.01)
            monkeypatch.setattr(shared_connection, "READ_AGAIN", 300.0)
            found = await asyncio.wait_for(asyncio.gather(*early, *late), PATIENCE)
    assert {end.status for end in found} == {"Success"}


async def test_the_end_of_the_time_is_not_put_off_by_a_service_that_asks_for_patience(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, long_poll_seconds=0)
    (execution_id,) = started(hook, long_flow(server), 1)
    server.inject(throttled("/progress$", seconds=250))
    assert await ends([execution_id], deadline=time.time() + 1) == [("deadline", "Running")]


@pytest.mark.parametrize("waits_already", [True, False])
async def test_what_one_wait_is_asked_to_be_patient_for_does_not_put_off_the_end_of_anothers_time(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, waits_already: bool
) -> None:
    connect(server, monkeypatch, long_poll_seconds=0)
    one, other = started(hook, long_flow(server), 2)
    patience = throttled(f"{one}/progress$", seconds=250, count=None)
    async with asyncio.timeout(PATIENCE):
        if not waits_already:
            server.inject(patience)
        async with waiting([one], poll_interval=0.5):
            await until(lambda: asked(server, "GET", f"{one}/progress"))
            async with waiting([other], poll_interval=60.0, deadline=time.time() + 3) as tasks:
                if waits_already:
                    await until(lambda: asked(server, "GET", f"{other}/progress"))
                    server.inject(patience)
                    await until(lambda: any(request.status == 429 for request in server.requests))
                end = await tasks[0]
    assert end.reason == "deadline"
    assert end.status == "Running"


async def test_a_look_up_that_stands_still_holds_nobody_up_who_has_a_client(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, long_poll_seconds=0)
    execution_ids = started(hook, long_flow(server), 1)
    stands = asyncio.Event()

    async def never(_: str) -> Any:
        stands.set()
        await asyncio.Event().wait()

    async with waiting(execution_ids, poll_interval=0.1):
        await until(lambda: asked(server, "GET", "/progress"))
        monkeypatch.setattr(base, "get_async_connection", never)
        monkeypatch.setattr(shared_connection, "READ_AGAIN", 0.0)
        await asyncio.wait_for(stands.wait(), PATIENCE)
        seen = len(asked(server, "GET", "/progress"))
        await until(lambda: len(asked(server, "GET", "/progress")) > seen + 2)


async def test_whatever_goes_wrong_in_a_later_look_up_ends_no_wait_and_tells_no_key(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(server, monkeypatch, long_poll_seconds=0)
    execution_ids = started(hook, long_flow(server), 1)

    async def breaks(_: str) -> Any:
        raise ZeroDivisionError("smartflows://:secret@host")

    async with waiting(execution_ids, poll_interval=0.1) as tasks:
        await until(lambda: asked(server, "GET", "/progress"))
        monkeypatch.setattr(base, "get_async_connection", breaks)
        monkeypatch.setattr(shared_connection, "READ_AGAIN", 0.0)
        await until(lambda: "goes on as it was known: ZeroDivisionError" in caplog.text)
        seen = len(asked(server, "GET", "/progress"))
        await until(lambda: len(asked(server, "GET", "/progress")) > seen + 2)
        assert not tasks[0].done()
    assert "secret" not in caplog.text


# --- one question for many ---


def questions(server: DevServer) -> list[str]:
    return asked(server, "POST", "/filter")


async def test_where_it_is_crowded_one_question_asks_for_many(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 1.5), 30)
    assert await ends(execution_ids, poll_interval=4.0) == [("finished", "Success")] * 30
    # Those that came first had a connection of their own.
    assert len(asked(server, "GET", "/progress")) <= 2
    assert 2 <= len(questions(server)) <= 12


async def test_an_answer_about_many_teaches_nothing_about_holds(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    learned: list[float | None] = []
    learn = Holding.learn

    def noting(self: Holding, wished: float | None, **more: Any) -> None:
        learned.append(wished)
        learn(self, wished, **more)

    monkeypatch.setattr(Holding, "learn", noting)
    execution_ids = started(hook, long_flow(server), 20)
    async with waiting(execution_ids, poll_interval=2.0):
        await until(lambda: len(questions(server)) >= 3)
    assert learned.count(None) >= 20
    assert learned.count(0.0) <= len(asked(server, "GET", "/progress"))


async def test_a_wait_for_a_person_is_asked_for_by_itself_because_many_answers_show_no_form(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    form = {"kind": "form", "fields": [{"key": "a"}]}
    asking = hook.start(panel_flow(server, form, {**form, "id": "b", "name": "B"}, name="Asks").id)
    question = hook.get_progress(asking.execution_id, hold_seconds=1).question
    execution_ids = started(hook, long_flow(server), 10)
    policy = WaitPolicy(deadline=time.time() + 60, poll_interval=0.5, asked=question)
    async with waiting(execution_ids, poll_interval=0.5), shared_poller(*CONNECTION) as poller:
        await until(lambda: len(questions(server)) >= 3)
        ending = asyncio.ensure_future(poller.wait_for(policy, execution_id=asking.execution_id, log=log))
        await asyncio.sleep(1.5)
        assert not ending.done()
        await asyncio.to_thread(hook.answer_form, asking.execution_id, {"a": "x"})
        end = await asyncio.wait_for(ending, PATIENCE)
    assert (end.reason, end.status) == ("needs_person", "UserInput")


async def test_where_there_is_room_nobody_shares_a_question(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, batch_status=True)
    assert await ends(started(hook, working(server, 0.3), 5)) == [("finished", "Success")] * 5
    assert questions(server) == []


@pytest.mark.parametrize("filter_by_id", ["ignored", "rejected"])
async def test_a_service_that_cannot_be_asked_for_many_is_asked_one_by_one_and_that_is_told_once(
    server: DevServer,
    hook: SmartFlowsHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    filter_by_id: str,
) -> None:
    server.configure(filter_by_id=filter_by_id)
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 1.5), 6)
    # A service that ignores the filter shows the newest executions.
    started(hook, working(server, 0.1), 10)
    assert await ends(execution_ids, poll_interval=2.0) == [("finished", "Success")] * 6
    assert len(questions(server)) == 1
    warnings = [record for record in caplog.records if record.name == shared_question.__name__]
    assert len(warnings) == 1
    assert warnings[0].levelname == "WARNING"
    text = warnings[0].getMessage()
    assert "smartflows_default" in text
    assert "batch_status does not work there" in text


async def test_what_an_answer_for_many_lacks_is_asked_for_by_itself(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 1.5), 9)
    purged = execution_ids[-1]
    server.expire(purged)
    found = await ends(execution_ids, poll_interval=2.0)
    assert found == [("finished", "Success")] * 8 + [("gone", None)]
    assert asked(server, "GET", f"{purged}/progress") == [f"/api/v1/flows/executions/{purged}/progress"]
    assert len(asked(server, "GET", "/progress")) <= 3


async def test_an_outage_of_the_question_for_many_is_one_of_every_wait_and_passes(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 0.5), 6)
    server.inject(Fault(action="status", status=503, path="/filter$", method="POST", count=2))
    assert await ends(execution_ids, poll_interval=2.0, max_outage=600) == [("finished", "Success")] * 6
    assert len(questions(server)) >= 3
    assert len(asked(server, "GET", "/progress")) <= 2


async def test_a_key_that_is_refused_to_the_question_for_many_is_looked_at_by_each_wait(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, long_flow(server), 4)
    server.revoke_key()
    assert await ends(execution_ids, poll_interval=2.0) == [("refused", None)] * 4


async def test_the_end_of_the_time_is_not_waited_for_with_others(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, long_flow(server), 6)
    async with waiting(execution_ids, poll_interval=600.0):
        await until(lambda: questions(server))
        assert await ends(execution_ids[:1], deadline=time.time() + 1) == [("deadline", "Running")]


async def test_the_end_of_the_time_does_not_wait_for_the_next_question_for_many(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    *others, last = started(hook, long_flow(server), 8)
    async with waiting(others, poll_interval=6000.0):
        await until(lambda: questions(server))
        began = time.monotonic()
        assert await ends([last], deadline=time.time() + 2, poll_interval=6000.0) == [("deadline", "Running")]
    # The next shared question would have come after nearly ten minutes.
    assert time.monotonic() - began < PATIENCE


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The moments for which waits were put into a queue."""
    seen: list[float] = []
    put = DueQueue.put

    def noted(self: DueQueue[Any], place: Any, due: float) -> None:
        seen.append(due)
        put(self, place, due)

    monkeypatch.setattr(DueQueue, "put", noted)
    return seen


async def test_a_service_that_asks_for_patience_about_many_costs_one_look_at_each_wait(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, puts: list[float]
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, long_flow(server), 60)
    server.inject(throttled("/filter$", seconds=30))
    async with waiting(execution_ids, poll_interval=2.0, max_outage=600.0):
        await until(lambda: questions(server) and len(puts) >= 2 * 60)
        await asyncio.sleep(0.1)
        assert len(puts) <= 3 * 60


async def test_a_service_that_keeps_asking_for_patience_is_not_asked_for_each(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, long_flow(server), 12)
    server.inject(throttled("/(filter|progress)$", seconds=1, count=None))
    async with waiting(execution_ids, poll_interval=2.0, max_outage=600.0):
        await until(lambda: len(questions(server)) >= 5)
    # Those that came first had a connection of their own; later one run shows whether it would be told about.
    assert len(asked(server, "GET", "/progress")) <= 2 + len(questions(server))


async def test_a_service_that_asks_for_patience_only_about_many_is_asked_one_by_one_and_that_is_told(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 0.5), 6)
    server.inject(throttled("/filter$", seconds=1, count=None))
    assert await ends(execution_ids, poll_interval=2.0, max_outage=600.0) == [("finished", "Success")] * 6
    assert "batch_status does not work there" in caplog.text
    assert "asked for by itself, a run is told about" in caplog.text


async def test_what_an_answer_for_many_lacks_is_not_asked_for_where_the_service_asks_for_patience(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks_some(self: SmartFlowsHook, execution_ids: Sequence[str]) -> Any:
        return look_all(self, execution_ids[: len(execution_ids) // 2 + 1])

    look_all = SmartFlowsHook.look_all_exchange
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, long_flow(server), 40)
    monkeypatch.setattr(SmartFlowsHook, "look_all_exchange", lacks_some)
    server.inject(throttled("/progress$", seconds=60, count=None))
    async with waiting(execution_ids[2:], poll_interval=2.0, max_outage=600.0):
        ends_soon = wait_for(execution_ids[0], deadline=time.time() + 3, poll_interval=600.0, max_outage=1.0)
        end = await asyncio.wait_for(ends_soon, PATIENCE)
        seen = [request.path.split("/")[-2] for request in server.requests if request.status == 429]
    # What was under way when the first answer came is no breach; nor is the end of a wait's time.
    assert len(seen) - seen.count(execution_ids[0]) <= 4
    assert end.reason in {"unreachable", "deadline"}


async def test_a_wait_that_is_cancelled_while_many_are_asked_for_is_not_asked_for_again(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[Sequence[str]] = []
    look_all = SmartFlowsHook.look_all_exchange

    def noted(self: SmartFlowsHook, execution_ids: Sequence[str]) -> Any:
        named.append(execution_ids)
        return look_all(self, execution_ids)

    monkeypatch.setattr(SmartFlowsHook, "look_all_exchange", noted)
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    *others, gone = started(hook, long_flow(server), 8)
    server.inject(Fault(action="delay", seconds=1.0, path="/filter$", method="POST"))
    async with waiting([gone], poll_interval=1.0) as tasks, waiting(others, poll_interval=1.0):
        await until(lambda: any(gone in each for each in named))
        tasks[0].cancel()
        asked_with_it = len(named)
        await until(lambda: len(named) >= asked_with_it + 3)
    assert not any(gone in each for each in named[asked_with_it:])
    assert asked(server, "GET", f"{gone}/progress") == []


async def test_an_answer_for_many_that_is_too_large_leads_to_one_question_each(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(self: SmartFlowsHook, execution_ids: Sequence[str]) -> Any:
        raise AnswerTooLarge("too large", kind="too_large")

    monkeypatch.setattr(SmartFlowsHook, "look_all_exchange", too_large)
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 0.5), 6)
    assert await ends(execution_ids, poll_interval=2.0) == [("finished", "Success")] * 6


async def test_a_question_for_many_that_always_fails_does_not_keep_runs_from_being_asked_for(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 0.5), 6)
    server.inject(Fault(action="status", status=504, path="/filter$", method="POST", count=None))
    assert await ends(execution_ids, poll_interval=2.0, max_outage=30) == [("finished", "Success")] * 6


async def test_a_system_that_has_no_call_for_many_is_asked_one_by_one_and_that_is_told(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(SmartFlowsHook, "look_all_exchange", base.FlowSystemHook.look_all_exchange)
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 0.5), 6)
    assert await ends(execution_ids, poll_interval=2.0) == [("finished", "Success")] * 6
    assert "batch_status does not work there: Smart Flows has no call for many runs at once" in caplog.text


async def test_an_unforeseen_error_in_the_answer_for_many_ends_only_the_wait_that_it_is_about(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 1.0), 8)

    decide = poller_module.decide

    def breaks(wait: Wait, *args: Any, **kwargs: Any) -> Any:
        if wait.execution_id == execution_ids[-1]:
            raise ZeroDivisionError("unforeseen")
        return decide(wait, *args, **kwargs)

    monkeypatch.setattr(poller_module, "decide", breaks)
    async with waiting(execution_ids, poll_interval=2.0) as tasks:
        await until(lambda: questions(server))
        with pytest.raises(ZeroDivisionError, match="unforeseen"):
            await tasks[-1]
        assert {end.status for end in await asyncio.gather(*tasks[:-1])} == {"Success"}


async def test_two_tasks_that_wait_for_the_same_run_both_see_its_end(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, monkeypatch, max_connections=2, batch_status=True)
    execution_ids = started(hook, working(server, 0.5), 2) * 3
    assert await ends(execution_ids, poll_interval=2.0) == [("finished", "Success")] * 6
