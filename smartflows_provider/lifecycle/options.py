"""The decisions a DAG author makes about a run, as one checked value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from smartflows_provider.option_words import check_words, hints_of

OnUserInput = Literal["wait", "fail", "answer", "ask"]
OnWarning = Literal["succeed", "fail"]
OnClear = Literal["restart", "resume"]
OnInputChanged = Literal["attach", "restart", "fail"]
OnAmbiguousSubmission = Literal["look_up", "fail", "resubmit"]

DEFAULT_TIMEOUT = 7 * 24 * 3600.0
"""Seconds, seven days."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a task treats its remote run; checked when the DAG is parsed."""

    timeout: float = DEFAULT_TIMEOUT
    """Seconds from submission to the deadline."""
    poll_interval: float = 60.0
    """Seconds, longest pause between two looks."""
    max_outage: float = 600.0
    """Seconds for which the service may be out of reach."""
    on_user_input: OnUserInput = "wait"
    """What to do where a person is needed."""
    answer_timeout: float | None = None
    """Seconds for which Airflow asks a person; None for as long as the run may take."""
    on_warning: OnWarning = "succeed"
    """Whether an execution with warnings is a success."""
    on_clear: OnClear = "restart"
    """What a cleared task does with the run it had."""
    on_input_changed: OnInputChanged = "attach"
    """What a retry does whose input differs from the run's."""
    on_ambiguous_submission: OnAmbiguousSubmission = "look_up"
    """What to do where it is open whether the service started a run."""
    cancel_on_kill: bool = True
    """Whether a person who stops the task stops the remote run."""
    cancel_on_timeout: bool = True
    """Whether a run that this task gives up on is cancelled."""

    def __post_init__(self) -> None:
        check_words(self)
        for name, hint in hints_of(self).items():
            value = getattr(self, name)
            is_missing = value is None and hint == float | None
            is_wrong = not (isinstance(value, int | float) and value > 0)
            if hint in {float, float | None} and is_wrong and not is_missing:
                raise ValueError(f"{name} is {value!r}; it takes a number of seconds above 0")
        if self.answer_timeout is not None and self.on_user_input != "ask":
            raise ValueError("answer_timeout goes with on_user_input='ask'")
