"""The page about Workflow Server says what the code does."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.hooks.workflow_server import WorkflowServerHook
from smartflows_provider.operators import workflow_server
from smartflows_provider.operators.base import FlowOperator
from smartflows_provider.sensors.workflow_server import WorkflowServerProcessSensor
from smartflows_provider.wire.run import RunPhase
from smartflows_provider.wire.workflow_server_process import Process, phase_of
from smartflows_provider.wire.workflow_server_terms import ProcessTerms

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


TERMS = ProcessTerms(
    success_states=("Good",),
    failure_states=("Bad",),
    on_kill="set_state:Stop",
)
NO_NAMES = replace(TERMS, success_states=())
AT_REST = replace(NO_NAMES, wait_for="idle")
THROUGH_GOOD, THROUGH_BAD, THROUGH_STOP = (({"ToStateName": name},) for name in ("Good", "Bad", "Stop"))
# By the number of the rule: processes by status and state, and terms, that it and no rule before it is about.
RULES: list[tuple[str, list[tuple[dict[str, Any], ProcessTerms, RunPhase]]]] = [
    ("in one of `failure_states` has failed, whatever else it does",
     [({"status": status, "state": "Bad"}, TERMS, RunPhase.FAILED) for status in (0, 1, 2, 3, 4, 5, 254, 9)]),
    ("that is `Terminated` or in `Error` has failed",
     [({"status": status, "state": state}, TERMS, RunPhase.FAILED)
      for status in (4, 5) for state in ("Good", "Stop", "")]),
    ("with a status that is not documented is waited for",
     [({"status": status, "state": state}, terms, RunPhase.UNKNOWN)
      for status in (254, 9, -1) for state in ("Good", "Stop", "") for terms in (TERMS, AT_REST)]),
    ("in one of `success_states` or `success_activities` has succeeded, also if it still runs",
     [({"status": status, "state": "Good", "transitions": THROUGH_BAD}, TERMS, RunPhase.SUCCEEDED)
      for status in (0, 1, 2, 3)]),
    ("in the state of `on_kill` was stopped",
     [({"status": status, "state": "Stop"}, terms, RunPhase.CANCELED)
      for status in (0, 1, 2, 3) for terms in (TERMS, AT_REST)]),
    ("after a success it has succeeded",
     [({"status": status, "state": "End", "transitions": THROUGH_GOOD}, TERMS, RunPhase.SUCCEEDED)
      for status in (0, 1, 2, 3)]),
    ("after one of `failure_states` it has failed, and after the state of `on_kill` it was stopped",
     [case for terms in (TERMS, NO_NAMES, AT_REST) for case in (
         ({"status": 3, "state": "End", "transitions": THROUGH_BAD}, terms, RunPhase.FAILED),
         ({"status": 3, "state": "End", "transitions": THROUGH_STOP}, terms, RunPhase.CANCELED),
     )]),
    ("once it is `Finalized`, as until then it may come to a success",
     [({"status": status, "state": "End", "transitions": way}, TERMS, RunPhase.ACTIVE)
      for status in (0, 1, 2) for way in (THROUGH_BAD, THROUGH_STOP)]),
    ("that is `Finalized` has succeeded if neither",
     [({"status": 3, "state": "End"}, terms, RunPhase.SUCCEEDED) for terms in (NO_NAMES, AT_REST)]),
    ("and else failed: the message says in which state",
     [({"status": 3, "state": "End"}, TERMS, RunPhase.FAILED)]),
    ("that is `Idled`, at rest until a command or a timer, has succeeded with `wait_for=\"idle\"`",
     [({"status": 2, "state": "End"}, AT_REST, RunPhase.SUCCEEDED)]),
    ("that is anything else, `Initialized`, `Running` or `Idled`, is waited for",
     [({"status": 2, "state": "End"}, NO_NAMES, RunPhase.ACTIVE),
      *(({"status": status, "state": "End"}, terms, RunPhase.ACTIVE)
        for status in (0, 1) for terms in (TERMS, NO_NAMES, AT_REST))]),
]  # fmt: skip


def test_how_a_look_is_judged_stands_on_the_page_in_the_codes_order() -> None:
    rules = section("Running a process")
    places = [rules.index(words) for words, _ in RULES]
    assert places == sorted(places)
    assert len(re.findall(r"(?m)^\d\. ", rules)) == 9


@pytest.mark.parametrize("cases", [cases for _, cases in RULES], ids=[words for words, _ in RULES])
def test_a_rule_of_the_page_means_what_the_code_does(
    cases: list[tuple[dict[str, Any], ProcessTerms, RunPhase]],
) -> None:
    for shown, terms, phase in cases:
        assert phase_of(Process(id="p", raw={}, **shown), terms) is phase, (shown, terms)


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
        assert re.search(rf"`{name}[=`]", section("Commands, states, parameters")), name


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
