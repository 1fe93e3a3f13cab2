"""``executions show`` against the embedded server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli_driving import Caller, begin
from support.service import LONG, panel_flow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.wire.smart_flows import XML_TYPE

XSD = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Order"><xs:complexType>'
    '<xs:sequence><xs:element name="Secret" type="xs:string"/></xs:sequence>'
    "</xs:complexType></xs:element></xs:schema>"
)


def labelled(out: str) -> dict[str, list[str]]:
    """Return the shown texts by their labels; those without one belong to the label before."""
    found: dict[str, list[str]] = {}
    label = ""
    for line in out.splitlines():
        head, text = line[:13].strip(), line[13:]
        label = head.rstrip(":") or label
        found.setdefault(label, []).append(text)
    return found


def test_a_running_execution_is_shown(server: DevServer, executions: Caller) -> None:
    letter = panel_flow(server, LONG)
    execution_id = begin(server, letter, ago=900)
    told = executions("show", execution_id)
    assert (told.code, told.err) == (0, "")
    shown = labelled(told.out)
    assert shown["Execution"] == [execution_id]
    assert shown["Flow"] == [f"Letter ({letter.id})"]
    assert shown["Status"] == ["Running, 0 %: Working"]
    assert shown["Age"] == ["15 min"]
    assert shown["Created"][0].endswith(" by Devserver super user")
    assert shown["Stage 1"][0].endswith(", Running")
    assert shown["Look at it"] == [f"{server.url}/client"]
    assert not {"Waits for", "Failed in", "Error", "Warning", "Document", "Finished", "Input"} & shown.keys()


def test_what_a_person_is_asked_is_shown(server: DevServer, executions: Caller) -> None:
    fields = [{"key": "ok", "title": "Approve it", "required": True}, {"key": "note", "title": "A note"}]
    form = panel_flow(server, {"kind": "form", "name": "Approval", "fields": fields})
    shown = labelled(executions("show", begin(server, form)).out)
    assert shown["Waits for"] == ["a person, form 'Approval'", "- Approve it (required)", "- A note"]


def test_that_a_flow_is_to_be_selected_is_shown(server: DevServer, executions: Caller) -> None:
    shown = labelled(executions("show", begin(server, None)).out)
    assert shown["Flow"] == ["unknown"]
    assert shown["Waits for"] == ["a person", "- Flow (required)"]


def test_the_event_that_is_waited_for_is_shown(server: DevServer, executions: Caller) -> None:
    flow = panel_flow(server, {"kind": "wait_for_event", "name": "Signed"})
    execution_id = begin(server, flow)
    told = executions("show", execution_id, "--json").json
    callback = told["waits_for"]["callback_id"]
    assert told["waits_for"] == {"for": "event", "name": "Signed", "callback_id": callback}
    assert labelled(executions("show", execution_id).out)["Waits for"] == [
        f"the event 'Signed', callback {callback}"
    ]


def test_why_an_execution_failed_is_shown(server: DevServer, executions: Caller) -> None:
    flow = panel_flow(
        server,
        {"kind": "warning", "message": "No logo"},
        {"kind": "fail", "name": "Call SAP", "message": "No route", "causes": ["timed out"]},
    )
    shown = labelled(executions("show", begin(server, flow, ago=60)).out)
    assert shown["Status"][0].startswith("Error, ")
    assert shown["Failed in"] == ["block Call SAP"]
    assert shown["Error"] == ["FlowExecutionError: No route (caused by timed out)"]
    assert shown["Warning"] == ["No logo"]
    assert "Finished" in shown


def test_documents_and_stages_are_shown(server: DevServer, executions: Caller) -> None:
    flow = server.add_flow(
        name="Doc",
        start_from="panel",
        templates={"t.j2": "<p>hi</p>"},
        steps=[{"kind": "document", "template": "t.j2", "format": "html", "file_name": "letter.html"}],
    )
    execution_id = begin(server, flow, ago=60)
    told = executions("show", execution_id, "--json").json
    (document,) = told["documents"]
    assert document["name"] == "letter.html"
    assert [stage["status"] for stage in told["stages"]] == ["Success"]
    assert labelled(executions("show", execution_id).out)["Document"] == [f"letter.html ({document['id']})"]


def test_json_tells_all_and_the_input_only_on_request(server: DevServer, executions: Caller) -> None:
    flow = server.add_flow(name="Order", start_from="program", xsd=XSD, steps=[LONG])
    user = server._keys.user_of(server.api_key)
    body = b"<Order><Secret>s3cret</Secret></Order>"
    execution_id = server.service.start(flow, user=user, body=body, content_type=XML_TYPE).id
    told = executions("show", execution_id, "--json").json
    assert list(told) == [
        "id", "flow", "status", "age_seconds", "created_at", "modified_at", "created_by", "percentage",
        "message", "waits_for", "stages", "warnings", "errors", "failing_block", "documents", "finished_at",
        "url",
    ]  # fmt: skip
    for arguments in ([], ["--json"]):
        assert "s3cret" not in executions("show", execution_id, *arguments).out
    assert "s3cret" in json.dumps(executions("show", execution_id, "--json", "--input").json["input"])
    text = executions("show", execution_id, "--input").out
    assert "s3cret" in text[text.index("\nInput:\n") :]


def test_an_unknown_execution_is_an_error_that_names_it(executions: Caller) -> None:
    told = executions("show", "nope")
    assert (told.code, told.out) == (1, "")
    assert (
        "There is no execution 'nope' [Smart Flows, connection 'smartflows_default', execution nope]"
        in told.err
    )


@pytest.mark.parametrize("execution_id", ["..", ".", ""])
def test_an_id_that_is_none_is_an_error_and_not_asked_for(
    server: DevServer, executions: Caller, execution_id: str
) -> None:
    told = executions("show", execution_id)
    assert told.code == 1
    assert "is not a usable id" in told.err
    assert server.requests == []


@pytest.mark.parametrize("execution_id", ["../users/me", "a/b", "a?b", "%2e%2e", "a\nb"])
def test_an_id_stays_one_segment_of_the_address(
    server: DevServer, executions: Caller, execution_id: str
) -> None:
    told = executions("show", execution_id)
    assert (told.code, told.out) == (1, "")
    assert "was answered with 404" in told.err
    assert "Traceback" not in told.err


def test_a_progress_that_cannot_be_had_leaves_the_rest(server: DevServer, executions: Caller) -> None:
    execution_id = begin(server, panel_flow(server, LONG))
    server.inject(Fault(action="status", status=503, path="/progress$", count=None))
    told = executions("show", execution_id)
    assert told.code == 0
    assert labelled(told.out)["Status"] == ["Running"]
    assert told.err.startswith("Its progress is not known. GET ")


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        "x",
        {"stages": "x", "waitingFor": [], "errors": 7, "warnings": {"a": 1}, "report": 3, "output": []},
        {"stages": [None, {"lastProgress": 3, "start": 9}], "waitingFor": {"callbackId": {}}, "errors": [[]]},
    ],
)
def test_odd_data_is_shown_as_far_as_it_goes(server: DevServer, executions: Caller, state: Any) -> None:
    body = {"id": "x", "status": "Waiting", "flow": {"id": "f", "displayName": "\x1b[1m"}, "state": state}
    server.inject(Fault(action="status", status=200, body=json.dumps(body), path="/x$", count=None))
    progress = {"id": "x", "status": "UserInput", "message": "\x07\n", "schema": {"properties": {"k": 3}}}
    server.inject(
        Fault(action="status", status=200, body=json.dumps(progress), path="/x/progress$", count=None)
    )
    told = executions("show", "x")
    assert (told.code, told.err) == (0, "")
    assert all(line.isprintable() for line in told.out.splitlines())
    shown = labelled(told.out)
    assert shown["Flow"] == ["\\x1b[1m (f)"]
    assert shown["Status"] == ["UserInput: \\x07\\n"]
    assert shown["Waits for"] == ["a person", "- k"]
    assert executions("show", "x", "--json").json["status"] == "UserInput"


def test_an_output_that_is_too_deep_is_told_and_hides_nothing_else(
    server: DevServer, executions: Caller
) -> None:
    deep: Any = 1
    for _ in range(150):
        deep = {"a": deep}
    body = {"id": "x", "status": "Success", "state": {"output": {"model": deep}}}
    server.inject(Fault(action="status", status=200, body=json.dumps(body), path="/x$", count=None))
    told = executions("show", "x")
    assert told.code == 0
    assert labelled(told.out)["Error"][0].startswith("The output cannot be read: ")
