"""What a task remembers of its remote run between attempts.

The record lives in Airflow's task state store (from 3.3 on), which all attempts of a task instance share
and people can read in the UI: so it is small, versioned, and holds no secrets and no payload. Invariant:
an intent is written before the request that starts a run, the run's id right after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from smartflows_provider.version_compat import AIRFLOW_VERSION, RE_ATTACHING

RECORD_SCHEMA = 3
"""1 had none of the optional fields, 2 no ``ended_badly``; they are read as if these had their defaults."""
_READABLE = frozenset({1, 2, RECORD_SCHEMA})
RECORD_KEY = "flow_run"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What changes when somebody clears a task, and stays when Airflow retries it."""

    max_tries: int
    """Grows when a finished task is cleared."""
    clear_number: int
    """Of the DAG run; grows with every clear in it."""


@dataclass(frozen=True, kw_only=True)
class AttemptIdentity:
    """Which attempt of a task instance this is."""

    epoch: Epoch
    number: int
    """Airflow's try number; grows by one with each attempt, whatever has brought it about."""
    retries: int | None = None
    """As the task has them set."""

    def has_started(self, record: RunRecord) -> bool:
        """Tell whether it was this attempt that has started a run; a record that does not tell counts so."""
        return record.started_try is None or record.started_try == self.number

    def was_surely_cleared(self, record: RunRecord) -> bool:
        """Tell whether somebody has cleared the task, beyond doubt, since the attempt that a record is of."""
        return record.epoch.max_tries != self.epoch.max_tries

    def was_cleared(self, record: RunRecord) -> bool:
        """
        Tell whether somebody has cleared the task since the attempt that a record is of.

        A clear number that has grown alone is no proof of that: it also grows when another task of the DAG
        run is cleared. Then this attempt is a retry only if the one before it is known to have failed by
        itself; what is in doubt counts as a clear, which stops the old run before it starts a new one.

        :param record: of an earlier attempt.
        """
        if record.epoch == self.epoch:
            return False
        if self.was_surely_cleared(record):
            return True
        # A clear sets the number of tries anew, and leaves it as it was if retries were lowered just so.
        retried = record.ended_try == self.number - 1 and record.retries == self.retries
        return record.ended_try is None or not retried


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run, or the intent to start one."""

    execution_id: str | None
    """None as long as the service has not answered the request that starts it."""
    flow: str
    """Id or name, as given."""
    fingerprint: str
    """Of the input: SHA-256, hexadecimal."""
    epoch: Epoch
    """Of the attempt that was with it last."""
    submitted_at: float
    """Epoch seconds."""
    deadline: float
    """Epoch seconds."""
    correlation: str | None = None
    """A value of ours in the run's input, None where the author has named no place for one."""
    started_try: int | None = None
    """The attempt that has started the run."""
    ended_try: int | None = None
    """The attempt that has failed by itself with this record, so that the next one is its retry."""
    retries: int | None = None
    """As the task had them set in the attempt that has failed by itself."""
    told: bool = False
    """Whether a task has failed with the word that it is open whether its run was started."""
    stopped: bool = False
    """Whether an attempt that gave the run up has asked the service to cancel it."""
    ended_badly: bool = False
    """Whether an attempt has seen the run end badly, so that it is no success where it is gone since."""

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {"schema_version": RECORD_SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> RunRecord:
        """
        Read a record.

        :raises ValueError: if it is not of a known shape.
        """
        try:
            if raw["schema_version"] not in _READABLE:
                raise ValueError(f"schema version {raw['schema_version']!r} is not known")
            execution_id, correlation = raw["execution_id"], raw.get("correlation")
            started_try, ended_try = raw.get("started_try"), raw.get("ended_try")
            return cls(
                execution_id=None if execution_id is None else str(execution_id),
                flow=str(raw["flow"]),
                fingerprint=str(raw["fingerprint"]),
                epoch=Epoch(**raw["epoch"]),
                submitted_at=float(raw["submitted_at"]),
                deadline=float(raw["deadline"]),
                correlation=None if correlation is None else str(correlation),
                started_try=None if started_try is None else int(started_try),
                ended_try=None if ended_try is None else int(ended_try),
                retries=None if raw.get("retries") is None else int(raw["retries"]),
                told=raw.get("told") is True,
                stopped=raw.get("stopped") is True,
                ended_badly=raw.get("ended_badly") is True,
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"not a run record: {error!r}") from None


class RunStore(Protocol):
    """Where a task keeps its record."""

    @property
    def remembers(self) -> bool:
        """Whether later attempts can read what is written."""

    @property
    def notice(self) -> str | None:
        """What people should know where a run is started that later attempts cannot find again."""

    def load(self) -> RunRecord | None:
        """Return the record, or None if there is none."""

    def save(self, record: RunRecord) -> None:
        """Write the record durably."""

    def discard(self) -> None:
        """Forget the record."""


class TaskStateStore:
    """
    The record in Airflow's task state store.

    :param accessor: ``context["task_state_store"]``.
    :param retention: for how long Airflow keeps it; Airflow's ``NEVER_EXPIRE``.
    """

    remembers = True
    notice = None

    def __init__(self, accessor: Any, *, retention: Any) -> None:
        self._accessor = accessor
        self._retention = retention

    def load(self) -> RunRecord | None:
        """Return the record, or None if there is none."""
        raw = self._accessor.get(RECORD_KEY)
        return None if raw is None else RunRecord.from_dict(raw)

    def save(self, record: RunRecord) -> None:
        """Write the record; it does not expire."""
        self._accessor.set(RECORD_KEY, record.as_dict(), retention=self._retention)

    def discard(self) -> None:
        """Forget the record."""
        self._accessor.delete(RECORD_KEY)


class NoStore:
    """
    Remembers nothing: Airflow before 3.3, or ``durable=False``.

    :param notice: what people should know who have not asked for that.
    """

    remembers = False

    def __init__(self, *, notice: str | None = None) -> None:
        self.notice = notice

    def load(self) -> RunRecord | None:
        """Return None."""
        return None

    def save(self, record: RunRecord) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


def store_for(context: Mapping[str, Any], *, durable: bool) -> RunStore:
    """
    Return where the task of a context keeps its record.

    :param context: the task's context.
    :param durable: False to remember nothing.
    """
    if durable and not RE_ATTACHING.available:
        return NoStore(
            notice=f"Airflow {AIRFLOW_VERSION} keeps no task state, as {RE_ATTACHING.since} and later do: "
            f"{RE_ATTACHING.before}."
        )
    accessor = context.get("task_state_store")
    if not durable or accessor is None:
        return NoStore()
    from airflow.sdk.execution_time.context import NEVER_EXPIRE  # noqa: PLC0415 - only from Airflow 3.3 on

    return TaskStateStore(accessor, retention=NEVER_EXPIRE)


def attempt_of(context: Mapping[str, Any]) -> AttemptIdentity:
    """Return which attempt a context is of; what an Airflow does not tell counts as 0."""
    task_instance = context.get("ti")
    epoch = Epoch(
        max_tries=int(getattr(task_instance, "max_tries", 0) or 0),
        clear_number=int(getattr(context.get("dag_run"), "clear_number", 0) or 0),
    )
    return AttemptIdentity(
        epoch=epoch,
        number=int(getattr(task_instance, "try_number", 0) or 0),
        retries=getattr(context.get("task"), "retries", None),
    )
