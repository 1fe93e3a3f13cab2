"""What a real Airflow sends of runs: metrics to StatsD, spans to an OpenTelemetry collector."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from faults.airflow_under_test import PYTHON
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from smartflows_provider.demo.flow_server import FlowServer
from smartflows_provider.demo.processes import ProcessTree
from smartflows_provider.demo.rest import DAG_RUN_ENDED
from smartflows_provider.demo.stack import AirflowStack

pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
DAG_ID = "measured"
OF_THE_CONNECTION = "smartflows.smartflows_default"


class StatsdListener:
    """Keeps what StatsD would be sent."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except OSError:
                return
            self.lines += [one for one in text.splitlines() if one.startswith("airflow.smartflows.")]

    def close(self) -> None:
        self._socket.close()

    def counts(self) -> Counter[str]:
        """Return how often each counter of the connection was raised, named as behind the prefix."""
        found: Counter[str] = Counter()
        for line in self.lines:
            name, _, rest = line.removeprefix("airflow.smartflows.").partition(":")
            value, _, kind = rest.partition("|")
            if kind == "c" and f".{OF_THE_CONNECTION}" in name:
                found[name.replace(f".{OF_THE_CONNECTION}", "")] += int(value)
        return found

    def values(self, name: str, kind: str) -> list[float]:
        """Return what was sent of a gauge or a timer of the connection, in its order."""
        begin = f"airflow.smartflows.{name}.{OF_THE_CONNECTION}"
        parts = [one.rpartition(":")[2].split("|") for one in self.lines if one.startswith(begin)]
        return [float(value) for value, found in parts if found == kind]


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _CollectorAnswers)
        self.spans: list[Span] = []
        Thread(target=self.serve_forever, daemon=True).start()

    def named(self, name: str) -> list[Span]:
        return [one for one in self.spans if one.name == name]


class _CollectorAnswers(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sent = ExportTraceServiceRequest.FromString(body)
        self.server.spans += [
            span for one in sent.resource_spans for scope in one.scope_spans for span in scope.spans
        ]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Airflow:
    """The components after one run of the DAG, and what was heard of it."""

    def __init__(self, stack: AirflowStack, statsd: StatsdListener, collector: Collector) -> None:
        self.stack = stack
        self.statsd = statsd
        self.collector = collector
        self.run_id = ""

    def states(self) -> dict[str, str]:
        return {one["task_id"]: one["state"] for one in self.stack.rest.task_instances(DAG_ID, self.run_id)}

    def run(self, flows: FlowServer) -> None:
        rest, stack = self.stack.rest, self.stack
        self.run_id = rest.trigger(DAG_ID)
        stack.wait_for(
            lambda: (
                self.states()["ended_by_a_person"] == "deferred"
                and "Running" in rest.log(DAG_ID, self.run_id, "ended_by_a_person")
            ),
            what="the task to wait in the triggerer",
        )
        rest.mark(DAG_ID, self.run_id, "ended_by_a_person", state="failed")
        ended = rest.xcom(DAG_ID, self.run_id, "ended_by_a_person", key="execution_id")
        stack.wait_for(lambda: flows.progress(ended)["status"] == "Canceled", what="the cancel")
        stack.wait_for(
            lambda: rest.dag_run(DAG_ID, self.run_id)["state"] in DAG_RUN_ENDED,
            what="the DAG to end",
            timeout=600,
        )


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    folder: Path = tmp_path_factory.mktemp("observability")
    statsd, collector = StatsdListener(), Collector()
    with ProcessTree(logs=folder / "components") as processes:
        flows = FlowServer(processes, flows=HERE / "metric_flows", state=folder / "flow-server" / "state.db")
        stack = AirflowStack(
            processes,
            dags_folder=HERE / "metric_dags",
            home=folder / "airflow",
            env={
                "AIRFLOW_CONN_SMARTFLOWS_DEFAULT": flows.connection(),
                "AIRFLOW__METRICS__STATSD_ON": "True",
                "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
                "AIRFLOW__METRICS__STATSD_PORT": str(statsd.port),
                "AIRFLOW__TRACES__OTEL_ON": "True",
                "OTEL_TRACES_EXPORTER": "otlp_proto_http",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
                "OTEL_BSP_SCHEDULE_DELAY": "500",
            },
            separate_execution_api=True,
            python=PYTHON,
        )
        flows.start()
        stack.start()
        stack.wait_for(flows.is_up, what="the Smart Flows server to answer")
        stack.wait_for_dag(DAG_ID)
        found = Airflow(stack, statsd, collector)
        found.run(flows)
        yield found
    statsd.close()
    collector.shutdown()


def test_each_run_is_counted_once_whatever_processes_it_goes_through(airflow: Airflow) -> None:
    expected = {
        "runs.started": 6,
        "runs.ended.succeeded": 3,
        "runs.ended.failed": 1,
        "runs.cancelled.timeout": 1,
        "runs.cancelled.kill": 1,
        "sensors.ended.succeeded": 1,
    }
    airflow.stack.wait_for(
        lambda: sum(airflow.statsd.counts().values()) >= sum(expected.values()), what="all that is counted"
    )
    assert airflow.statsd.counts() == expected
    assert sum(line.startswith("airflow.smartflows.runs.started:1|c") for line in airflow.statsd.lines) == 6


def test_the_gauge_of_waits_falls_to_none_and_the_timers_have_times(airflow: Airflow) -> None:
    airflow.stack.wait_for(
        lambda: airflow.statsd.values("waits.open", "g")[-1:] == [0.0], what="the last wait to end"
    )
    assert max(airflow.statsd.values("waits.open", "g")) >= 3
    latencies = airflow.statsd.values("events.latency", "ms")
    assert len(latencies) == 5
    assert all(0 <= one < 60_000 for one in latencies)
    durations = airflow.statsd.values("runs.duration", "ms")
    assert len([one for one in durations if one >= 1900]) == 4


def test_spans_lie_below_those_of_airflow(airflow: Airflow) -> None:
    spans = airflow.collector

    def parents_of(name: str) -> set[str | None]:
        names = {one.span_id: one.name for one in spans.spans}
        return {names.get(one.parent_span_id) for one in spans.named(name)}

    waits = {"worker.on_a_worker", "trigger.in_the_triggerer"}
    starts = {
        f"worker.{task}"
        for task in (
            *("on_a_worker", "in_the_triggerer", "resumed"),
            *("failing", "too_late", "ended_by_a_person"),
        )
    }
    airflow.stack.wait_for(
        lambda: starts <= parents_of("smartflows.start") and waits <= parents_of("smartflows.wait"),
        what="the spans",
    )
    assert parents_of("smartflows.start") == starts
    names = {one.span_id: one.name for one in spans.spans}
    (taken,) = (
        one
        for one in spans.named("smartflows.take_output")
        if names.get(one.parent_span_id) == "worker.on_a_worker"
    )
    told = {one.key: one.value.string_value for one in taken.attributes}
    assert (told["smartflows.flow"], told["smartflows.status"]) == ("Briefly", "Success")
