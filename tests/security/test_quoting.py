"""Ids, keys and headers from outside, through hook and operators: one path segment each, or refused.

How a single request is quoted is tested in the rooms of the wire and the transport; here hostile words come
in where a DAG author, a template or the service gives them. Each run is held against the same one with a
harmless word: nothing but that word may differ in what reaches the service.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import DAG
from hooks.hook_connections import MODES as HOOK_MODES
from hooks.hook_connections import Caller, connect
from support.loopback_server import Connection, LoopbackServer, Received, answer
from support.outcomes import operator_for
from support.service import CONN_VARIABLE
from support.tasks import MODES, Attempt, Mode, first_event, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowConfigurationError, FlowException, FlowNotFoundError
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.operators.smart_flows import (
    SmartFlowsAnswerFormOperator,
    SmartFlowsCancelExecutionOperator,
    SmartFlowsDownloadDocumentsOperator,
    SmartFlowsGetOutputOperator,
    SmartFlowsSendEventOperator,
)
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor
from smartflows_provider.triggers.execution import FlowExecutionTrigger

HARMLESS = "harmless"
HOSTILE = [
    "../users/me",
    "a/b",
    "a?b=c",
    "a#b",
    "%2e%2e",
    "%2F..%2F",
    "..;/x",
    "...",
    "\\..\\x",
    "a\r\nX-Evil: 1",
    "a\r\n\r\nGET /api/v1/users/me HTTP/1.1\r\nHost: x",
    "a\tb\x00c",
    "Łódź 東京",
    "a b+c&d=e",
    "@evil.example",
    "//evil.example/x",
    "http://evil.example/",
]
UNUSABLE = ["", ".", "..", "\ud800"]
NO_SUCH_THING = answer(404, b'{"message": "no such thing"}')

hostile_words = pytest.mark.parametrize("word", HOSTILE, ids=ascii)


def connection_to(service: LoopbackServer, **fields: Any) -> str:
    given = {"conn_type": "smartflows", "host": service.url, "password": "canary-key", **fields}
    return json.dumps(given)


def answering(reply: Callable[[Received], bytes]) -> Callable[[Connection], None]:
    """Return a script that answers each request as a function of it."""

    def script(connection: Connection) -> None:
        while (received := connection.read_request()) is not None:
            connection.send(reply(received))

    return script


@pytest.fixture
def service(serve: Any, monkeypatch: pytest.MonkeyPatch) -> LoopbackServer:
    """A service that has nothing of what it is asked for, with the default connection to it."""
    made = serve(answering(lambda _: NO_SUCH_THING))
    monkeypatch.setenv(CONN_VARIABLE, connection_to(made))
    return made


def shape(requests: list[Received], word: str) -> list[tuple[str, str, list[str]]]:
    """Return methods, targets and header names, with the word's quoted form taken for the harmless one."""
    quoted, in_query = quote(word, safe=""), quote(word, safe="").replace("%20", "+")
    return [
        (
            one.method,
            one.target.replace(quoted, HARMLESS).replace(in_query, HARMLESS),
            sorted(set(one.headers) - {"content-length"}),
        )
        for one in requests
    ]


def alike(service: LoopbackServer, run: Callable[[str], object], word: str) -> list[Received]:
    """Run something with the harmless and with a hostile word, and insist that only the word differs."""
    run(HARMLESS)
    expected = shape(service.requests, HARMLESS)
    service.requests.clear()
    run(word)
    assert shape(service.requests, word) == expected
    assert expected
    for received in service.requests:
        assert received.target.startswith("/api/v1/")
        assert received.target.isascii()
        assert "x-evil" not in received.headers
    return service.requests


HOOK_CALLS: dict[str, Callable[[Caller, str], object]] = {
    "get_progress": lambda hook, word: hook.get_progress(word),
    "get_execution": lambda hook, word: hook.get_execution(word),
    "get_output": lambda hook, word: hook.get_output(word),
    "get_output of one": lambda hook, word: hook.get_output("e1", output=word),
    "answer_form": lambda hook, word: hook.answer_form(word, {"a": 1}),
    "cancel": lambda hook, word: hook.cancel(word),
    "send_event": lambda hook, word: hook.send_event(word),
    "send_event for an execution": lambda hook, word: hook.send_event("c1", execution_id=word),
    "get_document": lambda hook, word: hook.get_document(word),
    "download_document": lambda hook, word: hook.download(word),
    "find_executions": lambda hook, word: hook.find_executions(flow=word),
}


@hostile_words
@pytest.mark.parametrize("mode", HOOK_MODES)
@pytest.mark.parametrize("call", HOOK_CALLS)
def test_a_word_given_to_the_hook_stays_one_segment_or_one_value(
    service: LoopbackServer, monkeypatch: pytest.MonkeyPatch, call: str, mode: Any, word: str
) -> None:
    hook = connect(monkeypatch, connection_to(service))

    def run(word: str) -> None:
        with pytest.raises(FlowNotFoundError):
            HOOK_CALLS[call](Caller(hook, mode), word)

    alike(service, run, word)


@pytest.mark.parametrize("word", UNUSABLE, ids=ascii)
@pytest.mark.parametrize("mode", HOOK_MODES)
@pytest.mark.parametrize(
    "call", [name for name in HOOK_CALLS if name not in {"get_output of one", "send_event for an execution"}]
)
def test_a_word_that_no_quoting_protects_is_refused_by_the_hook_before_anything_is_sent(
    service: LoopbackServer, monkeypatch: pytest.MonkeyPatch, call: str, mode: Any, word: str
) -> None:
    hook = connect(monkeypatch, connection_to(service))
    with pytest.raises(FlowConfigurationError, match="is not a usable id") as refused:
        HOOK_CALLS[call](Caller(hook, mode), word)
    assert refused.value.fate == "Nothing was sent."
    assert service.requests == []


# --- operators, their arguments rendered ---


def get_output(word: str) -> Any:
    return SmartFlowsGetOutputOperator(task_id="t", execution_id=word)


def download(word: str) -> Any:
    return SmartFlowsDownloadDocumentsOperator(task_id="t", execution_id=word, documents_path="/nowhere")


def download_one(word: str) -> Any:
    return SmartFlowsDownloadDocumentsOperator(task_id="t", document_ids=[word], documents_path="/nowhere")


def answer_form(word: str) -> Any:
    return SmartFlowsAnswerFormOperator(task_id="t", execution_id=word, answers={"a": 1})


def cancel(word: str) -> Any:
    return SmartFlowsCancelExecutionOperator(task_id="t", execution_id=word)


def send_event(word: str) -> Any:
    return SmartFlowsSendEventOperator(task_id="t", callback_id=word)


def sensor(word: str) -> Any:
    return SmartFlowsExecutionSensor(task_id="t", execution_id=word, deferrable=False)


TASKS = [get_output, download, download_one, answer_form, cancel, send_event, sensor]
one_per_task = pytest.mark.parametrize("task", TASKS, ids=lambda make: make.__name__)


def rendered(make: Callable[[str], Any], word: str) -> Any:
    """Return the task that Airflow would execute, its argument filled in by a template."""
    with DAG("d", schedule=None):
        operator = make("{{ word }}")
    task = operator.prepare_for_execution()
    task.render_template_fields({"word": word})
    return task


@hostile_words
@one_per_task
def test_a_word_rendered_into_a_task_stays_one_segment(
    service: LoopbackServer, task: Callable[[str], Any], word: str
) -> None:
    def run(word: str) -> None:
        try:
            run_task(rendered(task, word))
        except FlowException as error:
            assert type(error).__name__ in {"FlowNotFoundError", "FlowExecutionGoneError"}  # noqa: PT017

    alike(service, run, word)


@pytest.mark.parametrize("word", UNUSABLE, ids=ascii)
@one_per_task
def test_a_word_that_no_quoting_protects_is_refused_by_the_task_before_anything_is_sent(
    service: LoopbackServer, task: Callable[[str], Any], word: str
) -> None:
    with pytest.raises(FlowConfigurationError) as refused:
        run_task(rendered(task, word))
    assert "it takes an id or a name as text" in str(refused.value)
    assert service.requests == []


# --- ids that the service itself gives ---


def told_by_the_service(words: list[str]) -> Callable[[Received], bytes]:
    """Return what a service says whose executions and flows have the first word for an id."""

    def reply(received: Received) -> bytes:
        flow = {"id": words[0], "displayName": "Letter"}
        progress = {"id": words[0], "status": "Success", "flow": flow}
        if received.method == "POST":
            progress["status"] = "Running"
        listed = received.target.startswith("/api/v1/flows?")
        return answer(200, json.dumps([flow] if listed else progress).encode())

    return reply


@hostile_words
@pytest.mark.parametrize("mode", MODES)
def test_an_id_given_by_the_service_stays_one_segment(
    serve: Any, monkeypatch: pytest.MonkeyPatch, mode: Mode, word: str
) -> None:
    words = [HARMLESS]
    service = serve(answering(told_by_the_service(words)))
    monkeypatch.setenv(CONN_VARIABLE, connection_to(service))

    def run(word: str) -> None:
        words[0] = word
        manifest = run_task(operator_for(mode, flow="Letter"), Attempt())
        assert manifest["execution_id"] == word

    received = alike(service, run, word)
    assert {"GET", "POST"} == {one.method for one in received}


@hostile_words
def test_an_id_in_the_row_of_a_trigger_stays_one_segment(service: LoopbackServer, word: str) -> None:
    def run(word: str) -> None:
        trigger = FlowExecutionTrigger(
            system="smartflows", conn_id="smartflows_default", execution_id=word, deadline=4e9
        )
        assert first_event(trigger)["reason"] == "gone"

    alike(service, run, word)


# --- keys and addresses of the connection ---


HOSTILE_KEYS = [
    "canary\r\nX-Evil: 1",
    "canary\nX-Evil: 1",
    "canary\rX-Evil: 1",
    "canary\x00",
    "canary\x85X-Evil: 1",
    "canary\u2028X-Evil: 1",
    "kąnary",
    "canary\x7f",
]


@pytest.fixture(params=HOSTILE_KEYS, ids=ascii)
def hostile_key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def as_json(service: LoopbackServer, key: str) -> str:
    return connection_to(service, password=key)


def as_uri(service: LoopbackServer, key: str) -> str:
    return f"smartflows://:{quote(key, safe='')}@127.0.0.1:{service.port}/http"


@pytest.mark.parametrize("written", [as_json, as_uri])
@pytest.mark.parametrize("mode", HOOK_MODES)
def test_a_key_that_no_header_can_carry_is_refused_by_the_hook(
    service: LoopbackServer, monkeypatch: pytest.MonkeyPatch, mode: Any, written: Any, hostile_key: str
) -> None:
    hook = connect(monkeypatch, written(service, hostile_key))
    with pytest.raises(FlowConfigurationError, match="characters that no HTTP header can carry") as refused:
        Caller(hook, mode).list_flows()
    assert "nary" not in str(refused.value)
    assert service.requests == []


@pytest.mark.parametrize("mode", MODES)
def test_a_key_that_no_header_can_carry_is_refused_by_the_task(
    service: LoopbackServer, monkeypatch: pytest.MonkeyPatch, mode: Mode, hostile_key: str
) -> None:
    monkeypatch.setenv(CONN_VARIABLE, as_json(service, hostile_key))
    with pytest.raises(FlowConfigurationError, match="characters that no HTTP header can carry"):
        run_task(operator_for(mode))
    assert service.requests == []


def hostile_extras(service: LoopbackServer) -> Iterator[dict[str, Any]]:
    evil = "\r\nX-Evil: 1"
    yield {"extra": json.dumps({"api_prefix": f"/api/v1{evil}"})}
    yield {"extra": json.dumps({"api_prefix": "/api/v1/../../x?y#z"})}
    yield {"extra": json.dumps({"connect_timeout": f"5{evil}"})}
    yield {"extra": json.dumps({"verify": f"true{evil}"})}
    yield {"extra": json.dumps({"ca_bundle": f"/etc/ssl{evil}"})}
    yield {"extra": json.dumps({"proxy": f"http://u:p{evil}@127.0.0.1:{service.port}{evil}"})}
    yield {"extra": json.dumps({"proxy": f"http://127.0.0.1:{service.port}/{evil}"})}
    yield {"extra": json.dumps({"execution_url": f"{service.url}/{evil}"})}
    yield {"extra": json.dumps({f"X-Evil{evil}": f"1{evil}", "headers": {"X-Evil": "1"}})}
    yield {"host": f"{service.url}{evil}"}
    yield {"host": f"127.0.0.1{evil}", "port": service.port, "schema": "http"}
    yield {"schema": f"http{evil}", "host": "127.0.0.1", "port": service.port}
    yield {"login": f"u{evil}"}


@pytest.mark.parametrize("mode", HOOK_MODES)
def test_no_field_of_the_connection_adds_a_header(
    service: LoopbackServer, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    with pytest.raises(FlowNotFoundError):
        Caller(connect(monkeypatch, connection_to(service)), mode).get_execution("e1")
    (plain,) = service.requests
    reached = 0
    for fields in hostile_extras(service):
        service.requests.clear()
        hook = connect(monkeypatch, connection_to(service, **fields))
        with pytest.raises(FlowException):
            Caller(hook, mode).get_execution("e1")
        for received in service.requests:
            reached += 1
            # A proxy is told its own credentials, as one header.
            added = set(received.headers) - set(plain.headers)
            assert added <= {"proxy-authorization", "proxy-connection"}, fields
            assert "x-evil" not in received.headers
            assert "\r" not in received.target
    assert reached


def test_blanks_around_a_key_are_no_part_of_it(
    service: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(monkeypatch, connection_to(service, password=" canary-key\r\n"))
    with pytest.raises(FlowNotFoundError):
        hook.get_execution("e1")
    (received,) = service.requests
    assert received.headers["x-api-key"] == "canary-key"


# --- the address of the link ---


@hostile_words
def test_an_id_stays_one_word_in_the_address_that_people_open(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    extra = json.dumps({"execution_url": "https://flows.example/run?id={execution_id}&tab=1"})
    given = {**json.loads(server.connection_json()), "extra": extra}
    monkeypatch.setenv(CONN_VARIABLE, json.dumps(given))
    url = SmartFlowsHook().execution_url(word)
    assert url == f"https://flows.example/run?id={quote(word, safe='')}&tab=1"


async def test_both_modes_ask_for_the_same_address(
    service: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(monkeypatch, connection_to(service))
    for word in HOSTILE:
        with pytest.raises(FlowNotFoundError):
            await asyncio.to_thread(hook.get_execution, word)
        with pytest.raises(FlowNotFoundError):
            await hook.aget_execution(word)
    await hook.aclose()
    targets = [one.target for one in service.requests]
    assert targets[::2] == targets[1::2]
    assert len(targets) == 2 * len(HOSTILE)
