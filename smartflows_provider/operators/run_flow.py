"""One attempt of a task at running a flow.

Holds what :class:`SmartFlowsRunFlowOperator` does on a worker, apart from its arguments, so that a DAG parse
does not load it. Invariants: everything is begun, waited for and judged through the lifecycle room; a task
that is being stopped stops waiting, and its own cancel is never taken for the flow's end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from smartflows_provider.exceptions import FlowConfigurationError, FlowKilledError, RunIdentity
from smartflows_provider.lifecycle.answering import answer_forms
from smartflows_provider.lifecycle.begin import NOTHING_STARTED, RunBeginning, RunRequest
from smartflows_provider.lifecycle.candidates import executions_since
from smartflows_provider.lifecycle.conclude import (
    error_of_unfinished_wait,
    person_needed_error,
    read_event,
    timeout_error,
)
from smartflows_provider.lifecycle.loops import wait_on_worker, write_notes
from smartflows_provider.lifecycle.record import epoch_of, store_for
from smartflows_provider.lifecycle.results import ResultOptions, check_outputs, take_output
from smartflows_provider.lifecycle.stop import cancel_and_look, cancel_now, look
from smartflows_provider.links import EXECUTION_ID_KEY, EXECUTION_URL_KEY
from smartflows_provider.operators.arguments import flag_argument, mapping_argument, text_argument
from smartflows_provider.operators.payload_source import InputArguments, prepare_input
from smartflows_provider.operators.storage import storage_path
from smartflows_provider.output.extractor import Output
from smartflows_provider.output.manifest import Manifest, build_manifest
from smartflows_provider.systems import SMART_FLOWS
from smartflows_provider.triggers.execution import FlowExecutionTrigger
from smartflows_provider.waiting.clock import read_clocks
from smartflows_provider.waiting.event import WaitEvent
from smartflows_provider.waiting.wait import Note, Wait, WaitPolicy
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.smart_flows import find_flow, start_flow_by_id

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator
    from smartflows_provider.payload.prepared import PreparedPayload
    from smartflows_provider.transport.settings import ClientSettings
    from smartflows_provider.wire.run import RunSnapshot


class FlowRun:
    """
    One attempt: begin, wait, conclude.

    :param operator: the task, its templates rendered.
    """

    def __init__(self, operator: SmartFlowsRunFlowOperator) -> None:
        self._operator = operator
        self._options = operator.options
        self._hook = operator.hook
        self._log = operator.log
        self._execution_id = ""
        self._deadline = 0.0
        self._ended: WaitEvent | None = None
        self._settings: ClientSettings | None = None
        self._killed = False
        self._cancel_problem: str | None = None
        self._unsaid: Note | None = None
        self._executing = False
        self.is_stable = False
        """Whether the run had ended before anybody waited for it."""

    def __enter__(self) -> Self:
        self._executing = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executing = False
        self._say_unsaid()
        self._hook.close()

    # --- beginning ---

    def begin(self, context: Context) -> None:
        """Attach to the execution of an earlier attempt, or start one; push its id and address."""
        operator = self._operator
        self._settings = self._hook.settings
        beginning = RunBeginning(
            hook=self._hook,
            store=store_for(context, durable=operator.durable),
            epoch=epoch_of(context),
            options=self._options,
            log=self._log,
        )
        begun = beginning.attach(self._flow_label)
        if begun is None:
            kept = beginning.earlier_run
            fate = f"Execution {kept} of an earlier attempt was left as it is." if kept else NOTHING_STARTED
            unattended = self._check_arguments(fate)
            with self._payload(context, fate) as payload:
                self._log.info("Input: %s", payload.description)
                begun = beginning.begin(self._request(payload, unattended=unattended))
        self._execution_id = begun.execution_id
        self._deadline = begun.deadline
        self.is_stable = begun.phase.is_stable
        if operator.execution_timeout is not None:
            # Airflow does not watch execution_timeout while a task is deferred.
            self._deadline = min(begun.deadline, time.time() + operator.execution_timeout.total_seconds())
        self._stop_if_killed_while_beginning()
        task_instance = context["ti"]
        task_instance.xcom_push(key=EXECUTION_ID_KEY, value=self._execution_id)
        task_instance.xcom_push(key=EXECUTION_URL_KEY, value=self._hook.execution_url(self._execution_id))
        self._raise_if_killed()

    def manifest_at_start(self) -> Manifest:
        """Return the manifest of a run that nobody waits for: what is known of it now, no values yet."""
        execution = self._hook.get_execution(self._execution_id)
        return build_manifest(
            Output(values={}),
            execution_id=execution.id,
            flow_id=execution.flow.id,
            flow_name=execution.flow.name,
            status=execution.status,
            created_at=execution.created_at,
            url=self._hook.execution_url(execution.id),
        )

    def resume(self, event: dict[str, Any] | None) -> None:
        """
        Take up the run that the triggerer has waited for.

        :param event: a :class:`WaitEvent` as a dict.
        :raises FlowEventError: if it is not one.
        """
        self._settings = self._hook.settings
        self._ended = read_event(event, where=self._where())
        self._execution_id = self._ended.execution_id
        self._deadline = self._ended.deadline or time.time() + self._options.timeout

    # --- waiting ---

    def trigger(self) -> FlowExecutionTrigger:
        """Return what waits in the triggerer."""
        options = self._options
        return FlowExecutionTrigger(
            system=SMART_FLOWS,
            conn_id=self._operator.smart_flows_conn_id,
            execution_id=self._execution_id,
            deadline=self._deadline,
            poll_interval=options.poll_interval,
            max_outage=options.max_outage,
            stop_for_person=options.on_user_input != "wait",
            cancel_on_kill=options.cancel_on_kill,
            cancel_on_timeout=options.cancel_on_timeout,
        )

    def kill(self) -> None:
        """
        Cancel the run with one hurried request; the wait, if there is one, ends by itself.

        Runs in a signal handler: the connection was looked up before, as that would ask the supervisor. A run
        that is just being started is cancelled as soon as its id is known.
        """
        self._killed = True
        if self._execution_id:
            self._cancel_now()

    def _cancel_now(self) -> None:
        if self._settings is None or not self._options.cancel_on_kill:
            return
        problem = cancel_now(self._settings, self._hook.cancel_exchange(self._execution_id))
        self._cancel_problem = problem
        execution = f"execution {self._execution_id}"
        if problem is None:
            text = f"The task is being stopped: cancelled {execution}."
            self._unsaid = Note(level=logging.INFO, text=text)
        else:
            text = f"The task is being stopped, but {execution} may still run: {problem}"
            self._unsaid = Note(level=logging.ERROR, text=text)
        if not self._executing:
            self._say_unsaid()

    def _say_unsaid(self) -> None:
        """Log what became of a cancel; a signal handler must not, as the logger's lock may be taken."""
        note, self._unsaid = self._unsaid, None
        if note is not None:
            write_notes(self._log, (note,))

    def _stop_if_killed_while_beginning(self) -> None:
        if self._killed:
            self._cancel_now()
            self._raise_if_killed()

    def _wait(self) -> WaitEvent:
        policy = WaitPolicy(
            deadline=self._deadline,
            poll_interval=self._options.poll_interval,
            max_outage=self._options.max_outage,
            hold_seconds=self._hook.settings.long_poll_seconds,
            stop_for_person=self._options.on_user_input != "wait",
        )
        wait = Wait(policy, execution_id=self._execution_id, began=read_clocks())
        end = wait_on_worker(wait, hook=self._hook, log=self._log, sleep=self._sleep)
        self._raise_if_killed()
        return WaitEvent(
            reason=end.reason,
            execution_id=end.execution_id,
            status=end.status,
            detail=end.detail,
            deadline=self._deadline,
        )

    def _sleep(self, seconds: float) -> None:
        """Sleep in short pieces, so that a task that is being stopped stops waiting."""
        # A kill must use the connection as the wait last read it.
        self._settings = self._hook.known_settings or self._settings
        self._raise_if_killed()
        wake_at = time.monotonic() + seconds
        while (left := wake_at - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            self._raise_if_killed()

    def _raise_if_killed(self) -> None:
        if self._killed:
            raise FlowKilledError(
                "The task was stopped before the execution was finished.",
                where=self._where(),
                fate=self._fate_of_killed(),
                advice="The next attempt starts anew if the execution has ended, and else attaches to it.",
            )

    def _fate_of_killed(self) -> str:
        if not self._execution_id:
            return "No execution was started."
        if not self._options.cancel_on_kill:
            return "The execution was not cancelled, as cancel_on_kill=False asks."
        if self._cancel_problem is not None:
            return f"The execution may still be running: it could not be cancelled ({self._cancel_problem})."
        return "The service was asked to cancel it."

    # --- concluding ---

    def conclude(self) -> Manifest | None:
        """
        Judge how the wait ended; wait first where nobody has yet.

        :returns: the manifest, or None where a form was answered and the wait goes on.
        :raises FlowException: one of its kinds, for every other end.
        """
        ended = self._ended or self._wait()
        self._ended = None
        where = self._where(url=self._hook.execution_url(ended.execution_id))
        if ended.reason == "needs_person":
            self._meet_person(ended, where)
            return None
        if ended.reason == "deadline":
            fate, ended_by_itself = self._give_up(ended)
            if not ended_by_itself:
                raise timeout_error(where=where, status=ended.status, fate=fate)
        elif ended.reason != "finished":
            raise error_of_unfinished_wait(ended, where=where)
        return take_output(
            self._hook,
            ended.execution_id,
            options=self._result_options(),
            on_warning=self._options.on_warning,
            where=where,
            log=self._log,
        )

    def _meet_person(self, ended: WaitEvent, where: RunIdentity) -> None:
        """Answer the form, or fail, as the author decided."""
        operator = self._operator
        if self._options.on_user_input != "answer":
            fate, _ = self._give_up(ended)
            raise person_needed_error(where=where, status=ended.status or "UserInput", fate=fate)
        answers = mapping_argument(operator.payload_argument("answers"), "answers", where=where)
        answer_forms(self._hook, ended.execution_id, answers=answers, where=where, log=self._log)

    def _give_up(self, ended: WaitEvent) -> tuple[str, bool]:
        """
        Cancel a run that this task waits for no longer.

        :returns: what became of it, and whether it turned out to have ended by itself meanwhile.
        """
        if self._options.cancel_on_timeout and not ended.canceled:
            stopped = cancel_and_look(self._hook, ended.execution_id)
        else:
            stopped = look(self._hook, ended.execution_id, after_cancel=ended.canceled)
        fate = stopped.fate
        if not self._options.cancel_on_timeout:
            fate += " It was not cancelled, as cancel_on_timeout=False asks."
        ended_by_itself = stopped.phase is not None and stopped.phase.is_stable
        return fate, ended_by_itself and stopped.phase is not RunPhase.CANCELED

    # --- from the operator's arguments ---

    @property
    def _flow_label(self) -> str:
        """How messages name the flow."""
        flow = self._operator.flow
        return "selected by a person" if flow is None else str(flow)

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
        outputs = mapping_argument(operator.outputs, "outputs", where=where)
        check_outputs(outputs, where=where, fate=fate)
        mapping_argument(operator.payload_argument("answers"), "answers", where=where)
        storage_path(operator.documents_path, where=where, fate=fate)
        return unattended

    def _payload(self, context: Context, fate: str) -> AbstractContextManager[PreparedPayload]:
        operator = self._operator
        names = ("xml", "data", "rows", "sql", "records")
        header = operator.payload_argument("header")
        arguments = InputArguments(
            **{name: operator.payload_argument(name) for name in names},
            header=mapping_argument(header, "header", where=self._where()),
            sql_conn_id=operator.sql_conn_id,
            root=operator.root,
            row=operator.row,
            xsd=operator.xsd,
            hide_values=operator.hide_payload,
        )
        dag = operator.get_dag()
        dag_file = dag.fileloc if dag is not None else None
        return prepare_input(arguments, context=context, dag_file=dag_file, where=self._where(), fate=fate)

    def _request(self, payload: PreparedPayload, *, unattended: bool) -> RunRequest:
        """Return how the service is asked for the run; a flow's name is looked up before anything is sent."""
        operator, hook = self._operator, self._hook
        flow, body, content_type = operator.flow, payload.body, payload.content_type

        def prepare() -> Callable[[], RunSnapshot]:
            flow_id = None if flow is None else hook.find_flow(flow).id
            self._raise_if_killed()
            start = partial(
                start_flow_by_id,
                flow_id,
                body=body,
                content_type=content_type,
                unattended=unattended,
                dataset_id=operator.dataset_id or None,
            )
            return lambda: hook.client.run(start())

        def candidates(since: float) -> list[str]:
            flow_id = None if flow is None else hook.client.run(find_flow(flow)).id
            return executions_since(hook, flow_id, since)

        return RunRequest(
            flow=self._flow_label,
            fingerprint=payload.fingerprint,
            prepare=prepare,
            candidates=candidates,
            hide_words=operator.hide_payload,
        )

    def _result_options(self) -> ResultOptions:
        operator = self._operator
        return ResultOptions(
            outputs=mapping_argument(operator.outputs, "outputs", where=self._where()),
            values_by_title=operator.values_by_title,
            documents_path=storage_path(operator.documents_path, where=self._where()),
            max_document_bytes=operator.max_document_bytes,
            max_xcom_bytes=operator.max_xcom_bytes,
        )

    def _where(self, *, url: str | None = None) -> RunIdentity:
        execution_id = self._execution_id or None
        return self._hook.identity(flow=self._flow_label, execution_id=execution_id, url=url)
