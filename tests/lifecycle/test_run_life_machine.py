"""The life of a run against a model: sequences of statuses, faults, clock jumps, kills and people.

Hypothesis draws the sequences. Each step lets Airflow take the task one step further (an attempt on a worker,
a spell in the triggerer, a resumption) with a plan of what happens on the way, or does something in between.
All of the package is real; Airflow, the service and the clocks are in memory. At every request that starts a
run, and wherever the task ends, the model tells what must hold:

- no run is started while another run of this task is alive, or, by a retry, after one that ended well;
- no run of another task is waited for, cancelled or returned;
- a clear that starts anew does not go on with the run of before;
- a cancel of our own is neither the task's final failure nor its success;
- the service is asked to cancel only where a person, the deadline or the author wants that;
- a run that is still alive when the task has failed is named in its message, its log or its record;
- every error has its cause, and those that Airflow does not retry are those that no retry mends;
- the key is in no message, log, XCom, record, trigger row or event.

What no design can keep is excused by name, see :class:`Life.excuse`.

``LIFE_SEQUENCES`` and ``LIFE_SEED`` in the environment run other sequences than those of every day.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs
from support.airflow_versions import AirflowSensorTimeout
from support.memory import FLOW_ID, KEY, STABLE, Fate, Memory, MemoryRun, event_of, reply
from support.tasks import Attempt, FakeStateStore, revive

from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConnectionError,
    FlowException,
    FlowExecutionCanceledError,
    FlowExecutionFailedError,
    FlowExecutionGoneError,
    FlowExecutionInterruptedError,
    FlowExecutionWarningError,
    FlowInputError,
    FlowKilledError,
    FlowNotFoundError,
    FlowPermissionError,
    FlowRecordError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    FlowTimeoutError,
    FlowUserInputRequiredError,
)
from smartflows_provider.lifecycle import deferred_kill
from smartflows_provider.lifecycle.candidates import CLOCK_TOLERANCE
from smartflows_provider.lifecycle.record import RECORD_KEY
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
from smartflows_provider.transport.errors import AnswerLost, NotSent
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.wire.messages import Request, Response

SEED = int(os.environ.get("LIFE_SEED", "3"))
CASES = (
    [(int(os.environ["LIFE_SEQUENCES"]), SEED)]
    if "LIFE_SEQUENCES" in os.environ
    else [(100, SEED), pytest.param(1900, SEED + 1, marks=pytest.mark.full)]
)
"""How many sequences with which seed: a few every day, the others with the tests that take longer."""
STEPS = 10
"""Steps of a sequence at most; then the task is brought to its end without further faults."""
TIME_LIMIT = 300.0
"""The task's ``timeout``."""


class WorkerDied(BaseException):
    """SIGKILL: no code of the process runs any more."""


class TriggererGone(asyncio.CancelledError):
    """The trigger is ended by its triggerer."""


class ApiServerAway(RuntimeError):
    """Airflow does not take or give what it keeps."""


class WatchedStore(FakeStateStore):
    """The task state store, each access a point."""

    def __init__(self, point: Callable[..., Any]) -> None:
        super().__init__()
        self._point = point

    def get(self, key: str, default: Any = None) -> Any:
        return self._point("store", lambda: super(WatchedStore, self).get(key, default))

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self._point("store", lambda: super(WatchedStore, self).set(key, value, retention=retention))

    def delete(self, key: str) -> None:
        self._point("store", lambda: super(WatchedStore, self).delete(key))


@dataclass
class WatchedAttempt(Attempt):
    """An attempt whose pushes are points."""

    point: Callable[..., Any] = lambda what, act: act()

    def _push(self, key: str, value: Any) -> None:
        self.point("push", lambda: super(WatchedAttempt, self)._push(key, value))


@dataclass(frozen=True)
class Setting:
    """What the author and the surroundings have decided, for a whole sequence."""

    airflow: str = "3.3"
    """3.4 empties the task's state when a task is cleared, and keeps it when its whole DAG run is."""
    deferrable: bool = False
    retries: int = 1
    on_clear: str = "restart"
    on_input_changed: str = "attach"
    on_ambiguous_submission: str = "look_up"
    correlated: bool = False
    on_user_input: str = "wait"
    on_warning: str = "succeed"
    cancel_on_kill: bool = True
    cancel_on_timeout: bool = True
    fates: tuple[Fate, ...] = (Fate(),)


Plan = list[tuple[str, int]]
"""What happens in one step: a happening, and how many points that suit it pass before."""

REQUEST_FAULTS = (
    "refuse", "lose", "take and lose", "502", "take and 502", "take and html", "429", "401", "403", "400",
    "short outage", "long outage",
)  # fmt: skip
SERVICE_EVENTS = (
    "Success", "Warning", "Error", "Interrupted", "UserInput", "Paused", "Running", "canceled there",
    "purged",
)  # fmt: skip
CLOCK_EVENTS = ("clock forward", "clock back", "time passes")
PEOPLE = ("clear", "clear whole run", "mark failed", "mark success", "clear sibling")
WORKER_EVENTS = ("die", "die after", "stop", "stop after", "store fails", "store stays away")
TRIGGER_EVENTS = ("triggerer dies", "trigger moves", "triggerer freezes")


class Life:
    """One task instance, its Airflow and the model of what must hold."""

    def __init__(self, memory: Memory, setting: Setting) -> None:
        memory.renew()
        self.memory, self.setting = memory, setting
        self.service, self.clock = memory.service, memory.clock
        self.service.fates = list(setting.fates)
        memory.interfere = self._request
        self.clock.on_sleep = lambda: self.point("sleep", lambda: None)
        self.store = WatchedStore(self.point)
        self.xcoms: dict[str, Any] = {}
        # what Airflow knows
        self.state = "none"
        self.try_number = 0
        self.retries = self.max_tries = setting.retries
        self.clear_number = 0
        self.row: FlowExecutionTrigger | None = None
        self.event: dict[str, Any] | None = None
        self.attempt_began = None
        self.later: list[tuple[deferred_kill.WaitedRun, float]] = []
        self.ghosts: list[FlowExecutionTrigger] = []
        self._begin_model()
        # how the step goes
        self.plan: Plan = []
        self.where: str | None = None
        self.operator: SmartFlowsRunFlowOperator | None = None
        self.outage_until = 0.0
        self.store_down = 0
        self.ending = False
        """Whether the trigger of this process is being ended."""

    def _begin_model(self) -> None:
        """Begin with what the model knows."""
        self.generation = 0
        """Grows with each clear of this task: each is one more run that is wanted."""
        self.generation_of: dict[str, int] = {}
        self.excused: dict[str, str] = {}
        """Runs that no design can keep, and why."""
        self.unanswered: set[str] = set()
        """Runs whose start was taken, but whose answer did not get through, or not into the record."""
        self.input_version = 0
        self.input_of: dict[str, int] = {}
        self.faults: set[str] = set()
        """What has happened since the task was cleared last."""
        self.said: list[str] = []
        """All that people can read."""
        self.stopped = False
        """Whether this worker was told to stop."""
        self.killed_alive: set[str] = set()
        self.attempt_generation = 0
        """What the attempt that is under way was begun for."""
        self.in_doubt = False
        """Whether this attempt cannot tell if it is a retry or comes after a clear."""
        self.looks_retried = False
        """Whether the attempt before this one failed by itself, although somebody had cleared the task."""
        self.doubted: set[str] = set()
        """Runs that such an attempt has taken the place of."""
        self.timed_out: set[str] = set()
        self.asked_person: set[str] = set()
        self.told: set[str] = set()
        """Runs that may be there, as people have been told."""
        self.ended_by_person: set[str] = set()
        """Runs whose trigger was told that a person has ended the task."""
        self.broken: list[str] = []
        """What should hold and does not."""

    # --- what happens at the points ---

    def point(self, what: str, act: Callable[[], Any]) -> Any:
        """Do something that a happening may come before or after."""
        name = self._next(what)
        after = self._happen(name) if name is not None else None
        if what == "store" and self.store_down:
            self.store_down -= 1
            self.faults.add("store")
            raise ApiServerAway("the API server does not answer")
        found = act()
        if after is not None:
            after()
        return found

    def _next(self, what: str) -> str | None:
        """Return what happens at a point, if its turn has come."""
        if not self.plan or not self._suits(self.plan[0][0], what):
            return None
        name, skip = self.plan.pop(0)
        if skip:
            self.plan.insert(0, (name, skip - 1))
            return None
        if name in REQUEST_FAULTS:
            self.faults.add(name)
        return name

    def _suits(self, name: str, what: str) -> bool:
        if self.where is None or (name in TRIGGER_EVENTS and self.where != "triggerer"):
            return False
        if name in WORKER_EVENTS and self.where != "worker":
            return False
        if name.startswith("store"):
            return what == "store"
        if name in REQUEST_FAULTS:
            return what == "answer"
        if name in PEOPLE + TRIGGER_EVENTS and (self.stopped or self.ending):
            return False
        return not (name in TRIGGER_EVENTS and what not in {"request", "sleep"})

    def _happen(self, name: str) -> Callable[[], None] | None:
        if name in SERVICE_EVENTS:
            self.at_service(name)
        elif name in CLOCK_EVENTS:
            self.clocks(name)
        elif name in PEOPLE:
            self.person(name)
        elif name == "die":
            raise WorkerDied
        elif name == "die after":
            return self._die
        elif name == "stop":
            self._stop()
        elif name == "stop after":
            return self._stop
        elif name == "store fails":
            self.store_down = 1
        elif name == "store stays away":
            self.store_down = 4
        elif name in TRIGGER_EVENTS:
            self._end_trigger(name)
        else:
            raise LookupError(name)
        return None

    def _die(self) -> None:
        raise WorkerDied

    def _stop(self) -> None:
        """Tell the worker to stop, as Airflow's signal handler does in the task's own thread."""
        if self.where != "worker" or self.stopped or self.operator is None:
            return
        self.stopped = True
        self.faults.add("stopped")
        self.killed_alive = {run.id for run in self.ours if run.alive and self._knows(run)}
        self.operator.on_kill()

    def _knows(self, run: MemoryRun) -> bool:
        """Whether the worker had the run's id when it was told to stop."""
        flow_run = self.operator._run if self.operator else None
        return flow_run is not None and flow_run._execution_id == run.id

    def _end_trigger(self, name: str) -> None:
        if self.row is None:
            raise LookupError(name)
        if name == "triggerer freezes":
            self.ghosts.append(self.row)
        raise TriggererGone(name)

    def at_service(self, name: str) -> None:
        """Let something happen to the run that was started last."""
        self.service.go_on()
        if not self.ours:
            return
        run = self.ours[-1]
        if name == "purged":
            if not run.alive:
                run.purged = True
                self.faults.add("purged")
        elif name == "canceled there":
            self.service.cancel(run, by="somebody")
        elif run.status not in STABLE and run.cancel_due is None:
            run.status = name
        self.note()

    def clocks(self, name: str) -> None:
        """Let time pass, or the wall clock jump."""
        self.note()
        if name == "time passes":
            self.clock.go_on(60.0)
        else:
            self.clock.wall += 200.0 if name == "clock forward" else -200.0
        self.note()

    def _request(self, request: Request, serve: Callable[[], Response]) -> Response:
        """Answer a request of the package's, or do not."""
        self.service.go_on()
        self.note()
        name = self._next("answer")
        if name in {"short outage", "long outage"}:
            self.outage_until = self.clock.steady + (60.0 if name == "short outage" else 1500.0)
        if self.clock.steady < self.outage_until:
            self.clock.go_on(1.0)
            self.faults.add("long outage")
            raise NotSent(f"{request.label}: nothing listens", kind="refused")
        match name:
            case "refuse":
                raise NotSent(f"{request.label}: nothing listens", kind="refused")
            case "lose":
                raise AnswerLost(f"{request.label}: the connection broke", kind="reset")
            case "502":
                return reply(request, {"message": f"no upstream for {KEY}"}, status=502)
            case "429":
                return reply(request, {}, status=429, retry_after="7")
            case "401" | "403" | "400":
                return reply(request, {"message": f"no: {KEY}"}, status=int(name))
        self._check_request(request)
        before = len(self.ours)
        answer = self.point("request", lambda: self._served(request, serve))
        if len(self.ours) > before and name is not None:
            self.unanswered.add(self.ours[-1].id)
        match name:
            case "take and lose":
                raise AnswerLost(f"{request.label}: the connection broke", kind="reset")
            case "take and 502":
                return reply(request, {"message": "no upstream"}, status=502)
            case "take and html":
                return Response(
                    status=200,
                    headers={"content-type": "text/html"},
                    body=b"<html>Sign in</html>",
                    request=request,
                )
        return answer

    def _served(self, request: Request, serve: Callable[[], Response]) -> Response:
        starts = request.method == "POST" and request.path.endswith("/executions")
        if not starts:
            return serve()
        self.service.go_on()
        self._check_start()
        self.service.start(ours=False, body="<Order>another's</Order>")
        answer = serve()
        run = self.ours[-1]
        self.generation_of[run.id] = self.attempt_generation
        self.input_of[run.id] = self.input_version
        self.unanswered.add(run.id)
        return answer

    # --- what must hold at the service ---

    @property
    def ours(self) -> list[MemoryRun]:
        return [run for run in self.service.runs if run.ours]

    @property
    def record(self) -> dict[str, Any]:
        return json.loads(self.store.entries.get(RECORD_KEY, "{}"))

    def _check_start(self) -> None:
        changed = self.setting.on_input_changed == "restart"
        for run in self.ours:
            if self.excuse(run):
                continue
            if run.alive:
                self.broken.append(f"a second run is started while {run.id} is {run.status}")
            if self.in_doubt:
                self.doubted.add(run.id)
            retried = self.generation_of[run.id] == self.attempt_generation and run.id not in self.doubted
            wanted_anew = changed and self.input_of[run.id] != self.input_version
            if run.status in {"Success", "Warning"} and retried and not wanted_anew:
                self.broken.append(f"{run.id} has ended in {run.status}, and a retry starts another")

    def excuse(self, run: MemoryRun) -> str | None:
        """
        Return why a run may go on beside another.

        - Its start was never answered, and the author has asked for ``resubmit``.
        - Its start was never answered, the task has told people so, and they have cleared it. A clear that
          comes while the worker is just about to tell cannot be told from one that comes after it.
        - A worker died at the start, and the task was cleared beyond doubt: the log says that one is started.
        - Airflow 3.4 has emptied the record at a clear, and the kill did not get to the service.
        """
        if run.id in self.excused:
            return self.excused[run.id]
        if run.id in self.unanswered and self.setting.on_ambiguous_submission == "resubmit":
            return "resubmit"
        return None

    def _looks_cleared(self) -> bool:
        """
        Whether Airflow's data look like a clear although there was none.

        Something was cleared since, and the last attempt ended without a word, or retries were changed since.
        """
        record = self.record
        if not record or record["epoch"]["clear_number"] == self.clear_number:
            return False
        return record["ended_try"] != self.try_number - 1 or record["retries"] != self.retries

    def _check_request(self, request: Request) -> None:
        if not request.path.startswith("/flows/executions/"):
            return
        run_id = request.path.split("/")[3]
        run = next(run for run in self.service.runs if run.id == run_id)
        if request.path.endswith("/progress") and not run.ours:
            self.broken.append(f"{request.label}: that run is another task's")
        if request.method == "DELETE" and run.alive and self.where in {"worker", "triggerer"}:
            self._check_cancel(run)

    def _check_cancel(self, run: MemoryRun) -> None:
        """Check that somebody wants the run cancelled."""
        setting, record = self.setting, self.record
        asked_person = run.id in self.asked_person and setting.on_user_input == "fail"
        by_author = setting.cancel_on_timeout and (asked_person or run.id in self.timed_out)
        by_person = setting.cancel_on_kill and (self.stopped or self.generation_of[run.id] != self.generation)
        superseded = setting.on_clear == "restart" and (
            self.generation_of[run.id] != self.generation or self.in_doubt
        )
        changed = self.input_of[run.id] != self.input_version and setting.on_input_changed == "restart"
        unrecorded = "store" in self.faults and record.get("execution_id") != run.id
        ended = setting.cancel_on_kill and self.state in {"failed", "success", "none"}
        again = setting.cancel_on_kill and "us" in run.canceled_by
        if not (again or by_author or by_person or superseded or changed or unrecorded or ended):
            self.broken.append(f"{run.id} is cancelled, and nobody wants that")

    def note(self) -> None:
        """Note whose time has passed, and who needs a person: both may be over when the task acts on it."""
        record = self.record
        for run in self.ours:
            if run.status == "UserInput":
                self.asked_person.add(run.id)
            own = record.get("execution_id") == run.id
            deadline = record["deadline"] if own else run.began_wall + TIME_LIMIT
            # The deadline counts from the moment before the request, which may have been repeated.
            if self.clock.wall >= deadline - 10.0:
                self.timed_out.add(run.id)

    # --- Airflow ---

    @contextmanager
    def _process(self, where: str, plan: Plan) -> Iterator[None]:
        """Run something in a process of Airflow's."""
        self.plan, self.where, self.stopped, self.store_down = list(plan), where, False, 0
        self.ending = False
        self.killed_alive = set()
        try:
            with capture_logs() as lines:
                yield
        finally:
            self.said += [line["event"] for line in lines]
            self.plan, self.where, self.operator, self.store_down = [], None, None, 0
            self._check_secrets()
        assert not self.broken, "; ".join(self.broken)

    def operator_now(self) -> SmartFlowsRunFlowOperator:
        setting = self.setting
        return SmartFlowsRunFlowOperator(
            task_id="task",
            flow=FLOW_ID,
            data={"n": self.input_version},
            root="Order",
            correlation_path="ref" if setting.correlated else None,
            timeout=TIME_LIMIT,
            deferrable=setting.deferrable,
            on_clear=setting.on_clear,
            on_input_changed=setting.on_input_changed,
            on_ambiguous_submission=setting.on_ambiguous_submission,
            on_user_input=setting.on_user_input,
            on_warning=setting.on_warning,
            cancel_on_kill=setting.cancel_on_kill,
            cancel_on_timeout=setting.cancel_on_timeout,
            retries=self.retries,
        )

    @property
    def over(self) -> bool:
        return self.state in {"success", "failed"}

    def go_on(self, plan: Plan) -> None:
        """Let Airflow take the task one step further."""
        if self.state == "deferred":
            self._in_triggerer(plan)
            return
        event, self.event = self.event, None
        if self.state != "resuming":
            self.try_number += 1
            self.xcoms.clear()
            self.attempt_began = self.clock.utcnow()
            self.attempt_generation = self.generation
            self.in_doubt = self._looks_cleared()
            self.looks_retried = self.record.get("ended_try") == self.try_number - 1
        self.state = "running"
        with self._process("worker", plan):
            self._on_worker(event)

    def _on_worker(self, event: dict[str, Any] | None) -> None:
        attempt = WatchedAttempt(
            store=self.store,
            max_tries=self.max_tries,
            try_number=self.try_number,
            started_at=self.attempt_began,
            clear_number=self.clear_number,
            xcoms=self.xcoms,
            point=self.point,
        )
        self.operator = operator = self.operator_now()
        context = {**attempt.context(), "task": operator}
        try:
            value = operator.execute(context) if event is None else operator.execute_complete(context, event)
        except TaskDeferred as deferred:
            self._check_not_after_kill("is deferred")
            trigger = revive(deferred.trigger)
            if self.state == "running":
                self.state, self.row = "deferred", trigger
                self._check_run(trigger.execution_id)
        except WorkerDied:
            self.said.append("")
            self._attempt_failed(final=False, error=None)
        except Exception as error:  # noqa: BLE001 - every error is looked at
            self.said.append(str(error))
            self._check_error(error)
            self._attempt_failed(final=isinstance(error, AirflowFailException), error=error)
        else:
            self._check_not_after_kill("succeeds")
            self._check_value(value)
            if self.state == "running":
                self.state = "success"
        self._settle_answered()

    def _settle_answered(self) -> None:
        """See which runs are known to later attempts by now."""
        known = json.dumps(self.record)
        self.unanswered -= {run_id for run_id in self.unanswered if run_id in known}

    def _attempt_failed(self, *, final: bool, error: Exception | None) -> None:
        if self.state != "running":
            return
        retry = not final and self.try_number <= self.max_tries
        self.state = "up_for_retry" if retry else "failed"
        if self.state == "failed":
            self._settle_answered()
            self._check_named(error)

    def _in_triggerer(self, plan: Plan) -> None:
        row = self.row
        assert row is not None
        self.row = trigger = revive(row)
        trigger.task_instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)
        with self._process("triggerer", plan):
            try:
                event = event_of(trigger)
            except TriggererGone as gone:
                self.said.append("")
                if str(gone) in {"trigger moves", "person"} and not (
                    self.setting.airflow == "3.4" and str(gone) == "trigger moves"
                ):
                    self._on_kill(trigger)
                return
            if self.state == "deferred":
                self.state, self.event, self.row = "resuming", event, None

    def _on_kill(self, trigger: FlowExecutionTrigger) -> None:
        trigger.task_instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)
        self.ending = True
        if self.state in {"failed", "success", "none"} and self.setting.cancel_on_kill:
            self.ended_by_person.add(trigger.execution_id)
        asyncio.run(trigger.on_kill())

    def person(self, name: str) -> None:
        """Let a person do something to the task, or to a task beside it."""
        if name == "clear sibling":
            self.clear_number += 1
            return
        if self.state in {"none", "up_for_retry"} and not name.startswith("clear"):
            return
        running, where = self.state == "running", self.where
        if name.startswith("clear"):
            self._clear(running=running, keeping=name == "clear whole run")
        else:
            self.state = "failed" if name == "mark failed" else "success"
        self.event = None
        trigger, self.row = self.row, None
        if running:
            self.plan.insert(0, ("stop", 1))
        elif where == "triggerer":
            raise TriggererGone("person")
        elif trigger is not None:
            with self._process("triggerer", []):
                self._on_kill(trigger)

    def _clear(self, *, running: bool, keeping: bool) -> None:
        self.generation += 1
        self.clear_number += 1
        if not running:
            self.max_tries = self.try_number + self.retries
        self.state = "none"
        if self.setting.airflow == "3.4" and not keeping:
            self.store.entries.clear()
            for run in self.ours:
                self.excused.setdefault(run.id, "3.4 has emptied the record")
        if not running:
            for run_id in self.unanswered:
                self.excused.setdefault(run_id, "the task was cleared before it has told")
        for run_id in self.told:
            self.excused.setdefault(run_id, "the task has told that it is open, and was cleared")

    def answer_form(self) -> None:
        """Let a person answer a form of Airflow's, which resumes the task and ends its trigger."""
        trigger = self.row
        if trigger is None:
            return
        self.state, self.row = "resuming", None
        self.event = {"chosen_options": ["OK"], "params_input": {}, "timedout": False}
        with self._process("triggerer", []):
            self._on_kill(trigger)

    def sense(self) -> None:
        """Let a sensor look for a while at the run that was started last."""
        if not self.ours:
            return
        asked = len(self.service.requests)
        sensor = SmartFlowsExecutionSensor(
            task_id="sensor", execution_id=self.ours[-1].id, poke_interval=20, timeout=50
        )
        with self._process("sensor", []), suppress(FlowException, AirflowSensorTimeout):
            found = sensor.execute(Attempt().context())
            assert found["status"] in {"Success", "Warning"}
        assert {request.method for request in self.service.requests[asked:]} <= {"GET"}

    def look_later(self) -> None:
        """Let the triggerer look again at the runs of which it could not be told who answers for them."""
        pending, self.later = self.later, []
        with self._process("triggerer", []):
            for run, until in pending:
                if deferred_kill._look(run, self.clock.steady) != "open":
                    continue
                if self.clock.steady < until:
                    self.later.append((run, until))
                else:
                    deferred_kill._give_up(run)

    def wake_ghosts(self) -> None:
        """Let frozen triggerers wake up, and find that their triggers are no longer theirs."""
        ghosts, self.ghosts = self.ghosts, []
        with self._process("triggerer", []):
            for trigger in ghosts:
                self._on_kill(trigger)

    def restart_triggerer(self) -> None:
        """Start the triggerer anew; what it was to look at later is forgotten."""
        self.ended_by_person -= {run.execution_id for run, _ in self.later}
        self.later, self.ghosts = [], []

    # --- what Airflow tells the triggerer ---

    def get_task_states(self, **question: Any) -> dict[str, dict[str, str | None]]:
        words = {"none": None, "resuming": "scheduled"}
        return {"run": {"task": words.get(self.state, self.state)}}

    def get_one(self, *, key: str, **_: Any) -> Any:
        return self.xcoms.get(key)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[None]:
        done: Future[None] = Future()
        function(*arguments)
        done.set_result(None)
        return done

    def add(self, run: deferred_kill.WaitedRun) -> None:
        self.later.append((run, self.clock.steady + deferred_kill.PATIENCE))

    # --- what must hold for the task ---

    def _run_of(self, run_id: str) -> MemoryRun:
        return next(run for run in self.service.runs if run.id == run_id)

    def _check_run(self, run_id: str) -> None:
        """Check that a run is the one that is wanted now."""
        run = self._run_of(run_id)
        assert run.ours, f"{run_id} is another task's run"
        old = self.generation_of[run_id] != self.attempt_generation
        if old and self.setting.on_clear == "restart" and self.state == "running":
            assert self.looks_retried, f"the task was cleared and goes on with {run_id}"

    def _check_value(self, value: Any) -> None:
        self._check_run(value["execution_id"])
        run = self._run_of(value["execution_id"])
        good = {"Success"} if self.setting.on_warning == "fail" else {"Success", "Warning"}
        assert run.status in good, f"the task succeeds, and {run.id} is {run.status}"

    def _check_not_after_kill(self, what: str) -> None:
        canceled = [run.id for run in self.ours if run.id in self.killed_alive and "us" in run.canceled_by]
        assert not (self.stopped and canceled), f"the task was told to stop, and {what} with {canceled}"

    def _check_error(self, error: Exception) -> None:
        """Check that an error has its cause."""
        faults, message = self.faults, str(error)
        named = [run for run in self.ours if run.id in message]
        run = named[0] if named else None
        outage = faults & set(REQUEST_FAULTS)
        match error:
            case FlowExecutionCanceledError():
                cause = run is not None and run.status == "Canceled" and run.canceled_by == {"somebody"}
                cause = cause or (run is not None and "somebody" in run.canceled_by)
            case FlowExecutionWarningError():
                cause = run is not None and run.status == "Warning" and self.setting.on_warning == "fail"
            case FlowUserInputRequiredError():
                cause = (
                    self.setting.on_user_input == "fail" and run is not None and run.id in self.asked_person
                )
            case FlowExecutionGoneError() | FlowNotFoundError():
                cause = run is not None and run.purged
            case FlowAuthenticationError():
                cause = "401" in faults
            case FlowPermissionError():
                cause = "403" in faults
            case FlowRequestRefusedError():
                cause = "400" in faults
            case FlowSubmissionUnclearError():
                cause = bool(self.unanswered) or bool(outage) or self.record.get("execution_id", "") is None
                lists = [
                    one.id
                    for one in self.ours
                    if one.id in self.unanswered
                    and not one.purged
                    and one.began_wall >= self.record.get("submitted_at", 0.0) - CLOCK_TOLERANCE
                    and one.id not in message
                ]
                cannot = "could not be listed" in message
                assert cannot or not lists, f"{lists} are not listed"
                self.told |= self.unanswered
                if self.attempt_generation != self.generation:
                    for run_id in self.unanswered:
                        self.excused.setdefault(run_id, "the task was cleared while it found that out")
            case FlowInputError():
                cause = self.setting.on_input_changed == "fail" and self.input_version > 0
            case FlowTimeoutError():
                cause = run is not None and run.id in self.timed_out
            case FlowStateUnknownError():
                cause = bool(outage) or (run is not None and run.fate.cancel_seconds > 30)
            case FlowExecutionFailedError():
                cause = run is not None and run.status == "Error"
            case FlowExecutionInterruptedError():
                cause = run is not None and run.status == "Interrupted"
            case FlowKilledError():
                cause = self.stopped or (
                    run is not None and run.status == "Canceled" and "earlier attempt" in message
                )
            case FlowConnectionError() | FlowServiceError():
                cause = bool(outage)
            case ApiServerAway():
                cause = "store" in faults
            case FlowRecordError():
                cause = "store" in faults
            case _:
                cause = False
        assert cause, f"{type(error).__name__} has no cause: {message}"

    def _check_named(self, error: Exception | None) -> None:
        """Check that people can find what the failed task leaves alive."""
        self.service.go_on()
        record = self.record
        readable = "\n".join([*self.said, json.dumps(record), str(error)])
        intent = bool(record) and record["execution_id"] is None
        for run in self.ours:
            if not run.alive or self.excuse(run) or run.id in readable:
                continue
            asked_to_stop = run.cancel_due is not None
            assert asked_to_stop or (intent and run.id in self.unanswered), (
                f"{run.id} is {run.status}, the task has failed, and nothing names the run"
            )

    def _check_secrets(self) -> None:
        row = [] if self.row is None else list(self.row.serialize()[1].values())
        written = [*self.said, json.dumps([self.xcoms, self.store.entries, row, self.event])]
        assert not any(KEY in text for text in written), "the key can be read"

    def finish(self) -> None:
        """Bring the task to its end without further faults, and check what is left."""
        self.outage_until = 0.0
        self.service.keys = {KEY}
        for _ in range(40):
            if self.over:
                break
            self.go_on([])
        assert self.over, f"the task does not come to an end: {self.state}"
        for _ in range(3):
            self.look_later()
            self.wake_ghosts()
        self.clock.go_on(2 * deferred_kill.PATIENCE)
        self.look_later()
        self.service.go_on()
        readable = "\n".join([*self.said, json.dumps(self.record)])
        intent = self.record.get("execution_id", "") is None
        for run in self.ours:
            if not run.alive or run.cancel_due is not None:
                continue
            left = run.id in self.ended_by_person or not self.excuse(run)
            open_one = intent and run.id in self.unanswered
            assert not left or open_one or run.id in readable, (
                f"{run.id} is {run.status}, and nothing names it"
            )


settings_of_life = st.builds(
    Setting,
    airflow=st.sampled_from(["3.3", "3.4"]),
    deferrable=st.booleans(),
    retries=st.integers(0, 3),
    on_clear=st.sampled_from(["restart", "resume"]),
    on_input_changed=st.sampled_from(["attach", "restart", "fail"]),
    on_ambiguous_submission=st.sampled_from(["look_up", "fail", "resubmit"]),
    correlated=st.booleans(),
    on_user_input=st.sampled_from(["wait", "fail"]),
    on_warning=st.sampled_from(["succeed", "fail"]),
    cancel_on_kill=st.booleans(),
    cancel_on_timeout=st.booleans(),
    fates=st.lists(
        st.builds(
            Fate,
            seconds=st.sampled_from([5.0, 0.0, 100.0, 1e9]),
            end=st.sampled_from(["Success", "Error", "Warning", "Interrupted", "UserInput"]),
            cancel_seconds=st.sampled_from([0.0, 10.0, 120.0]),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)
HAPPENINGS = (*REQUEST_FAULTS, *SERVICE_EVENTS, *CLOCK_EVENTS, *PEOPLE, *WORKER_EVENTS, *TRIGGER_EVENTS)
plans = st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.sampled_from([0, 0, 1, 2, 3, 5, 8])), max_size=3)
BETWEEN = (
    *SERVICE_EVENTS, *CLOCK_EVENTS, *PEOPLE, "input changes", "retries grow", "retries shrink", "look later",
    "ghosts wake", "triggerer restarts", "triggerer freezes", "form answered", "sensor looks",
)  # fmt: skip


class LifeMachine(RuleBasedStateMachine):
    """Draws sequences."""

    def __init__(self, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._memory, self._monkeypatch = memory, monkeypatch
        self.life = Life(memory, Setting())

    @initialize(setting=settings_of_life)
    def begin(self, setting: Setting) -> None:
        self.life = life = Life(self._memory, setting)
        for name, value in {
            "RuntimeTaskInstance": life,
            "XCom": life,
            "_threads": lambda: life,
            "_later": lambda: life,
            "_states_of": deferred_kill._TaskStates,
        }.items():
            self._monkeypatch.setattr(deferred_kill, name, value)

    @precondition(lambda self: not self.life.over)
    @rule(plan=plans)
    def airflow_goes_on(self, plan: Plan) -> None:
        self.life.go_on(plan)

    @precondition(lambda self: self.life.try_number > 0)
    @rule(what=st.sampled_from(BETWEEN))
    def meanwhile(self, what: str) -> None:
        life = self.life
        if what in SERVICE_EVENTS:
            life.at_service(what)
        elif what in CLOCK_EVENTS:
            life.clocks(what)
        elif what in PEOPLE:
            life.person(what)
        elif what == "input changes":
            life.input_version += 1
        elif what == "retries grow":
            life.retries += 1
        elif what == "retries shrink":
            life.retries = max(0, life.retries - 1)
        elif what == "look later":
            life.look_later()
        elif what == "ghosts wake":
            life.wake_ghosts()
        elif what == "triggerer restarts":
            life.restart_triggerer()
        elif what == "form answered":
            life.answer_form()
        elif what == "sensor looks":
            life.sense()
        elif life.row is not None:
            life.ghosts.append(life.row)

    def teardown(self) -> None:
        self.life.finish()


class _Told(logging.Handler):
    """Takes what is said in the triggerer's own log."""

    def __init__(self, said: Callable[[], list[str]]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said().append(record.getMessage())


@pytest.mark.parametrize(("sequences", "number"), CASES)
def test_whatever_happens_no_run_is_lost_doubled_or_left_behind(
    monkeypatch: pytest.MonkeyPatch, sequences: int, number: int
) -> None:
    memory = Memory(monkeypatch)
    machines: list[LifeMachine] = []

    def machine() -> LifeMachine:
        machines[:] = [LifeMachine(memory, monkeypatch)]
        return machines[0]

    logger = deferred_kill.log
    told = _Told(lambda: machines[0].life.said)
    logger.addHandler(told)
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.INFO)
    try:
        run_state_machine_as_test(
            seed(number)(machine),
            settings=settings(
                max_examples=sequences,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=True,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        logger.removeHandler(told)
