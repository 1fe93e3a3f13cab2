"""Whether anybody still answers for the run that a trigger waits for.

A trigger that Airflow ends learns nothing of the reason: a person has marked or cleared the task, the wait
has moved to another triggerer, a form was answered, or this triggerer was frozen while its successor brought
the wait to its end. What tells them apart is the task instance's state, the run that its XCom names, and the
run that its worker says it has left alive. Invariants: pure decisions; a run is given up only on proof that
the task has ended or has another run; what cannot be told yet is open, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from smartflows_provider.lifecycle.xcom_keys import EXECUTION_ID_KEY, EXECUTION_LEFT_KEY

Ownership = Literal["ended", "succeeded", "replaced", "kept", "open"]
"""
``ended``: the task is over, and not by its own doing: nobody waits for the run any more. ``succeeded``: it is
over too, with its run, or because a person has marked it; the run's own status tells. ``replaced``: a later
attempt has a run of its own. ``kept``: the task answers for the run, or has left it alive on purpose.
``open``: look again.
"""

_OVER = frozenset({"failed", "skipped", "upstream_failed", "removed"})
"""States of a task instance in which nobody waits for its run any more."""
_AT_WORK = frozenset({"running", "deferred", "awaiting_input"})
"""States in which an attempt has begun."""


def ownership(
    execution_id: str,
    *,
    state: str | None,
    xcom: Callable[[str], object],
    keep_on_clear: bool = False,
    handing_over: bool = False,
) -> Ownership:
    """
    Decide who answers for a run.

    :param execution_id: the run.
    :param state: of the task instance; None for one that was cleared and not scheduled yet.
    :param xcom: reads an XCom of the task instance by its key; asked only where it matters.
    :param keep_on_clear: whether a cleared task goes on with the run.
    :param handing_over: whether the trigger has sent its event and the worker is still to take it up, so that
        ``deferred`` says nothing.
    """
    if state is None:
        return "open" if keep_on_clear else "ended"
    if state == "success":
        return "succeeded"
    if state in _OVER:
        return "kept" if xcom(EXECUTION_LEFT_KEY) == execution_id else "ended"
    if state not in _AT_WORK:
        return "open"
    current = xcom(EXECUTION_ID_KEY)
    if current is None:
        # An attempt begins by removing the XComs of the one before.
        return "open"
    if current != execution_id:
        return "replaced"
    return "open" if handing_over and state == "deferred" else "kept"
