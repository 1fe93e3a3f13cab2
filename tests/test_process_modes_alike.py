"""A process ends a task in the same way on a worker and in the triggerer: the same manifest or error."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.tasks import MODES, Attempt, Mode, run_task
from support.workflow_server import CREATION, meanwhile, process_task, workflow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_server import WorkflowServerSection
from smartflows_provider.exceptions import FlowException
from smartflows_provider.lifecycle import begin

__all__ = ["workflow"]


@dataclass(frozen=True, kw_only=True)
class Story:
    """What a task runs, and what happens to it."""

    arguments: dict[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    happens: Callable[[WorkflowServerSection, str], object] | None = None
    end: str
    """The manifest's status, or the error's class."""


def fault(path: str, **more: Any) -> Fault:
    return Fault(**{"action": "status", "path": path, "count": None, **more})


LONG = {"scheme_code": "Long"}
CHANGING = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
    (r'"(created_at|finished_at|TransitionTime)": ("[^"]*"|null)', "<moment>"),
    (r"no status for \d+ s", "no status for a while"),
)
"""What differs between any two runs."""
STORIES = {
    "finished": Story(end="Finalized (Done)"),
    "outputs": Story(arguments={"outputs": {"r": "parameters.Result"}}, end="Finalized (Done)"),
    "a state on the way": Story(arguments={**LONG, "success_states": ["Working"]}, end="Running (Working)"),
    "at rest": Story(arguments={"scheme_code": "Approval", "wait_for": "idle"}, end="Idled (Approval)"),
    "finished elsewhere": Story(arguments={"success_states": ["X"]}, end="FlowExecutionFailedError"),
    "a bad state": Story(arguments={**LONG, "failure_states": ["Working"]}, end="FlowExecutionFailedError"),
    "terminated": Story(
        arguments=LONG, happens=lambda at, one: at.fail(one, status=4), end="FlowExecutionFailedError"
    ),
    "error": Story(
        arguments=LONG, happens=lambda at, one: at.fail(one, status=5), end="FlowExecutionFailedError"
    ),
    "purged": Story(arguments=LONG, happens=lambda at, one: at.purge(one), end="Purged"),
    "purged with names": Story(
        arguments={**LONG, "success_states": ["Done"]},
        happens=lambda at, one: at.purge(one),
        end="FlowExecutionGoneError",
    ),
    "purged where deleting stops": Story(
        arguments={**LONG, "on_kill": "delete"},
        happens=lambda at, one: at.purge(one),
        end="FlowExecutionCanceledError",
    ),
    "stopped by somebody": Story(
        arguments={**LONG, "on_kill": "set_state:Working"}, end="FlowExecutionCanceledError"
    ),
    "a time limit": Story(arguments={**LONG, "timeout": 0.3}, end="FlowTimeoutError"),
    "a time limit that stops": Story(
        arguments={**LONG, "timeout": 0.3, "on_kill": "set_state:Stopped"}, end="FlowTimeoutError"
    ),
    "a time limit that deletes": Story(
        arguments={**LONG, "timeout": 0.3, "on_kill": "delete"}, end="FlowTimeoutError"
    ),
    "a time limit whose stop is refused": Story(
        arguments={**LONG, "timeout": 0.3, "on_kill": "set_state:Nowhere"}, end="FlowTimeoutError"
    ),
    "an unknown status at the limit": Story(
        arguments={**LONG, "timeout": 0.3}, happens=lambda at, one: at.show(one, 254), end="FlowTimeoutError"
    ),
    "an outage": Story(
        arguments={**LONG, "max_outage": 0.2},
        faults=(fault("getinstanceinfo", status=503),),
        end="FlowStateUnknownError",
    ),
    "a refused key": Story(
        arguments=LONG, faults=(fault("getinstanceinfo", status=401),), end="FlowAuthenticationError"
    ),
    "a denied right": Story(
        arguments=LONG, faults=(fault("getinstanceinfo", status=403),), end="FlowPermissionError"
    ),
    "a refused start": Story(arguments={"scheme_code": "Nowhere"}, end="FlowRequestRefusedError"),
    "a start that stays open": Story(faults=(fault(CREATION, status=500),), end="FlowStateUnknownError"),
    "a start that was taken": Story(
        faults=(fault(CREATION, status=500, taken=True, count=1),), end="Finalized (Done)"
    ),
}


def outcome(
    story: Story, mode: Mode, *, workflow: WorkflowServerSection, server: DevServer, attempt: Attempt
) -> tuple[str, str]:
    """Return how a task ends, and all that it says then, but for ids and moments."""
    for one in story.faults:
        server.inject(one)
    happens = story.happens
    acting = nullcontext() if happens is None else meanwhile(server, lambda one: happens(workflow, one))
    said: dict[str, Any]
    with acting:
        try:
            said = run_task(process_task(mode, **story.arguments), attempt)
            end = said["status"]
        except FlowException as error:
            end, said = type(error).__name__, {"says": str(error), "helps": error.retry_helps}
    server.clear_faults()
    left = attempt.xcoms.get("execution_left") is not None
    text = json.dumps([said, left, attempt.xcoms.get("execution_id") is not None])
    for pattern, stand_in in CHANGING:
        text = re.sub(pattern, stand_in, text)
    return end, text


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_a_process_ends_a_task_alike_in_both_modes(
    workflow: WorkflowServerSection, server: DevServer, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    monkeypatch.setattr(begin, "LOOK_UP_PAUSES", (0.01, 0.02))
    ends = {
        mode: outcome(story, mode, workflow=workflow, server=server, attempt=Attempt(max_tries=number))
        for number, mode in enumerate(MODES)
    }
    assert ends["sync"][0] == story.end
    assert ends["deferrable"] == ends["sync"]


@pytest.fixture
def server(smart_flows_server: DevServer) -> DevServer:
    return smart_flows_server
