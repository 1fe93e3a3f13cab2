"""Asks for the statuses of all runs that are waited for on one connection.

In a triggerer thousands of waits share a connection. Instead of a loop for each there is one poller, which
keeps the waits in the order in which they are due and has as many questions under way as the connection
allows. Invariants: every decision is the :class:`Wait`'s; a wait that is cancelled takes its question along;
a wait is never left without either a question under way or a place in the queue; the poller does nothing
where nobody waits.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from smartflows_provider.lifecycle.looking import LOOK_ERRORS, decide, failed_look
from smartflows_provider.lifecycle.metrics import OpenWaits
from smartflows_provider.lifecycle.shared_connection import SharedConnection
from smartflows_provider.lifecycle.shared_question import SharedQuestion
from smartflows_provider.lifecycle.task_log import TaskLog
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.transport.settings import DEFAULT_CONNECTIONS
from smartflows_provider.waiting.clock import Clock, Moment, read_clocks
from smartflows_provider.waiting.crowd import LONGEST_TURN, PAGE, Crowd, DueQueue, Place
from smartflows_provider.waiting.failures import PollFailure
from smartflows_provider.waiting.holding import Holding
from smartflows_provider.waiting.schedule import LONGEST_RETRY_AFTER
from smartflows_provider.waiting.wait import End, Wait, WaitPolicy
from smartflows_provider.wire.run import RunSnapshot


@dataclass(eq=False, kw_only=True, slots=True)
class _Waiting:
    wait: Wait
    log: TaskLog
    context: Context
    """Airflow tells by a context variable which task's log a line belongs to."""
    done: asyncio.Future[End]
    question: asyncio.Task[None] | None = None


_Queue: TypeAlias = DueQueue[_Waiting]

TOGETHER = 0.05
"""Seconds; questions that fall due so close to each other are asked together."""
AT_ONCE = 2
"""Questions that are begun in one go, so that other tasks of the event loop have their turn in between."""


def call_later(seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
    """Have something called on the running event loop after a while."""
    return asyncio.get_running_loop().call_later(seconds, callback)


class StatusPoller:
    """
    The waits on one connection and event loop.

    :param system: a connection type of this package.
    :param conn_id: the Airflow connection.
    :param clock: gives the present moment.
    """

    def __init__(self, system: str, conn_id: str, *, clock: Clock = read_clocks) -> None:
        self.connection = SharedConnection(system, conn_id, clock=lambda: clock().steady)
        self._clock = clock
        self._holding = Holding(tries_zero=True)
        self._crowd = Crowd()
        self._open = OpenWaits(self.connection.meter, steady=lambda: clock().steady)
        self._queue: _Queue = DueQueue()
        self._alone: _Queue = DueQueue()
        """Those that a shared question has not told about, and who are asked for by themselves."""
        self._urgent: _Queue = DueQueue()
        """Those whose time ends: asked for by themselves, whatever the service has asked for."""
        self._shared = SharedQuestion(conn_id)
        self._questions: set[asyncio.Task[None]] = set()
        self._is_full = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._woken_at = self._quiet_until = 0.0

    async def wait_for(self, policy: WaitPolicy, *, execution_id: str, log: Any) -> End:
        """
        Wait for a run.

        :param policy: what was set for the wait.
        :param execution_id: the run.
        :param log: takes what is noted on the way, in another thread, and all of it before this returns.
        :returns: how the wait ended; cancelling it has no effect on the run.
        """
        began = self._clock()
        await self.connection.look_up()
        wait = Wait(policy, execution_id=execution_id, began=began, holding=self._holding)
        done: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        notes = TaskLog(log)
        item = _Waiting(wait=wait, log=notes, context=copy_context(), done=done)
        place = Place(item=item, until=began.steady)
        self._crowd.join(policy.poll_interval)
        self._open.are(self._crowd.count)
        ends_soon = self._shares and wait.remaining(began) <= self._least_pause
        self._put(place, self._urgent if ends_soon else self._queue_of(wait), due=began.steady, now=began)
        try:
            end = await done
            await notes.written()
            return end
        finally:
            notes.leave()
            place.leave()
            self._crowd.leave(policy.poll_interval)
            self._open.are(self._crowd.count)
            if place.item.question is not None:
                place.item.question.cancel()

    async def close(self) -> None:
        """Stop asking and close the connection; called when nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
        for question in self._questions:
            question.cancel()
        await self.connection.close()

    @property
    def _connections(self) -> int:
        settings = self.connection.settings
        return settings.max_connections if settings else DEFAULT_CONNECTIONS

    @property
    def _shares(self) -> bool:
        """Whether one question asks for many runs at present."""
        settings = self.connection.settings
        wished = settings is not None and settings.batch_status and self._crowd.count > self._connections
        return wished and self._shared.works

    @property
    def _least_pause(self) -> float:
        """Seconds between two questions about one run, as far as the number of waits goes."""
        if self._shares:
            return self._crowd.shared_pause * self._crowd.pages
        return self._crowd.least_pause(self._connections)

    def _queue_of(self, wait: Wait) -> _Queue:
        """Return where a wait has its turns; an answer about many runs does not show what they ask."""
        return self._queue if wait.policy.asked is None else self._alone

    def _put(self, place: Place[_Waiting], queue: _Queue, *, due: float, now: Moment) -> None:
        """Put a place into a queue, and see to it that it is asked for when it is due."""
        ends = now.steady + max(place.item.wait.remaining(now), 0.0)
        if due <= ends < self._quiet_until:
            # The last question at the end of a wait's time is not put off.
            due, queue = ends, self._urgent
        queue.put(place, due)
        self._wake_at(due, now=now.steady)

    def _wake_at(self, due: float, *, now: float) -> None:
        """
        Look at a moment who is due, or a little later: what falls due within moments is asked together.

        A process that is woken for each question by itself spends more on waking than on asking.
        """
        at = max(due, self._woken_at + TOGETHER)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = call_later(max(at - now, 0.0), self._ask_who_is_due), at

    def _ask_who_is_due(self) -> None:
        """Begin the questions that are due and may be begun, and come back when the next one is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        self._woken_at = now.steady
        self._is_full = False
        begun = 0
        while (found := self._next(now.steady)) is not None:
            queue, place, due = found
            if due > now.steady:
                self._wake_at(due, now=now.steady)
                return
            if len(self._questions) >= self._connections:
                # The next answer makes room.
                self._is_full = True
                return
            if begun == AT_ONCE:
                self._timer, self._timer_at = call_later(0.0, self._ask_who_is_due), now.steady
                return
            begun += 1
            if self._shares and queue is self._queue:
                self._shared.next_at = now.steady + self._crowd.shared_pause
                places = list(queue.take(PAGE, now.steady))
                self._begin(self._look_at_many(places), context=copy_context(), places=places)
            else:
                place.leave()
                context = place.item.context
                place.item.question = self._begin(self._look(place), context=context, places=[place])

    def _next(self, now: float) -> tuple[_Queue, Place[_Waiting], float] | None:
        """Return who is asked for next, and when."""
        next_shared = max(self._quiet_until, self._shared.next_at) if self._shares else self._quiet_until
        queues = ((self._urgent, 0.0), (self._alone, self._quiet_until), (self._queue, next_shared))
        firsts = [
            (queue, place, max(place.due, earliest))
            for queue, earliest in queues
            if (place := queue.first(now)) is not None
        ]
        return min(firsts, key=itemgetter(2), default=None)

    def _begin(
        self, question: Coroutine[Any, Any, None], *, context: Context, places: Sequence[Place[_Waiting]]
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(question, context=context)
        self._questions.add(task)
        task.add_done_callback(partial(self._answered, places))
        return task

    def _answered(self, places: Sequence[Place[_Waiting]], task: asyncio.Task[None]) -> None:
        """Go on after a question; one that failed unforeseen ends its waits with its error."""
        self._questions.discard(task)
        error = None if task.cancelled() else task.exception()
        for place in places:
            # One whose turn it was again at once has another by now.
            if place.item.question is task:
                place.item.question = None
            if task.cancelled():
                place.item.done.cancel()
            elif error is not None and not place.item.done.done():
                place.item.done.set_exception(error)
        if self._is_full:
            self._ask_who_is_due()

    async def _look(self, place: Place[_Waiting]) -> None:
        """Ask for one run."""
        wait = place.item.wait
        asked, hold = self._clock(), None
        seen: RunSnapshot | PollFailure
        try:
            async with self.connection.use() as hook:
                asked = self._clock()
                hold = wait.next_hold(asked, longest=self._longest_hold)
                exchange = hook.look_exchange(wait.execution_id, hold_seconds=hold, terms=wait.policy.terms)
                seen = await (await hook.aclient()).run(exchange, repetition=NO_REPETITION)
            self._shared.answered_alone()
        except LOOK_ERRORS as error:
            seen = failed_look(error, meter=self.connection.meter)
        self._settle(place, seen, asked=asked, hold=hold)

    async def _look_at_many(self, places: Sequence[Place[_Waiting]]) -> None:
        """Ask for many runs at once; those that the answer lacks are asked for by themselves."""
        asked = self._clock()
        # Several tasks may wait for the same run.
        execution_ids = dict.fromkeys(place.item.wait.execution_id for place in places)
        answer = await self._shared.ask(self.connection, list(execution_ids))
        for number, place in enumerate(places):
            seen = answer if isinstance(answer, PollFailure) else answer.get(place.item.wait.execution_id)
            if seen is None or (number == 0 and self._shared.is_in_doubt):
                if not place.item.done.done():
                    now = self._clock()
                    self._put(place, self._alone, due=now.steady, now=now)
                continue
            try:
                # It named no hold, so nothing is learned from it about holds.
                place.item.context.run(self._settle, place, seen, asked=asked, hold=None)
            except Exception as error:  # noqa: BLE001 - it is about this wait, and no other may end of it
                place.item.done.set_exception(error)

    @property
    def _longest_hold(self) -> float:
        """Seconds for which the service may hold an answer at present."""
        settings = self.connection.settings
        wished = settings.long_poll_seconds if settings else 0.0
        return min(wished, self._crowd.longest_hold(self._connections))

    def _settle(
        self, place: Place[_Waiting], seen: RunSnapshot | PollFailure, *, asked: Moment, hold: float | None
    ) -> None:
        """Do what the wait decides after a look, if it is still there."""
        self._open.remind()
        waiting, now = place.item, self._clock()
        if waiting.done.done():
            return
        least_pause = self._least_pause
        decision = decide(waiting.wait, seen, asked=asked, hold=hold, now=now, least_pause=least_pause)
        waiting.log.write(decision.notes)
        if isinstance(decision, End):
            waiting.done.set_result(decision)
            return
        if decision.refresh:
            self.connection.doubt(asked=asked.steady)
        if isinstance(seen, PollFailure) and seen.retry_after is not None:
            # A limit of requests holds for all that is asked with the same key.
            self._keep_quiet(min(seen.retry_after, LONGEST_RETRY_AFTER), now=now)
        remaining = waiting.wait.remaining(now)
        place.until = min(
            asked.steady + min(waiting.wait.policy.poll_interval, LONGEST_TURN), now.steady + remaining
        )
        # At the end of its time a run is asked for once more, whatever else is to be waited for.
        queue = self._urgent if decision.seconds >= remaining else self._queue_of(waiting.wait)
        self._put(place, queue, due=now.steady + decision.seconds, now=now)

    def _keep_quiet(self, seconds: float, *, now: Moment) -> None:
        """
        Ask for nothing for a while but for waits whose time ends before.

        In tenths of a second: what many waits are told within moments leads to one look at them all.
        """
        quiet_until = math.ceil(10 * (now.steady + seconds)) / 10
        if quiet_until <= self._quiet_until:
            return
        self._quiet_until = quiet_until
        for place in (*self._queue.places(), *self._alone.places()):
            if now.steady + place.item.wait.remaining(now) < quiet_until:
                self._put(place, self._queue_of(place.item.wait), due=place.due, now=now)


@dataclass(eq=False, kw_only=True, slots=True)
class _Shared:
    poller: StatusPoller
    users: int = 0


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_poller(system: str, conn_id: str) -> AsyncIterator[StatusPoller]:
    """
    Lend the poller of a connection on the running event loop; the last one to give it back closes it.

    :param system: a connection type of this package.
    :param conn_id: the Airflow connection.
    """
    pollers = _shared.setdefault(asyncio.get_running_loop(), {})
    key = (system, conn_id)
    shared = pollers.setdefault(key, _Shared(poller=StatusPoller(system, conn_id)))
    shared.users += 1
    try:
        yield shared.poller
    finally:
        shared.users -= 1
        if not shared.users:
            del pollers[key]
            await shared.poller.close()
