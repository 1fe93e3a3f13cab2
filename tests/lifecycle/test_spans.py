"""Spans of runs: which there are, below what, and what they tell."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from support.airflow_versions import needs_success_in_triggerer
from support.memory import KEY, Memory
from test_modes_alike import CASES, Mode, memory, run_operator
from test_worker_processes_alike import run_operator as run_with_triggerer

from smartflows_provider.lifecycle import spans
from smartflows_provider.lifecycle.spans import SpanName, flow_span

__all__ = ["memory"]


class Traces:
    """The spans that were made."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("tests")

    def all(self) -> list[ReadableSpan]:
        return [one for one in self._exporter.get_finished_spans() if one.name.startswith("smartflows.")]

    def names(self) -> list[str]:
        return [one.name for one in self.all()]


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Traces:
    found = Traces()
    monkeypatch.setattr(spans, "tracer", lambda name: found.tracer)
    return found


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_run_has_the_same_spans_on_a_worker_and_deferred(
    memory: Memory, traces: Traces, mode: Mode
) -> None:
    run_operator(memory, mode, CASES["status Success"])
    start, wait, taken = traces.all()
    assert [one.name for one in (start, wait, taken)] == [one.value[0] for one in SpanName]
    about = {
        "smartflows.system": "smartflows",
        "smartflows.conn_id": "smartflows_default",
        "smartflows.execution_id": memory.service.runs[0].id,
    }
    flow = {"smartflows.flow": "Letter"}
    ended = {"smartflows.status": "Success", "smartflows.reason": "finished"}
    assert start.attributes == {**about, **flow}
    assert wait.attributes == {**about, **ended, **(flow if mode == "sync" else {})}
    assert taken.attributes == {**about, **flow, "smartflows.status": "Success"}
    assert {one.status.status_code for one in (start, wait, taken)} == {StatusCode.UNSET}


@needs_success_in_triggerer
def test_a_run_that_ends_in_the_triggerer_has_the_span_of_its_output_within_that_of_its_wait(
    memory: Memory, traces: Traces
) -> None:
    run_with_triggerer(memory, CASES["status Success"])
    _, taken, wait = traces.all()
    assert (wait.name, taken.name) == ("smartflows.wait", "smartflows.take_output")
    assert taken.parent is not None
    assert taken.parent.span_id == wait.context.span_id


def test_spans_lie_below_the_span_of_the_task(memory: Memory, traces: Traces) -> None:
    with traces.tracer.start_as_current_span("worker.task") as task:
        run_operator(memory, "sync", CASES["status Success"])
    assert traces.names() == [one.value[0] for one in SpanName]
    for span in traces.all():
        assert span.parent is not None
        assert span.parent.span_id == task.get_span_context().span_id


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_an_error_is_told_by_its_class_and_without_its_text(
    memory: Memory, traces: Traces, mode: Mode
) -> None:
    found = run_operator(memory, mode, CASES["status Error"])
    assert "No such customer" in found.message
    taken = traces.all()[-1]
    assert taken.status.status_code is StatusCode.ERROR
    assert taken.status.description == "FlowExecutionFailedError"
    assert (taken.attributes or {})["error.type"] == "FlowExecutionFailedError"
    everything = "".join(one.to_json() for one in traces.all())
    assert "No such customer" not in everything
    assert KEY not in everything


def test_a_wait_that_is_taken_away_has_no_error(traces: Traces) -> None:
    async def leave() -> None:
        with flow_span(SpanName.WAIT, {"system": "ocp"}):
            await asyncio.sleep(60)

    async def run() -> None:
        task = asyncio.create_task(leave())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    (span,) = traces.all()
    assert span.status.status_code is StatusCode.UNSET


def test_what_makes_spans_may_fail_and_no_run_fails_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        """Fails in everything that a span is asked for."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *arguments: object) -> None:
            raise RuntimeError("no exporter")

        def start_as_current_span(self, *arguments: Any, **options: Any) -> Broken:
            return self

        def set_attribute(self, name: str, value: str) -> None:
            raise RuntimeError("no exporter")

    monkeypatch.setattr(spans, "tracer", lambda name: Broken())
    done = []
    with flow_span(SpanName.START, {"system": "ocp"}) as span:
        span.tell({"status": "Success"})
        done.append("went on")
    assert done == ["went on"]


def test_where_opentelemetry_is_not_installed_there_are_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry", None)
    assert spans.tracer("tests") is None
    with flow_span(SpanName.START, {"system": "ocp"}) as span:
        assert span.span is None
