"""What a row of the fault suite is: one fault, in one phase, in one mode, and what must come of it.

Why this module exists: rows that disturb nobody run side by side against one Airflow, so a row must be
known before its test is called: its DAG is written before Airflow starts, and its body runs in a thread.

Invariant: a row says how many executions may be started for one intended run; everything else that holds
for all rows (nothing doubled, lost, or orphaned without being named) is judged by the suite.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from faults.airflow_under_test import SCHEDULER_ENDS

Mode = Literal["sync", "deferrable"]
BOTH: tuple[Mode, ...] = ("sync", "deferrable")
SYNC: tuple[Mode, ...] = ("sync",)
DEFERRABLE: tuple[Mode, ...] = ("deferrable",)
RE_ATTACHES = "3.3"
"""The Airflow from which a retry attaches to the run of the attempt before it, and a clear stops that run."""
RUNS = int(os.environ.get("FAULT_RUNS", "1"))
"""How often each row is run."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault and its surroundings."""

    name: str
    fault: str
    """What the table calls it."""
    modes: Sequence[Mode]
    expected: int | Mapping[Mode, int]
    """Executions that may be started, by mode where that differs."""
    ordered: bool
    """Whether an execution must be stable before the next one is created."""
    discards_state: bool
    """Whether the row clears single tasks. Where Airflow then forgets what they have recorded, the new
    attempt cannot know of the old run, and the order of the two is not judged."""
    ends_scheduler: Sequence[Mode]
    """Modes in which Airflow 3.4.0b2's scheduler ends: a task is cleared while it runs on a worker, or its
    worker's end is not reported."""
    group: str | None
    """Rows of one group share one disturbance of Airflow's components; None disturbs nobody."""
    since: str | None
    """Airflow version from which the row makes sense."""
    task: Mapping[str, Any]
    """How the DAG's task differs from the plain one."""
    extra: Mapping[str, Any]
    """Extras of the connection."""
    own_file: bool
    """Whether the DAG has a file of its own, which the row rewrites."""

    @property
    def needs_own_dags(self) -> bool:
        """Whether each run has a DAG of its own, because the row changes the DAG or its pool."""
        return self.own_file or bool(self.task.get("pool"))

    def plans(self) -> list[Plan]:
        """Return all runs of the row."""
        left_out = self.ends_scheduler if SCHEDULER_ENDS else ()
        modes = [mode for mode in self.modes if mode not in left_out]
        return [Plan(row=self, mode=mode, number=number) for number in range(1, RUNS + 1) for mode in modes]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run of a row."""

    row: Row
    mode: Mode
    number: int
    """From 1."""

    @property
    def id(self) -> str:
        """How pytest names it."""
        return f"{self.mode}-{self.number}"

    @property
    def dag_id(self) -> str:
        """The id of its DAG."""
        own = f"__{self.number}" if self.row.needs_own_dags else ""
        return f"{self.row.name}__{self.mode}{own}"

    @property
    def pool(self) -> str | None:
        """The pool of its own, None for Airflow's."""
        return f"pool_of_{self.dag_id}" if self.row.task.get("pool") else None

    @property
    def expected(self) -> int:
        """Executions that may be started."""
        expected = self.row.expected
        return expected if isinstance(expected, int) else expected[self.mode]

    def description(self) -> dict[str, Any]:
        """Return what the DAG is made from."""
        return {
            "dag_id": self.dag_id,
            "deferrable": self.mode == "deferrable",
            "operator": {},
            "kind": "plain",
            "retries": 0,
            "retry_delay": 1,
            "execution_timeout": None,
            "mapped": 0,
            "sibling": False,
            **self.row.task,
            "pool": self.pool,
        }


@dataclass(kw_only=True)
class Outcome:
    """What came of one run of a row."""

    fault: str
    mode: str
    expected: int
    started: int = 0
    doubled: int = 0
    orphaned: int = 0
    """Executions that went on although nobody waits for them."""
    unnamed: int = 0
    """Those of them that no message names."""
    lost: int = 0
    """Outputs of finished executions that did not become the task's return value."""
    seconds: float = 0.0
    problem: str = ""
    notes: dict[str, float] = field(default_factory=dict)
    """What was measured, in words."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


REGISTRY: dict[str, Row] = {}
"""Every row, by name."""


def row(
    *,
    fault: str,
    modes: Sequence[Mode] = BOTH,
    expected: int | Mapping[Mode, int] = 1,
    ordered: bool = True,
    discards_state: bool = False,
    ends_scheduler: Sequence[Mode] = (),
    group: str | None = None,
    since: str | None = None,
    extra: Mapping[str, Any] | None = None,
    own_file: bool = False,
    **task: Any,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn a function of a `Case` into a test that is a row of the table.

    :param task: differences of the DAG's task, see `dags/factory.py`
    """

    def register(body: Callable[..., None]) -> Callable[..., None]:
        name = body.__name__.removeprefix("test_")
        made = Row(
            name=name,
            fault=fault,
            modes=modes,
            expected=expected,
            ordered=ordered,
            discards_state=discards_state,
            ends_scheduler=ends_scheduler,
            group=group,
            since=since,
            task=task,
            extra=extra or {},
            own_file=own_file,
        )
        REGISTRY[name] = made
        body.row = made  # type: ignore[attr-defined]
        return body

    return register
