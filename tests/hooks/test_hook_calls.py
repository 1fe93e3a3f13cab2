"""The hook's methods: the same results in both modes, and errors that say what to change."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Any

import pytest
from hook_connections import MODES, Caller, Mode, connect
from support.loopback_certificates import make_certificates

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer, running_server
from smartflows_provider.exceptions import (
    FlowAmbiguousError,
    FlowAuthenticationError,
    FlowConnectionError,
    FlowException,
    FlowNotFoundError,
    FlowPermissionError,
    FlowRequestRefusedError,
    FlowServiceError,
)
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.transport.repetition import Repetition
from smartflows_provider.wire.smart_flows import Condition, all_of


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


@pytest.fixture
def hook(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> SmartFlowsHook:
    return connect(monkeypatch, server.connection_json())


@pytest.fixture
def caller(hook: SmartFlowsHook, mode: Mode) -> Caller:
    return Caller(hook, mode)


def add_flows(server: DevServer) -> None:
    server.add_flow(
        name="Page",
        steps=[
            {"id": "page", "kind": "document", "template": "p.html.j2", "format": "html"},
            {"id": "sum", "kind": "output", "values": {"total": 3}},
        ],
        templates={"p.html.j2": "<p>page</p>"},
    )
    server.add_flow(name="Ask", steps=[{"kind": "form", "fields": [{"key": "name", "title": "Name"}]}])
    server.add_flow(name="Long", steps=[{"duration": 3600}])
    server.add_flow(name="Event", steps=[{"kind": "wait_for_event", "callback": "shared"}])


def document_of(caller: Caller) -> str:
    started = caller.start("Page").execution_id
    return str(caller.get_execution(started).raw["state"]["output"]["model"]["page"]["id"])


CALLS: dict[str, Callable[[Caller], Any]] = {
    "start": lambda caller: caller.start("Long"),
    "get_progress": lambda caller: caller.get_progress(caller.start("Page").execution_id, hold_seconds=1),
    "get_execution": lambda caller: caller.get_execution(caller.start("Page").execution_id),
    "get_output": lambda caller: caller.get_output(caller.start("Page").execution_id, output="sum"),
    "find_executions": lambda caller: caller.find_executions(
        where=all_of(Condition(key="id", operator="in", values=[caller.start("Long").execution_id]))
    ),
    "answer_form": lambda caller: caller.answer_form(caller.start("Ask").execution_id, {"name": "Ada"}),
    "cancel": lambda caller: caller.cancel(caller.start("Long").execution_id),
    "send_event": lambda caller: caller.send_event(
        "shared", execution_id=caller.start("Event").execution_id, text="done"
    ),
    "list_flows": lambda caller: caller.list_flows(),
    "find_flow": lambda caller: caller.find_flow("Ask"),
    "get_document": lambda caller: caller.get_document(document_of(caller)),
    "execution_url": lambda caller: caller.execution_url("e1"),
    "download_document": lambda caller: caller.download(document_of(caller)),
}


def plain(value: Any) -> Any:
    """Return a result without what differs between two executions: ids and times."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        volatile = {"id", "execution_id", "executionId", "created_at", "modified_at", "start", "end"}
        volatile |= {"createdAt", "modifiedAt"}
        return {key: plain(inner) for key, inner in value.items() if key not in volatile}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


@pytest.mark.parametrize("name", CALLS)
def test_a_method_brings_the_same_in_both_modes(server: DevServer, hook: SmartFlowsHook, name: str) -> None:
    add_flows(server)
    blocking, asynchronous = (plain(CALLS[name](Caller(hook, mode))) for mode in MODES)
    assert blocking == asynchronous
    assert blocking is not None


def test_every_method_exists_in_both_modes_with_the_same_arguments() -> None:
    for name in CALLS:
        blocking, asynchronous = getattr(SmartFlowsHook, name), getattr(SmartFlowsHook, f"a{name}")
        assert inspect.signature(blocking).parameters == inspect.signature(asynchronous).parameters


def test_every_asynchronous_method_is_among_the_calls() -> None:
    public = {name for name in vars(SmartFlowsHook) if not name.startswith("_")}
    paired = {name for name in public if name[:1] == "a" and name[1:] in public}
    assert {f"a{name}" for name in CALLS} == paired


def test_results_are_what_the_service_shows(server: DevServer, caller: Caller) -> None:
    add_flows(server)
    assert caller.find_flow("Ask").name == "Ask"
    assert {flow.name for flow in caller.list_flows()} >= {"Page", "Ask", "Long", "Event"}
    started = caller.start("Ask")
    assert (started.status, list(started.form["schema"]["properties"])) == ("UserInput", ["name"])
    caller.answer_form(started.execution_id, {"name": "Ada"})
    assert caller.get_progress(started.execution_id, hold_seconds=1).status == "Success"
    (newest,) = caller.find_executions(limit=1)
    assert newest.id == started.execution_id
    assert caller.cancel(caller.start("Long").execution_id).status == "Canceled"
    assert caller.download(document_of(caller)) == ("text/html", 11, b"<p>page</p>")
    unattended = caller.start("Ask", unattended=True)
    assert caller.get_progress(unattended.execution_id, hold_seconds=1).status == "Success"


def failure(call: Callable[[], Any]) -> FlowException:
    with pytest.raises(FlowException) as caught:
        call()
    assert "canary" not in repr(caught.value)
    return caught.value


def test_an_error_names_connection_flow_and_execution(caller: Caller) -> None:
    error = failure(lambda: caller.get_progress("no-such-id"))
    assert type(error) is FlowNotFoundError
    assert str(error) == (
        "GET /flows/executions/no-such-id/progress was answered with 404: There is no execution "
        "'no-such-id' [Smart Flows, connection 'smartflows_default', execution no-such-id]\n"
        "The service has started and changed nothing.\n"
        "Check the id, and the connection's API prefix; the project's clean-up settings may have removed it."
    )
    error = failure(lambda: caller.find_flow("No such flow"))
    assert type(error) is FlowNotFoundError
    assert "no flow is named 'No such flow'. Flows that the key can see: " in str(error)
    assert "[Smart Flows, connection 'smartflows_default', flow 'No such flow']" in str(error)


def test_a_name_of_several_flows_is_ambiguous(server: DevServer, caller: Caller) -> None:
    for flow_id in ("twin-1", "twin-2"):
        server.add_flow(id=flow_id, name="Twin", steps=[])
    error = failure(lambda: caller.start("Twin"))
    assert type(error) is FlowAmbiguousError
    assert "2 flows are named 'Twin': twin-1, twin-2. Name the flow by its id." in str(error)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(action="status", status=500, count=None), FlowServiceError, "was answered with 500"),
        (Fault(action="html", count=None), FlowServiceError, "is not JSON (text/html"),
        (
            Fault(action="redirect", location="https://sso.example/in?canary", count=None),
            FlowRequestRefusedError,
            (
                "a redirect to https://sso.example/in [Smart Flows, connection 'smartflows_default']\n"
                "The service has started and changed nothing.\n"
                "Calls with a key do not follow redirects: set the connection's host to the address that "
                "really answers."
            ),
        ),
        (
            Fault(action="status", status=400, body="no", headers={"content-type": "text/plain"}, count=None),
            FlowRequestRefusedError,
            "was answered with 400: no",
        ),
        (Fault(action="truncated", count=None), FlowServiceError, "is not JSON (application/json"),
    ],
)
def test_trouble_becomes_the_error_that_says_whether_a_retry_helps(
    server: DevServer, caller: Caller, fault: Fault, kind: type[FlowException], words: str
) -> None:
    server.inject(fault)
    error = failure(caller.list_flows)
    assert type(error) is kind
    assert words in str(error)


def test_a_start_that_got_no_answer_is_not_said_to_be_untaken(server: DevServer, caller: Caller) -> None:
    add_flows(server)
    server.inject(Fault(action="reset", method="POST", taken=True))
    error = failure(lambda: caller.start("Long"))
    assert type(error) is FlowServiceError
    assert "nothing" not in str(error)


def test_too_many_requests_say_that_nothing_was_taken(
    server: DevServer, caller: Caller, hook: SmartFlowsHook
) -> None:
    server.inject(Fault(action="status", status=429, headers={"retry-after": "0"}, count=None))
    error = failure(caller.list_flows)
    assert type(error) is FlowServiceError
    assert "The service has taken nothing." in str(error)
    assert "limit the tasks that use the connection with a pool" in str(error)


def test_a_download_that_breaks_off_is_a_service_error(server: DevServer, caller: Caller) -> None:
    add_flows(server)
    document = document_of(caller)
    server.inject(Fault(action="cut", path="/content$", size=4))
    error = failure(lambda: caller.download(document))
    assert type(error) is FlowServiceError
    assert "broke off" in str(error)


def test_a_document_that_is_gone_is_not_found(caller: Caller) -> None:
    error = failure(lambda: caller.download("no-such-document"))
    assert type(error) is FlowNotFoundError
    assert "GET /documents/no-such-document/content was answered with 404" in str(error)


# --- test_connection -----------------------------------------------------------------------------------


def test_the_connection_test_names_version_and_user(hook: SmartFlowsHook) -> None:
    worked, said = hook.test_connection()
    assert worked
    assert said.startswith("Connected to Smart Flows 0.1.0 as Devserver super user")


def test_the_connection_test_works_without_the_right_to_see_the_version(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    server.inject(Fault(action="status", status=403, path="/system/info", count=None))
    worked, said = hook.test_connection()
    assert worked
    assert said.startswith("Connected to Smart Flows unknown as Devserver super user")


def failed_test(hook: SmartFlowsHook) -> str:
    worked, said = hook.test_connection()
    assert not worked
    assert "canary" not in said
    return said


def test_a_wrong_key_is_to_be_replaced(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connect(monkeypatch, server.connection_json(api_key="canary-wrong"))
    assert failed_test(hook) == (
        "GET /users/me was answered with 401: The API key is not valid "
        "[Smart Flows, connection 'smartflows_default']\n"
        "The service has started and changed nothing.\n"
        "The key is wrong, revoked or expired: put a valid one into the connection's password."
    )
    assert type(failure(hook.list_flows)) is FlowAuthenticationError


def test_a_key_without_the_right_names_the_two_usual_reasons(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add_key("canary-unlicensed", "no api licence")
    hook = connect(monkeypatch, server.connection_json(api_key="canary-unlicensed"))
    assert failed_test(hook) == (
        "GET /users/me was answered with 403: The licence of this project does not include the API "
        "[Smart Flows, connection 'smartflows_default']\n"
        "The service has started and changed nothing.\n"
        "Two reasons are usual: the licence does not include the API (it takes Smart Flows Connect or a like "
        "edition), or the role of the key's user lacks the right."
    )
    assert type(failure(hook.list_flows)) is FlowPermissionError


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let repeated tries follow each other at once."""
    monkeypatch.setattr(Repetition, "pause", lambda *_: 0.0)


@pytest.mark.usefixtures("quick")
def test_a_host_that_does_not_resolve_is_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    said = failed_test(connect(monkeypatch, host="https://no-such-host.invalid"))
    assert said.startswith("GET /users/me at no-such-host.invalid was not sent: gaierror: ")
    assert said.endswith(
        "[Smart Flows, connection 'smartflows_default']\nThe service has taken nothing.\n"
        "The host name does not resolve: check the connection's host."
    )


@pytest.mark.usefixtures("quick")
def test_a_wrong_port_is_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    hook = connect(monkeypatch, host="http://127.0.0.1", port=port)
    assert failed_test(hook) == (
        f"GET /users/me at 127.0.0.1:{port} was not sent: ConnectionRefusedError: Connection refused "
        "[Smart Flows, connection 'smartflows_default']\nThe service has taken nothing.\n"
        "Nothing listens there: check the connection's host and port."
    )
    assert type(failure(hook.list_flows)) is FlowConnectionError


def test_https_at_a_port_that_speaks_http_is_to_be_checked(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = failed_test(connect(monkeypatch, host="https://127.0.0.1", port=server.port))
    assert "TLS failed: check that host and port speak https" in said
    assert said.endswith("For a server that speaks http only, put http:// before the host.")


def test_a_certificate_of_an_authority_of_ones_own_needs_the_bundle(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificates(tmp_path_factory.mktemp("hook-certificates"))
    with running_server(certificate=made.server_certificate, private_key=made.server_key) as server:
        said = failed_test(connect(monkeypatch, server.connection_json()))
        assert "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate" in said
        assert (
            "set the extra 'ca_bundle' if the server's certificate comes from an authority of your own"
            in said
        )
        fields = {**json.loads(server.connection_json()), "extra": {"ca_bundle": str(made.authority)}}
        for mode in MODES:
            trusting = connect(monkeypatch, json.dumps(fields))
            assert Caller(trusting, mode).list_flows()
        assert trusting.test_connection()[0]


def test_a_missing_connection_fails_its_test_with_what_to_do() -> None:
    assert "The Airflow connection 'nowhere' does not exist." in failed_test(SmartFlowsHook("nowhere"))


# --- execution_url -------------------------------------------------------------------------------------


def test_the_execution_panels_address_is_asked_for_once(server: DevServer, hook: SmartFlowsHook) -> None:
    assert [hook.execution_url("a"), hook.execution_url("b")] == [f"{server.url}/client"] * 2
    assert [request.path for request in server.requests] == ["/api/v1/settings/public"]


@pytest.mark.parametrize(
    "answer",
    ['{"flowExecutionPanelUrl": null}', '{"flowExecutionPanelUrl": "javascript:alert(1)"}', "[]", "<"],
)
def test_without_a_usable_address_it_is_the_usual_page(
    server: DevServer, hook: SmartFlowsHook, answer: str
) -> None:
    server.inject(
        Fault(
            action="status", status=200, body=answer, headers={"content-type": "application/json"}, count=None
        )
    )
    assert hook.execution_url("a") == f"{server.url}/client"


def test_a_service_that_fails_is_asked_only_once_for_a_mere_link(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    server.inject(Fault(action="status", status=503, count=None))
    assert hook.execution_url("a") == f"{server.url}/client"
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [Fault(action="status", status=503), Fault(action="html")])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_link_that_could_not_be_asked_for_is_not_kept(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, fault: Fault, blocking: bool
) -> None:
    server.inject(fault)
    server.inject(
        Fault(action="status", status=200, body='{"flowExecutionPanelUrl": "https://flows.example/panel"}')
    )
    hook = connect(monkeypatch, server.connection_json())

    async def ask() -> list[str]:
        async with hook:
            return [await hook.aexecution_url(one) for one in "abc"]

    found = [hook.execution_url(one) for one in "abc"] if blocking else asyncio.run(ask())
    assert found == [f"{server.url}/client", *["https://flows.example/panel"] * 2]
    assert len(server.requests) == 2


def test_the_connection_may_say_where_an_execution_is_shown(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"execution_url": "https://flows.example/client#/executions/{execution_id}?x={y}"}
    hook = connect(monkeypatch, json.dumps({**json.loads(server.connection_json()), "extra": extra}))
    assert hook.execution_url("a/b c") == "https://flows.example/client#/executions/a%2Fb%20c?x={y}"
    assert server.requests == []


@pytest.mark.parametrize("extra", [{}, {"execution_url": "https://flows.example/{execution_id}"}])
@pytest.mark.parametrize("fault", [None, Fault(action="status", status=503, count=None)])
def test_the_address_is_the_same_without_blocking(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, extra: dict[str, str], fault: Fault | None
) -> None:
    if fault is not None:
        server.inject(fault)
    connection = json.dumps({**json.loads(server.connection_json()), "extra": extra})
    hook = connect(monkeypatch, connection)

    async def ask() -> list[str]:
        async with connect(monkeypatch, connection) as fresh:
            return [await fresh.aexecution_url("a"), await fresh.aexecution_url("b")]

    found = asyncio.run(ask())
    requests = len(server.requests)
    assert found == [hook.execution_url("a"), hook.execution_url("b")]
    assert requests == len(server.requests) - requests == (0 if extra else 2 if fault else 1)


def test_the_link_follows_the_connection_after_closing(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(monkeypatch, server.connection_json())
    assert hook.execution_url("a") == f"{server.url}/client"
    hook.close()
    connect(monkeypatch, host="http://127.0.0.1", port=1)
    assert hook.execution_url("a") == "http://127.0.0.1:1/client"
