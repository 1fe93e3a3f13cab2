"""How pytest meets the rows: parametrised by mode and run, ordered, run side by side, put into a table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import table
from faults.airflow_under_test import VERSION
from faults.rows import Outcome, Plan
from faults.runner import Runner
from faults.world import World, running_world
from packaging.version import Version

from smartflows_provider.demo.places import new_folders

outcomes: list[Outcome] = []


def pytest_pycollect_makeitem(name: str, obj: object) -> list[pytest.Item] | None:
    """Leave a row out where the Airflow is too old for it, or cannot run it."""
    row = getattr(obj, "row", None)
    if not name.startswith("test_") or row is None:
        return None
    too_old = row.since is not None and Version(VERSION).release < Version(row.since).release
    return [] if too_old or not row.plans() else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each mode and run of a row."""
    row = getattr(metafunc.function, "row", None)
    if row is not None:
        plans = row.plans()
        metafunc.parametrize("case", plans, ids=[plan.id for plan in plans], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put rows that disturb nobody first, then the disturbances one by one, then the search for secrets."""

    def place(item: pytest.Item) -> tuple[int, str, int]:
        plan = plan_of(item)
        if item.get_closest_marker("after_all_rows"):
            return (3, "", 0)
        if plan is None:
            return (0, "", 0)
        return (1, "", 0) if plan.row.group is None else (2, plan.row.group, plan.number)

    folder = Path(__file__).parent
    own = [item for item in items if item.path.parent == folder]
    for item in own:
        if plan_of(item) is not None or item.get_closest_marker("after_all_rows"):
            for marker in (pytest.mark.full, pytest.mark.faults, pytest.mark.timeout(3000)):
                item.add_marker(marker)
    ordered = iter(sorted(own, key=place))
    items[:] = [next(ordered) if item.path.parent == folder else item for item in items]


def plan_of(item: pytest.Item) -> Plan | None:
    """Return the plan of a test that is a row."""
    callspec = getattr(item, "callspec", None)
    plan = callspec.params.get("case") if callspec is not None else None
    return plan if isinstance(plan, Plan) else None


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Airflow and the service; their files stay in `.demo/runs` unless all was well."""
    folder, _ = new_folders()
    with running_world(folder) as running:
        yield running
    if all(table.verdict(line) == "ok" for line in table.lines_of(outcomes)):
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def runner(world: World, request: pytest.FixtureRequest) -> Iterator[Runner]:
    """What runs the selected rows."""
    jobs = [
        (item.nodeid, item.obj, plan)
        for item in request.session.items
        if isinstance(item, pytest.Function) and (plan := plan_of(item)) is not None
    ]
    running = Runner(world, jobs)
    yield running
    running.close()


@pytest.fixture
def case(runner: Runner, request: pytest.FixtureRequest) -> Outcome:
    """What came of the row: its body has run when this returns."""
    return runner.outcome(request.node.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Judge a row by its outcome, in place of calling its function."""
    if plan_of(pyfuncitem) is None:
        return None
    outcome: Outcome = pyfuncitem.funcargs["case"]
    outcomes.append(outcome)
    [line] = table.lines_of([outcome])
    if (said := table.verdict(line)) != "ok":
        counted = f"{outcome.started} executions started, {outcome.expected} expected"
        pytest.fail(f"{said}; {counted}\n{outcome.problem}", pytrace=False)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the table down and print it."""
    if not outcomes:
        return
    path = table.write(VERSION, outcomes)
    terminalreporter.section("faults")
    terminalreporter.write(table.render({VERSION: table.lines_of(outcomes)}))
    for one in outcomes:
        for what, value in one.notes.items():
            terminalreporter.write_line(f"{one.fault} ({one.mode}): {what}: {value}")
    terminalreporter.write_line(f"Written to {path}; one column per Airflow is in {path.with_suffix('.md')}")
