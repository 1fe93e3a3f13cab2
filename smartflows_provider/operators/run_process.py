"""One attempt of a task at running a process instance.

What :class:`WorkflowServerRunProcessOperator` does on a worker beyond what every remote run has in common: it
settles the instance's id, and looks before and after a creation that was not answered. Invariant: an id that
an earlier attempt has sent is used again until it is known whether there is an instance of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from smartflows_provider.exceptions import FlowConfigurationError, FlowNotFoundError
from smartflows_provider.hooks.translation import NOTHING_SENT
from smartflows_provider.lifecycle.reattach import after_look
from smartflows_provider.lifecycle.run_request import RunRequest, Submission
from smartflows_provider.operators.arguments import text_argument
from smartflows_provider.operators.process_arguments import (
    acting_options,
    check_sendable,
    names_argument,
    optional_text,
    scheme_parameters_argument,
)
from smartflows_provider.operators.remote_run import RemoteRun
from smartflows_provider.operators.workflow_process_id import process_id_of
from smartflows_provider.wire.run import RunPhase, RunSnapshot
from smartflows_provider.wire.workflow_server_process import InstanceStatus
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

if TYPE_CHECKING:
    from smartflows_provider.hooks.workflow_server import CreationOptions, WorkflowServerHook
    from smartflows_provider.lifecycle.record import RunRecord
    from smartflows_provider.operators.workflow_server import WorkflowServerRunProcessOperator
    from smartflows_provider.wire.messages import Exchange

MOST_INSTANCES = 1000
"""How many instances one task may have had since it was cleared; then something else is wrong."""


def terms_of(operator: WorkflowServerRunProcessOperator) -> ProcessTerms:
    """
    Return what an operator's instance is watched and stopped by.

    :param operator: its templates rendered.
    :raises FlowConfigurationError: if templates have made it unusable.
    """
    where = operator.hook.identity(flow=str(operator.scheme_code))
    names = partial(names_argument, where=where)
    try:
        return ProcessTerms(
            success_states=names(operator.success_states, "success_states"),
            failure_states=names(operator.failure_states, "failure_states"),
            success_activities=names(operator.success_activities, "success_activities"),
            wait_for=operator.wait_for,
            on_kill=operator.stopped_by,
            on_purged=operator.on_purged,
            identity_id=optional_text(operator.identity_id, "identity_id", where=where),
            impersonated_identity_id=optional_text(
                operator.impersonated_identity_id, "impersonated_identity_id", where=where
            ),
        )
    except ValueError as error:
        raise FlowConfigurationError(
            f"The task's terms cannot be used: {error}.",
            where=where,
            fate=NOTHING_SENT,
            advice="Look at what the templates render to, under Rendered Templates.",
        ) from None


class ProcessRun(RemoteRun):
    """
    One attempt at running a process instance.

    :param operator: the task, its templates rendered.
    :param context: the task's context.
    """

    _operator: WorkflowServerRunProcessOperator
    _hook: WorkflowServerHook

    @property
    def _flow_label(self) -> str:
        """How messages name the scheme."""
        return str(self._operator.scheme_code)

    @contextmanager
    def _request(self, fate: str) -> Iterator[RunRequest]:
        """Return how the server is asked for the instance, the arguments checked."""
        operator, hook, where = self._operator, self._hook, self._where()
        scheme_code = text_argument(operator.scheme_code, "scheme_code", where=where)
        options: CreationOptions = {
            **acting_options(operator, hook=hook, where=where),
            "scheme_parameters": scheme_parameters_argument(operator.scheme_parameters, where=where),
        }
        self._check_results(fate)
        create = partial(hook.creation, scheme_code=scheme_code, **options)
        check_sendable(create(self._id(0)), where=where, fate=fate)
        yield RunRequest(
            flow=scheme_code,
            fingerprint=_fingerprint(scheme_code, options),
            prepare=partial(self._prepare, create),
            proven=lambda _, process_id: self._found(process_id),
            repeatable=True,
        )

    def _prepare(self, create: partial[Exchange[None]], record: RunRecord | None) -> Submission:
        """
        Settle the instance's id.

        :param create: the call that creates it, but for the id.
        :param record: of an earlier attempt.
        """
        process_id, adopted = self._settled_id(record)

        def send() -> RunSnapshot:
            self._ready_to_send()
            self._hook.client.run(create(process_id))
            return _created(process_id)

        return Submission(send=send, correlation=process_id, adopted=adopted)

    def _settled_id(self, record: RunRecord | None) -> tuple[str, RunSnapshot | None]:
        """Return the id to create, or that of an instance which an earlier attempt has created."""
        if record is not None and record.execution_id is None and record.correlation is not None:
            return record.correlation, None
        for process_id in self._ids_after(record):
            self._kill.check()
            found = self._there(process_id)
            if found is None or after_look(found.phase) == "attach":
                return process_id, found
            self._log.info("Process %s of an earlier attempt is %s.", process_id, found.status)
        raise FlowConfigurationError(
            f"The task has created {MOST_INSTANCES} processes since it was cleared, and none has ended well.",
            where=self._where(),
            fate=NOTHING_SENT,
            advice="See to what they fail of, and clear the task.",
        )

    def _ids_after(self, record: RunRecord | None) -> Iterator[str]:
        """Yield the ids that this attempt may use, those behind a recorded one first."""
        numbers = range(MOST_INSTANCES)
        used = None if record is None else record.execution_id
        first = 0 if used is None else next((one + 1 for one in numbers if self._id(one) == used), 0)
        return (self._id(number) for number in numbers[first:])

    def _id(self, number: int) -> str:
        return process_id_of(self._context, number=number)

    def _there(self, process_id: str) -> RunSnapshot | None:
        """Return how an instance stands, None where there is none."""
        # Its id is one that the task would give it: where this cannot be asked, there is no process to name.
        if not self._hook.run(self._hook.existence(process_id), flow=self._flow_label):
            return None
        look = self._hook.look_exchange(process_id, hold_seconds=None, terms=self._hook.terms)
        try:
            return self._hook.run(look, execution_id=process_id, flow=self._flow_label)
        except FlowNotFoundError:
            # It was there just now, and was created by this task: the wait tells what that means.
            return _created(process_id)

    def _found(self, process_id: str) -> list[RunSnapshot]:
        """
        Return the instance of an id that was sent, if there is one; raises errors of the wire.

        How it stands is the wait's business: one that is gone by now was there all the same.
        """
        there = self._hook.client.run(self._hook.existence(process_id))
        return [_created(process_id)] if there else []


def _created(process_id: str) -> RunSnapshot:
    status = InstanceStatus.INITIALIZED.word
    return RunSnapshot(execution_id=process_id, status=status, phase=RunPhase.ACTIVE)


def _fingerprint(scheme_code: str, options: CreationOptions) -> str:
    """Return the SHA-256 of all that an instance is created with."""
    text = json.dumps([scheme_code, options], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
