"""One attempt of a task at bringing a remote run about, of whichever flow system.

What a :class:`smartflows_provider.operators.base.RunOperator` does on a worker, apart from it, so that a DAG
parse does not load it. Invariants: everything is begun, waited for and judged through the lifecycle room; a
task that is being stopped stops waiting, and its own cancel is never taken for the flow's end.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowEventError,
    FlowException,
    FlowExecutionCanceledError,
    FlowNotFoundError,
    FlowRecordError,
    FlowStateUnknownError,
    FlowTimeoutError,
    RunIdentity,
)
from smartflows_provider.lifecycle import spans
from smartflows_provider.lifecycle.attempt import TaskAttempt
from smartflows_provider.lifecycle.begin import NOTHING_STARTED, RunBeginning
from smartflows_provider.lifecycle.conclude import (
    KEPT,
    canceled_by_earlier_attempt,
    error_of_unfinished_wait,
    person_needed_error,
    read_event,
    timeout_error,
    unanswered_error,
    with_address,
)
from smartflows_provider.lifecycle.listeners import listened_to
from smartflows_provider.lifecycle.loops import wait_on_worker
from smartflows_provider.lifecycle.metrics import CancelCause, meter_of
from smartflows_provider.lifecycle.results import ResultOptions, Results, check_outputs, take_output
from smartflows_provider.lifecycle.run_request import RunRequest
from smartflows_provider.lifecycle.stop import cancel_and_look, cancel_and_settle, look
from smartflows_provider.lifecycle.trigger_end import Ending
from smartflows_provider.lifecycle.worker_kill import WorkerKill
from smartflows_provider.lifecycle.worker_needs import end_needs_worker
from smartflows_provider.operators.arguments import mapping_argument
from smartflows_provider.operators.storage import storage_path
from smartflows_provider.output.extractor import Output
from smartflows_provider.output.lineage import Landing
from smartflows_provider.output.manifest import build_manifest
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.version_compat import AIRFLOW_V_3_3_PLUS
from smartflows_provider.waiting.clock import read_clocks
from smartflows_provider.waiting.event import FormAnswer, WaitEvent
from smartflows_provider.waiting.wait import End, Wait, WaitPolicy
from smartflows_provider.wire.run import NO_TERMS, RunPhase

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.lifecycle.form_watch import OpenForm
    from smartflows_provider.lifecycle.record import RunRecord
    from smartflows_provider.operators.base import RunOperator


class RemoteRun(ABC):
    """
    One attempt: begin, wait, conclude.

    A system says what is to be run in :meth:`_request`, and by what name messages call it.

    :param operator: the task, its templates rendered.
    :param context: the task's context.
    """

    def __init__(self, operator: RunOperator, context: Context) -> None:
        self._operator = operator
        self._options = operator.options
        self._hook: FlowSystemHook = operator.hook
        self._meter = meter_of(operator.hook)
        self._terms = operator.run_terms()
        self._hook.terms = NO_TERMS if self._terms is None else self._terms
        self._log = operator.log
        self._context = context
        self._attempt = TaskAttempt(context, durable=operator.durable, log=operator.log)
        self._execution_id = ""
        self._started_here = True
        self._deadline = 0.0
        self._ended: WaitEvent | None = None
        self._given: FormAnswer | None = None
        self._open_form: OpenForm | None = None
        self._kill = WorkerKill(
            partial(self._hook.cancel_exchange, terms=self._hook.terms),
            where=self._where,
            cancels=self._options.cancel_on_kill,
            meter=self._meter,
            log=operator.log,
        )
        self.kill = self._kill.kill

    def __enter__(self) -> Self:
        self._kill.executing = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill.executing = False
        self._kill.say()
        timed_out = None
        if isinstance(error, AirflowTaskTimeout) and self._left is not None:
            timed_out = error = self._timed_out()
        if self._kill.cancelled:
            self._attempt.stopped()
        elif isinstance(error, Exception | AirflowTaskTimeout) and not self._kill.killed:
            self._attempt.failed(error, left=self._left)
            self._meter.task_failed(error, left=self._left)
        self._hook.close()
        if timed_out is not None:
            raise timed_out from None

    @property
    def must_wait(self) -> bool:
        """Whether it is still to be waited for the run's end."""
        return self._ended is None and self._given is None and not self._kill.over

    @property
    def asks_person(self) -> bool:
        """Whether a person is being asked, which no worker waits for."""
        return self._open_form is not None

    @property
    def _left(self) -> str | None:
        """The run that the task leaves alive if it fails now."""
        return None if self._kill.over else self._execution_id or None

    def _run_known(self, execution_id: str | None) -> None:
        """Note which run the task answers for from now on; None where an earlier one is over."""
        self._execution_id = self._kill.execution_id = execution_id or ""
        self._kill.over = False

    def _read_connection(self) -> None:
        """Look the connection up, as a kill must not; an error of it names the run."""
        try:
            self._kill.settings = self._hook.settings
        except FlowException as error:
            raise error.about(self._where(), fate=KEPT if self._execution_id else error.fate) from None

    # --- beginning ---

    @spans.begun
    def begin(self) -> None:
        """Attach to the execution of an earlier attempt, or start one; push its id and address."""
        beginning = RunBeginning(
            hook=self._hook,
            store=self._attempt.store,
            attempt=self._attempt.identity,
            options=self._options,
            log=self._log,
            run_known=self._run_known,
            check=self._kill.check,
            sleep=self._sleep,
        )
        beginning.recall()
        self._read_connection()
        begun = beginning.attach(self._flow_label)
        self._kill.check()
        if begun is None:
            kept = self._execution_id
            fate = f"Execution {kept} of an earlier attempt was left as it is." if kept else NOTHING_STARTED
            with self._request(fate) as request:
                self._kill.check()
                begun = beginning.begin(request)
        self._run_known(begun.execution_id)
        self._started_here = begun.started_here
        self._kill.over = begun.phase.is_stable
        self._deadline = self._within_execution_timeout(begun.deadline, since=time.time())
        self._kill.check()
        self._announce()
        self._kill.check()

    def _announce(self) -> None:
        """
        Push the run's id and address.

        :raises FlowRecordError: if Airflow does not take them; a retry attaches to the run where it can.
        """
        try:
            self._attempt.announce(self._execution_id, url=self._hook.execution_url(self._execution_id))
        except Exception as error:
            fate, advice = KEPT, "A retry attaches to it."
            if not self._attempt.store.remembers:
                stopped = cancel_and_settle(
                    self._hook, self._execution_id, cause="unrecorded", sleep=self._sleep
                )
                self._kill.over = stopped.is_over
                fate, advice = stopped.fate, "A retry starts a new execution."
            raise FlowRecordError(
                f"Airflow could not note which execution the task waits for: {type(error).__name__}: {error}",
                where=self._where(),
                fate=fate,
                advice=advice,
            ) from error

    def _within_execution_timeout(self, deadline: float, *, since: float) -> float:
        """Return the attempt's deadline: of a deferred task Airflow does not watch ``execution_timeout``."""
        limit = self._operator.execution_timeout
        return deadline if limit is None else min(deadline, since + limit.total_seconds())

    def results_at_start(self) -> Results:
        """Return the results of a run that nobody waits for: what is known of it now, no values yet."""
        exchange = self._hook.execution_exchange(self._execution_id, terms=self._hook.terms)
        try:
            execution = self._hook.run(exchange, execution_id=self._execution_id)
        except FlowException as error:
            gone = "It was started, but the service has no such execution, or no longer."
            fate = gone if isinstance(error, FlowNotFoundError) else KEPT
            raise error.about(self._where(), fate=fate) from None
        self._kill.check()
        manifest = build_manifest(
            Output(values={}),
            execution_id=execution.id,
            flow_id=execution.flow.id,
            flow_name=execution.flow.name,
            status=execution.status,
            created_at=execution.created_at,
            url=self._hook.execution_url(execution.id),
        )
        return Results(manifest=manifest, landing=Landing.of(manifest, ()))

    def resume(self, event: dict[str, Any] | None) -> None:
        """
        Take up the run that the triggerer has waited for.

        :param event: a :class:`WaitEvent` as a dict, or the answer to a form of Airflow's.
        :raises FlowEventError: if it is neither; the run is kept.
        """
        execution_id, record = self._attempt.run()
        if execution_id is not None:
            self._run_known(execution_id)
        found = read_event(event, where=self._where())
        if isinstance(found, WaitEvent):
            self._take_up(found, known=execution_id)
        else:
            self._go_on(record)
            self._given = found
        if self._ended is None or self._ended.reason != "misconfigured":
            self._read_connection()
        if record is not None:
            self._started_here = self._attempt.identity.has_started(record)
            self._attempt.rejoin(record)
        elif self._attempt.store.remembers:
            # It cannot be read just now: an earlier attempt may have started the run, and cancelled it.
            self._started_here = False

    def trigger_failed(self, error: Exception) -> NoReturn:
        """
        Fail a task whose trigger could not go on.

        :param error: Airflow's.
        :raises FlowStateUnknownError: always; it names the run, to which a retry attaches where it can.
        """
        execution_id, _ = self._attempt.run()
        if execution_id is not None:
            self._run_known(execution_id)
        raise FlowStateUnknownError(
            f"The wait in the triggerer failed: {error}",
            where=self._where(),
            fate=KEPT,
            advice="Look at the trigger's lines in this log; a retry attaches to the execution where Airflow "
            "keeps task state (3.3 and later).",
        )

    def _take_up(self, ended: WaitEvent, *, known: str | None) -> None:
        """Take up the run of an event; refuse one of another run."""
        if known not in {None, ended.execution_id}:
            raise FlowEventError(
                f"The task was resumed by an event of another execution, {ended.execution_id}.",
                where=self._where(),
                fate=KEPT,
                advice="Clear the task with on_clear='resume' to go on with its own execution.",
            )
        self._run_known(ended.execution_id)
        self._ended = ended
        self._kill.over = ended.reason in {"finished", "gone"}
        self._deadline = ended.deadline or time.time() + self._options.timeout

    def _go_on(self, record: RunRecord | None) -> None:
        """Wait on for the run of this attempt: a form's answer has ended the trigger, and not the run."""
        if not self._execution_id:
            raise FlowEventError(
                "The task was resumed by the answer to a form, but its execution is not known.",
                where=self._where(),
                fate="If there is one, it was kept.",
                advice="Look at the service's executions of the flow, and clear the task to start a new one.",
            )
        began = self._attempt.started_at or time.time()
        deadline = record.deadline if record else began + self._options.timeout
        self._deadline = self._within_execution_timeout(deadline, since=began)

    # --- waiting ---

    def trigger(self) -> FlowExecutionTrigger:
        """Return what waits in the triggerer."""
        self._kill.check()
        options = self._options
        trigger = FlowExecutionTrigger(
            system=self._operator.system,
            conn_id=self._operator.conn_id,
            execution_id=self._execution_id,
            deadline=self._deadline,
            poll_interval=options.poll_interval,
            max_outage=options.max_outage,
            stop_for_person=options.on_user_input != "wait",
            cancel_on_kill=options.cancel_on_kill,
            cancel_on_timeout=options.cancel_on_timeout,
            cancel_for_person=options.on_user_input == "fail" and options.cancel_on_timeout,
            keep_on_clear=options.on_clear == "resume",
            ending=self._ending(),
            terms=self._terms,
            open_form=None if self._open_form is None else self._open_form.as_dict(),
        )
        self._kill.handed_over = True
        return trigger

    def _ending(self) -> dict[str, Any] | None:
        """Return what a success comes to in the triggerer, None where it needs a worker."""
        operator = self._operator
        if (
            not AIRFLOW_V_3_3_PLUS
            or operator.resume_on_worker
            or operator.documents_path
            or end_needs_worker(operator)
            or listened_to()
        ):
            return None
        try:
            outputs = mapping_argument(operator.outputs, "outputs", where=self._where())
        except FlowConfigurationError:
            # Of a run that a retry attaches to; a worker tells it at the run's end.
            return None
        return Ending(
            returns="manifest",
            on_warning=self._options.on_warning,
            outputs=dict(outputs),
            values_by_title=operator.values_by_title,
            max_xcom_bytes=operator.max_xcom_bytes,
        ).as_dict()

    @spans.waited
    def _wait(self) -> WaitEvent:
        policy = WaitPolicy(
            deadline=self._deadline,
            poll_interval=self._options.poll_interval,
            max_outage=self._options.max_outage,
            stop_for_person=self._options.on_user_input != "wait",
            terms=self._hook.terms,
        )
        wait = Wait(policy, execution_id=self._execution_id, began=read_clocks())
        try:
            end = wait_on_worker(wait, hook=self._hook, log=self._log, sleep=self._sleep)
        except AirflowTaskTimeout:
            # Airflow's clock for execution_timeout was a little ahead of ours.
            end = End(reason="deadline", execution_id=self._execution_id, status=wait.last_status, phase=None)
        self._kill.check()
        return WaitEvent(
            reason=end.reason,
            execution_id=end.execution_id,
            status=end.status,
            phase=end.phase,
            detail=end.detail,
            deadline=self._deadline,
        )

    def _sleep(self, seconds: float) -> None:
        """Sleep in short pieces, so that a task that is being stopped stops waiting."""
        # A kill must use the connection as the wait last read it.
        self._kill.settings = self._hook.known_settings or self._kill.settings
        self._kill.check()
        wake_at = time.monotonic() + seconds
        while (left := wake_at - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            self._kill.check()

    # --- concluding ---

    def conclude(self) -> Results | None:
        """
        Judge how the wait ended; wait first where nobody has yet.

        :returns: the results, or None where a form was shown or answered and the wait goes on.
        :raises FlowException: one of its kinds, for every other end.
        """
        if self._given is not None:
            given, self._given = self._given, None
            self._take_answer(given)
            return None
        ended = self._ended or self._wait()
        self._ended = None
        ended, url = with_address(self._hook, ended)
        where = self._where(url=url)
        if ended.reason == "needs_person" and self._options.on_user_input in {"answer", "ask"}:
            self._answer(ended, where)
            return None
        if ended.reason in {"needs_person", "unanswered", "deadline"}:
            fate, end = self._give_up(ended)
            if end is None:
                raise self._given_up(ended, where=where, fate=fate)
            ended = end
        elif ended.reason != "finished":
            self._kill.over = ended.reason == "gone"
            if ended.reason == "gone":
                self._meter.run_ended("gone", own=True)
            raise error_of_unfinished_wait(ended, where=where)
        self._kill.over = True
        try:
            return take_output(
                self._hook,
                ended.execution_id,
                options=self._result_options(),
                on_warning=self._options.on_warning,
                where=where,
                log=self._log,
                ended=ended,
                check=self._kill.check,
            )
        except FlowExecutionCanceledError:
            if self._started_here:
                raise
            raise canceled_by_earlier_attempt(where=where) from None

    def _given_up(self, ended: WaitEvent, *, where: RunIdentity, fate: str) -> FlowException:
        """Return the error for a run that this task waits for no longer."""
        if ended.reason == "deadline":
            return timeout_error(where=where, status=ended.status, fate=fate)
        if ended.reason == "unanswered":
            return unanswered_error(where=where, seconds=self._options.answer_timeout or 0.0, fate=fate)
        return person_needed_error(where=where, status=ended.status or "UserInput", fate=fate)

    def _answer(self, ended: WaitEvent, where: RunIdentity) -> None:
        """Answer what the run asks a person, or ask one; only for systems whose options allow for it."""
        raise person_needed_error(where=where, status=ended.status or "", fate=KEPT)

    def _take_answer(self, given: FormAnswer) -> None:
        """Take up the answer to a form of Airflow's, which for most systems says nothing about the run."""
        del given
        self._log.info("A form was answered; still waiting for execution %s.", self._execution_id)

    def _give_up(self, ended: WaitEvent) -> tuple[str, WaitEvent | None]:
        """
        Cancel a run that this task waits for no longer.

        :returns: what became of it, and how it turned out to have ended by itself meanwhile, None where not.
        """
        cancels = self._options.cancel_on_timeout
        # What execution_timeout has interrupted is not used again.
        self._hook.close()
        if cancels and not ended.canceled:
            cause: CancelCause = "timeout" if ended.reason == "deadline" else "person_needed"
            stopped = cancel_and_look(self._hook, ended.execution_id, cause=cause)
        else:
            stopped = look(self._hook, ended.execution_id, after_cancel=ended.canceled)
        self._kill.over = stopped.is_over
        fate = stopped.fate
        if not cancels:
            fate += f" It was not cancelled, {self._hook.hints.timeout_off}."
        elif stopped.was_stopped:
            # A retry must not take our own cancel for the flow's end.
            self._attempt.stopped()
        if stopped.phase is None or not stopped.phase.is_stable or stopped.phase is RunPhase.CANCELED:
            return fate, None
        return fate, replace(ended, reason="finished", status=stopped.status, phase=stopped.phase)

    def _timed_out(self) -> FlowTimeoutError:
        """Give up the run that ``execution_timeout`` has torn the task from; return the error for that."""
        ended = WaitEvent(reason="deadline", execution_id=self._execution_id)
        fate, _ = self._give_up(ended)
        return timeout_error(where=self._where(), status=None, fate=fate)

    # --- what a system says ---

    @property
    @abstractmethod
    def _flow_label(self) -> str:
        """How messages name the flow."""

    @abstractmethod
    def _request(self, fate: str) -> AbstractContextManager[RunRequest]:
        """
        Return what is to be run, with what it needs held ready until the block ends.

        :param fate: what became of the run so far, for messages.
        :raises FlowException: if the arguments, as templates have filled them in, cannot be used.
        """

    def _ready_to_send(self) -> None:
        """Note that the request that starts the run leaves now; to be called right before."""
        self._kill.sent = True

    def _result_options(self) -> ResultOptions:
        operator = self._operator
        return ResultOptions(
            outputs=mapping_argument(operator.outputs, "outputs", where=self._where()),
            values_by_title=operator.values_by_title,
            documents_path=storage_path(operator.documents_path, where=self._where()),
            max_document_bytes=operator.max_document_bytes,
            max_xcom_bytes=operator.max_xcom_bytes,
        )

    def _check_results(self, fate: str) -> None:
        """Refuse before the start what could not be done with the results."""
        where = self._where()
        check_outputs(
            mapping_argument(self._operator.outputs, "outputs", where=where), where=where, fate=fate
        )
        storage_path(self._operator.documents_path, where=where, fate=fate)

    def shown(self) -> spans.Shown:
        """Return which run spans are about."""
        return spans.shown_of(self._hook, self._execution_id, flow=self._flow_label)

    def _where(self, *, url: str | None = None) -> RunIdentity:
        execution_id = self._execution_id or None
        return self._hook.identity(flow=self._flow_label, execution_id=execution_id, url=url)
