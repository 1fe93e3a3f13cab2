"""The whole life of executions brings the same over every reading of what the vendor leaves open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hook_connections import MODES, Caller, Mode, connect

from smartflows_provider.devserver.profiles import PROFILES
from smartflows_provider.devserver.server import DevServer, running_server
from smartflows_provider.exceptions import (
    FlowAuthenticationError,
    FlowException,
    FlowNotFoundError,
    FlowRequestRefusedError,
)
from smartflows_provider.wire.smart_flows import XML_TYPE, Condition, all_of, find_progress

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="Order"><xs:complexType><xs:sequence>
    <xs:element name="Customer" type="xs:string"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""
ORDER = "<Order><Customer>Łukasz</Customer></Order>".encode()


@pytest.fixture(scope="module", params=PROFILES)
def profiled(request: pytest.FixtureRequest) -> Iterator[DevServer]:
    with running_server(profile=PROFILES[request.param]) as server:
        server.add_flow(
            name="Letter",
            start_from="program",
            xsd=XSD,
            templates={"letter.html.j2": "<p>{{ data.Customer }}</p>"},
            steps=[
                {"duration": 0.15, "message": "Reading"},
                {"id": "letter", "kind": "document", "template": "letter.html.j2", "format": "html",
                 "file_name": "Letter.html", "place": "delivery.letter"},
                {"kind": "output", "name": "Figures", "values": {"pages": 1}},
            ],
        )  # fmt: skip
        question = {"key": "name", "title": "Name", "default": "nobody"}
        server.add_flow(
            name="Question",
            steps=[
                {"id": "ask", "kind": "form", "fields": [question]},
                {"kind": "output", "values": {"greeting": "Hello {{ answers.name }}"}},
            ],
        )
        server.add_flow(name="Endless", steps=[{"duration": 3600}])
        server.add_flow(name="Signature", steps=[{"kind": "wait_for_event", "callback": "signed"}])
        server.add_flow(name="Trouble", steps=[{"kind": "warning", "message": "Ink is low"}])
        for number in range(120):
            server.add_flow(name=f"Another flow {number:03}", steps=[])
        yield server


@pytest.fixture(params=MODES)
def caller(
    profiled: DevServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Caller]:
    mode: Mode = request.param
    hook = connect(monkeypatch, profiled.connection_json())
    yield Caller(hook, mode)
    hook.close()


def until_stable(caller: Caller, execution_id: str) -> list[str]:
    """Follow an execution as a waiter does, and return the different statuses that it showed."""
    seen: list[str] = []
    hold, give_up = 5.0, time.monotonic() + 60
    while time.monotonic() < give_up:
        snapshot = caller.get_progress(execution_id, hold_seconds=hold)
        hold = 0.0 if snapshot.hold_refused else hold
        if not seen or seen[-1] != snapshot.status:
            seen.append(snapshot.status)
        if snapshot.phase.is_stable:
            return seen
        time.sleep(0.03)
    raise TimeoutError(execution_id)


def test_flows_are_all_listed_and_found(caller: Caller) -> None:
    flows = caller.list_flows()
    assert len(flows) == len({flow.id for flow in flows}) == 126
    assert caller.find_flow("Another flow 119") in flows


def test_a_run_by_id_and_by_name_brings_output_and_document(caller: Caller) -> None:
    for flow in (caller.find_flow("Letter").id, "Letter"):
        for unattended in (False, True):
            started = caller.start(flow, body=ORDER, content_type=XML_TYPE, unattended=unattended)
            assert until_stable(caller, started.execution_id)[-1] == "Success"
            execution = caller.get_execution(started.execution_id)
            assert (execution.status, execution.flow.name) == ("Success", "Letter")
            model = execution.raw["state"]["output"]["model"]
            letter = model["delivery"]["letter"]
            assert (model["pages"], letter["type"]) == (1, "document")
            (figures,) = caller.get_output(started.execution_id, output="Figures").raw["outputs"]
            assert figures["model"] == {"pages": 1}
            document = caller.get_document(letter["id"])
            assert (document.name, document.content_type) == ("Letter.html", "text/html;charset=UTF-8")
            content_type, size, content = caller.download(letter["id"])
            assert (content_type, content) == ("text/html", "<p>Łukasz</p>".encode())
            assert size in {len(content), None}


def test_a_form_is_shown_answered_and_gone_on_from(caller: Caller) -> None:
    asked = caller.start("Question")
    assert (asked.status, asked.form["model"]) == ("UserInput", {"name": "nobody"})
    caller.answer_form(asked.execution_id, {"name": "Ada"})
    assert until_stable(caller, asked.execution_id)[-1] == "Success"
    assert caller.get_execution(asked.execution_id).raw["state"]["output"]["model"]["greeting"] == "Hello Ada"


def test_an_unattended_run_takes_the_forms_defaults(caller: Caller) -> None:
    started = caller.start("Question", unattended=True)
    assert until_stable(caller, started.execution_id)[-1] == "Success"
    model = caller.get_execution(started.execution_id).raw["state"]["output"]["model"]
    assert model["greeting"] == "Hello nobody"


def test_a_cancelled_run_is_canceled_and_stays_so(caller: Caller) -> None:
    started = caller.start("Endless")
    assert started.status in {"Queued", "Running"}
    for _ in range(2):
        snapshot = caller.cancel(started.execution_id)
        assert snapshot is None or snapshot.status == "Canceled"
    assert until_stable(caller, started.execution_id) == ["Canceled"]


def test_an_event_lets_a_waiting_run_go_on(caller: Caller) -> None:
    started = caller.start("Signature")
    assert started.status == "Waiting"
    caller.send_event("signed", execution_id=started.execution_id, text="yes")
    assert until_stable(caller, started.execution_id)[-1] == "Success"


def test_a_run_with_warnings_says_so(caller: Caller) -> None:
    started = caller.start("Trouble")
    assert until_stable(caller, started.execution_id)[-1] == "Warning"
    assert caller.get_execution(started.execution_id).raw["state"]["warnings"] == ["Ink is low"]


def test_executions_are_listed_by_flow_by_filter_and_up_to_a_limit(caller: Caller) -> None:
    ids = [caller.start("Trouble").execution_id for _ in range(3)]
    flow_id = caller.find_flow("Trouble").id
    listed = caller.find_executions(flow_id)
    assert {*ids} <= {one.id for one in listed}
    assert {one.flow.name for one in listed} == {"Trouble"}
    assert [one.created_at for one in listed] == sorted((one.created_at for one in listed), reverse=True)
    assert len(caller.find_executions(flow_id, limit=2)) == 2
    where = all_of(
        Condition(key="flow.id", operator="equalTo", values=[flow_id]),
        Condition(key="createdAt", operator="greaterThan", values=["2020-01-01T00:00:00.000Z"]),
    )
    found = caller.find_executions(where=where)
    assert {one.id for one in found} == {one.id for one in listed}


def test_executions_are_asked_for_by_id_only_where_the_service_filters_by_it(
    profiled: DevServer, caller: Caller
) -> None:
    ids = [caller.start("Trouble").execution_id for _ in range(3)]
    exchange = find_progress(ids[:2])
    match profiled.profile.filter_by_id:
        case "honoured":
            found = caller.run(exchange)
            assert set(found) == {*ids[:2]}
            assert {snapshot.status for snapshot in found.values()} == {"Warning"}
        case "ignored":
            with pytest.raises(FlowException, match="executions that were not asked for"):
                caller.run(exchange)
        case "rejected":
            with pytest.raises(FlowRequestRefusedError, match="answered with 400"):
                caller.run(exchange)


def test_what_was_cleaned_up_is_not_found_by_any_call(profiled: DevServer, caller: Caller) -> None:
    started = caller.start("Letter", body=ORDER, content_type=XML_TYPE).execution_id
    until_stable(caller, started)
    state: Any = caller.get_execution(started).raw["state"]
    document = state["output"]["model"]["delivery"]["letter"]["id"]
    profiled.expire(started)
    for call, argument in [
        (caller.get_progress, started),
        (caller.get_execution, started),
        (caller.get_output, started),
        (caller.cancel, started),
        (caller.get_document, document),
        (caller.download, document),
    ]:
        with pytest.raises(FlowNotFoundError):
            call(argument)


def test_a_revoked_key_is_an_authentication_error_everywhere(
    profiled: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect(monkeypatch, profiled.connection_json(api_key="revoked"))
    for mode in MODES:
        with pytest.raises(FlowAuthenticationError):
            Caller(hook, mode).list_flows()
    worked, said = hook.test_connection()
    assert not worked
    assert "put a valid one into the connection's password" in said
