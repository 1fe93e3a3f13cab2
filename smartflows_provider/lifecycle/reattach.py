"""What an attempt does about a run that an earlier attempt has left: pure decisions.

A retry and a clear look alike to a task but mean opposite things; the record tells them apart. Invariant:
with the same record and the same status, the same decision.
"""

from __future__ import annotations

from typing import Literal

from smartflows_provider.lifecycle.options import RunOptions
from smartflows_provider.lifecycle.record import AttemptIdentity, RunRecord
from smartflows_provider.wire.run import RunPhase

FirstStep = Literal["submit", "look", "settle", "supersede", "unclear", "input_changed"]


def first_step(
    record: RunRecord | None, *, attempt: AttemptIdentity, fingerprint: str, options: RunOptions
) -> FirstStep:
    """
    Decide before the service is asked.

    ``submit``: start a run.    ``look``: ask for the recorded run's status, then see :func:`after_look`.
    ``settle``: an earlier attempt has cancelled the recorded run, which the service may still be busy with:
    wait until it is stable, then see :func:`after_look`.
    ``supersede``: cancel the recorded run, wait until it is stable, start a new one. ``unclear``: an
    attempt died while it was starting a run. ``input_changed``: fail, because the author wants that.
    """
    if record is None:
        return "submit"
    if record.execution_id is None:
        # A person who was told what to look for, and then clears the task, wants another run.
        informed = record.told and attempt.was_surely_cleared(record)
        anew = informed or options.on_ambiguous_submission == "resubmit"
        return "submit" if anew else "unclear"
    if attempt.was_cleared(record) and options.on_clear == "restart":
        return "supersede"
    if record.fingerprint != fingerprint and options.on_input_changed != "attach":
        return "input_changed" if options.on_input_changed == "fail" else "supersede"
    return "settle" if record.stopped else "look"


def after_look(phase: RunPhase) -> Literal["attach", "submit"]:
    """
    Decide once the recorded run's status is known.

    What is under way or ended well is attached to; the wait then sees its end at once. What ended badly is
    started anew, that is what a retry is for.
    """
    ended_badly = phase in {RunPhase.FAILED, RunPhase.CANCELED, RunPhase.INTERRUPTED}
    return "submit" if ended_badly else "attach"
