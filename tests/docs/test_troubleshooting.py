"""The messages that the page about trouble names are messages that the package has."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import airflow
import pytest
from smartflows_docs import error_classes
from support.pages import ROOT

import smartflows_provider
from smartflows_provider import exceptions

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
OURS, AIRFLOWS = PAGE.split("## Airflow's own lines")
PLACE = "…"


def first_cells(text: str) -> list[str]:
    """Return the messages in the first column of the tables."""
    return [
        message
        for line in text.splitlines()
        if line.startswith("| `")
        for message in re.findall(r"^\| `([^`]+)`", line)
        if " " in message
    ]


@cache
def messages() -> str:
    """Return every text of the package, with the same sign for each value that is filled in."""
    found: list[str] = []
    for path in Path(smartflows_provider.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [one.value if isinstance(one, ast.Constant) else PLACE for one in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%(?:\.\d+)?[srdf]", PLACE, node.value))
    return "\n".join(found)


def test_the_page_has_messages() -> None:
    assert len(first_cells(OURS)) > 35


@pytest.mark.parametrize("message", first_cells(OURS))
def test_a_message_of_the_page_is_one_of_ours(message: str) -> None:
    parts = map(re.escape, message.split(PLACE))
    assert re.search(".*?".join(parts), messages())


@pytest.mark.parametrize(
    ("words", "module"),
    [
        ("Triggerer's async thread was blocked", "jobs/triggerer_job_runner.py"),
        ("task instance's state attribute is", "jobs/scheduler_job_runner.py"),
        ("Task callback requested but is not a failure callback", "dag_processing/processor.py"),
        ("Pausing task as DEFERRED.", "sdk/execution_time/task_runner.py"),
    ],
)
def test_a_line_of_airflows_is_one_that_it_writes(words: str, module: str) -> None:
    assert words in PAGE
    assert words in (Path(airflow.__file__).parent / module).read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(Flow\w+)`", PAGE))))
def test_a_class_of_the_page_is_one_of_ours(name: str) -> None:
    assert issubclass(getattr(exceptions, name), exceptions.FlowException)


def test_every_class_of_the_tree_has_a_symptom() -> None:
    kinds = {one.__name__ for one in error_classes.error_classes()}
    assert kinds - set(re.findall(r"`(Flow\w+)`", OURS)) == set()
