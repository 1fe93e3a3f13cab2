"""The Workflow Server stand-in answers as documented, and as its profile says where that is silent."""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import requests

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.devserver.workflow_schemes import Activity, scheme_of
from smartflows_provider.devserver.workflow_server import (
    PROFILES,
    WorkflowServerProfile,
    WorkflowServerSection,
)
from smartflows_provider.wire.workflow_server_process import InstanceStatus


class Caller:
    """Calls the Workflow API."""

    def __init__(self, server: DevServer) -> None:
        self.server = server
        self.section = server.section(WorkflowServerSection)

    def call(
        self, operation: str, process_id: str | None = None, *, method: str = "POST", **options: Any
    ) -> requests.Response:
        path = operation if process_id is None else f"{operation}/{process_id}"
        return requests.request(method, f"{self.server.url}/workflowapi/{path}", timeout=20, **options)

    def good(self, operation: str, process_id: str | None = None, **options: Any) -> Any:
        answer = self.call(operation, process_id, **options)
        envelope = answer.json()
        assert (answer.status_code, envelope["success"]) == (200, True), answer.text
        assert (envelope["error"], envelope["message"]) == ("", "")
        return envelope["data"]

    def bad(self, operation: str, process_id: str | None = None, *, status: int = 200, **options: Any) -> str:
        answer = self.call(operation, process_id, **options)
        envelope = answer.json()
        assert (answer.status_code, envelope["success"]) == (status, False), answer.text
        assert envelope["data"] is None
        return f"{envelope['error']}: {envelope['message']}"

    def created(self, scheme: str = "TestScheme", **options: Any) -> str:
        process_id = str(uuid.uuid4())
        options["params"] = {"schemeCode": scheme, **options.get("params", {})}
        assert self.good("createinstance", process_id, **options) is None
        return process_id

    def info(self, process_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.good("getinstanceinfo", process_id, method="GET")
        return found


@pytest.fixture
def caller(smart_flows_server: DevServer) -> Caller:
    return Caller(smart_flows_server)


def approval(caller: Caller, **options: Any) -> str:
    """Create an instance that rests at its decision."""
    process_id = caller.created("Approval", **options)
    caller.server.advance(1)
    return process_id


# --- an instance's life ------------------------------------------------------------------------------


def test_an_instance_runs_and_is_finalized(caller: Caller) -> None:
    process_id = caller.created()
    info = caller.info(process_id)
    assert (info["InstanceStatus"], info["StateName"], info["ActivityName"]) == (1, "Working", "Work")
    assert (info["Id"], info["SchemeCode"], info["RootProcessId"]) == (process_id, "TestScheme", process_id)
    caller.server.advance(1)
    info = caller.info(process_id)
    assert (info["InstanceStatus"], info["StateName"]) == (3, "Done")
    (transition,) = info["Transitions"]
    assert (transition["FromStateName"], transition["ToStateName"]) == ("Working", "Done")
    assert (transition["TriggerName"], transition["IsFinalised"]) == ("Auto", True)
    assert caller.section.created == [process_id]


def test_an_instance_rests_until_a_command_and_ends_where_that_leads(caller: Caller) -> None:
    process_id = approval(caller)
    assert (caller.info(process_id)["InstanceStatus"], caller.info(process_id)["StateName"]) == (
        2,
        "Approval",
    )
    commands = caller.good("getavailablecommands", process_id, method="GET")
    assert [command["CommandName"] for command in commands] == ["approve", "reject"]
    done = caller.good(
        "executecommand",
        process_id,
        params={"command": "approve", "identityId": "ada", "persist": "Note"},
        json={"Note": "ok", "Passing": 1},
    )
    assert done["WasExecuted"] is True
    assert (done["ProcessInstance"]["InstanceStatus"], done["ProcessInstance"]["StateName"]) == (
        3,
        "Approved",
    )
    assert caller.info(process_id)["ProcessParameters"] == {"Note": "ok", "Decision": "approved"}
    assert caller.good("getavailablecommands", process_id, method="GET") == []
    (logged,) = caller.section.commands
    assert (logged.process_id, logged.command, logged.identity_id) == (process_id, "approve", "ada")
    assert logged.parameters == {"Note": "ok", "Passing": 1}


def test_a_command_that_is_not_available_is_refused_or_not_executed(caller: Caller) -> None:
    process_id = approval(caller)
    assert caller.bad("executecommand", process_id, params={"command": "burn"}) == (
        "Command is not valid: The command 'burn' is not available now."
    )
    caller.section.configure(unavailable_command="not_executed")
    done = caller.good("executecommand", process_id, params={"command": "burn"})
    assert (done["WasExecuted"], done["ProcessInstance"]["StateName"]) == (False, "Approval")
    assert caller.section.commands == []


def test_a_state_can_be_set_until_an_instance_has_ended(caller: Caller) -> None:
    process_id = approval(caller)
    states = caller.good("getavailablestatetoset", process_id, method="GET")
    assert [state["Name"] for state in states] == ["Draft", "Approval", "Approved", "Rejected", "Withdrawn"]
    assert "has no state 'Nowhere'" in caller.bad("setstate", process_id, params={"state": "Nowhere"})
    assert caller.good("setstate", process_id, params={"state": "Withdrawn"}) is None
    info = caller.info(process_id)
    assert (info["InstanceStatus"], info["StateName"]) == (3, "Withdrawn")
    assert info["Transitions"][-1]["TriggerName"] == "SetState"
    assert "has ended" in caller.bad("setstate", process_id, params={"state": "Draft"})


def test_parameters_are_kept_where_they_are_named(caller: Caller) -> None:
    process_id = caller.created(params={"persist": "Amount"}, json={"Amount": 1, "Passing": 2})
    assert caller.info(process_id)["ProcessParameters"] == {"Amount": 1}
    assert caller.good("setparameter", process_id, params={"parameter": "Amount", "value": "5"}) is None
    assert caller.good("getparameter", process_id, method="GET", params={"parameter": "Amount"}) == "5"
    assert caller.good("getparameter", process_id, method="GET", params={"parameter": "None"}) is None
    assert "'value' is missing" in caller.bad("setparameter", process_id, params={"parameter": "Amount"})
    assert "'parameter' is missing" in caller.bad("getparameter", process_id, method="GET")


def test_a_deleted_instance_is_gone(caller: Caller) -> None:
    process_id = caller.created()
    assert caller.good("isexistprocess", process_id, method="GET") is True
    assert caller.good("deleteinstance", process_id) is None
    assert caller.good("isexistprocess", process_id, method="GET") is False
    assert "There is no process" in caller.bad("getinstanceinfo", process_id, method="GET")
    assert "There is no process" in caller.bad("deleteinstance", process_id)
    assert caller.section.deleted == [process_id]


def test_an_id_that_is_taken_is_refused_and_one_that_is_free_again_is_made_anew(caller: Caller) -> None:
    process_id = caller.created()
    params = {"schemeCode": "TestScheme"}
    assert "already" in caller.bad("createinstance", process_id.upper(), params=params)
    assert caller.section.refused_creations == [process_id]
    caller.section.purge(process_id)
    caller.good("createinstance", process_id, params=params)
    assert caller.section.created == [process_id, process_id]


def test_a_scheme_may_delete_what_is_finished(caller: Caller) -> None:
    caller.section.add_scheme("Tidy", {"name": "Work", "seconds": 5}, {"name": "Done"}, purges=True)
    process_id = caller.created("Tidy")
    assert caller.good("isexistprocess", process_id, method="GET") is True
    caller.server.advance(6)
    assert "There is no process" in caller.bad("getinstanceinfo", process_id, method="GET")
    assert caller.good("isexistprocess", process_id, method="GET") is False
    with pytest.raises(KeyError):
        caller.section.process(process_id)


def test_tests_end_instances_as_they_like(caller: Caller) -> None:
    section = caller.section
    one, two, three, four = (approval(caller) for _ in range(4))
    section.finish(one)
    section.fail(two)
    section.fail(three, status=InstanceStatus.TERMINATED)
    section.show(four, 254)
    shown = [caller.info(process_id)["InstanceStatus"] for process_id in (one, two, three, four)]
    assert shown == [3, 5, 4, 254]
    assert section.process(one)["StateName"] == "Approval"
    for act in (section.finish, section.purge, section.process):
        with pytest.raises(KeyError):
            act(str(uuid.uuid4()))


def test_schemes_are_listed_by_tags(caller: Caller) -> None:
    caller.section.add_scheme("Tagged", {"name": "Only"}, tags=("finance",))
    assert caller.good("getschemelist", method="GET") == ["TestScheme", "Approval", "Tagged"]
    assert caller.good("getschemelist", method="GET", params={"tags": "hr,finance"}) == ["Tagged"]
    assert "There is no scheme 'None'" in caller.bad(
        "createinstance", str(uuid.uuid4()), params={"schemeCode": "None"}
    )
    assert "'schemeCode' is missing" in caller.bad("createinstance", str(uuid.uuid4()))


def test_the_process_id_may_stand_in_the_query(caller: Caller) -> None:
    process_id = caller.created()
    query = {"processId": process_id}
    assert caller.good("getinstanceinfo", method="GET", params=query)["Id"] == process_id
    assert "not a GUID" in caller.bad("getinstanceinfo", method="GET")
    assert "not a GUID" in caller.bad("getinstanceinfo", "7", method="GET")
    assert "There is no operation 'start'" in caller.bad("start", process_id)


@pytest.mark.parametrize("body", [b"[1]", b"null", b"{", b'"x"', b'{"a": "\\ud800"}', b"\xff", b"[" * 10_000])
def test_a_body_that_is_no_object_is_refused(caller: Caller, body: bytes) -> None:
    refusal = caller.bad("createinstance", str(uuid.uuid4()), params={"schemeCode": "TestScheme"}, data=body)
    assert refusal.startswith("Wrong request: The body ")


@pytest.mark.parametrize(
    ("activities", "message"),
    [
        ([], "needs activities, each with a name of its own"),
        ([{"name": "A"}, {"name": "A"}], "needs activities, each with a name of its own"),
        ([{"name": "A", "commands": {"go": "B"}}], "the command 'go' leads to 'B', which is no activity"),
        ([{"name": "A", "ends": 1}], "'A' ends in 1; that is no end"),
    ],
)
def test_a_scheme_that_cannot_be_played_is_refused(activities: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scheme_of("S", activities)
    assert scheme_of("S", [Activity(name="A")]).activities[0].name == "A"


# --- profile -----------------------------------------------------------------------------------------


def test_the_named_profiles_take_every_choice_at_least_once() -> None:
    for name, hint in get_type_hints(WorkflowServerProfile).items():
        if get_origin(hint) is Literal:
            taken = {getattr(profile, name) for profile in PROFILES.values()}
            assert taken == set(get_args(hint)), name


def test_a_choice_that_there_is_not_is_refused(caller: Caller) -> None:
    with pytest.raises(ValueError, match="access is 'all'; it takes one of 'none', 'token', 'openid'"):
        caller.section.configure(access="all")
    with pytest.raises(ValueError, match="a profile has no 'colour'; it has access,"):
        caller.section.configure(colour="red")
    with pytest.raises(ValueError, match=r"token_seconds is 0\.0, but must be a finite number above 0"):
        caller.section.configure(token_seconds="0")


def test_arguments_are_read_from_the_body_where_the_profile_says_so(caller: Caller) -> None:
    caller.section.configure(arguments_in="body")
    process_id = str(uuid.uuid4())
    assert "'schemeCode' is missing" in caller.bad(
        "createinstance", process_id, params={"schemeCode": "TestScheme"}
    )
    parameters = [{"name": "Amount", "value": 1, "persist": True}, {"name": "Passing", "value": 2}]
    body = {"schemeCode": "TestScheme", "parameters": parameters}
    caller.good("createinstance", process_id, json=body)
    assert caller.info(process_id)["ProcessParameters"] == {"Amount": 1}
    assert caller.good("getparameter", process_id, json={"parameter": "Amount"}) == 1
    wrong = {"schemeCode": "TestScheme", "parameters": {"Amount": 1}}
    assert "no list of names and values" in caller.bad("createinstance", str(uuid.uuid4()), json=wrong)


def test_refusals_come_with_statuses_where_the_profile_says_so(caller: Caller) -> None:
    caller.section.configure(failures="status")
    unknown = str(uuid.uuid4())
    assert "There is no process" in caller.bad("getinstanceinfo", unknown, method="GET", status=404)
    assert "There is no scheme" in caller.bad(
        "createinstance", unknown, status=400, params={"schemeCode": "X"}
    )
    assert caller.good("isexistprocess", unknown, method="GET") is False


def test_questions_may_take_get_only(caller: Caller) -> None:
    process_id = caller.created()
    assert caller.good("getinstanceinfo", process_id)["Id"] == process_id
    caller.section.configure(reads="get")
    assert "takes GET" in caller.bad("getinstanceinfo", process_id, status=405)
    assert caller.info(process_id)["Id"] == process_id
    for operation in ("deleteinstance", "setparameter"):
        assert "takes POST" in caller.bad(operation, process_id, method="GET", status=405)
    assert caller.good("executecommand", approval(caller), method="GET", params={"command": "reject"})


# --- access ------------------------------------------------------------------------------------------


def test_the_field_token_lets_in_and_is_no_parameter(caller: Caller) -> None:
    section = caller.section
    section.configure(access="token")
    token = {"token": section.token}
    process_id = caller.created(params={"persist": "Amount,token"}, json={"Amount": 1, **token})
    assert caller.good("getinstanceinfo", process_id, json=token)["ProcessParameters"] == {"Amount": 1}
    for body in ({}, {"token": "wrong"}, {"token": None}, {"token": 1}):
        refusal = caller.bad("getinstanceinfo", process_id, status=401, json=body)
        assert refusal == "Access denied: The token is missing or wrong."
    section.configure(denied="403")
    caller.bad("getinstanceinfo", process_id, method="GET", status=403)
    section.configure(denied=200)
    caller.bad("getinstanceinfo", process_id, method="GET", status=200)
    section.rotate("another")
    caller.bad("getinstanceinfo", process_id, json=token)
    assert caller.good("getinstanceinfo", process_id, json={"token": "another"})
    assert section.leaks == []


def test_a_secret_in_an_address_is_seen(caller: Caller) -> None:
    section = caller.section
    section.configure(access="token")
    section.rotate("s3cret/ä")
    caller.call("getschemelist", method="GET", params={"token": "x"})
    caller.call("getschemelist", method="GET", params={"tags": "s3cret/ä"})
    caller.call("getinstanceinfo", "s3cret%2F%C3%A4", method="GET")
    assert [leak.partition("/workflowapi/")[2].partition("/")[0] for leak in section.leaks] == [
        "getschemelist",
        "getschemelist",
        "getinstanceinfo",
    ]


def token_of(caller: Caller, **more: str) -> requests.Response:
    form = {
        "client_id": "workflowapi",
        "grant_type": "client_credentials",
        "client_secret": caller.section.token,
    }
    return requests.post(f"{caller.server.url}/connect/token", data={**form, **more}, timeout=20)


def test_a_bearer_token_lets_in_until_it_ends(caller: Caller) -> None:
    section = caller.section
    section.configure(access="openid", token_seconds=100)
    discovered = requests.get(f"{caller.server.url}/.well-known/openid-configuration", timeout=20).json()
    assert discovered["token_endpoint"] == f"{caller.server.url}/connect/token"
    granted = token_of(caller).json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 100)
    assert section.issued == [granted["access_token"]]
    bearer = {"Authorization": f"Bearer {granted['access_token']}"}
    process_id = caller.created(headers=bearer)
    assert caller.good("getinstanceinfo", process_id, method="GET", headers=bearer)
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": granted["access_token"]}):
        caller.bad("getinstanceinfo", process_id, method="GET", status=401, headers=headers)
    caller.bad("getinstanceinfo", process_id, status=401, json={"token": section.token})
    caller.server.advance(101)
    caller.bad("getinstanceinfo", process_id, method="GET", status=401, headers=bearer)
    again = {"Authorization": f"Bearer {token_of(caller).json()['access_token']}"}
    assert caller.good("getinstanceinfo", process_id, method="GET", headers=again)
    section.revoke_tokens()
    caller.bad("getinstanceinfo", process_id, method="GET", status=401, headers=again)
    assert (len(section.issued), section.leaks) == (2, [])


@pytest.mark.parametrize("status", [400, 401])
def test_a_wrong_secret_brings_no_token(caller: Caller, status: int) -> None:
    section = caller.section
    section.configure(access="openid", token_refusal=status)
    for wrong in ({"client_secret": "x"}, {"client_id": "x"}, {"client_secret": ""}):
        answer = token_of(caller, **wrong)
        assert (answer.status_code, answer.json()) == (status, {"error": "invalid_client"})
    unsupported = token_of(caller, grant_type="password")
    assert (unsupported.status_code, unsupported.json()) == (400, {"error": "unsupported_grant_type"})
    section.configure(access="token")
    assert token_of(caller).status_code == status
    assert (section.issued, len(section.token_hosts)) == ([], 5)


def test_discovery_may_name_another_origin_or_nothing(caller: Caller) -> None:
    address = f"{caller.server.url}/.well-known/openid-configuration"
    caller.section.configure(access="openid", discovery="foreign")
    endpoint = requests.get(address, timeout=20).json()["token_endpoint"]
    assert endpoint == f"http://localhost:{caller.server.port}/connect/token"
    caller.section.configure(discovery="none")
    assert "token_endpoint" not in requests.get(address, timeout=20).json()


# --- as a section ------------------------------------------------------------------------------------


def test_the_connection_leads_to_the_section(caller: Caller) -> None:
    server, section = caller.server, caller.section
    connection = json.loads(server.section_connection_json(WorkflowServerSection))
    assert connection == {
        "conn_type": "workflowserver",
        "host": "http://127.0.0.1",
        "port": server.port,
        "extra": {"arguments_in": "query"},
    }
    section.configure(access="openid", arguments_in="body")
    connection = json.loads(server.section_connection_json(WorkflowServerSection))
    assert connection["password"] == section.token
    assert connection["extra"] == {"access": "openid", "arguments_in": "body"}


def test_faults_meet_its_calls_and_its_instances_outlive_a_restart(caller: Caller) -> None:
    fault = Fault(action="status", status=503, path="/createinstance/", taken=True)
    caller.server.inject(fault)
    process_id = str(uuid.uuid4())
    assert caller.call("createinstance", process_id, params={"schemeCode": "TestScheme"}).status_code == 503
    assert caller.section.created == [process_id]
    caller.server.restart()
    assert caller.info(process_id)["SchemeCode"] == "TestScheme"


def test_the_page_lists_every_choice_with_the_default_first() -> None:
    page = (Path(__file__).parents[2] / "docs" / "devserver.md").read_text(encoding="utf-8")
    table = page.partition("--profile workflowserver.KEY=VALUE")[2].partition("## Faults")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE))
    default = WorkflowServerProfile()
    assert list(rows) == [field.name for field in dataclasses.fields(default)]
    for name, hint in get_type_hints(WorkflowServerProfile).items():
        words = [str(word) for word in get_args(hint)]
        assert rows[name].lstrip("`").startswith(f"{getattr(default, name):g}" if not words else words[0])
        assert all(word in rows[name] for word in words)
