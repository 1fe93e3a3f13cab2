"""The hook for OCP flows: its connection, its ways of access, its calls in both modes."""

from __future__ import annotations

import asyncio
import json
import re
import time
import traceback
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hook_connections import MODES, Caller, Mode
from support.ocp import CONN_VARIABLE, PASSWORD, TOKEN, connect, ocp_section
from support.outcomes import logged

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.ocp import PROFILES, OcpSection
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAmbiguousError,
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowConnectionError,
    FlowException,
    FlowNotFoundError,
    FlowPermissionError,
    FlowRequestRefusedError,
    FlowServiceError,
)
from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.hooks.connection import ConnectionReader
from smartflows_provider.hooks.ocp import OcpHook
from smartflows_provider.lifecycle.systems import hook_for
from smartflows_provider.wire.run import RunPhase

TOKEN_ADDRESS = "/auth/realms/devserver/protocol/openid-connect/token"


@pytest.fixture
def section(smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> OcpSection:
    return ocp_section(smart_flows_server, monkeypatch)


@pytest.fixture
def reconnect(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Let ``ocp_default`` lead to the section as it is when this is called."""
    return partial(connect, monkeypatch, smart_flows_server)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


@pytest.fixture
def caller(section: OcpSection, mode: Mode) -> Caller:
    return Caller(OcpHook(), mode)


def settings_of(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> Any:
    """Return what a connection's fields come to."""
    made = {"conn_type": "ocp", "host": "https://ocp.example", "password": TOKEN, **fields}
    monkeypatch.setenv(
        CONN_VARIABLE, json.dumps({name: value for name, value in made.items() if value is not None})
    )
    return OcpHook().settings


# --- calls, over every reading of what is open ---------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/api", "/orchestrator/api"])
@pytest.mark.parametrize("name", PROFILES)
def test_every_call_brings_the_same_over_every_profile(
    section: OcpSection, reconnect: Callable[..., None], mode: Mode, name: str, prefix: str
) -> None:
    section.profile = PROFILES[name]
    reconnect(extra={"api_prefix": prefix})
    caller = Caller(OcpHook(), mode)
    made = caller.create_flow(name="My_Flow", input_fields=["a"], output_fields=["b"])
    (flow_id,) = section.created
    shown = section.profile.ids == "shown"
    assert (made.id, made.name, made.input_fields) == (flow_id if shown else "", "My_Flow", ("a",))
    assert caller.get_flow(flow_id).id == flow_id
    assert caller.find_flow(name="my_flow", group="DEFAULT").canvas_id == made.canvas_id
    assert [flow.name for flow in caller.find_flows(name="my_flow")] == ["My_Flow"]
    assert caller.find_flows(name="other") == []
    with pytest.raises(FlowNotFoundError, match="no flow is named 'other'"):
        caller.find_flow(name="other")
    assert caller.update_flow(flow_id, input_fields=["c"]).input_fields == ("c",)
    assert section.flow(flow_id)["output_fields"] == ["b"]
    assert caller.get_status(flow_id) == "not-deployed"
    section.use(flow_id, by=["some_app"])
    with pytest.raises(FlowRequestRefusedError, match="used by these apps/flows: some_app"):
        caller.delete_flow(flow_id)
    section.use(flow_id, by=[])
    caller.delete_flow(flow_id)
    with pytest.raises(FlowNotFoundError):
        caller.get_flow(flow_id)
    assert section.deleted == [flow_id]
    assert section.leaks == []


def test_a_refused_name_says_which_field_and_why(caller: Caller, section: OcpSection) -> None:
    section.add_flow("x")
    with pytest.raises(FlowRequestRefusedError) as refused:
        caller.create_flow(name="X")
    assert str(refused.value) == (
        "POST /flows/ was answered with 400: name: Flow with this name already exists [OCP flows, "
        "connection 'ocp_default', flow 'X']\n"
        "The service has started and changed nothing.\nThe service names the reason above."
    )
    with pytest.raises(FlowConfigurationError, match="letters A to Z, digits and underscores only"):
        caller.create_flow(name="a b")
    with pytest.raises(FlowConfigurationError, match="input_fields takes a list of names"):
        caller.create_flow(name="ab", input_fields="a")
    assert len(section.asked("POST")) == 1


def test_an_id_that_is_needed_and_not_shown_says_what_to_give(caller: Caller, section: OcpSection) -> None:
    section.add_flow("x")
    section.configure(ids="hidden")
    assert caller.find_flow(name="x").id == ""
    with pytest.raises(FlowConfigurationError) as missing:
        caller.find_flow(name="x", needs_id=True)
    assert "the service shows no id ('id') for the flow 'x'" in str(missing.value)
    assert "Give flow_id instead of the name" in str(missing.value)
    assert "The service has started and changed nothing." in str(missing.value)


def test_ids_are_read_where_the_connection_says(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    connect(monkeypatch, smart_flows_server, extra={"id_field": "canvas_id"})
    section.add_flow("x")
    flow = Caller(OcpHook(), mode).find_flow(name="x", needs_id=True)
    assert flow.id == flow.canvas_id


def test_several_flows_of_a_name_are_listed_and_told_apart_by_group(
    caller: Caller, section: OcpSection
) -> None:
    wanted = section.add_flow("x", group="Sales")
    section.add_flow("x", group="Support")
    with pytest.raises(FlowAmbiguousError) as several:
        caller.find_flow(name="x")
    assert "2 flows are named 'x'" in str(several.value)
    assert f"(group Sales, id {wanted})" in str(several.value)
    assert "Name the group too, or give flow_id." in str(several.value)
    assert caller.find_flow(name="x", group="sales").id == wanted
    with pytest.raises(
        FlowNotFoundError, match=r"in the group 'HR'; those of the name are: 'x' \(group Sales"
    ):
        caller.find_flow(name="x", group="HR")


# --- for the lifecycle ---------------------------------------------------------------------------------


def test_a_status_is_looked_at_as_a_run_on_the_terms_of_its_waiter(
    caller: Caller, section: OcpSection
) -> None:
    flow_id = section.add_flow("x", status="stopped")
    terms = {"target": "started", "failure": ["stopped"]}
    for wanted, phase in (
        (terms, RunPhase.FAILED),
        ({"target": "stopped"}, RunPhase.SUCCEEDED),
        ({}, RunPhase.ACTIVE),
    ):
        snapshot = caller.driven(caller.hook.look_exchange(flow_id, hold_seconds=5, terms=wanted))
        execution = caller.driven(caller.hook.execution_exchange(flow_id, terms=wanted))
        assert (snapshot.phase, execution.phase) == (phase, phase)
        assert (execution.id, execution.status, execution.flow.id) == (flow_id, "stopped", flow_id)
    caller.hook.terms = terms
    failed = caller.driven(caller.hook.execution_exchange(flow_id, terms=terms))
    output = caller.hook.output_of(failed)
    assert output.values == {"status": "stopped"}
    assert [str(error) for error in output.errors] == [
        "the flow is 'stopped', which ends the wait for 'started' as a failure"
    ]


def test_a_flow_is_never_stopped(caller: Caller, section: OcpSection) -> None:
    with pytest.raises(
        FlowRequestRefusedError, match="was left as it is, because a flow has a status and no run"
    ):
        caller.driven(caller.hook.cancel_exchange("abc"))
    assert section.calls == []


def test_the_system_is_found_by_its_connection_type() -> None:
    hook = hook_for("ocp", "somewhere", terms={"target": "stopped"})
    assert (type(hook), hook.conn_id, hook.terms) == (OcpHook, "somewhere", {"target": "stopped"})


# --- access --------------------------------------------------------------------------------------------


def test_a_token_for_a_password_is_asked_for_once_and_renewed_when_it_is_refused(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    section.configure(access="password")
    connect(monkeypatch, smart_flows_server)
    with OcpHook() as hook:
        for _ in range(3):
            assert hook.find_flows(name="x") == []
        assert len(section.issued) == 1
        smart_flows_server.advance(301)
        assert hook.find_flows(name="x") == []
        section.revoke_tokens()
        assert hook.find_flows(name="x") == []
    assert len(section.issued) == 3
    assert section.leaks == []
    sent = [one.headers for one in smart_flows_server.requests if one.path == TOKEN_ADDRESS]
    assert all("authorization" not in headers for headers in sent)


def test_a_token_is_renewed_before_its_end(
    smart_flows_server: DevServer, section: OcpSection, reconnect: Callable[..., None], mode: Mode
) -> None:
    section.configure(access="password", token_seconds=2)
    reconnect()

    async def ask() -> None:
        async with OcpHook() as hook:
            await hook.afind_flows(name="x")
            await asyncio.sleep(1.1)
            await hook.afind_flows(name="x")

    if mode == "async":
        asyncio.run(ask())
    else:
        with OcpHook() as hook:
            hook.find_flows(name="x")
            time.sleep(1.1)
            hook.find_flows(name="x")
    assert len(section.issued) == 2
    assert [one.status for one in smart_flows_server.requests if one.path == "/api/flows/"] == [404, 404]


@pytest.mark.parametrize("access", ["token", "password"])
def test_a_credential_that_is_refused_is_no_matter_for_a_retry_and_not_shown(
    smart_flows_server: DevServer,
    section: OcpSection,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    access: str,
) -> None:
    section.configure(access=access)
    connect(monkeypatch, smart_flows_server)
    section.rotate("another")
    section.rotate_password("another")
    with logged() as log, pytest.raises(FlowAuthenticationError) as refused:
        Caller(OcpHook(), mode).get_flow("abc")
    assert not refused.value.retry_helps
    shown = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + "".join(log)
    for secret in (TOKEN, PASSWORD, *section.issued):
        assert secret not in shown
    assert section.calls == []


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_server_that_repeats_secrets_does_not_get_them_into_messages(
    smart_flows_server: DevServer,
    section: OcpSection,
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    status: int,
) -> None:
    body = json.dumps({"detail": f"no good: {TOKEN}", "name": [TOKEN]})
    headers = {"content-type": "application/json"}
    smart_flows_server.inject(
        Fault(action="status", status=status, path="/flows/", count=None, body=body, headers=headers)
    )
    with pytest.raises(FlowException) as failed:
        Caller(OcpHook(), mode).create_flow(name="x")
    assert "no good: ***" in str(failed.value)
    assert TOKEN not in "".join(traceback.format_exception(failed.value))


def test_a_sign_in_server_out_of_order_is_a_matter_for_a_retry(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    section.configure(access="password")
    connect(monkeypatch, smart_flows_server)
    smart_flows_server.inject(Fault(action="status", status=503, path=TOKEN_ADDRESS, count=None))
    with pytest.raises(FlowConnectionError, match="no access token could be had") as failed:
        Caller(OcpHook(), mode).create_flow(name="x")
    assert "The service has taken nothing." in str(failed.value)
    assert section.created == []


def test_the_password_goes_to_the_sign_in_server_alone(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    section.configure(access="password")
    port = smart_flows_server.port
    connect(monkeypatch, smart_flows_server, extra={"auth_host": f"http://localhost:{port}"})
    assert Caller(OcpHook(), mode).find_flows(name="x") == []
    hosts = {(one.path, one.headers["host"]) for one in smart_flows_server.requests}
    assert hosts == {(TOKEN_ADDRESS, f"localhost:{port}"), ("/api/flows/", f"127.0.0.1:{port}")}
    address = f"http://localhost:{port}{TOKEN_ADDRESS}"
    connect(monkeypatch, smart_flows_server, extra={"token_url": address, "realm": "none"})
    assert Caller(OcpHook(), mode).find_flows(name="x") == []
    assert len(section.issued) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(403, FlowPermissionError), (503, FlowServiceError), (429, FlowServiceError)]
)
def test_other_refusals_have_their_errors(
    smart_flows_server: DevServer, section: OcpSection, mode: Mode, status: int, kind: type[FlowException]
) -> None:
    smart_flows_server.inject(Fault(action="status", status=status, path="/flows/", count=None))
    with pytest.raises(kind):
        Caller(OcpHook(), mode).get_flow("abc")


def test_a_throttled_call_is_sent_again(caller: Caller, section: OcpSection) -> None:
    section.throttle(2)
    caller.create_flow(name="x")
    assert len(section.created) == 1


# --- the connection's fields ---------------------------------------------------------------------------


def test_a_token_becomes_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch)
    assert settings.url("/flows/") == "https://ocp.example/api/flows/"
    assert dict(settings.auth_headers)["Authorization"] == f"Bearer {TOKEN}"
    assert settings.grant is None
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("extra", "origin", "path"),
    [
        ({"realm": "r"}, "https://ocp.example", "/auth/realms/r/protocol/openid-connect/token"),
        ({"realm": "a/b c"}, "https://ocp.example", "/auth/realms/a%2Fb%20c/protocol/openid-connect/token"),
        (
            {"realm": "r", "auth_host": "https://auth.example:8443/"},
            "https://auth.example:8443",
            "/auth/realms/r/protocol/openid-connect/token",
        ),
        ({"token_url": "https://auth.example/oauth/token"}, "https://auth.example", "/oauth/token"),
    ],
)
def test_a_password_becomes_a_grant(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, str], origin: str, path: str
) -> None:
    settings = settings_of(
        monkeypatch, login="ada", password=PASSWORD, extra={"access": "password", "client_id": "me", **extra}
    )
    grant = settings.grant
    assert (grant.origin, grant.token_path) == (origin, path)
    assert dict(grant.form) == {
        "client_id": "me",
        "grant_type": "password",
        "username": "ada",
        "password": PASSWORD,
    }
    assert PASSWORD not in repr(settings) + repr(grant)
    assert dict(settings.auth_headers) == {}


PASSWORD_ACCESS = {"access": "password", "realm": "r"}
UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"password": None}, "The connection has no API key. "),
    ({"password": "a\nb"}, "no HTTP header can carry"),
    ({"login": "ada"}, "The connection has a login, but its extra 'access' is 'token'"),
    ({"extra": {"access": "basic"}}, "extra 'access' is 'basic'. "),
    ({"extra": PASSWORD_ACCESS}, "but it has no login"),
    ({"login": "ada", "password": None, "extra": PASSWORD_ACCESS}, "but it has no password"),
    ({"login": "ada", "extra": {"access": "password"}}, "neither 'realm' nor 'token_url' is set"),
    ({"login": "ada", "extra": {"access": "password", "realm": ".."}}, "which is no realm"),
    (
        {"login": "ada", "extra": {**PASSWORD_ACCESS, "auth_host": "auth.example"}},
        "is not an address with a scheme",
    ),
    (
        {"login": "ada", "extra": {**PASSWORD_ACCESS, "auth_host": "https://a.example/x"}},
        "more than scheme, host",
    ),
    (
        {"login": "ada", "extra": {**PASSWORD_ACCESS, "token_url": "auth.example/x"}},
        "is not an address with a scheme",
    ),
    ({"login": "ada", "extra": {**PASSWORD_ACCESS, "token_url": "https://a.example"}}, "has no path"),
    (
        {"login": "ada", "extra": {**PASSWORD_ACCESS, "token_url": "https://a.example/x?y=1"}},
        "without credentials",
    ),
    (
        {"login": "ada", "extra": {**PASSWORD_ACCESS, "token_url": "https://a:b@a.example/x"}},
        "without credentials",
    ),
]


@pytest.mark.parametrize(("fields", "says"), UNUSABLE)
def test_fields_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(FlowConfigurationError) as unusable:
        settings_of(monkeypatch, **fields)
    assert says.strip() in str(unusable.value)
    assert "canary" not in "".join(traceback.format_exception(unusable.value))


@pytest.mark.parametrize("name", ["login", "password"])
def test_half_a_character_is_refused_without_being_shown(name: str) -> None:
    fields = {"conn_id": "ocp_default", "conn_type": "ocp", "host": "ocp.example", "port": None}
    fields |= {"schema": None, "extra": None}
    given = {**fields, "login": "ada", "password": PASSWORD, name: "canary\ud800"}
    reader = ConnectionReader(
        SimpleNamespace(**given),  # type: ignore[arg-type]
        extra=PASSWORD_ACCESS,
        conn_type=OcpHook.conn_type,
        system=OcpHook.system,
        hints=OcpHook.hints,
    )
    with pytest.raises(FlowConfigurationError, match="holds half a character") as unusable:
        OcpHook().read_settings(reader)
    assert "canary" not in "".join(traceback.format_exception(unusable.value))


class Recording(dict[str, Any]):
    """Extras that note which are asked for."""

    def __init__(self, **given: Any) -> None:
        super().__init__(given)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def declared() -> dict[str, Any]:
    (one,) = (one for one in get_provider_info()["connection-types"] if one["connection-type"] == "ocp")
    return dict(one["conn-fields"])


def test_the_form_declares_exactly_the_extras_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"conn_type": "ocp", "host": "https://ocp.example", "login": "ada", "password": TOKEN}
    monkeypatch.setenv(CONN_VARIABLE, json.dumps(made))
    hook = OcpHook()
    connection, extra = hook.get_connection("ocp_default"), Recording(access="password", realm="r")
    hook._read(connection, extra)
    assert extra.asked == set(declared())


def test_the_forms_defaults_are_the_defaults_that_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {name: field["schema"].get("default") for name, field in declared().items()}
    settings = settings_of(monkeypatch)
    common = ("verify", "connect_timeout", "read_timeout", "api_prefix", "max_connections")
    assert {name: getattr(settings, name) for name in common} == {name: defaults[name] for name in common}
    assert (defaults["access"], defaults["id_field"], defaults["client_id"]) == ("token", "id", "ocp")
    empty = dict.fromkeys(declared(), "")
    assert settings_of(monkeypatch, extra=empty) == settings


# --- the connection's test -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_a_connection_that_works_says_so(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    section.profile = PROFILES[name]
    connect(monkeypatch, smart_flows_server)
    works, says = OcpHook().test_connection()
    if section.profile.none_found == "missing":
        assert works is (section.profile.error_body == "json")
        assert "set the extra 'test_flow'" in says
    else:
        assert (works, says) == (True, "Connected: the platform has looked for a flow's name.")
    section.add_flow("my_flow")
    connect(monkeypatch, smart_flows_server, extra={"test_flow": "MY_flow"})
    assert OcpHook().test_connection() == (True, "Connected; there is a flow 'my_flow'.")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"password": "wrong"}, "401"),
        ({"extra": {"test_flow": "x"}}, "no flow is named 'x'"),
        ({"host": None}, "The connection has no host"),
        ({"port": 1}, "Nothing listens there"),
    ],
)
def test_a_connection_that_does_not_work_says_why(
    smart_flows_server: DevServer,
    section: OcpSection,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    says: str,
) -> None:
    connect(monkeypatch, smart_flows_server, **changes)
    works, told = OcpHook().test_connection()
    assert not works
    assert re.search(re.escape(says), told)
