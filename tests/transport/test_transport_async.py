"""What only the async client can get wrong: cancellation, sessions left open, the event loop blocked."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
from client_driving import GET, START, settings_for
from support.loopback_certificates import Certificates
from support.loopback_server import Connection, answer, answers

from smartflows_provider.transport.asynchronous import AsyncClient
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.transport.repetition import NO_REPETITION, Repetition
from smartflows_provider.wire.messages import Request


def never_answer(connection: Connection) -> None:
    connection.read_request()
    connection.wait_for_client()


@pytest.mark.parametrize("request_", [GET, START], ids=["get", "start"])
async def test_a_cancelled_call_stays_cancelled_and_leaves_the_client_usable(
    serve: Any, request_: Request
) -> None:
    def script(connection: Connection) -> None:
        if connection.number == 0:
            never_answer(connection)
        else:
            answers(answer())(connection)

    server = serve(script)
    async with AsyncClient(settings_for(server.url)) as client:
        task = asyncio.create_task(client.send(request_))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.send(request_)).status == 200


async def test_a_call_cancelled_during_its_pause_is_not_sent_again(serve: Any) -> None:
    server = serve(answers(answer(503, retry_after="20")))
    async with AsyncClient(settings_for(server.url), repetition=Repetition()) as client:
        task = asyncio.create_task(client.send(GET))
        while not server.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(server.requests) == 1


async def test_a_held_call_blocks_no_other(serve: Any) -> None:
    def script(connection: Connection) -> None:
        request = connection.read_request()
        if request is not None and "held" in request.target:
            connection.wait_for_client()
        else:
            connection.send(answer())

    server = serve(script)
    async with AsyncClient(settings_for(server.url)) as client:
        held = asyncio.create_task(client.send(Request(method="GET", path="/held")))
        results = await asyncio.gather(*(client.send(GET) for _ in range(5)))
        assert [result.status for result in results] == [200] * 5
        assert not held.done()
        held.cancel()


async def test_nothing_is_left_open(
    serve: Any, certificates: Certificates, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    file = tmp_path / "input.xml"
    file.write_bytes(b"x" * 1000)
    plain = serve(answers(answer()))
    secure = serve(answers(answer()), tls=certificates.server_context())
    broken = serve(lambda connection: connection.reset())
    said: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(context))
    upload = Request(method="POST", path="/t", body=file, repeatable=False)
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        for url in (plain.url, secure.url, broken.url, "http://no-such-host.invalid"):
            for request in (GET, START, upload):
                async with AsyncClient(
                    settings_for(url, ca_bundle=str(certificates.authority)), repetition=NO_REPETITION
                ) as client:
                    try:
                        await client.send(request)
                        async with client.stream(GET) as (_, chunks):
                            async for _ in chunks:
                                break
                    except TransportError:
                        pass
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
    about_us = [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)]
    about_us = [text for text in about_us if "aiohttp" in text.lower() or "nclosed" in text]
    about_us = [text for text in about_us if "sqlite" not in text]
    assert about_us == []
    assert said == []
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_closing_twice_or_unused_is_no_trouble() -> None:
    client = AsyncClient(settings_for("http://127.0.0.1:1"))
    await client.close()
    await client.close()
