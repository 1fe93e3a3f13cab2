"""What Airflow makes of the provider's entry: listed, imported and without warnings."""

from __future__ import annotations

import importlib
import logging
from importlib.metadata import entry_points, version
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager
from support.airflow_versions import ProvidersManagerTaskRuntime

from smartflows_provider import __version__
from smartflows_provider.get_provider_info import get_provider_info

DISTRIBUTION = "airflow-provider-smartflows"


def test_airflow_finds_the_provider_under_its_distribution_name() -> None:
    provider = ProvidersManager().providers[DISTRIBUTION]
    assert provider.version == version(DISTRIBUTION) == __version__
    assert provider.data["package-name"] == DISTRIBUTION


def test_airflow_lists_the_hook_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        hook = ProvidersManagerTaskRuntime().hooks["smartflows"]
    assert hook is not None
    assert hook.hook_name == "Smart Flows"
    assert hook.connection_id_attribute_name == "smart_flows_conn_id"
    assert [record.getMessage() for record in caplog.records if "smartflows" in record.getMessage()] == []


def test_every_module_and_class_that_the_entry_names_can_be_imported() -> None:
    info = get_provider_info()
    modules = [
        name for kind in ("operators", "sensors", "hooks", "triggers") for entry in info[kind]
        for name in entry["python-modules"]
    ]  # fmt: skip
    for name in modules:
        assert importlib.import_module(name)
    classes = [
        *info["extra-links"],
        *info["notifications"],
        *(one["hook-class-name"] for one in info["connection-types"]),
        *(one["class-name"] for one in info["task-decorators"]),
    ]
    for path in classes:
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name)


def test_the_key_goes_into_the_password_and_optional_secrets_are_masked() -> None:
    for connection in get_provider_info()["connection-types"]:
        assert connection["ui-field-behaviour"]["relabeling"]["password"]
        fields: dict[str, Any] = connection["conn-fields"]
        assert fields["proxy"]["schema"]["format"] == "password"
        assert all("null" in field["schema"]["type"] for field in fields.values())


def test_the_entry_points_name_the_provider_and_the_pytest_fixture() -> None:
    (provider,) = entry_points(group="apache_airflow_provider", name="provider_info").select(
        value="smartflows_provider.get_provider_info:get_provider_info"
    )
    assert provider.load()()["package-name"] == DISTRIBUTION
    (fixture,) = entry_points(group="pytest11", name="smart_flows_server")
    assert fixture.value == "smartflows_provider.devserver.pytest_plugin"
