"""Lists: arrays and page objects, paging that is honoured, capped or ignored, and looking a flow up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from wire_driving import FLOW_ID, Reply, drive, execution_of, reply

from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.errors import FlowAmbiguous, FlowNotFound, UnreadableAnswer
from smartflows_provider.wire.messages import Exchange, Request, Response
from smartflows_provider.wire.run import RunPhase


def flow(number: int, name: str = "") -> dict[str, str]:
    return {"id": f"f{number}", "displayName": name or f"Flow {number}", "type": "flow"}


def page_object(entries: list[Any], **more: Any) -> dict[str, Any]:
    return {"content": entries, "totalElements": 1000, "size": len(entries), "number": 0, **more}


def serve(exchange: Exchange[Any], entries: Callable[[int, int], list[Any]]) -> tuple[Any, list[Request]]:
    """Answer every page by a rule."""
    requests = []
    try:
        request = next(exchange)
        while True:
            requests.append(request)
            query = dict(request.query)
            shown = reply(entries(int(query["page"]), int(query["size"])))
            request = exchange.send(
                Response(status=200, headers=shown.headers, body=shown.body, request=request)
            )
    except StopIteration as stop:
        return stop.value, requests


@pytest.mark.parametrize("shape", [list, page_object])
def test_a_list_is_an_array_or_a_page_object(shape: Callable[[list[Any]], Any]) -> None:
    found = drive(wire.list_flows(), reply(shape([flow(1), flow(2)]))).result
    assert found == [wire.Reference(id="f1", name="Flow 1"), wire.Reference(id="f2", name="Flow 2")]


def test_an_empty_list_is_empty() -> None:
    assert drive(wire.list_flows(), reply([])).result == []
    assert drive(wire.find_executions(), reply(page_object([]))).result == []


@pytest.mark.parametrize("raw", [{}, {"content": None}, {"content": {}}, "x", None, 3])
def test_what_is_no_list_is_unreadable(raw: object) -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        drive(wire.list_flows(), reply(raw))
    assert str(caught.value) == "the answer to GET /flows is neither an array nor a page with 'content'"


def test_pages_are_read_to_the_last() -> None:
    everything = [flow(number) for number in range(250)]
    found, requests = serve(wire.list_flows(), lambda page, size: everything[page * size : (page + 1) * size])
    assert [one.id for one in found] == [one["id"] for one in everything]
    assert [dict(request.query)["page"] for request in requests] == ["0", "1", "2"]


@pytest.mark.parametrize("cap", [20, 50])
def test_a_service_that_caps_the_page_size_is_read_to_the_last_page(cap: int) -> None:
    everything = [flow(number) for number in range(110)]
    found, _ = serve(wire.list_flows(), lambda page, size: everything[page * cap : (page + 1) * cap])
    assert len(found) == 110


@pytest.mark.parametrize("count", [3, 100, 250])
def test_a_service_that_ignores_paging_is_asked_no_more_than_twice(count: int) -> None:
    found, requests = serve(wire.list_flows(), lambda *_: [flow(number) for number in range(count)])
    assert len(found) == count
    assert len(requests) <= 2


def test_a_short_list_takes_one_call() -> None:
    assert len(serve(wire.list_flows(), lambda *_: [flow(1)])[1]) == 1


def test_an_entry_that_moves_to_the_next_page_is_shown_once() -> None:
    pages = [[flow(number) for number in range(100)], [flow(99), flow(100)]]
    found, _ = serve(wire.list_flows(), lambda page, _: pages[page])
    assert [one.id for one in found] == [f"f{number}" for number in range(101)]


@pytest.mark.parametrize(
    ("limit", "calls", "size"), [(1, 1, "1"), (20, 1, "20"), (100, 1, "100"), (150, 2, "100")]
)
def test_a_limit_stops_the_listing(limit: int, calls: int, size: str) -> None:
    everything = [execution_of(id=f"e{number}") for number in range(300)]
    found, requests = serve(
        wire.find_executions(limit=limit), lambda page, size: everything[page * size : (page + 1) * size]
    )
    assert [one.id for one in found] == [f"e{number}" for number in range(limit)]
    assert len(requests) == calls
    assert dict(requests[0].query)["size"] == size


@pytest.mark.parametrize("limit", [None, 1_000])
def test_a_list_that_never_ends_is_given_up_and_says_so(
    monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr(wire, "MAX_PAGES", 7)
    asked = []

    def endless(page: int, size: int) -> list[Any]:
        asked.append(page)
        return [flow(page * size + number) for number in range(size)]

    with pytest.raises(UnreadableAnswer) as caught:
        serve(wire.list_flows(limit=limit), endless)
    assert str(caught.value) == (
        "the answer to GET /flows still goes on after 7 pages with 700 entries; narrow it, or limit it"
    )
    assert asked == list(range(7))


@pytest.mark.parametrize(
    "entry", [{"displayName": "no id"}, None, "f2", [], {"id": None}, {"id": ""}, {"id": {"x": 1}}]
)
def test_an_entry_without_an_id_makes_a_list_unreadable_rather_than_shorter(entry: Any) -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        drive(wire.list_flows(), reply([flow(1), entry]))
    assert str(caught.value) == "the answer to GET /flows has an entry without an 'id'"


@pytest.mark.parametrize("entry", [{"id": "e1"}, {"id": "e1", "status": None}, {"id": "e1", "status": " "}])
def test_an_execution_without_a_status_is_listed_as_such_beside_the_others(entry: Any) -> None:
    first, second = drive(wire.find_executions(), reply([entry, execution_of(id="e2")])).result
    assert (first.id, first.status, first.phase) == ("e1", "no status", RunPhase.UNKNOWN)
    assert second.id == "e2"


def test_a_flows_id_is_taken_without_a_call() -> None:
    with pytest.raises(StopIteration) as stop:
        next(wire.find_flow(FLOW_ID))
    assert stop.value.value == wire.Reference(id=FLOW_ID)


def test_a_flow_is_found_by_its_exact_name() -> None:
    flows = reply([flow(1, "Letter"), flow(2, "letter"), flow(3, "Letter 2")])
    assert drive(wire.find_flow("Letter"), flows).result == wire.Reference(id="f1", name="Letter")


def test_a_flow_is_found_by_an_id_that_is_no_guid() -> None:
    assert drive(wire.find_flow("f2"), reply([flow(1), flow(2)])).result.name == "Flow 2"


def test_a_name_of_several_flows_is_refused_with_their_ids() -> None:
    flows = reply([flow(1, "Letter"), flow(2, "Letter"), flow(3, "Offer")])
    with pytest.raises(FlowAmbiguous) as caught:
        drive(wire.find_flow("Letter"), flows)
    assert str(caught.value) == "2 flows are named 'Letter': f1, f2. Name the flow by its id."


@pytest.mark.parametrize(
    ("names", "wanted", "hint"),
    [
        (
            ["Letter", "Offer letter", "Invoice"],
            "letter",
            "Flows that the key can see: 'Letter', 'Offer letter'.",
        ),
        (["Offer", "Invoice"], "Letter", "Flows that the key can see: 'Invoice', 'Offer'."),
        ([], "Letter", "The key sees no flow at all."),
        (
            [f"Flow {letter}" for letter in "abcdefghijklm"],
            "Letter",
            "Flows that the key can see: "
            + ", ".join(f"'Flow {letter}'" for letter in "abcdefghij")
            + " and 3 more.",
        ),
    ],
)
def test_a_name_of_no_flow_is_refused_with_the_names_there_are(
    names: list[str], wanted: str, hint: str
) -> None:
    with pytest.raises(FlowNotFound) as caught:
        drive(wire.find_flow(wanted), reply([flow(number, name) for number, name in enumerate(names)]))
    assert str(caught.value) == f"no flow is named {wanted!r}. {hint}"


def test_an_empty_name_means_no_flow_even_where_flows_have_no_names() -> None:
    with pytest.raises(FlowNotFound) as caught:
        drive(wire.find_flow(""), reply([{"id": "f1"}, flow(2, "Letter")]))
    assert str(caught.value) == "no flow is named ''. Flows that the key can see: 'Letter'."


def test_an_error_on_any_page_ends_the_listing() -> None:
    first = reply([flow(number) for number in range(100)])
    with pytest.raises(UnreadableAnswer):
        drive(wire.list_flows(), first, Reply(body=b"<html>"))
