"""The time that the service names reaches the task's retry policy."""

from __future__ import annotations

from support.airflow_versions import needs_task_state
from support.outcomes import both, outcome
from support.service import LONG, START, panel_flow
from support.tasks import Attempt

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowServiceError, FlowStateUnknownError


def test_a_start_that_is_put_off_carries_the_services_time_to_the_task(server: DevServer) -> None:
    panel_flow(server, LONG)
    server.inject(
        Fault(
            action="status",
            status=429,
            headers={"retry-after": "77"},
            method="POST",
            path=START,
            count=None,
        )
    )
    run = both(server)
    assert isinstance(run.error, FlowServiceError)
    assert run.error.retry_after == 77
    assert run.error.fate == "Nothing was started."


@needs_task_state
def test_a_retry_that_cannot_ask_about_its_run_carries_the_services_time(server: DevServer) -> None:
    panel_flow(server, LONG)
    attempt = Attempt()
    outcome(server, "sync", attempt=attempt, wait_for_completion=False)
    server.inject(
        Fault(action="status", status=503, headers={"retry-after": "33"}, path="/progress$", count=None)
    )
    again = both(server, attempt=attempt)
    assert isinstance(again.error, FlowStateUnknownError)
    assert again.error.retry_after == 33
