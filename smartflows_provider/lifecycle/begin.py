"""The beginning of a run: attach to the one there is, or start one exactly once.

The order of steps is the whole point. Invariants: an intent is on record before the request that starts a
run leaves, the run's id right after; the request is repeated only after errors that prove that nothing was
taken; what is unclear is looked up by a value of ours, and fails with what to check if no run proves to be
the one, instead of starting a second. Where that value is the run's id, a repetition is the same run, so what
is unclear is left on record for a retry to go on with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from smartflows_provider.exceptions import (
    FlowException,
    FlowExecutionGoneError,
    FlowInputError,
    FlowKilledError,
    FlowNotFoundError,
    FlowRecordError,
    FlowRequestRefusedError,
    FlowStateUnknownError,
    FlowSubmissionUnclearError,
    RunIdentity,
)
from smartflows_provider.hooks.translation import may_be_taken, seconds_asked, translate, without_words
from smartflows_provider.lifecycle.conclude import error_of_unfinished_wait
from smartflows_provider.lifecycle.metrics import CancelCause, meter_of
from smartflows_provider.lifecycle.options import RunOptions
from smartflows_provider.lifecycle.reattach import FirstStep, after_look, first_step
from smartflows_provider.lifecycle.record import RECORD_KEY, AttemptIdentity, RunRecord, RunStore
from smartflows_provider.lifecycle.run_request import BegunRun, Candidate, RunRequest, Submission
from smartflows_provider.lifecycle.stop import cancel_and_settle
from smartflows_provider.transport.errors import AnswerLost, NotSent, TransportError
from smartflows_provider.waiting.event import WaitEvent
from smartflows_provider.waiting.failures import read_failure
from smartflows_provider.waiting.holding import SHORTEST_NAMED
from smartflows_provider.wire.errors import (
    NotFound,
    RequestRefused,
    Throttled,
    WireError,
)

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.wire.run import RunPhase, RunSnapshot

NOTHING_STARTED = "Nothing was started."
LOOK_UP_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between looks for a run whose start was not answered: it may appear a little later."""
UNREADABLE = (
    f"then delete the task state {RECORD_KEY!r}, or set durable=False, and clear the task to start a new one."
)

CANNOT_LIST = "The service cannot list its executions."
MOST_LISTED = 20
"""How many candidates a message lists."""


class RunBeginning:
    """
    Brings a task to its remote run.

    :param hook: the connection.
    :param store: where the task's record is kept.
    :param attempt: which one this is.
    :param options: the author's decisions.
    :param log: the task's logger.
    :param run_known: told which run the task answers for as soon as that is known; None where that is over.
    :param check: raises if the task was told to stop.
    :param clock: gives epoch seconds.
    :param steady: gives seconds that never jump.
    :param sleep: pauses for seconds; raises as ``check`` does.
    """

    def __init__(
        self,
        *,
        hook: FlowSystemHook,
        store: RunStore,
        attempt: AttemptIdentity,
        options: RunOptions,
        log: Any,
        run_known: Callable[[str | None], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hook = hook
        self._store = store
        self._attempt = attempt
        self._options = options
        self._log = log
        self._run_known = run_known
        self._check = check
        self._clock = clock
        self._steady = steady
        self._sleep = sleep
        self._record: RunRecord | None = None
        self._unreadable: ValueError | None = None
        self._ended_badly = False
        self._meter = meter_of(hook)
        self._adopted = False

    def recall(self) -> None:
        """Read what an earlier attempt has recorded; to be called first, it asks nobody but Airflow."""
        try:
            self._record = self._store.load()
        except ValueError as error:
            self._unreadable = error
        if self._record is not None and self._record.execution_id is not None:
            self._run_known(self._record.execution_id)

    def attach(self, flow: str) -> BegunRun | None:
        """
        Attach to the run of an earlier attempt where the input does not matter, so that it is not even read.

        Returns None where there is no such run, or the decision is :meth:`begin`'s.

        :param flow: id or name as given, for people.
        :raises FlowStateUnknownError: as :meth:`begin`.
        :raises FlowExecutionGoneError: as :meth:`begin`.
        """
        record = self._record
        if record is None or record.execution_id is None or self._options.on_input_changed != "attach":
            return None
        step = first_step(
            record, attempt=self._attempt, fingerprint=record.fingerprint, options=self._options
        )
        return self._follow(step, record, record.execution_id, flow) if step in {"look", "settle"} else None

    def begin(self, request: RunRequest) -> BegunRun:
        """
        Return the run that this attempt is to wait for.

        :raises FlowSubmissionUnclearError: if it is open whether a run was started.
        :raises FlowInputError: if the input changed since and the author wants that to fail.
        :raises FlowStateUnknownError: if the earlier run could not be asked about, or it is open whether one
            was started that can be started again as the same; a retry helps.
        :raises FlowExecutionGoneError: if the service no longer has the earlier run.
        :raises FlowException: for what else stands in the way of starting a run.
        """
        if self._unreadable is not None:
            why = f"What an earlier attempt has recorded cannot be read: {self._unreadable}."
            advice = f"{self._hook.hints.find_run}; {UNREADABLE}"
            raise self._unclear(request, 0.0, why, advice=advice) from None
        if self._ended_badly:
            return self._submit(request)
        record = self._resolved(self._record, request)
        step = first_step(
            record, attempt=self._attempt, fingerprint=request.fingerprint, options=self._options
        )
        if record is None or step == "submit":
            return self._submit(request)
        if step == "unclear" and self._may_begin_anew(record, request):
            self._log.info("The task was cleared, and no execution of the flow since then goes on.")
            return self._submit(request)
        if step == "unclear" and request.repeatable and record.correlation is not None:
            self._log.info("An earlier attempt ended while it was starting a run: it is started as the same.")
            return self._submit(request)
        if step == "unclear" or record.execution_id is None:
            raise self._unclear(
                request, record.submitted_at, "An earlier attempt ended while it was starting it."
            )
        if step == "supersede":
            cleared = self._attempt.was_cleared(record) and self._options.on_clear == "restart"
            self._settle(record.execution_id, request.flow, cause="clear" if cleared else "input_changed")
            return self._submit(request)
        if step == "input_changed":
            raise FlowInputError(
                "The input differs from the one the execution was started with, and on_input_changed='fail'.",
                where=self._where(request.flow, record.execution_id),
                fate="The execution was left as it is.",
                advice="Clear the task to start a new execution with the new input.",
            )
        return self._follow(step, record, record.execution_id, request.flow) or self._submit(request)

    def _may_begin_anew(self, record: RunRecord, request: RunRequest) -> bool:
        """
        Tell whether a task that may have been cleared while it was starting a run can start another.

        It was told to stop then, and cancels what it has started. Nothing of that goes on, or has ended well,
        if no run of the flow since does or has.
        """
        if request.candidates is None or not self._attempt.was_cleared(record):
            return False
        try:
            found = request.candidates(record.submitted_at)
        except (WireError, TransportError):
            return False
        return all(after_look(one.phase) == "submit" for one in found)

    def _follow(self, step: FirstStep, record: RunRecord, execution_id: str, flow: str) -> BegunRun | None:
        """Return the recorded run, None if it ended badly, so that a new one is to be started."""
        if step == "settle":
            phase, status = self._settle(execution_id, flow, cause=None), ""
        else:
            snapshot = self._look(execution_id, flow, ended_badly=record.ended_badly)
            phase = None if snapshot is None else snapshot.phase
            status = "" if snapshot is None else f" It is {snapshot.status}."
        if phase is None or after_look(phase) == "submit":
            self._log.info(
                "Execution %s of an earlier attempt has ended.%s A new one is started.", execution_id, status
            )
            self._run_known(None)
            self._ended_badly = True
            return None
        self._log.info(
            "Attached to execution %s, which an earlier attempt has started.%s", execution_id, status
        )
        attached = replace(record, epoch=self._attempt.epoch, ended_try=None, stopped=False)
        if record.deadline <= self._clock() and not phase.is_stable:
            # An earlier attempt gave up on it and left it alive: this attempt has its own time.
            attached = replace(attached, deadline=self._clock() + self._options.timeout)
        if attached != record:
            self._store.save(attached)
        if not self._adopted:
            self._meter.run_reattached()
        return BegunRun(
            execution_id=execution_id,
            deadline=attached.deadline,
            phase=phase,
            started_here=self._attempt.has_started(record),
        )

    def _look(self, execution_id: str, flow: str, *, ended_badly: bool) -> RunSnapshot | None:
        """
        Ask for the status of an earlier attempt's run.

        :param ended_badly: whether it was seen to have; then None tells that it is gone since.
        :raises FlowExecutionGoneError: if it is gone, and may have ended well.
        """
        where = self._where(flow, execution_id)
        missing = "the service no longer has it"
        try:
            hook = self._hook
            exchange = hook.look_exchange(execution_id, hold_seconds=SHORTEST_NAMED, terms=hook.terms)
            snapshot = hook.client.run(exchange)
        except NotFound as error:
            missing = str(error)
        except (WireError, TransportError) as error:
            raise self._not_asked(error, where) from None
        else:
            if not snapshot.gone or (not ended_badly and after_look(snapshot.phase) == "attach"):
                return snapshot
        self._run_known(None)
        if ended_badly:
            return None
        raise FlowExecutionGoneError(
            f"The execution that an earlier attempt started no longer exists: {missing}.",
            where=where,
            fate="It was purged, or the connection now leads to another project; its end is not known.",
            advice=f"Clear the task to start a new execution. {where.hints.gone}".strip(),
        )

    def _not_asked(self, error: WireError | TransportError, where: RunIdentity) -> FlowException:
        """Return the error where an earlier attempt's run could not be asked about."""
        self._check()
        failure = read_failure(error)
        if failure.kind in {"refused", "denied"}:
            event = WaitEvent(reason=failure.kind, execution_id=where.execution_id or "", detail=failure.text)
            return error_of_unfinished_wait(event, where=where)
        return FlowStateUnknownError(
            f"The execution that an earlier attempt started could not be asked about: {error}.",
            where=where,
            fate="The execution was kept; no other was started.",
            advice="A retry asks again.",
            retry_after=seconds_asked(error),
        )

    def _settle(self, execution_id: str, flow: str, *, cause: CancelCause | None) -> RunPhase | None:
        """Stop the run of an earlier attempt, and return how it ended; None where the service has lost it."""
        self._log.info("Execution %s is to be cancelled before another one is started.", execution_id)
        stopped = cancel_and_settle(
            self._hook, execution_id, cause=cause, clock=self._steady, sleep=self._sleep
        )
        if not stopped.is_over:
            raise FlowStateUnknownError(
                "The execution of an earlier attempt has not stopped.",
                where=self._where(flow, execution_id),
                fate=f"{stopped.fate} No other was started.",
                advice="Cancel it at the service if it does not stop by itself; a retry tries again.",
            )
        self._log.info("%s", stopped.fate)
        self._run_known(None)
        # One that is gone after it was to be stopped has not ended well, whatever that means otherwise.
        return None if stopped.gone else stopped.phase

    def _resolved(self, record: RunRecord | None, request: RunRequest) -> RunRecord | None:
        """Return the record, with the id of the run whose start an attempt did not live to see answered."""
        if record is None or record.execution_id is not None or record.correlation is None:
            return record
        pauses = () if request.repeatable else LOOK_UP_PAUSES
        started = self._look_up(request, record.submitted_at, record.correlation, pauses=pauses)
        if started is None:
            return record
        self._run_known(started.execution_id)
        found = replace(record, execution_id=started.execution_id)
        self._store.save(found)
        return found

    def _look_up(
        self,
        request: RunRequest,
        since: float,
        correlation: str,
        *,
        pauses: Sequence[float] = LOOK_UP_PAUSES,
    ) -> RunSnapshot | None:
        """Return the one run that proves to be ours, None where there is none or it cannot be told."""
        if self._options.on_ambiguous_submission != "look_up" or request.proven is None:
            return None
        for pause in (*pauses, None):
            found = self._proven(request.proven, since, correlation) or []
            if len(found) == 1:
                return found[0]
            if found or pause is None:
                break
            self._sleep(pause)
        return None

    def _proven(
        self, proven: Callable[[float, str], list[RunSnapshot]], since: float, correlation: str
    ) -> list[RunSnapshot] | None:
        """Return the runs that prove to be ours, None where the service could not be asked for them."""
        try:
            found = proven(since, correlation)
        except (WireError, TransportError) as error:
            self._log.warning("Could not look for the execution that was started: %s.", error)
            return None
        if len(found) == 1:
            self._log.info("Found execution %s by a value of ours.", found[0].execution_id)
            self._count_adopted()
        return found

    def _submit(self, request: RunRequest) -> BegunRun:
        submission, before = request.prepare(self._record), self._record
        now = self._clock()
        self._adopted = False
        intent = RunRecord(
            execution_id=None,
            flow=request.flow,
            fingerprint=request.fingerprint,
            epoch=self._attempt.epoch,
            submitted_at=now,
            deadline=now + self._options.timeout,
            correlation=submission.correlation,
            started_try=self._attempt.number,
        )
        if submission.adopted is not None:
            return self._adopt(submission.adopted, intent)
        was_sent = (
            request.repeatable
            and before is not None
            and before.execution_id is None
            and before.correlation == submission.correlation
        )
        self._store.save(intent)
        self._record = intent
        try:
            self._check()
        except FlowKilledError:
            if not was_sent:
                self._store.discard()
            raise
        self._log.info("Starting flow %r.", request.flow)
        if self._store.notice is not None and not request.repeatable:
            self._log.info("%s", self._store.notice)
        snapshot = self._send(submission, request, now, was_sent=was_sent)
        execution_id = snapshot.execution_id
        self._run_known(execution_id)
        if not self._adopted:
            self._meter.run_started()
        try:
            self._store.save(replace(intent, execution_id=execution_id))
        except Exception as error:  # noqa: BLE001 - whatever keeps Airflow from writing
            phase = self._unrecorded(request, execution_id, error)
            return BegunRun(
                execution_id=execution_id, deadline=intent.deadline, phase=phase, started_here=True
            )
        self._log.info("Started execution %s of flow %r.", execution_id, request.flow)
        return BegunRun(
            execution_id=execution_id, deadline=intent.deadline, phase=snapshot.phase, started_here=True
        )

    def _adopt(self, found: RunSnapshot, intent: RunRecord) -> BegunRun:
        """Go on with a run that an earlier attempt has started, which is not on record."""
        self._run_known(found.execution_id)
        self._count_adopted()
        self._log.info(
            "Attached to execution %s, which an earlier attempt has started. It is %s.",
            found.execution_id,
            found.status,
        )
        # Which attempt has started it is not known, so it was not this one.
        self._store.save(replace(intent, execution_id=found.execution_id, started_try=0))
        return BegunRun(
            execution_id=found.execution_id, deadline=intent.deadline, phase=found.phase, started_here=False
        )

    def _count_adopted(self) -> None:
        """Count a run that was found on proof; it is neither started nor attached to as well."""
        self._adopted = True
        self._meter.run_adopted()

    def _unrecorded(self, request: RunRequest, execution_id: str, error: Exception) -> RunPhase:
        """Stop a run that no later attempt could find again; one that has ended well is gone on with."""
        stopped = cancel_and_settle(
            self._hook, execution_id, cause="unrecorded", clock=self._steady, sleep=self._sleep
        )
        if stopped.is_over and stopped.phase is not None and after_look(stopped.phase) == "attach":
            problem = f"{type(error).__name__}: {error}"
            self._log.warning("%s It could not be recorded: %s", stopped.fate, problem)
            return stopped.phase
        advice = "Cancel it at the service; a retry tells of it as of a start without an answer."
        if stopped.is_over:
            self._run_known(None)
            advice = "A retry starts a new execution."
            # An intent that stayed would make the next attempt look for a run that is no longer there.
            with suppress(Exception):
                self._store.discard()
        raise FlowRecordError(
            f"The execution was started, but Airflow could not record it: {type(error).__name__}: {error}",
            where=self._where(request.flow, execution_id),
            fate=stopped.fate,
            advice=advice,
        ) from error

    def _send(
        self, submission: Submission, request: RunRequest, since: float, *, was_sent: bool
    ) -> RunSnapshot:
        """
        Send the request that starts the run; twice only if nothing was taken or the author asks for it.

        :param was_sent: whether an earlier attempt may have started this very run.
        """
        send = submission.send
        try:
            return send()
        except (WireError, TransportError, AirflowTaskTimeout) as caught:
            error = _failure(caught, hide_words=request.hide_words)
            timed_out = isinstance(caught, AirflowTaskTimeout)
        run_id = submission.correlation if request.repeatable else None
        if isinstance(error, RequestRefused) and run_id is not None and request.proven is not None:
            # The service may refuse what it has already, and what it could not bring to an end.
            there = self._proven(request.proven, since, run_id)
            if there:
                return there[0]
            if was_sent or there is None:
                raise self._still_open(request, run_id, error) from None
        if not may_be_taken(error):
            if was_sent and run_id is not None:
                # It says nothing of what an earlier attempt has sent.
                self._run_known(run_id)
                raise self._refusal(error, request, fate=_open(run_id)) from None
            self._store.discard()
            raise self._refusal(error, request) from None
        if run_id is not None:
            return self._send_as_the_same(submission, request, since, error, run_id, timed_out=timed_out)
        if self._options.on_ambiguous_submission == "resubmit" and timed_out:
            raise self._left_to_a_retry(request, error) from None
        if self._options.on_ambiguous_submission == "resubmit":
            self._log.warning("Starting again, as on_ambiguous_submission='resubmit' asks: %s.", error)
            try:
                return send()
            except (WireError, TransportError, AirflowTaskTimeout) as caught:
                second = _failure(caught, hide_words=request.hide_words)
            raise self._unclear(request, since, f"{error}. It was sent once more: {second}.") from None
        found = self._look_up_in_time(request, since, submission.correlation)
        if found is None:
            raise self._unclear(request, since, f"{error}.") from None
        return found

    def _send_as_the_same(
        self,
        submission: Submission,
        request: RunRequest,
        since: float,
        error: WireError | TransportError,
        run_id: str,
        *,
        timed_out: bool,
    ) -> RunSnapshot:
        """
        Start a run whose start was not answered once more, under the id that it has: twice is once.

        A service that has the run already may refuse to start it, so it is looked for before and after.

        :param error: why the start was not answered.
        :param run_id: the run's id.
        :param timed_out: whether there is no time left to send it again.
        """
        # It may be there, so a task that is stopped by now stops it.
        self._run_known(run_id)
        for pause in () if timed_out else LOOK_UP_PAUSES:
            self._sleep(pause)
            if (found := self._look_up(request, since, run_id, pauses=())) is not None:
                return found
            self._log.warning("The start was not answered; it is sent again as the same run: %s.", error)
            try:
                return submission.send()
            except (WireError, TransportError, AirflowTaskTimeout) as caught:
                error = _failure(caught, hide_words=request.hide_words)
                if isinstance(caught, AirflowTaskTimeout):
                    break
            if not (may_be_taken(error) or isinstance(error, NotSent | Throttled)):
                # It says nothing of the request before, which may have been taken.
                break
        if (found := self._look_up(request, since, run_id, pauses=())) is not None:
            return found
        raise self._still_open(request, run_id, error)

    def _look_up_in_time(
        self, request: RunRequest, since: float, correlation: str | None
    ) -> RunSnapshot | None:
        """Look up the run whose start was not answered; what interrupts that leaves it open."""
        if correlation is None:
            return None
        try:
            return self._look_up(request, since, correlation)
        except AirflowTaskTimeout:
            return None
        except FlowKilledError:
            if self._store.remembers:
                raise
            # No later attempt knows that there is something to look for.
            return None

    def _refusal(
        self, error: WireError | TransportError, request: RunRequest, *, fate: str = NOTHING_STARTED
    ) -> FlowException:
        """Return the error for a request that the service has not taken."""
        where = self._where(request.flow)
        if isinstance(error, RequestRefused):
            return FlowRequestRefusedError(
                f"The service does not start the flow: {error}.",
                where=where,
                fate=fate,
                advice=where.hints.refused_start,
            )
        if isinstance(error, NotFound):
            return FlowNotFoundError(
                f"The service knows no such flow: {error}.",
                where=where,
                fate=fate,
                advice=where.hints.flow_gone,
            )
        return translate(error, where=where, fate=fate)

    def _unclear(
        self, request: RunRequest, since: float, why: str, *, advice: str | None = None
    ) -> FlowSubmissionUnclearError:
        try:
            listed = CANNOT_LIST if request.candidates is None else _listed(request.candidates(since))
        except (WireError, TransportError) as error:
            listed = f"The service's executions could not be listed: {error}."
        if self._record is not None and self._record.execution_id is None:
            # Without that mark the next attempt says it again.
            with suppress(Exception):
                self._store.save(replace(self._record, told=True))
        return FlowSubmissionUnclearError(
            f"It is open whether the service has started an execution. {why}",
            where=self._where(request.flow),
            fate=listed,
            advice=self._hook.hints.unclear_start if advice is None else advice,
        )

    def _left_to_a_retry(
        self, request: RunRequest, error: WireError | TransportError
    ) -> FlowStateUnknownError:
        """Return the error for a start that is open, and that may be sent again, but not by this attempt."""
        return FlowStateUnknownError(
            f"It is open whether the service has started an execution. {error}.",
            where=self._where(request.flow),
            fate="One may have been started, and then goes on.",
            advice="A retry starts another, as on_ambiguous_submission='resubmit' asks.",
        )

    def _still_open(
        self, request: RunRequest, run_id: str, error: WireError | TransportError
    ) -> FlowStateUnknownError:
        """Return the error for a start that is open, and that a retry can send again as the same."""
        self._run_known(run_id)
        return FlowStateUnknownError(
            f"It is open whether the service has started the execution. {error}.",
            where=self._where(request.flow, run_id),
            fate=_open(run_id),
            advice="A retry looks for it by its id, goes on with it, or starts it under the same id if it is "
            "not there. If no retry is left, look for it at the service.",
            retry_after=seconds_asked(error),
        )

    def _where(self, flow: str, execution_id: str | None = None) -> RunIdentity:
        return self._hook.identity(flow=flow, execution_id=execution_id)


def _open(run_id: str) -> str:
    return f"Execution {run_id} may have been started, and then goes on; no other was started."


def _listed(found: list[Candidate]) -> str:
    if not found:
        return "The service lists no execution of this flow since then."
    lines = [one.text for one in found[:MOST_LISTED]]
    more = [f"and {len(found) - MOST_LISTED} more"] if len(found) > MOST_LISTED else []
    return "\n".join(["Executions of this flow since then:", *(f"  {line}" for line in [*lines, *more])])


def _failure(
    error: WireError | TransportError | AirflowTaskTimeout, *, hide_words: bool
) -> WireError | TransportError:
    """Return what became of the request that starts a run, for people to read."""
    if isinstance(error, AirflowTaskTimeout):
        return AnswerLost("execution_timeout passed while the start was not answered", kind="timeout")
    return without_words(error) if hide_words else error
