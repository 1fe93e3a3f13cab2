"""The stand-in for PhixFlow, called as any program would call it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import pytest
import requests

from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.phixflow_profiles import PROFILES, PhixFlowProfile
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.transport.blocking import BlockingClient
from smartflows_provider.transport.settings import ClientSettings
from smartflows_provider.wire import phixflow as wire
from smartflows_provider.wire.errors import NotFound
from smartflows_provider.wire.messages import Exchange
from smartflows_provider.wire.phixflow_answers import failed_records, result_of
from smartflows_provider.wire.phixflow_paths import API_PREFIX, endpoint_path
from smartflows_provider.wire.run import RunPhase

T = TypeVar("T")


class Caller:
    """Calls endpoints with the present key in the profile's form."""

    def __init__(self, server: DevServer) -> None:
        self.server = server
        self.section = server.section(PhixFlowSection)

    def headers(self) -> dict[str, str]:
        connection = self.section.connection(host="http://x", port=1)
        extra = connection["extra"]
        return {extra["key_header"]: extra["key_value"].format(key=connection["password"])}

    def call(self, path: str, method: str = "POST", **options: Any) -> requests.Response:
        options.setdefault("headers", self.headers())
        url = f"{self.server.url}/phixflow/api/1{path}"
        return requests.request(method, url, timeout=20, **options)

    def carry(self, exchange: Exchange[T]) -> T:
        settings = ClientSettings(
            base_url=self.server.url, api_prefix=API_PREFIX, auth_headers=self.headers()
        )
        with BlockingClient(settings) as client:
            return client.run(exchange)


@pytest.fixture
def caller(smart_flows_server: DevServer) -> Caller:
    return Caller(smart_flows_server)


def test_the_named_profiles_take_every_choice_at_least_once() -> None:
    for name, hint in get_type_hints(PhixFlowProfile).items():
        assert get_origin(hint) is Literal
        assert {getattr(profile, name) for profile in PROFILES.values()} == set(get_args(hint)), name


def test_wait_mode_answers_at_the_end_with_the_returned_data(caller: Caller) -> None:
    answer = caller.call("/action/MyApp/My%20API/trigger")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "Success", "message": "", "Out": {"rows": 3}},
    )


def test_poll_mode_answers_at_once_and_tells_the_status(caller: Caller) -> None:
    caller.section.add_endpoint(actionflow="Slow", mode="poll", seconds=60, message="Done", result=[1])
    process_id = caller.call("/action/MyApp/Slow/trigger").json()["processId"]
    look = f"/action/{process_id}/status"
    assert caller.call(look, "GET").json() == {"status": "Running"}
    assert caller.section.status_of(str(process_id)) == "Running"
    caller.server.advance(60)
    assert caller.call(look, "GET").json() == {"status": "Success", "message": "Done", "Out": [1]}
    assert caller.section.looks == [str(process_id)] * 2


@pytest.mark.parametrize("path", ["/action/Orders/trigger", "/action/in/orders/trigger"])
def test_version_10_addresses_and_aliases_lead_to_the_endpoint(caller: Caller, path: str) -> None:
    caller.section.add_endpoint(actionflow="Orders", alias="in/orders")
    assert caller.call(path).json()["status"] == "Success"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/action/MyApp/Other/trigger", "No actionflows are at 'MyApp/Other'."),
        ("/action/Orders/trigger", "2 actionflows are at 'Orders'."),
        ("/action/a%2Fb/trigger", "No actionflows are at 'a/b'."),
        ("/action/trigger", "There is no such address."),
        ("/action/99/status", "There is no process '99'."),
    ],
)
def test_an_address_without_one_endpoint_is_not_found(caller: Caller, path: str, message: str) -> None:
    caller.section.add_endpoint(application="A", actionflow="Orders")
    caller.section.add_endpoint(application="B", actionflow="Orders")
    answer = caller.call(path)
    assert (answer.status_code, answer.json()) == (404, {"message": message})


def test_only_the_present_key_is_let_in(caller: Caller) -> None:
    path, old = "/action/MyApp/My%20API/trigger", caller.headers()
    caller.section.rotate("new-key")
    for headers in ({}, old, {"Authorization": "new-key"}, {"X-API-Key": "new-key"}):
        answer = caller.call(path, headers=headers)
        assert (answer.status_code, answer.json()["message"]) == (
            401,
            "The API key is missing or not valid.",
        )
    assert caller.section.started == 0
    assert caller.call(path).ok
    process_id = caller.call("/action/MyApp/Nightly/trigger").json()["processId"]
    assert caller.call(f"/action/{process_id}/status", "GET", headers=old).status_code == 401


def test_an_anonymous_endpoint_needs_no_key(caller: Caller) -> None:
    caller.section.add_endpoint(actionflow="Open", anonymous=True)
    assert caller.call("/action/MyApp/Open/trigger", headers={}).ok


def test_an_endpoint_takes_its_method_only(caller: Caller) -> None:
    caller.section.add_endpoint(actionflow="Read", method="GET")
    refused = caller.call("/action/MyApp/Read/trigger")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET")
    assert caller.call("/action/MyApp/Read/trigger", "GET").ok


def test_a_call_is_kept_without_the_key(caller: Caller) -> None:
    headers = {**caller.headers(), "X-Trace": "7"}
    caller.call("/action/MyApp/My%20API/trigger?Name=%C3%9C", headers=headers, data=b"free")
    (call,) = caller.section.calls
    assert (call.application, call.actionflow, call.method) == ("MyApp", "My API", "POST")
    assert (call.query, call.body, call.headers["x-trace"]) == ({"Name": "Ü"}, b"free", "7")
    assert "authorization" not in call.headers
    assert caller.section.key not in repr(call)


def test_a_run_that_takes_too_long_is_aborted_by_the_server(caller: Caller) -> None:
    caller.section.add_endpoint(actionflow="Long", seconds=30, limit_seconds=0.1)
    answer = caller.call("/action/MyApp/Long/trigger")
    assert answer.json() == {"status": "Fail", "message": "Aborted by the server after 0.1 s"}
    caller.section.add_endpoint(actionflow="Long", seconds=0.2, limit_seconds=0.1)
    assert caller.call("/action/MyApp/Long/trigger?timeout=60000").json()["status"] == "Success"
    answer = caller.call("/action/MyApp/Long/trigger?timeout=50")
    assert answer.json()["message"] == "Aborted by the server after 0.05 s"


@pytest.mark.parametrize("timeout", ["", "0", "-1", "soon", "1.5", "9" * 20])
def test_a_time_limit_that_is_no_number_is_refused(caller: Caller, timeout: str) -> None:
    answer = caller.call(f"/action/MyApp/My%20API/trigger?timeout={timeout}")
    assert (answer.status_code, answer.json()) == (
        400,
        {"message": "'timeout' must be a number of milliseconds."},
    )


def test_a_held_call_ends_when_its_run_is_ended_from_a_test(caller: Caller) -> None:
    caller.section.add_endpoint(actionflow="Held", seconds=600, limit_seconds=900)
    for number, end in enumerate((caller.section.finish, caller.section.fail), 1):
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(caller.call, "/action/MyApp/Held/trigger")
            while caller.section.started < number:
                time.sleep(0.01)
            end(caller.section.calls[-1].process_id, message="by hand")
            status = "Success" if end == caller.section.finish else "Fail"
            assert answer.result(20).json() == {"status": status, "message": "by hand"}


@pytest.mark.parametrize("gone", [404, 410])
def test_a_run_that_was_cleaned_up_is_gone(caller: Caller, gone: int) -> None:
    caller.section.configure(gone=gone)
    process_id = str(caller.call("/action/MyApp/Nightly/trigger").json()["processId"])
    caller.section.forget(process_id)
    answer = caller.call(f"/action/{process_id}/status", "GET")
    assert (answer.status_code, answer.json()) == (gone, {"message": f"There is no process {process_id!r}."})


def test_the_author_chooses_body_content_type_and_codes(caller: Caller) -> None:
    add = caller.section.add_endpoint
    add(actionflow="Csv", body="id\n1\n", content_type="text/csv", status_code=203)
    answer = caller.call("/action/MyApp/Csv/trigger")
    assert (answer.status_code, answer.text) == (203, "id\n1\n")
    assert answer.headers["Content-Type"].startswith("text/csv")
    add(actionflow="Csv", outcome="Fail", message="No", content_type="text/plain", failure_code=418)
    answer = caller.call("/action/MyApp/Csv/trigger")
    assert (answer.status_code, answer.text) == (418, "Fail: No")


def test_a_choice_that_there_is_not_is_refused(caller: Caller) -> None:
    with pytest.raises(ValueError, match=r"^words is 'loud', but can be documented, other$"):
        caller.section.configure(words="loud")
    with pytest.raises(ValueError, match=r"^a profile has no 'volume'; it has key_header, "):
        caller.section.configure(volume=11)
    with pytest.raises(ValueError, match=r"^mode is 'later', but can be wait, poll$"):
        caller.section.add_endpoint(actionflow="X", mode="later")
    with pytest.raises(ValueError, match=r"^outcome is 'Maybe', but can be Success, Fail$"):
        caller.section.add_endpoint(actionflow="X", outcome="Maybe")


@pytest.mark.parametrize("name", PROFILES)
def test_the_wire_module_understands_every_profile(caller: Caller, name: str) -> None:
    section = caller.section
    section.profile = PROFILES[name]
    records = [{"id": 1, "status": section.profile.success_word}, {"id": 2, "status": "Skipped"}]
    section.add_endpoint(actionflow="Job", mode="poll", result=[1], records=records)
    section.add_endpoint(actionflow="Bad", mode="poll", outcome="Fail", message="No stock")
    section.add_endpoint(actionflow="Bad now", outcome="Fail", message="No stock")
    section.add_endpoint(actionflow="Slow", mode="poll", seconds=600)
    is_json = section.profile.body_form == "json"
    choices = {"output_name": "Out", "records_field": "records", "on_partial_failure": "warn"}

    def start(actionflow: str) -> str:
        path = endpoint_path(application="MyApp", actionflow=actionflow)
        terms = section.terms(actionflow=actionflow)
        return caller.carry(wire.trigger_and_poll(wire.Trigger(path=path), terms=terms)).execution_id

    terms = section.terms(actionflow="Job", **(choices if is_json else {}))
    execution = caller.carry(wire.get_execution(start("Job"), terms=terms))
    assert execution.status == section.profile.success_word
    assert execution.phase is (RunPhase.WARNED if is_json else RunPhase.SUCCEEDED)
    if is_json:
        assert result_of(execution.raw["body"], terms) == [1]
        assert [record.id for record in failed_records(execution.raw["body"], terms)] == ["2"]

    bad = section.terms(actionflow="Bad")
    failed = caller.carry(wire.look(start("Bad"), terms=bad))
    assert (failed.status, failed.phase) == (section.profile.failure_word, RunPhase.FAILED)
    assert failed.message.endswith("No stock")
    path = endpoint_path(application="MyApp", actionflow="Bad now")
    call = wire.trigger_and_wait(wire.Trigger(path=path), terms=section.terms())
    assert caller.carry(call).phase is RunPhase.FAILED

    slow = section.terms(actionflow="Slow")
    process_id = start("Slow")
    assert caller.carry(wire.look(process_id, terms=slow)).phase is RunPhase.ACTIVE
    section.forget(process_id)
    with pytest.raises(NotFound):
        caller.carry(wire.look(process_id, terms=slow))
