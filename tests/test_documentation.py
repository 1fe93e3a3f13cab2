"""What the documentation promises, held against the code."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from smartflows_provider import exceptions
from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.operators.smart_flows import SmartFlowsRunFlowOperator

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
ERRORS = [
    one
    for one in vars(exceptions).values()
    if inspect.isclass(one)
    and issubclass(one, exceptions.FlowException)
    and one is not exceptions.FlowException
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_the_page_of_errors_says_of_each_class_what_its_docstring_says(kind: type[Exception]) -> None:
    final = " *final*" if issubclass(kind, AirflowFailException) else ""
    text = " ".join((inspect.getdoc(kind) or "").split())
    assert f"| `{kind.__name__}`{final} | {text} |" in (ROOT / "docs" / "errors.md").read_text()


def test_the_readme_opens_with_the_commands_that_the_makefile_has() -> None:
    commands = re.findall(r"^\$ make ([a-z-]+)", README, re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert commands == ["demo", "up", "test", "test-full", "matrix", "faults", "bench", "check", "docs"]
    assert set(commands) <= set(targets)


def test_the_readme_dag_is_short() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with_block = next(node for node in ast.parse(code).body if isinstance(node, ast.With))
    assert "SmartFlowsRunFlowOperator" in ast.unparse(with_block)
    assert len(code.strip().splitlines()) == 15


def test_the_readme_lists_every_field_of_the_connection_form() -> None:
    connection = get_provider_info()["connection-types"][0]
    table = README[README.index("## Connection") : README.index("## What is supported")]
    for field in connection["conn-fields"]:
        assert f"`{field}`" in table


def test_the_operator_documents_each_argument_once() -> None:
    arguments = set(inspect.signature(SmartFlowsRunFlowOperator.__init__).parameters) - {"self", "kwargs"}
    documented = re.findall(r":param (\w+):", inspect.getdoc(SmartFlowsRunFlowOperator) or "")
    assert sorted(documented) == sorted(arguments)


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_pages_examples_pass_ruffs_rules_for_airflow(tmp_path: Path) -> None:
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)):
            (tmp_path / f"{page.stem}_{number}.py").write_text(code)
    assert len(list(tmp_path.iterdir())) > 20
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "AIR",
        "--output-format",
        "concise",
    ]
    done = subprocess.run([*ruff, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
