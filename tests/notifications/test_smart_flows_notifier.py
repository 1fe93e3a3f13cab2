"""The notifier: it starts a flow once, takes a limited time, tells what came of it and raises nothing."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from airflow.sdk import DAG, ObjectStoragePath
from structlog.testing import capture_logs
from support.service import CONN_VARIABLE, START, panel_flow, starts

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.notifications.smart_flows import SmartFlowsNotifier

Mode = Literal["sync", "async"]
Line = MutableMapping[str, Any]
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Event"><xs:complexType>
<xs:sequence><xs:element name="Dag" type="xs:string"/><xs:element name="What" type="xs:string"/>
</xs:sequence></xs:complexType></xs:element></xs:schema>"""
ANYTHING = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Event"><xs:complexType>
<xs:sequence><xs:any processContents="skip" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
</xs:complexType></xs:element></xs:schema>"""
CONTEXT: dict[str, Any] = {
    "dag": None,
    "run_id": "manual__1",
    "dag_run": SimpleNamespace(dag_id="bulk", run_id="manual__1"),
    "exception": ValueError("the shop is closed"),
}
DATA = {"What": "{{ exception }}", "Dag": "{{ dag_run.dag_id }}"}
WHERE = "Smart Flows, connection 'smartflows_default', flow 'Event'"
HEAD = (
    "The notification by the flow {flow!r}, connection 'smartflows_default', failed and is not repeated; "
    "what it is about stays as it is.\n"
)
STARTED = "The notification has started an execution, which nothing waits for"


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


@pytest.fixture(autouse=True)
def event_flow(server: DevServer) -> None:
    server.add_flow(name="Event", start_from="program", xsd=ANYTHING, steps=[])
    panel_flow(server, name="Panel")


@pytest.fixture
def log() -> Iterator[list[Line]]:
    with capture_logs() as lines:
        yield lines


def notifier(**arguments: Any) -> SmartFlowsNotifier:
    return SmartFlowsNotifier(**{"flow": "Event", "root": "Event", "data": DATA, **arguments})


def notify(mode: Mode, context: dict[str, Any] | None = None, **arguments: Any) -> None:
    """Do what Airflow does with a notifier: call it, or await it."""
    context = CONTEXT if context is None else context
    if mode == "sync":
        notifier(**arguments)(context)
        return

    async def wait() -> None:
        await notifier(**arguments, context=context)

    asyncio.run(wait())


def told(log: list[Line]) -> Line:
    """Return the only line that the notifier has written."""
    (line,) = own(log)
    return line


def own(log: list[Line]) -> list[Line]:
    return [line for line in log if "notification" in line["event"]]


def received(server: DevServer) -> str:
    text = server.input_of(server.executions()[-1]["id"]).decode().replace("\n", "")
    return text.partition("?>")[2] or text


# --- what is started ---


def test_the_flow_is_started_once_with_what_the_context_says(
    server: DevServer, mode: Mode, log: list[Line]
) -> None:
    notify(mode)
    (execution,) = server.executions()
    assert received(server) == "<Event><What>the shop is closed</What><Dag>bulk</Dag></Event>"
    with SmartFlowsHook() as hook:
        url = hook.execution_url(execution["id"])
    line = told(log)
    assert line["log_level"] == "info"
    assert line["event"] == f"{STARTED} [{WHERE}, execution {execution['id']}, {url}]."


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"data": '{"What": "late", "Dag": "{{ run_id }}"}'}, "<What>late</What><Dag>manual__1</Dag>"),
        ({"data": None, "xml": "<Event><Dag>{{ run_id }}</Dag></Event>"}, "<Dag>manual__1</Dag>"),
        ({"data": None, "xml": b"<Event><Dag>d</Dag></Event>"}, "<Dag>d</Dag>"),
        (
            {"data": None, "rows": [["{{ run_id }}"]], "columns": ["Dag"], "row": "E"},
            "<E><Dag>manual__1</Dag></E>",
        ),
        (
            {"data": None, "rows": "[]", "row": "E", "header": {"Dag": "{{ run_id }}"}},
            "<Dag>manual__1</Dag>",
        ),
        ({"data": lambda context, jinja_env: {"Dag": context["run_id"]}}, "<Dag>manual__1</Dag>"),
        ({"data": {"Dag": None, "What": "w"}, "none_as": "empty"}, "<Dag></Dag><What>w</What>"),
    ],
    ids=["JSON", "XML", "bytes", "lists", "header", "function", "none_as"],
)
def test_inputs_are_those_of_the_operator(
    server: DevServer, mode: Mode, arguments: dict[str, Any], expected: str
) -> None:
    notify(mode, **arguments)
    assert received(server) == f"<Event>{expected}</Event>"


def test_without_an_input_a_flow_of_the_panel_is_started(server: DevServer, mode: Mode) -> None:
    notify(mode, flow="{{ 'Panel' }}", data=None)
    assert received(server) == ""


@pytest.mark.parametrize(
    ("unattended", "path"), [(False, "/executions"), ("{{ 1 == 1 }}", "/executions/start")]
)
def test_unattended_decides_by_which_call_it_is_started(
    server: DevServer, mode: Mode, unattended: bool | str, path: str
) -> None:
    notify(mode, unattended=unattended)
    (start,) = starts(server)
    assert start.endswith(path)


def test_relative_paths_and_the_xsd_are_taken_from_the_dag_files_folder(
    server: DevServer, mode: Mode, tmp_path: Path
) -> None:
    (tmp_path / "event.xsd").write_text(XSD)
    dag = DAG("bulk", schedule=None)
    dag.fileloc = str(tmp_path / "dag.py")
    notify(mode, {**CONTEXT, "dag": dag}, xsd="event.xsd", root=None)
    assert received(server) == "<Event><Dag>bulk</Dag><What>the shop is closed</What></Event>"


def test_an_address_is_read_and_no_template_file(server: DevServer, mode: Mode, tmp_path: Path) -> None:
    (tmp_path / "event.xml").write_text("<Event><Dag>d</Dag><What>w</What></Event>")
    notify(mode, data=None, xml=ObjectStoragePath(f"file://{tmp_path}/event.xml").as_uri())
    assert received(server) == "<Event><Dag>d</Dag><What>w</What></Event>"


def test_one_notifier_serves_many_runs(server: DevServer) -> None:
    shared = notifier()
    for run in ("first", "second"):
        context = {**CONTEXT, "dag_run": SimpleNamespace(dag_id=run)}
        shared(context)
        assert f"<Dag>{run}</Dag>" in received(server)
        assert "flow" not in context
    assert shared.data == DATA


def test_notify_by_hand_takes_the_arguments_as_they_are(server: DevServer, mode: Mode) -> None:
    one = notifier(data={"Dag": "{{ d }}", "What": "w"})
    if mode == "sync":
        one.notify(CONTEXT)
    else:
        asyncio.run(one.async_notify(CONTEXT))
    assert "<Dag>{{ d }}</Dag>" in received(server)


def test_a_notifier_can_be_called_where_an_event_loop_runs(server: DevServer) -> None:
    async def call() -> None:
        notifier()(CONTEXT)

    asyncio.run(call())
    assert len(starts(server)) == 1


# --- what goes wrong is told and raises nothing ---


def no_connection(server: DevServer, patch: pytest.MonkeyPatch) -> None:
    patch.delenv(CONN_VARIABLE)


def nothing_listens(server: DevServer, patch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    patch.setenv(
        CONN_VARIABLE,
        json.dumps({"conn_type": "smartflows", "host": f"http://127.0.0.1:{port}", "password": "k"}),
    )


def wrong_key(server: DevServer, patch: pytest.MonkeyPatch) -> None:
    server.revoke_key()


def refuses_start(server: DevServer, patch: pytest.MonkeyPatch) -> None:
    server.inject(Fault(action="status", status=400, method="POST", path=START, body='{"message": "no"}'))


def nothing(server: DevServer, patch: pytest.MonkeyPatch) -> None: ...


Trouble = Callable[[DevServer, pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    ("trouble", "arguments", "message"),
    [
        (no_connection, {}, "FlowConnectionMissingError: The Airflow connection 'smart"),
        (nothing_listens, {}, "FlowConnectionError: "),
        (wrong_key, {}, "FlowAuthenticationError: "),
        (refuses_start, {}, "FlowRequestRefusedError: "),
        (nothing, {"flow": "Evnt"}, "FlowNotFoundError: "),
        (nothing, {"flow": "{{ '' }}"}, "FlowConfigurationError: The argument flow is ''; it takes"),
        (nothing, {"unattended": "{{ 'perhaps' }}"}, "FlowConfigurationError: The argument unattended is '"),
        (nothing, {"data": {"a b": 1}}, "FlowInputError: /Event, field 'a b'"),
        (nothing, {"data": "{{ 'no json' }}"}, "FlowInputError: Data is text, but not JSON"),
        (nothing, {"data": lambda context, jinja_env: None}, "FlowConfigurationError: data is None now that"),
        (nothing, {"namespaces": "{{ 'no json' }}"}, "FlowConfigurationError: The argument namespaces is "),
        (nothing, {"data": {"Dag": "{{ 1 / 0 }}"}}, "ZeroDivisionError: division by zero"),
        (nothing, {"data": {"Dag": "{{ no.such }}"}}, "UndefinedError: 'no' is undefined"),
        (nothing, {"data": None, "xml": "event.xml"}, "TypeError: no loader for this environment specified"),
    ],
)  # fmt: skip
def test_an_error_is_told_and_starts_nothing(  # noqa: PLR0917 - fixtures
    server: DevServer,
    mode: Mode,
    monkeypatch: pytest.MonkeyPatch,
    log: list[Line],
    trouble: Trouble,
    arguments: dict[str, Any],
    message: str,
) -> None:
    trouble(server, monkeypatch)
    notify(mode, **arguments)
    line = told(log)
    assert line["log_level"] == "error"
    text = line["event"]
    flow = "" if "{{ '' }}" in arguments.values() else arguments.get("flow", "Event")
    assert text.startswith(HEAD.format(flow=flow) + message)
    assert "\nNo execution was started." in text or "\nNothing was sent." in text
    assert server.executions() == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("smart_flows_conn_id", None, "The argument smart_flows_conn_id is None; it takes an id or a name"),
        ("smart_flows_conn_id", 5, "The argument smart_flows_conn_id is 5; it takes an id or a name"),
        ("flow", None, "The argument flow is None; it takes an id or a name"),
        ("namespaces", 7, "The argument namespaces is of type int; it takes a mapping"),
    ],
)
def test_what_templates_have_made_of_an_argument_is_told_with_where_to_look(  # noqa: PLR0917 - fixtures
    server: DevServer, mode: Mode, log: list[Line], name: str, value: Any, message: str
) -> None:
    one = notifier()
    # As a DAG with render_template_as_native_obj may.
    setattr(one, name, value)
    if mode == "sync":
        one.notify(CONTEXT)
    else:
        asyncio.run(one.async_notify(CONTEXT))
    text = told(log)["event"]
    assert f"FlowConfigurationError: {message}" in text
    # There is no page of rendered templates for a notifier.
    assert text.endswith(
        "\nNo execution was started.\nLook at the template or the function that it comes from."
    )
    assert server.requests == []


def test_a_start_without_an_answer_is_told_as_open_and_not_repeated(
    server: DevServer, mode: Mode, log: list[Line]
) -> None:
    server.inject(Fault(action="reset", method="POST", path=START, taken=True, count=None))
    notify(mode)
    assert len(starts(server)) == len(server.executions()) == 1
    text = told(log)["event"]
    assert text.startswith(HEAD.format(flow="Event") + "FlowServiceError: ")
    assert f"[{WHERE}]\nWhether an execution was started at " in text
    assert " UTC is open; it is not sent again." in text


def test_a_fault_of_a_look_up_is_no_open_start(server: DevServer, mode: Mode, log: list[Line]) -> None:
    server.inject(Fault(action="status", status=500, method="GET", path="/flows", count=None))
    notify(mode)
    assert "\nNo execution was started.\n" in told(log)["event"]


def test_a_start_that_was_not_taken_is_sent_again(server: DevServer, mode: Mode) -> None:
    server.inject(Fault(action="status", status=429, headers={"retry-after": "0"}, method="POST", path=START))
    notify(mode)
    assert len(server.executions()) == 1


def test_hidden_input_stays_out_of_what_is_told(server: DevServer, mode: Mode, log: list[Line]) -> None:
    server.inject(
        Fault(action="status", status=400, method="POST", path=START, body='{"message": "bad Ada"}')
    )
    notify(mode, data={"Dag": "Ada", "What": "w"}, hide_payload=True)
    notify(mode, data={"Dag": "Ada\x01", "What": "w"}, hide_payload=True)
    notify(mode, {**CONTEXT, "name": "Ada"}, data={"Dag": "{{ name / 1 }}"}, hide_payload=True)
    lines = own(log)
    assert len(lines) == 3
    assert "Ada" not in str(lines)


# --- its time is limited ---


@pytest.mark.parametrize(
    ("fault", "doing", "fate"),
    [
        (
            Fault(action="delay", seconds=30, path="/flows", method="GET", count=None),
            "the flow was looked up",
            "No execution was started.",
        ),
        (
            Fault(action="delay", seconds=30, path=START, method="POST", taken=True, count=None),
            "the flow was started",
            "Whether an execution was started at ",
        ),
    ],
    ids=["look-up", "start"],
)
def test_a_service_that_stands_still_is_left(  # noqa: PLR0917 - fixtures
    server: DevServer, mode: Mode, log: list[Line], fault: Fault, doing: str, fate: str
) -> None:
    server.inject(fault)
    notify(mode, timeout=0.4)
    text = told(log)["event"]
    assert f": The 0.4 seconds of the notifier's timeout were over while {doing}. [{WHERE}]\n{fate}" in text


def test_an_execution_is_named_though_the_time_ends_before_its_address_is_known(
    server: DevServer, mode: Mode, log: list[Line]
) -> None:
    server.inject(Fault(action="delay", seconds=30, path="/settings/public", count=None))
    notify(mode, timeout=1)
    (execution,) = server.executions()
    assert told(log)["event"] == f"{STARTED} [{WHERE}, execution {execution['id']}]."


def test_an_execution_is_named_though_its_address_cannot_be_found(
    server: DevServer, mode: Mode, monkeypatch: pytest.MonkeyPatch, log: list[Line]
) -> None:
    async def broken(self: SmartFlowsHook, execution_id: str) -> str:
        raise RuntimeError(execution_id)

    monkeypatch.setattr(SmartFlowsHook, "aexecution_url", broken)
    notify(mode)
    (execution,) = server.executions()
    assert told(log)["event"] == f"{STARTED} [{WHERE}, execution {execution['id']}]."


def test_an_airflow_that_stands_still_is_left_and_nothing_is_sent_later(
    server: DevServer, monkeypatch: pytest.MonkeyPatch, log: list[Line]
) -> None:
    real, done = SmartFlowsHook._look_up, []

    def slow(self: SmartFlowsHook) -> Any:
        time.sleep(1.6)
        done.append(1)
        return real(self)

    monkeypatch.setattr(SmartFlowsHook, "_look_up", slow)
    notify("sync", timeout=0.1)
    assert done == []
    assert "timeout were over while the connection was looked up." in told(log)["event"]
    while not done:
        time.sleep(0.05)
    time.sleep(0.2)
    assert server.requests == []


def test_a_triggerer_that_ends_is_told_what_is_left(server: DevServer, log: list[Line]) -> None:
    server.inject(Fault(action="delay", seconds=30, path=START, method="POST", taken=True))

    async def end() -> None:
        waiting = asyncio.ensure_future(notifier(context=CONTEXT))
        while not starts(server):
            await asyncio.sleep(0.02)
        waiting.cancel()
        await waiting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(end())
    assert "Whether an execution was started at" in told(log)["event"]


# --- what cannot work is told while the DAG is parsed ---


def generated() -> Iterator[dict[str, str]]:
    yield {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flow": " "}, "flow is ' '; it takes text"),
        ({"flow": None}, "flow is None; it takes text"),
        ({"smart_flows_conn_id": ""}, "smart_flows_conn_id is ''; it takes text"),
        ({"unattended": None}, "unattended is None; it takes True, False, or a template of them"),
        ({"xml": "<a/>"}, "the input is given twice, as xml and data. Give one of xml, data and rows"),
        ({"data": 5}, "data is 5; it takes a mapping, or JSON text of one"),
        ({"data": None, "rows": []}, "rows need row, the name of each row's element, and root"),
        ({"data": None, "rows": generated()}, "rows is a generator, which would be read when"),
        ({"none_as": "null"}, "none_as is 'null'; it takes one of 'absent'"),
        ({"bad_characters": "drop"}, "bad_characters is 'drop'; it takes one of"),
        ({"timeout": 0}, "timeout is 0; it takes a number of seconds above 0"),
        ({"timeout": True}, "timeout is True; it takes"),
        ({"timeout": float("inf")}, "timeout is inf; it takes"),
    ],
)
def test_what_cannot_work_is_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^SmartFlowsNotifier: ") as caught:
        notifier(**arguments)
    assert message in str(caught.value)


def test_an_unknown_argument_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="flw"):
        SmartFlowsNotifier(flw="Event")


# --- what Airflow does with it ---


def test_it_can_be_copied_and_pickled(server: DevServer) -> None:
    for copied in (deepcopy(notifier()), pickle.loads(pickle.dumps(notifier()))):
        copied(CONTEXT)
    assert len(server.executions()) == 2


def test_every_argument_but_its_own_options_is_templated() -> None:
    import inspect

    arguments = set(inspect.signature(SmartFlowsNotifier.__init__).parameters)
    options = {"self", "none_as", "bad_characters", "hide_payload", "timeout", "context"}
    assert set(SmartFlowsNotifier.template_fields) == arguments - options
