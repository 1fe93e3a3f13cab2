"""What the page about OCP flows promises, held against the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.hooks.ocp import OcpHook
from smartflows_provider.operators import ocp as operators
from smartflows_provider.operators.on_ocp_flow import LOOK_AFTER
from smartflows_provider.sensors.ocp import STATUSES, OcpFlowStatusSensor

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "ocp.md").read_text(encoding="utf-8")
KINDS: list[type[Any]] = [
    operators.OcpGetFlowOperator,
    operators.OcpCreateFlowOperator,
    operators.OcpUpdateFlowOperator,
    operators.OcpDeleteFlowOperator,
    OcpFlowStatusSensor,
]


def own_arguments(kind: type[Any]) -> set[str]:
    """Return the arguments that a class and its private bases take."""
    found: set[str] = set()
    for base in kind.__mro__:
        if base.__module__ == kind.__module__ and "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            found |= {one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument_is_on_the_page_and_in_the_docstring_once(kind: type[Any]) -> None:
    documented = inspect.getdoc(kind) or ""
    assert own_arguments(kind)
    for name in own_arguments(kind):
        assert re.search(rf"`{name}[`=]|{name}=", PAGE), name
        assert documented.count(f":param {name}:") == 1, name


def test_the_table_of_the_connection_has_every_field_with_its_default() -> None:
    (form,) = [one for one in get_provider_info()["connection-types"] if one["connection-type"] == "ocp"]
    table = PAGE[PAGE.index("## Connection") : PAGE.index("## Naming a flow")]
    for name, field in form["conn-fields"].items():
        assert f"`{name}`" in table
        default = field["schema"].get("default")
        if isinstance(default, str):
            assert f"`{default}`" in table


def test_the_page_names_every_class_and_status() -> None:
    for kind in KINDS:
        assert f"`{kind.__name__}`" in PAGE
    for status in STATUSES:
        assert f"`{status}`" in PAGE


def test_lost_answers_are_looked_after_as_the_page_says() -> None:
    assert (len(LOOK_AFTER), sum(LOOK_AFTER)) == (3, 4.0)
    assert "three times within four seconds" in PAGE


@pytest.mark.parametrize(
    "name", re.findall(r"`(\w+)`", PAGE[PAGE.index("## Hook") : PAGE.index("with OcpHook")])[3:]
)
def test_the_hooks_methods_are_there_in_both_modes(name: str) -> None:
    assert callable(getattr(OcpHook, name))
    assert inspect.iscoroutinefunction(getattr(OcpHook, f"a{name}"))
