"""Spans of what is done about a run, where OpenTelemetry is on.

They lie below the span that is current: Airflow's of the task, or of its trigger. Invariants: nothing here
raises; a span tells which run it is about and how it stands, and nothing of what a run is given or brings:
of an error it has the class and not the text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from smartflows_provider.version_compat import tracer
from smartflows_provider.waiting.event import FormAnswer, WaitEvent

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook

log = logging.getLogger(__name__)

TRACER = "smartflows_provider"
PREFIX = "smartflows"
ERROR_TYPE = "error.type"
"""Attribute with the class of the error that a span has ended with."""

Shown = Mapping[str, str | None]
"""Attributes without their prefix; None is left out."""


class SpanName(Enum):
    """All spans, and what they are of."""

    START = ("smartflows.start", "a task comes to its run: it starts one, or goes on with an earlier one")
    WAIT = ("smartflows.wait", "the wait for a run's end, on a worker or in the triggerer")
    TAKE_OUTPUT = ("smartflows.take_output", "a run's values and documents are taken along")


ATTRIBUTES: Mapping[str, str] = {
    "system": "the connection type",
    "conn_id": "the Airflow connection",
    "flow": "id or name, as the task has it; a trigger does not know it",
    "execution_id": "the service's id of the run",
    "status": "of the run, in the service's word",
    "reason": "why a wait has ended: `finished`, `deadline`, `unreachable` and so on",
}
"""What spans tell, without the prefix."""


class ShowsItself(Protocol):
    """What a span is about."""

    def shown(self) -> Shown:
        """Return which run it is, as far as that is known."""


S = TypeVar("S", bound=ShowsItself)
T = TypeVar("T")


def shown_of(hook: FlowSystemHook, execution_id: str, *, flow: str | None = None) -> Shown:
    """Return which run a span is about."""
    return {
        "system": hook.conn_type,
        "conn_id": str(hook.conn_id),
        "flow": flow,
        "execution_id": execution_id or None,
    }


@dataclass(kw_only=True)
class OpenSpan:
    """A span that may be told more; where there is none, nothing comes of that."""

    manager: Any = None
    span: Any = None

    @classmethod
    def of(cls, name: SpanName) -> OpenSpan:
        """Begin a span, if there is somebody to tell."""
        try:
            makes_spans = tracer(TRACER)
            if makes_spans is None:
                return cls()
            manager = makes_spans.start_as_current_span(
                name.value[0], record_exception=False, set_status_on_exception=False
            )
            return cls(manager=manager, span=manager.__enter__())
        except Exception:
            log.debug("A span could not be begun.", exc_info=True)
            return cls()

    def tell(self, shown: Shown) -> None:
        """Add what is known by now."""
        for name, value in shown.items():
            if value is not None:
                self._quietly(self._set, f"{PREFIX}.{name}", value)

    def failed(self, error: BaseException) -> None:
        """Note with what kind of error it ends."""
        self._quietly(self._fail, type(error).__name__)

    def end(self) -> None:
        """End the span."""
        if self.manager is not None:
            self._quietly(self.manager.__exit__, None, None, None)

    def _set(self, name: str, value: str) -> None:
        self.span.set_attribute(name, value)

    def _fail(self, kind: str) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - there where a span is

        self.span.set_attribute(ERROR_TYPE, kind)
        self.span.set_status(StatusCode.ERROR, kind)

    def _quietly(self, call: Callable[..., object], *arguments: Any) -> None:
        if self.span is None:
            return
        try:
            call(*arguments)
        except Exception:
            log.debug("A span could not be told something.", exc_info=True)


@contextmanager
def flow_span(name: SpanName, shown: Shown) -> Iterator[OpenSpan]:
    """
    Have a span of a block.

    :param name: of the span.
    :param shown: what is known at its beginning.
    """
    span = OpenSpan.of(name)
    span.tell(shown)
    try:
        yield span
    except asyncio.CancelledError:
        # A trigger that is moved elsewhere has not failed.
        raise
    except BaseException as error:
        span.failed(error)
        raise
    finally:
        span.end()


def begun(call: Callable[[S], None]) -> Callable[[S], None]:
    """Have a span of a method that brings a task to its run, which is known at the end."""

    @wraps(call)
    def with_span(this: S) -> None:
        with flow_span(SpanName.START, this.shown()) as span:
            try:
                call(this)
            finally:
                span.tell(this.shown())

    return with_span


def waited(call: Callable[[S], WaitEvent]) -> Callable[[S], WaitEvent]:
    """Have a span of a method that waits on a worker."""

    @wraps(call)
    def with_span(this: S) -> WaitEvent:
        with flow_span(SpanName.WAIT, this.shown()) as span:
            ended = call(this)
            span.tell(_end_of(ended))
            return ended

    return with_span


async def waiting(
    this: ShowsItself, wait: Awaitable[tuple[WaitEvent | FormAnswer, T]]
) -> tuple[WaitEvent | FormAnswer, T]:
    """
    Have a span of a wait in the triggerer.

    :param this: who waits.
    :param wait: returns how it ended, and something more.
    """
    with flow_span(SpanName.WAIT, this.shown()) as span:
        ended, more = await wait
        span.tell(_end_of(ended))
        return ended, more


def _end_of(ended: WaitEvent | FormAnswer) -> Shown:
    if isinstance(ended, FormAnswer):
        return {"reason": "answered"}
    return {"status": ended.status, "reason": ended.reason}
