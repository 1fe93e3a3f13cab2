"""The page about Workflow Server says what the code does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.operators import workflow_server
from smartflows_provider.operators.base import FlowOperator
from smartflows_provider.sensors.workflow_server import WorkflowServerProcessSensor

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "workflow_server.md").read_text(encoding="utf-8")
OPERATORS = [
    one
    for name, one in vars(workflow_server).items()
    if inspect.isclass(one) and issubclass(one, FlowOperator) and name.startswith("WorkflowServer")
]


def section(heading: str) -> str:
    return PAGE[PAGE.index(f"\n## {heading}\n") :].partition("\n## ")[2].partition("\n## ")[0]


def test_every_field_of_the_connection_form_is_listed_with_its_default() -> None:
    connections = {one["connection-type"]: one for one in get_provider_info()["connection-types"]}
    table = section("Connection")
    for name in connections["workflowserver"]["conn-fields"]:
        assert f"`{name}`" in table, name


def test_every_argument_of_the_run_operator_is_listed() -> None:
    table = section("Running a process")
    parameters = inspect.signature(workflow_server.WorkflowServerRunProcessOperator.__init__).parameters
    for name in set(parameters) - {"self", "kwargs"}:
        assert f"`{name}`" in table, name


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.__name__)
def test_every_operator_is_on_the_page_and_documents_its_arguments(kind: type[FlowOperator]) -> None:
    assert f"`{kind.__name__}`" in PAGE
    documented = re.findall(r":param (\w+):", inspect.getdoc(kind) or "")
    assert len(documented) == len(set(documented))
    own = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    assert own <= set(documented)
    fields = set(kind.template_fields) - {"outputs", "documents_path"}
    assert fields <= set(documented)


def test_every_argument_of_the_sensor_is_on_the_page() -> None:
    names = set(inspect.signature(WorkflowServerProcessSensor.__init__).parameters) - {"self", "kwargs"}
    for name in names - {"workflow_server_conn_id"}:
        assert f"`{name}`" in section("Commands, states, parameters"), name


def test_every_call_of_the_hook_exists_in_both_kinds_and_the_page_names_real_ones() -> None:
    for name in re.findall(
        r"`(\w+)`", section("Commands, states, parameters").partition("`WorkflowServerHook`")[2]
    ):
        if name not in {"a", "async"}:
            assert callable(getattr(WorkflowServerHook, name))
            assert inspect.iscoroutinefunction(getattr(WorkflowServerHook, f"a{name}"))


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_pages_dags_can_be_pasted(block: str) -> None:
    exec(compile(block, "workflow_server.md", "exec"), {})
