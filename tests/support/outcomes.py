"""Runs a flow's task in both modes and insists that a DAG author cannot tell them apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.wire.smart_flows import phase_of
from support.interruptions import once
from support.service import asked
from support.tasks import MODES, Attempt, Mode, run_task

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")
_PASSING_LINE = re.compile(
    r"^Execution <id>: |^Could not ask for the status|could not be cancelled: |outside of the Task Runner"
)
_OUTAGE = re.compile(r"no status for \d+ s")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a DAG author sees of one run of a task."""

    value: Any
    error: Exception | None
    attempt: Attempt
    execution: Mapping[str, Any] | None
    """The last one at the service."""
    log: tuple[str, ...]
    """What the task and its trigger have logged."""

    @property
    def message(self) -> str:
        """What the task failed with."""
        return str(self.error)

    @property
    def execution_id(self) -> str:
        """Of the last execution at the service."""
        return self.execution["id"] if self.execution is not None else ""

    @property
    def alike(self) -> tuple[Any, ...]:
        """What must be the same in every mode, without what is different in every run."""
        return (
            type(self.error),
            plain(self.message),
            plain(json.dumps(self.value, sort_keys=True)),
            plain(json.dumps(self.attempt.xcoms, sort_keys=True)),
            self.execution["status"] if self.execution is not None else None,
            self.decisive_lines,
        )

    @property
    def decisive_lines(self) -> tuple[str, ...]:
        """
        The lines of the log that must be the same in every mode, each once.

        Which progress is seen, and how often a question fails, is a matter of the moment. That a cancel
        failed is a line of the trigger's, and part of the error's message in both modes. That the operator is
        not run by Airflow's task runner is said once in each process, and only in tests.
        """
        lines = (plain(line) for line in self.log)
        return tuple(dict.fromkeys(line for line in lines if not _PASSING_LINE.search(line)))


def operator_for(mode: Mode, **arguments: Any) -> SmartFlowsRunFlowOperator:
    """Return a task that runs the flow ``Letter`` and looks often."""
    given = {"task_id": "t", "flow": "Letter", "poll_interval": 0.05, **arguments}
    return SmartFlowsRunFlowOperator(deferrable=mode == "deferrable", **given)


def outcome(
    server: DevServer,
    mode: Mode,
    *,
    attempt: Attempt | None = None,
    meanwhile: Callable[[str], object] | None = None,
    **arguments: Any,
) -> Outcome:
    """
    Run a task to its end.

    :param meanwhile: called with the execution's id once the task waits for it.
    :param arguments: of the operator.
    """
    operator, attempt = operator_for(mode, **arguments), attempt or Attempt()
    value, error = None, None
    with logged() as log, acting(server, meanwhile):
        try:
            value = run_task(operator, attempt)
        except Exception as raised:  # noqa: BLE001 - that it fails, and how, is what is observed
            error = raised
    executions = server.executions()
    return Outcome(
        value=value,
        error=error,
        attempt=attempt,
        execution=executions[-1] if executions else None,
        log=tuple(log),
    )


def both(server: DevServer, **arguments: Any) -> Outcome:
    """
    Run a task in both modes and return the outcome, which must be the same.

    :param arguments: as for :func:`outcome`; functions named ``fresh_…`` give the argument's value anew for
        each mode.
    """
    found = []
    for mode in MODES:
        given = {
            name.removeprefix("fresh_"): value() if name.startswith("fresh_") else value
            for name, value in arguments.items()
        }
        found.append(outcome(server, mode, **given))
    sync, deferred = found
    assert sync.alike == deferred.alike
    assert sync.attempt.deferrals == []
    return deferred


@contextmanager
def logged() -> Iterator[list[str]]:
    """Give the lines that are logged in the block, which are written as ever."""
    lines: list[str] = []

    def note(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        lines.append(str(event["event"]))
        return event

    # Loggers that were used before hold on to the list itself.
    processors = structlog.get_config()["processors"]
    processors.insert(0, note)
    try:
        yield lines
    finally:
        processors.remove(note)


@contextmanager
def acting(server: DevServer, act: Callable[[str], object] | None) -> Iterator[None]:
    """Do something to the execution that the block is about, once it is waited for."""
    if act is None:
        yield
        return
    known = len(asked(server, "GET", "/progress"))
    past = {one["id"] for one in server.executions() if phase_of(one["status"]).is_stable}

    def waited_for() -> str | None:
        paths = asked(server, "GET", "/progress")[known:]
        return next((found for path in reversed(paths) if (found := path.split("/")[-2]) not in past), None)

    with once(waited_for, act):
        yield


def plain(text: str) -> str:
    """Return a text without what is different in every run: ids, moments, how long an outage was."""
    return _OUTAGE.sub("no status for … s", _MOMENT.sub("<moment>", _GUID.sub("<id>", text)))
