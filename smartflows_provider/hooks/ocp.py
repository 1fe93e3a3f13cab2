"""The hook for OCP flows (Omilia Cloud Platform, Orchestrator API).

Every method exists twice, blocking and with the prefix ``a`` for ``async``, over the same call of
``wire.ocp``. Errors come as the tree of ``smartflows_provider.exceptions``. For the lifecycle a flow's status
stands for a run's. Invariants: a user's password is sent in the form body of requests for an access token
only, and to no other origin than the connection's host, its ``auth_host`` or its ``token_url``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urlsplit

from smartflows_provider.exceptions import FlowConfigurationError, FlowException, SystemHints
from smartflows_provider.hooks.base import FlowSystemHook
from smartflows_provider.hooks.translation import NOTHING_DONE
from smartflows_provider.output.extractor import FlowError, Output
from smartflows_provider.systems import OCP, OCP_CONN_ID, OCP_LABEL
from smartflows_provider.wire import ocp as wire
from smartflows_provider.wire.errors import RequestRefused, UnusableId
from smartflows_provider.wire.grants import Grant, origin_of
from smartflows_provider.wire.messages import segment
from smartflows_provider.wire.ocp_status import StatusTerms
from smartflows_provider.wire.run import NO_TERMS, Execution, RunPhase, RunSnapshot, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from smartflows_provider.hooks.connection import ConnectionReader
    from smartflows_provider.transport.settings import ClientSettings
    from smartflows_provider.wire.messages import Exchange

T = TypeVar("T")

DEFAULT_CLIENT_ID = "ocp"
TEST_NAME = "connection_test"
"""The name that a connection's test looks up where the connection names no flow; none needs to have it."""
_EXAMPLE = "https://auth.example.com/auth/realms/example/protocol/openid-connect/token"
_NO_RUN = "because a flow has a status and no run that could be stopped"


class OcpHook(FlowSystemHook):
    """
    Speaks to one Orchestrator API.

    :param ocp_conn_id: a connection of the type ``ocp``: host, port, and a personal access token as password,
        or a login with its password; extras as the connection form lists them.
    """

    conn_name_attr = "ocp_conn_id"
    default_conn_name = OCP_CONN_ID
    conn_type = OCP
    hook_name = OCP_LABEL
    system = OCP_LABEL
    success_stands = True
    hints = SystemHints(
        credential="access token or password",
        key="Put a personal access token into the connection's password, or set its extra 'access' to "
        "'password' and give login and password.",
        denied="Have the right to the flow granted to the user that the token belongs to.",
        unknown_flow="Check the flow's name and group, and the connection's API prefix: /api, or "
        "/orchestrator/api in newer installations.",
        ambiguous_flow="Name the group too, or give flow_id.",
        not_found="Check flow_id, and the connection's API prefix: /api, or /orchestrator/api in newer "
        "installations.",
        ended="The flow was left as it is.",
        clean_up="deletions at the platform",
        cancel_off=_NO_RUN,
        timeout_off=_NO_RUN,
        wait="Wait for it with OcpFlowStatusSensor; a retry looks again.",
    )

    def __init__(self, ocp_conn_id: str = default_conn_name) -> None:
        super().__init__(ocp_conn_id)
        self.ocp_conn_id = ocp_conn_id
        self._id_field = wire.ID_FIELD
        self._test_flow: str | None = None

    def read_settings(self, reader: ConnectionReader) -> ClientSettings:
        """Return how to reach the platform, from the connection's fields."""
        self._id_field = reader.text("id_field") or wire.ID_FIELD
        self._test_flow = reader.text("test_flow")
        access = reader.word("access", ("token", "password"))
        if access == "password":
            return reader.settings(
                api_prefix=wire.API_PREFIX, grant=_grant(reader), hook_fields=(self._id_field,)
            )
        if reader.login:
            raise reader.error(
                "The connection has a login, but its extra 'access' is 'token'.",
                "Set it to 'password' to sign in with login and password, or empty the login where the "
                "password is a personal access token.",
            )
        headers = {"Authorization": f"Bearer {reader.password}"}
        return reader.settings(
            api_prefix=wire.API_PREFIX, auth_headers=headers, hook_fields=(self._id_field,)
        )

    # --- for the lifecycle ---

    def look_exchange(
        self, execution_id: str, *, hold_seconds: float | None, terms: Terms = NO_TERMS
    ) -> Exchange[RunSnapshot]:
        """Return the call that asks for a flow's status; answers are never held back."""
        del hold_seconds
        return wire.look(execution_id, terms=StatusTerms.from_dict(terms))

    def cancel_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[RunSnapshot | None]:
        """Return a call that sends nothing and refuses: there is no run that could be stopped."""
        del terms
        return _not_stopped(execution_id)

    def execution_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[Execution]:
        """Return the call that asks for a flow's status."""
        return wire.get_execution(execution_id, terms=StatusTerms.from_dict(terms))

    def output_of(self, execution: Execution, *, values_by_title: bool = False) -> Output:
        """
        Return the status as the only value; where it ends a wait as a failure, also that.

        :param execution: of this hook.
        :param values_by_title: changes nothing: there are no titles.
        """
        del values_by_title
        errors: tuple[FlowError, ...] = ()
        if execution.phase is RunPhase.FAILED:
            target = StatusTerms.from_dict(self.terms).target
            reason = f"the flow is {execution.status!r}, which ends the wait for {target!r} as a failure"
            errors = (FlowError(error="", message=reason),)
        return Output(values={"status": execution.status}, errors=errors)

    # --- flows ---

    def get_flow(self, flow_id: str) -> wire.Flow:
        """
        Read a flow.

        :param flow_id: of the flow.
        :raises FlowNotFoundError: if there is no such flow; no retry helps.
        """
        return self.run(wire.get_flow(flow_id), flow=flow_id)

    async def aget_flow(self, flow_id: str) -> wire.Flow:
        """Read a flow as :meth:`get_flow` does."""
        return await self.arun(wire.get_flow(flow_id), flow=flow_id)

    def find_flow(self, *, name: str, group: str | None = None, needs_id: bool = False) -> wire.Flow:
        """
        Return the one flow of a name.

        :param name: in any case.
        :param group: in any case; None means that the name alone tells.
        :param needs_id: whether the flow is of use only with its id, which answers need not show.
        :raises FlowNotFoundError: if there is none; no retry helps.
        :raises FlowAmbiguousError: if there are several; the message lists them. No retry helps.
        :raises FlowConfigurationError: if the id is needed and not shown; no retry helps.
        """
        return self.run(self.finding(name=name, group=group, needs_id=needs_id), flow=name)

    async def afind_flow(self, *, name: str, group: str | None = None, needs_id: bool = False) -> wire.Flow:
        """Return the one flow of a name as :meth:`find_flow` does."""
        return await self.arun(self.finding(name=name, group=group, needs_id=needs_id), flow=name)

    def finding(self, *, name: str, group: str | None = None, needs_id: bool = False) -> Exchange[wire.Flow]:
        """Return the call of :meth:`find_flow`, for those who decide by the errors of the wire."""
        return self._shown(
            lambda id_field: wire.find_flow(name=name, group=group, needs_id=needs_id, id_field=id_field)
        )

    def find_flows(self, *, name: str, group: str | None = None) -> list[wire.Flow]:
        """
        Return all flows of a name; none is no error.

        :param name: in any case.
        :param group: in any case; None means all groups.
        """
        return self.run(self.listing(name=name, group=group), flow=name)

    async def afind_flows(self, *, name: str, group: str | None = None) -> list[wire.Flow]:
        """Return all flows of a name as :meth:`find_flows` does."""
        return await self.arun(self.listing(name=name, group=group), flow=name)

    def listing(self, *, name: str, group: str | None = None) -> Exchange[list[wire.Flow]]:
        """Return the call of :meth:`find_flows`, for those who decide by the errors of the wire."""
        return self._shown(lambda id_field: wire.find_flows(name=name, group=group, id_field=id_field))

    def create_flow(
        self, *, name: str, input_fields: Sequence[str] = (), output_fields: Sequence[str] = ()
    ) -> wire.Flow:
        """
        Create a flow; whether the platform takes a name that another flow has is not documented.

        :param name: letters A to Z, digits and underscores; checked before anything is sent.
        :param input_fields: names of its input fields.
        :param output_fields: names of its output fields.
        :returns: the flow; its ``id`` is empty where the answer does not show it.
        :raises FlowConfigurationError: for a name or fields that cannot be; no retry helps.
        :raises FlowRequestRefusedError: if the platform does not take it; no retry helps.
        :raises FlowServiceError: if it is open whether it was created; look it up before trying again.
        """
        return self.run(self.creation(name, input_fields, output_fields), flow=name)

    async def acreate_flow(
        self, *, name: str, input_fields: Sequence[str] = (), output_fields: Sequence[str] = ()
    ) -> wire.Flow:
        """Create a flow as :meth:`create_flow` does."""
        return await self.arun(self.creation(name, input_fields, output_fields), flow=name)

    def creation(
        self, name: str, input_fields: Sequence[str], output_fields: Sequence[str]
    ) -> Exchange[wire.Flow]:
        """Return the call of :meth:`create_flow`, for those who decide by the errors of the wire."""
        return self._shown(
            lambda id_field: wire.create_flow(
                name=name, input_fields=input_fields, output_fields=output_fields, id_field=id_field
            )
        )

    def update_flow(
        self,
        flow_id: str,
        *,
        input_fields: Sequence[str] | None = None,
        output_fields: Sequence[str] | None = None,
    ) -> wire.Flow:
        """
        Replace a flow's fields. Harmless to repeat.

        :param flow_id: of the flow.
        :param input_fields: names of its input fields; None keeps those that it has.
        :param output_fields: names of its output fields; None keeps those that it has.
        :raises FlowNotFoundError: if there is no such flow; no retry helps.
        :raises FlowConfigurationError: for fields that cannot be, or none at all; no retry helps.
        """
        exchange = wire.update_flow(flow_id, input_fields=input_fields, output_fields=output_fields)
        return self.run(exchange, flow=flow_id)

    async def aupdate_flow(
        self,
        flow_id: str,
        *,
        input_fields: Sequence[str] | None = None,
        output_fields: Sequence[str] | None = None,
    ) -> wire.Flow:
        """Replace a flow's fields as :meth:`update_flow` does."""
        exchange = wire.update_flow(flow_id, input_fields=input_fields, output_fields=output_fields)
        return await self.arun(exchange, flow=flow_id)

    def delete_flow(self, flow_id: str) -> None:
        """
        Delete a flow.

        :param flow_id: of the flow.
        :raises FlowNotFoundError: if there is no such flow; no retry helps.
        :raises FlowRequestRefusedError: if apps or flows use it; the message lists them. No retry helps.
        :raises FlowServiceError: if it is open whether it was deleted.
        """
        self.run(wire.delete_flow(flow_id), flow=flow_id)

    async def adelete_flow(self, flow_id: str) -> None:
        """Delete a flow as :meth:`delete_flow` does."""
        await self.arun(wire.delete_flow(flow_id), flow=flow_id)

    def get_status(self, flow_id: str) -> str:
        """
        Return a flow's status: ``started``, ``stopped``, ``not-deployed``, or another word of the platform's.

        :param flow_id: of the flow.
        :raises FlowNotFoundError: if there is no such flow; no retry helps.
        """
        return self.run(wire.get_status(flow_id), flow=flow_id)

    async def aget_status(self, flow_id: str) -> str:
        """Return a flow's status as :meth:`get_status` does."""
        return await self.arun(wire.get_status(flow_id), flow=flow_id)

    # --- connection ---

    def test_connection(self) -> tuple[bool, str]:
        """
        Look the connection's ``test_flow`` up, else a name that no flow need have.

        :returns: whether the connection works as far as that shows, and a sentence for people.
        """
        try:
            _ = self.settings
            if self._test_flow is not None:
                flow = self.find_flow(name=self._test_flow)
                return True, f"Connected; there is a flow {flow.name!r}."
            found = self.run(wire.probe(TEST_NAME))
        except FlowException as error:
            return False, str(error)
        if found == "untold":
            return False, (
                "The platform answers 404, as it may where it knows no flow of a name, but also where the "
                "API prefix is wrong: check it (/api, or /orchestrator/api in newer installations), and set "
                "the extra 'test_flow' to the name of a flow that is there."
            )
        if found == "told":
            return True, (
                "Connected: the platform answers 404 with a reason, as where it knows no flow of a name. To "
                "be sure of the API prefix, set the extra 'test_flow' to the name of a flow that is there."
            )
        return True, "Connected: the platform has looked for a flow's name."

    def _shown(self, make: Callable[[str], Exchange[T]]) -> Exchange[T]:
        """Make a call that reads ids where the connection says, which is known when the call begins."""
        return (yield from make(self._id_field))

    @contextmanager
    def _translated(self, execution_id: str | None, flow: str | None, *, hide_words: bool) -> Iterator[None]:
        """Turn errors into those that DAG authors see; a missing id is no fault of the service's."""
        with super()._translated(execution_id, flow, hide_words=hide_words):
            try:
                yield
            except wire.FlowIdNotShown as error:
                raise FlowConfigurationError(
                    str(error),
                    where=self.identity(execution_id=execution_id, flow=flow),
                    fate=NOTHING_DONE,
                    advice="Give flow_id instead of the name; if answers show ids under another key, set the "
                    "connection's extra 'id_field'.",
                ) from None


def _not_stopped(flow_id: str) -> Exchange[Any]:
    """Say that a flow is not stopped; nothing is sent."""
    yield from ()
    raise RequestRefused(f"flow {flow_id} was left as it is, {_NO_RUN}")


def _grant(reader: ConnectionReader) -> Grant:
    """Return how a user's password becomes an access token."""
    if not reader.login:
        raise reader.error(
            "The connection's extra 'access' is 'password', but it has no login.",
            "Set the login to the user's name.",
        )
    if not reader.secret:
        raise reader.error(
            "The connection's extra 'access' is 'password', but it has no password.",
            "Set the password to the user's.",
        )
    form = {
        "client_id": reader.text("client_id") or DEFAULT_CLIENT_ID,
        "grant_type": "password",
        "username": reader.login,
        "password": reader.secret,
    }
    try:
        urlencode(form)
    except UnicodeEncodeError:
        # Raised from nothing, since the cause quotes the password.
        unusable = reader.error(
            "The connection's login, password or client id holds half a character.", "Enter them again."
        )
    else:
        origin, path = _token_address(reader)
        return Grant(origin=origin, token_path=path, form=form)
    raise unusable


def _token_address(reader: ConnectionReader) -> tuple[str, str]:
    """Return origin and path of the address for tokens."""
    named, realm = reader.token_address(example=_EXAMPLE), reader.text("realm")
    if named is not None:
        return named
    if realm is None:
        raise reader.error(
            "The connection's extra 'access' is 'password', but neither 'realm' nor 'token_url' is set.",
            "Set 'realm' to the realm of the sign-in server that the user is in.",
        )
    auth_host = reader.secret_address("auth_host", example="https://auth.example.com")
    if auth_host is not None and urlsplit(auth_host).path.strip("/"):
        raise reader.error(
            "The connection's extra 'auth_host' holds more than scheme, host and port.",
            f"Set 'token_url' instead, {_EXAMPLE} say.",
        )
    try:
        path = f"/auth/realms/{segment(realm)}/protocol/openid-connect/token"
    except UnusableId:
        raise reader.error(
            f"The connection's extra 'realm' is {realm!r}, which is no realm.", "Give its name."
        ) from None
    return origin_of(auth_host or reader.base_url()), path
