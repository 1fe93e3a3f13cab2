"""One table of cases, run in every mode: a DAG author cannot tell the modes apart.

Each case says what the questions about the run's status meet, one after the other. It is run by the operator
on a worker and deferred, and by the sensor in its modes ``poke``, ``reschedule`` and deferrable. What is
compared: return value, XComs, class and message of the error, whether Airflow retries it, the status that the
run is left in, and the log. The service and the clocks are in memory (:mod:`support.memory`), so the modes
meet the same at the same look, and the seconds that they wait are compared too.

What may differ, and why:

- The operator is told once in each process that it is not run by Airflow's task runner: a test's own doing.
- In the triggerer a cancel that fails is logged by the trigger; the worker then tries once more itself and
  says so in the error, as it does in the other mode.
- The sensor looks once on a worker before it defers, and in ``reschedule`` mode each look is a process of its
  own: what they say of one status is said once for each process. Of the sensor's lines each counts once.
- The trigger of a sensor knows of no status before its own first look, and may name none as the last one.
- In ``reschedule`` mode nobody counts how long an outage lasts: its bound is the sensor's ``timeout``.
- Operator and sensor name what they wait for in words of their own; class, the first sentence and the lines
  about the run's status are the same.
- A deferred task reads its connection again when it is resumed, which a worker that waits does not.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import partial
from typing import Any, Literal, get_args

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.sdk.execution_time.timeout import timeout as airflow_timeout
from structlog.testing import capture_logs
from support.airflow_versions import AirflowRescheduleException, AirflowSensorTimeout, needs_task_state
from support.memory import FLOW, FORM_FIELD, KEY, STABLE, Fate, Memory, event_of, reply
from support.outcomes import plain
from support.tasks import Attempt, revive

from smartflows_provider import exceptions
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowConnectionError,
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowExecutionInterruptedError,
    FlowExecutionWarningError,
    FlowInputError,
    FlowKilledError,
    FlowNotFoundError,
    FlowOutputError,
    FlowPermissionError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
    FlowUserInputRequiredError,
)
from smartflows_provider.lifecycle.options import RunOptions
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
from smartflows_provider.transport.errors import AnswerLost, FailureKind, NotSent
from smartflows_provider.waiting.wait import Wait
from smartflows_provider.wire.messages import Request, Response
from smartflows_provider.wire.smart_flows import ExecutionStatus

Mode = Literal["sync", "deferrable"]
Way = Literal["poke", "reschedule", "deferrable"]
Fault = Callable[[Memory, Request], Response]
Look = str | Fault
"""What a question about the status meets: a status, or something instead of one."""
FOR_EVER = 1e9


# --- what a question can meet instead of a status ---


def answered(status: int, body: Any = None, **headers: str) -> Fault:
    words = {"message": "The service says no."} if body is None else body
    return lambda memory, request: reply(request, words, status=status, **headers)


def raw(body: bytes, content_type: str) -> Fault:
    return lambda memory, request: Response(
        status=200, headers={"content-type": content_type}, body=body, request=request
    )


def unsent(kind: FailureKind) -> Fault:
    def fail(memory: Memory, request: Request) -> Response:
        raise NotSent(f"{request.label}: {kind}", kind=kind)

    return fail


def lost(kind: FailureKind) -> Fault:
    def fail(memory: Memory, request: Request) -> Response:
        raise AnswerLost(f"{request.label}: {kind}", kind=kind)

    return fail


def rotate(memory: Memory, request: Request) -> Response:
    """The key is no longer known; the connection has a new one already."""
    new = "another-key"
    memory.service.keys = {new}
    memory.set_connection(password=new)
    return memory.service.answer(request, key=KEY)


def remove_connection(memory: Memory, request: Request) -> Response:
    memory.set_connection(password="")
    return reply(request, {}, status=401)


def end_without_connection(memory: Memory, request: Request) -> Response:
    """The run ends, and the task's next process finds the connection unusable."""
    memory.service.runs[-1].status = "Success"
    memory.set_connection(password="")
    return memory.service.answer(request)


def purge(memory: Memory, request: Request) -> Response:
    memory.service.runs[-1].purged = True
    return memory.service.answer(request)


def jump(seconds: float) -> Fault:
    """The wall clock is moved while the question is on its way."""

    def move(memory: Memory, request: Request) -> Response:
        memory.clock.wall += seconds
        return memory.service.answer(request)

    return move


SIGN_IN = raw(b"<html><h1>Sign in</h1></html>", "text/html")
DATE = "Fri, 15 Jan 2027 08:01:00 GMT"
"""A minute after the clock's beginning."""


# --- the cases ---


@dataclass(frozen=True, kw_only=True)
class Case:
    """What happens, and what is to come of it."""

    looks: tuple[Look, ...] = ("Success",)
    """The last one is met for ever."""
    end: type[Exception] | str = "Success"
    """The error, or the status of the manifest."""
    says: str = ""
    """What is in the error's message, or else in the log."""
    arguments: dict[str, Any] = field(default_factory=dict)
    ways: tuple[Way, ...] = get_args(Way)
    """In which modes the sensor is asked too."""
    left: str | None = None
    """The status the run is left in, where it is not what the last look met."""


LASTING = ("poke", "deferrable")
"""Where an outage is counted."""
OUTAGE: dict[str, Any] = {"max_outage": 120.0}
PASSING: dict[str, Fault] = {
    "name does not resolve": unsent("dns"),
    "nothing listens": unsent("refused"),
    "no way": unsent("unreachable"),
    "certificate refused": unsent("tls"),
    "proxy refuses": unsent("proxy"),
    "connection resets": lost("reset"),
    "no answer in time": lost("timeout"),
    "408": answered(408),
    "409": answered(409),
    "429": answered(429),
    "429 and seconds": answered(429, retry_after="7"),
    "429 and a date": answered(429, retry_after=DATE),
    "429 and a negative number": answered(429, retry_after="-5"),
    "429 and an absurd number": answered(429, retry_after="1e9"),
    "429 and no number": answered(429, retry_after="soon"),
    "500": answered(500),
    "502": answered(502, {"message": "Bad gateway"}),
    "503 and seconds": answered(503, retry_after="7"),
    "503 and a date": answered(503, retry_after=DATE),
    "503 and a negative number": answered(503, retry_after="-5"),
    "503 and an absurd number": answered(503, retry_after="inf"),
    "504": answered(504),
    "redirect": answered(302, location="https://login.example.com/"),
    "sign-in page": SIGN_IN,
    "truncated JSON": raw(b'{"id": "1", "sta', "application/json"),
    "no JSON": raw(b"OK", "text/plain"),
    "nothing": raw(b"", "application/json"),
    "an array": answered(200, []),
    "no status": answered(200, {"id": "1"}),
}
STATUSES: dict[str, Case] = {
    "Success": Case(looks=("Running", "Success")),
    "Warning": Case(looks=("Running", "Warning"), end="Warning", says="The flow warns: The logo is missing"),
    "Error": Case(looks=("Running", "Error"), end=FlowExecutionFailedError, says="No such customer"),
    "Canceled": Case(
        looks=("Running", "Canceled"), end=FlowExecutionCanceledError, says="somebody stopped it"
    ),
    "Interrupted": Case(looks=("Running", "Interrupted"), end=FlowExecutionInterruptedError),
    "Queued": Case(looks=("Queued", "Queued", "Success"), says=": Queued"),
    "Running": Case(looks=("Running", "Running", "Success"), says=": Running"),
    "Waiting": Case(looks=("Waiting", "Waiting", "Success"), says=": Waiting"),
    "UserInput": Case(looks=("UserInput", "UserInput", "Success"), says=": UserInput"),
    "SelectFlow": Case(looks=("SelectFlow", "SelectFlow", "Success"), says=": SelectFlow"),
}
CASES: dict[str, Case] = {
    **{f"status {name}": case for name, case in STATUSES.items()},
    "an unknown status": Case(
        looks=("Paused", "Paused", "Success"), says="'Paused', which is not documented"
    ),
    "an unknown status for ever": Case(
        looks=("Paused",),
        end=FlowTimeoutError,
        says="its last status was Paused",
        arguments={"timeout": 300.0},
        ways=(),
        left="Canceled",
    ),
    "warnings are failures": Case(
        looks=("Running", "Warning"),
        end=FlowExecutionWarningError,
        says="The logo is missing",
        arguments={"on_warning": "fail"},
    ),
    "a person is a failure": Case(
        looks=("Running", "UserInput"),
        end=FlowUserInputRequiredError,
        says="needs a person, and on_user_input='fail'",
        arguments={"on_user_input": "fail"},
        left="Canceled",
    ),
    "a choice of flow is a failure": Case(
        looks=("Running", "SelectFlow"),
        end=FlowUserInputRequiredError,
        says="is in SelectFlow",
        arguments={"on_user_input": "fail"},
        left="Canceled",
    ),
    **{
        f"{name} passes": Case(
            looks=("Running", fault, fault, "Success"), says="Could not ask for the status"
        )
        for name, fault in PASSING.items()
    },
    **{
        f"{name} lasts": Case(
            looks=("Running", "Running", fault),
            end=FlowStateUnknownError,
            says="could not be found out: no status for",
            arguments=OUTAGE,
            ways=LASTING,
            left="Running",
        )
        for name, fault in PASSING.items()
    },
    "an outage before the first status": Case(
        looks=(unsent("dns"),),
        end=FlowStateUnknownError,
        says="Its last known status was none",
        arguments=OUTAGE,
        ways=(),
        left="Running",
    ),
    "a key that is refused and then known": Case(looks=("Running", answered(401), "Running", "Success")),
    "a key that is rotated": Case(looks=("Running", rotate, "Success")),
    "a key that is refused": Case(
        looks=("Running", answered(401)),
        end=FlowAuthenticationError,
        says="answered with 401",
        left="Running",
    ),
    "a right that is denied and then granted": Case(looks=("Running", answered(403), "Running", "Success")),
    "a right that is denied": Case(
        looks=("Running", answered(403)), end=FlowPermissionError, says="answered with 403", left="Running"
    ),
    "a connection that is unusable meanwhile": Case(
        looks=("Running", remove_connection),
        end=FlowConfigurationError,
        says="became unusable during the wait: The connection has no API key",
        left="Running",
    ),
    "a run that is purged": Case(looks=("Running", purge), end=FlowExecutionGoneError, says="404"),
    "a run that is gone for good": Case(
        looks=("Running", answered(410)), end=FlowExecutionGoneError, says="410", left="Running"
    ),
    "a wish to hold that is rejected": Case(looks=("Running", answered(400), "Running", "Success")),
    "a clock that is put back": Case(looks=("Running", jump(-86400.0), "Running", "Success")),
    "a clock that is put forward": Case(looks=("Running", jump(3600.0), "Running", "Success"), ways=()),
}
"""What operator and sensor are asked alike."""

TIMEOUT: dict[str, Any] = {"timeout": 300.0}
OPERATOR_CASES: dict[str, Case] = {
    "timeout": Case(
        looks=("Running",), end=FlowTimeoutError, says="is Canceled", arguments=TIMEOUT, left="Canceled"
    ),
    "timeout without a cancel": Case(
        looks=("Running",),
        end=FlowTimeoutError,
        says="It was not cancelled, as cancel_on_timeout=False asks.",
        arguments={**TIMEOUT, "cancel_on_timeout": False},
        left="Running",
    ),
    "a clock that is put forward beyond the deadline": Case(
        looks=("Running", jump(86400.0), "Running"),
        end=FlowTimeoutError,
        says="is Canceled",
        arguments=TIMEOUT,
        left="Canceled",
    ),
    "execution_timeout": Case(
        looks=("Running",),
        end=FlowTimeoutError,
        says="is Canceled",
        arguments={"execution_timeout": timedelta(seconds=200)},
        left="Canceled",
    ),
    "execution_timeout beyond timeout": Case(
        looks=("Running",),
        end=FlowTimeoutError,
        says="is Canceled",
        arguments={**TIMEOUT, "execution_timeout": timedelta(seconds=9000)},
        left="Canceled",
    ),
    "an outage at the deadline": Case(
        looks=("Running", unsent("dns")),
        end=FlowStateUnknownError,
        says="Its last known status was Running",
        arguments={**TIMEOUT, "max_outage": 9000.0},
        left="Running",
    ),
    "a person is a failure without a cancel": Case(
        looks=("Running", "UserInput"),
        end=FlowUserInputRequiredError,
        says="It was not cancelled, as cancel_on_timeout=False asks.",
        arguments={"on_user_input": "fail", "cancel_on_timeout": False},
        left="UserInput",
    ),
    "a form is answered": Case(
        looks=("Running", "UserInput", "UserInput", "Success"),
        says="Answering the form",
        arguments={"on_user_input": "answer", "answers": {FORM_FIELD: "mail"}},
    ),
    "a form is answered by its title": Case(
        looks=("UserInput", "UserInput", "Success"),
        says="'Way'",
        arguments={"on_user_input": "answer", "answers": {"Way": "mail"}},
    ),
    "answers that do not fit": Case(
        looks=("UserInput",),
        end=FlowUserInputRequiredError,
        says="belongs to the form",
        arguments={"on_user_input": "answer", "answers": {"colour": "red"}},
        left="UserInput",
    ),
    "a choice of flow cannot be answered": Case(
        looks=("SelectFlow",),
        end=FlowUserInputRequiredError,
        says="which answers cannot tell",
        arguments={"on_user_input": "answer", "answers": {"colour": "red"}},
        left="SelectFlow",
    ),
    "nobody waits": Case(end="Running", arguments={"wait_for_completion": False}, left="Running"),
    "nothing is remembered": Case(looks=("Running", "Success"), arguments={"durable": False}),
    "unattended": Case(looks=("Running", "Success"), arguments={"unattended": True}),
    "outputs": Case(arguments={"outputs": {"sum": "total"}}),
    "outputs that are not there": Case(
        end=FlowOutputError, says="'sum'", arguments={"outputs": {"sum": "none.there"}}
    ),
    "outputs that cannot be read": Case(
        end=FlowOutputError, says="Nothing was started.", arguments={"outputs": {"sum": "total["}}, left=""
    ),
    "values by title": Case(arguments={"values_by_title": True}),
    "values too large": Case(end=FlowOutputError, says="max_xcom_bytes", arguments={"max_xcom_bytes": 10}),
    "hidden input": Case(arguments={"data": {"n": "secret"}, "root": "Order", "hide_payload": True}),
    "input that cannot be sent": Case(
        end=FlowInputError, says="Nothing was started.", arguments={"data": "{", "root": "Order"}, left=""
    ),
    "a flow that is not there": Case(
        end=FlowNotFoundError, says="no flow is named 'Letters'", arguments={"flow": "Letters"}, left=""
    ),
    "polled seldom": Case(looks=("Running",) * 20 + ("Success",), arguments={"poll_interval": 300.0}),
    "polled often": Case(looks=("Running",) * 20 + ("Success",), arguments={"poll_interval": 0.5}),
}

START_FAULTS: dict[str, tuple[Fault, type[Exception], str]] = {
    "refused": (unsent("refused"), FlowConnectionError, "Nothing was started."),
    "dns": (unsent("dns"), FlowConnectionError, "Nothing was started."),
    "tls": (unsent("tls"), FlowConnectionError, "Nothing was started."),
    "401": (answered(401), FlowAuthenticationError, "answered with 401"),
    "403": (answered(403), FlowPermissionError, "answered with 403"),
    "400": (answered(400), FlowRequestRefusedError, "The service says no"),
    "404": (answered(404), FlowNotFoundError, "knows no such flow"),
    "302": (answered(302, location="https://login.example.com/"), FlowRequestRefusedError, "redirect"),
    "429": (answered(429, retry_after="3"), FlowServiceError, "Nothing was started."),
    "reset": (lost("reset"), FlowSubmissionUnclearError, "lists no execution of this flow since then"),
    "timeout": (lost("timeout"), FlowSubmissionUnclearError, "lists no execution of this flow since then"),
    "500": (answered(500), FlowSubmissionUnclearError, "lists no execution of this flow since then"),
    "502": (answered(502), FlowSubmissionUnclearError, "lists no execution of this flow since then"),
    "sign-in page": (SIGN_IN, FlowSubmissionUnclearError, "lists no execution of this flow since then"),
}


# --- running them ---


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a DAG author sees of one run."""

    value: Any
    error: BaseException | None
    xcoms: dict[str, Any]
    record: Any
    log: tuple[str, ...]
    left: str
    """The run's status at the end, empty if there is no run."""
    waited: float
    """Seconds."""

    @property
    def message(self) -> str:
        return str(self.error or "")

    @property
    def alike(self) -> dict[str, Any]:
        """What must be the same in every mode."""
        return {
            "value": self.value,
            "error": type(self.error),
            "final": isinstance(self.error, AirflowFailException),
            "message": plain(self.message),
            "xcoms": self.xcoms,
            "log": self.log,
            "left": self.left,
        }

    @property
    def about_the_run(self) -> tuple[str, ...]:
        """The lines about the run's status."""
        words = ("Execution ", "Could not ask", "The service reports", "The flow warns")
        return tuple(line for line in self.log if line.startswith(words))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setitem(Wait.__init__.__kwdefaults__, "draw", lambda: 0.5)
    return Memory(monkeypatch)


def unique(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))


NOT_OURS_TO_SAY = (
    "cannot be called outside of the Task Runner",
    "Success criteria met",
    "could not be cancelled:",
)


def said(lines: list[Any]) -> tuple[str, ...]:
    """Return the lines of a log, without those that may differ."""
    found = [plain(line["event"]) for line in lines]
    return tuple(line for line in found if not any(words in line for words in NOT_OURS_TO_SAY))


def meet(memory: Memory, looks: tuple[Look, ...]) -> None:
    """Let the questions about a run's status meet one thing after the other."""
    left = list(looks)

    def interfere(request: Request, serve: Callable[[], Response]) -> Response:
        if request.method != "GET" or not request.path.endswith("/progress"):
            return serve()
        look = left.pop(0) if len(left) > 1 else left[0]
        if callable(look):
            return look(memory, request)
        run = memory.service.runs[-1]
        if run.status not in STABLE and run.cancel_due is None:
            run.status = look
        return serve()

    memory.interfere = interfere


def seen(memory: Memory, act: Callable[[], Any], attempt: Attempt) -> Seen:
    """Do something, and return what is seen of it."""
    value, error, began = None, None, memory.clock.steady
    with capture_logs() as lines:
        try:
            value = act()
        except (Exception, AirflowTaskTimeout) as raised:  # noqa: BLE001 - that it fails, and how, is what is observed
            error = raised
    runs = memory.service.runs
    return Seen(
        value=json.loads(json.dumps(value)),
        error=error,
        xcoms=attempt.xcoms,
        record=attempt.store and dict(attempt.store.entries),
        log=said(lines),
        left="purged" if runs and runs[-1].purged else runs[-1].status if runs else "",
        waited=memory.clock.steady - began,
    )


def to_the_end(task: Any, attempt: Attempt, execute: Callable[[Any], Any] | None = None) -> Any:
    """Execute a task, in the triggerer's stead where it defers."""
    context = attempt.context()
    step: Callable[[], Any] = partial(execute or task.execute, context)
    while True:
        try:
            return step()
        except TaskDeferred as deferred:
            event = event_of(revive(deferred.trigger))
            step = partial(getattr(task, deferred.method_name), context, event=event)


def run_operator(
    memory: Memory,
    mode: Mode,
    case: Case,
    *,
    attempt: Attempt | None = None,
    begun: bool = False,
    before: Callable[[], None] = lambda: None,
    execute: Callable[[Any], Callable[[Any], Any]] = lambda operator: operator.execute,
) -> Seen:
    """
    Run the operator to its end.

    :param begun: whether the service has runs already, which stay.
    :param before: makes more go wrong.
    :param execute: returns what stands for the operator's ``execute``.
    """
    if not begun:
        memory.renew()
        memory.set_connection()
    memory.service.fates = [Fate(seconds=FOR_EVER)]
    meet(memory, case.looks)
    before()
    operator = SmartFlowsRunFlowOperator(
        deferrable=mode == "deferrable", **{"task_id": "task", "flow": FLOW, **case.arguments}
    )
    attempt = attempt or Attempt()
    return seen(memory, lambda: to_the_end(operator, attempt, execute(operator)), attempt)


def run_sensor(memory: Memory, way: Way, case: Case) -> Seen:
    memory.renew()
    memory.set_connection()
    memory.service.fates = [Fate(seconds=FOR_EVER)]
    run = memory.service.start()
    meet(memory, case.looks)
    waiting: dict[str, Any] = {"deferrable": True} if way == "deferrable" else {"mode": way}
    names = ("on_warning", "on_user_input", "max_outage")
    options = {name: case.arguments[name] for name in names if name in case.arguments}
    attempt = Attempt(started_at=memory.clock.utcnow())
    attempt.first_rescheduled_at = memory.clock.utcnow()

    def sense() -> Any:
        while True:
            sensor = SmartFlowsExecutionSensor(
                task_id="sensor",
                execution_id=run.id,
                poke_interval=30.0,
                timeout=7200.0,
                **waiting,
                **options,
            )
            try:
                return to_the_end(sensor, attempt)
            except AirflowRescheduleException as later:
                memory.clock.go_on((later.reschedule_date - memory.clock.utcnow()).total_seconds())

    return seen(memory, sense, attempt)


def check(found: Seen, case: Case) -> None:
    if isinstance(case.end, str):
        assert found.error is None, found.message
        assert found.value["status"] == case.end
    else:
        assert type(found.error) is case.end, found.message
    assert case.says in (found.message or "\n".join(found.log)) or case.says in "\n".join(found.log)
    everything = json.dumps([found.value, found.xcoms, found.record]) + found.message + "\n".join(found.log)
    assert KEY not in everything


@pytest.mark.parametrize("name", [*CASES, *OPERATOR_CASES])
def test_the_operator_is_the_same_on_a_worker_and_deferred(memory: Memory, name: str) -> None:
    case = {**CASES, **OPERATOR_CASES}[name]
    sync, deferred = (run_operator(memory, mode, case) for mode in get_args(Mode))
    check(sync, case)
    assert deferred.alike == sync.alike
    assert deferred.waited == pytest.approx(sync.waited, abs=1.0)
    if case.left is not None:
        assert sync.left == case.left


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.ways])
def test_the_sensor_is_the_same_in_its_modes_and_judges_as_the_operator(memory: Memory, name: str) -> None:
    case = CASES[name]
    operator = run_operator(memory, "sync", case)
    first, *others = (run_sensor(memory, way, case) for way in case.ways)
    check(first, case)
    for other in others:
        assert {**other.alike, "log": unique(other.log)} == {**first.alike, "log": unique(first.log)}
    assert type(first.error) is type(operator.error)
    assert plain(first.message).partition(" [")[0] == plain(operator.message).partition(" [")[0].replace(
        "The execution disappeared during the wait", "The service has no such execution"
    )
    assert unique(first.about_the_run) == unique(operator.about_the_run)


def test_a_connection_that_is_unusable_when_a_deferred_task_is_resumed_keeps_the_run_and_says_so(
    memory: Memory,
) -> None:
    case = Case(looks=("Running", end_without_connection))
    for found in (run_operator(memory, "deferrable", case), run_sensor(memory, "deferrable", case)):
        run_id = memory.service.runs[0].id
        assert type(found.error) is FlowConfigurationError
        assert "The connection has no API key." in found.message
        assert f"execution {run_id}]\nThe execution was kept." in found.message
        assert found.left == "Success"


@pytest.mark.parametrize("way", get_args(Way))
def test_the_sensors_timeout_is_airflows_error_with_the_same_words_in_every_mode(
    memory: Memory, way: Way
) -> None:
    found = run_sensor(memory, way, Case(looks=("Running",)))
    assert type(found.error) is AirflowSensorTimeout
    assert "was not finished within 7200 seconds; its last status was Running. [Smart" in str(found.error)
    assert 7199.999 <= found.waited <= 7260
    assert found.left == "Running"


# --- beginnings ---


def start_meets(memory: Memory, *faults: Fault | None, takes: bool = False) -> None:
    """Let the requests that start a run meet faults, before the service or after it has taken them."""
    inner, left = memory.interfere, list(faults)

    def interfere(request: Request, serve: Callable[[], Response]) -> Response:
        starts = request.method == "POST" and request.path.startswith("/flows/executions")
        fault = (left.pop(0) if len(left) > 1 else left[0]) if starts and left else None
        if fault is None:
            return inner(request, serve)
        if takes:
            serve()
        return fault(memory, request)

    memory.interfere = interfere


@pytest.mark.parametrize("name", START_FAULTS)
def test_a_start_that_fails_fails_alike(memory: Memory, name: str) -> None:
    fault, error, words = START_FAULTS[name]
    case = Case(end=error, says=words, left="")
    sync, deferred = (
        run_operator(memory, mode, case, before=lambda: start_meets(memory, fault)) for mode in get_args(Mode)
    )
    check(sync, case)
    assert deferred.alike == sync.alike
    assert sync.left == ""


CORRELATED: dict[str, Any] = {"data": {"n": 1}, "root": "Order", "correlation_path": "reference"}


@pytest.mark.parametrize("fault", [lost("reset"), lost("timeout"), answered(502), SIGN_IN])
@pytest.mark.parametrize(
    ("arguments", "end", "runs"),
    [
        ({}, FlowSubmissionUnclearError, 1),
        ({"on_ambiguous_submission": "fail"}, FlowSubmissionUnclearError, 1),
        ({"on_ambiguous_submission": "fail", **CORRELATED}, FlowSubmissionUnclearError, 1),
        (CORRELATED, "Success", 1),
        ({"on_ambiguous_submission": "resubmit"}, "Success", 2),
    ],
)
def test_a_start_whose_answer_is_lost_ends_alike(
    memory: Memory, fault: Fault, arguments: dict[str, Any], end: Any, runs: int
) -> None:
    case = Case(looks=("Running", "Success"), end=end, arguments=arguments)
    outcomes = []
    for mode in get_args(Mode):
        outcomes.append(
            run_operator(memory, mode, case, before=lambda: start_meets(memory, fault, None, takes=True))
        )
        assert len(memory.service.runs) == runs
    sync, deferred = outcomes
    check(sync, case)
    assert deferred.alike == sync.alike
    if end is FlowSubmissionUnclearError:
        assert "Executions of this flow since then:\n  00000000-0000-0000-0000-000000000001" in sync.message


EARLIER: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "a retry attaches": ({}, {}, "Running", "attached"),
    "a retry takes what succeeded": ({}, {}, "Success", "attached"),
    "a retry takes what warned": ({}, {}, "Warning", "attached"),
    "a retry replaces Error": ({}, {}, "Error", "new"),
    "a retry replaces Canceled": ({}, {}, "Canceled", "new"),
    "a retry replaces Interrupted": ({}, {}, "Interrupted", "new"),
    "a clear restarts": ({"clear": 1}, {"on_clear": "restart"}, "Running", "superseded"),
    "a clear resumes": ({"clear": 1}, {"on_clear": "resume"}, "Running", "attached"),
    "another input attaches": ({"n": 2}, {"on_input_changed": "attach"}, "Running", "attached"),
    "another input restarts": ({"n": 2}, {"on_input_changed": "restart"}, "Running", "superseded"),
    "another input fails": ({"n": 2}, {"on_input_changed": "fail"}, "Running", "fails"),
    "a run that was purged": ({}, {}, "purged", "gone"),
}


@needs_task_state
@pytest.mark.parametrize("name", EARLIER)
def test_what_an_earlier_attempt_has_left_is_met_alike(memory: Memory, name: str) -> None:
    changes, options, status, expected = EARLIER[name]
    outcomes = []
    for mode in get_args(Mode):
        first = Attempt(max_tries=1)
        arguments = {"data": {"n": 1}, "root": "Order", **options}
        run_operator(memory, mode, Case(arguments={**arguments, "wait_for_completion": False}), attempt=first)
        run = memory.service.runs[-1]
        run.status, run.purged = ("Running", True) if status == "purged" else (status, False)
        cleared = changes.get("clear", 0)
        again = Attempt(store=first.store, try_number=2, max_tries=1 + cleared, clear_number=cleared)
        later = {**arguments, "data": {"n": changes.get("n", 1)}}
        case = Case(looks=("Running", "Success"), arguments=later)
        found = run_operator(memory, mode, case, attempt=again, begun=True)
        outcomes.append((found.alike, [(one.id, one.status, one.purged) for one in memory.service.runs]))
    assert outcomes[0] == outcomes[1]
    alike, runs = outcomes[0]
    ends = {"fails": FlowInputError, "gone": FlowExecutionGoneError}
    assert alike["error"] is ends.get(expected, type(None)), alike["message"]
    assert len(runs) == (2 if expected in {"new", "superseded"} else 1)
    if expected == "superseded":
        assert [one[1] for one in runs] == ["Canceled", "Success"]


# --- time limits and kills, as Airflow brings them about ---


def interrupted(memory: Memory, what: Callable[[Request], bool]) -> None:
    """Let Airflow's clock for ``execution_timeout`` run out during a request, after it was served."""
    inner, open_ = memory.interfere, [True]

    def interfere(request: Request, serve: Callable[[], Response]) -> Response:
        answer = inner(request, serve)
        if open_ and what(request):
            open_.clear()
            signal.raise_signal(signal.SIGALRM)
        return answer

    memory.interfere = interfere


def within_execution_timeout(operator: Any) -> Callable[[Any], Any]:
    """Return what executes a task within its ``execution_timeout``, as Airflow's task runner does."""

    def execute(context: Any) -> Any:
        try:
            with airflow_timeout(operator.execution_timeout.total_seconds()):
                return operator.execute(context)
        except AirflowTaskTimeout:
            operator.on_kill()
            raise

    return execute


def looks_at_progress(request: Request) -> bool:
    return request.method == "GET" and request.path.endswith("/progress")


def starts_a_run(request: Request) -> bool:
    return request.method == "POST"


@pytest.mark.parametrize("cancel", [True, False])
def test_airflows_own_execution_timeout_on_a_worker_ends_as_the_triggers_does(
    memory: Memory, cancel: bool
) -> None:
    limit = {"execution_timeout": timedelta(seconds=200), "cancel_on_timeout": cancel}
    case = Case(looks=("Running",), end=FlowTimeoutError, arguments=limit)
    deferred = run_operator(memory, "deferrable", case)
    before = signal.getsignal(signal.SIGALRM)
    try:
        sync = run_operator(
            memory,
            "sync",
            case,
            before=lambda: interrupted(memory, looks_at_progress),
            execute=within_execution_timeout,
        )
    finally:
        signal.signal(signal.SIGALRM, before)
    assert type(sync.error) is FlowTimeoutError
    same = ("value", "error", "final", "xcoms", "left")
    assert {name: sync.alike[name] for name in same} == {name: deferred.alike[name] for name in same}
    assert sync.left == ("Canceled" if cancel else "Running")
    # The question that was interrupted has told nothing.
    assert sync.message.replace("not known", "Running") == deferred.message


@pytest.mark.parametrize("mode", get_args(Mode))
def test_airflows_execution_timeout_during_the_start_leaves_it_open_in_both_modes(
    memory: Memory, mode: Mode
) -> None:
    case = Case(arguments={"execution_timeout": timedelta(seconds=200)})
    before = signal.getsignal(signal.SIGALRM)
    try:
        found = run_operator(
            memory,
            mode,
            case,
            before=lambda: interrupted(memory, starts_a_run),
            execute=within_execution_timeout,
        )
    finally:
        signal.signal(signal.SIGALRM, before)
    assert type(found.error) is FlowSubmissionUnclearError
    assert "execution_timeout passed while the start was not answered" in found.message
    assert f"  {memory.service.runs[0].id}, Running" in found.message


@pytest.mark.parametrize("cancel", [True, False])
@pytest.mark.parametrize("what", [starts_a_run, lambda request: request.path == "/flows"])
def test_a_worker_that_is_told_to_stop_before_the_wait_ends_alike(
    memory: Memory, cancel: bool, what: Callable[[Request], bool]
) -> None:
    """Later a deferred task has no worker: who ends it then, ends its trigger."""
    outcomes = []
    for mode in get_args(Mode):
        operators: list[Any] = []

        def stop(operators: list[Any] = operators) -> None:
            inner = memory.interfere

            def interfere(request: Request, serve: Callable[[], Response]) -> Response:
                answer = inner(request, serve)
                if what(request):
                    operators[0].on_kill()
                return answer

            memory.interfere = interfere

        def execute(operator: Any, operators: list[Any] = operators) -> Callable[[Any], Any]:
            operators.append(operator)
            return operator.execute

        case = Case(looks=("Running",), arguments={"cancel_on_kill": cancel})
        outcomes.append(run_operator(memory, mode, case, before=stop, execute=execute))
    sync, deferred = outcomes
    assert deferred.alike == sync.alike
    assert type(sync.error) is FlowKilledError
    assert sync.left == ("" if what is not starts_a_run else "Canceled" if cancel else "Running")


# --- nothing is forgotten ---


def test_every_status_of_the_service_has_its_case() -> None:
    assert set(STATUSES) == {status.value for status in ExecutionStatus}


def test_every_error_that_a_run_can_end_in_has_its_case() -> None:
    ends = {case.end for case in (*CASES.values(), *OPERATOR_CASES.values())}
    ends |= {error for _, error, _ in START_FAULTS.values()} | {FlowKilledError}
    tree = {
        one
        for one in vars(exceptions).values()
        if isinstance(one, type) and issubclass(one, exceptions.FlowException)
    }
    elsewhere = {
        exceptions.FlowException,
        exceptions.FlowAmbiguousError,  # tests/hooks: the look-up of a name, before anything differs by mode
        exceptions.FlowConnectionMissingError,  # test_bad_input: before the wait
        exceptions.FlowDocumentError,  # tests/output and test_run_attempts: after the wait
        exceptions.FlowEventError,  # test_run_outcomes: only what was deferred is resumed
        exceptions.FlowRecordError,  # test_run_life_machine and test_begin_run: before the wait
    }
    assert tree - elsewhere == {end for end in ends if isinstance(end, type)}


def test_every_option_is_in_a_case() -> None:
    named = {name for case in (*CASES.values(), *OPERATOR_CASES.values()) for name in case.arguments}
    tested = (
        named
        | set(CORRELATED)
        | {"on_clear", "on_input_changed", "on_ambiguous_submission", "cancel_on_kill"}
        # Of on_user_input="ask", which has a suite of its own.
        | {"answer_timeout"}
    )
    options = {option.name for option in fields(RunOptions)}
    assert options <= tested
