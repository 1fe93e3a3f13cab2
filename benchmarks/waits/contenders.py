"""The sides that are measured: what each needs to wait for one run, and how it is told to.

Invariants: a contender's package is imported in no other contender's process; a trigger is driven as the
triggerer drives it, until it has no more events; a wait ends with all the events that came, so that none is
lost or doubled unnoticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.waits.answers import execution_id, final_status

CONNECTION = "service"
VARIABLE = f"AIRFLOW_CONN_{CONNECTION.upper()}"
MAX_CONNECTIONS = 32
"""The bare loop's, and ours where nothing else is set."""
WEEK = 7 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a wait came to."""

    events: int
    """How many the trigger has yielded."""
    right: bool
    """Whether all told what the service said."""


class Waiter(Protocol):
    """Waits for one run."""

    def __call__(self, wait: int, interval: float, /) -> Awaitable[Ended]:
        """Wait, asking at an interval of seconds."""


Opener = Callable[[str], contextlib.AbstractAsyncContextManager[Waiter]]
"""Gets ready in the process that waits; takes the service's address."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One side."""

    name: str
    opener: Opener
    default_interval: float
    """Seconds between two questions where a DAG author sets nothing."""
    connection: Callable[[str, int], Mapping[str, Any]]
    """Airflow's connection for a host and port."""
    package: str = ""
    """Whose version matters."""


@contextlib.asynccontextmanager
async def _ours(_: str) -> AsyncIterator[Waiter]:
    from smartflows_provider.triggers.execution import FlowExecutionTrigger

    deadline = time.time() + WEEK

    async def wait_for(wait: int, interval: float) -> Ended:
        trigger = FlowExecutionTrigger(
            system="smartflows",
            conn_id=CONNECTION,
            execution_id=execution_id(wait),
            deadline=deadline,
            poll_interval=interval,
        )
        return await _drive(
            trigger,
            lambda event: (event["reason"], event["status"]) == ("finished", final_status(wait)),
        )

    yield wait_for


@contextlib.asynccontextmanager
async def _bare(address: str) -> AsyncIterator[Waiter]:
    """One session, one task per wait: ask, read, sleep."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=ssl.create_default_context())
    async with aiohttp.ClientSession(connector=connector, headers={"X-API-Key": "key"}) as session:

        async def wait_for(wait: int, interval: float) -> Ended:
            url = f"{address}/api/v1/flows/executions/{execution_id(wait)}/progress?timeout=0"
            await asyncio.sleep(random.random() * interval)
            while True:
                async with session.get(url) as answer:
                    told = json.loads(await answer.read())
                if told["status"] != "Running":
                    return Ended(events=1, right=told["status"] == final_status(wait))
                await asyncio.sleep(interval)

        yield wait_for


@contextlib.asynccontextmanager
async def _dbt_cloud(_: str) -> AsyncIterator[Waiter]:
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    async def wait_for(wait: int, interval: float) -> Ended:
        trigger = DbtCloudRunJobTrigger(
            conn_id=CONNECTION,
            run_id=wait + 1,
            end_time=time.time() + WEEK,
            poll_interval=interval,
            account_id=1,
        )
        return await _drive(trigger, lambda event: event["status"] == "success")

    yield wait_for


@contextlib.asynccontextmanager
async def _databricks(_: str) -> AsyncIterator[Waiter]:
    from airflow.providers.databricks.triggers.databricks import (
        DatabricksExecutionTrigger,
    )

    async def wait_for(wait: int, interval: float) -> Ended:
        trigger = DatabricksExecutionTrigger(
            run_id=wait + 1, databricks_conn_id=CONNECTION, polling_period_seconds=round(interval)
        )
        return await _drive(trigger, lambda event: "SUCCESS" in event["run_state"])

    yield wait_for


@contextlib.asynccontextmanager
async def _airbyte(_: str) -> AsyncIterator[Waiter]:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    async def wait_for(wait: int, interval: float) -> Ended:
        trigger = AirbyteSyncTrigger(
            job_id=wait + 1, conn_id=CONNECTION, end_time=time.time() + WEEK, poll_interval=interval
        )
        return await _drive(trigger, lambda event: event["status"] == "success")

    yield wait_for


@contextlib.asynccontextmanager
async def _fivetran(address: str) -> AsyncIterator[Waiter]:
    """The service's host is a constant of the hook's class."""
    from fivetran_provider_async.hooks import FivetranHook
    from fivetran_provider_async.triggers import FivetranTrigger

    FivetranHook.api_host = address.partition("//")[2]

    async def wait_for(wait: int, interval: float) -> Ended:
        trigger = FivetranTrigger(
            task_id="wait", connector_id=f"wait_{wait}", fivetran_conn_id=CONNECTION, poke_interval=interval
        )
        return await _drive(trigger, lambda event: event["status"] == "success")

    yield wait_for


@contextlib.asynccontextmanager
async def _http(_: str) -> AsyncIterator[Waiter]:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    async def wait_for(wait: int, interval: float) -> Ended:
        trigger = HttpSensorTrigger(endpoint=f"ready/{wait}", http_conn_id=CONNECTION, poke_interval=interval)
        return await _drive(trigger, lambda event: event is True)

    yield wait_for


async def _drive(trigger: Any, is_right: Callable[[Any], bool]) -> Ended:
    """Run a trigger to its end."""
    events = 0
    right = True
    async for event in trigger.run():
        events += 1
        right = right and is_right(event.payload)
    return Ended(events=events, right=right)


@dataclass(frozen=True)
class _Host:
    """The connections that hold little more than a host."""

    conn_type: str
    scheme: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, host: str, port: int) -> Mapping[str, Any]:
        return {
            "conn_type": self.conn_type,
            "host": f"{self.scheme}{host}:{port}",
            "password": "key",
            **self.fields,
        }


def _apart(conn_type: str) -> Callable[[str, int], Mapping[str, Any]]:
    """Return the connections that hold host and port apart."""
    return lambda host, port: {"conn_type": conn_type, "host": host, "port": port, "password": "key"}


OURS = Contender(
    name="ours",
    opener=_ours,
    default_interval=60.0,
    connection=_apart("smartflows"),
    package="airflow-provider-smartflows",
)
BARE = Contender(
    name="bare aiohttp loop",
    opener=_bare,
    default_interval=60.0,
    connection=_apart("smartflows"),
    package="aiohttp",
)
DBT_CLOUD = Contender(
    name="dbt-cloud",
    opener=_dbt_cloud,
    default_interval=60.0,
    connection=_Host("dbt_cloud"),
    package="apache-airflow-providers-dbt-cloud",
)
DATABRICKS = Contender(
    name="databricks",
    opener=_databricks,
    default_interval=30.0,
    connection=_apart("databricks"),
    package="apache-airflow-providers-databricks",
)
AIRBYTE = Contender(
    name="airbyte",
    opener=_airbyte,
    default_interval=60.0,
    # Without a password it needs no token of the service's.
    connection=_Host("airbyte", "https://", {"password": None}),
    package="apache-airflow-providers-airbyte",
)
FIVETRAN = Contender(
    name="fivetran-async",
    opener=_fivetran,
    default_interval=15.0,
    connection=_Host("fivetran", "", {"login": "key"}),
    package="airflow-provider-fivetran-async",
)
HTTP = Contender(
    name="http",
    opener=_http,
    default_interval=60.0,
    connection=_Host("http", "https://"),
    package="apache-airflow-providers-http",
)
PEERS = (DBT_CLOUD, DATABRICKS, AIRBYTE, FIVETRAN, HTTP)
CONTENDERS = {each.name: each for each in (OURS, BARE, *PEERS)}


def connection_variable(contender: Contender, *, host: str, port: int, extra: Mapping[str, Any]) -> str:
    """
    Return the value of the environment variable that is Airflow's connection.

    :param extra: the connection's extra fields, beyond what it needs.
    """
    named = dict(contender.connection(host, port))
    return json.dumps({**named, "extra": json.dumps(dict(extra))})


def address(host: str, port: int) -> str:
    """Return the address of a service."""
    return f"https://{host}:{port}"
