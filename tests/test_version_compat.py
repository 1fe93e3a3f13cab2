"""What is said to depend on Airflow's version is what the Airflow at hand really has."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.jobs.triggerer_job_runner import TriggerCommsDecoder
from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger
from packaging.version import Version

import smartflows_provider
from smartflows_provider import version_compat
from smartflows_provider.triggers.smart_flows import SmartFlowsFinishedEventTrigger
from smartflows_provider.version_compat import (
    AIRFLOW_V_3_2_PLUS,
    AIRFLOW_VERSION,
    CONNECTION_FORMS,
    EVENTS_AFTER_RESTARTS,
    FEATURES,
    FORMS_IN_A_ROW,
    RE_ATTACHING,
    RETRY_POLICY,
    START_IN_TRIGGERER,
    SUCCESS_IN_TRIGGERER,
    TRIGGER_ON_KILL,
    Feature,
)

PACKAGE = Path(smartflows_provider.__file__).parent


def has_task_state_store() -> bool:
    from airflow.sdk.definitions.context import Context

    return "task_state_store" in Context.__annotations__


def has_listeners_in_the_sdk() -> bool:
    # What tells whether a worker is needed for a success, as far as listeners go.
    return importlib.util.find_spec("airflow.sdk.listener") is not None and has_on_kill()


def renders_templates_of_a_start_in_the_triggerer() -> bool:
    return hasattr(BaseTrigger, "render_template_fields")


def has_on_kill() -> bool:
    return hasattr(BaseTrigger, "on_kill")


def takes_a_retry_policy() -> bool:
    return "retry_policy" in inspect.signature(BaseOperator.__init__).parameters


def reads_forms_from_the_provider_info() -> bool:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    found = {one.connection_type: one for one in HookMetaService.hook_meta_data()}
    return bool(found["smartflows"].extra_fields)


def keeps_states_of_assets() -> bool:
    return hasattr(SmartFlowsFinishedEventTrigger(flow="Letter"), "asset_state_store")


def shows_the_form_that_it_is_given_last() -> bool:
    from airflow.api_fastapi.execution_api.routes.hitl import upsert_hitl_detail

    # Only the server's code tells: it takes the new form over, or keeps the one that it has.
    return "setattr(hitl_detail_model" in inspect.getsource(upsert_hitl_detail)


PROBES: dict[str, Callable[[], bool]] = {
    RE_ATTACHING.name: has_task_state_store,
    SUCCESS_IN_TRIGGERER.name: has_listeners_in_the_sdk,
    START_IN_TRIGGERER.name: renders_templates_of_a_start_in_the_triggerer,
    TRIGGER_ON_KILL.name: has_on_kill,
    RETRY_POLICY.name: takes_a_retry_policy,
    CONNECTION_FORMS.name: reads_forms_from_the_provider_info,
    EVENTS_AFTER_RESTARTS.name: keeps_states_of_assets,
    FORMS_IN_A_ROW.name: shows_the_form_that_it_is_given_last,
}
"""How to see in Airflow itself whether it has what a feature needs."""


@pytest.mark.parametrize("feature", FEATURES, ids=lambda one: one.name)
def test_a_feature_is_available_exactly_where_airflow_has_what_it_needs(feature: Feature) -> None:
    assert feature.available is PROBES[feature.name]()


def test_a_triggerer_may_be_asked_from_any_thread_exactly_from_3_2_on() -> None:
    assert hasattr(TriggerCommsDecoder, "start_reader") is AIRFLOW_V_3_2_PLUS


def test_features_are_told_by_minor_versions_and_in_words() -> None:
    for feature in FEATURES:
        assert Version(feature.since).release[0] == 3
        assert len(feature.name) > 10
        assert feature.before
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)


def test_a_pre_release_counts_as_its_release(monkeypatch: pytest.MonkeyPatch) -> None:
    assert version_compat.AIRFLOW_V_3_3_PLUS is (Version(AIRFLOW_VERSION).release[:2] >= (3, 3))


def test_nobody_else_asks_for_airflows_version() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name != "version_compat.py":
            text = path.read_text()
            assert "airflow import __version__" not in text, path
            assert "airflow.__version__" not in text, path
