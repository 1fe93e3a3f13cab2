"""How a connection becomes settings: every field, every extra, and what its mistakes are called."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.providers_manager import ProvidersManager
from hook_connections import Mode, connect
from jsonschema import validate
from support.airflow_versions import needs_lenient_connections

from smartflows_provider.exceptions import FlowConfigurationError
from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.hooks.smart_flows import SmartFlowsHook
from smartflows_provider.transport.settings import ClientSettings

WHERE = "[Smart Flows, connection 'smartflows_default']\nNothing was sent."


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


def settings_of(hook: SmartFlowsHook, mode: Mode) -> ClientSettings:
    return hook.settings if mode == "sync" else asyncio.run(hook.asettings())


def mistake(hook: SmartFlowsHook, mode: Mode = "sync") -> str:
    """Return what is said about a connection that cannot be used."""
    with pytest.raises(FlowConfigurationError) as caught:
        settings_of(hook, mode)
    assert "canary" not in repr(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "flows.example"}, "https://flows.example"),
        ({"host": "flows.example", "port": 8443}, "https://flows.example:8443"),
        ({"host": "flows.example:8443"}, "https://flows.example:8443"),
        ({"host": "https://flows.example"}, "https://flows.example"),
        ({"host": "https://flows.example/"}, "https://flows.example"),
        ({"host": "http://flows.example:8080"}, "http://flows.example:8080"),
        ({"host": "http://flows.example", "port": 8080}, "http://flows.example:8080"),
        ({"host": "http://flows.example:1", "port": 8080}, "http://flows.example:8080"),
        ({"host": "flows.example", "schema": "http"}, "http://flows.example"),
        ({"host": "flows.example", "schema": " HTTP "}, "http://flows.example"),
        ({"host": "https://flows.example", "schema": "http"}, "https://flows.example"),
        ({"host": " FLOWS.example "}, "https://flows.example"),
        ({"host": "192.0.2.7", "port": 1}, "https://192.0.2.7:1"),
        ({"host": "::1", "port": 8089}, "https://[::1]:8089"),
        ({"host": "[2001:db8::7]"}, "https://[2001:db8::7]"),
        ({"host": "http://[::1]:8089"}, "http://[::1]:8089"),
    ],
)
def test_host_port_and_schema_make_the_address(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, fields: dict[str, Any], base_url: str
) -> None:
    assert settings_of(connect(monkeypatch, **fields), mode).base_url == base_url


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        ("smartflows://:k@flows.example", "https://flows.example"),
        ("smartflows://:k@flows.example:8443", "https://flows.example:8443"),
        ("smartflows://:k@flows.example:8080/http", "http://flows.example:8080"),
        ("smartflows://:k@https%3A%2F%2Fflows.example:8443", "https://flows.example:8443"),
        ("smartflows://:k@http%3A%2F%2F127.0.0.1:8089", "http://127.0.0.1:8089"),
        ("smartflows://:k@[::1]:8089", "https://[::1]:8089"),
    ],
)
def test_a_connection_may_come_as_a_uri(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, uri: str, base_url: str
) -> None:
    settings = settings_of(connect(monkeypatch, uri), mode)
    assert (settings.base_url, settings.auth_headers) == (base_url, {"X-API-Key": "k"})


def test_a_uri_quotes_the_key_and_carries_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "smartflows://:a%40b%2F%3A@flows.example?verify=false&connect_timeout=3&api_prefix=%2Fx"
    settings = connect(monkeypatch, uri).settings
    assert settings.auth_headers == {"X-API-Key": "a@b/:"}
    assert (settings.verify, settings.connect_timeout, settings.api_prefix) == (False, 3.0, "/x")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"host": None},
            f"The connection has no host. {WHERE}\nSet the host, https://flows.example.com say.",
        ),
        (
            {"host": " / "},
            f"The connection has no host. {WHERE}\nSet the host, https://flows.example.com say.",
        ),
        (
            {"host": "https://flows.example/api/v1"},
            (
                f"The connection's host 'flows.example/api/v1' is not a plain host name. {WHERE}\n"
                "Give the host as https://flows.example.com, and a path before /api in the API prefix."
            ),
        ),
        (
            {"host": "https://ada:canary@flows.example"},
            (
                f"The connection's host 'flows.example' is not a plain host name. {WHERE}\n"
                "Give the host as https://flows.example.com, and a path before /api in the API prefix."
            ),
        ),
        (
            {"host": "flows.example:port"},
            (
                f"The connection's host 'flows.example:port' is not an address. {WHERE}\n"
                "Give the host as https://flows.example.com, and a path before /api in the API prefix."
            ),
        ),
        (
            {"host": "ftp://flows.example"},
            (
                f"The connection's scheme is 'ftp'; only https and http work. {WHERE}\n"
                "Give the host as https://flows.example.com, and a path before /api in the API prefix."
            ),
        ),
        (
            {"password": None},
            (
                f"The connection has no API key. {WHERE}\nPut the key into the connection's password; it is "
                "made in the project console under Users > Security."
            ),
        ),
        (
            {"password": " \n"},
            (
                f"The connection has no API key. {WHERE}\nPut the key into the connection's password; it is "
                "made in the project console under Users > Security."
            ),
        ),
        (
            {"password": "canary\r\nX-Evil: 1"},
            (
                f"The connection's API key holds characters that no HTTP header can carry. {WHERE}\n"
                "Copy the key again, without line breaks or quotes."
            ),
        ),
        (
            {"password": "„canary“"},
            (
                f"The connection's API key holds characters that no HTTP header can carry. {WHERE}\n"
                "Copy the key again, without line breaks or quotes."
            ),
        ),
    ],
)
def test_an_unusable_field_is_named_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, fields: dict[str, Any], message: str
) -> None:
    assert mistake(connect(monkeypatch, **fields), mode) == message


def test_a_key_may_have_been_copied_with_a_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect(monkeypatch, password=" key \n").settings.auth_headers == {"X-API-Key": "key"}


def test_without_extras_the_documented_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect(monkeypatch).settings == ClientSettings(
        base_url="https://flows.example",
        api_prefix="/api/v1",
        auth_headers={"X-API-Key": "canary-key"},
        verify=True,
        ca_bundle=None,
        client_cert=None,
        proxy=None,
        connect_timeout=10.0,
        read_timeout=60.0,
        max_connections=32,
        long_poll_seconds=30.0,
    )


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("verify", False, False),
        ("verify", "False", False),
        ("verify", "no", False),
        ("verify", 0, False),
        ("verify", "on", True),
        ("verify", "", True),
        ("verify", None, True),
        ("proxy", "http://proxy.example:3128", "http://proxy.example:3128"),
        ("proxy", "https://u:p@proxy.example", "https://u:p@proxy.example"),
        ("proxy", "proxy.example:3128", "http://proxy.example:3128"),
        ("proxy", " ", None),
        ("connect_timeout", 2.5, 2.5),
        ("connect_timeout", "3", 3.0),
        ("connect_timeout", "", 10.0),
        ("read_timeout", 0.1, 0.1),
        ("max_connections", "5", 5),
        ("long_poll_seconds", 0, 0.0),
        ("api_prefix", "/flows/api/v1/", "/flows/api/v1"),
        ("api_prefix", "api/v2", "/api/v2"),
        ("api_prefix", "/", ""),
        ("api_prefix", "", "/api/v1"),
        ("api_prefix", None, "/api/v1"),
    ],
)
def test_an_extra_is_read(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, name: str, given: object, read: object
) -> None:
    settings = settings_of(connect(monkeypatch, extra={name: given}), mode)
    assert getattr(settings, name) == read


@pytest.mark.parametrize("name", ["ca_bundle", "client_cert"])
def test_a_file_extra_must_name_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    file = tmp_path / "file.pem"
    said = mistake(connect(monkeypatch, extra={name: str(file)}))
    assert said == (
        f"The connection's extra {name!r} names {str(file)!r}, which is not a file on this machine. {WHERE}\n"
        "Workers and triggerers each need the file at that path."
    )
    file.touch()
    assert getattr(connect(monkeypatch, extra={name: str(file)}).settings, name) == str(file)
    assert "is not a file" in mistake(connect(monkeypatch, extra={name: str(tmp_path)}))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("verify", "perhaps", "The connection's extra 'verify' is 'perhaps'. {}\nSet it to true or false."),
        (
            "connect_timeout",
            "soon",
            "The connection's extra 'connect_timeout' is 'soon'. {}\nSet it to a number of at least 0.1.",
        ),
        (
            "connect_timeout",
            0,
            "The connection's extra 'connect_timeout' is 0. {}\nSet it to a number of at least 0.1.",
        ),
        (
            "connect_timeout",
            True,
            "The connection's extra 'connect_timeout' is True. {}\nSet it to a number of at least 0.1.",
        ),
        (
            "read_timeout",
            "nan",
            "The connection's extra 'read_timeout' is 'nan'. {}\nSet it to a number of at least 0.1.",
        ),
        (
            "read_timeout",
            "inf",
            "The connection's extra 'read_timeout' is 'inf'. {}\nSet it to a number of at least 0.1.",
        ),
        (
            "max_connections",
            0.5,
            "The connection's extra 'max_connections' is 0.5. {}\nSet it to a number of at least 1.",
        ),
        (
            "long_poll_seconds",
            -1,
            "The connection's extra 'long_poll_seconds' is -1. {}\nSet it to a number of at least 0.",
        ),
        (
            "long_poll_seconds",
            [30],
            "The connection's extra 'long_poll_seconds' is [30]. {}\nSet it to a number of at least 0.",
        ),
        (
            "proxy",
            "socks5://u:canary@proxy.example",
            (
                "The connection's extra 'proxy' is not an address on http or https. {}\n"
                "Give it as http://proxy.example.com:3128, say."
            ),
        ),
        (
            "proxy",
            "http://canary@proxy.example:port",
            (
                "The connection's extra 'proxy' is not an address on http or https. {}\n"
                "Give it as http://proxy.example.com:3128, say."
            ),
        ),
        (
            "execution_url",
            "javascript://alert",
            (
                "The connection's extra 'execution_url' is not an address on http or https. {}\n"
                "Give it as https://flows.example.com/runs/{{execution_id}}, say."
            ),
        ),
        (
            "api_prefix",
            "https://flows.example/api",
            (
                "The connection's extra 'api_prefix' is 'https://flows.example/api'. {}\n"
                "Give a path such as /api/v1; the address goes into the host."
            ),
        ),
    ],
)
def test_an_unusable_extra_is_named_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch, name: str, given: object, message: str
) -> None:
    assert mistake(connect(monkeypatch, extra={name: given})) == message.format(WHERE)


@needs_lenient_connections
@pytest.mark.parametrize("extra", ["[1]", "{nope", '"text"', [1]])
def test_extras_that_are_no_object_are_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, extra: object
) -> None:
    assert mistake(connect(monkeypatch, extra=extra), mode) == (
        f"The connection's extra is not a JSON object. {WHERE}\n"
        'Give it as {"connect_timeout": 5}, say, or leave it empty.'
    )


def test_extras_may_come_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect(monkeypatch, extra='{"connect_timeout": 4}').settings.connect_timeout == 4.0


def test_a_missing_connection_is_named_with_how_to_make_it(mode: Mode) -> None:
    assert mistake(SmartFlowsHook("flows_prod"), mode) == (
        "The Airflow connection 'flows_prod' does not exist. [Smart Flows, connection 'flows_prod']\n"
        "Nothing was sent.\n"
        "Create it under Admin > Connections with the type 'Smart Flows', or set the environment variable "
        "AIRFLOW_CONN_FLOWS_PROD; if it is set, it cannot be read: it must be the JSON or the URI form of a "
        "connection."
    )


def test_a_connection_that_cannot_be_decoded_is_said_to_be_unreadable(
    monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    assert "if it is set, it cannot be read" in mistake(connect(monkeypatch, '{"host": canary'), mode)


def test_the_connection_is_read_once_and_again_after_closing(
    monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    hook = connect(monkeypatch, host="first.example")
    first = settings_of(hook, mode)
    connect(monkeypatch, host="second.example")
    assert settings_of(hook, mode) is first
    if mode == "sync":
        hook.close()
    else:
        asyncio.run(hook.aclose())
    assert settings_of(hook, mode).base_url == "https://second.example"


def test_a_hook_closes_at_the_end_of_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(monkeypatch) as hook:
        client = hook.client
        assert hook.get_conn() is client
    assert hook.client is not client

    async def use() -> None:
        async with connect(monkeypatch) as other:
            inner = await other.aclient()
            assert await other.aclient() is inner
        assert await other.aclient() is not inner

    asyncio.run(use())


def test_the_default_connection_has_the_default_name() -> None:
    assert SmartFlowsHook().conn_id == SmartFlowsHook.default_conn_name == "smartflows_default"
    assert SmartFlowsHook(smart_flows_conn_id="other").smart_flows_conn_id == "other"


def test_neither_settings_nor_client_show_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connect(monkeypatch, extra={"proxy": "http://u:canary-proxy@p"})
    assert "canary" not in repr(hook.settings) + repr(hook.client) + repr(hook) + str(hook.identity())


class Recording(dict[str, Any]):
    """Extras that remember which were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return default


def declared_fields() -> dict[str, Any]:
    connection = get_provider_info()["connection-types"][0]
    return dict(connection["conn-fields"])


def test_the_form_declares_exactly_the_extras_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connect(monkeypatch)
    extra = Recording()
    connection = hook.get_connection("smartflows_default")
    hook._read(connection, extra)
    assert extra.asked == set(declared_fields())


def test_the_forms_defaults_are_the_defaults_that_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.asdict(connect(monkeypatch).settings)
    defaults = {
        name: field["schema"]["default"]
        for name, field in declared_fields().items()
        if "default" in field["schema"]
    }
    assert {name: settings[name] for name in defaults} == defaults
    assert all(settings.get(name) is None for name in declared_fields() if name not in defaults)


def test_the_form_hides_what_holds_credentials() -> None:
    secret = {
        name for name, field in declared_fields().items() if field["schema"].get("format") == "password"
    }
    assert secret == {"proxy"}


def test_the_providers_entry_is_what_airflow_accepts() -> None:
    schema = Path(airflow.__file__).parent / "provider_info.schema.json"
    validate(get_provider_info(), json.loads(schema.read_text()))


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_airflow_finds_connection_type_and_hook() -> None:
    hook = ProvidersManager().hooks["smartflows"]
    assert hook is not None
    assert (hook.hook_name, hook.connection_type) == ("Smart Flows", "smartflows")
    assert hook.hook_class_name == "smartflows_provider.hooks.smart_flows.SmartFlowsHook"


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_secrets_backend_that_denies_access_is_told(
    monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    def deny(conn_id: str) -> None:
        raise PermissionError(f"canary-policy of {conn_id}")

    async def adeny(conn_id: str) -> None:
        deny(conn_id)

    monkeypatch.setattr(SmartFlowsHook, "get_connection", staticmethod(deny))
    monkeypatch.setattr("smartflows_provider.hooks.base.get_async_connection", adeny)
    hook = SmartFlowsHook("guarded")
    with pytest.raises(FlowConfigurationError) as raised:
        _ = hook.settings if blocking else await hook.asettings()
    assert str(raised.value) == (
        "A secrets backend denies access to the Airflow connection 'guarded'. "
        "[Smart Flows, connection 'guarded']\nNothing was sent.\n"
        "Let the user that this process runs as read it, or run this on a host that may."
    )
