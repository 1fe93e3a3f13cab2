"""What an attempt of a task leaves behind in Airflow for later attempts, for triggers, and for people.

The record of the run is read and written while the run begins; here is what is added to it afterwards.
Invariant: nothing here decides about the run, and nothing here fails a task that would otherwise go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from smartflows_provider.lifecycle.record import RunRecord, attempt_of, store_for
from smartflows_provider.lifecycle.xcom_keys import (
    EXECUTION_ID_KEY,
    EXECUTION_LEFT_KEY,
    EXECUTION_URL_KEY,
)

UNREADABLE = "What is recorded of the execution could not be read: %s"


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
        """Push the run's id and its address."""
        self._task_instance.xcom_push(key=EXECUTION_ID_KEY, value=execution_id)
        self._task_instance.xcom_push(key=EXECUTION_URL_KEY, value=url)

    def announced(self) -> str | None:
        """Return the id that this attempt has pushed, None if it has pushed none."""
        task_instance = self._task_instance
        index = getattr(task_instance, "map_index", None)
        found = task_instance.xcom_pull(
            task_ids=task_instance.task_id,
            key=EXECUTION_ID_KEY,
            map_indexes=-1 if index is None else index,
        )
        return found if isinstance(found, str) else None

    def recorded(self) -> RunRecord | None:
        """Return the record of the task's run; None where there is none, or it cannot be read just now."""
        try:
            return self.store.load()
        except Exception as error:  # noqa: BLE001 - whatever keeps Airflow from answering
            self._log.warning(UNREADABLE, error)
            return None

    def rejoin(self, execution_id: str) -> bool:
        """
        Note that this attempt is still with its run, and tell whether it has started it.

        A task that is resumed was not cleared, whatever has been cleared around it meanwhile.
        """
        try:
            record = self.store.load()
        except Exception as error:  # noqa: BLE001 - as in recorded()
            self._log.warning(UNREADABLE, error)
            # An earlier attempt may have started it, and may have asked the service to cancel it.
            return False
        if record is None or record.execution_id != execution_id:
            return True
        if record.epoch != self.identity.epoch:
            self._write(replace(record, epoch=self.identity.epoch))
        return self.has_started(record)

    def has_started(self, record: RunRecord) -> bool:
        """Tell whether it was this attempt that has started a run; a record that does not tell counts so."""
        return record.started_try is None or record.started_try == self.identity.number

    def stopped(self) -> None:
        """Note that this attempt was told to stop and has asked the service to cancel its run."""
        record = self.recorded()
        if record is not None:
            self._write(replace(record, stopped=True))

    def failed(self, error: Exception, *, left: str | None) -> None:
        """
        Note that this attempt has failed by itself.

        :param error: why.
        :param left: the run that it leaves alive, None if there is none.
        """
        record = None if isinstance(error, AirflowFailException) else self.recorded()
        # What a clear asks for and this attempt has not brought about is still to be done by the next.
        if record is not None and not self.identity.was_cleared(record):
            self._write(replace(record, ended_try=self.identity.number))
        if left is None:
            return
        try:
            self._task_instance.xcom_push(key=EXECUTION_LEFT_KEY, value=left)
        except Exception as problem:  # noqa: BLE001 - the task's own error must not be covered up
            self._log.warning("That execution %s was left alive could not be noted: %s", left, problem)

    def _write(self, record: RunRecord) -> None:
        try:
            self.store.save(record)
        except Exception as error:  # noqa: BLE001 - as in recorded()
            self._log.warning("What is recorded of the execution could not be renewed: %s", error)
