"""The sensor for the status of an OCP flow (Omilia Cloud Platform).

The platform deploys, starts and stops flows by itself or by people; here it is waited for. This module is
imported at every DAG parse, so it imports nothing heavy at its top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from smartflows_provider.operators.ocp import check_one_flow
from smartflows_provider.option_words import check_word, options_of
from smartflows_provider.sensors.base import FlowSensor
from smartflows_provider.systems import OCP, OCP_CONN_ID

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.hooks.ocp import OcpHook

Status = Literal["started", "stopped", "not-deployed"]
STATUSES: tuple[Status, ...] = ("started", "stopped", "not-deployed")
"""Those that the vendor documents."""


class OcpFlowStatusSensor(FlowSensor):
    """
    Waits until a flow has a status. Nothing is done to the flow.

    A status that the vendor does not document is waited through, with a warning in the log. A flow that does
    not exist, or no longer, fails the sensor at once.

    :param flow_id: the flow (templated); or
    :param name: its name, in any case (templated); the platform must show the flow's id. The name is looked
        up when an attempt begins, in ``reschedule`` mode at each look, and such a sensor starts on a worker.
    :param group: its group, in any case, where the name alone does not tell (templated).
    :param target_status: ``started``, ``stopped`` or ``not-deployed``.
    :param failure_statuses: those of them that end the wait as a failure, as soon as the flow has one.
    :param ocp_conn_id: the connection (templated).
    :param max_outage: seconds for which the platform may be out of reach before the sensor fails.
    :param deferrable: wait in the triggerer; default from ``[operators] default_deferrable``. Else ``mode``
        counts, ``poke`` or ``reschedule``, with ``poke_interval``.
    :param resume_on_worker: False lets a deferrable sensor start and succeed in the triggerer, without a
        worker process, where a worker would have nothing to do; True starts it on one, and always resumes it
        on one.
    :returns: ``{"execution_id", "status", "url"}``; ``execution_id`` is the flow's id.
    :raises AirflowSensorTimeout: at the sensor's ``timeout``; no retry follows.
    :raises FlowExecutionFailedError: for one of ``failure_statuses``.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    system = OCP
    conn_id_field = "ocp_conn_id"
    execution_id_field = "flow_id"
    template_fields: Sequence[str] = ("flow_id", "name", "group", "ocp_conn_id")

    def __init__(
        self,
        *,
        flow_id: str | None = None,
        name: str | None = None,
        group: str | None = None,
        target_status: Status = "started",
        failure_statuses: Sequence[Status] = (),
        ocp_conn_id: str = OCP_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.group = group
        self.target_status = target_status
        self.failure_statuses = failure_statuses
        with options_of(self.task_id):
            check_one_flow(flow_id=flow_id, name=name, group=group)
            self._check_statuses()
        self.flow_id = flow_id
        self.ocp_conn_id = ocp_conn_id

    def find_execution_id(self, hook: FlowSystemHook) -> str:
        """Return the flow's id; called on a worker."""
        from smartflows_provider.operators.on_ocp_flow import find_flow_id

        return find_flow_id(cast("OcpHook", hook), flow_id=self.flow_id, name=self.name, group=self.group)

    def run_terms(self) -> dict[str, Any]:
        """Return which status is waited for."""
        return {"target": self.target_status, "failure": list(self.failure_statuses)}

    def _check_statuses(self) -> None:
        check_word("target_status", self.target_status, STATUSES)
        if not isinstance(self.failure_statuses, list | tuple):
            what = f"failure_statuses is {self.failure_statuses!r}; it takes a list of statuses"
            raise ValueError(what)  # noqa: TRY004 - as for every option that cannot be used
        for status in self.failure_statuses:
            check_word("failure_statuses", status, STATUSES)
        if self.target_status in self.failure_statuses:
            raise ValueError(f"{self.target_status!r} is waited for, so it cannot be a failure too")
