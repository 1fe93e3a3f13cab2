"""The stand-in for the Orchestrator API: as documented, and as its profile says where that is silent."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import requests

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.ocp import PREFIXES, PROFILES, OcpCall, OcpProfile, OcpSection
from smartflows_provider.devserver.server import DevServer

INVALID = (
    "Invalid flow name. Flow name must contain only alphanumeric characters and the underscore character."
)


class Caller:
    """Calls the API with a token."""

    def __init__(self, server: DevServer) -> None:
        self.server = server
        self.section = server.section(OcpSection)
        self.prefix = "/api"
        self.token: str | None = self.section.token

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return requests.request(
            method, f"{self.server.url}{self.prefix}{path}", headers=headers, timeout=20, **options
        )

    def get(self, path: str, **query: str) -> requests.Response:
        return self.call("GET", path, params=query)

    def sign_in(self, *, realm: str = "devserver", **form: str) -> requests.Response:
        given = {
            "client_id": "ocp",
            "grant_type": "password",
            "username": self.section.user,
            "password": self.section.password,
            **form,
        }
        path = f"/auth/realms/{realm}/protocol/openid-connect/token"
        return requests.post(f"{self.server.url}{path}", data=given, timeout=20)


@pytest.fixture
def caller(smart_flows_server: DevServer) -> Caller:
    return Caller(smart_flows_server)


# --- flows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_flow_is_created_read_changed_and_deleted(caller: Caller, prefix: str) -> None:
    caller.prefix = prefix
    made = caller.call("POST", "/flows/", json={"name": "my_flow", "input_fields": ["a"]})
    flow = made.json()
    assert made.status_code == 201
    assert (flow["name"], flow["input_fields"], flow["output_fields"]) == ("my_flow", ["a"], [])
    assert flow["canvas_id"]
    path = f"/flows/{flow['id']}/"
    assert caller.get(path).json() == flow
    changed = caller.call("PUT", path, json={"input_fields": ["b"], "output_fields": ["c"]})
    assert (changed.status_code, changed.json()) == (
        200,
        {**flow, "input_fields": ["b"], "output_fields": ["c"]},
    )
    gone = caller.call("DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert [caller.call(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
    section = caller.section
    assert section.created == section.updated == section.deleted == [flow["id"]]
    assert section.calls[0] == OcpCall(method="POST", path="/flows/", query={})
    assert section.asked("GET", "/") == [path, path]
    assert section.flows() == []


def test_a_flows_status_is_what_it_was_given_also_later(caller: Caller) -> None:
    section = caller.section
    flow_id = section.add_flow("x", status="stopped")
    path = f"/apps/{flow_id}/status/"
    assert caller.get(path).json() == {"status": "stopped"}
    section.set_status(flow_id, "started", after=100)
    assert caller.get(path).json() == {"status": "stopped"}
    caller.server.advance(101)
    assert caller.get(path).json() == {"status": "started"}
    section.set_status(flow_id, "upgrading")
    assert caller.get(path).json() == {"status": "upgrading"}
    assert section.flow(flow_id)["status"] == "upgrading"
    section.remove(flow_id)
    assert caller.get(path).status_code == 404


def test_a_new_flow_is_not_deployed(caller: Caller) -> None:
    flow_id = caller.call("POST", "/flows/", json={"name": "x"}).json()["id"]
    assert caller.get(f"/apps/{flow_id}/status/").json() == {"status": "not-deployed"}


def test_a_flow_in_use_is_not_deleted(caller: Caller) -> None:
    flow_id = caller.section.add_flow("x")
    caller.section.use(flow_id, by=["some_app", "some_flow"])
    refused = caller.call("DELETE", f"/flows/{flow_id}/")
    assert (refused.status_code, refused.json()) == (
        409,
        {"detail": "Cannot delete the Flow, because it is used by these apps/flows: some_app,some_flow"},
    )
    caller.section.use(flow_id, by=[])
    assert caller.call("DELETE", f"/flows/{flow_id}/").status_code == 204


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"name": "my flow"}', {"name": [INVALID]}),
        (b'{"name": ""}', {"name": ["This field is required."]}),
        (
            b'{"input_fields": "a", "output_fields": [1]}',
            {
                "input_fields": ["Expected a list of texts."],
                "output_fields": ["Expected a list of texts."],
                "name": ["This field is required."],
            },
        ),
        (b"[]", {"non_field_errors": ["Invalid data. Expected an object."]}),
    ],
)
def test_what_cannot_be_created_is_refused_with_the_field(
    caller: Caller, body: bytes, said: dict[str, Any]
) -> None:
    refused = caller.call("POST", "/flows/", data=body)
    assert (refused.status_code, refused.json()) == (400, said)
    assert caller.section.created == []


def test_a_body_that_is_no_json_and_fields_that_are_no_lists_are_refused(caller: Caller) -> None:
    flow_id = caller.section.add_flow("x", input_fields=["kept"])
    for body in (b"{", b'{"name": "\\ud800"}', b"[" * 9999):
        refused = caller.call("POST", "/flows/", data=body)
        assert refused.status_code == 400
        assert refused.json()["detail"].startswith("JSON parse error")
    assert caller.call("PUT", f"/flows/{flow_id}/", json={"input_fields": 5}).status_code == 400
    assert caller.section.flow(flow_id)["input_fields"] == ["kept"]


def test_a_path_without_its_last_slash_leads_to_the_one_with_it(caller: Caller) -> None:
    answer = requests.get(f"{caller.server.url}/api/flows", timeout=20, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, f"{caller.server.url}/api/flows/")


def test_an_id_with_a_slash_is_one_id(caller: Caller) -> None:
    assert caller.get("/flows/a%2Fb/").status_code == 404
    assert caller.section.calls[0].path == "/flows/a/b/"


# --- looking a name up -------------------------------------------------------------------------------


def test_a_name_and_a_group_are_found_in_any_case(caller: Caller) -> None:
    wanted = caller.section.add_flow("My_Flow", group="Sales")
    caller.section.add_flow("my_flow", group="Support")
    caller.section.add_flow("other")
    both = caller.get("/flows/", name__iexact="MY_FLOW").json()
    assert [flow["group"] for flow in both] == ["Sales", "Support"]
    one = caller.get("/flows/", name__iexact="my_flow", group__iexact="sales").json()
    assert [flow["id"] for flow in one] == [wanted]
    assert len(caller.get("/flows/").json()) == 3


@pytest.mark.parametrize("found", get_args(get_type_hints(OcpProfile)["found"]))
def test_what_is_found_has_the_profiles_form(caller: Caller, found: str) -> None:
    caller.section.configure(found=found)
    caller.section.add_flow("x")
    one = caller.get("/flows/", name__iexact="x").json()
    caller.section.add_flow("x")
    two = caller.get("/flows/", name__iexact="x").json()
    if found == "page":
        assert (one["count"], one["next"], len(one["results"]), two["count"]) == (1, None, 1, 2)
    else:
        assert (one if found == "object" else one[0])["name"] == "x"
        assert len(two) == 2


def test_a_name_that_no_flow_has_is_a_404_or_an_empty_list(caller: Caller) -> None:
    missing = caller.get("/flows/", name__iexact="x")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Not found."})
    caller.section.configure(none_found="empty")
    assert caller.get("/flows/", name__iexact="x").json() == []


def test_ids_and_groups_can_be_hidden(caller: Caller) -> None:
    caller.section.configure(ids="hidden", groups="hidden")
    made = caller.call("POST", "/flows/", json={"name": "x"}).json()
    assert set(made) == {"name", "input_fields", "output_fields", "canvas_id"}
    assert set(caller.section.flows()[0]) == {*made, "id", "group", "status"}


@pytest.mark.parametrize(("taken_name", "status", "flows"), [("refused", 400, 1), ("allowed", 201, 2)])
def test_a_name_that_is_taken_is_refused_or_given_again(
    caller: Caller, taken_name: str, status: int, flows: int
) -> None:
    caller.section.configure(taken_name=taken_name)
    caller.section.add_flow("x")
    assert caller.call("POST", "/flows/", json={"name": "X"}).status_code == status
    assert len(caller.section.flows()) == flows


# --- letting in --------------------------------------------------------------------------------------


def test_nobody_without_the_present_token_is_let_in(caller: Caller) -> None:
    flow_id = caller.section.add_flow("x")
    caller.section.rotate("another-token")
    for token in (None, "nonsense", "ocp-token"):
        caller.token = token
        for method, path in (
            ("GET", "/flows/"),
            ("POST", "/flows/"),
            ("DELETE", f"/flows/{flow_id}/"),
            ("GET", f"/apps/{flow_id}/status/"),
        ):
            refused = caller.call(method, path)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert caller.section.calls == []
    caller.token = "another-token"
    assert caller.get("/flows/").status_code == 200


def test_a_token_for_a_password_holds_for_its_seconds(caller: Caller) -> None:
    granted = caller.sign_in().json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 300)
    caller.token = granted["access_token"]
    assert caller.get("/flows/").status_code == 200
    caller.server.advance(299)
    assert caller.get("/flows/").status_code == 200
    caller.server.advance(2)
    assert caller.get("/flows/").status_code == 401
    assert caller.section.issued == [granted["access_token"]]


def test_tokens_end_with_their_password_or_by_themselves(caller: Caller) -> None:
    section = caller.section
    caller.token = caller.sign_in().json()["access_token"]
    section.revoke_tokens()
    assert caller.get("/flows/").status_code == 401
    caller.token = caller.sign_in().json()["access_token"]
    section.rotate_password("another")
    assert caller.get("/flows/").status_code == 401
    assert caller.sign_in(password="ocp-password").status_code == 401
    assert caller.sign_in().status_code == 200
    assert (len(section.issued), section.refused_passwords) == (3, 1)


@pytest.mark.parametrize("status", [401, 400])
def test_a_sign_in_that_fails_says_why_in_oauths_words(caller: Caller, status: int) -> None:
    caller.section.configure(token_refusal=status)
    for form, word in (
        ({"password": "no"}, "invalid_grant"),
        ({"username": "eve"}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_client"),
    ):
        refused = caller.sign_in(**form)
        assert (refused.status_code, refused.json()["error"]) == (status, word)
    assert caller.sign_in(grant_type="client_credentials").json()["error"] == "unsupported_grant_type"
    assert caller.sign_in(realm="other").status_code == 404
    assert caller.section.issued == []


def test_a_secret_in_an_address_is_noticed(caller: Caller) -> None:
    caller.get("/flows/", name__iexact="x")
    assert caller.section.leaks == []
    caller.get("/flows/", name__iexact="ocp-token")
    caller.get("/flows/ocp-password/")
    assert caller.section.leaks == ["GET /api/flows/", "GET /api/flows/ocp-password/"]


def test_calls_are_throttled_on_demand(caller: Caller) -> None:
    caller.section.throttle(1, retry_after=7)
    refused = caller.get("/flows/")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    assert caller.get("/flows/").status_code == 200
    caller.section.throttle(1)
    assert "Retry-After" not in caller.get("/flows/").headers


def test_the_servers_faults_meet_these_calls_too(caller: Caller) -> None:
    caller.server.inject(Fault(action="status", status=503, method="POST", path="/flows/$", taken=True))
    assert caller.call("POST", "/flows/", json={"name": "x"}).status_code == 503
    assert len(caller.section.created) == 1


# --- the profile -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "kind", "body"),
    [
        ("json", "application/json", b'{"detail":"Not found."}'),
        ("html", "text/html; charset=utf-8", b"<h1>Error 404</h1>"),
        ("empty", None, b""),
    ],
)
def test_errors_have_the_profiles_body_unless_they_are_documented(
    caller: Caller, form: str, kind: str | None, body: bytes
) -> None:
    caller.section.configure(error_body=form)
    missing = caller.get("/flows/nope/")
    assert (missing.status_code, missing.headers.get("Content-Type"), missing.content) == (404, kind, body)
    assert caller.call("POST", "/flows/", json={"name": "a b"}).json() == {"name": [INVALID]}


def test_the_profiles_take_every_choice_at_least_once() -> None:
    hints = get_type_hints(OcpProfile)
    choices = {name: set(get_args(hint)) for name, hint in hints.items() if get_origin(hint) is Literal}
    assert choices
    for name, words in choices.items():
        assert {getattr(profile, name) for profile in PROFILES.values()} == words, name


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"found": "tree"}, "found is 'tree'; it takes one of 'list', 'object', 'page'"),
        ({"token_seconds": 0}, "token_seconds is 0, but must be a finite number above 0"),
        ({"token_seconds": float("inf")}, "token_seconds is inf"),
        ({"other": 1}, "a profile has no 'other'; it has access, ids, "),
        ({"token_refusal": "x"}, "token_refusal is 'x', but must be a number"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(caller: Caller, choices: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        caller.section.configure(**choices)
    assert caller.section.profile == OcpProfile()


def test_choices_come_as_texts_from_a_command_line(caller: Caller) -> None:
    caller.section.configure(token_refusal="400", token_seconds="1.5", ids="hidden")
    assert caller.section.profile == OcpProfile(token_refusal=400, token_seconds=1.5, ids="hidden")


def test_the_connection_is_the_one_that_the_profile_asks_for(caller: Caller) -> None:
    by_token = json.loads(caller.server.section_connection_json(OcpSection))
    assert by_token == {
        "conn_type": "ocp",
        "host": "http://127.0.0.1",
        "port": caller.server.port,
        "password": "ocp-token",
    }
    caller.section.configure(access="password")
    by_password = json.loads(caller.server.section_connection_json(OcpSection))
    assert (by_password["login"], by_password["password"]) == ("ada", "ocp-password")
    assert by_password["extra"] == {"access": "password", "realm": "devserver"}


def test_the_page_lists_every_choice_of_the_profile() -> None:
    page = (Path(__file__).parents[2] / "docs" / "devserver.md").read_text(encoding="utf-8")
    section = page.partition("\n## OCP flows\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section.partition("| key |")[2], re.MULTILINE)
    assert listed == [field.name for field in dataclasses.fields(OcpProfile)]


def test_a_flow_that_is_added_has_a_documented_status(caller: Caller) -> None:
    with pytest.raises(ValueError, match="status is 'running'; it takes one of 'started', "):
        caller.section.add_flow("x", status="running")
    assert caller.section.flows() == []
