"""The stand-in for the Orchestrator API of the Omilia Cloud Platform (OCP), with handles for tests.

It answers flows and their statuses below ``/api`` and ``/orchestrator/api`` alike, to holders of the personal
access token or of a token that its sign-in server, a small part of a Keycloak, has given for a password.
Where the vendor's pages are silent its behaviour is an :class:`OcpProfile`. Invariants: nothing is answered
without a valid token; a secret that turns up in an address is remembered in ``leaks``; the state is in
memory, may be touched from any thread, and ends with the server.
"""

from __future__ import annotations

import hmac
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from smartflows_provider.devserver.json_values import NotJson, read_json
from smartflows_provider.devserver.sections import changed, path_part
from smartflows_provider.option_words import check_word, check_words
from smartflows_provider.wire.ocp_status import STATUS_WORDS

DEFAULT_TOKEN = "ocp-token"  # noqa: S105 - a stand-in's
DEFAULT_USER = "ada"
DEFAULT_PASSWORD = "ocp-password"  # noqa: S105 - a stand-in's
REALM = "devserver"
CLIENT_ID = "ocp"
PREFIXES = ("/api", "/orchestrator/api")
_TOKEN_PATH = "/auth/realms/{realm}/protocol/openid-connect/token"  # noqa: S105 - a path
_NAME = re.compile(r"[A-Za-z0-9_]+")
_FIELDS = ("input_fields", "output_fields")
_INVALID_NAME = (
    "Invalid flow name. Flow name must contain only alphanumeric characters and the underscore character."
)


@dataclass(frozen=True, kw_only=True)
class OcpProfile:
    """One reading of everything that is a setting of the platform, or that the vendor leaves open."""

    access: Literal["token", "password"] = "token"
    """What :meth:`OcpSection.connection` brings along; both are let in."""
    ids: Literal["shown", "hidden"] = "shown"
    """Whether a flow in an answer has an ``id``."""
    groups: Literal["shown", "hidden"] = "shown"
    """Whether a flow in an answer has a ``group``."""
    found: Literal["list", "object", "page"] = "list"
    """What a name that is found is answered with; several are never one object."""
    none_found: Literal["missing", "empty"] = "missing"
    """A name that no flow has is a 404, or an empty list."""
    taken_name: Literal["refused", "allowed"] = "refused"
    """Whether a second flow can have a name that is taken."""
    error_body: Literal["json", "html", "empty"] = "json"
    """The form of an error's body; those that the vendor documents are JSON always."""
    token_refusal: Literal[401, 400] = 401
    """HTTP status where the sign-in server does not take a password."""
    token_seconds: float = 300.0
    """Lifetime of a token that was given for a password."""

    def __post_init__(self) -> None:
        check_words(self)
        if not 0 < self.token_seconds < float("inf"):
            raise ValueError(f"token_seconds is {self.token_seconds!r}, but must be a finite number above 0")


PROFILES: Mapping[str, OcpProfile] = {
    "default": OcpProfile(),
    "single_html": OcpProfile(found="object", error_body="html", taken_name="allowed"),
    "page_without_ids": OcpProfile(found="page", ids="hidden", groups="hidden", none_found="empty"),
    "password_silent": OcpProfile(access="password", error_body="empty", token_refusal=400),
}
"""Profiles that together take every choice at least once."""


@dataclass(frozen=True, kw_only=True)
class OcpCall:
    """A call of the API that was let in."""

    method: str
    path: str
    """Below the prefix, decoded."""
    query: Mapping[str, str]


@dataclass(kw_only=True)
class _Flow:
    id: str
    name: str
    group: str
    input_fields: list[str]
    output_fields: list[str]
    canvas_id: str
    statuses: list[tuple[float, str]] = field(default_factory=list)
    """From which moment on it has which status, in the order in which they were set."""
    used_by: list[str] = field(default_factory=list)

    def status(self, now: float) -> str:
        return [word for since, word in self.statuses if since <= now][-1]


@dataclass(frozen=True, kw_only=True)
class _Issued:
    value: str = field(repr=False)
    until: float


class _Refused(Exception):
    """What is answered with an error."""

    def __init__(
        self,
        status: int,
        body: Mapping[str, Any],
        *,
        documented: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.documented = documented
        self.headers = headers


class OcpSection:
    """
    A platform with flows, a personal access token and one user.

    :param now: gives the server's epoch seconds.
    """

    name: ClassVar[str] = "ocp"

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._flows: dict[str, _Flow] = {}
        self._valid: list[_Issued] = []
        self._throttled = 0
        self._retry_after: int | None = None
        self.profile = OcpProfile()
        """How it behaves; replaced by :meth:`configure`."""
        self.token = DEFAULT_TOKEN
        """The personal access token that is valid now."""
        self.user = DEFAULT_USER
        self.password = DEFAULT_PASSWORD
        """The user's password that is valid now."""
        self.calls: list[OcpCall] = []
        """The calls that were let in, oldest first."""
        self.created: list[str] = []
        """Ids of the flows that were created over the API, in their order."""
        self.updated: list[str] = []
        """Ids of the flows whose fields were replaced over the API, once for each time."""
        self.deleted: list[str] = []
        """Ids of the flows that were deleted over the API."""
        self.issued: list[str] = []
        """The tokens that were given out for a password."""
        self.refused_passwords = 0
        """How often a token was asked for in vain."""
        self.leaks: list[str] = []
        """Method and path of each request whose address held a secret."""

    # --- as a section ---------------------------------------------------------------------------------

    def routes(self) -> Sequence[BaseRoute]:
        """Return the API below both of its prefixes, and the sign-in server's token address."""
        return [
            *(
                Route(f"{prefix}{path}", self._guarded(prefix, handler), methods=[method])
                for prefix in PREFIXES
                for method, path, handler in (
                    ("GET", "/flows/", self._find),
                    ("POST", "/flows/", self._create),
                    ("GET", "/flows/{id}/", self._read),
                    ("PUT", "/flows/{id}/", self._update),
                    ("DELETE", "/flows/{id}/", self._delete),
                    ("GET", "/apps/{id}/status/", self._status),
                )
            ),
            Route(_TOKEN_PATH, self._give_token, methods=["POST"]),
        ]

    def connection(self, *, host: str, port: int) -> dict[str, Any]:
        """Return the Airflow connection that leads to it as it is configured now."""
        connection = {"conn_type": self.name, "host": host, "port": port}
        if self.profile.access == "token":
            return {**connection, "password": self.token}
        extra = {"access": "password", "realm": REALM}
        return {**connection, "login": self.user, "password": self.password, "extra": extra}

    def configure(self, **choices: Any) -> None:
        """
        Change some choices of its profile.

        :raises ValueError: for an unknown name or value; the message lists what there is.
        """
        self.profile = changed(self.profile, choices)

    # --- handles for tests ----------------------------------------------------------------------------

    def add_flow(
        self,
        name: str,
        *,
        group: str = "default",
        status: str = "not-deployed",
        input_fields: Sequence[str] = (),
        output_fields: Sequence[str] = (),
    ) -> str:
        """
        Add a flow, also under a name that is taken, and return its id.

        :raises ValueError: for a status that the vendor does not document.
        """
        check_word("status", status, STATUS_WORDS)
        with self._lock:
            return self._add(name, group, status, list(input_fields), list(output_fields)).id

    def set_status(self, flow_id: str, status: str, *, after: float = 0.0) -> None:
        """
        Give a flow a status, documented or not.

        :param after: seconds of the server's clock until then.
        :raises KeyError: if there is no such flow.
        """
        with self._lock:
            self._flows[flow_id].statuses.append((self._now() + after, status))

    def use(self, flow_id: str, *, by: Sequence[str]) -> None:
        """
        Let apps and flows use a flow, so that it cannot be deleted; none lets it go.

        :raises KeyError: if there is no such flow.
        """
        with self._lock:
            self._flows[flow_id].used_by = list(by)

    def remove(self, flow_id: str) -> None:
        """
        Let a flow be there no more, as if somebody else had deleted it.

        :raises KeyError: if there is no such flow.
        """
        with self._lock:
            del self._flows[flow_id]

    def flow(self, flow_id: str) -> dict[str, Any]:
        """
        Return a flow with its id, group and status, whatever the profile hides.

        :raises KeyError: if there is no such flow.
        """
        with self._lock:
            found = self._flows[flow_id]
            shown = {"id": found.id, "group": found.group, "status": found.status(self._now())}
            return {**self._shown(found), **shown}

    def flows(self) -> list[dict[str, Any]]:
        """Return all flows as :meth:`flow` does, in the order in which they came."""
        with self._lock:
            return [self.flow(flow_id) for flow_id in self._flows]

    def asked(self, method: str, path_end: str = "") -> list[str]:
        """Return the paths of the calls of a method that were let in and end in a word."""
        with self._lock:
            return [
                call.path for call in self.calls if call.method == method and call.path.endswith(path_end)
            ]

    def throttle(self, count: int, *, retry_after: int | None = None) -> None:
        """Answer the next calls with 429, perhaps with the wish for a pause in seconds."""
        with self._lock:
            self._throttled, self._retry_after = count, retry_after

    def rotate(self, token: str) -> None:
        """Make this the personal access token that is valid, and the one before invalid."""
        with self._lock:
            self.token = token

    def rotate_password(self, password: str) -> None:
        """Give the user another password; tokens that were given out for the former one end too."""
        with self._lock:
            self.password = password
            self._valid.clear()

    def revoke_tokens(self) -> None:
        """End the tokens that were given out; the password stays."""
        with self._lock:
            self._valid.clear()

    # --- letting in -----------------------------------------------------------------------------------

    async def _give_token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        with self._lock:
            self._note_leak(request)
            if request.path_params["realm"] != REALM:
                return JSONResponse({"error": "Realm does not exist"}, 404)
            if form.get("client_id") != CLIENT_ID:
                self.refused_passwords += 1
                said = {"error": "invalid_client", "error_description": "Invalid client credentials"}
                return JSONResponse(said, self.profile.token_refusal)
            if form.get("grant_type") != "password":
                said = {
                    "error": "unsupported_grant_type",
                    "error_description": "Unsupported grant_type",
                }
                return JSONResponse(said, 400)
            known = _same(form.get("username"), self.user) and _same(form.get("password"), self.password)
            if not known:
                self.refused_passwords += 1
                said = {"error": "invalid_grant", "error_description": "Invalid user credentials"}
                return JSONResponse(said, self.profile.token_refusal)
            issued = f"bearer-{len(self.issued) + 1}-{uuid.uuid4()}"
            self.issued.append(issued)
            self._valid.append(_Issued(value=issued, until=self._now() + self.profile.token_seconds))
            seconds = self.profile.token_seconds
        return JSONResponse(
            {
                "access_token": issued,
                "expires_in": seconds,
                "refresh_expires_in": 1800,
                "refresh_token": f"refresh-{uuid.uuid4()}",
                "token_type": "Bearer",
                "not-before-policy": 0,
                "scope": "email profile",
            }
        )

    def _may_enter(self, request: Request) -> bool:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer":
            return False
        now = self._now()
        return _same(value, self.token) or any(
            _same(value, one.value) for one in self._valid if now < one.until
        )

    def _note_leak(self, request: Request) -> None:
        address = unquote(f"{request.url.path}?{request.url.query}")
        if any(secret in address for secret in (self.token, self.password, *self.issued)):
            self.leaks.append(f"{request.method} {request.url.path}")

    def _guarded(
        self, prefix: str, handler: Callable[[Request, bytes], Response]
    ) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            try:
                with self._lock:
                    self._note_leak(request)
                    self._let_in(request, prefix)
                    return handler(request, body)
            except _Refused as refused:
                return self._refusal(refused)

        return endpoint

    def _let_in(self, request: Request, prefix: str) -> None:
        if self._throttled:
            self._throttled -= 1
            headers = {} if self._retry_after is None else {"Retry-After": str(self._retry_after)}
            raise _Refused(429, {"detail": "Request was throttled."}, headers=headers)
        if not self._may_enter(request):
            raise _Refused(
                401, {"detail": "Invalid or expired token."}, headers={"WWW-Authenticate": "Bearer"}
            )
        path = request.scope["path"].removeprefix(prefix).replace("%2F", "/")
        self.calls.append(OcpCall(method=request.method, path=path, query=dict(request.query_params)))

    def _refusal(self, refused: _Refused) -> Response:
        form = "json" if refused.documented else self.profile.error_body
        if form == "html":
            return HTMLResponse(f"<h1>Error {refused.status}</h1>", refused.status, refused.headers)
        if form == "empty":
            return Response(status_code=refused.status, headers=refused.headers)
        return JSONResponse(refused.body, refused.status, refused.headers)

    # --- calls ----------------------------------------------------------------------------------------

    def _find(self, request: Request, body: bytes) -> Response:
        del body
        wanted = {
            key: request.query_params[f"{key}__iexact"].casefold()
            for key in ("name", "group")
            if request.query_params.get(f"{key}__iexact")
        }
        found = [
            flow
            for flow in self._flows.values()
            if all(getattr(flow, key).casefold() == value for key, value in wanted.items())
        ]
        if not found and wanted and self.profile.none_found == "missing":
            raise _missing()
        shown = [self._shown(flow) for flow in found]
        if self.profile.found == "object" and len(shown) == 1 and wanted:
            return JSONResponse(shown[0])
        if self.profile.found == "page":
            return JSONResponse({"count": len(shown), "next": None, "previous": None, "results": shown})
        return JSONResponse(shown)

    def _read(self, request: Request, body: bytes) -> Response:
        del body
        return JSONResponse(self._shown(self._named(request)))

    def _create(self, request: Request, body: bytes) -> Response:
        del request
        given = _object_in(body)
        name = given.get("name")
        problems = _problems(given)
        if not isinstance(name, str) or not name:
            problems["name"] = ["This field is required."]
        elif not _NAME.fullmatch(name):
            problems["name"] = [_INVALID_NAME]
        elif self.profile.taken_name == "refused" and self._is_taken(name):
            problems["name"] = ["Flow with this name already exists."]
        if problems:
            raise _Refused(400, problems, documented=True)
        lists = [list(given.get(key, [])) for key in _FIELDS]
        flow = self._add(str(name), "default", "not-deployed", *lists)
        self.created.append(flow.id)
        return JSONResponse(self._shown(flow), 201)

    def _update(self, request: Request, body: bytes) -> Response:
        flow, given = self._named(request), _object_in(body)
        problems = _problems(given)
        if problems:
            raise _Refused(400, problems, documented=True)
        for key in _FIELDS:
            setattr(flow, key, list(given.get(key, [])))
        self.updated.append(flow.id)
        return JSONResponse(self._shown(flow))

    def _delete(self, request: Request, body: bytes) -> Response:
        del body
        flow = self._named(request)
        if flow.used_by:
            users = ",".join(flow.used_by)
            said = f"Cannot delete the Flow, because it is used by these apps/flows: {users}"
            raise _Refused(409, {"detail": said}, documented=True)
        del self._flows[flow.id]
        self.deleted.append(flow.id)
        return Response(status_code=204)

    def _status(self, request: Request, body: bytes) -> Response:
        del body
        return JSONResponse({"status": self._named(request).status(self._now())})

    def _named(self, request: Request) -> _Flow:
        flow = self._flows.get(path_part(request, "id"))
        if flow is None:
            raise _missing()
        return flow

    def _is_taken(self, name: str) -> bool:
        return any(flow.name.casefold() == name.casefold() for flow in self._flows.values())

    def _add(
        self, name: str, group: str, status: str, input_fields: list[str], output_fields: list[str]
    ) -> _Flow:
        flow = _Flow(
            id=str(uuid.uuid4()),
            name=name,
            group=group,
            input_fields=input_fields,
            output_fields=output_fields,
            canvas_id=str(uuid.uuid4()),
            statuses=[(0.0, status)],
        )
        self._flows[flow.id] = flow
        return flow

    def _shown(self, flow: _Flow) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": flow.id} if self.profile.ids == "shown" else {}
        shown["name"] = flow.name
        if self.profile.groups == "shown":
            shown["group"] = flow.group
        lists = {key: list(getattr(flow, key)) for key in _FIELDS}
        return {**shown, **lists, "canvas_id": flow.canvas_id}


def _missing() -> _Refused:
    return _Refused(404, {"detail": "Not found."})


def _object_in(body: bytes) -> Mapping[str, Any]:
    """
    Return the object that a body holds.

    :raises _Refused: 400 for anything else.
    """
    try:
        given = read_json(body)
    except NotJson as error:
        raise _Refused(400, {"detail": f"JSON parse error - the body {error}"}) from None
    if not isinstance(given, Mapping):
        raise _Refused(400, {"non_field_errors": ["Invalid data. Expected an object."]})
    return given


def _problems(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what is wrong with lists of fields, by field."""
    return {
        key: ["Expected a list of texts."]
        for key in _FIELDS
        if key in given
        and not (isinstance(given[key], list) and all(isinstance(name, str) for name in given[key]))
    }


def _same(given: str | None, wanted: str) -> bool:
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))
