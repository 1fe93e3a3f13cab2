"""``executions list`` against the embedded server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cli_driving import Caller, answer_list_with, begin
from support.service import LONG, asked, panel_flow

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.phixflow import PhixFlowSection
from smartflows_provider.devserver.profiles import PROFILES
from smartflows_provider.devserver.server import DevServer

HOUR = 3600


def raw(number: int, **changes: Any) -> dict[str, Any]:
    """Return an execution as the service lists it."""
    return {
        "id": f"e{number}",
        "status": "Running",
        "flow": {"id": "f", "displayName": "Letter"},
        "createdAt": "2026-11-24T11:00:00Z",
        "createdBy": {"id": "u", "displayName": "U"},
        **changes,
    }


def test_active_executions_are_listed_oldest_first(server: DevServer, executions: Caller) -> None:
    letter = panel_flow(server, LONG)
    form = panel_flow(server, {"kind": "form", "fields": [{"key": "ok"}]}, name="Approval")
    done = panel_flow(server, {"kind": "work"}, name="Quick")
    young = begin(server, form, ago=90)
    old = begin(server, letter, ago=0.5 * HOUR)
    begin(server, done, ago=60)
    told = executions("list")
    heading, first, second, empty, summary = told.out.splitlines()
    assert heading.split("  ")[0] == "ID"
    assert re.fullmatch(rf"{old}  Letter +Running +30 min +\d{{4}}-\d\d-\d\d \d\d:\d\d  Devserver .*", first)
    assert re.fullmatch(rf"{young}  Approval +UserInput +1 min .*", second)
    assert empty == ""
    assert summary == "2 active executions of Devserver super user on the connection 'smartflows_default'."
    assert (told.code, told.err) == (0, "")


def test_it_is_said_that_there_is_none(executions: Caller) -> None:
    told = executions("list")
    assert (
        told.out == "No active executions of Devserver super user on the connection 'smartflows_default'.\n"
    )
    assert (told.code, told.err) == (0, "")
    assert executions("list", "--flow", "Sales report").out == (
        "No active executions of Devserver super user on the connection 'smartflows_default', as filtered.\n"
    )
    assert executions("list", "--json").out == "[]\n"


@pytest.mark.parametrize("name", PROFILES)
def test_every_option_narrows_the_list_in_every_profile(
    server: DevServer, executions: Caller, name: str
) -> None:
    server.profile = PROFILES[name]
    letter = panel_flow(server, {**LONG, "duration": 1_000_000})
    form = panel_flow(server, {"kind": "form", "fields": [{"key": "ok"}]}, name="Approval")
    broken = panel_flow(server, {"kind": "fail", "message": "no"}, name="Broken")
    server.add_key("other", "user")
    old = begin(server, letter, ago=3 * HOUR)
    young = begin(server, letter, ago=60)
    asking = begin(server, form, ago=2 * HOUR)
    failed = begin(server, broken, ago=HOUR)
    theirs = begin(server, letter, ago=4 * HOUR, key="other")

    def listed(*arguments: str) -> list[str]:
        told = executions("list", "--json", *arguments)
        assert (told.code, told.err) == (0, "")
        return [entry["id"] for entry in told.json]

    assert listed() == [old, asking, young]
    assert listed("--flow", "Letter") == [old, young]
    assert listed("--flow", letter.id) == [old, young]
    assert listed("--flow", letter.id.upper()) == [old, young]
    assert listed("--status", "user input") == [asking]
    assert listed("--status", "Error") == [failed]
    assert listed("--status", "Error", "--status", "Running") == [old, failed, young]
    assert listed("--older-than", "90m") == [old, asking]
    assert listed("--newer-than", "150m") == [asking, young]
    assert listed("--older-than", "90m", "--newer-than", "150m") == [asking]
    assert listed("--everyone") == [theirs, old, asking, young]
    assert listed("--all") == [old, asking, failed, young]
    assert listed("--all", "--flow", "Broken") == [failed]
    assert listed("--all", "--everyone") == [theirs, old, asking, failed, young]
    assert listed("--status", "Interrupted") == []


def test_json_tells_every_field(server: DevServer, executions: Caller) -> None:
    letter = panel_flow(server, LONG)
    execution_id = begin(server, letter, ago=600)
    (entry,) = executions("list", "--json").json
    shown = server.executions()[0]
    assert 600 <= entry.pop("age_seconds") < 660
    assert entry == {
        "id": execution_id,
        "flow": {"id": letter.id, "name": "Letter"},
        "status": "Running",
        "created_at": shown["createdAt"],
        "modified_at": shown["modifiedAt"],
        "created_by": {"id": shown["createdBy"]["id"], "name": "Devserver super user"},
    }


def test_a_limit_keeps_the_oldest_and_says_that_there_are_more(server: DevServer, executions: Caller) -> None:
    letter = panel_flow(server, LONG)
    ids = [begin(server, letter, ago=ago) for ago in (300, 200, 100)]
    told = executions("list", "--limit", "2", "--json")
    assert [entry["id"] for entry in told.json] == ids[:2]
    assert told.err == "Not shown because of --limit: 1 more.\n"
    assert executions("list", "--limit", "3").err == ""


@pytest.mark.parametrize("lists", ["array", "page"])
@pytest.mark.parametrize("paging", ["honoured", "ignored"])
def test_hundreds_are_listed_over_all_pages(
    server: DevServer, executions: Caller, lists: Any, paging: Any
) -> None:
    server.configure(lists=lists, list_paging=paging)
    letter = panel_flow(server, LONG)
    ids = [begin(server, letter, ago=1000 - number) for number in range(350)]
    assert [entry["id"] for entry in executions("list", "--json").json] == ids
    assert [entry["id"] for entry in executions("list", "--json", "--all").json] == ids
    assert [entry["id"] for entry in executions("list", "--json", "--all", "--flow", "Letter").json] == ids
    assert len(executions("list").out.splitlines()) == 350 + 3


def test_no_page_is_read_that_holds_only_what_is_too_old(server: DevServer, executions: Caller) -> None:
    letter = panel_flow(server, LONG)
    for _ in range(450):
        begin(server, letter, ago=HOUR)
    young = [begin(server, letter, ago=ago) for ago in (60, 30)]
    listed = executions("list", "--all", "--newer-than", "5m", "--json").json
    assert [entry["id"] for entry in listed] == young
    assert len(asked(server, "GET", "/flows/executions")) == 2


def test_what_is_over_is_not_asked_for(server: DevServer, executions: Caller) -> None:
    done = panel_flow(server, {"kind": "work"}, name="Quick")
    for _ in range(250):
        begin(server, done, ago=60)
    assert executions("list", "--json").json == []
    assert len(asked(server, "POST", "/filter")) == 1


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_service_that_takes_no_filter_is_asked_for_everything(
    server: DevServer, executions: Caller, status: int
) -> None:
    server.inject(Fault(action="status", status=status, path="/filter$", count=None))
    begin(server, panel_flow(server, {"kind": "work"}, name="Quick"), ago=60)
    running = begin(server, panel_flow(server, LONG))
    told = executions("list", "--json")
    assert [entry["id"] for entry in told.json] == [running]
    assert executions("list", "--json", "--flow", "Letter").json[0]["id"] == running


def test_executions_without_a_creator_are_not_hidden_silently(server: DevServer, executions: Caller) -> None:
    mine = server._keys.user_of(server.api_key).reference()
    answer_list_with(server, raw(1, createdBy=mine), raw(2, createdBy=None), raw(3, createdBy={}), raw(4))
    told = executions("list", "--json")
    assert [entry["id"] for entry in told.json] == ["e1"]
    assert told.err == (
        "Left out: 2 executions of which the service does not tell whether this key's user has created them; "
        "--everyone includes them.\n"
    )
    told = executions("list", "--json", "--everyone")
    assert [entry["id"] for entry in told.json] == ["e1", "e2", "e3", "e4"]
    assert told.err == ""


def test_a_service_that_does_not_tell_who_the_key_is_hides_nothing_silently(
    server: DevServer, executions: Caller
) -> None:
    server.inject(Fault(action="status", status=200, body="{}", path="/users/me$", count=None))
    begin(server, panel_flow(server, LONG))
    told = executions("list")
    assert told.out == "No active executions of this key on the connection 'smartflows_default'.\n"
    assert "Left out: 1 execution of which the service does not tell whether this key's user" in told.err
    assert len(executions("list", "--everyone", "--json").json) == 1


def test_executions_without_an_age_are_not_hidden_silently(server: DevServer, executions: Caller) -> None:
    answer_list_with(server, raw(1, createdAt=None), raw(2, createdAt="soon"), raw(3))
    told = executions("list", "--json", "--everyone", "--older-than", "0s")
    assert [entry["id"] for entry in told.json] == ["e3"]
    assert told.err.startswith("Left out: 2 executions of which the service does not tell the age;")
    assert len(executions("list", "--json", "--everyone").json) == 3


def test_odd_data_is_shown_as_far_as_it_goes_and_escaped(server: DevServer, executions: Caller) -> None:
    answer_list_with(
        server,
        {"id": 7, "status": "\x1b]0;owned\x07"},
        raw(2, status="waiting ", flow={"id": "f", "displayName": "\x1b[31m\u202eLetter\n"}, createdAt=12),
        raw(3, status="Success"),
        raw(4, flow=["f"], createdBy="me", modifiedAt={}),
    )
    told = executions("list", "--everyone")
    assert told.code == 0
    assert all(line.isprintable() for line in told.out.splitlines())
    assert "\\x1b]0;owned\\x07" in told.out
    assert "\\x1b[31m\\u202eLetter\\n  Waiting" in told.out
    assert [entry["id"] for entry in executions("list", "--everyone", "--json").json] == ["7", "e2", "e4"]


def test_json_stays_json_whatever_names_hold(server: DevServer, executions: Caller) -> None:
    name = "".join(map(chr, range(0x100))) + "\u202e\u2028\ud800\U0001f600"
    answer_list_with(server, raw(1, flow={"id": "f", "displayName": name}))
    told = executions("list", "--everyone", "--json")
    assert told.json[0]["flow"]["name"] == name.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert all(line.isprintable() for line in told.out.splitlines())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(action="status", status=401, path="/users/me$", count=None), "put a valid one into the"),
        (Fault(action="status", status=403, path="/filter$", count=None), "lacks the right"),
        (Fault(action="html", path="/filter$", count=None), "is not JSON"),
        (Fault(action="status", status=503, path="/filter$", count=None), "was answered with 503"),
    ],
)
def test_an_error_is_a_message_and_not_a_traceback(
    server: DevServer, executions: Caller, fault: Fault, message: str
) -> None:
    server.inject(fault)
    told = executions("list")
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("Error: ")
    assert message in told.err
    assert "connection 'smartflows_default'" in told.err
    assert "Traceback" not in told.err
    assert server.api_key not in told.err


def test_an_unknown_flow_is_an_error_that_names_the_others(server: DevServer, executions: Caller) -> None:
    panel_flow(server, LONG)
    told = executions("list", "--flow", "Lettre")
    assert told.code == 1
    assert "no flow is named 'Lettre'. Flows that the key can see: 'Letter', 'Sales report'" in told.err


def test_a_service_that_is_down_is_an_error(server: DevServer, executions: Caller) -> None:
    server.stop()
    told = executions("list")
    assert (told.code, told.out) == (1, "")
    assert "check the connection's host and port" in told.err


def test_a_key_goes_to_no_connection_of_another_system(
    server: DevServer, executions: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = server.section_connection_json(PhixFlowSection)
    monkeypatch.setenv("AIRFLOW_CONN_PHIXFLOW_DEFAULT", other)
    told = executions("list", "--conn-id", "phixflow_default")
    assert told.code != 0
    assert told.out == ""
    assert "The connection is of the type 'phixflow', and Smart Flows takes 'smartflows'." in told.err
    assert server.requests == []
