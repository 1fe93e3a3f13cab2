"""One attempt of a task at running a flow.

What :class:`SmartFlowsRunFlowOperator` does on a worker beyond what every remote run has in common: the input
is built and checked, a flow's name is looked up, an execution's forms are answered, or shown to people in
Airflow. Invariant: what can be refused is refused before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from smartflows_provider.exceptions import FlowConfigurationError, FlowStateUnknownError, RunIdentity
from smartflows_provider.lifecycle.answering import answer_forms
from smartflows_provider.lifecycle.asking import Asker, FlowChoice, Refused
from smartflows_provider.lifecycle.candidates import candidates, executions_since, proven
from smartflows_provider.lifecycle.run_request import RunRequest, Submission
from smartflows_provider.lifecycle.stop import cancel_and_settle
from smartflows_provider.operators.arguments import (
    flag_argument,
    mapping_argument,
    text_argument,
    users_argument,
)
from smartflows_provider.operators.payload_source import prepare_input
from smartflows_provider.operators.remote_run import RemoteRun
from smartflows_provider.payload.correlation import Correlation
from smartflows_provider.wire.json_forms import NoForm, strict_json
from smartflows_provider.wire.run import Execution, RunPhase
from smartflows_provider.wire.smart_flows import find_flow, start_flow_by_id

if TYPE_CHECKING:
    from smartflows_provider.hooks.smart_flows import SmartFlowsHook
    from smartflows_provider.lifecycle.record import RunRecord
    from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
    from smartflows_provider.payload.prepared import PreparedPayload
    from smartflows_provider.waiting.event import FormAnswer, WaitEvent
    from smartflows_provider.wire.run import RunSnapshot


class FlowRun(RemoteRun):
    """
    One attempt at running a flow.

    :param operator: the task, its templates rendered.
    :param context: the task's context.
    """

    _operator: SmartFlowsRunFlowOperator
    _hook: SmartFlowsHook
    _selected: str | None = None
    """The id of the flow that a person has selected in Airflow."""

    @property
    def _flow_label(self) -> str:
        """How messages name the flow."""
        return "selected by a person" if self._flow is None else str(self._flow)

    @property
    def _flow(self) -> str | None:
        """Which flow is run, by id or name; None where a person is to select it."""
        return self._operator.flow or self._selected

    def _answer(self, ended: WaitEvent, where: RunIdentity) -> None:
        """Answer the form with what the author has given, or have Airflow show it to people."""
        if self._options.on_user_input == "ask":
            self._ask(where)
            return
        answers = self._answers(where)
        answered = answer_forms(self._hook, ended.execution_id, answers=answers, where=where, log=self._log)
        self._kill.over = answered.phase.is_stable

    def _ask(self, where: RunIdentity, *, problem: str = "") -> None:
        """
        Have Airflow show what the execution asks.

        :param problem: why an answer that was given before was not taken.
        """
        asker = self._asker(where)
        snapshot = asker.look()
        if snapshot.phase is not RunPhase.NEEDS_PERSON:
            self._kill.over = snapshot.phase.is_stable
            return
        if problem and snapshot.question != self._attempt.asked():
            # It was about a form that the flow no longer shows.
            problem = ""
        open_form = asker.ask(
            snapshot,
            ti_id=self._context["ti"].id,
            assignees=users_argument(self._operator.assignees, "assignees", where=where),
            answers=self._answers(where),
            seconds=self._options.answer_timeout,
            problem=problem,
        )
        # Airflow may still show an earlier form, whose answer is none to what it does not show.
        self._attempt.asks("" if open_form.ti_id is None else open_form.question)
        self._open_form = open_form

    def _take_answer(self, given: FormAnswer) -> None:
        """Give what a person has answered in Airflow to the execution."""
        if self._options.on_user_input != "ask":
            super()._take_answer(given)
            return
        where = self._where(url=self._hook.execution_url(self._execution_id))
        taken = self._asker(where).take(given, question=self._attempt.asked())
        # What our own cancel has brought about is neither the person's fault nor the flow's end.
        self._kill.check()
        if isinstance(taken, Refused):
            self._log.warning("The answer was not taken, and is asked for again: %s", taken.why)
            self._ask(where, problem=taken.why)
        elif isinstance(taken, FlowChoice):
            self._start_selected(taken, where)
        else:
            self._kill.over = taken.phase.is_stable

    def _start_selected(self, choice: FlowChoice, where: RunIdentity) -> None:
        """Start the flow that a person has selected, in place of the execution that has asked for it."""
        stopped = cancel_and_settle(self._hook, self._execution_id, cause="flow_selected", sleep=self._sleep)
        if not stopped.is_over:
            raise FlowStateUnknownError(
                "A flow was selected, but the execution that has asked for it has not stopped.",
                where=where,
                fate=f"{stopped.fate} No other was started.",
                advice="Cancel it at the service if it does not stop by itself; a retry asks again.",
            )
        if stopped.phase not in {None, RunPhase.CANCELED}:
            # Somebody has selected a flow in the panel, and it has ended meanwhile.
            self._kill.over = True
            return
        self._log.info("%s", stopped.fate)
        self._attempt.store.discard()
        self._run_known(None)
        self._selected = choice.flow_id
        self.begin()

    def _asker(self, where: RunIdentity) -> Asker:
        return Asker(
            hook=self._hook,
            execution_id=self._execution_id,
            where=where,
            log=self._log,
            sleep=self._sleep,
        )

    def _answers(self, where: RunIdentity) -> Mapping[str, Any]:
        return mapping_argument(self._operator.payload_argument("answers"), "answers", where=where)

    @contextmanager
    def _request(self, fate: str) -> Iterator[RunRequest]:
        """Return how the service is asked for the run, the input built and checked."""
        unattended = self._check_arguments(fate)
        prepared = prepare_input(
            self._operator,
            context=self._context,
            where=self._where(),
            fate=fate,
            correlation=self._correlation,
        )
        with prepared as payload:
            self._kill.check()
            self._log.info("Input: %s", payload.description)
            yield self._request_of(payload, unattended=unattended)

    def _check_arguments(self, fate: str) -> bool:
        """Refuse what templates have made unusable, before anything is started; return ``unattended``."""
        operator, where = self._operator, self._where()
        if operator.flow is not None:
            text_argument(operator.flow, "flow", where=where)
        unattended = flag_argument(operator.unattended, "unattended", where=where)
        if unattended and (operator.flow is None or operator.dataset_id):
            raise FlowConfigurationError(
                "An unattended start needs a flow and takes no dataset_id.",
                where=where,
                fate=fate,
                advice="Set flow, leave dataset_id out, or start with unattended=False.",
            )
        users_argument(operator.assignees, "assignees", where=where)
        try:
            strict_json(dict(self._answers(where)))
        except NoForm as error:
            raise FlowConfigurationError(
                f"answers cannot be sent as JSON: {error}.",
                where=where,
                fate=fate,
                advice="Give values that JSON has a form for; others as text.",
            ) from None
        self._check_results(fate)
        return unattended

    def _request_of(self, payload: PreparedPayload, *, unattended: bool) -> RunRequest:
        """Return how the service is asked for the run; a flow's name is looked up before anything is sent."""
        operator, hook = self._operator, self._hook
        flow, body, content_type = self._flow, payload.body, payload.content_type

        def prepare(_: RunRecord | None) -> Submission:
            flow_id = None if flow is None else hook.find_flow(flow).id
            self._kill.check()
            start = partial(
                start_flow_by_id,
                flow_id,
                body=body,
                content_type=content_type,
                unattended=unattended,
                dataset_id=operator.dataset_id or None,
            )

            def send() -> RunSnapshot:
                self._ready_to_send()
                return hook.client.run(start())

            return Submission(send=send, correlation=self._correlation.value if self._correlation else None)

        def executions(since: float) -> list[Execution]:
            flow_id = None if flow is None else hook.client.run(find_flow(flow)).id
            return executions_since(hook, flow_id, since)

        return RunRequest(
            flow=self._flow_label,
            fingerprint=payload.fingerprint,
            prepare=prepare,
            candidates=lambda since: candidates(executions(since)),
            proven=lambda since, value: proven(hook, executions(since), value),
            hide_words=operator.hide_payload,
        )

    @cached_property
    def _correlation(self) -> Correlation | None:
        """A value of our own for the input, new in each attempt."""
        path = self._operator.correlation_path
        return None if path is None else Correlation(path=path, value=uuid4().hex)
