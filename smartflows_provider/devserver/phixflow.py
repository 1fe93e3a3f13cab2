"""A stand-in for a PhixFlow server: actionflow endpoints in both modes, and the status of their runs.

Endpoints are added in Python, each as its author would set it up. Invariants: nobody but the holder of the
present key reaches an endpoint that is not anonymous; what is kept of a call never holds the key; the state
is in memory, may be touched from any thread, and ends with the server.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from smartflows_provider.devserver.phixflow_endpoints import BUNDLED, Endpoint, Run
from smartflows_provider.devserver.phixflow_profiles import PhixFlowProfile, id_path, terms_of
from smartflows_provider.devserver.sections import changed
from smartflows_provider.wire.phixflow import TIMEOUT_PARAMETER
from smartflows_provider.wire.phixflow_paths import API_PREFIX
from smartflows_provider.wire.phixflow_terms import ActionflowTerms

DEFAULT_KEY = "phixflow-key"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_FIRST_ID = 4711
_GLANCE_SECONDS = 0.02
"""How often a held call looks at its run, whose clock may be put ahead."""


@dataclass(frozen=True, kw_only=True)
class ActionflowCall:
    """A call of an endpoint that was let in, as it came."""

    application: str
    actionflow: str
    process_id: str
    method: str
    query: Mapping[str, str]
    """Input parameters, and ``timeout``."""
    headers: Mapping[str, str]
    """Names in lower case, without the key's."""
    body: bytes = field(repr=False)


class _Refused(Exception):
    """A call that is not answered by an endpoint."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class PhixFlowSection:
    """
    Actionflow endpoints.

    :param now: gives the server's epoch seconds.
    """

    name: ClassVar[str] = "phixflow"

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._runs: dict[str, Run] = {}
        self._calls: list[ActionflowCall] = []
        self._looks: list[str] = []
        self._numbers = itertools.count(_FIRST_ID)
        self.key = DEFAULT_KEY
        """The key that is valid now."""
        self.profile = PhixFlowProfile()
        """How it behaves where the vendor's documents are silent. May be set at any time."""
        for endpoint in BUNDLED:
            self._add(endpoint)

    # --- what the server asks -------------------------------------------------------------------------

    def routes(self) -> Sequence[BaseRoute]:
        """Return the one route below which all endpoints are."""
        return [Route(f"{API_PREFIX}/action/{{rest:path}}", self._answer, methods=list(_METHODS))]

    def connection(self, *, host: str, port: int) -> dict[str, Any]:
        """Return the Airflow connection that leads here, with the profile's form of the key."""
        return {
            "conn_type": self.name,
            "host": host,
            "port": port,
            "password": self.key,
            "extra": {
                "key_header": self.profile.key_header,
                "key_value": "Bearer {key}" if self.profile.key_form == "bearer" else "{key}",
            },
        }

    def configure(self, **choices: Any) -> None:
        """
        Change some choices of the profile.

        :raises ValueError: for an unknown name or value; the message lists what there is.
        """
        self.profile = changed(self.profile, choices)

    # --- handles for tests ----------------------------------------------------------------------------

    def add_endpoint(self, *, application: str = "MyApp", actionflow: str, **settings: Any) -> Endpoint:
        """
        Add an endpoint, or replace the one with its names.

        :param settings: fields of :class:`~.phixflow_endpoints.Endpoint`.
        :raises ValueError: for a mode or outcome there is none of.
        """
        endpoint = Endpoint(application=application, actionflow=actionflow, **settings)
        self._add(endpoint)
        return endpoint

    def _add(self, endpoint: Endpoint) -> None:
        with self._lock:
            self._endpoints[endpoint.application, endpoint.actionflow] = endpoint

    def terms(
        self, *, application: str = "MyApp", actionflow: str = "Nightly", **choices: Any
    ) -> ActionflowTerms:
        """Return what a client must be told about an endpoint under the present profile."""
        return terms_of(self.profile, application=application, actionflow=actionflow, **choices)

    def rotate(self, key: str) -> None:
        """Make this the valid key, and the one before invalid."""
        self.key = key

    @property
    def calls(self) -> list[ActionflowCall]:
        """The calls of endpoints that were let in, oldest first; each began a run."""
        with self._lock:
            return list(self._calls)

    @property
    def started(self) -> int:
        """How many runs began."""
        return len(self.calls)

    @property
    def looks(self) -> list[str]:
        """The process ids whose status was asked, oldest first."""
        with self._lock:
            return list(self._looks)

    def status_of(self, process_id: str) -> str:
        """
        Return what a run came to, ``Running`` while it goes on.

        :raises KeyError: if there is no such run.
        """
        with self._lock:
            ended = self._runs[process_id].look(self._now())
        return ended[0] if ended else "Running"

    def finish(self, process_id: str, *, message: str = "") -> None:
        """
        End a run with success.

        :raises KeyError: if there is no such run.
        """
        with self._lock:
            self._runs[process_id].ended = ("Success", message)

    def fail(self, process_id: str, *, message: str = "") -> None:
        """
        End a run with a failure.

        :raises KeyError: if there is no such run.
        """
        with self._lock:
            self._runs[process_id].ended = ("Fail", message)

    def forget(self, process_id: str) -> None:
        """
        Clean a run up, so that its status is no longer known.

        :raises KeyError: if there is no such run.
        """
        with self._lock:
            del self._runs[process_id]

    # --- calls ----------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        parts = [part.replace("%2F", "/") for part in request.path_params["rest"].split("/")]
        try:
            asked = self._asked_for(parts, request)
            return await self._trigger(parts, request) if asked is None else self._status(asked, request)
        except _Refused as refused:
            return JSONResponse({"message": str(refused)}, refused.status, refused.headers)

    def _asked_for(self, parts: list[str], request: Request) -> str | None:
        """Return the process id whose status is asked at the profile's address; None for other addresses."""
        form = self.profile.status_address
        if form == "process" and len(parts) == 2 and parts[1] == "status":
            return parts[0]
        if form == "endpoint" and len(parts) == 4 and parts[2] == "status":
            return parts[3]
        if form == "query" and parts == ["status"]:
            return request.query_params.get("processId", "")
        return None

    async def _trigger(self, parts: list[str], request: Request) -> Response:
        *names, last = parts
        if last != "trigger" or not names:
            raise _Refused(404, "There is no such address.")
        with self._lock:
            found = [endpoint for endpoint in self._endpoints.values() if endpoint.is_at(names)]
        if len(found) != 1:
            raise _Refused(404, f"{len(found) or 'No'} actionflows are at {'/'.join(names)!r}.")
        endpoint = found[0]
        self._check_key(request, endpoint)
        if request.method != endpoint.method:
            raise _Refused(405, f"The endpoint takes {endpoint.method}.", Allow=endpoint.method)
        limit = _limit(request, endpoint)
        run = self._begin(endpoint, request, await request.body(), limit)
        if endpoint.mode == "poll":
            return self._started(run)
        while (ended := self._look(run)) is None:
            await asyncio.sleep(_GLANCE_SECONDS)
            if await request.is_disconnected():
                # The run goes on without anybody who would read its answer.
                return Response()
        return self._ended(run, *ended)

    def _check_key(self, request: Request, endpoint: Endpoint) -> None:
        if endpoint.anonymous:
            return
        wanted = f"Bearer {self.key}" if self.profile.key_form == "bearer" else self.key
        given = request.headers.get(self.profile.key_header, "")
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise _Refused(401, "The API key is missing or not valid.")

    def _begin(self, endpoint: Endpoint, request: Request, body: bytes, limit: float | None) -> Run:
        key_header = self.profile.key_header.lower()
        with self._lock:
            number = next(self._numbers)
            process_id = str(number) if self.profile.id_kind == "number" else f"run/{number}"
            run = Run(process_id=process_id, endpoint=endpoint, began_at=self._now(), limit_seconds=limit)
            self._runs[process_id] = run
            self._calls.append(
                ActionflowCall(
                    application=endpoint.application,
                    actionflow=endpoint.actionflow,
                    process_id=process_id,
                    method=request.method,
                    query=dict(request.query_params),
                    headers={name: value for name, value in request.headers.items() if name != key_header},
                    body=body,
                )
            )
        return run

    def _look(self, run: Run) -> tuple[str, str] | None:
        with self._lock:
            return run.look(self._now())

    def _status(self, process_id: str, request: Request) -> Response:
        with self._lock:
            run = self._runs.get(process_id)
        if run is None:
            raise _Refused(self.profile.gone, f"There is no process {process_id!r}.")
        self._check_key(request, run.endpoint)
        with self._lock:
            self._looks.append(process_id)
        ended = self._look(run)
        if ended is not None:
            return self._ended(run, *ended)
        word = self.profile.running_word
        return self._told(run.endpoint, 200, word, {"status": word})

    # --- answers --------------------------------------------------------------------------------------

    def _started(self, run: Run) -> Response:
        shown: str | int = run.process_id if "/" in run.process_id else int(run.process_id)
        body: Any = shown
        for key in reversed(id_path(self.profile).split(".")):
            body = {key: body}
        return self._told(run.endpoint, run.endpoint.status_code, run.process_id, body)

    def _ended(self, run: Run, outcome: str, message: str) -> Response:
        endpoint, profile = run.endpoint, self.profile
        went_well = outcome == "Success"
        word = profile.success_word if went_well else profile.failure_word
        if went_well and endpoint.body is not None:
            kind = endpoint.content_type or "application/json"
            return Response(endpoint.body, endpoint.status_code, media_type=kind)
        failure_code = profile.failure_code if endpoint.failure_code is None else endpoint.failure_code
        body: dict[str, Any] = {"status": word, "message": message}
        if went_well and endpoint.result is not None:
            data = {endpoint.output: endpoint.result}
            body |= data if profile.result_form == "named" else {"data": data}
        if endpoint.records is not None:
            body["records"] = [dict(record) for record in endpoint.records]
        text = f"{word}: {message}" if message else word
        return self._told(endpoint, endpoint.status_code if went_well else failure_code, text, body)

    def _told(self, endpoint: Endpoint, status: int, text: str, body: Mapping[str, Any]) -> Response:
        """Return an answer in the endpoint's form, else in the profile's."""
        kind = endpoint.content_type or ("text/plain" if self.profile.body_form == "text" else "")
        if kind and not kind.partition(";")[0].endswith("json"):
            return PlainTextResponse(text, status, media_type=kind)
        return JSONResponse(body, status, media_type=kind or "application/json")


def _limit(request: Request, endpoint: Endpoint) -> float | None:
    """
    Return after how many seconds a run is aborted: by the call, else by the endpoint in its wait mode.

    :raises _Refused: 400 for a time limit that is no number of milliseconds.
    """
    text = request.query_params.get(TIMEOUT_PARAMETER)
    if text is None:
        return endpoint.limit_seconds if endpoint.mode == "wait" else None
    if not (text.isascii() and text.isdigit() and int(text[:10]) > 0 and len(text) < 10):
        raise _Refused(400, f"{TIMEOUT_PARAMETER!r} must be a number of milliseconds.")
    return int(text) / 1000
