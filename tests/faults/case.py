"""One run of a row: its own flow, key, proxy, connection and DAG run, and the questions rows ask of them.

Why this module exists: rows should read as what happens and what must come of it. The service's own list
of executions is the judge; Airflow is asked over REST only, as a person would.

Invariant: nothing of a case is shared with another, except the components and the service.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import psutil
from faults.airflow_rest import FaultRest
from faults.airflow_under_test import CLEAR_DISCARDS_STATE
from faults.rows import Outcome, Plan
from faults.tcp_proxy import TcpProxy, Trouble
from faults.world import FLOW_TASK, World, wait_for, write_own_dag

from smartflows_provider.demo.rest import JsonObject, NotThereError
from smartflows_provider.devserver.keys import User

TASK = FLOW_TASK
ANSWER = 42
STABLE = frozenset({"Success", "Warning", "Error", "Canceled", "Interrupted"})
START = r"^POST \S*/flows/executions"
PROGRESS = r"^GET \S*/progress"
READ_EXECUTION = r"^GET \S*/flows/executions/[0-9a-f-]{36}(\?\S*)? "
BEGINNING = r"Started execution|Attached to execution|Found execution|Execution \S+: |Pushing|Rendered|xcom"
"""Lines that name an execution without saying what became of it."""
PERSON = User(id="person", name="Person", role="super user")
UNTIL_LET_GO = {"id": "wait", "kind": "wait_for_event", "message": "Working"}
OUTPUT = {"id": "output", "kind": "output", "values": {"answer": ANSWER}}

NUMBER_XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:element name="Data"><xs:complexType><xs:sequence>
<xs:element name="Number" type="xs:integer"/>
<xs:element name="Reference" type="xs:string" minOccurs="0"/>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""
PROOF = {"data": {"Number": 1}, "root": "Data", "correlation_path": "Reference"}
"""Arguments with which the input carries a value that proves an execution to be the task's."""

Execution = Mapping[str, Any]


class Case:
    """What a row works with.

    :param world: Airflow and the service.
    :param plan: which row, in which mode.
    :param barrier: where the rows of a group meet before and after their disturbance.
    """

    def __init__(self, world: World, plan: Plan, *, barrier: threading.Barrier | None = None) -> None:
        self.world = world
        self.plan = plan
        self.mode = plan.mode
        self.dag_id = plan.dag_id
        self.name = f"{self.dag_id}-{plan.number}"[:190]
        self.rest: FaultRest = world.rest()
        self.proxy = TcpProxy(world.proxies, target=world.service.port)
        self.key = world.key()
        self.run_id = ""
        self.measured: dict[str, float] = {}
        """What the row has measured, in words."""
        self._marked: str | None = None
        self._barrier = barrier
        self.flow(UNTIL_LET_GO, OUTPUT)

    # --- beginning ---

    def flow(self, *steps: Mapping[str, Any], xsd: str | None = None) -> None:
        """Make the flow of these steps, or replace it; executions keep what they were started with."""
        callback = {"callback": self.name}
        definition = {
            "name": self.name,
            "start_from": "program" if xsd else "panel",
            "steps": [{**step, **callback} if step["kind"] == "wait_for_event" else step for step in steps],
        }
        if xsd:
            definition["xsd"] = xsd
        self.flow_id = self.world.service.add_flow(**definition).id

    def start(self) -> None:
        """Make the connection through the proxy, and start a run of the DAG."""
        self.world.processes.require_running()
        if self.plan.pool:
            self.rest.create_pool(self.plan.pool, slots=4)
        extra = {"long_poll_seconds": 4, "read_timeout": 20, **self.plan.row.extra}
        self.rest.create_connection(self.name, port=self.proxy.port, password=self.key, extra=extra)
        conf = {"flow": self.flow_id, "conn_id": self.name}
        self.run_id = self.rest.trigger(self.dag_id, run_id=self.name, conf=conf)

    def start_and_wait(self) -> Execution:
        """Start, and go on once the task waits for its execution."""
        self.start()
        return self.wait_until_waiting()

    # --- the service ---

    def executions(self) -> list[Execution]:
        """Return the executions of this case's flow, oldest first."""
        return [
            one for one in self.world.service.executions() if (one["flow"] or {}).get("id") == self.flow_id
        ]

    def execution(self, index: int = -1) -> Execution:
        """Return one of them as it is now."""
        return self.executions()[index]

    def wait_for_executions(self, count: int = 1) -> Execution:
        """Wait until so many were started, and return the latest."""
        wait_for(lambda: len(self.executions()) >= count, what=self._told(f"{count} executions"))
        return self.execution()

    def wait_for_status(self, status: str, index: int = -1, *, timeout: float = 60.0) -> None:
        """Wait until an execution has a status."""
        wait_for(
            lambda: self.execution(index)["status"] == status,
            what=self._told(f"execution {index} to be {status}"),
            timeout=timeout,
        )

    def let_go(self) -> None:
        """Let the executions go on that wait to be let go."""
        for one in self.executions():
            if one["status"] == "Waiting":
                self.world.service.service.send_event(self.name, text="", execution_id=one["id"], user=PERSON)

    def cancels(self) -> list[str]:
        """Return the requests that were to cancel one of this case's executions."""
        own = [one["id"] for one in self.executions()]
        return [
            one.path
            for one in self.world.service.requests
            if one.method == "DELETE" and any(each in one.path for each in own)
        ]

    def cancel_at_the_service(self) -> None:
        """Cancel the latest execution as a person does in the service's own panel."""
        self.world.service.service.cancel(self.execution()["id"], user=PERSON)

    def wait_until_asked_about(self, execution_id: str, *, since: float) -> None:
        """Wait until somebody has begun to ask the service about an execution after a moment."""
        path = f"/flows/executions/{execution_id}/progress"
        wait_for(
            lambda: any(
                one.at >= since and one.method == "GET" and one.path.endswith(path)
                for one in self.world.service.requests
            ),
            what=self._told(f"a question about {execution_id}"),
        )

    # --- Airflow ---

    def task(self, task_id: str = TASK, *, map_index: int = -1) -> JsonObject:
        """Return the task instance."""
        return self.rest.task_instance(self.dag_id, self.run_id, task_id, map_index=map_index)

    def state(self, task_id: str = TASK, *, map_index: int = -1) -> str | None:
        """Return the task instance's state."""
        state: str | None = self.task(task_id, map_index=map_index)["state"]
        return state

    def wait_for_state(
        self, *states: str, task_id: str = TASK, map_index: int = -1, attempt: int = 1, timeout: float = 180.0
    ) -> None:
        """Wait until the task instance is in one of some states, in an attempt or a later one."""

        def there() -> bool:
            task = self.task(task_id, map_index=map_index)
            return task["state"] in states and task["try_number"] >= attempt

        wait_for(there, what=self._told(f"{task_id} to be {' or '.join(states)}"), timeout=timeout)

    def wait_until_waiting(self, *, attempt: int = 1, count: int = 1) -> Execution:
        """Wait until the task waits: on its worker, or in the triggerer that has begun to ask.

        :param attempt: this one or a later one
        :param count: of executions that were started
        """
        found = self.wait_for_executions(count)
        self.wait_for_state("running" if self.mode == "sync" else "deferred", attempt=attempt)
        self.wait_until_asked_about(found["id"], since=time.time())
        if self.mode == "deferrable":
            self.wait_until_the_scheduler_knows()
        return found

    def wait_until_the_scheduler_knows(self) -> None:
        """Wait until the scheduler has taken notice that the task's processes have ended.

        A task that is resumed before that is failed by Airflow, which takes the end of the process before for
        that of the present one.
        """
        events = self.rest.event_log(self.dag_id, self.run_id, task_id=TASK)
        begun = sum(event["event"] == "running" for event in events)
        with contextlib.suppress(AssertionError):
            wait_for(
                lambda: self.world.ended_processes(self.dag_id, self.run_id) >= begun, what="", timeout=30
            )

    def wait_for_end(self, state: str, *, timeout: float = 180.0, attempt: int = 1) -> None:
        """Wait until the task has ended, which must be in one state."""
        self.wait_for_state("success", "failed", timeout=timeout, attempt=attempt)
        assert self.state() == state, self._told(f"{TASK} to end in {state}")()

    def wait_for_dag_run(self, state: str) -> None:
        """Wait until the whole DAG run is in a state."""
        wait_for(
            lambda: self.rest.dag_run(self.dag_id, self.run_id)["state"] == state,
            what=self._told(f"the DAG run to be {state}"),
        )

    def manifest(self, *, map_index: int = -1) -> Any:
        """Return the task's return value, None if there is none."""
        return self.rest.xcom(self.dag_id, self.run_id, TASK, map_index=map_index)

    def log(self, *, map_index: int = -1) -> str:
        """Return what all attempts have logged, on workers and in the triggerer."""
        attempts = max(int(self.task(map_index=map_index)["try_number"]), 1)
        texts = []
        for attempt in range(1, attempts + 1):
            with contextlib.suppress(NotThereError):
                texts.append(
                    self.rest.log(self.dag_id, self.run_id, TASK, attempt=attempt, map_index=map_index)
                )
        return "\n".join(texts)

    def wait_for_log(
        self, pattern: str, *, timeout: float = 60.0, map_index: int = -1, pause: float = 2.0
    ) -> None:
        """Wait until the log has a match of a regular expression."""
        wait_for(
            lambda: re.search(pattern, self.log(map_index=map_index)),
            what=lambda: f"{pattern!r} in the log:\n{self.log(map_index=map_index)}",
            timeout=timeout,
            pause=pause,
        )

    def mark(self, state: Literal["success", "failed"]) -> None:
        """Mark the task instance as a person does."""
        self._marked = state
        self.rest.mark(self.dag_id, self.run_id, TASK, state=state)

    def clear(self, *tasks: str | tuple[str, int], **options: Any) -> None:
        """Clear the task, or others, as a person does."""
        self.rest.clear_task(self.dag_id, self.run_id, tasks or (TASK,), **options)

    def clear_dag_run(self) -> None:
        """Clear the whole DAG run."""
        self.rest.clear_dag_run(self.dag_id, self.run_id)

    def mark_dag_run(self, state: Literal["success", "failed"]) -> None:
        """Mark the whole DAG run."""
        self.rest.mark_dag_run(self.dag_id, self.run_id, state)

    def rewrite(self, **changes: Any) -> None:
        """Write the DAG file again with changes, and wait until Airflow has parsed it."""
        description = {**self.plan.description(), **changes}

        def parsed() -> bool:
            if self.rest.task(self.dag_id, TASK)["retries"] == description["retries"]:
                return True
            # Airflow passes over a file that was written while it parsed the one before.
            write_own_dag(self.world.dags, description)
            return False

        wait_for(parsed, what=f"{self.dag_id} to be parsed again", pause=5.0)

    def close_pool(self) -> None:
        """Let no task of the case's own pool start."""
        self.rest.set_slots(str(self.plan.pool), 0)

    def open_pool(self) -> None:
        """Let the tasks of the case's own pool start again."""
        self.rest.set_slots(str(self.plan.pool), 4)

    def triggerer(self) -> int | None:
        """Return the id of the triggerer job that has the task's trigger, None while none has it."""
        trigger = self.task()["trigger"] or {}
        found: int | None = trigger.get("triggerer_id")
        return found

    # --- faults ---

    def kill_task(self, number: signal.Signals = signal.SIGKILL, *, supervisor: bool = False) -> None:
        """Send a signal to the task's process, and to the worker that supervises it."""
        process = psutil.Process(int(self.task()["pid"]))
        if supervisor:
            os.kill(process.ppid(), number)
        process.send_signal(number)

    def hold_answer(self, request: str = START) -> Trouble:
        """Let the next such request reach the service, and keep the answer back."""
        return self.proxy.begin(Trouble(kind="hold", request=request, count=1))

    def hold_submission(self) -> Trouble:
        """Start the run, and go on when the service has started an execution and its answer is held."""
        held = self.hold_answer()
        self.start()
        assert held.answered.wait(150), self._told("the service to answer the start")()
        return held

    def once(self, disturb: Callable[[], None]) -> None:
        """Do something to Airflow's components once for all rows of the group, when all have come here."""
        if self._barrier is None:
            disturb()
            return
        if self._barrier.wait(400) == 0:
            try:
                disturb()
            except BaseException:
                self._barrier.abort()
                raise
        self._barrier.wait(600)

    # --- judging ---

    def judge(self, outcome: Outcome) -> None:
        """Fill in what the service and Airflow say of this case at its end."""
        plan = self.plan
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not self._active(), what="", timeout=1 if self._all_named() else 30)
        found = self.executions()
        outcome.started = len(found)
        outcome.doubled = max(0, len(found) - plan.expected)
        if plan.row.ordered and not (plan.row.discards_state and CLEAR_DISCARDS_STATE):
            outcome.doubled += sum(
                older["status"] not in STABLE or _moment(older["modifiedAt"]) > _moment(newer["createdAt"])
                for older, newer in pairwise(found)
            )
        active = self._active()
        log = self._all_logs() if active else ""
        outcome.orphaned = len(active)
        outcome.unnamed = sum(one["id"] not in log for one in active)
        outcome.lost = self._lost()
        outcome.notes.update(self.measured)

    def close(self) -> None:
        """End what the case has left: its executions, its task, its connections."""
        with contextlib.suppress(Exception):
            for one in self._active():
                self.world.service.service.cancel(one["id"], user=PERSON)
        with contextlib.suppress(Exception):
            if self.run_id and self.rest.dag_run(self.dag_id, self.run_id)["state"] == "running":
                self.mark_dag_run("failed")
        self.proxy.close()

    def _active(self) -> list[Execution]:
        return [one for one in self.executions() if one["status"] not in STABLE and not one["purged"]]

    def _instances(self) -> Sequence[JsonObject]:
        tasks = self.rest.all_task_instances(self.dag_id, self.run_id) if self.run_id else []
        return [one for one in tasks if one["task_id"] == TASK]

    def _all_logs(self) -> str:
        """Return what was logged, without the lines that only tell of a beginning."""
        text = "\n".join(self.log(map_index=one["map_index"]) for one in self._instances())
        return "\n".join(line for line in text.splitlines() if not re.search(BEGINNING, line))

    def _all_named(self) -> bool:
        active = self._active()
        log = self._all_logs() if active else ""
        return all(one["id"] in log and "may still" not in log for one in active)

    def _lost(self) -> int:
        """Count the successful task instances whose return value is not what their execution has put out."""
        outputs = {one["id"]: one["status"] for one in self.executions()}
        lost = 0
        for instance in self._instances():
            if instance["state"] != "success" or self._marked == "success":
                continue
            manifest = self.manifest(map_index=instance["map_index"]) or {}
            good = outputs.get(manifest.get("execution_id")) in {"Success", "Warning"}
            lost += not (good and manifest["values"].get("answer") == ANSWER)
        return lost

    def _told(self, what: str) -> Callable[[], str]:
        def text() -> str:
            lines = [what, f"executions: {[(one['id'], one['status']) for one in self.executions()]}"]
            with contextlib.suppress(Exception):
                task = self.task()
                shown = {key: task[key] for key in ("state", "try_number", "max_tries", "pid")}
                lines += [f"task: {json.dumps(shown)}", self.log()[-6000:]]
            return "\n".join(lines)

        return text


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
