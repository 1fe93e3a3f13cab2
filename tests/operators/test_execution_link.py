"""The button in the UI: it reads one XCom, which is there as soon as the run is, and never asks the "
"service."""

from __future__ import annotations

from typing import Any

import pytest
from support.outcomes import operator_for
from support.service import LONG, panel_flow
from support.tasks import Attempt, run_task

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.lifecycle.xcom_keys import EXECUTION_URL_KEY
from smartflows_provider.links import FlowExecutionLink
from smartflows_provider.operators.smart_flows import SmartFlowsGetOutputOperator, SmartFlowsRunFlowOperator
from smartflows_provider.sensors.smart_flows import SmartFlowsExecutionSensor


@pytest.mark.parametrize(
    "operator", [SmartFlowsRunFlowOperator, SmartFlowsGetOutputOperator, SmartFlowsExecutionSensor]
)
def test_every_task_about_one_execution_has_the_button(operator: Any) -> None:
    (link,) = operator.operator_extra_links
    assert isinstance(link, FlowExecutionLink)
    assert (link.name, link.xcom_key) == ("Flow execution", "execution_url")


@pytest.mark.parametrize(
    ("pushed", "shown"), [("https://flows.example/client", "https://flows.example/client"), (None, "")]
)
def test_the_button_leads_where_the_task_has_pushed_to(
    monkeypatch: pytest.MonkeyPatch, pushed: str | None, shown: str
) -> None:
    asked: list[Any] = []

    def get_value(*, key: str, ti_key: Any) -> str | None:
        asked.append((key, ti_key))
        return pushed

    monkeypatch.setattr("smartflows_provider.links.XCom.get_value", get_value)
    link = FlowExecutionLink().get_link(operator_for("sync"), ti_key="key")
    assert link == shown
    assert asked == [(EXECUTION_URL_KEY, "key")]


def test_the_address_is_pushed_before_the_task_is_deferred(server: DevServer) -> None:
    panel_flow(server, LONG)
    seen: list[dict[str, Any]] = []
    attempt = Attempt()

    def resume(event: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(attempt.xcoms))
        server.advance(3600)
        return event

    attempt.before_resume = resume
    run_task(operator_for("deferrable", timeout=0.2, cancel_on_timeout=False), attempt)
    assert seen == [{"execution_id": server.executions()[0]["id"], "execution_url": f"{server.url}/client"}]
