"""The hook for Workflow Server: its connection, its ways of access, its calls in both modes."""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hook_connections import MODES, Caller, Mode
from support.outcomes import logged

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer, running_server
from smartflows_provider.devserver.workflow_server import (
    PROFILES,
    WorkflowServerProfile,
    WorkflowServerSection,
)
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowNotFoundError,
    FlowPermissionError,
    FlowRequestRefusedError,
)
from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.lifecycle.systems import hook_for
from smartflows_provider.transport import asynchronous, blocking
from smartflows_provider.transport.repetition import Repetition
from smartflows_provider.wire.run import Execution, Reference, RunPhase
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

CANARY = "canary-4711-token"
CONN_ID = "workflowserver_default"


def connect(monkeypatch: pytest.MonkeyPatch, text: str | None = None, **fields: Any) -> WorkflowServerHook:
    """Return a hook over a connection; without a text its JSON is made of the fields."""
    made = {"conn_type": "workflowserver", "host": "http://workflow.example", **fields}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(made) if text is None else text)
    return WorkflowServerHook(CONN_ID)


@pytest.fixture(scope="module")
def module_server() -> Iterator[DevServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(module_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> DevServer:
    for client in (blocking, asynchronous):
        monkeypatch.setattr(client, "Repetition", partial(Repetition, first_pause=0.01, longest_pause=0.05))
    module_server.clear_faults()
    module_server.clear_requests()
    return module_server


@pytest.fixture
def section(server: DevServer) -> WorkflowServerSection:
    found = server.section(WorkflowServerSection)
    found.profile = WorkflowServerProfile()
    found.rotate(CANARY)
    for seen in (found.leaks, found.issued, found.token_hosts, found.commands, found.created):
        seen.clear()
    return found


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


def caller_for(monkeypatch: pytest.MonkeyPatch, server: DevServer, mode: Mode, **extra: Any) -> Caller:
    """Return a caller over the section's own connection, with further extras."""
    connection = json.loads(server.section_connection_json(WorkflowServerSection))
    connection["extra"] |= extra
    return Caller(connect(monkeypatch, json.dumps(connection)), mode)


# --- the whole of it, over every reading of what is open -----------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_every_call_brings_the_same_over_every_profile(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, mode: Mode, name: str
) -> None:
    section.profile = PROFILES[name]
    extra = {}
    if section.profile.discovery != "own":
        extra = {"token_url": f"{server.url}/connect/token"}
    caller = caller_for(monkeypatch, server, mode, **extra)
    assert caller.hook.test_connection() == (True, "Connected to Workflow Server, which has 2 schemes.")
    assert caller.list_schemes() == ["TestScheme", "Approval"]

    one = str(uuid.uuid4())
    assert caller.exists(one) is False
    caller.create_instance(one, scheme_code="Approval", parameters={"Amount": 7}, persist=["Amount"])
    assert caller.exists(one) is True
    with pytest.raises(FlowRequestRefusedError, match=r"There is a process .* already"):
        caller.create_instance(one, scheme_code="Approval")
    server.advance(1)
    assert caller.get_process(one).shown_status == "Idled (Approval)"
    assert [command.name for command in caller.available_commands(one, identity_id="ada")] == [
        "approve",
        "reject",
    ]
    assert "Withdrawn" in [state.name for state in caller.available_states(one)]
    caller.set_parameter(one, name="Note", value="ä b")
    assert caller.get_parameter(one, name="Note") == "ä b"
    unavailable = r"was not executed|is not available now"
    with pytest.raises(FlowRequestRefusedError, match=unavailable):
        caller.execute_command(one, command="burn")
    done = caller.execute_command(
        one, command="approve", parameters={"By": "Ada"}, persist=["By"], identity_id="ada"
    )
    assert done["StateName"] == "Approved"
    parameters = {"Amount": 7, "Note": "ä b", "Decision": "approved", "By": "Ada"}
    assert dict(caller.get_process(one).parameters) == parameters

    terms = ProcessTerms(success_states=("Approved",), on_kill="set_state:Withdrawn").as_dict()
    seen = caller.driven(caller.hook.look_exchange(one, hold_seconds=None, terms=terms))
    assert (seen.status, seen.phase) == ("Finalized (Approved)", RunPhase.SUCCEEDED)
    execution = caller.driven(caller.hook.execution_exchange(one, terms=terms))
    values = caller.hook.output_of(execution).values
    assert (values["state"], values["activity"], values["parameters"]) == ("Approved", "Approve", parameters)
    assert [way["TriggerName"] for way in values["transitions"]] == ["Auto", "approve"]

    two = str(uuid.uuid4())
    caller.create_instance(two, scheme_code="Approval")
    server.advance(1)
    assert caller.driven(caller.hook.cancel_exchange(two, terms=terms)) is None
    seen = caller.driven(caller.hook.look_exchange(two, hold_seconds=None, terms=terms))
    assert (seen.status, seen.phase) == ("Finalized (Withdrawn)", RunPhase.CANCELED)
    caller.delete_instance(two)
    with pytest.raises(FlowNotFoundError, match="the server has no process"):
        caller.get_process(two)
    with pytest.raises(FlowNotFoundError, match="the server has no process"):
        caller.delete_instance(two)
    seen = caller.driven(caller.hook.look_exchange(two, hold_seconds=None))
    assert (seen.status, seen.phase) == ("Purged", RunPhase.SUCCEEDED)
    assert section.created == [one, two]
    assert section.leaks == []
    caller.hook.close()


def test_a_state_can_be_set_with_parameters(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, mode: Mode
) -> None:
    caller = caller_for(monkeypatch, server, mode)
    one = str(uuid.uuid4())
    caller.create_instance(one, scheme_code="Approval")
    caller.set_state(one, state="Rejected", parameters={"Why": "late"}, persist=["Why"])
    assert section.process(one)["ProcessParameters"]["Why"] == "late"
    with pytest.raises(FlowRequestRefusedError, match="has ended; Process is finished"):
        caller.set_state(one, state="Draft")


# --- output --------------------------------------------------------------------------------------------


def test_the_output_says_why_an_instance_failed(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection
) -> None:
    hook = caller_for(monkeypatch, server, "sync").hook
    one = str(uuid.uuid4())
    hook.create_instance(one, scheme_code="Approval")
    server.advance(1)

    def reason(**terms: Any) -> str:
        hook.terms = ProcessTerms(**terms).as_dict()
        output = hook.output_of(hook.run(hook.execution_exchange(one, terms=hook.terms)))
        return "; ".join(map(str, output.errors))

    assert reason() == ""
    assert reason(failure_states=("Approval",)) == (
        "It is in the state 'Approval', which is one of failure_states"
    )
    section.finish(one)
    assert reason() == ""
    assert reason(success_states=("Approved", "Booked"), success_activities=("Book",)) == (
        "It has finished in the state 'Approval', and success was to be 'Approved', 'Booked', 'Book'"
    )
    section.fail(one)
    assert "An error has stopped it" in reason()
    section.fail(one, status=4)
    assert "The server has ended it because of an error" in reason()


def test_of_a_purged_instance_only_a_warning_is_left(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection
) -> None:
    hook = caller_for(monkeypatch, server, "sync").hook
    output = hook.output_of(hook.run(hook.execution_exchange(str(uuid.uuid4()))))
    assert output.values == {}
    assert output.warnings == (
        "The server has deleted the process; its state and its parameters are not known.",
    )


def test_values_that_json_cannot_carry_are_replaced_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connect(monkeypatch)
    raw = {"InstanceStatus": 3, "StateName": "Done", "ProcessParameters": {"a": float("nan"), "b": "\ud800"}}
    made = Execution(id="p", status="Finalized", phase=RunPhase.SUCCEEDED, flow=Reference(id="s"), raw=raw)
    output = hook.output_of(made)
    json.dumps(output.values, allow_nan=False).encode()
    assert output.warnings


# --- connection ----------------------------------------------------------------------------------------


class Recording(dict[str, Any]):
    """Extras that note which of them are read."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def declared_fields() -> dict[str, Any]:
    connections = {one["connection-type"]: one for one in get_provider_info()["connection-types"]}
    return dict(connections["workflowserver"]["conn-fields"])


def test_the_form_declares_exactly_the_extras_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    hook, extra = connect(monkeypatch), Recording()
    hook._read(hook.get_connection(CONN_ID), extra)
    assert extra.asked == set(declared_fields())


def test_the_forms_defaults_are_the_defaults_that_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {name: field["schema"].get("default") for name, field in declared_fields().items()}
    assert (fields["api_prefix"], fields["access"], fields["arguments_in"]) == (
        "/workflowapi",
        "none",
        "query",
    )
    empty = connect(monkeypatch)
    whole = connect(monkeypatch, extra=fields)
    assert empty.settings == whole.settings
    assert (empty.settings.api_prefix, empty.settings.base_url) == ("/workflowapi", "http://workflow.example")
    assert empty.settings.grant is None
    assert (dict(empty.settings.auth_fields), dict(empty.settings.auth_headers)) == ({}, {})


def test_a_token_goes_into_bodies_and_a_secret_into_a_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    token = connect(monkeypatch, password=CANARY, extra={"access": "Token"}).settings
    assert (dict(token.auth_fields), token.grant, dict(token.auth_headers)) == ({"token": CANARY}, None, {})
    openid = connect(monkeypatch, password=CANARY, extra={"access": "openid"}, port=8077).settings
    assert openid.grant is not None
    assert (openid.grant.origin, openid.grant.token_path) == ("http://workflow.example:8077", None)
    assert openid.grant.form == {
        "client_id": "workflowapi",
        "client_secret": CANARY,
        "grant_type": "client_credentials",
    }
    assert (dict(openid.auth_fields), dict(openid.auth_headers)) == ({}, {})
    extra = {"access": "openid", "client_id": "ours", "token_url": "https://id.example/auth/token"}
    elsewhere = connect(monkeypatch, password=CANARY, extra=extra).settings.grant
    assert elsewhere is not None
    assert (elsewhere.origin, elsewhere.token_path) == ("https://id.example", "/auth/token")
    assert elsewhere.form["client_id"] == "ours"
    for shown in (token, openid, elsewhere):
        assert CANARY not in repr(shown)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"extra": {"access": "basic"}}, "extra 'access' is 'basic'"),
        ({"extra": {"arguments_in": "form"}}, "extra 'arguments_in' is 'form'"),
        ({"extra": {"access": "token"}}, "has no API key"),
        ({"extra": {"access": "openid"}, "password": " "}, "has no API key"),
        ({"password": CANARY}, "has an Api access token, but its extra 'access' is 'none'"),
        ({"extra": {"token_url": "ftp://x"}}, "'token_url' is not an address on http or https"),
        ({"extra": {"token_url": "id.example/token"}}, "'token_url' is not an address with a scheme"),
        ({"extra": {"token_url": "https://id.example"}}, "'token_url' has no path"),
        ({"extra": {"token_url": "https://x/token?a=b"}}, "'token_url' is not an address with a scheme"),
        ({"extra": {"token_url": f"https://u:{CANARY}@x/token"}}, "without credentials, query or fragment"),
        ({"host": ""}, "The connection has no host"),
    ],
)
def test_a_connection_that_cannot_be_used_is_told_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    hook = connect(monkeypatch, **fields)
    with pytest.raises(FlowConfigurationError) as caught:
        _ = hook.settings
    assert message in str(caught.value)
    assert "[Workflow Server, connection 'workflowserver_default']" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert hook.test_connection()[0] is False


def test_a_missing_key_says_where_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FlowConfigurationError, match="the admin panel shows it on its dashboard"):
        _ = connect(monkeypatch, extra={"access": "token"}).settings


def test_the_hook_is_found_by_its_connection_type(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, extra={"execution_url": "https://people.example/p/{execution_id}"})
    hook = hook_for("workflowserver", CONN_ID)
    assert isinstance(hook, WorkflowServerHook)
    assert hook.execution_url("a/b") == "https://people.example/p/a%2Fb"
    assert connect(monkeypatch).execution_url("a") == ""


def test_the_tenant_goes_with_every_call(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection
) -> None:
    hook = caller_for(monkeypatch, server, "sync", tenant_id="t 1").hook
    hook.list_schemes()
    assert [request.query for request in server.requests] == ["tenantId=t+1"]


# --- access --------------------------------------------------------------------------------------------


def test_a_wrong_token_is_told_by_status_or_by_envelope(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, mode: Mode
) -> None:
    section.configure(access="token")
    caller = caller_for(monkeypatch, server, mode)
    section.rotate("another")
    kinds = {401: FlowAuthenticationError, 403: FlowPermissionError, 200: FlowRequestRefusedError}
    for status, kind in kinds.items():
        section.configure(denied=status)
        with pytest.raises(kind, match="The token is missing or wrong"):
            caller.list_schemes()
    assert caller.hook.test_connection()[0] is False


def test_one_bearer_token_serves_many_calls_and_is_renewed_before_it_ends(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection
) -> None:
    section.configure(access="openid", token_seconds=3600)
    hook = caller_for(monkeypatch, server, "sync").hook
    for _ in range(5):
        hook.list_schemes()
    assert len(section.issued) == 1
    now = [0.0]
    hook.close()
    monkeypatch.setattr(hook.settings.tokens, "_clock", lambda: now[0])
    hook.list_schemes()
    now[0] = 3600 - 61
    hook.list_schemes()
    assert len(section.issued) == 2
    now[0] = 3600 - 59
    hook.list_schemes()
    assert len(section.issued) == 3


def test_a_bearer_token_that_was_revoked_is_replaced_at_once(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, mode: Mode
) -> None:
    section.configure(access="openid")
    caller = caller_for(monkeypatch, server, mode)
    caller.list_schemes()
    section.revoke_tokens()
    assert caller.list_schemes()
    assert len(section.issued) == 2


def test_a_rotated_secret_is_refused_and_a_new_one_taken(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, mode: Mode
) -> None:
    section.configure(access="openid")
    caller = caller_for(monkeypatch, server, mode)
    caller.list_schemes()
    section.rotate("canary-rotated")
    with pytest.raises(FlowAuthenticationError, match="which gives access tokens, was answered with 400"):
        caller.list_schemes()
    monkeypatch.setenv(
        f"AIRFLOW_CONN_{CONN_ID.upper()}", server.section_connection_json(WorkflowServerSection)
    )
    caller.hook.close()
    assert caller.list_schemes()


def test_the_secret_never_goes_to_another_origin_than_the_connections(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, mode: Mode
) -> None:
    section.configure(access="openid", discovery="foreign")
    caller = caller_for(monkeypatch, server, mode)
    with pytest.raises(FlowRequestRefusedError) as caught:
        caller.list_schemes()
    assert f"the server names 'http://localhost:{server.port}/connect/token' for tokens" in str(caught.value)
    assert "set the connection's extra 'token_url'" in str(caught.value)
    assert section.token_hosts == []
    caller = caller_for(monkeypatch, server, mode, token_url=f"http://localhost:{server.port}/connect/token")
    assert caller.list_schemes()
    assert section.token_hosts == [f"localhost:{server.port}"]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"token_endpoint": 5}',
        '{"token_endpoint": "/connect/token"}',
        '{"token_endpoint": "file:///etc/passwd"}',
        '{"token_endpoint": "http://[::1"}',
        '{"token_endpoint": "http://127.0.0.1.evil.example/connect/token"}',
        '{"token_endpoint": "http://evil@127.0.0.1:1/connect/token"}',
        '{"token_endpoint": "\\ud800"}',
        '{"token_endpoint": ' + "[" * 5000,
    ],
)
def test_a_hostile_discovery_document_never_gets_the_secret(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, mode: Mode, body: str
) -> None:
    section.configure(access="openid")
    document = Fault(
        action="status",
        status=200,
        path="openid-configuration",
        headers={"content-type": "application/json"},
        body=body,
        count=None,
    )
    server.inject(document)
    with pytest.raises((FlowRequestRefusedError, FlowConnectionError)) as caught:
        caller_for(monkeypatch, server, mode).list_schemes()
    assert CANARY not in str(caught.value)
    assert section.token_hosts == []


@pytest.mark.parametrize("action", ["redirect", "html", "reset", "truncated"])
def test_trouble_with_the_token_address_is_told_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, action: Any
) -> None:
    section.configure(access="openid")
    server.inject(Fault(action=action, path="/connect/token", location="http://evil.example/", count=None))
    for mode in MODES:
        with pytest.raises(FlowException) as caught:
            caller_for(monkeypatch, server, mode).list_schemes()
        shown = str(caught.value) + "".join(traceback.format_exception(caught.value))
        assert CANARY not in shown
    assert not any("/workflowapi/" in request.path for request in server.requests)


@pytest.mark.parametrize("access", ["token", "openid"])
def test_no_secret_gets_into_addresses_logs_or_errors(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection, access: str
) -> None:
    section.configure(access=access)
    with logged() as lines:
        for mode in MODES:
            shown = all_that_is_shown(caller_for(monkeypatch, server, mode), server)
            for secret in (CANARY, *section.issued):
                assert secret not in shown
    for secret in (CANARY, *section.issued):
        assert not any(secret in line for line in lines)
        assert not any(secret in f"{one.path}?{one.query}" for one in server.requests)
    assert section.leaks == []


def all_that_is_shown(caller: Caller, server: DevServer) -> str:
    """Call well and badly, and return all texts that came of it."""
    one = str(uuid.uuid4())
    caller.create_instance(one, scheme_code="TestScheme", parameters={"Amount": 1})
    caller.get_process(one)
    texts = [repr(caller.hook.settings), repr(vars(caller.hook))]
    echo = json.dumps({"success": False, "error": "no", "message": f"your token {CANARY} is wrong"})
    json_type = {"content-type": "application/json"}
    for status in (200, 400, 500):
        server.clear_faults()
        server.inject(
            Fault(action="status", status=status, path="getinstanceinfo", body=echo, headers=json_type,
                  count=None)
        )  # fmt: skip
        with pytest.raises(FlowException) as caught:
            caller.get_process(one)
        texts += [str(caught.value), *traceback.format_exception(caught.value)]
        assert status == 500 or "your token *** is wrong" in str(caught.value)
    server.clear_faults()
    return "\n".join(texts)


def test_a_parameter_named_token_is_no_secret_where_none_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, server: DevServer, section: WorkflowServerSection
) -> None:
    hook = caller_for(monkeypatch, server, "sync").hook
    hook.create_instance(str(uuid.uuid4()), scheme_code="TestScheme", parameters={"token": "mine"})
    assert section.leaks == []
