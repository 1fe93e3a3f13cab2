"""What `airflow providers …` says of this package for real, and that nothing is logged meanwhile.

`providers lazy-loaded` is not among them: Airflow 3.3.2 complains there without any further package.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from smartflows_provider.demo.database import clean_environment
from smartflows_provider.get_provider_info import get_provider_info

pytestmark = pytest.mark.full

INFO = get_provider_info()
DISTRIBUTION = INFO["package-name"]
ASKED = (
    "list",
    f"get --full {DISTRIBUTION}",
    "hooks",
    "links",
    "triggers",
    "notifications",
    "widgets",
    "behaviours",
)

ONE_AFTER_THE_OTHER = """
import io, json, sys
from contextlib import redirect_stdout
from airflow.__main__ import main

told = {}
for command in json.loads(sys.argv[1]):
    sys.argv = ["airflow", "providers", *command.split(), "--output", "json"]
    with redirect_stdout(io.StringIO()) as out:
        main()
    told[command.split()[0]] = out.getvalue()
print(json.dumps(told))
"""
"""The commands' own entry point, in one process for all of them: each takes seconds to start."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(ASKED)],
        env=clean_environment({"AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return {command: json.loads(out) for command, out in json.loads(done.stdout.splitlines()[-1]).items()}


def ours(rows: list[dict[str, Any]], column: str, **conditions: str) -> list[Any]:
    return [row[column] for row in rows if conditions.items() <= row.items()]


def test_nothing_is_logged_or_warned_of(done: subprocess.CompletedProcess[str], told: dict[str, Any]) -> None:
    assert told
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1, done.stdout


def test_list_shows_version_and_description(told: dict[str, Any]) -> None:
    [row] = [row for row in told["list"] if row["package_name"] == DISTRIBUTION]
    assert row["version"] == INFO["versions"][0]
    assert row["description"] == INFO["description"].rstrip(".")


def test_get_shows_the_whole_entry(told: dict[str, Any]) -> None:
    [row] = told["get"]
    plain = {kind for kind in INFO if kind not in {"description", "connection-types"}}
    assert {kind: row[kind] for kind in plain} == {kind: INFO[kind] for kind in plain}


def test_hooks_are_listed_with_their_argument(told: dict[str, Any]) -> None:
    rows = {row["connection_type"]: row for row in told["hooks"] if row["package_name"] == DISTRIBUTION}
    assert sorted(rows) == sorted(one["connection-type"] for one in INFO["connection-types"])
    for one in INFO["connection-types"]:
        row = rows[one["connection-type"]]
        assert (row["class"], row["hook_name"]) == (one["hook-class-name"], one["hook-name"])
        assert row["conn_id_attribute_name"].endswith("_conn_id")


def test_links_triggers_and_notifications_are_listed(told: dict[str, Any]) -> None:
    links = [row["extra_link_class_name"] for row in told["links"]]
    assert set(INFO["extra-links"]) <= {*links}
    triggers = ours(told["triggers"], "class", package_name=DISTRIBUTION)
    assert sorted(triggers) == sorted(module for one in INFO["triggers"] for module in one["python-modules"])
    notifications = [row["notification_class_name"] for row in told["notifications"]]
    assert set(INFO.get("notifications", ())) <= {*notifications}


def test_each_field_of_each_form_is_listed(told: dict[str, Any]) -> None:
    expected = [
        f"extra__{one['connection-type']}__{field}"
        for one in INFO["connection-types"]
        for field in one["conn-fields"]
    ]
    found = ours(told["widgets"], "connection_parameter_name", package_name=DISTRIBUTION)
    assert sorted(found) == sorted(expected)
    behaviours = [row["field_behaviours"] for row in told["behaviours"]]
    assert {one["connection-type"] for one in INFO["connection-types"]} <= {*behaviours}
