"""The hook for PhixFlow: its connection, and its calls in both modes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, Literal

import pytest
from jsonschema import validate
from support.airflow_versions import needs_lenient_connections

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowConfigurationError,
    FlowNotFoundError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.hooks.phixflow import PhixFlowHook
from smartflows_provider.hooks.translation import OPEN
from smartflows_provider.lifecycle.systems import hook_for
from smartflows_provider.output.errors import OutputError
from smartflows_provider.wire.errors import NotFound
from smartflows_provider.wire.messages import Request, Response
from smartflows_provider.wire.phixflow_terms import ActionflowTerms
from smartflows_provider.wire.run import Execution, Reference, RunPhase

CONN = "AIRFLOW_CONN_PHIXFLOW_DEFAULT"
Mode = Literal["sync", "async"]
COMMON = {
    "verify", "ca_bundle", "client_cert", "proxy", "connect_timeout", "read_timeout", "api_prefix",
    "max_connections", "execution_url",
}  # fmt: skip


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> PhixFlowHook:
    made = {"conn_type": "phixflow", "host": "app.example", "password": "canary-key", **fields}
    monkeypatch.setenv(CONN, json.dumps(made))
    return PhixFlowHook()


@pytest.fixture
def section(smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> PhixFlowSection:
    monkeypatch.setenv(CONN, smart_flows_server.section_connection_json(PhixFlowSection))
    return smart_flows_server.section(PhixFlowSection)


def ask(mode: Mode, name: str, *args: Any, **more: Any) -> Any:
    """Call a method of a hook in either mode."""
    if mode == "sync":
        with PhixFlowHook() as hook:
            return getattr(hook, name)(*args, **more)

    async def call() -> Any:
        async with PhixFlowHook() as hook:
            answer: Awaitable[Any] = getattr(hook, f"a{name}")(*args, **more)
            return await answer

    return asyncio.run(call())


# --- the connection ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {"Authorization": "Bearer canary-key"}),
        ({"extra": {"key_header": "X-API-Key", "key_value": "{key}"}}, {"X-API-Key": "canary-key"}),
        ({"extra": {"key_value": "Key {key}, v2"}}, {"Authorization": "Key canary-key, v2"}),
        ({"extra": {"key_header": "", "key_value": None}}, {"Authorization": "Bearer canary-key"}),
        ({"password": None}, {}),
        ({"password": "  "}, {}),
    ],
)
def test_the_key_goes_into_the_header_that_the_connection_names(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    settings = connect(monkeypatch, **fields).settings
    assert settings.auth_headers == headers
    assert "canary" not in repr(settings)
    assert (settings.base_url, settings.api_prefix) == ("https://app.example", "/phixflow/api/1")
    assert settings.long_poll_seconds == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"extra": {"key_header": "X Key"}}, "The connection's extra 'key_header' is 'X Key'."),
        ({"extra": {"key_header": "Host"}}, "The connection's extra 'key_header' is 'Host'."),
        ({"extra": {"key_value": "Bearer"}}, "The connection's extra 'key_value' lacks {key}, or holds"),
        (
            {"extra": {"key_value": "{key}\r\nX: y"}},
            "The connection's extra 'key_value' lacks {key}, or holds",
        ),
        ({"password": "canary\nkey"}, "The connection's API key holds characters that no HTTP header can"),
        ({"host": ""}, "The connection has no host."),
        pytest.param(
            {"extra": "no JSON"},
            "The connection's extra is not a JSON object.",
            marks=needs_lenient_connections,
        ),
    ],
)
def test_a_connection_that_cannot_be_used_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(FlowConfigurationError) as caught:
        _ = connect(monkeypatch, **fields).settings
    assert str(caught.value).startswith(message)
    assert "canary" not in str(caught.value)


def form() -> dict[str, Any]:
    (entry,) = [
        one for one in get_provider_info()["connection-types"] if one["connection-type"] == "phixflow"
    ]
    return entry


def test_the_form_declares_exactly_the_extras_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()

    class Noting(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    from smartflows_provider.hooks import base

    hook = connect(monkeypatch)
    reader = base.ConnectionReader
    monkeypatch.setattr(
        base,
        "ConnectionReader",
        lambda connection, *, extra, **more: reader(connection, extra=Noting(extra), **more),
    )
    assert hook.settings
    assert read == set(form()["conn-fields"])
    assert read == COMMON | {"key_header", "key_value", "test_path"}


def test_the_forms_defaults_are_what_an_empty_field_means(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = form()["conn-fields"]
    defaults = {
        name: field["schema"]["default"] for name, field in fields.items() if "default" in field["schema"]
    }
    for name, value in defaults.items():
        validate(value, fields[name]["schema"])
    given, empty = connect(monkeypatch, extra=defaults).settings, connect(monkeypatch).settings
    assert (given, given.auth_headers) == (empty, empty.auth_headers)


def test_the_lifecycle_finds_the_hook_by_its_connection_type() -> None:
    hook = hook_for("phixflow", "other")
    assert isinstance(hook, PhixFlowHook)
    assert (hook.conn_id, hook.phixflow_conn_id, hook.system) == ("other", "other", "PhixFlow")


# --- Test in the connection form ---------------------------------------------------------------------


def test_a_server_that_answers_passes_the_test_and_says_what_that_shows(section: PhixFlowSection) -> None:
    assert PhixFlowHook().test_connection() == (
        True,
        (
            "Connected: the server answers (404) and does not refuse the key. Only the call of an "
            "endpoint shows whether it takes it: set the extra 'test_path' to one that a GET does no harm to."
        ),
    )


def test_the_test_path_is_asked_with_the_key(
    smart_flows_server: DevServer, section: PhixFlowSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    section.add_endpoint(actionflow="Ping", method="GET")
    connection = json.loads(smart_flows_server.section_connection_json(PhixFlowSection))
    connection["extra"]["test_path"] = "/phixflow/api/1/action/MyApp/Ping/trigger"
    monkeypatch.setenv(CONN, json.dumps(connection))
    assert PhixFlowHook().test_connection() == (
        True,
        "Connected: the server answers at /action/MyApp/Ping/trigger (200) and takes the key.",
    )
    section.rotate("another-key")
    works, message = PhixFlowHook().test_connection()
    assert not works
    assert "GET /action/MyApp/Ping/trigger was answered with 401" in message
    connection["extra"]["test_path"] = "/action/MyApp/Pong/trigger"
    monkeypatch.setenv(CONN, json.dumps(connection))
    works, message = PhixFlowHook().test_connection()
    assert (works, "was answered with 404" in message) == (False, True)
    connection["extra"]["test_path"] = "/ping?now"
    monkeypatch.setenv(CONN, json.dumps(connection))
    assert PhixFlowHook().test_connection() == (
        False,
        "the path '/ping?now' has a query; input parameters are given for themselves",
    )


@pytest.mark.parametrize("status", [401, 403, 302, 503])
def test_a_server_that_refuses_fails_the_test(
    smart_flows_server: DevServer, section: PhixFlowSection, status: int
) -> None:
    smart_flows_server.inject(Fault(action="status", status=status, count=None))
    works, message = PhixFlowHook().test_connection()
    assert not works
    assert f"was answered with {status}" in message
    assert section.key not in message


@pytest.mark.parametrize("action", ["html", "truncated"])
def test_an_answer_that_is_none_of_the_endpoints_fails_the_test(
    smart_flows_server: DevServer, section: PhixFlowSection, monkeypatch: pytest.MonkeyPatch, action: Any
) -> None:
    section.add_endpoint(actionflow="Ping", method="GET")
    connection = json.loads(smart_flows_server.section_connection_json(PhixFlowSection))
    connection["extra"]["test_path"] = "/action/Ping/trigger"
    monkeypatch.setenv(CONN, json.dumps(connection))
    smart_flows_server.inject(Fault(action=action, count=None))
    works, message = PhixFlowHook().test_connection()
    assert not works
    assert "the answer to GET /action/Ping/trigger is " in message


# --- calls -------------------------------------------------------------------------------------------


def test_a_call_returns_the_run_that_has_ended(section: PhixFlowSection, mode: Mode) -> None:
    section.add_endpoint(actionflow="Job", result=[1], message="Done")
    terms = ActionflowTerms(output_name="Out")
    execution = ask(mode, "call", actionflow="Job", parameters={"N": 1}, body={"x": 1}, terms=terms)
    assert (execution.status, execution.phase) == ("Success", RunPhase.SUCCEEDED)
    assert PhixFlowHook().output_of(execution).values == {"Out": [1]}
    (call,) = section.calls
    assert (call.query, json.loads(call.body)) == ({"N": "1"}, {"x": 1})


def test_a_run_is_started_and_asked_for(section: PhixFlowSection, mode: Mode) -> None:
    section.add_endpoint(actionflow="Job", mode="poll", seconds=600, result=[1])
    started = ask(mode, "start", application="MyApp", actionflow="Job")
    assert (started.execution_id, started.phase) == ("4711", RunPhase.ACTIVE)
    assert ask(mode, "get_progress", "4711").status == "Running"
    section.finish("4711")
    assert ask(mode, "get_execution", "4711").raw["body"]["Out"] == [1]
    section.forget("4711")
    with pytest.raises(FlowNotFoundError, match="execution 4711"):
        ask(mode, "get_progress", "4711")


def test_a_failed_call_names_the_actionflow(section: PhixFlowSection, mode: Mode) -> None:
    section.add_endpoint(actionflow="Job", outcome="Fail", message="No stock")
    execution = ask(mode, "call", actionflow="Job")
    assert (execution.phase, execution.raw["message"]) == (RunPhase.FAILED, "No stock")
    with pytest.raises(FlowRequestRefusedError, match=r"Fail: No stock \[PhixFlow, .* flow 'Job'\]"):
        ask(mode, "start", actionflow="Job")
    with pytest.raises(FlowNotFoundError, match="flow '/nowhere'"):
        ask(mode, "call", path="/nowhere")
    with pytest.raises(FlowConfigurationError, match="has a query"):
        ask(mode, "call", path="/nowhere?x=1")
    with pytest.raises(ValueError, match="not by both"):
        ask(mode, "call", path="/nowhere", actionflow="Job")


def test_a_call_without_an_answer_is_not_repeated(
    smart_flows_server: DevServer, section: PhixFlowSection, mode: Mode
) -> None:
    section.add_endpoint(actionflow="Job")
    smart_flows_server.inject(Fault(path="/trigger$", action="reset", taken=True))
    with pytest.raises(FlowServiceError):
        ask(mode, "call", actionflow="Job")
    assert section.started == 1


@pytest.mark.parametrize("name", ["call", "start"])
def test_a_code_that_its_author_may_have_chosen_is_no_reason_to_call_again(
    smart_flows_server: DevServer, section: PhixFlowSection, mode: Mode, name: str
) -> None:
    section.add_endpoint(actionflow="Job")
    smart_flows_server.inject(Fault(path="/trigger$", action="status", status=409, taken=True))
    with pytest.raises(FlowSubmissionUnclearError, match="was answered with 409, which") as untold:
        ask(mode, name, actionflow="Job")
    assert untold.value.fate == OPEN
    assert not untold.value.retry_helps


def test_nothing_is_sent_to_stop_a_run(smart_flows_server: DevServer, section: PhixFlowSection) -> None:
    hook = PhixFlowHook()
    with pytest.raises(FlowRequestRefusedError, match="PhixFlow has no call that stops a run, so process 7"):
        hook.run(hook.cancel_exchange("7"))
    assert smart_flows_server.requests == []


# --- what a run returned -----------------------------------------------------------------------------


def ended(body: Any, *, phase: RunPhase = RunPhase.SUCCEEDED, **terms: Any) -> Execution:
    raw = {"body": body, "code": 200, "message": "", "terms": ActionflowTerms(**terms).as_dict()}
    return Execution(id="1", status="x", phase=phase, flow=Reference(id=""), raw=raw)


@pytest.mark.parametrize(
    ("body", "terms", "values"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ([1], {}, {"result": [1]}),
        ("text", {}, {"result": "text"}),
        (None, {}, {}),
        ({"Out": {"a": 1}}, {"output_name": "Out"}, {"a": 1}),
        ({"Out": 5}, {"output_name": "Out"}, {"Out": 5}),
        ({"Out": None}, {"output_name": "Out"}, {}),
    ],
)
def test_values_are_an_object_whatever_was_returned(
    body: Any, terms: dict[str, Any], values: dict[str, Any]
) -> None:
    assert PhixFlowHook().output_of(ended(body, **terms)).values == values


def test_values_are_strict_json(caplog: pytest.LogCaptureFixture) -> None:
    output = PhixFlowHook().output_of(ended({"bad": float("nan"), "text": "\ud800\x00"}))
    json.dumps(output.values, allow_nan=False).encode()
    assert output.values["text"] == "\ufffd\ufffd"
    assert output.warnings


def test_data_that_is_missing_or_too_deep_is_an_error_of_the_output() -> None:
    with pytest.raises(OutputError, match=r"lacks 'Out'; its keys are 'a'\. Set output_name and result_path"):
        PhixFlowHook().output_of(ended({"a": 1}, output_name="Out"))
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(OutputError):
        PhixFlowHook().output_of(ended(deep))


def test_a_failure_without_its_records_still_tells_the_message() -> None:
    body = {"status": "Fail", "message": "No stock"}
    output = PhixFlowHook().output_of(ended(body, phase=RunPhase.FAILED, records_field="records"))
    assert (output.values, [str(error) for error in output.errors]) == ({}, ["No stock"])


def test_a_run_that_goes_on_has_no_values() -> None:
    assert PhixFlowHook().output_of(ended({"a": 1}, phase=RunPhase.ACTIVE)).values == {}


# --- runs that nobody can ask for --------------------------------------------------------------------


def test_an_answer_is_kept_for_the_task_and_gone_for_others() -> None:
    terms = ActionflowTerms(mode="wait").as_dict()
    hook, other = PhixFlowHook(), PhixFlowHook()
    hook.keep(ended({"a": 1}))

    def only(exchange: Any) -> Any:
        with pytest.raises(StopIteration) as stop:
            next(exchange)
        return stop.value.value

    assert only(hook.look_exchange("1", hold_seconds=None, terms=terms)).phase is RunPhase.SUCCEEDED
    assert only(hook.execution_exchange("1", terms=terms)).raw["body"] == {"a": 1}
    with pytest.raises(NotFound, match="came to a process that has ended"):
        next(other.look_exchange("1", hold_seconds=None, terms=terms))


@pytest.mark.parametrize("form", ["Bearer {key}", "Token token={key}", "key={key};v=1"])
@pytest.mark.parametrize("status", [200, 403])
def test_the_key_is_hidden_in_whatever_a_service_says_of_it(
    monkeypatch: pytest.MonkeyPatch, form: str, status: int
) -> None:
    hook = connect(monkeypatch, password="canary-key", extra={"key_value": form})
    request = Request(method="POST", path="/x")
    said = Response(
        status=status, body=b'{"status": "Fail", "message": "canary-key may not"}', request=request
    )
    assert b"canary-key" not in hook.settings.without_secrets(said).body
