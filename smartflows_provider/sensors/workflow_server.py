"""The sensor for process instances of Workflow Server.

Waits for an instance that somebody else has created: a person, another system, a task with
``wait_for_completion=False``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from smartflows_provider.option_words import options_of
from smartflows_provider.sensors.base import FlowSensor
from smartflows_provider.systems import WORKFLOW_SERVER, WORKFLOW_SERVER_CONN_ID
from smartflows_provider.wire.workflow_server_terms import ProcessTerms


class WorkflowServerProcessSensor(FlowSensor):
    """
    Waits until a process instance has finished well, or has come to a state.

    Fails at once where the instance ends badly. The instance itself is never stopped, not even when the
    sensor's ``timeout`` passes.

    :param process_id: the instance (templated), ``run.output["execution_id"]`` say.
    :param success_states: states that mean success, as soon as the instance has come to one. With any given,
        one that is ``Finalized`` elsewhere has failed.
    :param failure_states: states that mean failure, as soon as the instance is in one.
    :param success_activities: as ``success_states``, for activities without a state.
    :param passed_states_count: False waits until the instance is in a state or activity right at a look,
        whatever it has come through before; for instances that come round to their states again.
    :param wait_for: ``finalized``, or ``idle`` to be content with an instance that is at rest, wherever that
        is; so it goes with neither ``success_states`` nor ``success_activities``.
    :param on_purged: where there is no such instance: ``fail``, or ``succeed`` where its scheme deletes what
        is finished. A process id that never was cannot be told from one that was purged.
    :param workflow_server_conn_id: the connection (templated).
    :param max_outage: seconds for which the server may be out of reach before the sensor fails.
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``. Else ``mode``
        counts, ``poke`` or ``reschedule``, with ``poke_interval``.
    :param resume_on_worker: False lets a deferrable sensor start and succeed in the triggerer, without a
        worker process, where a worker would have nothing to do; True starts it on one, and always resumes it
        on one.
    :returns: ``{"execution_id", "status", "url"}``.
    :raises AirflowSensorTimeout: at the sensor's ``timeout``; no retry follows.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    system = WORKFLOW_SERVER
    conn_id_field = "workflow_server_conn_id"
    execution_id_field = "process_id"
    template_fields: Sequence[str] = ("process_id", "workflow_server_conn_id")

    def __init__(
        self,
        *,
        process_id: str,
        success_states: Sequence[str] = (),
        failure_states: Sequence[str] = (),
        success_activities: Sequence[str] = (),
        passed_states_count: bool = True,
        wait_for: Literal["finalized", "idle"] = "finalized",
        on_purged: Literal["succeed", "fail"] = "fail",
        workflow_server_conn_id: str = WORKFLOW_SERVER_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.success_states = success_states
        self.failure_states = failure_states
        self.success_activities = success_activities
        self.passed_states_count = passed_states_count
        self.wait_for = wait_for
        self.on_purged = on_purged
        with options_of(self.task_id):
            self.run_terms()
        self.process_id = process_id
        self.workflow_server_conn_id = workflow_server_conn_id

    def run_terms(self) -> dict[str, Any]:
        """Return what the instance is watched by."""
        return ProcessTerms(
            success_states=_names(self.success_states),
            failure_states=_names(self.failure_states),
            success_activities=_names(self.success_activities),
            passed_states_count=self.passed_states_count,
            wait_for=self.wait_for,
            on_purged=self.on_purged,
        ).as_dict()


def _names(value: Any) -> Any:
    """Return a list as the terms hold it; what is none is refused there."""
    return tuple(value) if isinstance(value, list) else value
