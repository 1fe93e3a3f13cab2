"""Every block of every page that is not Python: commands, connections, settings and data are good."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from typing import Any

import pytest
import requests
import yaml
from docs_console import check, commands, option
from docs_surroundings import PROCESS, Surroundings
from lxml import etree
from smartflows_docs import DIRECTIVES as OWN_DIRECTIVES
from support.pages import PAGES, Block, blocks, blocks_of
from support.service import panel_flow

from smartflows_provider.cli.main import main
from smartflows_provider.hooks.smart_flows import SmartFlowsHook

RUN = {"python", "console", "json", "yaml", "ini", "toml", "xml"}
OUTPUT = {"text"}
DIRECTIVES = {f"{{{name}}}" for name in ("toctree", "include", "literalinclude", *OWN_DIRECTIVES)}


def test_every_block_is_in_a_language_that_tests_know() -> None:
    unknown = {
        str(block): block.language
        for page in PAGES
        for block in blocks_of(page)
        if block.language not in RUN | OUTPUT | DIRECTIVES
    }
    assert unknown == {}


@pytest.mark.parametrize("block", blocks("console"), ids=str)
def test_commands_can_be_typed_as_they_stand(block: Block) -> None:
    typed = list(commands(block.code))
    assert typed, "a console block without a command"
    for words in typed:
        check(words)


def test_a_command_that_no_test_knows_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no test knows the command frobnicate"):
        check(["frobnicate", "--all"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["make", "tea"], "tea"),
        (["pip", "install", "airflow-provider-smartflows[tea]"], "tea"),
        (["export", "AIRFLOW__CORE__TEA=1"], r"\[core\] tea"),
        (["export", 'AIRFLOW_CONN_A={"conn_type": "smartflows", "host": "a"}'], "no key"),
        (
            ["export", 'AIRFLOW_CONN_A={"conn_type":"ocp","host":"a","password":"b","extra":{"c": 1}}'],
            "fields that are none",
        ),
    ],
)
def test_a_command_that_cannot_work_is_an_error(words: list[str], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(words)


SHOWN = r"^(?:ID .*|[A-Z][a-z0-9 ]+:)(?= |$)"
"""What does not depend on the execution: a table's head, and the names of details."""


@pytest.mark.parametrize("command", ["list", "show"])
def test_executions_are_told_as_on_the_pages(
    command: str, surroundings: Surroundings, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = [
        re.findall(SHOWN, block.code, re.MULTILINE)
        for block in blocks("console")
        if f"smartflows_provider executions {command} " in f"{block.code} "
    ]
    form = {"key": "approve", "title": "Approve it", "type": "boolean", "required": True}
    step = {"id": "a", "kind": "form", "message": "Approve the offer", "fields": [form]}
    panel_flow(surroundings.server, step)
    with SmartFlowsHook() as hook:
        execution_id = hook.start("Letter").execution_id
    main(["executions", "list"] if command == "list" else ["executions", "show", execution_id])
    told = re.findall(SHOWN, capsys.readouterr().out, re.MULTILINE)
    assert any(shown)
    assert [" ".join(one).split() for one in shown if one] == [" ".join(told).split()] * sum(map(bool, shown))


@pytest.mark.parametrize("block", [one for one in blocks("console") if "$ curl" in one.code], ids=str)
def test_a_call_by_hand_is_answered(block: Block, surroundings: Surroundings) -> None:
    for words in commands(block.code):
        _, option, method, address = words
        assert option == "-X"
        place = address.replace("http://127.0.0.1:8089", surroundings.server.url)
        answer = requests.request(method, place.replace("THE-PROCESS-ID", PROCESS), timeout=30)
        assert answer.json()["success"] is True


@pytest.mark.parametrize("block", blocks("json", "yaml", "toml", "xml"), ids=str)
def test_data_can_be_read(block: Block) -> None:
    read: Any = {
        "json": json.loads,
        "yaml": yaml.safe_load,
        "toml": tomllib.loads,
        "xml": etree.fromstring,
    }[block.language](block.code)
    assert read is not None


@pytest.mark.parametrize(
    "block", [block for block in blocks("yaml") if re.search(r"^steps:", block.code, re.MULTILINE)], ids=str
)
def test_a_flow_on_a_page_is_one_that_the_embedded_server_takes(
    block: Block, surroundings: Surroundings
) -> None:
    definition = yaml.safe_load(block.code)
    xsd = (surroundings.folder / "flight_report.xsd").read_text() if "xsd" in definition else None
    templates = {step["template"]: "<p>x</p>" for step in definition["steps"] if "template" in step}
    flow = surroundings.server.add_flow(**{**definition, "xsd": xsd, "templates": templates})
    assert [step.id for step in flow.steps] == [step["id"] for step in definition["steps"]]


@pytest.mark.parametrize("block", blocks("ini"), ids=str)
def test_settings_are_those_that_airflow_or_pytest_has(block: Block, pytestconfig: pytest.Config) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(block.code)
    for section in parser.sections():
        for name in parser[section]:
            if section == "pytest":
                pytestconfig.getini(name)
            else:
                option(section, name)
