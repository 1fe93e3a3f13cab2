"""The proxy itself: what it cuts, holds and passes, seen by a plain HTTP client."""

from __future__ import annotations

import threading
import time

import pytest
import requests
from faults.tcp_proxy import ProxyLoop, TcpProxy, Trouble, http_answer


@pytest.fixture(scope="module")
def loop():
    with ProxyLoop() as running:
        yield running


@pytest.fixture
def proxy(loop, smart_flows_server):
    proxy = TcpProxy(loop, target=smart_flows_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def ask(proxy, smart_flows_server):
    session = requests.Session()
    session.trust_env = False

    def send(method="GET", path="/flows/executions", timeout=30):
        url = f"http://127.0.0.1:{proxy.port}/api/v1{path}"
        return session.request(
            method, url, headers={"X-API-Key": smart_flows_server.api_key}, timeout=timeout
        )

    return send


@pytest.fixture
def flow(smart_flows_server):
    return smart_flows_server.add_flow(name="Short", start_from="panel", steps=[{"kind": "work"}])


def start(ask, flow, **kwargs):
    return ask("POST", f"/flows/executions?flowId={flow.id}", **kwargs)


def test_without_trouble_it_is_not_noticed(ask):
    assert [ask().status_code for _ in range(3)] == [200, 200, 200]


def test_a_reset_before_the_request_leaves_the_service_without_it(proxy, ask, smart_flows_server):
    proxy.begin(Trouble(kind="reset", request="^POST", count=1))

    with pytest.raises(requests.ConnectionError):
        ask("POST")

    assert not smart_flows_server.requests
    assert ask().ok


def test_a_reset_after_the_answer_leaves_the_client_without_it(proxy, ask, flow, smart_flows_server):
    trouble = proxy.begin(Trouble(kind="reset", request="^POST", after=0))

    with pytest.raises(requests.ConnectionError):
        start(ask, flow)

    assert trouble.answered.is_set()
    assert len(smart_flows_server.executions()) == 1


def test_an_answer_is_cut_at_the_byte_that_was_chosen(proxy, ask):
    proxy.begin(Trouble(kind="reset", after=20))

    with pytest.raises(requests.ConnectionError, match=r"reset|aborted|broken"):
        ask()


def test_a_held_answer_comes_when_it_is_released(proxy, ask, flow, smart_flows_server):
    trouble = proxy.begin(Trouble(kind="hold", request="^POST"))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(start(ask, flow)))
    thread.start()

    assert trouble.answered.wait(10)
    assert not answers
    assert len(smart_flows_server.executions()) == 1
    trouble.release()
    thread.join(10)
    assert [answer.ok for answer in answers] == [True]


def test_a_black_hole_answers_nothing_and_lets_go_when_it_is_over(proxy, ask):
    trouble = proxy.begin(Trouble(kind="blackhole"))

    with pytest.raises(requests.ReadTimeout):
        ask(timeout=0.3)
    proxy.end(trouble)

    assert ask().ok


def test_a_delay_delays(proxy, ask):
    proxy.begin(Trouble(kind="delay", seconds=0.3, count=1))
    began = time.monotonic()

    assert ask().ok
    assert time.monotonic() - began >= 0.3


def test_the_proxy_answers_by_itself(proxy, ask, smart_flows_server):
    answer = http_answer("503 Service Unavailable", headers="Retry-After: 2\r\n", body="later")
    proxy.begin(Trouble(kind="answer", answer=answer, count=1))

    refused = ask()

    assert (refused.status_code, refused.headers["Retry-After"], refused.text) == (503, "2", "later")
    assert not smart_flows_server.requests
    assert ask().ok


def test_the_services_answer_is_replaced(proxy, ask, flow, smart_flows_server):
    proxy.begin(Trouble(kind="replace", request="^POST", answer=http_answer("502 Bad Gateway")))

    assert start(ask, flow).status_code == 502
    assert len(smart_flows_server.executions()) == 1


def test_all_connections_are_reset_at_once(proxy, ask):
    trouble = proxy.begin(Trouble(kind="hold", count=1))
    seen = []

    def call():
        try:
            ask()
        except requests.ConnectionError as error:
            seen.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert trouble.answered.wait(10)

    proxy.reset_all()
    thread.join(10)

    assert len(seen) == 1
