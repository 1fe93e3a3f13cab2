"""What the page about PhixFlow promises, held against the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.operators.phixflow import PhixFlowRunActionflowOperator
from smartflows_provider.wire.phixflow_terms import ActionflowTerms

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "phixflow.md").read_text()
ARGUMENTS = [
    name
    for name, one in inspect.signature(PhixFlowRunActionflowOperator.__init__).parameters.items()
    if one.kind is inspect.Parameter.KEYWORD_ONLY
]


def test_the_table_of_the_connection_has_every_field_with_its_default() -> None:
    (form,) = [one for one in get_provider_info()["connection-types"] if one["connection-type"] == "phixflow"]
    table = PAGE[PAGE.index("## Connection") : PAGE.index("## Naming the endpoint")]
    for name, field in form["conn-fields"].items():
        assert f"`{name}`" in table
        default = field["schema"].get("default")
        if isinstance(default, str):
            assert f"`{default}`" in table


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_is_on_the_page_and_in_the_docstring_once(name: str) -> None:
    assert re.search(rf"`{name}[`=]|{name}=", PAGE), name
    documented = inspect.getdoc(PhixFlowRunActionflowOperator) or ""
    assert documented.count(f":param {name}:") == 1


def test_the_arguments_are_those_of_the_terms() -> None:
    terms = set(inspect.signature(ActionflowTerms).parameters) - {"endpoint"}
    assert terms <= set(ARGUMENTS)


def test_the_defaults_on_the_page_are_the_codes() -> None:
    terms = ActionflowTerms()
    table = PAGE[PAGE.index("## What is not documented") : PAGE.index("## What an answer means")]
    words = (*terms.success_words, *terms.failure_words, *terms.running_words)
    fields = (terms.status_path, terms.status_method, terms.id_field, terms.message_field)
    for value in (*words, *fields, terms.record_id_field, terms.record_status_field):
        assert f"`{value}`" in table
