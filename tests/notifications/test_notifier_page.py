"""The page about the notifier: its examples are DAGs, and start what they say."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from support.airflow_versions import needs_public_async_callback

from smartflows_provider.devserver.server import DevServer
from smartflows_provider.notifications.smart_flows import SmartFlowsNotifier

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "notifier.md").read_text()
CALLBACKS, DEADLINE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="Incident"/></xs:schema>"""


def dag_of(code: str) -> DAG:
    """Run an example as a DAG file and return its DAG."""
    names: dict[str, Any] = {}
    exec(compile(code, "notifier.md", "exec"), names)
    dag: DAG = names["dag"]
    return dag


@pytest.fixture
def received(server: DevServer) -> Any:
    server.add_flow(name="Incident report", start_from="program", xsd=XSD, steps=[])
    return lambda: server.input_of(server.executions()[-1]["id"]).decode().partition("<Incident>")[2]


def test_the_notifier_of_a_dag_and_its_task(received: Any) -> None:
    dag = dag_of(CALLBACKS)
    (task,) = dag.tasks
    (of_task,) = task.on_failure_callback
    about = {"dag": dag, "run_id": "r", "ti": SimpleNamespace(task_id="load"), "exception": ValueError("no")}
    of_task(about)
    assert received().startswith("<Dag>load</Dag><Run>r</Run><Task>load</Task><Reason>no</Reason>")
    of_dag: Any = dag.on_failure_callback
    of_dag({"dag": dag, "run_id": "r", "reason": "task_failure"})
    assert received().startswith("<Dag>load</Dag><Run>r</Run><Task></Task><Reason>task_failure</Reason>")


@needs_public_async_callback
def test_the_deadline(received: Any) -> None:
    dag: Any = dag_of(DEADLINE)
    (alert,) = dag.deadline
    context = {
        "dag_run": {"dag_id": "payroll", "dag_run_id": "r"},
        "deadline": {"deadline_time": "2026-11-27T10:00:00Z"},
    }

    async def missed() -> None:
        await SmartFlowsNotifier(**alert.callback.kwargs, context=context)

    asyncio.run(missed())
    assert "<Dag>payroll</Dag><Run>r</Run><Reason>late, due 2026-11-27T10:00:00Z</Reason>" in received()


def test_every_argument_is_on_the_page_and_in_the_docstring() -> None:
    arguments = set(inspect.signature(SmartFlowsNotifier.__init__).parameters) - {"self"}
    documented = re.findall(r":param (\w+):", inspect.getdoc(SmartFlowsNotifier) or "")
    assert sorted(documented) == sorted(arguments)
    table = PAGE[PAGE.index("## Arguments") : PAGE.index("## What templates see")]
    for name in arguments - {"context"}:
        assert f"`{name}`" in table
