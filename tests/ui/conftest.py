"""One Airflow, one flow server and one browser for all tests of the UI."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.stack import AirflowStack
from smartflows_provider.devserver.server import DevServer, running_server
from ui.chromium import ARTEFACTS, ROOT, find_chromium, signed_in

FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="package")
def chromium() -> str:
    """Return the path of Chromium; where CI runs, its absence is a failure."""
    program = find_chromium()
    if program is None:
        message = "the tests of the UI need Chromium: apt-get install chromium, or make browser as root"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(message)
        pytest.skip(message)
    return program


@pytest.fixture(scope="package")
def server(chromium: str) -> Iterator[DevServer]:
    """Return the embedded server, with the demo's flows and one that goes on for an hour."""
    with running_server(flows=ROOT / "example_dags" / "flows") as server:
        server.add_flow(
            name="Slow report",
            steps=[
                {"kind": "work", "message": "Laying out 400 pages", "duration": 3600},
                {"kind": "output", "name": "Report", "values": {"pages": 400}},
            ],
        )
        yield server


@pytest.fixture(scope="package")
def airflow(server: DevServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """Return an Airflow whose connection leads to the server."""
    folder = tmp_path_factory.mktemp("ui")
    dags = folder / "dags"
    shutil.copytree(Path(__file__).parent / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "example_dags" / "report_approval.py", dags)
    connection = json.loads(server.connection_json())
    connection["extra"] = {"execution_url": f"{server.url}/client/executions/{{execution_id}}"}
    with ProcessTree(logs=folder / "components") as processes:
        stack = AirflowStack(
            processes,
            dags_folder=dags,
            home=folder / "airflow",
            env={
                "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": json.dumps(connection),
                "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            },
        )
        stack.start()
        for dag_id in ("slow_report", "report_approval"):
            stack.wait_for_dag(dag_id)
        yield stack


@pytest.fixture(scope="package")
def browser(
    airflow: AirflowStack, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """Return a browser in which somebody has signed in."""
    with signed_in(airflow, program=chromium, profile=tmp_path_factory.mktemp("profile")) as context:
        yield context


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has failed, for the page that it leaves."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def page(browser: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Return a new page; of a test that fails its last picture and the console are kept."""
    page = browser.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: told.append(f"page error: {error}"))
    yield page
    if request.node.stash.get(FAILED, False):
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTEFACTS / f"{request.node.name}-failed.png")
        (ARTEFACTS / f"{request.node.name}-failed.txt").write_text("\n".join([page.url, *told]) + "\n")
    page.close()
