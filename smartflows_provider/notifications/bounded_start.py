"""One start of a flow that takes a limited time and hurts nobody.

Airflow runs notifiers where nothing may stand still or fail: in the worker after the task's end, in the DAG
processor, in the triggerer's event loop. Invariants: what came of a start is a line for the log and never an
error; nothing is sent once the time is over; the request that starts is sent again only where the service has
provably taken nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowSubmissionUnclearError,
    RunIdentity,
)
from smartflows_provider.hooks.payload import aprepare_payload, read_options
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.hooks.translation import may_be_taken, translate, without_words
from smartflows_provider.operators.arguments import flag_argument, mapping_argument, text_argument
from smartflows_provider.payload.arguments import InputArguments
from smartflows_provider.transport.errors import TransportError
from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.smart_flows import find_flow, start_flow_by_id

NOTHING_STARTED = "No execution was started."
GRACE = 1.0
"""Seconds after its time for which a caller waits for a start to say what came of it."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be started, templates rendered."""

    conn_id: Any
    flow: Any
    unattended: Any
    inputs: Mapping[str, Any] = field(repr=False)
    """As ``SmartFlowsHook.start`` takes them."""
    without_value: Sequence[str]
    """Inputs that the author has named, and that turned out to be None."""
    folder: Path | None
    """From which a relative path is taken; None for the working directory."""
    hide_payload: bool
    seconds: float
    """All that it may take."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a start, for the log."""

    level: int
    text: str
    unexpected: BaseException | None = None
    """An error that nobody thought of, for its traceback."""


class BoundedStart:
    """
    One start.

    :param order: what is to be started.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._hook = SmartFlowsHook(order.conn_id)
        self._doing = "the connection was looked up"
        self._sent_at: datetime | None = None
        self._execution_id: str | None = None

    def blocking(self) -> Outcome:
        """Start, and return what came of it in time, whatever the service, Airflow and storages do."""
        told: Future[Outcome] = Future()
        until = time.monotonic() + self._order.seconds
        # A daemon: neither the caller nor the end of its process waits for a look-up that stands still.
        threading.Thread(
            target=copy_context().run,
            args=(self._serve, told, until),
            name="smartflows-notifier",
            daemon=True,
        ).start()
        try:
            return told.result(self._order.seconds + GRACE)
        except TimeoutError:
            return self.cut_off()

    def _serve(self, told: Future[Outcome], until: float) -> None:
        try:
            self._checked()
            # Not in the event loop: an answer of Airflow that nobody waits for any more would be taken for
            # the answer to the process's next question.
            self._hook.settings  # noqa: B018 - looked up once and kept
        except Exception as error:  # noqa: BLE001 - the caller tells it
            told.set_result(self.failed(error))
        else:
            asyncio.run(self._tell(told, until))

    async def _tell(self, told: Future[Outcome], until: float) -> None:
        """Tell what came of it at once: closing the loop may have to wait for a name server."""
        told.set_result(await self.asynchronous(until - time.monotonic()))

    async def asynchronous(self, seconds: float) -> Outcome:
        """
        Start without blocking the event loop, and return what came of it.

        :param seconds: all that it may take.
        :raises asyncio.CancelledError: if the caller is cancelled; :meth:`cut_off` says what that leaves.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._started()
        except TimeoutError:
            return self.cut_off()
        except Exception as error:  # noqa: BLE001 - a notification must not fail what it is about
            # Once the execution is there, only its address can be missing.
            return self.failed(error) if self._execution_id is None else self._told_started(None)

    def _checked(self) -> tuple[str, bool, InputArguments]:
        """
        Return flow, ``unattended`` and input, as templates have filled them in.

        :raises FlowConfigurationError: if they cannot be meant.
        """
        order, where = self._order, self._where
        inputs: Any = dict(order.inputs)
        try:
            text_argument(order.conn_id, "smart_flows_conn_id", where=where)
            flow = text_argument(order.flow, "flow", where=where)
            unattended = flag_argument(order.unattended, "unattended", where=where)
            if "namespaces" in inputs:
                inputs["namespaces"] = mapping_argument(inputs["namespaces"], "namespaces", where=where)
            arguments, _ = read_options(inputs, body=None, where=where)
        except FlowConfigurationError as error:
            raise self._unusable(error.what) from None
        for name in order.without_value:
            raise self._unusable(f"{name} is None now that the notification is due.")
        return flow, unattended, arguments

    def _unusable(self, what: str) -> FlowConfigurationError:
        return FlowConfigurationError(
            what,
            where=self._where,
            fate=NOTHING_STARTED,
            advice="Look at the template or the function that it comes from.",
        )

    async def _started(self) -> Outcome:
        order, hook, where = self._order, self._hook, self._where
        flow, unattended, arguments = self._checked()
        # For the same reason as in _serve, the look-up is let finish.
        await asyncio.shield(hook.asettings())
        async with hook:
            client = await hook.aclient()
            self._doing = "the input was prepared"
            prepared = await aprepare_payload(
                arguments,
                where=where,
                fate=NOTHING_STARTED,
                folder=order.folder,
                hide_payload=order.hide_payload,
            )
            with prepared as payload:
                try:
                    self._doing = "the flow was looked up"
                    flow_id = (await client.run(find_flow(flow))).id
                    self._doing, self._sent_at = "the flow was started", datetime.now(UTC)
                    started = await client.run(
                        start_flow_by_id(
                            flow_id,
                            body=payload.body,
                            content_type=payload.content_type,
                            unattended=unattended,
                        )
                    )
                except (WireError, TransportError) as error:
                    told = without_words(error) if order.hide_payload else error
                    raise translate(told, where=where, fate=self._fate(error)) from None
            self._execution_id = started.execution_id
            return self._told_started(await hook.aexecution_url(started.execution_id))

    def cut_off(self) -> Outcome:
        """Return what is left of a start that was not let finish."""
        if self._execution_id is not None:
            return self._told_started(None)
        what = f"The {self._order.seconds:g} seconds of the notifier's timeout were over while {self._doing}."
        if self._sent_at is not None:
            return self.failed(
                FlowSubmissionUnclearError(
                    what,
                    where=self._where,
                    fate=self._open(self._sent_at),
                    advice="Look for it in the project console.",
                )
            )
        return self.failed(
            FlowConnectionError(
                what,
                where=self._where,
                fate=NOTHING_STARTED,
                advice="Look at what did not answer, or raise timeout.",
            )
        )

    def failed(self, error: BaseException) -> Outcome:
        """Return what a failed start leaves for the log."""
        order = self._order
        head = (
            f"The notification by the flow {order.flow!r}, connection {order.conn_id!r}, failed and is not "
            "repeated; what it is about stays as it is."
        )
        if isinstance(error, FlowException):
            return Outcome(level=logging.ERROR, text=f"{head}\n{type(error).__name__}: {error}")
        fate = NOTHING_STARTED if self._sent_at is None else self._open(self._sent_at)
        kind = type(error).__name__
        shown = kind if order.hide_payload else f"{kind}: {error}"
        return Outcome(
            level=logging.ERROR,
            text=f"{head}\n{shown}\n{fate}",
            unexpected=None if order.hide_payload else error,
        )

    @property
    def _where(self) -> RunIdentity:
        return self._hook.identity(flow=str(self._order.flow))

    def _fate(self, error: WireError | TransportError) -> str:
        if self._sent_at is None or not may_be_taken(error):
            return NOTHING_STARTED
        return self._open(self._sent_at)

    def _open(self, sent_at: datetime) -> str:
        return f"Whether an execution was started at {sent_at:%H:%M:%S} UTC is open; it is not sent again."

    def _told_started(self, url: str | None) -> Outcome:
        where = self._hook.identity(flow=str(self._order.flow), execution_id=self._execution_id, url=url)
        return Outcome(
            level=logging.INFO,
            text=f"The notification has started an execution, which nothing waits for [{where}].",
        )
