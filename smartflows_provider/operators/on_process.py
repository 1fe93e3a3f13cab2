"""What operators do with a process instance that another task, or somebody else, has created.

Apart from the operators' arguments, so that a DAG parse does not load it. Invariant: what moves an instance
on is sent once; once it may have been taken, the task fails of nothing that a retry follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from smartflows_provider.exceptions import (
    FlowException,
    FlowNotFoundError,
    FlowRequestRefusedError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.hooks.translation import NOTHING_DONE, may_be_taken, translate
from smartflows_provider.operators.arguments import text_argument
from smartflows_provider.operators.process_arguments import acting_options
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.workflow_server_process import Process, read_process

if TYPE_CHECKING:
    from smartflows_provider.exceptions import RunIdentity
    from smartflows_provider.hooks.workflow_server import WorkflowServerHook
    from smartflows_provider.operators.workflow_server import (
        WorkflowServerExecuteCommandOperator,
        WorkflowServerGetParameterOperator,
        WorkflowServerSetParameterOperator,
        WorkflowServerSetStateOperator,
    )
    from smartflows_provider.wire.messages import Exchange

T = TypeVar("T")
_LISTED = 20


def execute_command_for(operator: WorkflowServerExecuteCommandOperator) -> dict[str, Any]:
    """
    Have the operator's instance carry out the operator's command.

    :raises FlowRequestRefusedError: if it is not available, or was not executed.
    :raises FlowSubmissionUnclearError: if that is open; no retry by itself.
    """
    with operator.hook as hook:
        process_id, where = _process(hook, operator.process_id)
        command = text_argument(operator.command, "command", where=where)
        options = acting_options(operator, hook=hook, where=where)
        available = hook.available_commands(
            process_id,
            identity_id=options["identity_id"],
            impersonated_identity_id=options["impersonated_identity_id"],
        )
        names = list(dict.fromkeys(one.name for one in available))
        if command not in names:
            raise FlowRequestRefusedError(
                f"The process does not take the command {command!r} now; it takes {_listed(names)}.",
                where=where,
                fate=NOTHING_DONE,
                advice="Check the command, in whose name it is given, and that the process is at rest.",
            )
        answered = _sent_once(
            hook,
            hook.commanding(process_id, command=command, **options),
            where=where,
            what=f"the process has carried out the command {command!r}",
            otherwise="give the command again",
        )
        operator.log.info("Process %s has carried out %r.", process_id, command)
        found = read_process(answered, process_id=process_id)
        return {"process_id": process_id, "command": command, **_shown(found)}


def set_state_for(operator: WorkflowServerSetStateOperator) -> dict[str, Any]:
    """
    Put the operator's instance into the operator's state.

    :raises FlowRequestRefusedError: if the server does not set it.
    :raises FlowSubmissionUnclearError: if it is open whether it did; no retry by itself.
    """
    with operator.hook as hook:
        process_id, where = _process(hook, operator.process_id)
        state = text_argument(operator.state, "state", where=where)
        options = acting_options(operator, hook=hook, where=where)
        try:
            _sent_once(
                hook,
                hook.setting(process_id, state=state, **options),
                where=where,
                what=f"the process was put into the state {state!r}",
                otherwise="set the state again",
            )
        except FlowRequestRefusedError as error:
            raise _with_states(error, hook, process_id) from None
        operator.log.info("Process %s was put into the state %r.", process_id, state)
        try:
            found = hook.get_process(process_id)
        except FlowNotFoundError:
            # Its scheme deletes what is finished.
            found = None
        except (FlowException, AirflowTaskTimeout) as error:
            # A task that failed of this would set the state again.
            operator.log.warning("How process %s stands after that is not known: %s", process_id, error)
            found = None
        return {"process_id": process_id, **_shown(found)}


def set_parameter_for(operator: WorkflowServerSetParameterOperator) -> None:
    """Give the operator's parameter its value."""
    with operator.hook as hook:
        process_id, where = _process(hook, operator.process_id)
        name = text_argument(operator.parameter, "parameter", where=where)
        hook.set_parameter(process_id, name=name, value=operator.value)


def get_parameter_for(operator: WorkflowServerGetParameterOperator) -> Any:
    """Return the value of the operator's parameter."""
    with operator.hook as hook:
        process_id, where = _process(hook, operator.process_id)
        name = text_argument(operator.parameter, "parameter", where=where)
        return hook.get_parameter(process_id, name=name)


def _process(hook: WorkflowServerHook, process_id: Any) -> tuple[str, RunIdentity]:
    """Return the instance that an operator names, and how messages name it."""
    found = text_argument(process_id, "process_id", where=hook.identity())
    return found, hook.identity(execution_id=found)


def _sent_once(
    hook: WorkflowServerHook, exchange: Exchange[T], *, where: RunIdentity, what: str, otherwise: str
) -> T:
    """
    Send what moves an instance on.

    :param what: is open where the answer is lost; a part of a sentence.
    :param otherwise: what a cleared task would do; a part of a sentence.
    :raises FlowSubmissionUnclearError: if the answer is lost; it says how the instance stands now.
    :raises FlowException: if the server has not taken it.
    """
    try:
        return hook.client.run(exchange)
    except (WireError, TransportError) as error:
        if not may_be_taken(error):
            raise translate(error, where=where) from None
        lost = str(error)
    except AirflowTaskTimeout:
        lost = "execution_timeout passed while that was not answered"
    raise FlowSubmissionUnclearError(
        f"It is open whether {what}: {lost}.",
        where=where,
        fate=_stand(hook, where.execution_id or ""),
        advice="See whether it has done its work, and then mark the task as a success; if it has not, clear "
        f"the task to {otherwise}.",
    )


def _stand(hook: WorkflowServerHook, process_id: str) -> str:
    """Return how an instance stands now, in a sentence."""
    try:
        process = hook.get_process(process_id)
    except FlowNotFoundError:
        return "The server has no such process, or no longer."
    except (FlowException, AirflowTaskTimeout) as error:
        why = error.what if isinstance(error, FlowException) else "execution_timeout passed"
        return f"How the process stands now could not be asked: {why}."
    activity = f", in the activity {process.activity!r}" if process.activity else ""
    return f"The process is now {process.shown_status}{activity}."


def _shown(process: Process | None) -> dict[str, Any]:
    if process is None:
        return {"status": None, "state": None, "activity": None}
    return {
        "status": process.shown_status,
        "state": process.state or None,
        "activity": process.activity or None,
    }


def _with_states(
    error: FlowRequestRefusedError, hook: WorkflowServerHook, process_id: str
) -> FlowRequestRefusedError:
    """Return a refusal with the states that the instance can be set to, if they can be had."""
    try:
        names = [state.name for state in hook.available_states(process_id)]
    except FlowException:
        return error
    return FlowRequestRefusedError(
        f"{error.what} The states that it can be set to: {_listed(names)}.",
        where=error.where,
        fate=error.fate,
        advice=error.advice,
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_LISTED])) or "none"
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown
