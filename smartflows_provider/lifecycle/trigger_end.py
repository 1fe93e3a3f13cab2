"""Concluding a success in the triggerer, so that no second worker process is needed for it.

A trigger's task ends here only where the run ended well and the worker would do no more than read the output
and push the result. Invariants: the result is what a worker would have pushed; any failure or doubt leaves
the task to a worker, which judges the run from scratch; done twice, it is the same as once; a later attempt's
result is not replaced; what takes time runs in a thread, never on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow.sdk.bases.xcom import BaseXCom

from smartflows_provider.lifecycle.conclude import ends_well
from smartflows_provider.lifecycle.metrics import meter_of
from smartflows_provider.lifecycle.results import (
    ResultOptions,
    count_duration,
    manifest_of,
    say_end,
    status_of,
)
from smartflows_provider.lifecycle.spans import SpanName, flow_span, shown_of
from smartflows_provider.lifecycle.xcom_keys import EXECUTION_ID_KEY, EXECUTION_URL_KEY

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.lifecycle.deferred_kill import TaskIdentity
    from smartflows_provider.lifecycle.options import OnWarning
    from smartflows_provider.lifecycle.shared_connection import SharedConnection
    from smartflows_provider.output.extractor import Output
    from smartflows_provider.waiting.event import WaitEvent
    from smartflows_provider.wire.messages import Exchange, Response
    from smartflows_provider.wire.run import Execution, Terms

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What a success comes to, as it travels in a trigger's row: plain text, small, no secrets."""

    returns: Literal["manifest", "status"]
    """What the task returns: the run's manifest, or, as a sensor, its status."""
    on_warning: OnWarning
    """Whether warnings are a failure, which is a worker's to tell."""
    outputs: Mapping[str, str] | None = None
    """``{name: JMESPath}``; None keeps all values."""
    values_by_title: bool = False
    """Whether keys that are GUIDs are replaced by their titles."""
    max_xcom_bytes: int = 0
    """Size limit for the manifest."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row's value."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any] | None) -> Ending | None:
        """Read a row's value; None where a worker is to conclude, or where it is of no known shape."""
        try:
            return None if row is None else cls(**row)
        except TypeError:
            return None


async def ended_here(
    ending: Ending | None,
    ended: WaitEvent,
    *,
    terms: Terms,
    connection: SharedConnection,
    task: TaskIdentity | None,
    owns_run: bool,
    log: Any,
) -> bool:
    """
    Push what the task returns, if its run ended well and nothing else is to be done.

    :param ending: what a success comes to; None leaves it to a worker.
    :param ended: how the wait ended.
    :param terms: of the run.
    :param connection: the run's.
    :param task: the trigger's task; None where the trigger has none, as in ``dag.test()``.
    :param owns_run: whether the task has started the run; a later attempt may have started another.
    :param log: the trigger's logger.
    :returns: whether the task may succeed now; else a worker is to be told of the wait's end.
    """
    if ending is None or task is None or ended.reason != "finished":
        return False
    if ended.phase is None or not ends_well(ended.phase, on_warning=ending.on_warning):
        return False
    try:
        async with connection.use() as hook:
            url = await hook.aexecution_url(ended.execution_id)
            exchange = hook.execution_exchange(ended.execution_id, terms=terms)
            answer = await (await hook.aclient()).send(next(exchange))
        conclusion = _Conclusion(
            ending=ending,
            execution_id=ended.execution_id,
            hook=hook,
            url=url,
            task=task,
            owns_run=owns_run,
            log=log,
        )
        with flow_span(SpanName.TAKE_OUTPUT, shown_of(hook, ended.execution_id)) as span:
            span.tell({"status": ended.status})
            await asyncio.to_thread(conclusion.push, exchange, answer)
    except Exception as error:  # noqa: BLE001 - a worker meets it again, and tells it as it should be told
        log.info("A worker concludes execution %s (%s).", ended.execution_id, type(error).__name__)
        return False
    return True


class _NotGoodError(Exception):
    """What was read is not the good end that the wait has seen."""


class _NotOursError(Exception):
    """The task has another run by now: this trigger was left behind, by a triggerer that froze say."""


@dataclass(frozen=True, kw_only=True)
class _Conclusion:
    """What is done in a thread once the service has answered."""

    ending: Ending
    execution_id: str
    hook: FlowSystemHook
    url: str
    task: TaskIdentity
    owns_run: bool
    log: Any

    def push(self, exchange: Exchange[Execution], answer: Response) -> None:
        """Read the answer, and push what the task returns."""
        ending = self.ending
        execution = _result(exchange, answer)
        if not ends_well(execution.phase, on_warning=ending.on_warning):
            raise _NotGoodError
        output = self.hook.output_of(execution, values_by_title=ending.values_by_title)
        returned = self._returned(execution, output)
        mark, ours = (EXECUTION_ID_KEY, self.execution_id) if self.owns_run else (EXECUTION_URL_KEY, self.url)
        if (self.task.xcom(mark) or "") != ours:
            raise _NotOursError
        self.task.push(BaseXCom.XCOM_RETURN_KEY, returned)
        meter_of(self.hook).run_ended(execution.phase, own=self.owns_run)
        if self.owns_run:
            count_duration(self.hook, execution, output)
        say_end(self.execution_id, execution, output, may_go_on=self.hook.success_stands, log=self.log)

    def _returned(self, execution: Execution, output: Output) -> Mapping[str, Any]:
        if self.ending.returns == "status":
            return status_of(self.execution_id, execution, url=self.url)
        options = ResultOptions(outputs=self.ending.outputs, max_xcom_bytes=self.ending.max_xcom_bytes)
        return manifest_of(execution, output, options=options, url=self.url)


def _result(exchange: Exchange[T], answer: Response) -> T:
    """Give an exchange its only answer, and return its result."""
    try:
        exchange.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise ValueError("the call takes more than one answer")
