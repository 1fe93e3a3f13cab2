"""Every Python block of every page is run; one that is followed by XML or JSON sends just that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from docs_running import dags_of, run_dag
from docs_surroundings import Surroundings
from lxml import etree
from support.pages import Block, blocks
from support.whole_dags import look_into

pytest_plugins = ["pytester"]

PYTHON = blocks("python")
TESTS = [block for block in PYTHON if "\ndef test_" in f"\n{block.code}"]
CODE = [block for block in PYTHON if block not in TESTS]

ONLY_PARSED = {
    'on_user_input="ask"': "the form is put before a person by Airflow's API server, which is not there",
}
"""Why the tasks of a block are not executed, by what the block contains; it is parsed as a DAG file."""


def plain(text: str) -> str:
    """Return XML or JSON in a form that can be compared."""
    if text.lstrip().startswith("{"):
        return json.dumps(json.loads(text), sort_keys=True)
    return etree.canonicalize(text, strip_text=True)


@pytest.mark.parametrize("block", CODE, ids=str)
@pytest.mark.timeout(60)
def test_code_does_what_the_page_says(
    block: Block, surroundings: Surroundings, request: pytest.FixtureRequest
) -> None:
    if "s3://" in block.code:
        request.getfixturevalue("reports_bucket")
    surroundings.add_flows(with_input="root=" in block.code)
    before = len(surroundings.server.executions())
    events: dict[Asset, list[Any]] = {}
    for dag in dags_of(block.code, surroundings.folder / "page.py"):
        if any(words in block.code for words in ONLY_PARSED):
            dag.check_cycle()
        else:
            run_dag(dag, events, surroundings.conf)
    if block.result is not None and block.result.language in ("xml", "json"):
        (started,) = surroundings.server.executions()[before:]
        sent = surroundings.server.input_of(started["id"]).decode()
        assert plain(sent) == plain(block.result.code)


def test_the_page_about_input_says_what_is_sent() -> None:
    results = [block.result.language for block in CODE if block.page.name == "input.md" and block.result]
    assert (results.count("xml"), results.count("json")) == (6, 1)


def put_dags(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the DAG of the quick start, and make its folder the one that Airflow looks into."""
    (code,) = (block.code for block in CODE if block.page.name == "quickstart.md")
    (folder / "sales.py").write_text(code)
    look_into(folder, monkeypatch)


def readers_tests(block: Block) -> Any:
    """Return a block of tests as a parameter; Airflow's first `dag.test()` of a process takes ten seconds."""
    marks = [pytest.mark.full, pytest.mark.dag] if "DagBag(" in block.code else []
    return pytest.param(block, marks=marks, id=str(block))


@pytest.mark.parametrize("block", [readers_tests(block) for block in TESTS])
def test_tests_pass_where_they_are_pasted(
    block: Block, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    if "DagBag(" in block.code:
        request.getfixturevalue("airflow_db")
        put_dags(pytester.mkdir("dags"), monkeypatch)
    pytester.makepyfile(block.code)
    result = pytester.runpytest_inprocess(
        "-p", "smartflows_provider.devserver.pytest_plugin", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=block.code.count("\ndef test_") + block.code.startswith("def test_"))
