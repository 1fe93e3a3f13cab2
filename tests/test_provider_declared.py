"""The provider's entry against Airflow's own schemas, and against what this package has for DAG authors."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.sdk import BaseHook, BaseNotifier, BaseOperator, BaseOperatorLink, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

import smartflows_provider
from smartflows_provider.get_provider_info import get_provider_info

INFO = get_provider_info()
MODULES_OF = {
    "sensors": BaseSensorOperator,
    "operators": BaseOperator,
    "hooks": BaseHook,
    "triggers": BaseTrigger,
}
"""What the entry declares by module, the narrower kind before the wider."""

CLASSES_OF = {"extra-links": BaseOperatorLink, "notifications": BaseNotifier}
"""What the entry declares by class."""

FOR_ITS_OWN_USE = {
    "smartflows_provider.cli.connecting.OnCallHook": "the command's, which runs outside of tasks",
    "smartflows_provider.decorators.smart_flows.SmartFlowDecoratedOperator": "declared as a task decorator",
}
"""Classes that no DAG author uses by name, and why."""


def schema(name: str) -> dict[str, Any]:
    return json.loads((Path(airflow.__file__).parent / name).read_text())


def complaints(entry: dict[str, Any], against: dict[str, Any]) -> list[str]:
    validator = jsonschema.validators.validator_for(against)(against)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(entry)]


def module_of(path: str) -> str:
    return path.rpartition(".")[0]


def load(path: str) -> Any:
    return getattr(importlib.import_module(module_of(path)), path.rpartition(".")[2])


def declared_modules(kind: str) -> set[str]:
    return {module for entry in INFO.get(kind, ()) for module in entry["python-modules"]}


def named_in(value: Any) -> Iterator[str]:
    """Yield every module and class of this package that an entry names, wherever it does."""
    if isinstance(value, dict):
        for each in value.values():
            yield from named_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from named_in(each)
    elif isinstance(value, str) and re.fullmatch(r"smartflows_provider(\.\w+)+", value):
        yield value


@cache
def classes_for_authors() -> tuple[type, ...]:
    """Return the classes of this package that are whole and public, from all of its modules.

    What only other classes derive from is in a module `base`, is abstract, or has a name with an underscore.
    """
    found = []
    for module in pkgutil.walk_packages(smartflows_provider.__path__, "smartflows_provider."):
        if module.name.rpartition(".")[2] in {"__main__", "base"}:
            continue
        for name, one in vars(importlib.import_module(module.name)).items():
            own = inspect.isclass(one) and one.__module__ == module.name
            path = f"{module.name}.{name}"
            if (
                own
                and not name.startswith("_")
                and not inspect.isabstract(one)
                and path not in FOR_ITS_OWN_USE
            ):
                found.append(one)
    return tuple(found)


def test_the_entry_passes_airflows_schema_of_what_it_reads_at_run_time() -> None:
    assert complaints(INFO, schema("provider_info.schema.json")) == []


def test_the_entry_passes_the_stricter_schema_of_provider_files() -> None:
    """The two that are added say how Airflow's own providers are released; no entry has them."""
    release = {"state": "ready", "source-date-epoch": 1}
    assert complaints({**INFO, **release}, schema("provider.yaml.schema.json")) == []


@pytest.mark.parametrize("name", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_a_wrong_entry_is_found_by_each_schema(name: str) -> None:
    wrong = {**INFO, "connection-types": [{"connection-type": "smartflows"}]}
    assert any("hook-class-name" in complaint for complaint in complaints(wrong, schema(name)))


def test_every_module_and_class_that_the_entry_names_anywhere_is_there() -> None:
    names = list(named_in(INFO))
    assert {"smartflows_provider.triggers.execution", "smartflows_provider.links.FlowExecutionLink"} < {
        *names
    }
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert load(name)


@pytest.mark.parametrize("kind", CLASSES_OF)
def test_classes_are_declared_under_their_kind(kind: str) -> None:
    for path in INFO.get(kind, ()):
        assert issubclass(load(path), CLASSES_OF[kind])


@pytest.mark.parametrize("kind", MODULES_OF)
def test_modules_are_declared_under_the_kind_of_their_classes(kind: str) -> None:
    modules = declared_modules(kind)
    assert modules
    for module in modules:
        own = [one for one in classes_for_authors() if one.__module__ == module]
        assert any(issubclass(one, MODULES_OF[kind]) for one in own), f"{module} has no class for {kind}"


def test_a_connection_type_is_its_hooks_own() -> None:
    for entry in INFO["connection-types"]:
        hook = load(entry["hook-class-name"])
        assert issubclass(hook, BaseHook)
        assert (hook.conn_type, hook.hook_name) == (entry["connection-type"], entry["hook-name"])
        assert hook.__module__ in declared_modules("hooks")


def test_integrations_are_declared_before_they_are_used() -> None:
    known = {one["integration-name"] for one in INFO["integrations"]}
    used = {entry["integration-name"] for kind in MODULES_OF for entry in INFO[kind]}
    assert used == known


def test_everything_that_this_package_has_for_dag_authors_is_declared() -> None:
    missing, seen = [], set()
    for one in classes_for_authors():
        path = f"{one.__module__}.{one.__name__}"
        for kind, base in {**MODULES_OF, **CLASSES_OF}.items():
            if issubclass(one, base):
                seen.add(kind)
                declared = (
                    one.__module__ in declared_modules(kind)
                    if kind in MODULES_OF
                    else path in INFO.get(kind, ())
                )
                missing += [] if declared else [f"{path} under {kind}"]
                break
    assert missing == []
    assert {*MODULES_OF, "extra-links"} <= seen


def test_every_task_decorator_is_declared() -> None:
    decorators = {one["name"]: one["class-name"] for one in INFO["task-decorators"]}
    package = importlib.import_module("smartflows_provider.decorators")
    modules = {f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)}
    assert {module_of(path) for path in decorators.values()} == modules
    assert all(callable(load(path)) for path in decorators.values())


def test_what_is_for_its_own_use_is_there() -> None:
    assert all(inspect.isclass(load(path)) for path in FOR_ITS_OWN_USE)
