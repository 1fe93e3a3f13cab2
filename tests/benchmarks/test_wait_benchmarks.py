"""What the benchmarks of waiting rest on: services that tell the truth, and counts that miss nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.comparison import Figure
from benchmarks.waits.answers import answer, execution_id, final_status, read_question
from benchmarks.waits.contenders import BARE
from benchmarks.waits.driver import Driven, Event, Mark, Step
from benchmarks.waits.plot import Panel, Series, draw
from benchmarks.waits.proxy import SHARE, resetting
from benchmarks.waits.resets import is_bad
from benchmarks.waits.server import Asked, Record
from benchmarks.waits.starts import MADE, NOTHING, OPEN
from benchmarks.waits.trial import Endings, Outcome, Trial
from smartflows_provider.wire import smart_flows
from smartflows_provider.wire.messages import Exchange, Response


def told(method: str, target: str, body: bytes = b"", *, stable: Callable[[int], bool]) -> Any:
    question = read_question(method, target, body)
    return None if question is None else json.loads(answer(question, stable).body)


def by_wire(exchange: Exchange[Any], *, stable: Callable[[int], bool]) -> Any:
    """Drive an exchange of the wire's against the benchmark's service."""
    request = next(exchange)
    query = "&".join(f"{name}={value}" for name, value in request.query)
    body = request.body if isinstance(request.body, bytes) else b""
    question = read_question(request.method, f"/api/v1{request.path}?{query}", body)
    if question is None:
        raise LookupError(request.path)
    said = answer(question, stable)
    headers = {"content-type": "application/json"}
    try:
        exchange.send(Response(status=said.status, headers=headers, body=said.body, request=request))
    except StopIteration as stop:
        return stop.value
    raise LookupError("the exchange has not ended")


# --- what the services say ---


@pytest.mark.parametrize("wait", [3, 17])
def test_our_side_reads_of_a_run_what_the_service_knows(wait: int) -> None:
    before = by_wire(smart_flows.progress(execution_id(wait), hold_seconds=0), stable=lambda _: False)
    after = by_wire(smart_flows.progress(execution_id(wait), hold_seconds=0), stable=lambda _: True)
    assert (before.execution_id, before.status) == (execution_id(wait), "Running")
    assert (after.execution_id, after.status) == (execution_id(wait), final_status(wait))


def test_one_answer_about_many_runs_tells_of_each_by_itself() -> None:
    ids = [execution_id(wait) for wait in (1, 2, 17)]
    found = by_wire(smart_flows.find_progress(ids), stable=lambda wait: wait != 2)
    assert {each: seen.status for each, seen in found.items()} == {
        ids[0]: "Success",
        ids[1]: "Running",
        ids[2]: "Error",
    }


def test_a_hold_is_as_long_as_was_asked_and_the_services_own_where_nothing_was() -> None:
    path = f"/api/v1/flows/executions/{execution_id(5)}/progress"
    holds = [read_question("GET", f"{path}{query}", b"") for query in ("?timeout=7", "?timeout=0", "")]
    assert [question and question.hold for question in holds] == [7.0, 0.0, 30.0]


@pytest.mark.parametrize(
    ("target", "body", "wait"),
    [
        ("/api/v2/accounts/1/runs/8/", b"", 7),
        ("/api/2.2/jobs/runs/get", b'{"run_id": 8}', 7),
        ("/jobs/8", b"", 7),
        ("/v1/connectors/wait_7", b"", 7),
        ("/ready/7", b"", 7),
    ],
)
def test_each_peers_question_is_about_the_run_it_names(target: str, body: bytes, wait: int) -> None:
    question = read_question("GET", target, body)
    assert question is not None
    assert question.waits == (wait,)
    assert answer(question, lambda _: False) != answer(question, lambda asked: asked == wait)


def test_what_no_service_has_is_no_question() -> None:
    assert read_question("GET", "/api/v1/flows", b"") is None
    assert read_question("GET", "/api/v1/flows/executions", b"") is None


# --- a network that resets connections ---


@contextmanager
def echoing() -> Iterator[tuple[int, list[bytes]]]:
    """A service that answers each message with itself, and what has reached it."""
    reached: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with closing(connection):
            while message := connection.recv(1024):
                reached.append(message)
                connection.sendall(message)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], reached


def test_one_exchange_in_a_hundred_is_reset_and_all_others_pass_unchanged() -> None:
    exchanges = 1000
    sent, back, broken = [], [], 0
    with echoing() as (port, reached), resetting(port, seed="a seed") as proxy:
        connection = None
        for number in range(exchanges):
            message = b"%06d" % number
            connection = connection or socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
            sent.append(message)
            try:
                connection.sendall(message)
                heard = connection.recv(1024)
            except ConnectionError:
                heard = b""
            if heard == message:
                back.append(message)
                continue
            broken += 1
            connection.close()
            connection = None
        if connection is not None:
            connection.close()
        assert proxy.resets() == broken
    assert 0 < broken < 4 * SHARE * exchanges
    assert len(back) == exchanges - broken
    assert set(back) < set(reached) <= set(sent)


@pytest.mark.parametrize(
    ("answered", "made", "bad"),
    [
        ((MADE, "a"), ["a"], False),
        ((MADE, "a"), [], True),
        ((MADE, "a"), ["b"], True),
        ((MADE, "a"), ["a", "b"], True),
        ((NOTHING, ""), [], False),
        ((NOTHING, ""), ["a"], True),
        ((OPEN, ""), [], False),
        ((OPEN, ""), ["a"], False),
        ((OPEN, ""), ["a", "b"], True),
    ],
)
def test_a_start_is_bad_where_what_was_told_is_not_what_the_service_made(
    answered: tuple[str, str], made: list[str], bad: bool
) -> None:
    assert is_bad(answered, made) is bad


# --- what is read from a trial ---


def outcome(asked: list[Asked], *, events: list[Event], ended: dict[int, float], waits: int = 2) -> Outcome:
    marks = [Mark(moment=at, cpu=at / 10, rss=0, delay_high=0, delay_longest=0) for at in (100.0, 160.0)]
    return Outcome(
        trial=Trial(contender=BARE, steps=[Step(waits=waits, ramp=0, rest=60)]),
        driven=Driven(begun=100.0, marks=marks, events=events),
        record=Record(asked=asked, started={}),
        ended=ended,
    )


def test_the_longest_gap_counts_before_the_first_question_between_two_and_after_the_last() -> None:
    asked = [Asked(110.0, "progress", (0,)), Asked(150.0, "progress", (0, 1)), Asked(155.0, "progress", (0,))]
    seen = outcome(asked, events=[Event(wait=0, moment=155.0, events=1, right=True)], ended={0: 152.0})
    assert seen.longest_gaps == [40.0, 50.0]


def test_a_wait_without_a_question_has_its_whole_time_as_its_gap() -> None:
    assert outcome([], events=[], ended={}).longest_gaps == [60.0, 60.0]


def test_an_event_that_did_not_come_counts_with_the_time_until_the_end_and_as_lost() -> None:
    seen = outcome([], events=[Event(wait=0, moment=121.0, events=1, right=True)], ended={0: 120.0, 1: 130.0})
    assert seen.latencies == [1.0, 30.0]
    assert seen.lost == [1]


@pytest.mark.parametrize(
    "event",
    [
        Event(wait=0, moment=121.0, events=2, right=True),
        Event(wait=0, moment=121.0, events=1, right=False),
        Event(wait=1, moment=121.0, events=1, right=True),
    ],
    ids=["doubled", "another status", "though the run goes on"],
)
def test_an_event_that_is_not_the_one_of_the_runs_end_is_wrong(event: Event) -> None:
    assert outcome([], events=[event], ended={0: 120.0}).wrong == [event]


def test_the_processors_time_is_shared_out_among_the_requests_of_the_step_alone() -> None:
    asked = [Asked(at, "progress", (0,)) for at in (90.0, 101.0, 159.0, 161.0)]
    assert outcome(asked, events=[], ended={}).cpu_per_request(0) == pytest.approx(1000 * 6.0 / 2)


def test_which_runs_end_and_when_follows_from_the_seed_alone() -> None:
    endings = Endings(count=5, first=10.0, last=20.0)
    one, again, other = (endings.moments(50, begin=100.0, seed=seed) for seed in ("run 1", "run 1", "run 2"))
    assert one == again != other
    assert len(one) == 5
    assert all(110.0 <= moment <= 120.0 for moment in one.values())


def test_a_plot_has_a_line_for_each_side(tmp_path: Path) -> None:
    side = Series(name="ours", values={10: Figure.of([1.0, 2.0, 3.0]), 100: Figure.of([4.0])})
    target = tmp_path / "plot.png"
    draw([Panel(title="memory, MB", series=[side])] * 4, axis="waits", target=target)
    assert target.read_bytes().startswith(b"\x89PNG")
