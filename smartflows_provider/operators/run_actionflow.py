"""One attempt of a task at running an actionflow of PhixFlow's.

What :class:`PhixFlowRunActionflowOperator` does on a worker beyond what every remote run has in common. In
the mode *Poll for result* the answer names a run, which the lifecycle waits for. In the mode *Wait for
result* the answer is the run's end, and the record of the intent tells a later attempt of a call that was not
answered.
Invariants: a call is never sent twice unless it provably was not taken or the author asks for it; an answer
in the mode *Wait for result* is judged by the process that has received it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowDocumentError,
    FlowException,
    FlowExecutionGoneError,
    FlowKilledError,
    FlowNotFoundError,
    FlowOutputError,
    FlowRequestRefusedError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.hooks.phixflow import label_of
from smartflows_provider.hooks.translation import translate, without_words
from smartflows_provider.lifecycle.run_request import RunRequest, Submission
from smartflows_provider.operators.arguments import mapping_argument, text_argument
from smartflows_provider.operators.remote_run import RemoteRun
from smartflows_provider.transport.errors import (
    AnswerLost,
    AnswerPacked,
    AnswerTooLarge,
    TransportError,
)
from smartflows_provider.waiting.event import WaitEvent
from smartflows_provider.wire import phixflow as wire
from smartflows_provider.wire.errors import (
    NotFound,
    ServiceFault,
    UnreadableAnswer,
    WireError,
)
from smartflows_provider.wire.messages import segment
from smartflows_provider.wire.run import Execution, RunSnapshot

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.hooks.phixflow import EndpointArguments, PhixFlowHook
    from smartflows_provider.lifecycle.record import RunRecord
    from smartflows_provider.lifecycle.results import Results
    from smartflows_provider.operators.phixflow import PhixFlowRunActionflowOperator
    from smartflows_provider.wire.phixflow_terms import ActionflowTerms


def endpoint_of(operator: PhixFlowRunActionflowOperator) -> EndpointArguments:
    """Return which endpoint a task calls, without what it calls it with."""
    return {
        "application": operator.application,
        "actionflow": operator.actionflow,
        "path": operator.path,
    }


def terms_of(operator: PhixFlowRunActionflowOperator) -> ActionflowTerms:
    """
    Return how the endpoint's answers are read, with its rendered names in the status address.

    :raises FlowConfigurationError: if the address cannot be used with them; no retry helps.
    """
    label = label_of(endpoint_of(operator))
    try:
        names = {
            name: segment(getattr(operator, name))
            for name in ("application", "actionflow")
            if f"{{{name}}}" in (operator.status_path or "")
        }
        path = operator.filled_status_path(**{"application": "", "actionflow": "", **names})
        return operator.terms(status_path=path, endpoint=label)
    except ValueError as error:
        raise FlowConfigurationError(
            f"The status address cannot be filled in: {error}.",
            where=operator.hook.identity(flow=label),
            fate="Nothing was sent.",
            advice="Look at what the templates of application and actionflow render to.",
        ) from None


class ActionflowRun(RemoteRun):
    """
    One attempt at running an actionflow.

    :param operator: the task, its templates rendered.
    :param context: the task's context.
    """

    _operator: PhixFlowRunActionflowOperator
    _hook: PhixFlowHook

    def __init__(self, operator: PhixFlowRunActionflowOperator, context: Context) -> None:
        super().__init__(operator, context)
        self._answers = terms_of(operator)
        self._calls = 0
        self._answered: Execution | None = None

    @property
    def _flow_label(self) -> str:
        """How messages name the actionflow."""
        return self._answers.endpoint

    def begin(self) -> None:
        """
        Start a run or attach to one; in the mode *Wait for result* it has ended then.

        :raises FlowExecutionGoneError: in that mode, if an earlier attempt has had the answer.
        """
        if self._operator.mode == "poll":
            super().begin()
            return
        try:
            super().begin()
        except FlowExecutionGoneError as error:
            raise FlowExecutionGoneError(
                error.what,
                where=error.where,
                fate="The endpoint has answered, so the work is over, well or not; it was not called a "
                "second time.",
                advice=self._hook.hints.unclear_start,
            ) from None
        except FlowKilledError:
            if self._answered is None:
                raise
            self._log.warning(
                "The task was stopped, but the endpoint has answered by then. The answer is taken along: "
                "nobody can ask for it again."
            )
            self._announce()
        status = None if self._answered is None else self._answered.status
        self._ended = WaitEvent(reason="finished", execution_id=self._execution_id, status=status)

    def _announce(self) -> None:
        """Push the run's id and address; no answer of *Wait for result* is given up for them."""
        if self._operator.mode == "poll":
            super()._announce()
            return
        try:
            self._attempt.announce(self._execution_id, url=self._hook.execution_url(self._execution_id))
        except Exception as error:  # noqa: BLE001 - what keeps Airflow from taking them may be anything
            problem = f"{type(error).__name__}: {error}"
            self._log.warning(
                "Airflow could not note that the answer is called %s: %s", self._execution_id, problem
            )

    def conclude(self) -> Results | None:
        """
        Judge how the wait ended; wait first where nobody has yet.

        :raises FlowOutputError: in the mode *Wait for result* also for what a retry mends otherwise; there it
            would call the endpoint again.
        """
        try:
            return super().conclude()
        except (FlowOutputError, FlowDocumentError) as error:
            if self._answered is None:
                raise
            raise FlowOutputError(
                error.what,
                where=error.where,
                fate=f"The actionflow has ended in {self._answered.status}; its answer ended with this task, "
                "and is not kept.",
                advice=self._hook.hints.unclear_start,
            ) from None

    @contextmanager
    def _request(self, fate: str) -> Iterator[RunRequest]:
        """Return how the endpoint is called, the input checked."""
        try:
            trigger = self._hook.trigger(self._endpoint(fate))
            request = trigger.request()
        except WireError as error:
            shown = without_words(error) if self._operator.hide_payload else error
            raise translate(shown, where=self._where(), fate=fate) from None
        self._check_results(fate)
        self._log.info("Calling %s, %d input parameters.", request.label, len(trigger.query))

        def prepare(_: RunRecord | None) -> Submission:
            return Submission(send=lambda: self._send(trigger))

        yield RunRequest(
            flow=self._flow_label,
            fingerprint=_fingerprint(request.method, request.path, request.query, request.body),
            prepare=prepare,
            hide_words=self._operator.hide_payload,
        )

    def _endpoint(self, fate: str) -> EndpointArguments:
        """Return which endpoint is called and with what, as templates have filled it in."""
        operator, where = self._operator, self._where()
        endpoint = endpoint_of(operator)
        for name in ("application", "actionflow", "path"):
            if getattr(operator, name) is not None:
                text_argument(getattr(operator, name), name, where=where)
        parameters = mapping_argument(operator.payload_argument("parameters"), "parameters", where=where)
        body = operator.payload_argument("body")
        if isinstance(body, str):
            body = self._text_body(body, fate)
        return {
            **endpoint,
            "method": operator.method,
            "parameters": parameters,
            "body": body,
            "content_type": operator.content_type,
            "timeout_ms": operator.timeout_ms,
        }

    def _text_body(self, body: str, fate: str) -> Any:
        """Return a body that is a text: bytes of its content type, or what it says as JSON."""
        problem = "is no JSON text"
        try:
            return body.encode() if self._operator.content_type else json.loads(body)
        except UnicodeEncodeError:
            problem = "holds half a character"
        except (ValueError, RecursionError):
            pass
        raise FlowConfigurationError(
            f"The argument body {problem}.",
            where=self._where(),
            fate=fate,
            advice="Look at what its template renders to, under Rendered Templates; a text that is not JSON "
            "needs content_type.",
        )

    # --- sending ---

    def _send(self, trigger: wire.Trigger) -> RunSnapshot:
        """Call the endpoint; what came of that is told in PhixFlow's own terms, but for a second call."""
        self._ready_to_send()
        self._calls += 1
        try:
            return self._started(trigger) if self._operator.mode == "poll" else self._ended_run(trigger)
        except (WireError, TransportError, AirflowTaskTimeout) as error:
            if self._calls > 1 or (self._options.on_ambiguous_submission == "resubmit" and _is_lost(error)):
                raise
            told = self._own_error(error)
            if told is None:
                raise
            raise told from None

    def _started(self, trigger: wire.Trigger) -> RunSnapshot:
        """Call an endpoint in the mode *Poll for result*; a run that nobody waits for is not asked about."""
        snapshot = self._hook.client.run(wire.trigger_and_poll(trigger, terms=self._answers))
        if not self._operator.wait_for_completion:
            self._hook.keep(wire.started(snapshot, terms=self._answers))
        return snapshot

    def _ended_run(self, trigger: wire.Trigger) -> RunSnapshot:
        """Call an endpoint in the mode *Wait for result*, and keep its answer for the end of the task."""
        call = wire.trigger_and_wait(trigger, terms=self._answers, hold_seconds=self._operator.limit_seconds)
        execution = self._hook.client.run(call)
        self._answered = execution = replace(execution, id=execution.id or f"call-{uuid4().hex}")
        self._hook.keep(execution)
        return RunSnapshot(execution_id=execution.id, status=execution.status, phase=execution.phase)

    def _own_error(self, error: WireError | TransportError | AirflowTaskTimeout) -> FlowException | None:
        """Return what a call has come to that brought no run; None where it is the same in every system."""
        if isinstance(error, AirflowTaskTimeout):
            error = AnswerLost("execution_timeout passed before the endpoint has answered", kind="reset")
        shown = without_words(error) if self._operator.hide_payload else error
        if _is_lost(error) or isinstance(error, _UNUSABLE):
            self._note_told()
            return self._open(shown)
        if isinstance(error, wire.ActionflowFailed):
            self._attempt.store.discard()
            return FlowRequestRefusedError(
                f"The endpoint says that the actionflow failed: {shown}.",
                where=self._where(),
                fate="It is over; what it had done before it failed may stay done.",
                advice=self._hook.hints.refused_start,
            )
        if isinstance(error, NotFound):
            self._attempt.store.discard()
            return FlowNotFoundError(
                f"There is no such endpoint: {shown}.",
                where=self._where(),
                fate="Nothing was started, unless the endpoint's author answers with 404 after the work.",
                advice=f"{self._hook.hints.flow_gone} Name a 404 of its author's in failure_codes.",
            )
        return None

    def _note_told(self) -> None:
        """Note that a person is told what to check, so that a cleared task calls the endpoint again."""
        with suppress(Exception):
            record = self._attempt.store.load()
            if record is not None:
                self._attempt.store.save(replace(record, told=True))

    def _open(self, error: WireError | TransportError) -> FlowException:
        """Return the error of a call of which it is open what it has done."""
        look_first = self._hook.hints.unclear_start
        waits = self._operator.mode == "wait"
        limit = self._operator.limit_seconds
        by_itself = f"the server aborts the work by itself at the endpoint's limit of {limit:g} s"
        if isinstance(error, _UNUSABLE):
            what = f"The endpoint has answered, but what became of the actionflow cannot be told: {error}."
            fate = (
                "Whether the work was done is not known. It was not called a second time; a run that it has "
                "started goes on."
            )
            mend = (
                "Set mode, or the field, words or codes that the message names, as the author has"
                if isinstance(error, UnreadableAnswer)
                else "Have the endpoint answer with less, and unpacked"
            )
            advice = f"{mend}. {look_first}"
        elif waits and isinstance(error, AnswerLost) and error.kind == "timeout":
            waited = limit + self._hook.settings.read_timeout
            what = f"The endpoint has not answered within {waited:g} s: {error}."
            fate = f"Nothing needs to be stopped: {by_itself}. Whether the work was done before is open."
            advice = f"{look_first} {_LONGER}"
        else:
            what = f"It is open whether the actionflow was started: {error}."
            fate = f"If it was, it goes on, and {by_itself}." if waits else "If it was, it goes on."
            advice = f"{look_first} on_ambiguous_submission='resubmit' calls it again by itself."
        return FlowSubmissionUnclearError(what, where=self._where(), fate=fate, advice=advice)


_LONGER = "Give timeout_ms, or endpoint_limit, if the work needs longer, or use mode='poll'."
_UNUSABLE = (UnreadableAnswer, AnswerTooLarge, AnswerPacked)
"""Answers that have come; another call would bring another of their kind."""


def _is_lost(error: WireError | TransportError | AirflowTaskTimeout) -> bool:
    """Tell whether an answer has not come, so that another call may bring one."""
    return isinstance(error, AirflowTaskTimeout | AnswerLost | ServiceFault)


def _fingerprint(method: str, path: str, query: tuple[tuple[str, str], ...], body: Any) -> str:
    """Return the hash of all that a call sends."""
    head = json.dumps([method, path, list(query)]).encode()
    content = body if isinstance(body, bytes) else str(body or "").encode()
    return hashlib.sha256(head + b"\n" + content).hexdigest()
