"""The errors that DAG authors see.

One tree over all flow systems. Each class says whether a retry helps; those that no retry can mend derive
from Airflow's ``AirflowFailException``, so that a task with retries left fails at once. Invariants: a
message names system, connection, flow and execution as far as they are known, what became of the remote
run, and what to do; no message and no cause holds a key, a header or a payload.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """Which run of which flow an error is about, as far as that is known."""

    system: str
    """The vendor's name of the system."""
    conn_id: str
    """The Airflow connection."""
    flow: str | None = None
    """Id or name, as the DAG author gave it."""
    execution_id: str | None = None
    """The service's id of the run."""
    url: str | None = None
    """Where a person looks at it; without secrets."""

    def __str__(self) -> str:
        parts = [f"{self.system}, connection {self.conn_id!r}"]
        if self.flow:
            parts.append(f"flow {self.flow!r}")
        if self.execution_id:
            parts.append(f"execution {self.execution_id}")
        if self.url:
            parts.append(self.url)
        return ", ".join(parts)


class FlowException(AirflowException):
    """
    Anything that went wrong with a remote flow.

    :param what: what happened, one sentence.
    :param where: which run it is about.
    :param fate: what became of the remote run.
    :param advice: what to do.
    """

    def __init__(
        self, what: str, *, where: RunIdentity | None = None, fate: str = "", advice: str = ""
    ) -> None:
        head = what if where is None else f"{what} [{where}]"
        super().__init__("\n".join(part for part in (head, fate, advice) if part))
        self.where = where


class FlowConfigurationError(FlowException, AirflowFailException):
    """The connection or the task's arguments are unusable. No retry helps; mend what the message names."""


class FlowConnectionError(FlowException):
    """The service could not be reached and has taken nothing. A retry helps once it can be reached."""


class FlowAuthenticationError(FlowException, AirflowFailException):
    """401: the service does not know the key. No retry helps; put a valid key into the connection."""


class FlowPermissionError(FlowException, AirflowFailException):
    """403: the key's role, or the licence, lacks the right. No retry helps; have the right granted."""


class FlowNotFoundError(FlowException, AirflowFailException):
    """There is no such flow, execution or document, or none that the key may see. No retry helps."""


class FlowAmbiguousError(FlowException, AirflowFailException):
    """Several flows have the given name. No retry helps; name the flow by its id."""


class FlowInputError(FlowException, AirflowFailException):
    """The input is not what the flow takes. Nothing was started. No retry helps; mend the input."""


class FlowRequestRefusedError(FlowException, AirflowFailException):
    """The service understood the request and refuses it (4xx). No retry helps; the message has its words."""


class FlowServiceError(FlowException):
    """The service answered with a fault or with something unreadable. A retry helps if that passes."""


class FlowSubmissionUnclearError(FlowException, AirflowFailException):
    """
    It is open whether the service has started an execution.

    No retry by itself, because it might start a second one. Look at the executions that the message
    lists, then clear the task.
    """


class FlowExecutionFailedError(FlowException):
    """The execution ended in Error. A retry starts a new one; it helps if the flow's error passes."""


class FlowExecutionWarningError(FlowException, AirflowFailException):
    """The execution ended with warnings and ``on_warning='fail'``. No retry; documents may exist."""


class FlowExecutionCanceledError(FlowException, AirflowFailException):
    """Somebody cancelled the execution at the service. No retry by itself; clear the task to run it again."""


class FlowExecutionInterruptedError(FlowException):
    """The service interrupted the execution. A retry starts a new one and is likely to help."""


class FlowUserInputRequiredError(FlowException, AirflowFailException):
    """The execution needs a person, which this task does not allow for. No retry helps."""


class FlowTimeoutError(FlowException):
    """The execution was not finished in time. A retry starts a new one with a new time limit."""


class FlowStateUnknownError(FlowException):
    """The execution's status could not be found out; it was kept. A retry attaches to it where it can."""


class FlowExecutionGoneError(FlowException, AirflowFailException):
    """The service no longer has the execution, its clean-up settings removed it. No retry helps."""


class FlowKilledError(FlowException):
    """The task was stopped while the execution was under way. The next attempt starts anew."""


class FlowOutputError(FlowException, AirflowFailException):
    """The output cannot be taken as asked for. The execution is finished; no retry helps."""


class FlowDocumentError(FlowException):
    """A document could not be brought to its place. A retry helps where the transfer broke off."""


class FlowEventError(FlowException, AirflowFailException):
    """The task was resumed by something that is not one of its events. No retry helps."""
