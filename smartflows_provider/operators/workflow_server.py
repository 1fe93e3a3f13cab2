"""The operators for Workflow Server.

They stay thin: what every remote run has in common is in
:class:`smartflows_provider.operators.base.RunOperator`. This module is imported at every DAG parse, so it
imports nothing heavy at its top. Invariant: an instance's id follows from the task instance, so that no
attempt creates a second one by accident.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from smartflows_provider.operators.base import TEMPLATED, FlowOperator, RunOperator
from smartflows_provider.option_words import options_of
from smartflows_provider.systems import WORKFLOW_SERVER, WORKFLOW_SERVER_CONN_ID
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from smartflows_provider.operators.run_process import ProcessRun


class WorkflowServerRunProcessOperator(RunOperator):
    """
    Creates a process instance, waits for its end and takes its parameters along.

    The instance's id follows from the task instance, so a creation whose answer was lost is repeated without
    harm. An instance is finished when it is ``Finalized``, or as soon as it has come to a state or activity
    that is named here. An instance that is at rest, for a command or a timer, is not finished, unless
    ``wait_for="idle"``. What :class:`smartflows_provider.operators.base.RunOperator` takes besides
    (``deferrable``, ``timeout``, ``poll_interval``, ``outputs``, …) means the same here.

    :param scheme_code: code of the scheme (templated).
    :param parameters: initial process parameters, by name; text is JSON (templated).
    :param persist: names of parameters that are kept with the instance; the others last until it rests
        (templated).
    :param identity_id: in whose name it is created and stopped (templated).
    :param impersonated_identity_id: for whom the former acts (templated).
    :param scheme_parameters: for servers that generate schemes: a mapping, or JSON text (templated).
    :param success_states: states that mean success, as soon as the instance has come to one (templated). With
        any given, one that is ``Finalized`` elsewhere has failed.
    :param failure_states: states that mean failure, as soon as the instance is in one (templated).
    :param success_activities: as ``success_states``, for activities without a state (templated).
    :param wait_for: ``finalized``, or ``idle`` to be content with an instance that is at rest, wherever that
        is; so it goes with neither ``success_states`` nor ``success_activities``.
    :param on_kill: how the instance is stopped when the task is, or gives up on it: ``none``, ``delete``, or
        ``set_state:`` with the name of a state of the scheme that is there for the purpose.
    :param on_purged: where the instance was created and is there no more, because its scheme deletes what is
        finished: ``succeed`` or ``fail``. None means ``succeed``, but ``fail`` where states or activities are
        named, since in which of them it ended is not known; with ``on_kill="delete"`` it counts as stopped.
    :param cancel_on_timeout: False keeps an instance that this task gives up on, whatever ``on_kill`` says.
    :param workflow_server_conn_id: the connection (templated).
    :returns: the manifest, see ``docs/manifest.md``; its values are ``state``, ``activity``, ``parameters``,
        ``transitions`` and ``history``.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    system = WORKFLOW_SERVER
    conn_id_field = "workflow_server_conn_id"
    template_fields: Sequence[str] = (
        "scheme_code",
        "parameters",
        "persist",
        "identity_id",
        "impersonated_identity_id",
        "scheme_parameters",
        "success_states",
        "failure_states",
        "success_activities",
        "workflow_server_conn_id",
        *TEMPLATED,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "parameters": "json",
        "persist": "json",
        "scheme_parameters": "json",
        "success_states": "json",
        "failure_states": "json",
        "success_activities": "json",
        "outputs": "json",
    }

    def __init__(
        self,
        *,
        scheme_code: str,
        parameters: Mapping[str, Any] | str | None = None,
        persist: Sequence[str] = (),
        identity_id: str | None = None,
        impersonated_identity_id: str | None = None,
        scheme_parameters: Mapping[str, Any] | str | None = None,
        success_states: Sequence[str] = (),
        failure_states: Sequence[str] = (),
        success_activities: Sequence[str] = (),
        wait_for: Literal["finalized", "idle"] = "finalized",
        on_kill: str = "none",
        on_purged: Literal["succeed", "fail"] | None = None,
        cancel_on_timeout: bool = True,
        workflow_server_conn_id: str = WORKFLOW_SERVER_CONN_ID,
        **kwargs: Any,
    ) -> None:
        if "cancel_on_kill" in kwargs:
            task_id = kwargs.get("task_id")
            raise ValueError(f"{task_id}: on_kill says how a process is stopped; leave out cancel_on_kill.")
        stops = on_kill != "none"
        super().__init__(cancel_on_kill=stops, cancel_on_timeout=stops and cancel_on_timeout, **kwargs)
        self.workflow_server_conn_id = workflow_server_conn_id
        self.scheme_code = scheme_code
        self.parameters = parameters
        self.persist = persist
        self.identity_id = identity_id
        self.impersonated_identity_id = impersonated_identity_id
        self.scheme_parameters = scheme_parameters
        self.success_states = success_states
        self.failure_states = failure_states
        self.success_activities = success_activities
        self.wait_for = wait_for
        # The base class has a method of the argument's name.
        self.stopped_by = on_kill
        self.on_purged = on_purged
        self._check_terms()

    def make_run(self, context: Context) -> ProcessRun:
        """Return one attempt of the task."""
        from smartflows_provider.operators.run_process import ProcessRun

        return ProcessRun(self, context)

    def run_terms(self) -> dict[str, Any]:
        """Return what the instance is watched and stopped by, as templates have filled it in."""
        from smartflows_provider.operators.run_process import terms_of

        return terms_of(self).as_dict()

    def _check_terms(self) -> None:
        """Refuse at parse time what cannot work; lists that templates or other tasks bring are seen later."""
        given: dict[str, Any] = {
            name: tuple(value)
            for name in ("success_states", "failure_states", "success_activities")
            if isinstance(value := getattr(self, name), list | tuple)
        }
        for name in ("success_states", "failure_states", "success_activities", "persist"):
            if isinstance(value := getattr(self, name), str) and not set(value) & set("[{"):
                raise ValueError(f"{self.task_id}: {name} is {value!r}; it takes a list of names.")
        with options_of(self.task_id):
            ProcessTerms(wait_for=self.wait_for, on_kill=self.stopped_by, on_purged=self.on_purged, **given)


class _ProcessOperator(FlowOperator):
    """What the operators share that act on an instance that is there."""

    system = WORKFLOW_SERVER
    conn_id_field = "workflow_server_conn_id"

    def __init__(
        self, *, process_id: str, workflow_server_conn_id: str = WORKFLOW_SERVER_CONN_ID, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.process_id = process_id
        self.workflow_server_conn_id = workflow_server_conn_id


class _ActingOperator(_ProcessOperator):
    """What the operators share that move an instance on in somebody's name."""

    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json", "persist": "json"}

    def __init__(
        self,
        *,
        parameters: Mapping[str, Any] | str | None = None,
        persist: Sequence[str] = (),
        identity_id: str | None = None,
        impersonated_identity_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.parameters = parameters
        self.persist = persist
        self.identity_id = identity_id
        self.impersonated_identity_id = impersonated_identity_id


class WorkflowServerExecuteCommandOperator(_ActingOperator):
    """
    Has a process instance carry out a command.

    A command that the instance does not take now is refused before it is sent, with those that it takes. A
    command is sent once; where its answer is lost the task fails without a retry, and says how the instance
    stands.

    :param process_id: the instance (templated), ``run.output["execution_id"]`` say.
    :param command: name of the command (templated).
    :param parameters: process parameters that are set with it, by name; text is JSON (templated).
    :param persist: names of parameters that are kept with the instance (templated).
    :param identity_id: in whose name (templated).
    :param impersonated_identity_id: for whom the former acts (templated).
    :param workflow_server_conn_id: the connection (templated).
    :returns: ``{"process_id", "command", "status", "state", "activity"}`` as the server answers; the last
        three are None where it does not say.
    :raises FlowRequestRefusedError: if the command is not available, or the server says that it was not
        executed; no retry helps.
    :raises FlowSubmissionUnclearError: if the answer was lost, so that a retry might give it twice.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = (
        "process_id",
        "command",
        "parameters",
        "persist",
        "identity_id",
        "impersonated_identity_id",
        "workflow_server_conn_id",
    )

    def __init__(self, *, command: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = command

    def execute(self, context: Context) -> dict[str, Any]:
        """Carry the command out."""
        from smartflows_provider.operators.on_process import execute_command_for

        del context
        return execute_command_for(self)


class WorkflowServerSetStateOperator(_ActingOperator):
    """
    Puts a process instance into a state, whatever its scheme would do next.

    It is sent once; where the answer is lost the task fails without a retry, and says how the instance
    stands.

    :param process_id: the instance (templated).
    :param state: name of the state (templated).
    :param parameters: process parameters that are set with it, by name; text is JSON (templated).
    :param persist: names of parameters that are kept with the instance (templated).
    :param identity_id: in whose name (templated).
    :param impersonated_identity_id: for whom the former acts (templated).
    :param workflow_server_conn_id: the connection (templated).
    :returns: ``{"process_id", "status", "state", "activity"}`` as the instance is afterwards; the last three
        are None where it is there no more, or cannot be read.
    :raises FlowRequestRefusedError: if the server does not set it; the message lists the states that it
        offers. No retry helps.
    :raises FlowSubmissionUnclearError: if the answer was lost, so that a retry might enter it twice.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = (
        "process_id",
        "state",
        "parameters",
        "persist",
        "identity_id",
        "impersonated_identity_id",
        "workflow_server_conn_id",
    )

    def __init__(self, *, state: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state = state

    def execute(self, context: Context) -> dict[str, Any]:
        """Set the state."""
        from smartflows_provider.operators.on_process import set_state_for

        del context
        return set_state_for(self)


class WorkflowServerSetParameterOperator(_ProcessOperator):
    """
    Gives a process parameter of an instance a value. Harmless to repeat.

    :param process_id: the instance (templated).
    :param parameter: name of the parameter (templated).
    :param value: its value; text goes as it is, anything else as JSON (templated).
    :param workflow_server_conn_id: the connection (templated).
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = ("process_id", "parameter", "value", "workflow_server_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"value": "json"}

    def __init__(self, *, parameter: str, value: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parameter = parameter
        self.value = value

    def execute(self, context: Context) -> None:
        """Set the parameter."""
        from smartflows_provider.operators.on_process import set_parameter_for

        del context
        set_parameter_for(self)


class WorkflowServerGetParameterOperator(_ProcessOperator):
    """
    Returns the value of a process parameter of an instance.

    :param process_id: the instance (templated).
    :param parameter: name of the parameter (templated).
    :param workflow_server_conn_id: the connection (templated).
    :returns: the value, as the server answers it.
    :raises FlowException: one of its kinds; each class says whether a retry helps.
    """

    template_fields: Sequence[str] = ("process_id", "parameter", "workflow_server_conn_id")

    def __init__(self, *, parameter: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parameter = parameter

    def execute(self, context: Context) -> Any:
        """Read the parameter."""
        from smartflows_provider.operators.on_process import get_parameter_for

        del context
        return get_parameter_for(self)
