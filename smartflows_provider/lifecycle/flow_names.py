"""Which flow each watcher of a connection means, where it gave a name.

Names are looked up for all watchers at once, and seldom: a flow may be made, renamed or copied while it is
watched. Invariants: an id is taken as it is; where a name means several flows, none of them is taken for the
one that is meant; a problem is logged once, and so is its end; a look-up that the service refuses stops
nobody.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence

from smartflows_provider.wire.errors import FlowAmbiguous, FlowNotFound
from smartflows_provider.wire.run import Execution, Reference
from smartflows_provider.wire.smart_flows import flow_among, is_flow_id

log = logging.getLogger(__name__)

LOOK_UP_AGAIN = 300.0
"""Seconds after which names are looked up again where each means one flow."""
TRY_AGAIN = 60.0
"""The same where one means none, or several."""


class FlowNames:
    """
    What the names of flows mean at present.

    :param conn_id: the Airflow connection, for messages.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._flows: dict[str, Reference] = {}
        self._problems: dict[str, str] = {}
        self._ambiguous: set[str] = set()
        self._others: set[str] = set()
        """Flows of a watched name for which names were looked up."""
        self._cannot_tell = False
        self._looked_up_at = -math.inf

    def are_due(self, flows: Collection[str], *, now: float) -> bool:
        """
        Tell whether names are to be looked up.

        :param flows: all that is watched, ids or names.
        :param now: by a steady clock, in seconds.
        """
        names = [flow for flow in flows if not is_flow_id(flow)]
        if not names:
            return False
        is_new = any(name not in self._flows and name not in self._problems for name in names)
        pause = TRY_AGAIN if self._problems else LOOK_UP_AGAIN
        return (is_new and not self._cannot_tell) or now >= self._looked_up_at + pause

    def doubted(self, executions: Sequence[Execution]) -> frozenset[str]:
        """
        Return flows for which names are to be looked up before executions are judged by them.

        A flow may have taken the place of the one of its name.

        :param executions: as they were listed.
        """
        others = {
            execution.flow.id
            for execution in executions
            if (found := self._flows.get(execution.flow.name)) is not None and found.id != execution.flow.id
        }
        return frozenset(others - self._others)

    def settled(self, doubted: Collection[str]) -> None:
        """Doubt for such flows no more: names were looked up."""
        self._others.update(doubted)

    def learn(self, there_are: Sequence[Reference], flows: Collection[str], *, now: float) -> None:
        """
        Take the project's flows in.

        :param there_are: the project's flows.
        :param flows: all that is watched, ids or names.
        :param now: by a steady clock, in seconds.
        """
        self._looked_up_at, self._cannot_tell = now, False
        self._ambiguous.clear()
        was_wrong, self._problems, self._flows = self._problems, {}, {}
        for name in flows:
            if is_flow_id(name):
                continue
            try:
                self._flows[name] = flow_among(there_are, name)
            except (FlowNotFound, FlowAmbiguous) as error:
                self._note_problem(name, error, was_wrong.get(name))
                continue
            if name in was_wrong:
                log.info("Connection %s: %r now is the flow %s.", self._conn_id, name, self._flows[name].id)

    def refused(self, why: Exception, *, now: float) -> None:
        """
        Go on with the names that executions show, because the service does not list its flows.

        :param why: its answer.
        :param now: by a steady clock, in seconds.
        """
        if not self._cannot_tell:
            log.warning(
                "Connection %s: the flows cannot be listed, so names of flows are compared with those that "
                "executions show, and two flows of one name are not told apart: %s",
                self._conn_id,
                why,
            )
        self._looked_up_at, self._cannot_tell = now, True

    def means(self, flow: str, execution: Execution) -> bool:
        """
        Tell whether an execution is one of a watched flow.

        :param flow: id or name.
        """
        if is_flow_id(flow):
            return execution.flow.id.casefold() == flow.casefold()
        if flow in self._ambiguous:
            return False
        found = self._flows.get(flow)
        if found is not None:
            return execution.flow.id == found.id
        # Not looked up, or made after the last look-up.
        return flow in {execution.flow.name, execution.flow.id}

    def _note_problem(self, name: str, error: FlowNotFound | FlowAmbiguous, was_wrong: str | None) -> None:
        self._problems[name] = str(error)
        if isinstance(error, FlowAmbiguous):
            self._ambiguous.add(name)
        if was_wrong != str(error):
            log.error(
                "Connection %s: nothing fires for the flow %r at present: %s It is looked up again "
                "each minute.",
                self._conn_id,
                name,
                error,
            )
