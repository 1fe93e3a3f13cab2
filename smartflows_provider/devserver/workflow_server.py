"""The stand-in for a Workflow Server (OptimaJet), with handles for tests.

It answers the operations of the Workflow API below ``/workflowapi`` and, for access by OpenID Connect, the
discovery document and the token address. Where the vendor's pages are silent its behaviour is a
:class:`WorkflowServerProfile`. Invariants: every answer of the API is an envelope; a secret that turns up in
an address is remembered in ``leaks``; safe to use from any thread.
"""

from __future__ import annotations

import hmac
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from smartflows_provider.devserver.json_values import NotJson, read_json
from smartflows_provider.devserver.sections import changed, path_part
from smartflows_provider.devserver.workflow_schemes import BUNDLED, Activity, Instance, Scheme, scheme_of
from smartflows_provider.option_words import check_words
from smartflows_provider.wire.workflow_server import API_PREFIX
from smartflows_provider.wire.workflow_server_process import InstanceStatus

DEFAULT_TOKEN = "devserver-token"  # noqa: S105 - a stand-in's
CLIENT_ID = "workflowapi"
_DISCOVERY = "/.well-known/openid-configuration"
_TOKEN_PATH = "/connect/token"  # noqa: S105 - a path


@dataclass(frozen=True, kw_only=True)
class WorkflowServerProfile:
    """One reading of everything that is a setting of the server, or that the vendor leaves open."""

    access: Literal["none", "token", "openid"] = "none"
    """Whether a request needs nothing, the field ``token`` in its JSON body, or a bearer token."""
    arguments_in: Literal["query", "body"] = "query"
    """Where operations read their arguments, as in the wire's ``Dialect``."""
    reads: Literal["both", "get"] = "both"
    """Verbs of operations that are documented as GET: POST too, or GET only."""
    failures: Literal["envelope", "status"] = "envelope"
    """A refusal comes with 200, or with 404 for a process that is not there and 400 otherwise."""
    denied: Literal[401, 403, 200] = 401
    """HTTP status where access is refused; 200 leaves it to the envelope."""
    unavailable_command: Literal["refused", "not_executed"] = "refused"
    """A command that is not available is refused, or answered with ``WasExecuted: false``."""
    discovery: Literal["own", "foreign", "none"] = "own"
    """What discovery names for tokens: this server, another origin, or nothing."""
    token_refusal: Literal[400, 401] = 400
    """HTTP status where the token address does not take the secret."""
    token_seconds: float = 3600.0
    """Lifetime of an issued token."""

    def __post_init__(self) -> None:
        check_words(self)
        if not 0 < self.token_seconds < float("inf"):
            raise ValueError(f"token_seconds is {self.token_seconds!r}, but must be a finite number above 0")


PROFILES: Mapping[str, WorkflowServerProfile] = {
    "default": WorkflowServerProfile(),
    "body_statuses": WorkflowServerProfile(
        arguments_in="body", failures="status", unavailable_command="not_executed"
    ),
    "get_only": WorkflowServerProfile(reads="get"),
    "token_forbidden": WorkflowServerProfile(access="token", denied=403, arguments_in="body"),
    "token_envelope": WorkflowServerProfile(access="token", denied=200),
    "openid": WorkflowServerProfile(access="openid", token_refusal=401),
    "openid_foreign": WorkflowServerProfile(access="openid", discovery="foreign"),
    "openid_undiscovered": WorkflowServerProfile(access="openid", discovery="none"),
}
"""Profiles that together take every choice at least once."""


@dataclass(frozen=True, kw_only=True)
class ExecutedCommand:
    """A command that an instance carried out."""

    process_id: str
    command: str
    identity_id: str | None
    parameters: Mapping[str, Any]
    """All that came with it, kept or not."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """An operation's arguments, wherever they stood."""

    now: float
    arguments: Mapping[str, Any]
    parameters: Mapping[str, Any]
    persist: frozenset[str]

    def text(self, name: str) -> str:
        """Return a required argument."""
        value = self.arguments.get(name)
        if not isinstance(value, str) or not value:
            raise _Refused("Wrong parameters", f"The parameter '{name}' is missing.")
        return value

    @property
    def identity_id(self) -> str | None:
        value = self.arguments.get("identityId")
        return value if isinstance(value, str) else None

    @property
    def kept(self) -> dict[str, Any]:
        """The process parameters that are kept."""
        return {name: value for name, value in self.parameters.items() if name in self.persist}


class _Refused(Exception):
    """What is answered with ``success: false``."""

    def __init__(self, error: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.error = error
        self.status = status


@dataclass(frozen=True, kw_only=True)
class _Issued:
    value: str = field(repr=False)
    until: float


class WorkflowServerSection:
    """
    A server with schemes, instances and a secret.

    :param now: gives the server's epoch seconds.
    """

    name: ClassVar[str] = "workflowserver"

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._schemes: dict[str, Scheme] = {scheme.code: scheme for scheme in BUNDLED}
        self._instances: dict[str, Instance] = {}
        self._valid: list[_Issued] = []
        self._operations = {
            "createinstance": self._create,
            "isexistprocess": self._exists,
            "getinstanceinfo": self._info,
            "getavailablecommands": self._commands,
            "executecommand": self._execute,
            "getavailablestatetoset": self._states,
            "setstate": self._set_state,
            "setparameter": self._set_parameter,
            "getparameter": self._get_parameter,
            "deleteinstance": self._delete,
        }
        self.profile = WorkflowServerProfile()
        """How it behaves; replaced by :meth:`configure`."""
        self.token = DEFAULT_TOKEN
        """The *Api access token*, which is also the client secret of OpenID Connect."""
        self.created: list[str] = []
        """Ids of the instances that came into being, in their order; one made anew is there twice."""
        self.refused_creations: list[str] = []
        """Ids for which there was an instance already."""
        self.deleted: list[str] = []
        """Ids of the instances that were deleted on request."""
        self.commands: list[ExecutedCommand] = []
        """What was carried out."""
        self.issued: list[str] = []
        """The bearer tokens that were given out."""
        self.token_hosts: list[str] = []
        """The ``Host`` of each request for a token, granted or not."""
        self.leaks: list[str] = []
        """Method and path of each request whose address held a secret."""

    # --- as a section ---------------------------------------------------------------------------------

    def routes(self) -> Sequence[BaseRoute]:
        """Return the operations, and what OpenID Connect needs."""
        return [
            Route(f"{API_PREFIX}/{{operation}}/{{id}}", self._answer, methods=["GET", "POST"]),
            Route(f"{API_PREFIX}/{{operation}}", self._answer, methods=["GET", "POST"]),
            Route(_DISCOVERY, self._discovery, methods=["GET"]),
            Route(_TOKEN_PATH, self._give_token, methods=["POST"]),
        ]

    def connection(self, *, host: str, port: int) -> dict[str, Any]:
        """Return the Airflow connection that leads to it as it is configured now."""
        connection = {"conn_type": self.name, "host": host, "port": port}
        extra = {"arguments_in": self.profile.arguments_in}
        if self.profile.access == "none":
            return {**connection, "extra": extra}
        return {**connection, "password": self.token, "extra": {"access": self.profile.access, **extra}}

    def configure(self, **choices: Any) -> None:
        """Change some choices of its profile."""
        self.profile = changed(self.profile, choices)

    # --- handles --------------------------------------------------------------------------------------

    @property
    def access(self) -> str:
        """How requests are let in: ``none``, ``token`` or ``openid``."""
        return self.profile.access

    def rotate(self, token: str) -> None:
        """Replace the secret; bearer tokens that were given out for the former one end too."""
        with self._lock:
            self.token = token
            self._valid.clear()

    def revoke_tokens(self) -> None:
        """End the bearer tokens that were given out; the secret stays."""
        with self._lock:
            self._valid.clear()

    def add_scheme(self, code: str, *activities: Mapping[str, Any] | Activity, **more: Any) -> Scheme:
        """
        Add a scheme, or replace the one with its code.

        :param activities: each with the fields of :class:`~.workflow_schemes.Activity`.
        :param more: further fields of :class:`~.workflow_schemes.Scheme`.
        :raises ValueError: if it cannot be played.
        """
        scheme = scheme_of(code, activities, **more)
        with self._lock:
            self._schemes[code] = scheme
        return scheme

    def process(self, process_id: str) -> dict[str, Any]:
        """
        Return what an instance shows now.

        :raises KeyError: if there is no such instance.
        """
        with self._lock:
            found = self._find(process_id)
            if found is None:
                raise KeyError(process_id)
            return found.info()

    def finish(self, process_id: str) -> None:
        """End an instance as ``Finalized`` where it is."""
        self.show(process_id, InstanceStatus.FINALIZED)

    def fail(self, process_id: str, *, status: int = InstanceStatus.ERROR) -> None:
        """End an instance as ``Error``, or as ``Terminated``."""
        self.show(process_id, status)

    def show(self, process_id: str, status: int) -> None:
        """
        Let an instance show a status from now on, whatever its scheme says.

        :raises KeyError: if there is no such instance.
        """
        with self._lock:
            found = self._find(process_id)
            if found is None:
                raise KeyError(process_id)
            found.end(status)

    def purge(self, process_id: str) -> None:
        """
        Let an instance be there no more, as where a scheme deletes what is finished.

        :raises KeyError: if there is no such instance.
        """
        with self._lock:
            del self._instances[_key(process_id)]

    # --- letting in -----------------------------------------------------------------------------------

    async def _discovery(self, request: Request) -> Response:
        endpoint = self.profile.discovery
        own = f"{request.url.scheme}://{request.url.netloc}"
        document = {"issuer": own, "grant_types_supported": ["client_credentials"]}
        if endpoint == "own":
            document["token_endpoint"] = own + _TOKEN_PATH
        elif endpoint == "foreign":
            # Another name of this machine: a secret that is sent there is seen.
            other = "localhost" if request.url.hostname == "127.0.0.1" else "127.0.0.1"
            document["token_endpoint"] = f"{request.url.scheme}://{other}:{request.url.port}{_TOKEN_PATH}"
        return JSONResponse(document)

    async def _give_token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        with self._lock:
            self._note_leak(request)
            self.token_hosts.append(request.headers.get("host", ""))
            if form.get("grant_type") != "client_credentials":
                return JSONResponse({"error": "unsupported_grant_type"}, 400)
            known = form.get("client_id") == CLIENT_ID and _same(form.get("client_secret"), self.token)
            if self.profile.access != "openid" or not known:
                return JSONResponse({"error": "invalid_client"}, self.profile.token_refusal)
            issued = f"bearer-{len(self.issued) + 1}-{uuid.uuid4()}"
            self.issued.append(issued)
            self._valid.append(_Issued(value=issued, until=self._now() + self.profile.token_seconds))
        return JSONResponse(
            {
                "access_token": issued,
                "expires_in": self.profile.token_seconds,
                "token_type": "Bearer",
                "scope": "WorkflowApi",
            }
        )

    def _may_enter(self, request: Request, body: Mapping[str, Any]) -> bool:
        if self.profile.access == "none":
            return True
        if self.profile.access == "token":
            return _same(body.get("token"), self.token)
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        now = self._now()
        return kind == "Bearer" and any(_same(value, one.value) for one in self._valid if now < one.until)

    def _note_leak(self, request: Request) -> None:
        address = unquote(f"{request.url.path}?{request.url.query}")
        names = {name.lower() for name, _ in parse_qsl(request.url.query, keep_blank_values=True)}
        if "token" in names or any(secret in address for secret in (self.token, *self.issued)):
            self.leaks.append(f"{request.method} {request.url.path}")

    # --- operations -----------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        raw = await request.body()
        with self._lock:
            self._note_leak(request)
            try:
                return _envelope(data=self._carry_out(request, _read(raw)))
            except _Refused as refusal:
                status = refusal.status
                if status in {400, 404} and self.profile.failures == "envelope":
                    status = 200
                return _envelope(error=refusal.error, message=str(refusal), status=status)

    def _carry_out(self, request: Request, body: Mapping[str, Any]) -> Any:
        operation = path_part(request, "operation").lower()
        if not self._may_enter(request, body):
            raise _Refused("Access denied", "The token is missing or wrong.", status=self.profile.denied)
        if operation not in self._operations and operation != "getschemelist":
            raise _Refused("Unknown operation", f"There is no operation '{operation}'.")
        if request.method == "GET" and operation in _POST_ONLY:
            raise _Refused("Wrong method", f"The operation '{operation}' takes POST.", status=405)
        if request.method == "POST" and operation not in _CHANGES and self.profile.reads == "get":
            raise _Refused("Wrong method", f"The operation '{operation}' takes GET.", status=405)
        call = self._call(request, {key: value for key, value in body.items() if key != "token"})
        if operation == "getschemelist":
            return self._scheme_list(call)
        given = request.path_params.get("id")
        process_id = path_part(request, "id") if given is not None else request.query_params.get("processId")
        try:
            known = _key(str(process_id))
        except ValueError:
            raise _Refused("Wrong parameters", "The processId is not a GUID.") from None
        return self._operations[operation](known, call)

    def _call(self, request: Request, body: Mapping[str, Any]) -> _Call:
        query = dict(request.query_params)
        if self.profile.arguments_in == "query":
            persist = frozenset(filter(None, query.pop("persist", "").split(",")))
            return _Call(now=self._now(), arguments=query, parameters=body, persist=persist)
        entries = body.get("parameters") or []
        if not isinstance(entries, list) or not all(
            isinstance(one, Mapping) and "name" in one for one in entries
        ):
            raise _Refused("Wrong parameters", "The parameters are no list of names and values.")
        return _Call(
            now=self._now(),
            arguments=body,
            parameters={str(one["name"]): one.get("value") for one in entries},
            persist=frozenset(str(one["name"]) for one in entries if one.get("persist") is True),
        )

    def _find(self, process_id: str) -> Instance | None:
        """Return an instance as it is now; one that its scheme deletes is gone."""
        found = self._instances.get(_key(process_id))
        if found is not None:
            found.proceed(self._now())
            if found.is_purged:
                del self._instances[found.id]
                return None
        return found

    def _there(self, process_id: str) -> Instance:
        found = self._find(process_id)
        if found is None:
            raise _Refused("Process not found", f"There is no process '{process_id}'.", status=404)
        return found

    def _create(self, process_id: str, call: _Call) -> None:
        code = call.text("schemeCode")
        scheme = self._schemes.get(code)
        if scheme is None:
            raise _Refused("Scheme not found", f"There is no scheme '{code}'.")
        if self._find(process_id) is not None:
            self.refused_creations.append(process_id)
            raise _Refused("Process exists", f"There is a process '{process_id}' already.")
        self.created.append(process_id)
        self._instances[process_id] = Instance(
            process_id=process_id, scheme=scheme, parameters=call.kept, now=call.now
        )

    def _exists(self, process_id: str, _: _Call) -> bool:
        return self._find(process_id) is not None

    def _info(self, process_id: str, _: _Call) -> dict[str, Any]:
        return self._there(process_id).info()

    def _commands(self, process_id: str, _: _Call) -> list[dict[str, Any]]:
        found = self._there(process_id)
        return [
            {
                "CommandName": name,
                "LocalizedName": name.capitalize(),
                "Classifier": "NotSpecified",
                "ProcessId": process_id,
                "ValidForActivityName": found.activity.name,
                "ValidForStateName": found.activity.state or None,
                "Parameters": [],
            }
            for name in found.commands()
        ]

    def _execute(self, process_id: str, call: _Call) -> dict[str, Any]:
        found, name = self._there(process_id), call.text("command")
        executed = found.command(name, parameters=call.kept, now=call.now)
        if executed:
            self.commands.append(
                ExecutedCommand(
                    process_id=process_id,
                    command=name,
                    identity_id=call.identity_id,
                    parameters=dict(call.parameters),
                )
            )
        elif self.profile.unavailable_command == "refused":
            raise _Refused("Command is not valid", f"The command '{name}' is not available now.")
        return {"WasExecuted": executed, "ProcessInstance": found.info()}

    def _states(self, process_id: str, _: _Call) -> list[dict[str, Any]]:
        scheme = self._there(process_id).scheme
        return [{"Name": state, "VisibleName": state, "SchemeCode": scheme.code} for state in scheme.states]

    def _set_state(self, process_id: str, call: _Call) -> None:
        found, state = self._there(process_id), call.text("state")
        if found.status in {InstanceStatus.FINALIZED, InstanceStatus.TERMINATED}:
            raise _Refused("Process is finished", f"The process '{process_id}' has ended.")
        if not found.set_state(state, parameters=call.kept, now=call.now):
            raise _Refused("State not found", f"The scheme has no state '{state}'.")

    def _set_parameter(self, process_id: str, call: _Call) -> None:
        found, name = self._there(process_id), call.text("parameter")
        if "value" not in call.arguments:
            raise _Refused("Wrong parameters", "The parameter 'value' is missing.")
        found.parameters[name] = call.arguments["value"]

    def _get_parameter(self, process_id: str, call: _Call) -> Any:
        return self._there(process_id).parameters.get(call.text("parameter"))

    def _delete(self, process_id: str, _: _Call) -> None:
        self._there(process_id)
        del self._instances[process_id]
        self.deleted.append(process_id)

    def _scheme_list(self, call: _Call) -> list[str]:
        wanted = {tag for tag in str(call.arguments.get("tags") or "").split(",") if tag}
        return [code for code, scheme in self._schemes.items() if not wanted or wanted & set(scheme.tags)]


_CHANGES = frozenset({"createinstance", "executecommand", "setstate", "setparameter", "deleteinstance"})
_POST_ONLY = frozenset({"setparameter", "deleteinstance"})


def _key(process_id: str) -> str:
    """
    Return a process id in the form that is kept.

    :raises ValueError: if it is no GUID.
    """
    return str(uuid.UUID(process_id))


def _same(given: object, secret: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _read(raw: bytes) -> Mapping[str, Any]:
    """Return a request's JSON object, empty where it has no body."""
    if not raw.strip():
        return {}
    try:
        value = read_json(raw)
    except NotJson as error:
        raise _Refused("Wrong request", f"The body {error}.") from None
    if not isinstance(value, Mapping):
        raise _Refused("Wrong request", "The body is not a JSON object.")
    return value


def _envelope(*, data: Any = None, error: str = "", message: str = "", status: int = 200) -> Response:
    return JSONResponse({"success": not error, "data": data, "error": error, "message": message}, status)
