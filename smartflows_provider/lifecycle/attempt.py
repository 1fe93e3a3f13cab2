"""What an attempt of a task leaves behind in Airflow for later attempts, for triggers, and for people.

The record of the run is read and written while the run begins; here is what is added to it afterwards.
Invariant: nothing here decides about the run, and nothing here fails a task that would otherwise go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException

from smartflows_provider.exceptions import FlowExecutionFailedError, FlowExecutionInterruptedError
from smartflows_provider.lifecycle.record import RunRecord, attempt_of, store_for
from smartflows_provider.lifecycle.xcom_keys import (
    EXECUTION_ID_KEY,
    EXECUTION_LEFT_KEY,
    EXECUTION_URL_KEY,
    FORM_ASKED_KEY,
)

T = TypeVar("T")


class TaskAttempt:
    """
    One attempt of a task instance, as far as it is known to Airflow.

    :param context: the task's context.
    :param durable: whether later attempts are to know of the run.
    :param log: the task's logger.
    """

    def __init__(self, context: Mapping[str, Any], *, durable: bool, log: Any) -> None:
        self._task_instance = context["ti"]
        self._log = log
        self.identity = attempt_of(context)
        self.store = store_for(context, durable=durable)

    @property
    def started_at(self) -> float | None:
        """Epoch seconds when the attempt began, deferrals included; None where Airflow does not tell."""
        moment = getattr(self._task_instance, "start_date", None)
        return None if moment is None else float(moment.timestamp())

    def announce(self, execution_id: str, *, url: str) -> None:
        """Push the run's id, and its address where there is one: without it the task has no link."""
        self._task_instance.xcom_push(key=EXECUTION_ID_KEY, value=execution_id)
        if url:
            self._task_instance.xcom_push(key=EXECUTION_URL_KEY, value=url)

    def announced(self) -> str | None:
        """Return the id that this attempt has pushed, None if it has pushed none."""
        read = partial(self._pull, EXECUTION_ID_KEY)
        found = self._tried(read, "Which execution this attempt waits for could not be read")
        return found if isinstance(found, str) else None

    def asks(self, question: str) -> None:
        """Note which question of the run people are asked."""
        self._task_instance.xcom_push(key=FORM_ASKED_KEY, value=question)

    def asked(self) -> str:
        """Return which question of the run people were asked, empty for none."""
        return str(self._pull(FORM_ASKED_KEY) or "")

    def _pull(self, key: str) -> Any:
        """Return an XCom that this attempt has pushed."""
        task_instance = self._task_instance
        index = getattr(task_instance, "map_index", None)
        return task_instance.xcom_pull(
            task_ids=task_instance.task_id, key=key, map_indexes=-1 if index is None else index
        )

    def recorded(self) -> RunRecord | None:
        """Return the record of the task's run; None where there is none, or it cannot be read just now."""
        return self._tried(self.store.load, "What is recorded of the execution could not be read")

    def run(self) -> tuple[str | None, RunRecord | None]:
        """Return the run of a task that is resumed, and its record; None for what is not known."""
        record = self.recorded()
        if record is not None and record.execution_id is not None:
            return record.execution_id, record
        return self.announced(), record

    def rejoin(self, record: RunRecord) -> None:
        """
        Note that this attempt is still with its run.

        A task that is resumed was not cleared, whatever has been cleared around it meanwhile.
        """
        if record.epoch != self.identity.epoch:
            self._write(replace(record, epoch=self.identity.epoch))

    def stopped(self) -> None:
        """Note that this attempt has given its run up and asked the service to cancel it."""
        record = self.recorded()
        if record is not None:
            self._write(replace(record, stopped=True))

    def failed(self, error: BaseException, *, left: str | None) -> None:
        """
        Note that this attempt has failed by itself.

        :param error: why.
        :param left: the run that it leaves alive, None if there is none.
        """
        record = None if isinstance(error, AirflowFailException) else self.recorded()
        if record is not None and not self.identity.was_cleared(record):
            identity = self.identity
            self._write(
                replace(
                    record,
                    ended_try=identity.number,
                    retries=identity.retries,
                    ended_badly=record.ended_badly
                    or isinstance(error, FlowExecutionFailedError | FlowExecutionInterruptedError),
                )
            )
        if left is None:
            return
        push = partial(self._task_instance.xcom_push, key=EXECUTION_LEFT_KEY, value=left)
        self._tried(push, f"That execution {left} was left alive could not be noted")

    def _write(self, record: RunRecord) -> None:
        self._tried(
            partial(self.store.save, record), "What is recorded of the execution could not be renewed"
        )

    def _tried(self, call: Callable[[], T], otherwise: str) -> T | None:
        """Return what Airflow answers; None, and a warning, where it does not: no task fails of that."""
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - what keeps Airflow from answering may be anything
            self._log.warning("%s: %s", otherwise, error)
            return None
