"""Forms answered with what is known beforehand; what does not fit says what the form asks."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.service import asked, panel_flow, statuses

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowUserInputRequiredError
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.lifecycle.answering import MAX_FORMS, answer_forms


@pytest.fixture(autouse=True)
def answers_at_once(server: DevServer) -> None:
    server.configure(hold="ignored")


def form(key: str, title: str) -> dict[str, Any]:
    return {"id": f"ask_{key}", "kind": "form", "fields": [{"key": key, "title": title, "required": True}]}


def answer(hook: SmartFlowsHook, execution_id: str, answers: dict[str, Any]) -> None:
    where = hook.identity(flow="Letter", execution_id=execution_id)
    answer_forms(hook, execution_id, answers=answers, where=where, log=logging.getLogger("tests.answers"))


def test_forms_that_follow_one_another_are_answered_each_with_its_own(
    server: DevServer, hook: SmartFlowsHook, caplog: pytest.LogCaptureFixture
) -> None:
    flow = panel_flow(
        server,
        form("way", "Way"),
        form("copies", "Copies"),
        {"kind": "output", "values": {"way": "{{ answers.way }}", "copies": "{{ answers.copies }}"}},
    )
    execution_id = hook.start(flow.id).execution_id
    with caplog.at_level(logging.INFO):
        answer(hook, execution_id, {"way": "mail", "Copies": "3", "of another form": 1})
    assert statuses(server) == ["Success"]
    assert f"Answering the form of execution {execution_id}: 'Way'." in caplog.messages
    assert f"Answering the form of execution {execution_id}: 'Copies'." in caplog.messages
    assert not [text for text in caplog.messages if "mail" in text]


def test_answers_that_do_not_fit_leave_the_form_open_and_list_what_it_asks(
    server: DevServer, hook: SmartFlowsHook
) -> None:
    execution_id = hook.start(panel_flow(server, form("way", "Way of delivery")).id).execution_id
    with pytest.raises(FlowUserInputRequiredError) as refused:
        answer(hook, execution_id, {"copies": 3})
    assert "none of the answers ['copies'] belongs to the form." in str(refused.value)
    assert "The form asks: 'way' (Way of delivery)." in str(refused.value)
    assert f"execution {execution_id}" in str(refused.value)
    assert "The execution waits on for a person." in str(refused.value)
    assert statuses(server) == ["UserInput"]
    assert asked(server, "POST", "/progress") == []


def test_an_execution_without_a_flow_cannot_be_answered(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = hook.start().execution_id
    with pytest.raises(FlowUserInputRequiredError, match="which flow to run, which answers cannot tell"):
        answer(hook, execution_id, {"way": "mail"})


def test_an_endless_row_of_forms_is_given_up(server: DevServer, hook: SmartFlowsHook) -> None:
    steps = [{**form("way", "Way"), "id": f"ask{number}"} for number in range(MAX_FORMS + 1)]
    execution_id = hook.start(panel_flow(server, *steps).id).execution_id
    with pytest.raises(FlowUserInputRequiredError, match=f"still asks after {MAX_FORMS} answered forms"):
        answer(hook, execution_id, {"way": "mail"})
    assert len(asked(server, "POST", "/progress")) == MAX_FORMS


def test_an_execution_that_goes_on_meanwhile_is_left_alone(server: DevServer, hook: SmartFlowsHook) -> None:
    execution_id = hook.start(panel_flow(server, {"kind": "work"}).id).execution_id
    answer(hook, execution_id, {})
    assert asked(server, "POST", "/progress") == []
