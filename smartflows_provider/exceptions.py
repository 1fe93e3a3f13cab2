"""The errors that DAG authors see, and the retry policy that reads them.

One tree over all flow systems. Each class says what happened, whether a retry helps, and what became of the
remote run; those that no retry can mend derive from Airflow's ``AirflowFailException``, so that a task with
retries left fails at once. Invariants: a message names system, connection, flow and execution as far as they
are known, what became of the remote run, and what to do; no message and no cause holds a key, a header or a
payload; an error is the same after it was copied or pickled.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from smartflows_provider.version_compat import AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING or AIRFLOW_V_3_3_PLUS:
    from airflow.sdk import RetryDecision, RetryPolicy
else:

    class RetryPolicy:
        """Stands in where Airflow has no retry policies."""


if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


@dataclass(frozen=True, kw_only=True)
class SystemHints:
    """What people do about an error where that depends on the flow system; mostly sentences."""

    credential: str = "key"
    """What a connection signs in with; a part of a sentence."""
    key: str = "Put the key into the connection's password."
    """Where a key that is missing goes, and where it is made."""
    denied: str = "Have the right granted to the user or client that the key belongs to."
    """A 403."""
    unknown_flow: str = "Check the name or id of the flow, and the connection."
    """No flow has the given name."""
    ambiguous_flow: str = "Name the flow by its id."
    """Several flows have the given name."""
    not_found: str = "Check the id, and the connection's API prefix."
    """A 404 about anything."""
    refused_start: str = "Mend what the service names."
    """The service does not start a run."""
    flow_gone: str = "Check the name or id of the flow; they may differ between environments."
    """The service knows no flow of the id that was to be run."""
    clean_up: str = "the service's clean-up settings"
    """What removes ended runs; a plural within a sentence."""
    person: str = "Let it wait with on_user_input='wait'."
    """A run needs a person."""
    cancel_off: str = "as cancel_on_kill=False asks"
    """Why a run is not stopped with its task; a part of a sentence."""
    timeout_off: str = "as cancel_on_timeout=False asks"
    """Why a run is not stopped at its time limit; a part of a sentence."""
    unclear_start: str = (
        "Find this task's among them, cancel it or take its output; then clear the task to start a new one, "
        "which does not look for the old one."
    )
    """It is open whether a run was started; the runs that may be it are listed before."""
    find_run: str = "Find this task's at the service, cancel it or take its output"
    """The same, where more is to be done than to clear the task; the beginning of a sentence."""
    ended: str = "It is finished."
    """What became of a run that has ended in a failure; a sentence."""
    gone: str = ""
    """What else it may mean that the service does not know a run of this task's; empty for nothing."""
    wait: str = "Wait for it with a sensor; a retry looks again."
    """A run that is not finished was to be."""


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
    hints: SystemHints = field(default=SystemHints(), repr=False, compare=False)
    """What people do about errors of the system."""

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

    All parameters are attributes too, for programs: callbacks, alerts, retry policies.

    :param what: what happened, one sentence.
    :param where: which run it is about.
    :param fate: what became of the remote run.
    :param advice: what to do.
    :param retry_after: seconds that the service asked to wait before the next request, None if it named none.
    """

    retry_helps: ClassVar[bool] = True
    """Whether a retry with nothing changed may succeed."""

    def __init__(
        self,
        what: str,
        *,
        where: RunIdentity | None = None,
        fate: str = "",
        advice: str = "",
        retry_after: float | None = None,
    ) -> None:
        head = what if where is None else f"{what} [{where}]"
        super().__init__("\n".join(part for part in (head, fate, advice) if part))
        self.what = what
        self.where = where
        self.fate = fate
        self.advice = advice
        self.retry_after = retry_after

    def about(self, where: RunIdentity, *, fate: str) -> Self:
        """
        Return the same error about a run that is known better.

        :param where: which run it is about.
        :param fate: what became of it.
        """
        return type(self)(self.what, where=where, fate=fate, advice=self.advice, retry_after=self.retry_after)


class FlowConfigurationError(FlowException, AirflowFailException):
    """
    The connection or the task's arguments are unusable.

    No retry helps; mend what the message names. Nothing was sent, and a run that was there already was kept.
    """

    retry_helps = False


class FlowConnectionMissingError(FlowConfigurationError):
    """
    Airflow knows no such connection, or could not tell: it says the same where its own look-up failed.

    No retry helps once it is sure; create the connection. A wait asks again for a minute. Nothing was sent,
    and a run that was there already was kept.
    """


class FlowConnectionError(FlowException):
    """
    The service, Airflow's API server, or what the input is read from, could not be reached.

    A retry helps once it can be reached. The service has taken nothing.
    """


class FlowAuthenticationError(FlowException, AirflowFailException):
    """
    401: the service does not know the key.

    No retry helps; put a valid key into the connection. The service did nothing; a run that was there
    already was kept.
    """

    retry_helps = False


class FlowPermissionError(FlowException, AirflowFailException):
    """
    403: the key's role, or the licence, lacks the right.

    No retry helps; have the right granted. The service did nothing; a run that was there already was kept.
    """

    retry_helps = False


class FlowNotFoundError(FlowException, AirflowFailException):
    """
    There is no such flow, execution or document, or none that the key may see.

    No retry helps; mend the id or name. Nothing was started or changed.
    """

    retry_helps = False


class FlowAmbiguousError(FlowException, AirflowFailException):
    """
    Several flows have the given name.

    No retry helps; name the flow by its id. Nothing was started.
    """

    retry_helps = False


class FlowInputError(FlowException, AirflowFailException):
    """
    The input is not what the flow takes.

    No retry helps; mend the input. Nothing was started, and a run of an earlier attempt was kept.
    """

    retry_helps = False


class FlowRequestRefusedError(FlowException, AirflowFailException):
    """
    The service understood the request and refuses it (4xx), or sends it elsewhere (3xx).

    No retry helps; the message has the service's words. Nothing was started or changed.
    """

    retry_helps = False


class FlowServiceError(FlowException):
    """
    The service answered with a fault or with something unreadable, or the connection broke.

    A retry helps if that passes. A run that was there already was kept; whether a request that changes
    something was taken is open, except after 429, which takes nothing.
    """


class FlowSubmissionUnclearError(FlowException, AirflowFailException):
    """
    It is open whether the service has started an execution, or done what an execution was told to.

    No retry by itself, because it might do so a second time. One of the executions, where the message lists
    any, may be this task's and still be running: look at them, then clear the task.
    """

    retry_helps = False


class FlowRecordError(FlowException):
    """
    The execution was started, but Airflow could not record its id.

    A retry starts a new one if this one was stopped, and else says what to check. The execution was asked to
    stop; the message says whether it did.
    """


class FlowExecutionFailedError(FlowException):
    """
    The execution ended in Error.

    A retry starts a new one; it helps if the flow's error passes. The execution is finished.
    """


class FlowExecutionWarningError(FlowException, AirflowFailException):
    """
    The execution ended with warnings and ``on_warning='fail'``.

    No retry, which would do it all once more. The execution is finished; its documents may exist.
    """

    retry_helps = False


class FlowExecutionCanceledError(FlowException, AirflowFailException):
    """
    Somebody cancelled the execution at the service.

    No retry by itself; clear the task to run it again. The execution is finished.
    """

    retry_helps = False


class FlowExecutionInterruptedError(FlowException):
    """
    The service interrupted the execution.

    A retry starts a new one and is likely to help. The execution is finished.
    """


class FlowUserInputRequiredError(FlowException, AirflowFailException):
    """
    The execution needs a person, which this task does not allow for, or answers that fit its form.

    No retry helps; start it unattended, let it wait, or mend the answers. The message says whether the
    execution was cancelled or waits on.
    """

    retry_helps = False


class FlowTimeoutError(FlowException):
    """
    The execution was not finished in time.

    A retry starts a new one, or attaches to one that was left alive, with a new time limit. The execution was
    cancelled, or left alone with ``cancel_on_timeout=False``; the message says which.
    """


class FlowStateUnknownError(FlowException):
    """
    The execution's status could not be found out, or, where its id is ours, whether it was started.

    A retry attaches to it where it can, and starts one that is not there under its id. The execution was
    kept.
    """


class FlowExecutionGoneError(FlowException, AirflowFailException):
    """
    The service no longer has the execution, its clean-up settings removed it.

    No retry helps; clear the task to start a new one. Its message says whether the execution was seen to end.
    """

    retry_helps = False


class FlowKilledError(FlowException):
    """
    The task was stopped while the execution was under way.

    A retry starts a new one if it has ended, and else attaches to it. The execution was cancelled, or left
    alone with ``cancel_on_kill=False``; the message says which.
    """


class FlowOutputError(FlowException, AirflowFailException):
    """
    The output cannot be taken as asked for.

    No retry helps; mend the argument that the message names. The execution is finished and its output stays
    at the service, or nothing was started.
    """

    retry_helps = False


class FlowDocumentError(FlowException):
    """
    A document could not be brought to its place.

    A retry helps where the transfer broke off or the storage was away. The execution is finished; its
    documents stay at the service.
    """


class FlowEventError(FlowException, AirflowFailException):
    """
    The task was resumed by something that is not one of its events.

    No retry helps; clear the task with ``on_clear='resume'``. The execution was kept.
    """

    retry_helps = False


class FlowRetryPolicy(RetryPolicy):
    """
    Decides by the error when a task that failed tries again, for ``retry_policy=`` (Airflow 3.3 and later).

    - What no retry mends fails at once.
    - Where the service named a time (Retry-After), the task tries again then.
    - An execution whose status is unknown, and one whose task was stopped, is seen to soon, as attaching to
      it costs one request; ``soon`` doubles with each try.
    - All else, also errors of other kinds, is left to the task's own ``retry_delay``.

    A pause is up to a tenth longer than that, so that tasks that failed together do not come back together.
    How often a task tries at most is still the task's ``retries``.

    :param soon: seconds before the first retry that attaches.
    :param longest_retry_after: seconds; what Retry-After asks beyond this, and what ``soon`` doubles to, is
        capped.
    :raises FlowConfigurationError: on an Airflow without retry policies, or for numbers that are no pauses.
    """

    def __init__(self, *, soon: float = 15.0, longest_retry_after: float = 300.0) -> None:
        if not AIRFLOW_V_3_3_PLUS:
            raise FlowConfigurationError(
                "FlowRetryPolicy needs Airflow 3.3 or later, which brought retry_policy=.",
                fate="Nothing was started.",
                advice="Leave retry_policy out; the classes of the errors make tasks fail at once where no "
                "retry helps.",
            )
        for name, seconds in (("soon", soon), ("longest_retry_after", longest_retry_after)):
            if not 0 < seconds < float("inf"):
                raise FlowConfigurationError(
                    f"FlowRetryPolicy takes {name} in seconds above 0, not {seconds!r}.",
                    fate="Nothing was started.",
                    advice=f"Correct {name}, or leave it out.",
                )
        self.soon = float(soon)
        self.longest_retry_after = float(longest_retry_after)

    def __repr__(self) -> str:
        return f"FlowRetryPolicy(soon={self.soon:g}, longest_retry_after={self.longest_retry_after:g})"

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """
        Decide what becomes of a task that failed; Airflow calls this on the worker.

        :param exception: what it failed with.
        :param try_number: of the attempt that failed, from 1.
        :param max_tries: not used, Airflow holds tasks to it.
        :param context: not used.
        """
        del max_tries, context
        name = type(exception).__name__
        if not isinstance(exception, FlowException):
            return RetryDecision.default()
        if not exception.retry_helps:
            return RetryDecision.fail(f"{name}: no retry helps.")
        if exception.retry_after is not None:
            pause = self._pause(exception.retry_after)
            return RetryDecision.retry(
                pause, f"{name}: the service asked to wait {exception.retry_after:g} seconds."
            )
        if isinstance(exception, FlowStateUnknownError | FlowKilledError):
            pause = self._pause(self.soon * 2.0 ** min(max(try_number, 1) - 1, 20))
            return RetryDecision.retry(pause, f"{name}: the next attempt sees to the execution.")
        return RetryDecision.default()

    def _pause(self, seconds: float) -> timedelta:
        jitter = 1.0 + random.random() / 10  # noqa: S311 - not a secret
        return timedelta(seconds=min(seconds, self.longest_retry_after) * jitter)

    def serialize(self) -> dict[str, Any]:
        """Return the policy as JSON."""
        return {"soon": self.soon, "longest_retry_after": self.longest_retry_after}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> FlowRetryPolicy:
        """
        Return the policy that :meth:`serialize` has written.

        :param data: what it has written.
        """
        return cls(**data)
