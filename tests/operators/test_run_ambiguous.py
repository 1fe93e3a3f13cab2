"""A start that was not answered: never a second execution by our doing, and never another task's run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.airflow_versions import needs_task_state
from support.outcomes import Outcome, operator_for, outcome
from support.service import LONG, START, asked, cancels, starts
from support.tasks import MODES, Attempt, FakeStateStore, Mode, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowSubmissionUnclearError
from smartflows_provider.lifecycle import begin
from smartflows_provider.lifecycle.record import RECORD_KEY

ORDER = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Order"><xs:complexType>
<xs:sequence><xs:element name="Line" type="xs:string" maxOccurs="unbounded"/>
<xs:element name="Head" minOccurs="0"><xs:complexType><xs:sequence>
<xs:element name="Reference" type="xs:string"/></xs:sequence></xs:complexType></xs:element>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""
ORDERED: dict[str, Any] = {"data": {"Line": ["pen"]}, "root": "Order"}
MARKED: dict[str, Any] = {**ORDERED, "correlation_path": "Head/Reference"}

SHORT = {"kind": "work", "duration": 0.1}

LOST: dict[str, dict[str, Any]] = {
    "reset": {"action": "reset"},
    "timeout": {"action": "delay", "seconds": 2.0},
    "502 of a proxy": {"action": "status", "status": 502, "body": "Bad gateway"},
    "sign-in page": {"action": "html"},
}
"""What keeps the answer to a start away from its task, although the service has taken it."""


def lose_answer(server: DevServer, how: str = "reset", **more: Any) -> None:
    server.inject(Fault(path=START, method="POST", taken=True, **LOST[how], **more))


class Killed(BaseException):
    """Stands for SIGKILL: nothing runs after it."""


def program(server: DevServer, step: Mapping[str, Any]) -> None:
    server.add_flow(name="Letter", start_from="program", xsd=ORDER, steps=[step])


@pytest.fixture(autouse=True)
def quick(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.configure(hold="ignored")
    program(server, SHORT)
    monkeypatch.setattr(begin, "LOOK_UP_PAUSES", (0.01, 0.05, 0.2, 0.5))


@pytest.fixture(params=LOST)
def lost(request: pytest.FixtureRequest, server: DevServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A way to lose an answer, with a connection that waits for one no longer than it must."""
    way: str = request.param
    if way == "timeout":
        connection = server.connection_json()[:-1] + ', "extra": {"read_timeout": 0.5}}'
        monkeypatch.setenv("AIRFLOW_CONN_SMARTFLOWS_DEFAULT", connection)
    return way


def unclear(run: Outcome) -> str:
    assert type(run.error) is FlowSubmissionUnclearError
    assert isinstance(run.error, AirflowFailException)
    return run.message


@pytest.mark.parametrize("mode", MODES)
def test_without_a_value_of_our_own_it_fails_at_once_and_lists_the_candidates(
    server: DevServer, mode: Mode, lost: str
) -> None:
    lose_answer(server, lost)
    message = unclear(outcome(server, mode, **ORDERED))
    (execution,) = server.executions()
    assert message.startswith("It is open whether the service has started an execution. ")
    assert f"Executions of this flow since then:\n  {execution['id']}, " in message
    assert "Find this task's among them, cancel it or take its output" in message
    assert len(starts(server)) == 1
    assert cancels(server) == []


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
def test_with_a_value_of_our_own_the_execution_is_found_and_gone_on_with(
    server: DevServer, mode: Mode, lost: str
) -> None:
    lose_answer(server, lost)
    run = outcome(server, mode, **MARKED)
    assert run.error is None, run.error
    (execution,) = server.executions()
    assert run.value["execution_id"] == execution["id"]
    assert run.attempt.xcoms["execution_id"] == execution["id"]
    assert run.attempt.store is not None
    assert run.attempt.store.get(RECORD_KEY)["execution_id"] == execution["id"]
    assert len(starts(server)) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_start_that_was_never_taken_is_not_mistaken_for_anothers(server: DevServer, mode: Mode) -> None:
    assert outcome(server, mode, **MARKED).error is None
    (others,) = server.executions()
    server.inject(Fault(action="reset", path=START, method="POST", taken=False))
    message = unclear(outcome(server, mode, **MARKED))
    assert f"  {others['id']}, Success" in message
    assert len(server.executions()) == 1


def test_an_execution_that_appears_late_is_found(server: DevServer) -> None:
    lose_answer(server)
    server.inject(Fault(action="status", status=503, path=r"/flows/[^/]+/executions$", method="GET", count=5))
    run = outcome(server, "sync", **MARKED)
    assert run.error is None, run.error


def test_a_service_that_cannot_be_asked_leaves_it_open(server: DevServer) -> None:
    lose_answer(server)
    server.inject(
        Fault(action="status", status=503, path=r"/flows/[^/]+/executions$", method="GET", count=None)
    )
    message = unclear(outcome(server, "sync", **MARKED))
    assert "The service's executions could not be listed: " in message
    assert len(server.executions()) == 1


def test_fail_looks_for_nothing(server: DevServer) -> None:
    lose_answer(server)
    unclear(outcome(server, "sync", on_ambiguous_submission="fail", **MARKED))
    assert not any(re.search(r"/executions/[^/]+$", path) for path in asked(server, "GET"))


def test_a_value_that_two_executions_echo_proves_nothing(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Constant:
        hex = "c" * 32

    monkeypatch.setattr("smartflows_provider.operators.run_flow.uuid4", Constant)
    assert outcome(server, "sync", **MARKED).error is None
    lose_answer(server)
    unclear(outcome(server, "sync", **MARKED))
    assert len(server.executions()) == 2


@needs_task_state
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("cleared", "on_clear"), [(False, "restart"), (True, "restart"), (True, "resume")])
def test_a_worker_that_dies_between_start_and_record_leaves_its_run_to_be_found_by_the_next_attempt(
    server: DevServer, mode: Mode, cleared: bool, on_clear: Any
) -> None:
    class DyingStore(FakeStateStore):
        def set(self, key: str, value: Any, *, retention: Any = None) -> None:
            if value["execution_id"] is not None:
                raise Killed
            super().set(key, value, retention=retention)

    starts_anew = cleared and on_clear == "restart"
    dying = DyingStore()
    program(server, LONG if starts_anew else SHORT)
    with pytest.raises(Killed):
        run_task(operator_for(mode, **MARKED), Attempt(store=dying))
    program(server, SHORT)
    (first,) = server.executions()
    store = FakeStateStore()
    store.entries = dying.entries
    later = Attempt(store=store, try_number=2, max_tries=int(cleared), clear_number=int(cleared))
    run = outcome(server, mode, attempt=later, on_clear=on_clear, **MARKED)
    assert run.error is None, run.error
    if starts_anew:
        assert [entry["status"] for entry in server.executions()] == ["Canceled", "Success"]
    else:
        assert run.value["execution_id"] == first["id"]
        assert len(server.executions()) == 1


@needs_task_state
def test_the_value_changes_nothing_about_whether_the_input_is_the_same(server: DevServer) -> None:
    attempt = Attempt()
    assert outcome(server, "sync", attempt=attempt, **MARKED).error is None
    again = outcome(server, "sync", attempt=attempt, on_input_changed="fail", **MARKED)
    assert again.error is None, again.error
    assert len(server.executions()) == 1


HOW_MANY = [60, pytest.param(200, marks=pytest.mark.full)]
"""Mapped tasks, many more than there are workers."""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", HOW_MANY)
def test_of_many_mapped_tasks_of_one_flow_in_the_same_second_each_has_its_own_execution_or_says_so(
    server: DevServer, mode: Mode, count: int
) -> None:
    for _ in range(count // 5):
        lose_answer(server, after=2)
    attempts = [Attempt() for _ in range(count)]

    def run(index: int) -> Any:
        task = operator_for(
            mode, data={"Line": [f"pen {index}"]}, root="Order", correlation_path="Head/Reference"
        )
        try:
            return run_task(task, attempts[index])
        except FlowSubmissionUnclearError as error:
            return error

    with ThreadPoolExecutor(max_workers=16) as pool:
        results = list(pool.map(run, range(count)))
    assert len(server.executions()) == count
    assert len(starts(server)) == count
    for index, result in enumerate(results):
        assert isinstance(result, dict), result
        assert f"<Line>pen {index}</Line>".encode() in server.input_of(result["execution_id"])
    assert len({result["execution_id"] for result in results}) == count


@pytest.mark.parametrize("count", HOW_MANY)
def test_of_many_mapped_tasks_without_a_value_none_takes_a_siblings_run(
    server: DevServer, count: int
) -> None:
    for _ in range(count // 10):
        lose_answer(server, after=5)

    def run(index: int) -> Any:
        try:
            return run_task(operator_for("sync", data={"Line": [f"pen {index}"]}, root="Order"), Attempt())
        except FlowSubmissionUnclearError as error:
            return error

    with ThreadPoolExecutor(max_workers=16) as pool:
        results = list(pool.map(run, range(count)))
    assert len(server.executions()) == count
    open_ones = [result for result in results if isinstance(result, FlowSubmissionUnclearError)]
    assert len(open_ones) == count // 10
    for index, result in enumerate(results):
        if isinstance(result, dict):
            assert f"<Line>pen {index}</Line>".encode() in server.input_of(result["execution_id"])
    assert all(re.search(r"\n  [0-9a-f-]{36}, \w+, created ", str(error)) for error in open_ones)
