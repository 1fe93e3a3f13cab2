"""The hook for Workflow Server (OptimaJet).

Every method exists twice, blocking and with the prefix ``a`` for ``async``, over the same call of
``wire.workflow_server``. Errors come as the tree of ``smartflows_provider.exceptions``. Invariant: the Api
access token is sent in request bodies only, and to no other origin than the connection's host and its
``token_url``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from smartflows_provider.exceptions import FlowException, SystemHints
from smartflows_provider.hooks.base import FlowSystemHook
from smartflows_provider.output.extractor import FlowError, Output, plain_values
from smartflows_provider.systems import WORKFLOW_SERVER, WORKFLOW_SERVER_CONN_ID, WORKFLOW_SERVER_LABEL
from smartflows_provider.wire import workflow_server as wire
from smartflows_provider.wire.grants import Grant, origin_of
from smartflows_provider.wire.run import NO_TERMS, Execution, RunSnapshot, Terms
from smartflows_provider.wire.workflow_server_process import Process, read_process, why_failed
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

if TYPE_CHECKING:
    from smartflows_provider.hooks.connection import ConnectionReader
    from smartflows_provider.transport.settings import ClientSettings
    from smartflows_provider.wire.messages import Exchange

T = TypeVar("T")

DEFAULT_CLIENT_ID = "workflowapi"


class ActingOptions(TypedDict, total=False):
    """What may go with a command or a state."""

    parameters: Mapping[str, Any] | None
    persist: Sequence[str]
    identity_id: str | None
    impersonated_identity_id: str | None


class CreationOptions(ActingOptions, total=False):
    """What may go with a creation."""

    scheme_parameters: Mapping[str, Any] | str | None


class WorkflowServerHook(FlowSystemHook):
    """
    Speaks to one Workflow Server.

    :param workflow_server_conn_id: a connection of the type ``workflowserver``: host, port, the Api access
        token as password where the server asks for one; extras as the connection form lists them.
    """

    conn_name_attr = "workflow_server_conn_id"
    default_conn_name = WORKFLOW_SERVER_CONN_ID
    conn_type = WORKFLOW_SERVER
    hook_name = WORKFLOW_SERVER_LABEL
    system = WORKFLOW_SERVER_LABEL
    success_stands = True
    hints = SystemHints(
        credential="Api access token",
        key="Put the server's Api access token into the connection's password; the admin panel shows it on "
        "its dashboard.",
        denied="Look at the access settings in the server's admin panel, and at the connection's extra "
        "'access'.",
        not_found="Check the process id, and the connection's API prefix; a scheme may delete what is "
        "finished.",
        refused_start="Mend what the server names: usually the scheme code, a parameter, or where the server "
        "reads arguments (the connection's extra 'arguments_in').",
        flow_gone="Check the scheme code; schemes may differ between environments.",
        find_run="Find this task's process at the server, stop it or take its output",
        clean_up="the scheme's own settings",
        cancel_off="as on_kill='none' asks",
        timeout_off="as on_kill='none' or cancel_on_timeout=False asks",
        wait="Wait for it with WorkflowServerProcessSensor; a retry looks again.",
    )

    def __init__(self, workflow_server_conn_id: str = default_conn_name) -> None:
        super().__init__(workflow_server_conn_id)
        self.workflow_server_conn_id = workflow_server_conn_id
        self._dialect = wire.DEFAULT_DIALECT

    def read_settings(self, reader: ConnectionReader) -> ClientSettings:
        """Return how to reach the server, from the connection's fields."""
        self._dialect = wire.Dialect(
            arguments_in=reader.word("arguments_in", ("query", "body")), tenant_id=reader.text("tenant_id")
        )
        access = reader.word("access", ("none", "token", "openid"))
        client_id = reader.text("client_id", DEFAULT_CLIENT_ID)
        token_address = reader.token_address(example="https://workflow.example.com/connect/token")
        more: dict[str, Any] = {}
        if access == "none" and reader.secret:
            raise reader.error(
                "The connection has an Api access token, but its extra 'access' is 'none'.",
                "Set it to 'token' or 'openid', as the server's admin panel says, or empty the password.",
            )
        if access != "none":
            # It is no header, but what cannot stand in one is none of the server's tokens either.
            secret = reader.password
            if access == "token":
                more["auth_fields"] = {wire.TOKEN_FIELD: secret}
            else:
                more["grant"] = Grant(
                    origin=token_address[0] if token_address else origin_of(reader.base_url()),
                    token_path=token_address[1] if token_address else None,
                    form={
                        "client_id": client_id or DEFAULT_CLIENT_ID,
                        "client_secret": secret,
                        "grant_type": "client_credentials",
                    },
                )
        more["hook_fields"] = (self._dialect,)
        return reader.settings(api_prefix=wire.API_PREFIX, tells_failure=wire.is_failure, **more)

    def look_exchange(
        self, execution_id: str, *, hold_seconds: float | None, terms: Terms = NO_TERMS
    ) -> Exchange[RunSnapshot]:
        """Return the call that asks how far an instance is; the server holds no answer back."""
        del hold_seconds
        watched = ProcessTerms.from_dict(terms)
        return self._spoken(lambda dialect: wire.look(execution_id, terms=watched, dialect=dialect))

    def cancel_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[RunSnapshot | None]:
        """Return the call that stops an instance as the terms say."""
        watched = ProcessTerms.from_dict(terms)
        return self._spoken(lambda dialect: wire.cancel(execution_id, terms=watched, dialect=dialect))

    def execution_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[Execution]:
        """Return the call that reads an instance."""
        watched = ProcessTerms.from_dict(terms)
        return self._spoken(lambda dialect: wire.get_execution(execution_id, terms=watched, dialect=dialect))

    def output_of(self, execution: Execution, *, values_by_title: bool = False) -> Output:
        """
        Return an instance's state, activity, process parameters, transitions and history.

        Of an instance that was purged nothing is left, which is a warning.
        """
        del values_by_title
        process = read_process(execution.raw, process_id=execution.id)
        if process is None:
            gone = "The server has deleted the process; its state and its parameters are not known."
            return Output(values={}, warnings=(gone,))
        values, notes = plain_values(
            {
                "state": process.state,
                "activity": process.activity,
                "parameters": self._without_access(process.parameters),
                "transitions": list(process.transitions),
                "history": list(process.history),
            }
        )
        reason = why_failed(process, ProcessTerms.from_dict(self.terms))
        errors = (FlowError(error="", message=reason),) if reason else ()
        return Output(values=values, warnings=notes, errors=errors)

    def _without_access(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return process parameters without the Api access token, which a server may have taken for one."""
        settings = self.known_settings
        hidden = () if settings is None else settings.auth_fields
        return {name: value for name, value in parameters.items() if name not in hidden}

    # --- an instance's life ---

    def create_instance(
        self, process_id: str, *, scheme_code: str, **options: Unpack[CreationOptions]
    ) -> None:
        """
        Create an instance of a scheme.

        :param process_id: a GUID of the caller's choice; the server refuses one that it has already.
        :param scheme_code: of the scheme.
        :param options: initial process ``parameters`` by name; ``persist``, the names of those that are kept
            with the instance; ``identity_id``, in whose name, and ``impersonated_identity_id``, for whom
            that one acts; ``scheme_parameters`` for servers that generate schemes.
        :raises FlowRequestRefusedError: if the server says no; no retry helps.
        :raises FlowServiceError: if it is open whether it was created; :meth:`exists` tells.
        """
        exchange = self.creation(process_id, scheme_code=scheme_code, **options)
        self.run(exchange, execution_id=process_id, flow=scheme_code)

    async def acreate_instance(
        self, process_id: str, *, scheme_code: str, **options: Unpack[CreationOptions]
    ) -> None:
        """Create an instance as :meth:`create_instance` does."""
        exchange = self.creation(process_id, scheme_code=scheme_code, **options)
        await self.arun(exchange, execution_id=process_id, flow=scheme_code)

    def creation(
        self, process_id: str, *, scheme_code: str, **options: Unpack[CreationOptions]
    ) -> Exchange[None]:
        """Return the call of :meth:`create_instance`, for those who decide by the errors of the wire."""
        return self._spoken(
            lambda dialect: wire.create_instance(
                process_id, scheme_code=scheme_code, dialect=dialect, **options
            )
        )

    def exists(self, process_id: str) -> bool:
        """Tell whether the server has an instance."""
        return self.run(self.existence(process_id), execution_id=process_id)

    async def aexists(self, process_id: str) -> bool:
        """Tell whether the server has an instance."""
        return await self.arun(self.existence(process_id), execution_id=process_id)

    def existence(self, process_id: str) -> Exchange[bool]:
        """Return the call of :meth:`exists`, for those who decide by the errors of the wire."""
        return self._spoken(lambda dialect: wire.exists(process_id, dialect=dialect))

    def get_process(self, process_id: str) -> Process:
        """
        Return an instance with its status, state, parameters, transitions and history.

        :raises FlowNotFoundError: if there is no such instance, or no longer; no retry helps.
        """
        return self.run(self._reading(process_id), execution_id=process_id)

    async def aget_process(self, process_id: str) -> Process:
        """Return an instance as :meth:`get_process` does."""
        return await self.arun(self._reading(process_id), execution_id=process_id)

    def _reading(self, process_id: str) -> Exchange[Process]:
        return self._spoken(lambda dialect: wire.get_process(process_id, dialect=dialect))

    def delete_instance(self, process_id: str) -> None:
        """
        Delete an instance with all that is known of it.

        :raises FlowNotFoundError: if there is none.
        """
        self.run(self._deletion(process_id), execution_id=process_id)

    async def adelete_instance(self, process_id: str) -> None:
        """Delete an instance as :meth:`delete_instance` does."""
        await self.arun(self._deletion(process_id), execution_id=process_id)

    def _deletion(self, process_id: str) -> Exchange[None]:
        return self._spoken(lambda dialect: wire.delete_instance(process_id, dialect=dialect))

    # --- commands, states, parameters ---

    def available_commands(
        self, process_id: str, *, identity_id: str | None = None, impersonated_identity_id: str | None = None
    ) -> list[wire.Command]:
        """
        Return the commands that an instance takes now.

        :param identity_id: from whom.
        :param impersonated_identity_id: for whom the former acts.
        """
        exchange = self._commands(process_id, identity_id, impersonated_identity_id)
        return self.run(exchange, execution_id=process_id)

    async def aavailable_commands(
        self, process_id: str, *, identity_id: str | None = None, impersonated_identity_id: str | None = None
    ) -> list[wire.Command]:
        """Return the commands that an instance takes now, as :meth:`available_commands` does."""
        exchange = self._commands(process_id, identity_id, impersonated_identity_id)
        return await self.arun(exchange, execution_id=process_id)

    def _commands(
        self, process_id: str, identity_id: str | None, impersonated_identity_id: str | None
    ) -> Exchange[list[wire.Command]]:
        return self._spoken(
            lambda dialect: wire.available_commands(
                process_id,
                identity_id=identity_id,
                impersonated_identity_id=impersonated_identity_id,
                dialect=dialect,
            )
        )

    def execute_command(
        self, process_id: str, *, command: str, **options: Unpack[ActingOptions]
    ) -> Mapping[str, Any]:
        """
        Have an instance carry out a command.

        :param command: its name.
        :param options: process ``parameters`` that are set with it, ``persist``, ``identity_id`` and
            ``impersonated_identity_id`` as :meth:`create_instance` takes them.
        :returns: the ``ProcessInstance`` of the answer.
        :raises FlowRequestRefusedError: if it is not available, or was not executed; no retry helps.
        :raises FlowServiceError: if it is open whether it was carried out; a repetition may do it twice.
        """
        return self.run(self.commanding(process_id, command=command, **options), execution_id=process_id)

    async def aexecute_command(
        self, process_id: str, *, command: str, **options: Unpack[ActingOptions]
    ) -> Mapping[str, Any]:
        """Have an instance carry out a command as :meth:`execute_command` does."""
        exchange = self.commanding(process_id, command=command, **options)
        return await self.arun(exchange, execution_id=process_id)

    def commanding(
        self, process_id: str, *, command: str, **options: Unpack[ActingOptions]
    ) -> Exchange[Mapping[str, Any]]:
        """Return the call of :meth:`execute_command`, for those who decide by the errors of the wire."""
        return self._spoken(
            lambda dialect: wire.execute_command(process_id, command=command, dialect=dialect, **options)
        )

    def available_states(self, process_id: str) -> list[wire.State]:
        """Return the states that an instance can be set to."""
        return self.run(self._states(process_id), execution_id=process_id)

    async def aavailable_states(self, process_id: str) -> list[wire.State]:
        """Return the states that an instance can be set to."""
        return await self.arun(self._states(process_id), execution_id=process_id)

    def _states(self, process_id: str) -> Exchange[list[wire.State]]:
        return self._spoken(lambda dialect: wire.available_states(process_id, dialect=dialect))

    def set_state(self, process_id: str, *, state: str, **options: Unpack[ActingOptions]) -> None:
        """
        Put an instance into a state, whatever its scheme would do next.

        :param state: its name.
        :param options: as :meth:`execute_command` takes them.
        :raises FlowRequestRefusedError: if the server does not set it; no retry helps.
        :raises FlowServiceError: if it is open whether it was set; a repetition may enter it twice.
        """
        self.run(self.setting(process_id, state=state, **options), execution_id=process_id)

    async def aset_state(self, process_id: str, *, state: str, **options: Unpack[ActingOptions]) -> None:
        """Put an instance into a state as :meth:`set_state` does."""
        await self.arun(self.setting(process_id, state=state, **options), execution_id=process_id)

    def setting(self, process_id: str, *, state: str, **options: Unpack[ActingOptions]) -> Exchange[None]:
        """Return the call of :meth:`set_state`, for those who decide by the errors of the wire."""
        return self._spoken(
            lambda dialect: wire.set_state(process_id, state=state, dialect=dialect, **options)
        )

    def set_parameter(self, process_id: str, *, name: str, value: Any) -> None:
        """
        Give a process parameter a value.

        :param value: a text as it is, anything else as JSON.
        """
        self.run(self._writing(process_id, name, value), execution_id=process_id)

    async def aset_parameter(self, process_id: str, *, name: str, value: Any) -> None:
        """Give a process parameter a value as :meth:`set_parameter` does."""
        await self.arun(self._writing(process_id, name, value), execution_id=process_id)

    def _writing(self, process_id: str, name: str, value: Any) -> Exchange[None]:
        return self._spoken(
            lambda dialect: wire.set_parameter(process_id, name=name, value=value, dialect=dialect)
        )

    def get_parameter(self, process_id: str, *, name: str) -> Any:
        """Return the value of a process parameter, as the server answers it."""
        return self.run(self._value(process_id, name), execution_id=process_id)

    async def aget_parameter(self, process_id: str, *, name: str) -> Any:
        """Return the value of a process parameter as :meth:`get_parameter` does."""
        return await self.arun(self._value(process_id, name), execution_id=process_id)

    def _value(self, process_id: str, name: str) -> Exchange[Any]:
        return self._spoken(lambda dialect: wire.get_parameter(process_id, name=name, dialect=dialect))

    # --- the server ---

    def list_schemes(self, *, tags: Sequence[str] = ()) -> list[str]:
        """
        Return the codes of the server's schemes.

        :param tags: only schemes that have one of them.
        """
        return self.run(self._schemes(tags))

    async def alist_schemes(self, *, tags: Sequence[str] = ()) -> list[str]:
        """Return the codes of the server's schemes as :meth:`list_schemes` does."""
        return await self.arun(self._schemes(tags))

    def _schemes(self, tags: Sequence[str]) -> Exchange[list[str]]:
        return self._spoken(lambda dialect: wire.list_schemes(tags=tags, dialect=dialect))

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether host and access work: how many schemes the server has."""
        try:
            count = len(self.list_schemes())
        except FlowException as error:
            return False, str(error)
        return True, f"Connected to Workflow Server, which has {count} scheme{'' if count == 1 else 's'}."

    def _spoken(self, make: Callable[[wire.Dialect], Exchange[T]]) -> Exchange[T]:
        """Make a call in the connection's dialect, which is known when the first request is to be sent."""
        return (yield from make(self._dialect))
