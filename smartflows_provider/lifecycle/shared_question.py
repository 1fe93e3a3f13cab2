"""One question about many runs, where a connection allows it.

That the service can be asked so is inferred, so a connection has to say ``batch_status``, and the question
decides nothing but statuses: whatever else happens, runs are asked for one by one. Invariants: a question
that the service does not understand is not asked again; a passing failure is one of all runs that were asked
for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from smartflows_provider.exceptions import FlowConfigurationError, FlowConnectionError
from smartflows_provider.lifecycle.looking import failed_look
from smartflows_provider.transport.errors import AnswerPacked, AnswerTooLarge, TransportError
from smartflows_provider.transport.repetition import NO_REPETITION
from smartflows_provider.waiting.failures import PollFailure
from smartflows_provider.wire.errors import KeyRefused, ServiceFault, Throttled, WireError
from smartflows_provider.wire.run import RunSnapshot

if TYPE_CHECKING:
    from smartflows_provider.lifecycle.shared_connection import SharedConnection

log = logging.getLogger(__name__)

_PASSING = frozenset({502, 503, 504})
"""Answers of something before the service, or of one that is just starting."""
FAILURES = 3
"""How many questions in a row must fail until runs are asked for one by one as well: the service may be well
and only the question too much for it."""
TELLING = 10
"""How many runs must be asked for until it tells something that an answer lacks most of them."""


class SharedQuestion:
    """
    Asks for many runs at once for as long as that works.

    :param conn_id: the Airflow connection, for messages.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._failures = 0
        self._works_alone = False
        self.works = True
        """Whether the service has understood every question so far."""
        self.next_at = 0.0
        """When the next one may be asked, by the steady clock."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether it has failed so often that one run is to show whether the service tells about it alone."""
        return self._failures >= FAILURES

    def answered_alone(self) -> None:
        """Note that the service has told about a run that was asked for by itself."""
        self._works_alone = self.is_in_doubt

    async def ask(
        self, connection: SharedConnection, execution_ids: Sequence[str]
    ) -> Mapping[str, RunSnapshot] | PollFailure:
        """
        Ask once.

        :param connection: the connection.
        :param execution_ids: the runs.
        :returns: what was found, or the failure of all.
        """
        try:
            async with connection.use() as hook:
                exchange = hook.look_all_exchange(execution_ids)
                found = await (await hook.aclient()).run(exchange, repetition=NO_REPETITION)
        except (AnswerTooLarge, AnswerPacked) as error:
            self._give_up(str(error))
            return {}
        except (TransportError, Throttled, FlowConnectionError) as error:
            return self._passing(failed_look(error, meter=connection.meter))
        except (KeyRefused, FlowConfigurationError):
            # Each wait finds out for itself, and looks at its connection again.
            return {}
        except (WireError, NotImplementedError) as error:
            if isinstance(error, ServiceFault) and error.status in _PASSING:
                return self._passing(failed_look(error, meter=connection.meter))
            self._give_up(str(error))
            return {}
        self._failures, self._works_alone = 0, False
        if len(execution_ids) >= TELLING and 2 * len(found) < len(execution_ids):
            self._give_up(f"of {len(execution_ids)} executions the answer names {len(found)}")
        return found

    def _passing(self, failure: PollFailure) -> PollFailure | Mapping[str, RunSnapshot]:
        """
        Return what a failure means: an outage, or after some in a row perhaps a question too much.

        Where the service says when to ask again, one run shows which.
        """
        self._failures += 1
        if not self.is_in_doubt:
            return failure
        if failure.retry_after is None:
            return {}
        if not self._works_alone:
            return failure
        self._give_up(f"{failure.text}; asked for by itself, a run is told about")
        return {}

    def _give_up(self, reason: str) -> None:
        self.works = False
        log.warning(
            "With the connection %s each execution is asked for by itself from now on; batch_status does not "
            "work there: %s",
            self._conn_id,
            reason,
        )
