"""The cases of every mode, run both ways: concluded in the triggerer where that is allowed, and on a worker.

What is compared is what :mod:`test_modes_alike` compares: value, XComs, error, log, and the status that the
run is left in. What may differ: the triggerer says where it leaves to a worker what it has tried.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from support.airflow_versions import needs_success_in_triggerer
from support.memory import FLOW, Fate, Memory
from support.tasks import Attempt
from support.triggerer import Ended, to_the_end
from test_modes_alike import CASES, FOR_EVER, OPERATOR_CASES, Case, Seen, check, meet, memory, seen, unique

from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor

pytestmark = needs_success_in_triggerer

__all__ = ["memory"]


TRIED = "A worker concludes execution"


def prepare(memory: Memory, case: Case) -> None:
    memory.renew()
    memory.set_connection()
    memory.service.fates = [Fate(seconds=FOR_EVER)]
    meet(memory, case.looks)


def concluded(memory: Memory, attempt: Attempt, run: Any) -> tuple[Seen, int]:
    """Run a task, and return what is seen of it and how many workers it took; 0 for one that failed."""
    ended: list[Ended] = []

    def act() -> Any:
        ended.append(run())
        return ended[0].value

    return seen(memory, act, attempt), ended[0].workers if ended else 0


def said(found: Seen) -> tuple[str, ...]:
    return tuple(line for line in found.log if not line.startswith(TRIED))


def run_operator(memory: Memory, case: Case, **arguments: Any) -> tuple[Seen, int]:
    prepare(memory, case)
    operator = SmartFlowsRunFlowOperator(
        deferrable=True, **{"task_id": "task", "flow": FLOW, **case.arguments, **arguments}
    )
    attempt = Attempt()
    return concluded(memory, attempt, partial(to_the_end, operator, attempt))


def run_sensor(memory: Memory, case: Case, **arguments: Any) -> tuple[Seen, int]:
    prepare(memory, case)
    execution_id = memory.service.start().id
    names = ("on_warning", "on_user_input", "max_outage")
    options = {name: case.arguments[name] for name in names if name in case.arguments}
    sensor = SmartFlowsExecutionSensor(
        **{
            "task_id": "task",
            "execution_id": execution_id,
            "deferrable": True,
            "poke_interval": 30.0,
            "timeout": 7200.0,
            **options,
            **arguments,
        }
    )
    now = memory.clock.utcnow()
    attempt = Attempt(started_at=now)
    return concluded(memory, attempt, partial(to_the_end, sensor, attempt, now=now))


@pytest.mark.parametrize("name", [*CASES, *OPERATOR_CASES])
def test_a_run_ends_alike_in_the_triggerer_and_on_a_worker(memory: Memory, name: str) -> None:
    case = {**CASES, **OPERATOR_CASES}[name]
    (here, few), (resumed, many) = (
        run_operator(memory, case, resume_on_worker=resumes) for resumes in (False, True)
    )
    check(here, case)
    assert {**here.alike, "log": said(here)} == resumed.alike
    assert here.waited == pytest.approx(resumed.waited, abs=1.0)
    if isinstance(case.end, str):
        answers = case.arguments.get("on_user_input") == "answer"
        waits = case.arguments.get("wait_for_completion", True)
        assert (few, many) == ((2, 3) if answers else (1, 2) if waits else (1, 1))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.ways])
def test_a_sensor_ends_alike_without_a_worker_and_on_two(memory: Memory, name: str) -> None:
    case = CASES[name]
    (here, none), (resumed, two) = (
        run_sensor(memory, case, resume_on_worker=resumes) for resumes in (False, True)
    )
    check(here, case)
    assert {**here.alike, "log": unique(here.log)} == {**resumed.alike, "log": unique(resumed.log)}
    if isinstance(case.end, str):
        assert (none, two) == (0, 2)


@pytest.mark.parametrize("limits", [{"timeout": 300.0}, {"execution_timeout": timedelta(seconds=300)}])
def test_a_sensors_time_is_up_at_the_same_moment_both_ways(memory: Memory, limits: dict[str, Any]) -> None:
    case = Case(looks=("Running",))
    (here, _), (resumed, _) = (
        run_sensor(memory, case, resume_on_worker=resumes, **limits) for resumes in (False, True)
    )
    assert here.error is not None
    assert {**here.alike, "log": unique(here.log)} == {**resumed.alike, "log": unique(resumed.log)}
    assert here.waited == pytest.approx(resumed.waited, abs=1.0)
    assert here.waited == pytest.approx(300, abs=31)
