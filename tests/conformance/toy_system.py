"""A fifth flow system, for tests alone: all there is of it outside of the provider info.

It shows what a system has to bring: a wire, a section of the devserver, a hook, an operator and a sensor.
Nothing of the package knows of it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from starlette.requests import Request as WebRequest
from starlette.responses import JSONResponse
from starlette.responses import Response as WebResponse
from starlette.routing import BaseRoute, Route

from smartflows_provider.exceptions import FlowException, SystemHints
from smartflows_provider.get_provider_info import DEVSERVER_SECTION, System, common_fields
from smartflows_provider.hooks.base import FlowSystemHook
from smartflows_provider.hooks.connection import ConnectionReader
from smartflows_provider.lifecycle.record import RunRecord
from smartflows_provider.lifecycle.run_request import RunRequest, Submission
from smartflows_provider.operators.arguments import text_argument
from smartflows_provider.operators.base import TEMPLATED, RunOperator
from smartflows_provider.operators.remote_run import RemoteRun
from smartflows_provider.output.extractor import DocumentRef, FlowError, Output, plain_values
from smartflows_provider.sensors.base import FlowSensor
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.wire.answers import identifier, object_of, raise_for_status, told, unreadable
from smartflows_provider.wire.documents import Document
from smartflows_provider.wire.messages import (
    JSON_TYPE,
    Exchange,
    Request,
    content_type_header,
    json_body,
    segment,
)
from smartflows_provider.wire.run import NO_TERMS, Execution, Reference, RunPhase, RunSnapshot, Terms

TOY, TOY_LABEL, TOY_CONN_ID = "toy", "Toy Jobs", "toy_default"

# --- wire ---

PHASES = {
    "busy": RunPhase.ACTIVE,
    "done": RunPhase.SUCCEEDED,
    "broken": RunPhase.FAILED,
    "stopped": RunPhase.CANCELED,
}


def start_job(kind: str, *, seconds: float, end: str) -> Exchange[RunSnapshot]:
    response = yield Request(
        method="POST",
        path=f"/jobs/{segment(kind)}",
        headers=content_type_header(JSON_TYPE),
        body=json_body({"seconds": seconds, "end": end}, "the job"),
        repeatable=False,
    )
    return _snapshot(_read(object_of(response), response))


def get_job(job_id: str) -> Exchange[Execution]:
    response = yield Request(method="GET", path=f"/jobs/{segment(job_id)}")
    return _read(object_of(response), response)


def look_at_job(job_id: str) -> Exchange[RunSnapshot]:
    return _snapshot((yield from get_job(job_id)))


def stop_job(job_id: str) -> Exchange[None]:
    raise_for_status((yield Request(method="DELETE", path=f"/jobs/{segment(job_id)}")))


def whoami() -> Exchange[str]:
    return told(object_of((yield Request(method="GET", path="/me"))), "name")


def _read(raw: Mapping[str, Any], response: Any) -> Execution:
    state = raw.get("state")
    if not identifier(raw) or not isinstance(state, str) or not state:
        raise unreadable(response, "lacks 'id' or 'state'")
    phase = PHASES.get(state, RunPhase.UNKNOWN)
    flow = Reference(id=told(raw, "kind"), name=told(raw, "kind"))
    return Execution(id=identifier(raw), status=state[:100], phase=phase, flow=flow, raw=raw)


def _snapshot(job: Execution) -> RunSnapshot:
    return RunSnapshot(execution_id=job.id, status=job.status, phase=job.phase)


def describe_paper(paper_id: str) -> Exchange[Document]:
    raw = object_of((yield Request(method="GET", path=f"/papers/{segment(paper_id)}")))
    return Document(id=paper_id, name=told(raw, "title"), content_type=told(raw, "type"), raw=raw)


# --- the devserver's section ---

PAPER, PAPER_TYPE = b"what the job wrote", "text/plain"


@dataclass(frozen=True, kw_only=True)
class Job:
    kind: str
    ends_at: float
    end: str
    stopped: bool = False


class ToySection:
    name: ClassVar[str] = TOY

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self.key = "toy-key"
        self.jobs: dict[str, Job] = {}
        self.papers: list[str] = []

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/toy/me", self._me, methods=["GET"]),
            Route("/toy/jobs/{name}", self._start, methods=["POST"]),
            Route("/toy/jobs/{name}", self._show, methods=["GET"]),
            Route("/toy/jobs/{name}", self._stop, methods=["DELETE"]),
            Route("/toy/papers/{name}", self._paper, methods=["GET"]),
            Route("/toy/papers/{name}/bytes", self._paper_bytes, methods=["GET"]),
        ]

    def connection(self, *, host: str, port: int) -> dict[str, Any]:
        return {"conn_type": TOY, "host": host, "port": port, "password": self.key}

    def configure(self, **choices: Any) -> None:
        if choices:
            raise ValueError("the toy has no choices")

    def begin(self, *, seconds: float, end: str, kind: str = "job") -> str:
        with self._lock:
            job_id = str(uuid.uuid4())
            self.jobs[job_id] = Job(kind=kind, ends_at=self._now() + seconds, end=end)
        return job_id

    def state_of(self, job_id: str) -> str:
        job = self.jobs[job_id]
        if job.stopped:
            return "stopped"
        return job.end if job.ends_at <= self._now() else "busy"

    def _refused(self, request: WebRequest) -> WebResponse | None:
        if request.headers.get("x-toy") == self.key:
            return None
        return JSONResponse({"message": f"unknown key {request.headers.get('x-toy')}"}, 401)

    async def _me(self, request: WebRequest) -> WebResponse:
        return self._refused(request) or JSONResponse({"name": "Toy user"})

    async def _start(self, request: WebRequest) -> WebResponse:
        if refused := self._refused(request):
            return refused
        asked = await request.json()
        job_id = self.begin(seconds=asked["seconds"], end=asked["end"], kind=request.path_params["name"])
        return self._shown(job_id)

    async def _show(self, request: WebRequest) -> WebResponse:
        job_id = request.path_params["name"]
        if job_id not in self.jobs:
            return self._refused(request) or JSONResponse({"message": "no such job"}, 404)
        return self._refused(request) or self._shown(job_id)

    async def _stop(self, request: WebRequest) -> WebResponse:
        job_id = request.path_params["name"]
        if job_id not in self.jobs:
            return self._refused(request) or JSONResponse({"message": "no such job"}, 404)
        if refused := self._refused(request):
            return refused
        if self.state_of(job_id) == "busy":
            self.jobs[job_id] = Job(**{**vars(self.jobs[job_id]), "stopped": True})
        return WebResponse(status_code=204)

    async def _paper(self, request: WebRequest) -> WebResponse:
        refused = self._refused(request)
        return refused or JSONResponse(
            {"title": f"{request.path_params['name'][:4]}.txt", "type": PAPER_TYPE}
        )

    async def _paper_bytes(self, request: WebRequest) -> WebResponse:
        return self._refused(request) or WebResponse(PAPER, media_type=PAPER_TYPE)

    def _shown(self, job_id: str) -> WebResponse:
        state = self.state_of(job_id)
        result = {"result": {"total": 7}, "papers": self.papers} if state == "done" else {}
        reason = {"reason": "The toy broke"} if state == "broken" else {}
        return JSONResponse(
            {"id": job_id, "kind": self.jobs[job_id].kind, "state": state, **result, **reason}
        )


# --- hook ---


class ToyHook(FlowSystemHook):
    conn_name_attr = "toy_conn_id"
    default_conn_name = TOY_CONN_ID
    conn_type = TOY
    hook_name = TOY_LABEL
    system = TOY_LABEL
    hints = SystemHints(clean_up="the toy box's clean-up settings")

    def __init__(self, toy_conn_id: str = TOY_CONN_ID) -> None:
        super().__init__(toy_conn_id)

    def read_settings(self, reader: ConnectionReader) -> ClientSettings:
        return reader.settings(api_prefix="/toy", auth_headers={"X-Toy": reader.password})

    def look_exchange(
        self, execution_id: str, *, hold_seconds: float | None, terms: Terms = NO_TERMS
    ) -> Exchange[RunSnapshot]:
        return look_at_job(execution_id)

    def cancel_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[RunSnapshot | None]:
        return stop_job(execution_id)

    def execution_exchange(self, execution_id: str, *, terms: Terms = NO_TERMS) -> Exchange[Execution]:
        return get_job(execution_id)

    def output_of(self, execution: Execution, *, values_by_title: bool = False) -> Output:
        result, reason = execution.raw.get("result"), told(execution.raw, "reason")
        values, notes = plain_values(result if isinstance(result, Mapping) else {})
        errors = (FlowError(error="", message=reason),) if reason else ()
        papers = execution.raw.get("papers")
        documents = (
            tuple(DocumentRef(id=one, name=one, path="papers") for one in papers)
            if isinstance(papers, list)
            else ()
        )
        return Output(values=values, warnings=notes, errors=errors, documents=documents)

    def document_exchange(self, document_id: str) -> Exchange[Document]:
        return describe_paper(document_id)

    def document_request(self, document_id: str) -> Request:
        return Request(method="GET", path=f"/papers/{segment(document_id)}/bytes")

    def test_connection(self) -> tuple[bool, str]:
        try:
            return True, f"Connected as {self.run(whoami())}."
        except FlowException as error:
            return False, str(error)


# --- operator and sensor ---

PACKAGE = "smartflows_provider"
"""Where a further system's would be: what others derive from them may need a worker where these need none."""


class ToyRun(RemoteRun):
    _operator: ToyRunJobOperator

    @property
    def _flow_label(self) -> str:
        return self._operator.kind

    @contextmanager
    def _request(self, fate: str) -> Iterator[RunRequest]:
        operator, client = self._operator, self._hook.client
        text_argument(operator.kind, "kind", where=self._where())
        self._check_results(fate)

        def send() -> RunSnapshot:
            self._ready_to_send()
            return client.run(start_job(operator.kind, seconds=operator.seconds, end=operator.end))

        def prepare(_: RunRecord | None) -> Submission:
            return Submission(send=send)

        given = json.dumps([operator.kind, operator.seconds, operator.end])
        yield RunRequest(
            flow=operator.kind,
            fingerprint=hashlib.sha256(given.encode()).hexdigest(),
            prepare=prepare,
            candidates=lambda since: [],
        )


class ToyRunJobOperator(RunOperator):
    __module__ = f"{PACKAGE}.operators.toy"
    system = TOY
    conn_id_field = "toy_conn_id"
    template_fields = ("kind", "toy_conn_id", *TEMPLATED)

    def __init__(
        self,
        *,
        kind: str,
        seconds: float = 0.0,
        end: Literal["done", "broken"] = "done",
        toy_conn_id: str = TOY_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.seconds = seconds
        self.end = end
        self.toy_conn_id = toy_conn_id

    def make_run(self, context: Any) -> ToyRun:
        return ToyRun(self, context)


class ToyJobSensor(FlowSensor):
    __module__ = f"{PACKAGE}.sensors.toy"
    system = TOY
    conn_id_field = "toy_conn_id"
    execution_id_field = "job_id"
    template_fields = ("job_id", "toy_conn_id")

    def __init__(self, *, job_id: str, toy_conn_id: str = TOY_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.toy_conn_id = toy_conn_id


# --- the provider info ---

SYSTEM = System(
    label=TOY_LABEL,
    doc_url="https://toy.example/",
    module="toy",
    has_sensors=True,
    connection={
        "connection-type": TOY,
        "hook-class-name": f"{__name__}.ToyHook",
        DEVSERVER_SECTION: f"{__name__}.ToySection",
        "hook-name": TOY_LABEL,
        "ui-field-behaviour": {"hidden-fields": ["schema", "login"], "relabeling": {"password": "Toy key"}},
        "conn-fields": common_fields(api_prefix="/toy"),
    },
)
