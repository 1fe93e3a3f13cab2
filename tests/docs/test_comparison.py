"""What the page about other providers says of them, held against the releases that are installed."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.pages import ROOT

PAGE = (ROOT / "docs" / "comparison.md").read_text()
PACKAGES = {
    "databricks": "airflow.providers.databricks",
    "dbt-cloud": "airflow.providers.dbt.cloud",
    "airbyte": "airflow.providers.airbyte",
    "fivetran-async": "fivetran_provider_async",
    "http": "airflow.providers.http",
}


def source(peer: str, part: str = "") -> str:
    """Return a package's sources, or those of a part of it; nothing is imported but the parent packages."""
    spec = find_spec(PACKAGES[peer])
    assert spec
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    found = [path for path in folder.rglob("*.py") if part in str(path.relative_to(folder))]
    assert found
    return "\n".join(path.read_text() for path in found)


def test_the_releases_are_those_that_are_installed() -> None:
    named = dict(re.findall(r"`((?:apache-)?airflow-provider[a-z-]*)` (\d[\d.]*\d)", PAGE))
    assert len(named) == len(PACKAGES)
    assert named == {name: version(name) for name in named}


@pytest.mark.parametrize("peer", PACKAGES)
def test_only_the_trigger_of_databricks_stops_a_run_when_it_is_killed(peer: str) -> None:
    assert ("def on_kill" in source(peer, "triggers")) is (peer == "databricks")


def test_a_retry_submits_again_where_the_page_says_so() -> None:
    databricks = source("databricks", "operators/databricks.py")
    deferred, on_worker = "self.run_id = self._hook.submit_run(normalised)", "return self.execute_resumable("
    executes = re.search(rf"if self\.deferrable:(.*?){re.escape(on_worker)}", databricks, re.DOTALL)
    assert executes
    assert deferred in executes[1]
    dbt = source("dbt-cloud", "operators/dbt.py")
    assert re.search(r"if self\.reuse_existing_run:.*?trigger_job_run\(", dbt, re.DOTALL)
    assert "job_object = hook.submit_sync_connection(" in source("airbyte", "operators/airbyte.py")
    assert "else 'force'}\"" in source("fivetran-async", "hooks.py")
    for peer in ("dbt-cloud", "airbyte", "fivetran-async"):
        assert not re.search("task_state_store|ResumableJobMixin|clear_number", source(peer)), peer
    assert "clear_number" not in source("databricks")


def test_sessions_are_opened_as_the_page_says() -> None:
    for peer in ("dbt-cloud", "fivetran-async"):
        opened = re.search(r"async with aiohttp\.ClientSession\([^)]*\) as session:", source(peer, "hooks"))
        assert opened, peer
    assert "self._session = aiohttp.ClientSession()" in source("databricks", "hooks/databricks_base.py")
    assert "= hook.get_job_status(self.job_id)" in source("airbyte", "triggers")
    assert "await hook.get_job_status" not in source("airbyte", "triggers")
    http = source("http", "triggers/http.py")
    assert re.search(r"while True:\s+try:\s+async with aiohttp\.ClientSession\(\)", http)


@pytest.mark.parametrize("peer", ["databricks", "dbt-cloud", "fivetran-async"])
def test_nobody_reads_the_services_wish_of_when_to_ask_again(peer: str) -> None:
    assert not re.search("retry-after", source(peer, "hooks"), re.IGNORECASE)


@pytest.mark.parametrize("peer", PACKAGES)
def test_no_peer_ends_a_task_in_the_triggerer(peer: str) -> None:
    assert "TaskSuccessEvent" not in source(peer)


def test_time_limits_of_deferred_tasks_are_kept_as_the_page_says() -> None:
    for peer in ("dbt-cloud", "airbyte"):
        operators = source(peer, "operators")
        assert re.search(r'event\["status"\] == "timeout".*?\.cancel_job', operators, re.DOTALL), peer
    fivetran = source("fivetran-async", "operators.py")
    assert re.search(r"self\.defer\(\s+timeout=self\.execution_timeout", fivetran)
