"""The sensor for Smart Flows executions.

Waits for an execution that somebody else has started: a person, another system, a task with
``wait_for_completion=False``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smartflows_provider.sensors.base import FlowSensor
from smartflows_provider.systems import SMART_FLOWS, SMART_FLOWS_CONN_ID


class SmartFlowsExecutionSensor(FlowSensor):
    """
    Waits until an execution has finished well.

    Fails at once where the execution ends badly. The execution itself is never cancelled, not even when the
    sensor's ``timeout`` passes.

    :param execution_id: the execution (templated), ``run_flow.output["execution_id"]`` say.
    :param smart_flows_conn_id: the connection (templated).
    :param on_warning: ``succeed`` or ``fail`` where the execution ends with warnings.
    :param on_user_input: ``wait`` for a person, or ``fail`` where one is needed.
    :param max_outage: seconds for which the service may be out of reach before the sensor fails.
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``. Else
        ``mode`` counts, ``poke`` or ``reschedule``, with ``poke_interval``.
    :param resume_on_worker: False lets a deferrable sensor start and succeed in the triggerer, without a
        worker process, where a worker would have nothing to do, see ``docs/processes.md``; True starts
        it on one, and always resumes it on one.
    :returns: ``{"execution_id", "status", "url"}``.
    :raises AirflowSensorTimeout: at the sensor's ``timeout``; no retry follows.
    :raises FlowTimeoutError: at its ``execution_timeout``, if that is shorter and the sensor is deferred; a
        retry has a new time limit.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    system = SMART_FLOWS
    conn_id_field = "smart_flows_conn_id"
    template_fields: Sequence[str] = ("execution_id", "smart_flows_conn_id")

    def __init__(
        self, *, execution_id: str, smart_flows_conn_id: str = SMART_FLOWS_CONN_ID, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.execution_id = execution_id
        self.smart_flows_conn_id = smart_flows_conn_id
