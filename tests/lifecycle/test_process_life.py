"""The life of a process, whose id is ours, against a model: repeated creations, purges, and no record.

Hypothesis draws sequences of attempts of one task, each with a plan of what happens at its requests, its
pauses and its writes, and of what people do in between. All of the package is real; Airflow, the server and
the clock are in memory. The model tells what must hold:

- no process is created while another one of this task goes on, or, by a retry, after one that ended well;
- no id is created twice unless its process was stopped, or its end does not count;
- a success is of a process that ended well, and was not stopped by this task;
- a process that goes on when its task has failed is named in the error, or on record.

Excused is what the page excuses: a process that was deleted before it was on record, one of before a clear
where there is no record, and a stop that nobody could note, of a process that its scheme deleted then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from support.memory import Memory, MemoryClock, reply
from support.tasks import Attempt, FakeStateStore

from smartflows_provider.exceptions import FlowException
from smartflows_provider.operators.workflow_server import WorkflowServerRunProcessOperator
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.errors import AnswerLost, NotSent
from smartflows_provider.wire.messages import Request, Response

CONN_VARIABLE = "AIRFLOW_CONN_WORKFLOWSERVER_DEFAULT"
Truth = Literal["alive", "well", "badly", "stopped"]


class WorkerDied(BaseException):
    """SIGKILL: no code of the process runs any more."""


@dataclass
class Process:
    """One process at the server, and what is true of it whatever the server shows."""

    id: str
    attempt: int
    epoch: int
    due: float
    truth: Truth = "alive"
    gone: bool = False
    recorded: bool = False
    """Whether it was ever on record."""
    stop_untold: bool = False
    """Whether the answer to a request that stops it was lost, or the worker died before it could note it."""

    def shown(self) -> dict[str, Any]:
        status, state = {
            "alive": (1, "Working"),
            "well": (3, "Done"),
            "badly": (4, "Working"),
            "stopped": (3, "Stopped"),
        }[self.truth]
        return {"Id": self.id, "InstanceStatus": status, "StateName": state, "ActivityName": state}


@dataclass(frozen=True)
class Setting:
    """What the author has decided, for a whole sequence."""

    durable: bool = True
    on_kill: str = "none"
    names: bool = False
    purges: bool = False
    """Whether the scheme deletes what is finished."""


@dataclass(frozen=True)
class Plan:
    """What happens in one attempt: at the requests, pauses and writes of these numbers."""

    requests: dict[int, str] = field(default_factory=dict)
    pauses: dict[int, str] = field(default_factory=dict)
    dies_at_write: int | None = None
    afterwards: tuple[str, ...] = ()


REQUEST_FAULTS = ("lose", "take and lose", "503", "take and 503", "take and html", "unsent", "401", "refuse")
PAUSE_EVENTS = ("finish", "fail", "purge", "stop", "stop by clear", "die", "long")
BETWEEN = ("clear", "clear sibling", "finish", "fail", "purge")


class World:
    """The server, Airflow's side of one task, and the model."""

    def __init__(self, setting: Setting, clock: MemoryClock) -> None:
        self.setting = setting
        self.clock = clock
        self.processes: list[Process] = []
        self.store = WatchedStore(self)
        self.try_number = 0
        self.max_tries = 0
        self.clear_number = 0
        self.epoch = 0
        self.in_doubt = False
        """Whether a record cannot tell a clear from a retry, which counts as a clear then."""
        self.plan = Plan()
        self.counts = {"request": 0, "pause": 0, "write": 0}
        self.operator: WorkflowServerRunProcessOperator | None = None

    # --- the server ---

    def find(self, process_id: str) -> Process | None:
        return next((one for one in self.processes if one.id == process_id and not one.gone), None)

    def go_on(self) -> None:
        for one in self.processes:
            if one.truth == "alive" and not one.gone and one.due <= self.clock.steady:
                self.end(one, "well")

    def end(self, process: Process, truth: Truth) -> None:
        process.truth = truth
        process.gone = process.gone or (self.setting.purges and truth in {"well", "stopped"})

    def happen(self, event: str) -> None:
        """Let something happen to the newest process."""
        last = self.processes[-1] if self.processes else None
        if last is None or last.gone:
            return
        if event in {"finish", "fail"} and last.truth == "alive":
            self.end(last, "well" if event == "finish" else "badly")
        if event == "purge" and last.truth == "well":
            last.gone = True

    def answer(self, request: Request) -> Response:
        """Answer as a server does that is in order."""
        self.go_on()
        _, operation, process_id = request.path.split("/")
        found = self.find(process_id)

        def said(data: Any = None) -> Response:
            return reply(request, {"success": True, "data": data})

        refused = reply(request, {"success": False, "error": "Refused", "message": operation})
        if operation == "createinstance":
            if found is not None:
                return refused
            self.check_creation(process_id)
            self.processes.append(Process(process_id, self.try_number, self.epoch, self.clock.steady + 30.0))
            return said()
        if operation == "isexistprocess":
            return said(found is not None)
        if found is None:
            return refused
        if operation == "getinstanceinfo":
            return said(found.shown())
        if operation == "setstate":
            self.end(found, "stopped")
            return said()
        found.truth, found.gone = "stopped", True
        return said()

    def send_once(self, request: Request) -> Response:
        """Answer a request as the plan has it."""
        self.counts["request"] += 1
        fault = self.plan.requests.get(self.counts["request"])
        if fault == "unsent":
            raise NotSent(f"{request.label} was not sent", kind="refused")
        response = self.answer(request) if fault is None or fault.startswith("take") else None
        self.note_lost(request, fault)
        if fault is None:
            assert response is not None
            return response
        match fault.removeprefix("take and "):
            case "503" | "401" as status:
                return reply(request, {}, status=int(status))
            case "html":
                return Response(
                    status=200, headers={"content-type": "text/html"}, body=b"<p>", request=request
                )
            case "refuse":
                return reply(request, {"success": False, "error": "Refused", "message": "not now"})
        raise AnswerLost(f"{request.label} brought no answer", kind="reset")

    def note_lost(self, request: Request, fault: str | None) -> None:
        if fault is None or not fault.startswith("take"):
            return
        last = next((one for one in self.processes[::-1] if request.path.endswith(one.id)), None)
        if last is not None and ("setstate" in request.path or "deleteinstance" in request.path):
            last.stop_untold = True

    # --- the model ---

    def check_creation(self, process_id: str) -> None:
        durable = self.setting.durable
        for one in self.processes:
            cleared = one.epoch != self.epoch
            if one.truth == "alive" and not one.gone:
                # Without a record nobody knows the process of before a clear.
                nobody_knows = cleared and not durable
                assert nobody_knows, f"{one.id} goes on while {process_id} is created"
            if one.truth == "well" and not cleared and not (durable and self.in_doubt):
                # Purged before anybody has recorded it, or without a record at all: the page says so.
                excused = one.gone and not one.recorded
                assert excused, f"{one.id} has ended well, and a retry creates {process_id}"
            if one.id == process_id:
                assert one.gone
                harmless = not one.recorded or one.truth == "stopped" or self.in_doubt
                assert harmless, f"{process_id} is created again"

    def check_success(self, manifest: dict[str, Any]) -> None:
        found = [one for one in self.processes if one.id == manifest["execution_id"]]
        assert found, "a process that never was"
        last = found[-1]
        untold = last.stop_untold and last.gone and not self.setting.names
        assert last.truth == "well" or untold, last

    def check_failure(self, error: BaseException) -> None:
        alive = [one for one in self.processes if one.truth == "alive" and not one.gone]
        if not self.setting.durable:
            alive = [one for one in alive if one.epoch == self.epoch]
        said = str(error) + json.dumps(self.store.entries)
        for one in alive:
            assert one.id in said or not self.setting.durable or one.attempt != self.try_number, said

    # --- Airflow ---

    def attempt(self, plan: Plan) -> bool:
        """Let the task have an attempt; tell whether Airflow lets no other follow by itself."""
        self.plan, self.counts = plan, dict.fromkeys(self.counts, 0)
        self.try_number += 1
        setting = self.setting
        self.operator = WorkflowServerRunProcessOperator(
            task_id="task",
            scheme_code="S",
            poll_interval=5.0,
            timeout=120.0,
            max_outage=20.0,
            durable=setting.durable,
            on_kill=setting.on_kill,
            success_states=["Done"] if setting.names else [],
        )
        attempt = Attempt(
            store=self.store,
            max_tries=self.max_tries,
            try_number=self.try_number,
            clear_number=self.clear_number,
        )
        try:
            manifest = self.operator.execute(attempt.context())
        except WorkerDied:
            for one in self.processes:
                one.stop_untold = one.stop_untold or one.truth == "stopped"
        except FlowException as error:
            self.check_failure(error)
            return isinstance(error, AirflowFailException)
        else:
            self.check_success(manifest)
            return True
        return False

    def pause(self) -> None:
        """Do what the plan has for a pause of the worker's."""
        self.counts["pause"] += 1
        event = self.plan.pauses.get(self.counts["pause"])
        if event is None:
            return
        if event == "die":
            raise WorkerDied
        if event == "long":
            self.clock.go_on(25.0)
        elif event.startswith("stop"):
            assert self.operator is not None
            self.operator.on_kill()
            if event == "stop by clear":
                self.clear_number += 1
                self.in_doubt = True
        else:
            self.happen(event)

    def between(self, event: str) -> None:
        if event == "clear":
            self.epoch += 1
            self.clear_number += 1
            self.max_tries = self.try_number + 1
            self.in_doubt = False
        elif event == "clear sibling":
            self.clear_number += 1
            self.in_doubt = True
        else:
            self.happen(event)


class WatchedStore(FakeStateStore):
    """The task state store of a worker that may die at a write."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self.world.counts["write"] += 1
        if self.world.plan.dies_at_write == self.world.counts["write"]:
            raise WorkerDied
        super().set(key, value, retention=retention)
        for one in self.world.processes:
            one.recorded = one.recorded or one.id == value["execution_id"]


numbers = st.integers(min_value=1, max_value=12)
PLANS = st.builds(
    Plan,
    requests=st.dictionaries(numbers, st.sampled_from(REQUEST_FAULTS), max_size=4),
    pauses=st.dictionaries(numbers, st.sampled_from(PAUSE_EVENTS), max_size=2),
    dies_at_write=st.none() | st.integers(min_value=1, max_value=4),
    afterwards=st.lists(st.sampled_from(BETWEEN), max_size=2).map(tuple),
)
SETTINGS = st.builds(
    Setting,
    durable=st.booleans(),
    on_kill=st.sampled_from(("none", "set_state:Stopped", "delete")),
    names=st.booleans(),
    purges=st.booleans(),
)


@pytest.fixture(scope="module")
def begin_world() -> Any:
    """Return what makes a world whose clock and server are in memory."""
    with pytest.MonkeyPatch.context() as patch:
        memory = Memory(patch)
        connection = {"conn_type": "workflowserver", "host": "https://workflow.example.com"}
        patch.setenv(CONN_VARIABLE, json.dumps(connection))
        current = SimpleNamespace(world=None)

        def send_once(_: BlockingClient, request: Request) -> Response:
            found: Response = current.world.send_once(request)
            return found

        patch.setattr(BlockingClient, "_send_once", send_once)

        def begin(setting: Setting) -> World:
            memory.renew()
            current.world = World(setting, memory.clock)
            memory.clock.on_sleep = current.world.pause
            return current.world

        yield begin


@seed(7)
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(setting=SETTINGS, plans=st.lists(PLANS, min_size=1, max_size=4))
def test_no_sequence_loses_doubles_or_misreports_a_process(
    begin_world: Callable[[Setting], World], setting: Setting, plans: list[Plan]
) -> None:
    world = begin_world(setting)
    for plan in [*plans, Plan()]:
        over = world.attempt(plan)
        for event in plan.afterwards:
            world.between(event)
        if over and "clear" not in plan.afterwards:
            break
