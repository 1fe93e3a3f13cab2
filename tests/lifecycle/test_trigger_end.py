"""A success that is concluded in the triggerer, and all that leaves it to a worker."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from support.airflow_versions import needs_success_in_triggerer
from support.service import panel_flow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks import smart_flows
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.lifecycle.deferred_kill import TaskIdentity
from smartflows_provider.lifecycle.shared_connection import SharedConnection
from smartflows_provider.lifecycle.trigger_end import Ending, ended_here
from smartflows_provider.waiting.event import WaitEvent
from smartflows_provider.wire.smart_flows import phase_of

pytestmark = needs_success_in_triggerer

TASK = TaskIdentity(dag_id="d", run_id="r", task_id="t", map_index=2)
ENDING = Ending(returns="manifest", on_warning="succeed", max_xcom_bytes=48 * 1024)
log = logging.getLogger(__name__)

Push = Callable[..., None]


def over(server: DevServer, hook: SmartFlowsHook, *steps: dict[str, Any]) -> str:
    """Return an execution that has ended."""
    execution_id = hook.start(panel_flow(server, *steps).id).execution_id
    server.advance(3600)
    return execution_id


def conclude(
    execution_id: str,
    *,
    ending: Ending | None = ENDING,
    task: TaskIdentity | None = TASK,
    push: Push | None = None,
    owns_run: bool = True,
    announced: Callable[[], Any] | None = None,
    **ended: Any,
) -> tuple[bool, list[dict[str, Any]]]:
    """Conclude a run; return whether that was all, and what was pushed."""
    pushed: list[dict[str, Any]] = []
    seen = {"reason": "finished", "status": "Success", "execution_id": execution_id, **ended}
    event = WaitEvent(**seen, phase=phase_of(seen["status"]) if seen["status"] else None)

    async def end() -> bool:
        connection = SharedConnection("smartflows", "smartflows_default")
        try:
            return await ended_here(
                ending,
                event,
                terms={},
                connection=connection,
                task=task,
                owns_run=owns_run,
                log=log,
            )
        finally:
            await connection.close()

    def pull(key: str, **_: Any) -> Any:
        assert key == ("execution_id" if owns_run else "execution_url")
        if announced:
            return announced()
        return execution_id if owns_run else SmartFlowsHook().execution_url(execution_id)

    with (
        patch.object(deferred_kill.XCom, "set", push or (lambda **xcom: pushed.append(xcom))),
        patch.object(deferred_kill.XCom, "get_one", pull),
    ):
        here = asyncio.run(end())
    return here, pushed


OUTPUT = {"kind": "output", "values": {"total": 7}}


def test_the_manifest_is_pushed_for_the_triggers_task(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = over(server, hook, OUTPUT)
    here, (xcom,) = conclude(execution_id)
    assert here
    assert {name: xcom[name] for name in ("key", "dag_id", "run_id", "task_id", "map_index")} == {
        "key": "return_value",
        "dag_id": "d",
        "run_id": "r",
        "task_id": "t",
        "map_index": 2,
    }
    assert xcom["value"]["values"] == {"total": 7}
    assert (xcom["value"]["url"], xcom["value"]["execution_id"]) == (f"{server.url}/client", execution_id)


def test_done_twice_it_pushes_the_same(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = over(server, hook, OUTPUT)
    assert conclude(execution_id) == conclude(execution_id)


def test_a_sensor_returns_the_status(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = over(server, hook, OUTPUT)
    _, (xcom,) = conclude(execution_id, ending=Ending(returns="status", on_warning="fail"))
    assert xcom["value"] == {
        "execution_id": execution_id,
        "status": "Success",
        "url": f"{server.url}/client",
    }


def test_what_takes_time_is_done_in_a_thread(
    server: DevServer, hook: SmartFlowsHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    extract = smart_flows.extract

    def noting(*given: Any, **more: Any) -> Any:
        threads.append(threading.current_thread())
        return extract(*given, **more)

    monkeypatch.setattr(smart_flows, "extract", noting)
    here, _ = conclude(
        over(server, hook, OUTPUT), push=lambda **_: threads.append(threading.current_thread())
    )
    assert here
    assert len(threads) == 2
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"ending": None}, "the author or Airflow wants a worker"),
        ({"task": None}, "dag.test() tells a trigger no task"),
        ({"reason": "deadline"}, "a timeout is an error"),
        ({"reason": "gone", "status": None}, "so is this"),
        ({"status": "Error"}, "a failure's callbacks run on a worker"),
        ({"status": "Warning", "ending": Ending(returns="status", on_warning="fail")}, "so do these"),
        ({"status": "Finished"}, "a word that is not known"),
    ],
)
def test_every_other_end_is_a_workers_and_nothing_is_asked(
    server: DevServer, hook: SmartFlowsHook, given: dict[str, Any], why: str
) -> None:
    execution_id = over(server, hook, OUTPUT)
    asked = len(server.requests)
    assert conclude(execution_id, **given) == (False, []), why
    assert len(server.requests) == asked


def refuse(**_: Any) -> None:
    raise RuntimeError("Airflow's API server is away")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"push": refuse}, None),
        ({"ending": Ending(returns="manifest", on_warning="succeed", max_xcom_bytes=10)}, None),
        ({"ending": Ending(returns="manifest", on_warning="succeed", outputs={"a": "]"})}, None),
        ({"execution_id": "unknown"}, None),
        ({}, Fault(action="status", status=403, method="GET", count=None)),
        ({}, Fault(action="status", status=200, body="<html>", path="/executions/[^/]+$", count=None)),
    ],
)
def test_where_it_fails_a_worker_takes_it_up(
    server: DevServer,
    hook: SmartFlowsHook,
    given: dict[str, Any],
    fault: Fault | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    execution_id = over(server, hook, OUTPUT)
    if fault is not None:
        server.inject(fault)
    with caplog.at_level(logging.INFO, logger=__name__):
        assert conclude(**{"execution_id": execution_id, **given}) == (False, [])
    assert caplog.messages[-1].startswith("A worker concludes execution ")
    assert "ended in" not in caplog.text


def test_what_is_read_must_be_the_good_end_that_was_seen(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = over(server, hook, {"kind": "fail", "message": "no"})
    assert conclude(execution_id, status="Success") == (False, [])


def another() -> str:
    return "e-of-a-later-attempt"


def nobody() -> None:
    """Return no id."""


def forbidden() -> None:
    raise deferred_kill.AttemptOverError


@pytest.mark.parametrize("owns_run", [True, False])
@pytest.mark.parametrize("announced", [another, nobody, forbidden])
def test_where_another_attempt_has_the_task_nothing_is_pushed(
    server: DevServer, hook: SmartFlowsHook, announced: Callable[[], Any], owns_run: bool
) -> None:
    found = conclude(over(server, hook, OUTPUT), announced=announced, owns_run=owns_run)
    assert found == (False, [])


def test_a_run_that_the_task_does_not_own_is_told_by_its_link(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    ending = Ending(returns="status", on_warning="fail")
    here, _ = conclude(over(server, hook, OUTPUT), ending=ending, owns_run=False)
    assert here


def test_an_ending_survives_its_way_through_the_database() -> None:
    ending = Ending(
        returns="manifest", on_warning="fail", outputs={"a": "b"}, values_by_title=True, max_xcom_bytes=5
    )
    assert Ending.from_dict(json.loads(json.dumps(ending.as_dict()))) == ending


def test_an_ending_of_a_shape_that_is_not_known_is_a_workers() -> None:
    assert Ending.from_dict(None) is None
    assert Ending.from_dict({"returns": "status", "on_warning": "fail", "more": 1}) is None
