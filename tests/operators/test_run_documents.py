"""Documents through the operators: cut transfers, and tasks that are stopped while they fetch."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.outcomes import operator_for, outcome
from support.service import asked, cancels, hook, server
from support.tasks import MODES, Attempt, Mode, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import FlowKilledError, FlowServiceError
from smartflows_provider.lifecycle.results import TRANSFER_ATTEMPTS
from smartflows_provider.operators.smart_flows import (
    SmartFlowsDownloadDocumentsOperator,
    SmartFlowsGetOutputOperator,
)

__all__ = ["hook", "server"]

PAGE = {"kind": "document", "template": "page.j2", "format": "html", "file_name": "Letter.html"}
CONTENT = {"path": "/content$", "method": "GET"}


@pytest.fixture(autouse=True)
def flow(server: DevServer) -> None:
    server.add_flow(
        name="Letter",
        start_from="panel",
        templates={"page.j2": "<h1>Dear Ada</h1>"},
        steps=[{"id": "one", **PAGE}],
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("mode", MODES)
def test_a_transfer_that_is_cut_is_fetched_again_and_the_log_says_so(
    server: DevServer, mode: Mode, out: Path
) -> None:
    server.inject(Fault(action="cut", size=5, **CONTENT))
    found = outcome(server, mode, documents_path=f"file://{out}")
    assert found.error is None
    assert files(out) == ["Letter.html"]
    said = [line for line in found.log if "It is fetched again from its beginning" in str(line)]
    assert len(said) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_transfer_that_is_always_cut_fails_and_names_the_document(
    server: DevServer, mode: Mode, out: Path
) -> None:
    server.inject(Fault(action="cut", size=5, count=TRANSFER_ATTEMPTS, **CONTENT))
    found = outcome(server, mode, documents_path=f"file://{out}")
    assert type(found.error) is FlowServiceError
    assert found.message.startswith("Document 'Letter.html': the answer to GET /documents/")
    assert files(out) == []


def killed_while_fetching(server: DevServer, operator: Any) -> FlowKilledError:
    """Run a task and stop it once its document is on the way, of which a byte comes now and then."""
    server.inject(Fault(action="slow", size=1, seconds=0.2, **CONTENT))

    def kill() -> None:
        while not asked(server, "GET", "/content"):
            time.sleep(0.02)
        operator.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    with pytest.raises(FlowKilledError) as killed:
        run_task(operator, Attempt())
    killer.join()
    assert time.monotonic() - began < 10
    return killed.value


WORDS = (
    "The execution had ended; its output stays at the service. No half file was left.\n"
    "The next attempt fetches the output again."
)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_stopped_while_it_fetches_leaves_the_ended_execution_alone(
    server: DevServer, mode: Mode, out: Path
) -> None:
    error = killed_while_fetching(server, operator_for(mode, documents_path=f"file://{out}"))
    assert str(error).startswith("The task was stopped while it fetched the output. [Smart Flows, ")
    assert str(error).endswith(WORDS)
    assert (files(out), cancels(server)) == ([], [])


@pytest.mark.parametrize("kind", [SmartFlowsGetOutputOperator, SmartFlowsDownloadDocumentsOperator])
def test_other_tasks_that_fetch_documents_stop_as_well(
    server: DevServer, hook: Any, kind: Any, out: Path
) -> None:
    execution_id = hook.start("Letter").execution_id
    operator = kind(task_id="t", execution_id=execution_id, documents_path=f"file://{out}")
    error = killed_while_fetching(server, operator)
    assert f"execution {execution_id}" in str(error)
    assert str(error).endswith(WORDS)
    assert files(out) == []
