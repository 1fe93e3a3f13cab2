"""Runs a task of any system, and says what a DAG author sees of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support.interruptions import once
from support.outcomes import logged
from support.tasks import MODES, Attempt, FakeStateStore, revive, run_task

from conformance.systems import Case
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import FlowException
from smartflows_provider.lifecycle import deferred_kill

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?")
PATIENCE = 30.0
"""Seconds after which a test stops to wait."""
RETRY = {"max_tries": 3, "try_number": 2}
"""The attempt after :func:`first_attempt`'s."""
PASSING = (
    Fault(action="status", status=503, count=2),
    Fault(action="reset", count=2),
    Fault(action="status", status=429, headers={"retry-after": "0"}, count=2),
    Fault(action="html", count=2),
    Fault(action="truncated", count=2),
)
"""Trouble with a service that is over soon."""
BODIES = (
    *("[]", "null", "7", '"text"', "{}", "", "[" * 100_000),
    *('{"id": null}', '{"id": {"a": []}, "state": 7}'),
)
"""Answers that no documentation allows for."""
both_modes = pytest.mark.parametrize("mode", MODES)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a DAG author sees of one run of a task."""

    value: Any
    error: Exception | None
    attempt: Attempt
    log: tuple[str, ...]

    @property
    def message(self) -> str:
        """What the task failed with; empty for none."""
        return "" if self.error is None else str(self.error)

    def plain(self, case: Case) -> str:
        """Return value and XComs without what is different in every run."""
        text = json.dumps([self.value, self.attempt.xcoms], sort_keys=True)
        for number, run_id in enumerate(case.started()):
            del number
            text = text.replace(f'"{run_id}"', '"<id>"').replace(f"/{run_id}", "/<id>")
        return _MOMENT.sub("<moment>", _GUID.sub("<id>", text))


def run(
    operator: Any,
    attempt: Attempt | None = None,
    *,
    meanwhile: tuple[Case, Callable[[str], object]] | None = None,
    by: Callable[[Any, Attempt], Any] = run_task,
) -> Seen:
    """
    Run a task to its end.

    :param meanwhile: what is called with the run's id once the service was asked about it.
    :param by: runs it, and returns its value.
    """
    attempt = attempt or Attempt()
    value, error = None, None
    with logged() as log, _acting(meanwhile):
        try:
            value = by(operator, attempt)
        except Exception as raised:  # noqa: BLE001 - that it fails, and how, is what is observed
            error = raised
    return Seen(value=value, error=error, attempt=attempt, log=tuple(log))


def trouble_with_looks(case: Case, troubles: Iterable[Fault]) -> None:
    """Have the service answer its next questions about runs with trouble."""
    for trouble in troubles:
        case.server.inject(replace(trouble, path=case.look_path))


def hostile_answers() -> list[Fault]:
    """Return a fault for each of :data:`BODIES`."""
    headers = {"content-type": "application/json"}
    return [Fault(action="status", status=200, headers=headers, body=body) for body in BODIES]


def while_waiting(operator: Any, attempt: Attempt) -> Any:
    """Bring a deferrable task to where it waits, as if its worker had ended then; return its trigger."""
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(attempt.context())
    return revive(deferred.value.trigger)


def killed_while_deferred(operator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a person mark a deferred task as failed."""
    attempt = Attempt()
    trigger = while_waiting(operator, attempt)
    states = {"run": {"task": "failed"}}
    airflow = SimpleNamespace(get_task_states=lambda **_: states)
    monkeypatch.setattr(deferred_kill, "RuntimeTaskInstance", airflow)
    monkeypatch.setattr(deferred_kill.XCom, "get_one", lambda key, **_: attempt.xcoms.get(key))
    trigger.task_instance = attempt.context()["ti"]

    async def kill() -> None:
        await asyncio.wait_for(trigger.on_kill(), PATIENCE)

    asyncio.run(kill())


def _acting(meanwhile: tuple[Case, Callable[[str], object]] | None) -> AbstractContextManager[None]:
    """Act on the run that the block starts once the service was asked about it."""
    if meanwhile is None:
        return nullcontext()
    case, act = meanwhile
    known = len(case.server.requests)
    look = re.compile(case.look_path)

    def asked() -> str | None:
        paths = [one.path for one in case.server.requests[known:] if look.search(one.path) and one.status]
        return paths[-1] if paths else None

    return once(asked, act)


def names_all(seen: Seen, case: Case, run_id: str) -> None:
    """Insist that a message names system, connection and run, and says what became of it and what to do."""
    error = seen.error
    assert isinstance(error, FlowException)
    assert f"[{case.label}, connection '{case.conn_id}', flow '" in seen.message
    assert f"execution {run_id}" in seen.message
    assert error.fate
    assert error.advice


def first_attempt(store: FakeStateStore) -> Attempt:
    return Attempt(store=store, max_tries=3)
