"""The operators for OCP flows (Omilia Cloud Platform).

They read, create, change and delete flows, and wait for nothing; the sensor does. This module is imported at
every DAG parse, so it imports nothing heavy at its top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from smartflows_provider.operators.base import FlowOperator
from smartflows_provider.option_words import check_word, options_of
from smartflows_provider.systems import OCP, OCP_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

IfExists = Literal["fail", "skip", "update"]
IfMissing = Literal["fail", "skip"]


def check_one_flow(*, flow_id: Any, name: Any, group: Any) -> None:
    """
    Check at parse time that a flow is named, and in one way only.

    :raises ValueError: if it is not.
    """
    if (flow_id is None) == (name is None):
        raise ValueError("a flow is named by flow_id or by name, and by one of them only")
    if group is not None and name is None:
        raise ValueError("group narrows a name down, so it goes with name only")


class _OcpOperator(FlowOperator):
    """What all operators for OCP flows share."""

    system = OCP
    conn_id_field = "ocp_conn_id"

    def __init__(self, *, ocp_conn_id: str = OCP_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ocp_conn_id = ocp_conn_id


class _OnFlowOperator(_OcpOperator):
    """What the operators share that are about a flow that is there."""

    def __init__(
        self, *, flow_id: str | None = None, name: str | None = None, group: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.flow_id = flow_id
        self.name = name
        self.group = group
        with options_of(self.task_id):
            check_one_flow(flow_id=flow_id, name=name, group=group)


class OcpGetFlowOperator(_OnFlowOperator):
    """
    Reads a flow.

    :param flow_id: the flow (templated); or
    :param name: its name, in any case (templated).
    :param group: its group, in any case, where the name alone does not tell (templated).
    :param ocp_conn_id: the connection (templated).
    :returns: ``{"flow_id", "name", "group", "input_fields", "output_fields", "canvas_id"}``; what the
        platform does not show is None.
    :raises FlowNotFoundError: if there is no such flow; no retry helps.
    :raises FlowAmbiguousError: if several have the name; the message lists them. No retry helps.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = ("flow_id", "name", "group", "ocp_conn_id")

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the flow."""
        from smartflows_provider.operators.on_ocp_flow import get_flow_for

        del context
        return get_flow_for(self)


class OcpCreateFlowOperator(_OcpOperator):
    """
    Creates a flow, if there is none of its name yet.

    The name is looked up before anything is sent. A creation is sent once: where its answer is lost, the
    platform is asked whether the flow is there, and a flow with the same fields is taken for the one that
    was created. With ``if_exists`` ``skip`` or ``update`` the task can be repeated at will; with ``fail`` a
    repeated task fails also where an earlier attempt has created the flow and ended before it could say so.

    :param name: letters A to Z, digits and underscores (templated).
    :param input_fields: names of its input fields: a list, or JSON text of one; None for none (templated).
    :param output_fields: names of its output fields, likewise (templated).
    :param if_exists: where a flow of the name is there: ``fail``; ``skip``, leave it as it is; or ``update``,
        replace those of its fields that are given, if they differ, for which its id must be shown. Several
        flows of the name are an error always.
    :param ocp_conn_id: the connection (templated).
    :returns: the flow as :class:`OcpGetFlowOperator` does, with ``action``: ``created``, ``skipped`` or
        ``updated``; ``skipped`` also where nothing differs.
    :raises FlowRequestRefusedError: if there is a flow of the name, or the platform does not take it; no
        retry helps.
    :raises FlowSubmissionUnclearError: if the answer was lost, and a flow of the name with other fields, or
        several, are there now; no retry by itself.
    :raises FlowServiceError: if the answer was lost and no such flow is there; a retry looks before it
        creates one.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = ("name", "input_fields", "output_fields", "ocp_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"input_fields": "json", "output_fields": "json"}

    def __init__(
        self,
        *,
        name: str,
        input_fields: Sequence[str] | str | None = None,
        output_fields: Sequence[str] | str | None = None,
        if_exists: IfExists = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.input_fields = input_fields
        self.output_fields = output_fields
        self.if_exists = if_exists
        with options_of(self.task_id):
            check_word("if_exists", if_exists, get_args(IfExists))

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the flow."""
        from smartflows_provider.operators.on_ocp_flow import create_flow_for

        del context
        return create_flow_for(self)


class OcpUpdateFlowOperator(_OnFlowOperator):
    """
    Replaces the fields of a flow. Harmless to repeat.

    :param flow_id: the flow (templated); or
    :param name: its name, in any case (templated); the platform must show the flow's id.
    :param group: its group, in any case, where the name alone does not tell (templated).
    :param input_fields: names of its input fields: a list, or JSON text of one; None keeps those that it has
        (templated).
    :param output_fields: names of its output fields, likewise (templated).
    :param ocp_conn_id: the connection (templated).
    :returns: the flow as :class:`OcpGetFlowOperator` does.
    :raises FlowNotFoundError: if there is no such flow; no retry helps.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = (
        "flow_id",
        "name",
        "group",
        "input_fields",
        "output_fields",
        "ocp_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"input_fields": "json", "output_fields": "json"}

    def __init__(
        self,
        *,
        input_fields: Sequence[str] | str | None = None,
        output_fields: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_fields = input_fields
        self.output_fields = output_fields
        if input_fields is None and output_fields is None:
            raise ValueError(f"{self.task_id}: neither input_fields nor output_fields is given.")

    def execute(self, context: Context) -> dict[str, Any]:
        """Replace the fields."""
        from smartflows_provider.operators.on_ocp_flow import update_flow_for

        del context
        return update_flow_for(self)


class OcpDeleteFlowOperator(_OnFlowOperator):
    """
    Deletes a flow.

    A deletion is sent once: where its answer is lost, the platform is asked whether the flow is still there.

    :param flow_id: the flow (templated); or
    :param name: its name, in any case (templated); the platform must show the flow's id.
    :param group: its group, in any case, where the name alone does not tell (templated).
    :param if_missing: where there is no such flow: ``fail``, or ``skip``, which lets the task be repeated at
        will. A wrong API prefix of the connection looks like a missing flow.
    :param ocp_conn_id: the connection (templated).
    :returns: ``{"flow_id", "deleted"}``; ``flow_id`` is None, and ``deleted`` False, where there was no flow
        of the name.
    :raises FlowNotFoundError: if there is no such flow; no retry helps.
    :raises FlowRequestRefusedError: if apps or flows use it; the message lists them. No retry helps.
    :raises FlowServiceError: if the answer was lost and the flow is still there, or that cannot be told; a
        retry tries again.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = ("flow_id", "name", "group", "ocp_conn_id")

    def __init__(self, *, if_missing: IfMissing = "fail", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.if_missing = if_missing
        with options_of(self.task_id):
            check_word("if_missing", if_missing, get_args(IfMissing))

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the flow."""
        from smartflows_provider.operators.on_ocp_flow import delete_flow_for

        del context
        return delete_flow_for(self)
