"""How an execution proceeds: a pure function of what is stored and the time.

Nothing works in the background. Where an execution stands follows from its flow, its start, the answers
and events it got, its cancellation and the present moment, each time somebody looks. So a restart, even a
hard one, loses nothing. Invariants: :func:`look_at` has no side effect but the caller's memory of
``effects``; once a look is stable every later look is equal.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from smartflows_provider.devserver.flows import (
    DocumentStep,
    EventStep,
    FailStep,
    Flow,
    FormStep,
    InterruptStep,
    OutputStep,
    StatusStep,
    Step,
    WarningStep,
)
from smartflows_provider.wire.smart_flows import ExecutionStatus

STABLE = frozenset(
    {
        ExecutionStatus.SUCCESS,
        ExecutionStatus.WARNING,
        ExecutionStatus.ERROR,
        ExecutionStatus.CANCELED,
        ExecutionStatus.INTERRUPTED,
    }
)


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """Something from outside that made an execution go on."""

    at: float
    """Epoch seconds."""
    value: Any
    """A form's answers as a mapping, an event's text."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """Everything that decides how one execution proceeds, times in epoch seconds."""

    started_at: float | None
    """When its flow was known; None in ``SelectFlow``."""
    created_at: float
    unattended: bool
    speed: float
    stimuli: Mapping[str, Stimulus] = field(default_factory=dict)
    """By the id of the step that waited."""
    cancel_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a step produced."""

    text: str = ""
    """Of a warning or failure."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Of an output or document step."""


class StepFailed(Exception):
    """A step that could not produce what it should; the execution ends in ``Error``."""


class Effects(Protocol):
    """Who works out what steps produce, once for each step."""

    def wanted(self, step: Step, so_far: Progressed) -> bool:
        """Return whether the step's condition holds."""

    def of(self, step: Step, so_far: Progressed, *, at: float) -> Effect:
        """Return what the step, over at this time, produces, or raise :class:`StepFailed`."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A step that was reached."""

    step: Step
    status: Literal["Output", "Error", "Waiting", "UserInput", "Skipped", "Running"]
    start: float
    end: float | None
    model: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The time between two resumptions."""

    start: float
    end: float | None
    input: Any
    """The answers or the event it resumed with, None for the first."""
    status: str
    """In which it ended, or is."""
    message: str
    percentage: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an execution ended in ``Error``."""

    block: str
    message: str
    causes: Sequence[str] = ()


@dataclass(kw_only=True)
class Progressed:
    """What an execution has produced so far."""

    answers: dict[str, Any] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Where an execution stands at one moment."""

    status: str
    percentage: int
    message: str
    since: float
    """When it got there."""
    next_change: float = math.inf
    """When it will be elsewhere by itself."""
    waits_at: FormStep | EventStep | None = None
    progressed: Progressed

    @property
    def is_stable(self) -> bool:
        """Whether it will stay there."""
        return self.status in STABLE


def look_at(flow: Flow | None, story: Story, *, effects: Effects, now: float) -> Look:
    """
    Return where an execution stands.

    :param flow: None while it is not selected.
    :param effects: asked for each step that is over, every time; it remembers.
    :param now: epoch seconds.
    """
    cancel_at = math.inf if story.cancel_at is None else story.cancel_at
    moment = min(now, cancel_at)
    if flow is None or story.started_at is None:
        look = Look(
            status=ExecutionStatus.SELECT_FLOW,
            percentage=0,
            message="Select a flow",
            since=story.created_at,
            progressed=Progressed(),
        )
    else:
        look = _Walk(flow, story, story.started_at, effects, moment).look()
    if look.is_stable:
        return look
    if cancel_at <= now:
        return Look(
            status=ExecutionStatus.CANCELED,
            percentage=look.percentage,
            message="Canceled",
            since=cancel_at,
            progressed=_cut(look.progressed, cancel_at),
        )
    if cancel_at < look.next_change:
        return replace(look, next_change=cancel_at)
    return look


def merge(model: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add values to a model, mappings within mappings."""
    for key, value in more.items():
        known = model.get(key)
        if isinstance(known, dict) and isinstance(value, Mapping):
            merge(known, value)
        else:
            model[key] = copy.deepcopy(value)


class _Walk:
    """One walk along a flow's steps up to a moment."""

    def __init__(self, flow: Flow, story: Story, started_at: float, effects: Effects, moment: float) -> None:
        self._flow = flow
        self._story = story
        self._effects = effects
        self._moment = moment
        self._at = started_at
        self._stage_start = started_at
        self._stage_input: Any = None
        self._done = 0
        self._so_far = Progressed()

    def look(self) -> Look:
        first = self._at + self._flow.queued / self._story.speed
        if self._moment < first:
            return self._stop(
                ExecutionStatus.QUEUED, "Waiting for other flows to finish", next_change=first, stage_end=None
            )
        self._at = first
        for step in self._flow.steps:
            look = self._pass(step)
            if look is not None:
                return look
            self._done += 1
        status = ExecutionStatus.WARNING if self._so_far.warnings else ExecutionStatus.SUCCESS
        return self._stop(status, "Finished", stage_end=self._at)

    def _pass(self, step: Step) -> Look | None:
        """Go through one step; a look if the walk ends in it."""
        begin = self._at
        try:
            if not self._effects.wanted(step, self._so_far):
                self._block(step, "Skipped", begin, begin)
                return None
            if isinstance(step, FormStep | EventStep) and (look := self._wait(step, begin)):
                return look
            end = self._at + step.seconds / self._story.speed
            if self._moment < end:
                self._block(step, "Running", begin, None)
                status = step.status if isinstance(step, StatusStep) else ExecutionStatus.RUNNING
                return self._stop(status, step.message, next_change=end, stage_end=None)
            self._at = end
            effect = self._effects.of(step, self._so_far, at=end)
        except StepFailed as error:
            return self._fail(step, begin, str(error))
        return self._finish(step, begin, effect)

    def _finish(self, step: Step, begin: float, effect: Effect) -> Look | None:
        if isinstance(step, FailStep):
            return self._fail(step, begin, effect.text, step.causes)
        if isinstance(step, InterruptStep):
            self._block(step, "Error", begin, self._at)
            return self._stop(ExecutionStatus.INTERRUPTED, effect.text, stage_end=self._at)
        if isinstance(step, WarningStep):
            self._so_far.warnings.append(effect.text)
        if isinstance(step, OutputStep | DocumentStep):
            merge(self._so_far.model, effect.model)
        self._block(step, "Output", begin, self._at, effect.model)
        return None

    def _wait(self, step: FormStep | EventStep, begin: float) -> Look | None:
        if isinstance(step, FormStep) and self._story.unattended:
            self._so_far.answers.update({entry.key: entry.default for entry in step.fields})
            return None
        stimulus = self._story.stimuli.get(step.id)
        asks = isinstance(step, FormStep)
        status = ExecutionStatus.USER_INPUT if asks else ExecutionStatus.WAITING
        if stimulus is None or stimulus.at > self._moment:
            self._block(step, "UserInput" if asks else "Waiting", begin, None)
            return self._stop(status, step.message, waits_at=step, stage_end=None)
        self._at = max(self._at, stimulus.at)
        self._so_far.stages.append(self._stage(status, step.message, self._at))
        self._stage_start, self._stage_input = self._at, stimulus.value
        if asks:
            self._so_far.answers.update(stimulus.value)
        else:
            self._so_far.events[step.id] = stimulus.value
        return None

    def _fail(self, step: Step, begin: float, message: str, causes: Sequence[str] = ()) -> Look:
        self._so_far.failures.append(Failure(block=step.name, message=message, causes=causes))
        self._block(step, "Error", begin, self._at)
        for later in self._flow.steps[self._done + 1 :]:
            self._block(later, "Skipped", self._at, self._at)
        return self._stop(ExecutionStatus.ERROR, message, stage_end=self._at)

    def _block(
        self, step: Step, status: Any, start: float, end: float | None, model: Mapping[str, Any] | None = None
    ) -> None:
        self._so_far.blocks.append(Block(step=step, status=status, start=start, end=end, model=model or {}))

    def _stage(self, status: str, message: str, end: float | None) -> Stage:
        return Stage(
            start=self._stage_start,
            end=end,
            input=self._stage_input,
            status=status,
            message=message,
            percentage=self._percentage(status),
        )

    def _percentage(self, status: str) -> int:
        if status in {ExecutionStatus.SUCCESS, ExecutionStatus.WARNING}:
            return 100
        return 100 * self._done // max(len(self._flow.steps), 1)

    def _stop(
        self,
        status: str,
        message: str,
        *,
        stage_end: float | None,
        next_change: float = math.inf,
        waits_at: FormStep | EventStep | None = None,
    ) -> Look:
        self._so_far.stages.append(self._stage(status, message, stage_end))
        return Look(
            status=status,
            percentage=self._percentage(status),
            message=message,
            since=self._at,
            next_change=next_change,
            waits_at=waits_at,
            progressed=self._so_far,
        )


def _cut(so_far: Progressed, at: float) -> Progressed:
    """Return what a cancelled execution leaves: its open block skipped, its open stage ended."""
    so_far.blocks = [
        replace(block, status="Skipped", end=at) if block.end is None else block for block in so_far.blocks
    ]
    if so_far.stages:
        so_far.stages[-1] = replace(
            so_far.stages[-1], end=at, status=ExecutionStatus.CANCELED, message="Canceled"
        )
    return so_far
