"""Trouble on demand, on real sockets."""

from __future__ import annotations

import errno
import math
import time

import pytest
import requests
from devserver_calling import Caller, panel_flow

from smartflows_provider.devserver.faults import Fault, FaultBox, fault_from_json
from smartflows_provider.devserver.keys import Role

START = r"/flows/executions$"


def test_a_reset_before_taking_leaves_no_execution(caller: Caller) -> None:
    flow = panel_flow(caller.server)
    caller.server.inject(Fault(action="reset", method="POST", path=START))
    with pytest.raises(requests.ConnectionError) as error:
        caller.start(flow)
    assert _errno(error.value) == errno.ECONNRESET
    assert caller.server.executions() == []
    assert caller.start(flow).ok


def test_a_reset_after_taking_leaves_the_execution(caller: Caller) -> None:
    flow = panel_flow(caller.server)
    caller.server.inject(Fault(action="reset", method="POST", path=START, taken=True))
    with pytest.raises(requests.ConnectionError) as error:
        caller.start(flow)
    assert _errno(error.value) == errno.ECONNRESET
    assert [entry["status"] for entry in caller.server.executions()] == ["Success"]
    assert caller.server.requests[-1].status is None


def test_a_status_comes_with_headers_and_body(caller: Caller) -> None:
    caller.server.inject(
        Fault(action="status", status=429, headers={"Retry-After": "7"}, body="slow down", path="/users/me")
    )
    answer = caller.get("/users/me")
    assert (answer.status_code, answer.headers["Retry-After"], answer.text) == (429, "7", "slow down")
    assert caller.get("/users/me").status_code == 200


def test_a_gateway_error_may_come_although_the_request_was_taken(caller: Caller) -> None:
    flow = panel_flow(caller.server)
    caller.server.inject(Fault(action="status", status=502, method="POST", taken=True))
    assert caller.start(flow).status_code == 502
    assert len(caller.server.executions()) == 1


@pytest.mark.parametrize("taken", [False, True])
def test_a_delay_holds_the_answer_back(caller: Caller, taken: bool) -> None:
    caller.server.inject(Fault(action="delay", seconds=0.3, taken=taken))
    began = time.monotonic()
    assert caller.get("/users/me").json()["role"] == "super user"
    assert time.monotonic() - began >= 0.3


def test_a_sign_in_page_comes_with_200(caller: Caller) -> None:
    caller.server.inject(Fault(action="html"))
    answer = caller.get("/users/me")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "Sign in" in answer.text


def test_truncated_json_looks_complete_and_is_not(caller: Caller) -> None:
    whole = caller.get("/users/me").text
    caller.server.inject(Fault(action="truncated"))
    answer = caller.get("/users/me")
    assert answer.status_code == 200
    assert answer.text == whole[: len(whole) // 2]


def test_a_redirect_names_its_target(caller: Caller) -> None:
    caller.server.inject(Fault(action="redirect", location="http://elsewhere.example/"))
    caller.server.inject(Fault(action="redirect", status=308, location="/login"))
    answers = [caller.get("/users/me") for _ in range(2)]
    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [
        (302, "http://elsewhere.example/"),
        (308, "/login"),
    ]


def test_a_document_can_be_cut_slowed_and_oversized(caller: Caller) -> None:
    flow = panel_flow(
        caller.server,
        {"id": "page", "kind": "document", "template": "p.html.j2", "format": "html"},
        templates={"p.html.j2": "0123456789" * 100},
    )
    document = caller.progress(caller.started(flow))["model"]["page"]["id"]
    path = f"/documents/{document}/content"
    caller.server.inject(Fault(action="cut", path="/content$", size=300))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="300 bytes read, 700 more expected"):
        caller.get(path)
    caller.server.inject(Fault(action="slow", path="/content$", size=250, seconds=0.1))
    began = time.monotonic()
    assert len(caller.get(path).content) == 1000
    assert time.monotonic() - began >= 0.3
    caller.server.inject(Fault(action="oversized", path="/content$", size=3_000_000))
    assert len(caller.get(path).content) == 3_000_000


def test_a_fault_meets_the_calls_it_names_and_no_others(caller: Caller) -> None:
    caller.server.inject(Fault(action="status", method="GET", path="/users", after=1, count=2))
    statuses = [caller.get(path).status_code for path in ("/flows", *["/users/me"] * 4)]
    assert statuses == [200, 200, 503, 503, 200]


def test_a_fault_without_count_stays_until_it_is_cleared(caller: Caller) -> None:
    caller.server.inject(Fault(action="status", count=None))
    assert [caller.get("/users/me").status_code for _ in range(3)] == [503] * 3
    caller.server.clear_faults()
    assert caller.get("/users/me").status_code == 200


def test_faults_are_met_one_at_a_time_in_order() -> None:
    box = FaultBox()
    for status in (500, 501):
        box.add(Fault(action="status", status=status))
    met = [box.meet("GET", "/x") for _ in range(3)]
    assert [fault.status if fault else None for fault in met] == [500, 501, None]
    assert box.active() == []


def test_faults_can_be_switched_over_http_with_the_key(caller: Caller) -> None:
    url = f"{caller.server.url}/__devserver__/faults"
    fault = {"action": "status", "status": 500, "path": "/users"}
    assert requests.post(url, json=fault, timeout=10).status_code == 401
    assert caller.session.post(url, json=fault).status_code == 201
    assert [entry["status"] for entry in caller.session.get(url).json()] == [500]
    assert caller.get("/users/me").status_code == 500
    caller.session.post(url, json={**fault, "count": None})
    assert caller.session.delete(url).status_code == 204
    assert caller.get("/users/me").status_code == 200
    wrong = caller.session.post(url, json={"action": "explode"})
    assert wrong.status_code == 400
    assert wrong.json()["message"].startswith("action is 'explode', but can be delay, status, reset")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "a fault is an object with 'action'"),
        ({"action": "reset", "when": "now"}, "a fault is an object with 'action'"),
        ({"action": "reset", "path": "("}, "missing \\), unterminated subpattern"),
        ({"action": ["reset"]}, r"action is \['reset'\], but can be delay"),
        ({"action": "reset", "method": 5}, "method is 5, but must be a text"),
        ({"action": "reset", "path": None}, "path is None, but must be a text"),
        ({"action": "delay", "seconds": "x"}, "seconds is 'x', but must be a number from 0 to 86400"),
        ({"action": "delay", "seconds": 1e308}, r"seconds is 1e\+308, but must be a number from 0 to 86400"),
        ({"action": "delay", "seconds": math.nan}, "seconds is nan, but must be a number from 0 to 86400"),
        ({"action": "status", "status": 9999}, "status is 9999, but must be a whole number from 200 to 599"),
        ({"action": "status", "status": 101}, "status is 101, but must be a whole number from 200 to 599"),
        ({"action": "status", "status": 204, "body": "x"}, "an answer with the status 204 has no body"),
        ({"action": "cut", "size": -1}, "size is -1, but must be a whole number from 0 to 1073741824"),
        ({"action": "slow", "size": 0}, "size is 0, but 'slow' needs pieces of at least 1 byte"),
        ({"action": "cut", "size": 1.5}, "size is 1.5, but must be a whole number"),
        ({"action": "cut", "after": True}, "after is True, but must be a whole number"),
        ({"action": "cut", "count": -1}, "count is -1, but must be a whole number"),
        ({"action": "cut", "taken": "no"}, "taken is 'no', but must be true or false"),
        ({"action": "status", "body": {}}, "body is {}, but must be a text"),
        ({"action": "status", "headers": ["a"]}, r"headers is \['a'\], but must be a mapping of texts"),
        ({"action": "status", "headers": {"a": 1}}, "headers is {'a': 1}, but must be a mapping of texts"),
        ({"action": "status", "headers": {"a": "b\r\nc: d"}}, r"the header 'a' cannot be sent: Illegal"),
        ({"action": "status", "headers": {"a b": "c"}}, r"the header 'a b' cannot be sent: Illegal"),
        ({"action": "status", "headers": {"a": "\u20ac"}}, r"the header 'a' cannot be sent: 'latin-1' codec"),
        ({"action": "redirect", "location": "/a\r\nb: c"}, "the header 'location' cannot be sent: Illegal"),
    ],
)
def test_a_fault_that_cannot_be_understood_is_refused(raw: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fault_from_json(raw)


def test_what_is_wrong_with_a_fault_is_answered_with_400(caller: Caller) -> None:
    url = f"{caller.server.url}/__devserver__/faults"
    for more, message in (
        ({"status": 9999}, "status is 9999, but must be a whole number from 200 to 599"),
        (
            {"headers": {"a": "b\r\nc: d"}},
            "the header 'a' cannot be sent: Illegal header value b'b\\r\\nc: d'",
        ),
    ):
        answer = caller.session.post(url, json={"action": "status", **more})
        assert (answer.status_code, answer.json()["message"]) == (400, message)
    huge = caller.session.post(url, data=b'{"action": "delay", "seconds": 1e999}')
    assert (huge.status_code, huge.json()["message"]) == (
        400,
        "The body cannot be used: seconds is inf (float), which JSON cannot hold.",
    )
    assert caller.session.get(url).json() == []


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_can_be_answered(caller: Caller, status: int) -> None:
    caller.server.inject(Fault(action="status", status=status))
    assert caller.get("/users/me").status_code == status
    assert caller.get("/users/me").status_code == 200


@pytest.mark.parametrize("role", ["user", "reader"])
def test_only_a_super_users_key_may_see_and_switch_faults(caller: Caller, role: Role) -> None:
    caller.server.add_key("other", role)
    caller.server.inject(Fault(action="status", count=None))
    url = f"{caller.server.url}/__devserver__/faults"
    for method in ("GET", "POST", "DELETE"):
        answer = requests.request(
            method, url, json={"action": "reset"}, headers={"X-API-Key": "other"}, timeout=10
        )
        assert answer.status_code == 403
        assert answer.json()["message"] == f"The role '{role}' may not switch faults; a super user may."
    assert caller.get("/users/me").status_code == 503


def test_requests_are_recorded_with_headers_and_sizes(caller: Caller) -> None:
    before = time.time()
    caller.call("POST", "/flows/executions/filter", data=b"{}", params={"page": 0})
    seen = caller.server.requests[-1]
    assert (seen.method, seen.path, seen.query) == ("POST", "/api/v1/flows/executions/filter", "page=0")
    assert (seen.body_size, seen.status) == (2, 400)
    assert seen.headers["x-api-key"] == caller.server.api_key
    assert before - 1 <= seen.at <= time.time() + 1
    assert caller.server.api_key not in repr(seen)
    caller.server.clear_requests()
    assert caller.server.requests == []


def _errno(error: BaseException | None) -> int | None:
    """Return the operating system's number of what caused an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        arguments = [entry for entry in error.args if isinstance(entry, BaseException)]
        error = arguments[-1] if arguments else error.__cause__ or error.__context__
    return None
