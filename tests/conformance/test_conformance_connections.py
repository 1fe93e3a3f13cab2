"""What every system's connection keeps to: its form, its test, and what it says of itself."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from conformance.systems import CANARY, CASES, Case, info_with_toy
from smartflows_provider.devserver.faults import Fault
from smartflows_provider.exceptions import FlowAuthenticationError, FlowConfigurationError
from smartflows_provider.get_provider_info import common_fields, get_provider_info
from smartflows_provider.lifecycle.systems import hook_for


class Recording(dict[str, Any]):
    """Extras that note what is asked of them."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def declared(case: Case) -> dict[str, Any]:
    (found,) = [one for one in info_with_toy()["connection-types"] if one["connection-type"] == case.name]
    return found


def test_every_system_of_the_provider_info_has_its_case() -> None:
    systems = {one["connection-type"] for one in get_provider_info()["connection-types"]}
    assert systems | {"toy"} == {case.name for case in CASES}


def test_the_hook_is_the_one_that_the_provider_info_names(case: Case) -> None:
    hook = case.hook
    form = declared(case)
    assert f"{type(hook).__module__}.{type(hook).__qualname__}" == form["hook-class-name"]
    assert (hook.conn_type, hook.hook_name, hook.system) == (case.name, case.label, case.label)
    assert (form["hook-name"], type(hook).default_conn_name) == (case.label, case.conn_id)
    assert type(hook)().conn_id == case.conn_id


def test_the_form_declares_the_extras_that_are_read(case: Case) -> None:
    hook = case.hook
    connection = hook.get_connection(case.conn_id)
    extra = Recording(dict(connection.extra_dejson))
    hook._read(connection, extra)
    fields = declared(case)["conn-fields"]
    assert extra.asked <= set(fields)
    assert {"verify", "ca_bundle", "client_cert", "proxy", "connect_timeout", "read_timeout"} <= extra.asked
    assert {"api_prefix", "max_connections", "execution_url"} <= extra.asked
    for name, field in fields.items():
        assert field["label"], name
        assert field["description"], name
        assert "null" in field["schema"]["type"], name


def test_the_form_asks_first_for_what_only_this_system_has(case: Case) -> None:
    names, shared = list(declared(case)["conn-fields"]), list(common_fields(api_prefix=""))
    assert names[-len(shared) :] == shared


def test_the_form_offers_the_words_that_are_read(case: Case) -> None:
    hook = case.hook
    connection = hook.get_connection(case.conn_id)
    for name, field in declared(case)["conn-fields"].items():
        error = hook._read(connection, {**connection.extra_dejson, name: "?"})
        advice = error.advice if isinstance(error, FlowConfigurationError) else ""
        offered = field["schema"].get("enum", [])
        assert offered == re.findall(r"\w+", advice.partition("Set it to one of ")[2]), name


def test_the_forms_defaults_are_what_an_empty_connection_means(case: Case) -> None:
    fields = declared(case)["conn-fields"]
    defaults = {
        name: field["schema"]["default"] for name, field in fields.items() if "default" in field["schema"]
    }
    empty, full = case.hook, case.hook
    given = case.connection()
    extra = {**(given.get("extra") or {})}
    connection = empty.get_connection(case.conn_id)
    assert empty._read(connection, extra) == full._read(connection, {**defaults, **extra})


def test_a_connection_that_works_says_to_whom(case: Case) -> None:
    works, message = case.hook.test_connection()
    assert works, message
    assert CANARY not in message
    assert message.endswith(".")


def test_a_wrong_credential_is_told_and_not_shown(case: Case) -> None:
    case.rotate()
    works, message = case.hook.test_connection()
    assert not works
    assert CANARY not in message
    assert f"[{case.label}, connection '{case.conn_id}'" in message


def test_a_host_where_nothing_listens_is_told(case: Case) -> None:
    case.connect(port=1)
    works, message = case.hook.test_connection()
    assert not works
    assert "Nothing listens there" in message


@pytest.mark.parametrize("action", ["html", "truncated"])
def test_an_answer_that_is_none_of_the_services_is_no_success(case: Case, action: Any) -> None:
    case.server.inject(Fault(action=action, count=None))
    works, _ = case.hook.test_connection()
    assert not works


def test_a_connection_without_a_host_says_what_is_missing(case: Case) -> None:
    case.connect(host="")
    with pytest.raises(FlowConfigurationError, match="The connection has no host") as caught:
        _ = case.hook.settings
    assert isinstance(caught.value, AirflowFailException)


def test_a_missing_connection_says_how_to_make_it(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"AIRFLOW_CONN_{case.conn_id.upper()}")
    with pytest.raises(FlowConfigurationError, match=f"connection '{case.conn_id}' does not exist") as caught:
        _ = case.hook.settings
    assert case.label in caught.value.advice


def test_a_redirect_is_not_followed_with_the_credential(case: Case) -> None:
    case.server.inject(Fault(action="redirect", location="https://elsewhere.example/x", count=None))
    works, message = case.hook.test_connection()
    assert not works
    assert "elsewhere.example" in message


def test_no_repr_of_the_settings_shows_the_credential(case: Case) -> None:
    hook = case.hook
    assert CANARY not in repr(hook.settings)
    assert CANARY not in repr(vars(hook))


def test_a_word_that_names_no_system_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown flow system 'telex'; known are "):
        hook_for("telex", "c")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_key_of_another_systems_connection_goes_nowhere(case: Case, mode: str) -> None:
    for kind in {"smartflows", "workflowserver", "phixflow", "ocp", "toy", "http", "https", "aws"} - {
        case.name
    }:
        case.connect(conn_type=kind)
        hook = case.hook
        look_up = (lambda h: h.settings) if mode == "sync" else (lambda h: asyncio.run(h.asettings()))
        with pytest.raises(FlowConfigurationError) as caught:
            look_up(hook)
        assert str(caught.value) == (
            f"The connection is of the type {kind!r}, and {case.label} takes {case.name!r}. "
            f"[{case.label}, connection {case.conn_id!r}]\nNothing was sent.\n"
            f"Name a connection of the type {case.name!r}, or give this one that type if its host and "
            f"password are those of {case.label}."
        )


@pytest.mark.parametrize("kind", [None, "", " ", "{name}", " {name} "])
def test_a_connection_of_no_other_type_is_the_systems_own(case: Case, kind: str | None) -> None:
    case.connect(conn_type=None if kind is None else kind.format(name=case.name.upper()))
    assert case.hook.settings.base_url.startswith("http://127.0.0.1:")


CREDENTIALS = {
    "smartflows": "key",
    "workflowserver": "Api access token",
    "phixflow": "API key",
    "ocp": "access token or password",
    "toy": "key",
}


def test_a_credential_that_is_refused_is_called_what_it_is(case: Case) -> None:
    case.server.inject(Fault(action="status", status=401, count=None))
    hook = case.hook
    with pytest.raises(FlowAuthenticationError) as caught:
        hook.run(hook.look_exchange("e1", hold_seconds=None))
    assert caught.value.advice == (
        f"The {CREDENTIALS[case.name]} is wrong, revoked or expired: put a valid one into the connection's "
        "password."
    )


def test_an_address_of_runs_without_a_place_for_their_ids_is_refused(case: Case) -> None:
    extra = case.connection().get("extra", {})
    case.connect(extra={**extra, "execution_url": "https://people.example/runs"})
    with pytest.raises(FlowConfigurationError) as caught:
        _ = case.hook.settings
    assert "The connection's extra 'execution_url' has no {execution_id} in it." in str(caught.value)
    assert "https://flows.example.com/runs/{execution_id}, say, or leave it empty." in str(caught.value)
