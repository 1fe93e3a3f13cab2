"""Which executions a watcher fires for: nothing is missed and nothing fires twice, whatever happens when.

A service in memory answers the real questions, page by page, and changes between the pages. Hypothesis draws
what happens: executions begin, end late, show late, are changed or removed after their end; looks fail; the
triggerer dies with or without its last position kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartflows_provider.devserver import filters
from smartflows_provider.waiting import watermark
from smartflows_provider.waiting.watermark import KEPT, OVERLAP, Position, Watermark
from smartflows_provider.wire import smart_flows_finished
from smartflows_provider.wire.errors import AccessDenied, ServiceFault
from smartflows_provider.wire.messages import Request, Response
from smartflows_provider.wire.run import Execution, Reference, RunPhase
from smartflows_provider.wire.smart_flows_finished import (
    Listing,
    ListingWay,
    list_changed,
    moment_text,
)

START = 1_800_000_000.0
WANTED = ("Success", "Warning")


@dataclass
class Service:
    """Executions, and the lists of them."""

    now: float = START
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown_from: dict[str, float] = field(default_factory=dict)
    filters: bool = True
    orders: bool = True
    between_pages: Callable[[], None] = lambda: None
    requests: list[Request] = field(default_factory=list)
    refusal: int = 400

    def begin(self) -> str:
        name = f"e{len(self.shown_from)}"
        moment = moment_text(self.now)
        self.rows[name] = {"id": name, "status": "Running", "createdAt": moment, "modifiedAt": moment}
        self.shown_from[name] = self.now
        return name

    def end(self, name: str, *, status: str = "Success", late: float = 0.0) -> None:
        self.rows[name].update(status=status, modifiedAt=moment_text(self.now))
        self.shown_from[name] = self.now + late

    def touch(self, name: str) -> None:
        self.rows[name]["modifiedAt"] = moment_text(self.now)

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        query = dict(request.query)
        entries = [row for name, row in self.rows.items() if self.shown_from[name] <= self.now]
        if request.method == "POST":
            if not self.filters:
                return Response(status=self.refusal, request=request)
            matches = filters.matcher_of(json.loads(request.body))  # type: ignore[arg-type]
            entries = [entry for entry in entries if matches(entry)]
        entries = list(filters.sort_entries(entries, [query["sort"] if self.orders else "id,asc"]))
        page = filters.page_of(entries, page=query["page"], size=query["size"], honoured=True)
        body = json.dumps(list(page.entries)).encode()
        self.between_pages()
        return Response(status=200, headers={"content-type": "application/json"}, body=body, request=request)

    def ask(self, since: float | None, *, latest_too: bool = False) -> Listing:
        exchange = list_changed(
            statuses=WANTED, since=since, overlap=OVERLAP, way=ListingWay(), latest_too=latest_too
        )
        request = next(exchange)
        while True:
            try:
                request = exchange.send(self.answer(request))
            except StopIteration as end:
                found: Listing = end.value
                return found


def is_wanted(execution: Execution) -> bool:
    return execution.status in WANTED


def look(service: Service, mark: Watermark) -> list[str]:
    return [one.id for one in mark.take(service.ask(mark.reach), is_wanted)]


def finished(service: Service, **how: Any) -> str:
    name = service.begin()
    service.end(name, **how)
    return name


def execution(name: str, at: float, status: str = "Success") -> Execution:
    return Execution(
        id=name,
        status=status,
        phase=RunPhase.SUCCEEDED,
        flow=Reference(id="f"),
        modified_at=moment_text(at),
        raw={},
    )


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_flows_finished, "PAGE", 3)


# --- where a watcher begins ---


def test_a_watcher_that_begins_fires_for_what_ends_from_then_on() -> None:
    service = Service()
    finished(service)
    running = service.begin()
    mark = Watermark(None)
    assert look(service, mark) == []
    service.now += 1
    service.end(running)
    assert look(service, mark) == [running]
    assert look(service, mark) == []


def test_what_ends_after_an_empty_list_fires_however_late_it_is_asked_for() -> None:
    service, mark = Service(), Watermark(None)
    assert look(service, mark) == []
    names = []
    for _ in range(8):
        service.now += OVERLAP
        names.append(finished(service))
    assert look(service, mark) == names


def test_since_fires_for_what_is_there_already_but_for_nothing_older() -> None:
    service = Service()
    finished(service)
    service.now += 10
    later = finished(service)
    assert look(service, Watermark(None, since=START + 5)) == [later]
    # Where the state cannot be kept, the past would come again with each start.
    assert look(service, Watermark(None, since=START + 5, from_now=True)) == []


def test_equal_times_are_all_fired_for_once() -> None:
    service, mark = Service(), Watermark(None, since=START)
    names = [finished(service) for _ in range(7)]
    assert look(service, mark) == names
    names = [finished(service) for _ in range(2)]
    assert look(service, mark) == names
    assert look(service, mark) == []


def test_an_execution_fires_for_each_of_its_statuses() -> None:
    mark = Watermark(None, since=START)
    for status in ("Warning", "Success"):
        listing = Listing(
            executions=[execution("one", START + 1, status)], in_one_piece=True, way=ListingWay()
        )
        assert [one.status for one in mark.take(listing, is_wanted)] == [status]
        assert mark.take(listing, is_wanted) == []


def test_one_that_is_changed_after_its_end_does_not_fire_again() -> None:
    service, mark = Service(), Watermark(None, since=START)
    name = finished(service)
    assert look(service, mark) == [name]
    for _ in range(5):
        service.now += 10 * OVERLAP
        service.touch(name)
        assert look(service, mark) == []


def test_executions_without_a_time_fire_once() -> None:
    service, mark = Service(), Watermark(None)
    finished(service)
    assert look(service, mark) == []
    name = finished(service)
    for row in service.rows.values():
        row["modifiedAt"] = None
    service.filters = False
    assert look(service, mark) == [name]
    assert look(service, mark) == []


def test_executions_without_a_time_fire_once_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watermark, "REMEMBERED", 10)
    mark = Watermark(None, since=START)
    many = [replace(execution(str(number), START), modified_at="") for number in range(15)]
    listing = Listing(executions=many, in_one_piece=True, way=ListingWay())
    assert len(mark.take(listing, is_wanted)) == 15
    assert mark.take(listing, is_wanted) == []


def test_what_the_service_shows_late_fires_though_later_ends_were_seen() -> None:
    service, mark = Service(), Watermark(None)
    look(service, mark)
    service.now += 1
    late = finished(service, late=OVERLAP - 10)
    service.now += 5
    name = finished(service)
    assert look(service, mark) == [name]
    service.now += OVERLAP - 10
    assert look(service, mark) == [late]


def test_what_a_moving_list_has_hidden_fires_at_the_next_look() -> None:
    service, mark = Service(), Watermark(None)
    look(service, mark)
    service.now += 1
    names = []
    for _ in range(6):
        service.now += OVERLAP
        names.append(finished(service))

    def purge() -> None:
        # The oldest of the next page moves up to the page that has been read.
        service.rows.pop(names[-1], None)

    service.between_pages = purge
    found = look(service, mark)
    hidden = names[-4]
    assert found == [name for name in names if name != hidden]
    service.between_pages = lambda: None
    assert look(service, mark) == [hidden]
    assert look(service, mark) == []


# --- what is kept ---


def test_the_position_that_is_kept_stays_small_and_survives_json() -> None:
    mark = Watermark(None, since=START)
    for batch in range(4):
        many = [execution(f"{batch}-{number}", START + batch) for number in range(KEPT)]
        mark.take(Listing(executions=many, in_one_piece=True, way=ListingWay()), is_wanted)
    position = mark.position
    assert position is not None
    text = json.dumps(position.as_dict())
    assert len(text) < 16_000
    assert Position.from_dict(json.loads(text)) == position


@pytest.mark.parametrize(
    "stored",
    [None, "text", 3, {}, {"fired": []}, {"seen_until": "never", "fired": []}, {"seen_until": "2026"}],
)
def test_what_is_no_position_is_told_apart(stored: Any) -> None:
    assert Position.from_dict(stored) is None


def test_memory_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "REMEMBERED", 10)
    mark = Watermark(None, since=START)
    for number in range(200):
        one = execution(str(number), START + 100 * number)
        mark.take(Listing(executions=[one], in_one_piece=True, way=ListingWay()), is_wanted)
    assert mark.position is not None
    assert len(mark.position.fired) <= 12


# --- how it is asked for ---


def test_one_request_is_enough_where_little_has_changed() -> None:
    service, mark = Service(), Watermark(None)
    look(service, mark)
    finished(service)
    service.requests.clear()
    look(service, mark)
    assert len(service.requests) == 1


@pytest.mark.parametrize("filters", [True, False])
def test_the_latest_change_is_asked_for_too_however_far_back_another_watcher_looks(filters: bool) -> None:
    service = Service(filters=filters)
    names = []
    for _ in range(8):
        service.now += 10 * OVERLAP
        names.append(finished(service))
    latest, oldest = service.now, START
    brought = {one.id for one in service.ask(latest + 5, latest_too=True).executions}
    assert names[-1] in brought
    assert names[0] not in brought
    assert {one.id for one in service.ask(oldest, latest_too=True).executions} == set(names)


@pytest.mark.parametrize("refusal", [400, 404, 405, 422, 500])
def test_a_service_without_the_filter_is_asked_for_the_latest_changes(refusal: int) -> None:
    service, mark = Service(filters=False, refusal=refusal), Watermark(None)
    for _ in range(20):
        service.now += OVERLAP
        finished(service)
    listing = service.ask(None)
    assert (listing.way, len(service.requests)) == (ListingWay(filters=False), 3)
    mark.take(listing, is_wanted)
    name = finished(service)
    assert look(service, mark) == [name]


def test_a_service_that_does_not_order_by_change_is_read_whole() -> None:
    service, mark = Service(filters=False), Watermark(None)
    old = service.begin()
    for _ in range(9):
        finished(service)
        service.now += 1
    look(service, mark)
    service.orders = False
    service.now += 10 * OVERLAP
    service.end(old)
    listing = service.ask(mark.reach)
    assert listing.way == ListingWay(filters=False, orders=False)
    assert [one.id for one in mark.take(listing, is_wanted)] == [old]


@pytest.mark.parametrize(("status", "kind"), [(403, AccessDenied), (503, ServiceFault)])
def test_what_says_nothing_about_the_question_is_no_reason_to_ask_in_another_way(
    status: int, kind: type[Exception]
) -> None:
    service = Service(filters=False, refusal=status)
    with pytest.raises(kind):
        service.ask(None)
    assert len(service.requests) == 1


# --- any history ---


class History:
    """A watcher, its triggerer and the service, one act after another."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.mark = Watermark(None)
        look(service, self.mark)
        self.kept = self.mark.position
        self.fired: Counter[str] = Counter()
        self.unstored: list[str] = []
        self.ended: set[str] = set()
        self.restarts = 0
        self.was_stirred = False

    def active(self) -> list[str]:
        return [name for name, row in self.service.rows.items() if row["status"] == "Running"]

    def seen(self) -> list[str]:
        return [name for name in self.service.rows if self.fired[name] and name not in self.unstored]

    def begin(self, number: int) -> None:
        self.service.begin()

    def end(self, number: int, *, late: float = 0.0) -> None:
        if running := self.active():
            name = running[number % len(running)]
            self.ended.add(name)
            self.service.end(name, late=late)

    def end_late(self, number: int) -> None:
        self.end(number, late=3.0 * number)

    def touch(self, number: int) -> None:
        if done := self.seen():
            self.service.touch(done[number % len(done)])

    def purge(self, number: int) -> None:
        if done := self.seen():
            del self.service.rows[done[number % len(done)]]

    def wait(self, number: int) -> None:
        self.service.now += 20.0 * number

    def die(self, number: int) -> None:
        self.restarts += 1
        self.mark = Watermark(self.kept)
        # Airflow never had them.
        self.fired.subtract(self.unstored)
        self.unstored.clear()

    def stir(self, number: int) -> None:
        """Change the list between two pages."""
        self.purge(number)
        self.end(number)

    def look(self, number: int) -> None:
        stirs = number % 2 == 1 and not self.was_stirred
        self.service.between_pages = partial(self.stir, number) if stirs else (lambda: None)
        found = look(self.service, self.mark)
        self.service.between_pages = lambda: None
        self.was_stirred = stirs
        self.fired.update(found)
        self.unstored.extend(found)
        if number % 3:
            # Airflow has told that it has the events.
            self.kept = self.mark.position
            self.unstored.clear()


ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("begin", "begin", "end", "end", "end_late", "touch", "purge"),
                *("look", "look", "look", "wait", "die"),
            ]
        ),
        st.integers(0, 30),
    ),
    min_size=15,
    max_size=50,
)
"""An outage is a time without a look."""


@settings(derandomize=True, max_examples=80, deadline=None)
@given(acts=ACTS, way=st.sampled_from([(True, True), (False, True), (False, False)]))
def test_in_any_history_nothing_is_missed_and_repeats_come_only_after_a_restart(
    acts: list[tuple[str, int]], way: tuple[bool, bool]
) -> None:
    history = History(Service(filters=way[0], orders=way[1]))
    for act, number in acts:
        history.service.now += number / 10
        getattr(history, act)(number)
    history.service.now += 100
    for _ in range(3):
        history.look(2)
    fired = history.fired
    assert {name for name, times in fired.items() if times} == history.ended
    assert max(fired.values(), default=0) <= 1 + history.restarts
