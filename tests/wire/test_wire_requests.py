"""What each call asks for: method, path, query, headers, body, and whether it may be doubled."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from wire_driving import FLOW_ID, ID, Reply, drive, execution_of, progress_of, reply

from smartflows_provider.wire import smart_flows as wire
from smartflows_provider.wire.messages import Request, segment

XML = b"<Order/>"
QUEUED = reply(progress_of("Queued"))


def only_request(exchange: Any, answer: Reply) -> Request:
    return drive(exchange, answer).request


def test_an_attended_start_posts_to_executions_with_the_flow_in_the_query() -> None:
    request = only_request(wire.start(flow_id=FLOW_ID, body=XML, content_type=wire.XML_TYPE), QUEUED)
    assert request == Request(
        method="POST",
        path="/flows/executions",
        query=(("flowId", FLOW_ID),),
        headers=(("Content-Type", 'application/xml; charset="utf-8"'),),
        body=XML,
        repeatable=False,
    )


def test_a_start_from_the_panel_has_no_body_and_no_content_type() -> None:
    request = only_request(wire.start(flow_id=FLOW_ID), QUEUED)
    assert (request.headers, request.body) == ((), None)


def test_a_start_without_a_flow_has_no_query() -> None:
    assert only_request(wire.start(), reply(progress_of("SelectFlow"))).query == ()


def test_a_start_from_a_plugin_names_its_data_set() -> None:
    exchange = wire.start(
        flow_id=FLOW_ID, dataset_id="d1", body=b'{"id": ["r1"]}', content_type=wire.JSON_TYPE
    )
    request = only_request(exchange, QUEUED)
    assert request.query == (("flowId", FLOW_ID), ("datasetId", "d1"))
    assert request.headers == (("Content-Type", 'application/json; charset="utf-8"'),)


def test_a_file_is_passed_on_as_a_path(tmp_path: Path) -> None:
    file = tmp_path / "order.xml"
    request = only_request(wire.start(flow_id=FLOW_ID, body=file, content_type=wire.XML_TYPE), QUEUED)
    assert request.body == file


@pytest.mark.parametrize(
    "exchange",
    [
        wire.start(flow_id=FLOW_ID, body=XML),
        wire.start_unattended(flow=FLOW_ID, body=XML),
        wire.start_flow(FLOW_ID, body=XML),
    ],
    ids=["start", "start_unattended", "start_flow"],
)
def test_a_body_without_its_content_type_is_a_mistake(exchange: Any) -> None:
    with pytest.raises(ValueError, match=r"^a body needs a content_type$"):
        next(exchange)


def test_an_unattended_start_posts_to_start() -> None:
    exchange = wire.start_unattended(flow="Letter", body=XML, content_type=wire.XML_TYPE)
    assert only_request(exchange, reply(execution_of("Queued"))) == Request(
        method="POST",
        path="/flows/executions/start",
        query=(("flow", "Letter"),),
        headers=(("Content-Type", wire.XML_TYPE),),
        body=XML,
        repeatable=False,
    )


def test_a_flow_given_by_id_is_started_without_a_look_up() -> None:
    driven = drive(wire.start_flow(FLOW_ID.upper()), QUEUED)
    assert driven.request.query == (("flowId", FLOW_ID.upper()),)


@pytest.mark.parametrize("unattended", [False, True])
def test_a_flow_given_by_name_is_looked_up_first(unattended: bool) -> None:
    started = reply(execution_of("Queued")) if unattended else QUEUED
    flows = reply([{"id": FLOW_ID, "displayName": "Letter", "type": "flow"}])
    driven = drive(wire.start_flow("Letter", unattended=unattended), flows, started)
    look_up, start = driven.requests
    assert look_up.label == "GET /flows"
    assert start.query == (("flow" if unattended else "flowId", FLOW_ID),)
    assert (driven.result.execution_id, driven.result.status) == (ID, "Queued")


@pytest.mark.parametrize("wrong", [{"flow": None}, {"flow": "Letter", "dataset_id": "d"}])
def test_an_unattended_start_needs_a_flow_and_no_data_set(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^an unattended start needs a flow and takes no dataset_id$"):
        next(wire.start_flow(wrong.pop("flow"), unattended=True, **wrong))


@pytest.mark.parametrize(
    ("hold_seconds", "sent"), [(0.2, "1"), (0.5, "1"), (1.0, "1"), (1.2, "2"), (30.0, "30")]
)
def test_a_held_progress_call_asks_in_whole_seconds_of_at_least_one(hold_seconds: float, sent: str) -> None:
    request = only_request(wire.progress(ID, hold_seconds=hold_seconds), reply(progress_of("Running")))
    assert request.path == f"/flows/executions/{ID}/progress"
    assert request.query == (("timeout", sent),)
    assert request.hold_seconds == float(sent)


def test_a_progress_call_without_hold_allows_for_the_services_own_thirty_seconds() -> None:
    request = only_request(wire.progress(ID), reply(progress_of("Running")))
    assert (request.method, request.query, request.hold_seconds) == ("GET", (), 30.0)
    assert request.repeatable


@pytest.mark.parametrize("status", [400, 422])
def test_a_rejected_hold_is_asked_again_without_it(status: int) -> None:
    driven = drive(
        wire.progress(ID, hold_seconds=10),
        reply({"message": "Unknown parameter"}, status=status),
        reply(progress_of("Running")),
    )
    assert [request.query for request in driven.requests] == [(("timeout", "10"),), ()]
    assert driven.result.hold_refused


def test_an_accepted_hold_is_not_reported_as_refused() -> None:
    assert not drive(wire.progress(ID, hold_seconds=10), reply(progress_of("Running"))).result.hold_refused
    assert not drive(wire.progress(ID), reply(progress_of("Running"))).result.hold_refused


def test_a_form_is_answered_with_its_keys_as_json() -> None:
    values = {"name": "Łukasz", "copies": 2, "urgent": True, "note": None}
    request = only_request(wire.answer_form(ID, values), QUEUED)
    assert request.label == f"POST /flows/executions/{ID}/progress"
    assert request.headers == (("Content-Type", wire.JSON_TYPE),)
    assert json.loads(request.body) == values  # type: ignore[arg-type]
    assert "Łukasz".encode() in request.body  # type: ignore[operator]
    assert not request.repeatable


def test_a_cancel_deletes_the_progress() -> None:
    driven = drive(wire.cancel(ID), reply(progress_of("Canceled")))
    assert driven.request.label == f"DELETE /flows/executions/{ID}/progress"
    assert driven.request.repeatable
    assert driven.result.status == "Canceled"


def test_a_cancel_without_an_answer_body_brings_none() -> None:
    assert drive(wire.cancel(ID), Reply(status=204)).result is None
    assert drive(wire.cancel(ID), Reply(body=b" \n")).result is None


@pytest.mark.parametrize("first", [404, 405])
def test_a_cancel_falls_back_on_the_execution_itself(first: int) -> None:
    driven = drive(wire.cancel(ID), Reply(status=first), Reply(status=204))
    assert [request.label for request in driven.requests] == [
        f"DELETE /flows/executions/{ID}/progress",
        f"DELETE /flows/executions/{ID}",
    ]


def test_an_execution_is_read_with_its_state() -> None:
    request = only_request(wire.get_execution(ID), reply(execution_of()))
    assert (request.label, request.query) == (f"GET /flows/executions/{ID}", ())


def test_outputs_are_read_all_or_one() -> None:
    everything = only_request(wire.get_outputs(ID), reply(execution_of("Success", outputs=[])))
    assert (everything.label, everything.query) == (f"GET /flows/executions/{ID}/status", ())
    one = only_request(wire.get_outputs(ID, output="Total & tax"), reply(execution_of("Success")))
    assert one.query == (("output", "Total & tax"),)


def test_executions_are_listed_by_page_size_and_sort() -> None:
    request = only_request(wire.find_executions(), reply([]))
    assert request.label == "GET /flows/executions"
    assert request.query == (("page", "0"), ("size", "100"), ("sort", "createdAt,desc"))


def test_a_flows_executions_have_their_own_address() -> None:
    request = only_request(wire.find_executions(flow=FLOW_ID, sort="status,asc", limit=5), reply([]))
    assert request.label == f"GET /flows/{FLOW_ID}/executions"
    assert request.query == (("page", "0"), ("size", "5"), ("sort", "status,asc"))


def test_a_filter_is_posted_as_one_node_with_paging_in_the_query() -> None:
    where = wire.all_of(
        wire.Condition(key="status", operator="in", values=["Running", "Queued"]),
        wire.Condition(key="createdAt", operator="greaterThan", values=["2024-05-02"]),
    )
    request = only_request(wire.find_executions(where=where), reply([]))
    assert request.label == "POST /flows/executions/filter"
    assert request.query == (("page", "0"), ("size", "100"), ("sort", "createdAt,desc"))
    assert json.loads(request.body) == {  # type: ignore[arg-type]
        "group": {
            "type": "and",
            "nodes": [
                {"condition": {"key": "status", "operator": "in", "values": ["Running", "Queued"]}},
                {
                    "condition": {
                        "key": "createdAt",
                        "operator": "greaterThan",
                        "values": ["2024-05-02"],
                    }
                },
            ],
        }
    }
    assert request.repeatable


def test_a_single_condition_is_a_node_by_itself() -> None:
    node = wire.all_of(wire.Condition(key="id", operator="isNull"))
    assert node == {"condition": {"key": "id", "operator": "isNull", "values": []}}


def test_a_flow_and_a_filter_together_are_a_mistake() -> None:
    where = wire.all_of(wire.Condition(key="status", operator="equalTo", values=["Running"]))
    with pytest.raises(ValueError, match=r"^executions are listed by flow or by filter, not by both"):
        next(wire.find_executions(flow=FLOW_ID, where=where))


def test_an_event_is_posted_with_its_text() -> None:
    request = only_request(wire.send_event("cb", execution_id=ID, text="signé"), Reply(status=204))
    assert request == Request(
        method="POST",
        path="/flows/callback/cb",
        query=(("executionId", ID),),
        headers=(("Content-Type", 'text/plain; charset="utf-8"'),),
        body="signé".encode(),
        repeatable=False,
    )


def test_an_event_needs_neither_text_nor_execution() -> None:
    request = only_request(wire.send_event("cb"), Reply(status=204))
    assert (request.query, request.headers, request.body) == ((), (), None)


@pytest.mark.parametrize(
    ("exchange", "answer", "label"),
    [
        (wire.get_flow(FLOW_ID), reply({"id": FLOW_ID}), f"GET /flows/{FLOW_ID}"),
        (wire.get_document("d1"), reply({"id": "d1"}), "GET /documents/d1"),
        (wire.current_user(), reply({"id": "u1"}), "GET /users/me"),
        (wire.public_settings(), reply({}), "GET /settings/public"),
        (wire.system_info(), reply({}), "GET /system/info"),
    ],
)
def test_each_read_has_its_address(exchange: Any, answer: Reply, label: str) -> None:
    request = only_request(exchange, answer)
    assert (request.label, request.query, request.body) == (label, (), None)
    assert request.repeatable


def test_a_documents_content_is_asked_for_in_any_type_and_unpacked() -> None:
    request = wire.document_content("d1")
    assert request.label == "GET /documents/d1/content"
    assert request.headers == (("Accept", "*/*"), ("Accept-Encoding", "identity"))


@pytest.mark.parametrize(
    ("hostile", "quoted"),
    [
        ("../users/me", "..%2Fusers%2Fme"),
        ("a/b", "a%2Fb"),
        ("a?b=c", "a%3Fb%3Dc"),
        ("%2e%2e", "%252e%252e"),
        ("a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"),
        ("#x;y", "%23x%3By"),
        ("Łódź", "%C5%81%C3%B3d%C5%BA"),
    ],
)
def test_an_id_stays_one_path_segment_in_every_call(hostile: str, quoted: str) -> None:
    assert segment(hostile) == quoted
    for exchange, path in [
        (wire.progress(hostile), f"/flows/executions/{quoted}/progress"),
        (wire.answer_form(hostile, {}), f"/flows/executions/{quoted}/progress"),
        (wire.cancel(hostile), f"/flows/executions/{quoted}/progress"),
        (wire.get_execution(hostile), f"/flows/executions/{quoted}"),
        (wire.get_outputs(hostile), f"/flows/executions/{quoted}/status"),
        (wire.find_executions(flow=hostile), f"/flows/{quoted}/executions"),
        (wire.send_event(hostile), f"/flows/callback/{quoted}"),
        (wire.get_flow(hostile), f"/flows/{quoted}"),
        (wire.get_document(hostile), f"/documents/{quoted}"),
    ]:
        assert next(exchange).path == path
    assert wire.document_content(hostile).path == f"/documents/{quoted}/content"


@pytest.mark.parametrize("useless", ["", ".", "..", "\ud800"], ids=ascii)
def test_an_id_that_no_quoting_protects_is_a_mistake(useless: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(useless))} is not a usable id$"):
        next(wire.get_execution(useless))


def test_neither_requests_nor_answers_show_bodies_or_headers_in_their_repr() -> None:
    request = Request(method="POST", path="/x", headers=(("A", "canary"),), body=b"canary")
    driven = drive(wire.system_info(), reply({}))
    assert "canary" not in repr(request)
    assert repr(driven.request).startswith("Request(method='GET', path='/system/info'")
