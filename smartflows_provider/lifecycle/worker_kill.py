"""Stopping the remote run of a task whose worker is told to stop.

Airflow calls ``on_kill`` in a signal handler, five seconds before it kills the process, for a person's will
as well as for a deploy. Invariants: the handler sends one hurried request, looks nothing up and logs nothing,
as the locks for that may be held by the very thread it interrupts; what came of it is said afterwards; a task
that was told to stop waits no longer and does not defer, so its own cancel is not taken for the flow's end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smartflows_provider.exceptions import FlowKilledError, RunIdentity
from smartflows_provider.lifecycle.looking import write_notes
from smartflows_provider.lifecycle.stop import CancelReply, cancel_now
from smartflows_provider.waiting.wait import Note

if TYPE_CHECKING:
    from smartflows_provider.lifecycle.metrics import Meter
    from smartflows_provider.transport.settings import ClientSettings
    from smartflows_provider.wire.messages import Exchange
    from smartflows_provider.wire.run import RunSnapshot


def stopped_while_fetching(*, where: RunIdentity) -> FlowKilledError:
    """Return the error of a task that was told to stop while it fetched the output of an ended run."""
    return FlowKilledError(
        "The task was stopped while it fetched the output.",
        where=where,
        fate="The execution had ended; its output stays at the service. No half file was left.",
        advice="The next attempt fetches the output again.",
    )


CancelCall = Callable[[str], "Exchange[RunSnapshot | None]"]


class WorkerKill:
    """
    Whether a task was told to stop, and what became of its run.

    :param cancel_call: returns the call that cancels a run.
    :param where: names the run, for the error.
    :param cancels: False to leave the run alone.
    :param meter: of the connection.
    :param log: the task's logger.
    """

    def __init__(
        self,
        cancel_call: CancelCall,
        *,
        where: Callable[[], RunIdentity],
        cancels: bool,
        meter: Meter,
        log: Any,
    ) -> None:
        self._cancel_call = cancel_call
        self._where = where
        self._cancels = cancels
        self._meter = meter
        self._log = log
        self._asked_for = ""
        self._reply = CancelReply()
        self._unsaid: Note | None = None
        self.settings: ClientSettings | None = None
        """How to reach the service; set before it is needed, as a handler must not look it up."""
        self.execution_id = ""
        """The run, as soon as it is known."""
        self.sent = False
        """Whether a request to start a run has left that is not answered yet."""
        self.over = False
        """Whether the run has ended, so that nothing is left to stop."""
        self.executing = False
        """Whether the task is within its own code, which checks and says by itself what has happened."""
        self.handed_over = False
        """Whether the task is about to defer, so that only an exception keeps it from that."""
        self.killed = False
        """Whether the task was told to stop."""

    @property
    def cancelled(self) -> bool:
        """Whether the service has taken the request to cancel the run."""
        return bool(self._asked_for) and self._cancels and self._reply.was_taken

    def kill(self) -> None:
        """
        Cancel the run with one hurried request; to be called in a signal handler.

        A run that is just being started is cancelled by :meth:`check` as soon as its id is known.

        :raises FlowKilledError: if the task is about to defer: the trigger would take the cancel for the
            flow's end.
        """
        self.killed = True
        self._cancel()
        if not self.executing:
            self.say()
        if self.handed_over:
            self.check()

    def check(self) -> None:
        """
        Stop the task if it was told to.

        :raises FlowKilledError: if it was; the next attempt starts anew, or attaches to what goes on.
        """
        if not self.killed:
            return
        if self.over:
            raise stopped_while_fetching(where=self._where())
        self._cancel()
        raise FlowKilledError(
            "The task was stopped before the execution was finished.",
            where=self._where(),
            fate=self._fate(),
            advice="The next attempt starts anew if the execution was cancelled, and else attaches to it.",
        )

    def say(self) -> None:
        """Log what became of the run; not to be called in a handler that interrupts the task's own code."""
        note, self._unsaid = self._unsaid, None
        if note is None:
            return
        write_notes(self._log, (note,))
        if self.cancelled:
            self._meter.run_cancelled("kill")
        elif self._reply.ended_in is None:
            self._meter.run_left("killed")

    def _cancel(self) -> None:
        """Ask the service to cancel the run, once."""
        run = self.execution_id
        if run in {"", self._asked_for} or self.over or self.settings is None:
            return
        self._asked_for = run
        level = logging.INFO
        if not self._cancels:
            why = self._where().hints.cancel_off
            text = f"The task is being stopped: execution {run} is left running, {why}."
        else:
            self._reply = reply = cancel_now(self.settings, self._cancel_call(run))
            if reply.problem is not None:
                level = logging.ERROR
                text = f"The task is being stopped, but execution {run} may still run: {reply.problem}"
            elif reply.ended_in is not None:
                text = f"The task is being stopped: execution {run} had ended in {reply.ended_in}."
            else:
                text = f"The task is being stopped: cancelled execution {run}."
        self._unsaid = Note(level=level, text=text)

    def _fate(self) -> str:
        if not self.execution_id:
            if self.sent:
                return "It is open whether an execution was started: the request was not answered in time."
            return "No execution was started."
        if not self._cancels:
            return f"The execution was not cancelled, {self._where().hints.cancel_off}."
        if self._reply.problem is not None:
            return f"The execution may still be running: it could not be cancelled ({self._reply.problem})."
        if self._reply.ended_in is not None:
            return f"The execution had ended in {self._reply.ended_in}."
        return "The service was asked to cancel it."
