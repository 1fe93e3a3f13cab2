"""Each reading of what the vendor leaves open."""

from __future__ import annotations

import dataclasses
import time
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from devserver_calling import Caller, panel_flow

from smartflows_provider.devserver.profiles import PROFILES, Profile, read_profile


def test_the_named_profiles_take_every_choice_at_least_once() -> None:
    for name, hint in get_type_hints(Profile).items():
        if get_origin(hint) is Literal:
            taken = {getattr(profile, name) for profile in PROFILES.values()}
            assert taken == set(get_args(hint)), name


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_start_answers_with_the_profiles_status(caller: Caller, status: int) -> None:
    caller.server.configure(create_status=status)
    flow = panel_flow(caller.server)
    assert caller.start(flow).status_code == status
    unattended = caller.call("POST", "/flows/executions/start", params={"flow": flow})
    assert unattended.status_code == status


def test_lists_come_as_arrays_or_page_objects(caller: Caller) -> None:
    for name in "abc":
        panel_flow(caller.server, name=name)
    assert len(caller.get("/flows", size=2).json()) == 2
    caller.server.configure(lists="page")
    page = caller.get("/flows", size=3, page=1).json()
    assert [flow["displayName"] for flow in page.pop("content")] == ["c"]
    assert page == {
        "totalElements": 4,
        "totalPages": 2,
        "number": 1,
        "size": 3,
        "first": False,
        "last": True,
    }


def test_ignored_paging_shows_everything_on_every_page(caller: Caller) -> None:
    for name in "abc":
        panel_flow(caller.server, name=name)
    caller.server.configure(list_paging="ignored")
    assert len(caller.get("/flows", size=2, page=7).json()) == 4
    caller.server.configure(lists="page")
    assert caller.get("/flows", size=2).json()["last"] is True


@pytest.mark.parametrize(
    ("address", "progress", "execution"),
    [("progress", 200, 405), ("execution", 405, 200), ("both", 200, 200)],
)
def test_cancelling_works_at_the_profiles_address(
    caller: Caller, address: str, progress: int, execution: int
) -> None:
    caller.server.configure(cancel_address=address)
    started = caller.started(panel_flow(caller.server, {"duration": 60}))
    assert caller.call("DELETE", f"/flows/executions/{started}/progress").status_code == progress
    assert caller.call("DELETE", f"/flows/executions/{started}").status_code == execution
    assert caller.progress(started)["status"] == "Canceled"


def test_a_cancellation_may_answer_with_nothing(caller: Caller) -> None:
    caller.server.configure(cancel_answer="empty")
    started = caller.started(panel_flow(caller.server, {"duration": 60}))
    answer = caller.call("DELETE", f"/flows/executions/{started}/progress")
    assert (answer.status_code, answer.content) == (204, b"")
    assert caller.progress(started)["status"] == "Canceled"


def test_an_ignored_timeout_is_answered_at_once(caller: Caller) -> None:
    caller.server.configure(hold="ignored")
    started = caller.started(panel_flow(caller.server, {"duration": 600}))
    began = time.monotonic()
    assert caller.progress(started, timeout=15)["status"] == "Running"
    assert time.monotonic() - began < 10


def test_a_rejected_timeout_is_400_and_none_is_answered_at_once(caller: Caller) -> None:
    caller.server.configure(hold="rejected")
    started = caller.started(panel_flow(caller.server, {"duration": 600}))
    refused = caller.get(f"/flows/executions/{started}/progress", timeout=15)
    assert (refused.status_code, refused.json()["message"]) == (400, "Unknown parameter 'timeout'.")
    assert caller.get(f"/flows/executions/{started}/progress").json()["status"] == "Running"


@pytest.mark.parametrize(
    ("form", "content_type", "body"),
    [
        ("json", "application/json", b'"message":"There is no execution \'nope\'."'),
        (
            "html",
            "text/html; charset=utf-8",
            b"<h1>Error 404</h1><p>There is no execution &#x27;nope&#x27;.</p>",
        ),
        ("text", "text/plain; charset=utf-8", b"There is no execution 'nope'."),
        ("empty", None, b""),
    ],
)
def test_errors_have_the_profiles_body(
    caller: Caller, form: str, content_type: str | None, body: bytes
) -> None:
    caller.server.configure(error_body=form)
    answer = caller.get("/flows/executions/nope")
    assert answer.status_code == 404
    assert answer.headers.get("Content-Type") == content_type
    assert body in answer.content
    assert bool(answer.content) is (form != "empty")


@pytest.mark.parametrize("status", [404, 410])
def test_what_was_cleaned_up_is_gone_with_its_documents(caller: Caller, status: int) -> None:
    caller.server.configure(purged=status)
    flow = panel_flow(
        caller.server,
        {"id": "page", "kind": "document", "template": "p.html.j2", "format": "html"},
        templates={"p.html.j2": "x"},
    )
    execution = caller.started(flow)
    document = caller.progress(execution)["model"]["page"]["id"]
    caller.server.expire(execution)
    for path in (
        f"/flows/executions/{execution}",
        f"/flows/executions/{execution}/progress",
        f"/flows/executions/{execution}/status",
        f"/documents/{document}",
        f"/documents/{document}/content",
    ):
        answer = caller.get(path)
        assert (answer.status_code, answer.json()["message"]) == (
            status,
            f"The execution '{execution}' was cleaned up.",
        )
    assert caller.get("/flows/executions").json() == []
    assert [entry["purged"] for entry in caller.server.executions()] == [True]


@pytest.mark.parametrize(
    ("spelling", "word"),
    [("wire", "UserInput"), ("manual", "User input"), ("lower", "userinput"), ("upper", "USERINPUT")],
)
def test_status_words_are_spelled_as_the_profile_says(caller: Caller, spelling: str, word: str) -> None:
    caller.server.configure(status_spelling=spelling)
    execution = caller.started(panel_flow(caller.server, {"kind": "form", "fields": [{"key": "x"}]}))
    assert caller.progress(execution)["status"] == word
    assert caller.execution(execution)["status"] == word
    assert caller.get("/flows/executions", filter=f"status:{word}").json()[0]["id"] == execution
    assert caller.server.executions()[0]["status"] == "UserInput"


def test_documents_come_with_a_length_or_in_chunks(caller: Caller) -> None:
    flow = panel_flow(
        caller.server,
        {"id": "page", "kind": "document", "template": "p.html.j2", "format": "html"},
        templates={"p.html.j2": "<p>long</p>" * 20_000},
    )
    document = caller.progress(caller.started(flow))["model"]["page"]["id"]
    whole = caller.get(f"/documents/{document}/content")
    assert int(whole.headers["Content-Length"]) == len(whole.content) == 220_000
    caller.server.configure(document_transfer="chunked")
    chunked = caller.get(f"/documents/{document}/content")
    assert chunked.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in chunked.headers
    assert chunked.content == whole.content


def test_settings_name_a_profile_and_change_it() -> None:
    profile = read_profile(["created_page_html", "create_status=202", "speed=2.5", "purged=404"])
    expected = dataclasses.replace(PROFILES["created_page_html"], create_status=202, speed=2.5, purged=404)
    assert profile == expected
    assert read_profile([]) == Profile()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("strange", "there is no profile 'strange'; there are default, "),
        ("colour=red", "a profile has no 'colour'; it has create_status, "),
        ("create_status=299", "create_status is 299, but can be 200, 201, 202"),
        ("lists=set", "lists is 'set', but can be array, page"),
        ("speed=0", "speed is 0.0, but must be a finite number above 0"),
        ("speed=nan", "speed is nan, but must be a finite number above 0"),
        ("speed=inf", "speed is inf, but must be a finite number above 0"),
        ("speed=fast", "speed is 'fast', but must be a number"),
        ("create_status=ok", "create_status is 'ok', but must be a number"),
        ("cancel_seconds=nan", "cancel_seconds is nan, but must be a finite number from 0"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_profile([setting])


def test_a_choice_of_another_type_is_refused(caller: Caller) -> None:
    with pytest.raises(ValueError, match="speed is 'fast', but must be a finite number above 0"):
        caller.server.configure(speed="fast")
