"""The pytest fixture, as users get it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import requests

from smartflows_provider import extras
from smartflows_provider.devserver.server import DevServer, running_server

pytest_plugins = ["pytester"]


def test_the_plugin_imports_nothing_heavy() -> None:
    script = (
        "import pytest, sys; before = set(sys.modules); "
        "import smartflows_provider.devserver.pytest_plugin; "
        "heavy = {'starlette', 'uvicorn', 'jinja2', 'fpdf', 'lxml', 'yaml', 'xmlschema', 'airflow'}; "
        "print(sorted((set(sys.modules) - before) & heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_every_test_gets_a_server_of_its_own(smart_flows_server: DevServer) -> None:
    assert smart_flows_server.executions() == []
    assert [flow.name for flow in smart_flows_server.service.flows()] == ["Sales report"]


def test_the_flows_can_be_chosen(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = pytester.mkdir("flows") / "mine"
    flow.mkdir()
    (flow / "flow.yaml").write_text("name: Mine\n")
    pytester.makeini("[pytest]\nsmart_flows_dir = flows\naddopts = -p no:cacheprovider\n")
    pytester.makepyfile(
        """
        def test_chosen(smart_flows_server):
            assert [flow.name for flow in smart_flows_server.service.flows()] == ["Mine"]

        class TestOverridden:
            import pytest

            @pytest.fixture(scope="class")
            def smart_flows_directory(self):
                return None

            def test_it(self, smart_flows_server):
                assert [flow.name for flow in smart_flows_server.service.flows()] == ["Sales report"]
        """
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_inprocess("-p", "smartflows_provider.devserver.pytest_plugin")
    result.assert_outcomes(passed=2)


def test_a_missing_extra_is_named(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "missing", lambda extra: ["starlette>=0.40"])
    pytester.makepyfile("def test_it(smart_flows_server): ...")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_inprocess("-p", "smartflows_provider.devserver.pytest_plugin")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*fixture smart_flows_server needs starlette>=0.40. *'airflow-provider-smartflows[[]devserver]'"]
    )


def test_the_connection_forms_name_the_server(smart_flows_server: DevServer) -> None:
    server = smart_flows_server
    assert json.loads(server.connection_json(api_key="other")) == {
        "conn_type": "smartflows",
        "host": "http://127.0.0.1",
        "port": server.port,
        "password": "other",
    }
    parts = urlsplit(server.connection_uri)
    assert (parts.scheme, parts.password, parts.port) == ("smartflows", server.api_key, server.port)
    assert unquote(parts.hostname or "") == "http://127.0.0.1"


def test_a_stopped_server_refuses_connections_and_says_so(smart_flows_server: DevServer) -> None:
    smart_flows_server.stop()
    smart_flows_server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(smart_flows_server.url, timeout=10)
    with pytest.raises(RuntimeError, match="the server is stopped"):
        smart_flows_server.executions()
    smart_flows_server.start()
    smart_flows_server.start()
    assert requests.get(smart_flows_server.url, timeout=10).status_code == 200


def test_a_port_that_is_taken_is_an_error_that_leaves_nothing_open(
    smart_flows_server: DevServer, tmp_path: Path
) -> None:
    taken = smart_flows_server.port
    with pytest.raises(OSError, match="Address already in use"), running_server(port=taken):
        pass


def test_serving_writes_no_log_lines_among_the_tests_own(
    smart_flows_server: DevServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "uvicorn.access")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        requests.get(smart_flows_server.url, timeout=10)
        smart_flows_server.restart()
        requests.get(smart_flows_server.url, timeout=10)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    assert seen == []


def test_an_unknown_execution_cannot_expire(smart_flows_server: DevServer) -> None:
    with pytest.raises(KeyError, match="nope"):
        smart_flows_server.expire("nope")
