"""The REST client against literal answers: signing in, paths, "not yet", refusals, paging, log text."""

from __future__ import annotations

import pytest

from smartflows_provider.demo.rest import AirflowRest, RestError, log_line

URL = "http://127.0.0.1:8080"
RUN = f"{URL}/api/v2/dags/d/dagRuns/manual__2026-03-01T10%3A00%3A00%2B00%3A00"
RUN_ID = "manual__2026-03-01T10:00:00+00:00"


@pytest.fixture
def rest(requests_mock):
    requests_mock.post(f"{URL}/auth/token", json={"access_token": "t0ken"}, status_code=201)
    return AirflowRest(URL, user="admin", password="pw")


def test_it_signs_in_once_and_then_sends_the_token(rest, requests_mock):
    requests_mock.get(RUN, json={"state": "running"})

    rest.dag_run("d", RUN_ID)
    rest.dag_run("d", RUN_ID)

    assert [call.path for call in requests_mock.request_history].count("/auth/token") == 1
    assert requests_mock.request_history[0].json() == {"username": "admin", "password": "pw"}
    assert requests_mock.last_request.headers["Authorization"] == "Bearer t0ken"


def test_a_run_is_triggered_without_a_logical_date_and_its_id_is_returned(rest, requests_mock):
    requests_mock.post(f"{URL}/api/v2/dags/d/dagRuns", json={"dag_run_id": "r1"})

    assert rest.trigger("d", conf={"month": 2}) == "r1"
    assert requests_mock.last_request.json() == {"logical_date": None, "conf": {"month": 2}}


def test_the_runs_of_a_dag_are_listed(rest, requests_mock):
    requests_mock.get(f"{URL}/api/v2/dags/d/dagRuns", json={"dag_runs": [{"dag_run_id": "r1"}]})

    assert rest.dag_runs("d") == [{"dag_run_id": "r1"}]


def test_an_xcom_that_was_not_pushed_yet_is_none(rest, requests_mock):
    requests_mock.get(f"{RUN}/taskInstances/t/xcomEntries/execution_id", status_code=404, json={})

    assert rest.xcom("d", RUN_ID, "t", key="execution_id") is None


def test_an_xcom_is_returned_as_json_value(rest, requests_mock):
    requests_mock.get(f"{RUN}/taskInstances/t/xcomEntries/return_value", json={"value": {"a": [1]}})

    assert rest.xcom("d", RUN_ID, "t", map_index=3) == {"a": [1]}
    assert requests_mock.last_request.qs == {"map_index": ["3"]}


def test_a_mapped_task_instance_has_its_place_in_the_path(rest, requests_mock):
    requests_mock.get(f"{RUN}/taskInstances/t/2", json={"state": "success"})

    assert rest.task_instance("d", RUN_ID, "t", map_index=2) == {"state": "success"}


def test_a_task_is_marked_as_in_the_ui(rest, requests_mock):
    requests_mock.patch(f"{RUN}/taskInstances/t", json={})

    rest.mark("d", RUN_ID, "t", state="failed")

    assert requests_mock.last_request.json() == {"new_state": "failed"}


def test_tasks_are_cleared_for_real_and_not_as_a_rehearsal(rest, requests_mock):
    requests_mock.post(f"{URL}/api/v2/dags/d/clearTaskInstances", json={"task_instances": [{"task_id": "t"}]})

    assert rest.clear("d", RUN_ID, task_ids=["t"]) == [{"task_id": "t"}]
    assert requests_mock.last_request.json() == {
        "dry_run": False,
        "dag_run_id": RUN_ID,
        "task_ids": ["t"],
        "only_failed": False,
        "reset_dag_runs": True,
    }


def test_a_refusal_names_the_call_the_code_and_the_answer(rest, requests_mock):
    requests_mock.get(RUN, status_code=403, text="Forbidden for you")

    with pytest.raises(RestError, match=r"GET /api/v2/dags/d/dagRuns/.* answered 403: Forbidden for you"):
        rest.dag_run("d", RUN_ID)


def test_the_event_log_is_read_to_its_last_page(rest, requests_mock):
    pages = [
        {"event_logs": [{"event": "running"}] * 100, "total_entries": 101},
        {"event_logs": [{"event": "success"}], "total_entries": 101},
    ]
    requests_mock.get(f"{URL}/api/v2/eventLogs", [{"json": page} for page in pages])

    events = rest.event_log("d", RUN_ID)

    assert len(events) == 101
    assert events[-1] == {"event": "success"}
    assert requests_mock.last_request.qs["offset"] == ["100"]


def test_a_server_that_does_not_answer_is_not_up():
    assert AirflowRest("http://127.0.0.1:9", user="admin", password="pw").is_up() is False


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain", "plain"),
        ({"timestamp": "T", "level": "info", "event": "Started"}, "T info Started"),
        ({"event": {"a": 1}}, '{"a": 1}'),
        (
            {"level": "error", "event": "Failed", "error_detail": [{"exc_type": "E", "exc_value": "why"}]},
            "error Failed\n    E: why",
        ),
    ],
)
def test_a_log_message_becomes_text_with_its_exceptions(message, text):
    assert log_line(message) == text
