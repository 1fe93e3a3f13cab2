"""Every documented call, over a real socket."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pypdf
import pytest
import requests
from devserver_calling import ORDER, XSD, Caller, order_flow, panel_flow

from smartflows_provider.wire.smart_flows import ExecutionStatus

ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQAAAAA3bvkkAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
REPORT = "<title>Order</title><h1>Order of {{ data.Customer }}</h1><p>{{ data.Item[0].Name }}</p>"


def test_a_start_answers_with_the_first_progress(caller: Caller) -> None:
    flow = panel_flow(caller.server, {"kind": "work", "message": "Thinking", "duration": 60})
    answer = caller.start(flow)
    assert answer.status_code == 200
    assert answer.json() | {"id": "?"} == {
        "id": "?",
        "percentage": 0,
        "message": "Thinking",
        "status": "Running",
        "currentData": None,
        "schema": None,
        "model": None,
        "form": None,
    }


def test_percentage_and_message_follow_the_steps(caller: Caller) -> None:
    flow = panel_flow(
        caller.server,
        {"message": "One", "duration": 10},
        {"message": "Two", "duration": 10},
        {"message": "Three", "duration": 10},
        {"message": "Four", "duration": 10},
    )
    execution = caller.started(flow)
    seen = []
    for _ in range(5):
        shown = caller.progress(execution)
        seen.append((shown["status"], shown["percentage"], shown["message"]))
        caller.server.advance(10)
    assert seen == [
        ("Running", 0, "One"),
        ("Running", 25, "Two"),
        ("Running", 50, "Three"),
        ("Running", 75, "Four"),
        ("Success", 100, "Finished"),
    ]


def test_speed_divides_the_durations(caller: Caller) -> None:
    flow = panel_flow(caller.server, {"message": "Slow", "duration": 100})
    caller.server.configure(speed=10.0)
    execution = caller.started(flow)
    caller.server.advance(9)
    assert caller.progress(execution)["status"] == "Running"
    caller.server.advance(1)
    assert caller.progress(execution)["status"] == "Success"


def test_xml_is_rendered_to_a_pdf_that_holds_its_text(caller: Caller) -> None:
    flow = order_flow(
        caller.server,
        {
            "id": "letter",
            "kind": "document",
            "template": "letter.html.j2",
            "file_name": "Order of {{ data.Customer }}.pdf",
            "place": "delivery.files.letter",
        },
        templates={"letter.html.j2": REPORT},
    )
    execution = caller.started(flow, ORDER)
    reference = caller.progress(execution)["model"]["delivery"]["files"]["letter"]
    assert reference["displayName"] == "Order of Łukasz & Sons.pdf"
    assert reference["type"] == "document"

    described = caller.get(f"/documents/{reference['id']}").json()
    assert described["displayName"] == reference["displayName"]
    assert described["contentType"] == "application/pdf"
    assert described["finished"] is True
    assert described["flowExecution"]["id"] == execution
    assert TIME.fullmatch(described["createdAt"])

    content = caller.get(f"/documents/{reference['id']}/content")
    assert content.headers["Content-Type"] == "application/pdf"
    assert content.headers["Content-Disposition"] == (
        'attachment; filename="Order of _ukasz & Sons.pdf"; '
        "filename*=UTF-8''Order%20of%20%C5%81ukasz%20%26%20Sons.pdf"
    )
    assert int(content.headers["Content-Length"]) == len(content.content)
    pages = pypdf.PdfReader(io.BytesIO(content.content))
    assert "Order of Łukasz & Sons" in pages.pages[0].extract_text()
    assert "Bolt" in pages.pages[0].extract_text()
    assert pages.metadata is not None
    assert pages.metadata.title == "Order"


def test_a_long_table_goes_over_pages_and_repeats_its_head(caller: Caller) -> None:
    rows = "{% for n in range(200) %}<tr><td>row {{ n }}</td></tr>{% endfor %}"
    template = f"<table><thead><tr><th>Heading</th></tr></thead><tbody>{rows}</tbody></table>"
    flow = panel_flow(
        caller.server,
        {"id": "list", "kind": "document", "template": "t.html.j2"},
        templates={"t.html.j2": template},
    )
    document = caller.progress(caller.started(flow))["model"]["list"]["id"]
    content = caller.get(f"/documents/{document}/content").content
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]
    assert len(pages) > 2
    assert all("Heading" in text for text in pages)
    assert "row 199" in pages[-1]


def test_an_html_document_escapes_what_was_posted(caller: Caller) -> None:
    flow = order_flow(
        caller.server,
        {"id": "page", "kind": "document", "template": "letter.html.j2", "format": "html"},
        templates={"letter.html.j2": REPORT},
    )
    document = caller.progress(caller.started(flow, ORDER))["model"]["page"]["id"]
    content = caller.get(f"/documents/{document}/content")
    assert content.headers["Content-Type"] == "text/html;charset=UTF-8"
    assert "<h1>Order of Łukasz &amp; Sons</h1>" in content.content.decode()


@pytest.mark.parametrize("name", ["r.j2", "r.txt.j2", "r.html.j2"])
def test_every_template_of_a_document_escapes_whatever_its_name(caller: Caller, name: str) -> None:
    flow = order_flow(
        caller.server,
        {
            "id": "page",
            "kind": "document",
            "template": name,
            "format": "html",
            "file_name": "{{ data.Customer }}",
        },
        {"kind": "output", "values": {"shout": "{{ data.Customer }}!"}},
        templates={name: "<p>{{ data.Customer }}</p>"},
    )
    order = ORDER.replace("Łukasz &amp; Sons".encode(), b"&lt;img src=x&gt;")
    model = caller.progress(caller.started(flow, order))["model"]
    assert caller.get(f"/documents/{model['page']['id']}/content").text == "<p>&lt;img src=x&gt;</p>"
    assert (model["page"]["displayName"], model["shout"]) == ("<img src=x>", "<img src=x>!")


@pytest.mark.parametrize("place", ["{}", "<table><tr><td>{}</td></tr></table>"])
@pytest.mark.parametrize("kind", ["file", "url", "data"])
def test_a_pdf_opens_no_image(caller: Caller, tmp_path: Path, place: str, kind: str) -> None:
    picture = base64.b64decode(ONE_PIXEL)
    (tmp_path / "dot.png").write_bytes(picture)
    source = {
        "file": str(tmp_path / "dot.png"),
        "url": f"{caller.server.url}/dot.png",
        "data": f"data:image/png;base64,{ONE_PIXEL}",
    }[kind]
    flow = panel_flow(
        caller.server,
        {"id": "page", "kind": "document", "template": "t.html.j2"},
        templates={"t.html.j2": place.format(f'<img src="{source}">')},
    )
    execution = caller.execution(caller.started(flow))
    assert execution["status"] == "Error"
    assert execution["state"]["errors"][0]["message"] == (
        "the HTML cannot be laid out as PDF: a PDF document holds no images, "
        "so the template must have no <img>"
    )
    assert not any(request.path == "/dot.png" for request in caller.server.requests)


@pytest.mark.parametrize("expression", ["''.__class__.__mro__", "outputs.update({'a': 1})"])
def test_a_template_reaches_nothing_but_what_it_is_given(caller: Caller, expression: str) -> None:
    flow = panel_flow(caller.server, {"kind": "output", "values": {"x": "{{ " + expression + " }}"}})
    execution = caller.execution(caller.started(flow))
    assert execution["status"] == "Error"
    assert "unsafe" in execution["state"]["errors"][0]["message"]


def test_a_number_that_json_lacks_is_shown_as_a_text(caller: Caller) -> None:
    flow = panel_flow(
        caller.server,
        {"kind": "output", "values": {"big": 1e308}},
        {"kind": "output", "values": {"bigger": "{{ outputs.big * 10 }}"}},
    )
    assert caller.progress(caller.started(flow))["model"] == {"big": 1e308, "bigger": "INF"}


def test_outputs_keep_the_types_of_the_schema(caller: Caller) -> None:
    flow = order_flow(
        caller.server,
        {
            "id": "sums",
            "kind": "output",
            "name": "Sums",
            "values": {
                "total": "{{ data.Item | sum(attribute='Price') }}",
                "items": "{{ data.Item }}",
                "text": "{{ data.Item | length }} of {{ data.Customer }}",
                "nested": {"constant": [1, True, None]},
            },
            "titles": {"total": "Total price"},
        },
    )
    shown = caller.progress(caller.started(flow, ORDER))
    assert shown["model"] == {
        "total": 12.5,
        "items": [{"@sku": "a-1", "Name": "Bolt", "Price": 12.5}],
        "text": "1 of Łukasz & Sons",
        "nested": {"constant": [1, True, None]},
    }
    assert shown["schema"]["properties"]["total"] == {"type": "number", "title": "Total price"}
    assert shown["form"][0]["items"][0]["title"] == "Total price"


def test_an_execution_shows_its_state(caller: Caller) -> None:
    flow = order_flow(
        caller.server,
        {"id": "work", "message": "Working", "duration": 5},
        {"id": "value", "kind": "output", "name": "Value", "values": {"one": 1}},
        {"id": "never", "message": "Never", "when": "data.Customer == 'nobody'"},
    )
    execution = caller.started(flow, ORDER)
    caller.server.advance(5)
    shown = caller.execution(execution)
    assert shown["flow"] == {"id": flow, "displayName": "Order flow", "type": "flow"}
    assert shown["mode"] == "Attended"
    assert all(TIME.fullmatch(shown[key]) for key in ("createdAt", "modifiedAt"))
    state = shown["state"]
    assert state["inputData"]["Customer"] == "Łukasz & Sons"
    assert state["output"]["model"] == {"one": 1}
    assert [(part["id"], part["displayName"], part["model"]) for part in state["output"]["parts"]] == [
        ("value", "Value", {"one": 1})
    ]
    assert [stage["lastProgress"]["status"] for stage in state["stages"]] == ["Success"]
    blocks = {block["id"]: block for block in state["report"][0]["blocks"]}
    assert {key: block["step"]["status"] for key, block in blocks.items()} == {
        "work": "Output",
        "value": "Output",
        "never": "Skipped",
    }
    assert blocks["work"]["displayName"] == "Working"
    assert (state["waitingFor"], state["warnings"], state["errors"]) == (None, [], [])


def test_a_failing_step_ends_in_error_with_message_causes_and_block(caller: Caller) -> None:
    flow = order_flow(
        caller.server,
        {
            "id": "mail",
            "kind": "fail",
            "name": "Send mail",
            "message": "No address for {{ data.Customer }}",
            "causes": ["The mail server said no"],
        },
        {"id": "after", "message": "After"},
    )
    execution = caller.started(flow, ORDER)
    assert caller.progress(execution)["status"] == "Error"
    state = caller.execution(execution)["state"]
    assert state["errors"] == [
        {
            "error": "FlowExecutionError",
            "message": "No address for Łukasz & Sons",
            "causes": ["The mail server said no"],
            "stackTrace": "at block 'Send mail'",
        }
    ]
    assert [block["step"]["status"] for block in state["report"][0]["blocks"]] == ["Error", "Skipped"]
    assert state["output"] is None


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {"kind": "output", "values": {"x": "{{ data.Missing.Name }}"}},
            "'data.Missing.Name': 'dict object' has no attribute 'Missing'",
        ),
        ({"kind": "work", "when": "data.Nope"}, "condition 'data.Nope' is undefined"),
        (
            {"kind": "document", "template": "t.html.j2"},
            "template t.html.j2: 'dict object' has no attribute 'Missing'",
        ),
    ],
)
def test_a_template_that_lacks_a_value_is_an_error_of_the_flow(
    caller: Caller, step: dict[str, object], message: str
) -> None:
    flow = order_flow(caller.server, step, templates={"t.html.j2": "{{ data.Missing }}"})
    execution = caller.started(flow, ORDER)
    assert caller.execution(execution)["state"]["errors"][0]["message"] == message


def test_a_warning_step_ends_in_warning_with_its_output(caller: Caller) -> None:
    flow = panel_flow(
        caller.server,
        {"kind": "warning", "message": "The printer is out of paper"},
        {"kind": "output", "values": {"done": True}},
    )
    execution = caller.started(flow)
    assert caller.progress(execution)["model"] == {"done": True}
    shown = caller.execution(execution)
    assert shown["status"] == "Warning"
    assert shown["state"]["warnings"] == ["The printer is out of paper"]


def test_all_ten_statuses_can_be_reached(caller: Caller) -> None:
    server = caller.server
    form = {"kind": "form", "fields": [{"key": "x"}]}
    flows = {
        "Running": [{"duration": 60}],
        "Waiting": [{"kind": "wait_for_event"}],
        "UserInput": [form],
        "Success": [],
        "Warning": [{"kind": "warning", "message": "w"}],
        "Error": [{"kind": "fail", "message": "e"}],
        "Interrupted": [{"kind": "interrupt", "message": "i"}],
    }
    reached = {
        caller.progress(caller.started(panel_flow(server, *steps, name=name)))["status"]
        for name, steps in flows.items()
    }
    queued = server.add_flow(name="Queue", queued=60).id
    reached.add(caller.progress(caller.started(queued))["status"])
    running = caller.started(panel_flow(server, {"duration": 60}))
    reached.add(caller.call("DELETE", f"/flows/executions/{running}/progress").json()["status"])
    reached.add(caller.call("POST", "/flows/executions").json()["status"])
    assert reached == set(ExecutionStatus)


def test_a_flow_can_show_a_word_nobody_documented(caller: Caller) -> None:
    flow = panel_flow(caller.server, {"kind": "status", "status": "Defrosting", "duration": 60})
    assert caller.progress(caller.started(flow))["status"] == "Defrosting"


def test_status_brings_all_outputs_or_one(caller: Caller) -> None:
    flow = panel_flow(
        caller.server,
        {"id": "a", "kind": "output", "name": "First", "values": {"x": 1}},
        {"id": "b", "kind": "output", "name": "Second", "values": {"y": 2}},
    )
    execution = caller.started(flow)
    path = f"/flows/executions/{execution}/status"
    assert [part["model"] for part in caller.get(path).json()["outputs"]] == [{"x": 1}, {"y": 2}]
    assert [part["model"] for part in caller.get(path, output="Second").json()["outputs"]] == [{"y": 2}]
    assert [part["model"] for part in caller.get(path, output="a").json()["outputs"]] == [{"x": 1}]
    refused = caller.get(path, output="c")
    assert (refused.status_code, refused.json()["message"]) == (404, "The execution has no output 'c'.")


def test_an_unattended_start_takes_id_or_name_and_the_forms_defaults(caller: Caller) -> None:
    flow = panel_flow(
        caller.server,
        {"kind": "form", "fields": [{"key": "colour", "default": "red"}, {"key": "size"}]},
        {
            "kind": "output",
            "values": {"colour": "{{ answers.colour }}", "size": "{{ answers.size is none }}"},
        },
        name="Paint it",
    )
    for name in (flow, "Paint it"):
        answer = caller.call("POST", "/flows/executions/start", params={"flow": name})
        assert answer.status_code == 200
        shown = caller.execution(answer.json()["id"])
        assert (shown["status"], shown["mode"]) == ("Success", "Unattended")
        assert shown["state"]["output"]["model"] == {"colour": "red", "size": True}


def test_plugin_records_reach_the_flow(caller: Caller) -> None:
    flow = caller.server.add_flow(
        name="Accounts",
        start_from="plugin",
        steps=[{"kind": "output", "values": {"first": "{{ data.id[0] }}", "kind": "{{ data.entity }}"}}],
    ).id
    records = b'{"id": ["r-1", "r-2"], "entity": "account", "userId": "u-1"}'
    execution = caller.start(flow, records, 'application/json; charset="utf-8"').json()["id"]
    assert caller.progress(execution)["model"] == {"first": "r-1", "kind": "account"}


INPUT_REFUSALS = {
    "xml to a panel flow": (
        "panel", ORDER, "application/xml",
        "The flow 'F' starts from the execution panel and takes no input, but the request came with XML.",
    ),
    "nothing to a program flow": (
        "program", b"", "",
        "The flow 'F' starts from another program and takes XML, but the request came without a body.",
    ),
    "json to a program flow": (
        "program", b"{}", "application/json",
        "The flow 'F' starts from another program and takes XML, but the request came with JSON.",
    ),
    "xml to a plug-in flow": (
        "plugin", ORDER, "text/xml",
        "The flow 'F' starts from a plug-in and takes its JSON, but the request came with XML.",
    ),
    "another type": (
        "program", b"a;b", "text/csv",
        (
            "The flow 'F' starts from another program and takes XML, but the request came with a body of the "
            "content type 'text/csv'."
        ),
    ),
    "one id that is no array": (
        "plugin", b'{"id": "r-1", "entity": "account", "userId": "u"}', "application/json",
        "'id' must be an array of record ids.",
    ),
    "records without an entity": (
        "plugin", b'{"id": ["r-1"]}', "application/json", "The body lacks 'entity' and 'userId'.",
    ),
    "records that are no JSON": (
        "plugin", b"[", "application/json",
        "The body is not JSON: Expecting value: line 1 column 2 (char 1).",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INPUT_REFUSALS)
def test_input_of_the_wrong_kind_is_refused_with_a_sentence(caller: Caller, case: str) -> None:
    start_from, body, content_type, message = INPUT_REFUSALS[case]
    xsd = {"xsd": XSD} if start_from == "program" else {}
    flow = caller.server.add_flow(name="F", start_from=start_from, **xsd).id
    answer = caller.start(flow, body, content_type)
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert caller.server.executions() == []


def test_invalid_xml_is_refused_with_line_and_reason_of_each_problem(caller: Caller) -> None:
    body = b"""<Order>
      <Customer>A</Customer>
      <Item><Name>Bolt</Name><Price>cheap</Price></Item>
      <Item><Price>1</Price></Item>
    </Order>"""
    answer = caller.start(order_flow(caller.server), body)
    assert answer.status_code == 400
    assert answer.json()["message"] == "The XML does not match the flow's schema."
    problems = [entry["message"] for entry in answer.json()["errors"]]
    assert problems[0] == (
        "line 3: Element 'Price': 'cheap' is not a valid value of the atomic type 'xs:decimal'."
    )
    assert problems[1].startswith("line 4: Element 'Price': This element is not expected.")


def test_a_flow_is_selected_where_none_was_given(caller: Caller) -> None:
    flow = order_flow(caller.server, {"kind": "output", "values": {"who": "{{ data.Customer }}"}})
    answer = caller.call(
        "POST", "/flows/executions", data=ORDER, headers={"Content-Type": "application/xml"}
    ).json()
    assert answer["status"] == "SelectFlow"
    assert flow in answer["schema"]["properties"]["flow"]["enum"]
    assert caller.execution(answer["id"])["flow"] is None
    path = f"/flows/executions/{answer['id']}/progress"
    assert caller.call("POST", path, json={"flow": "Order flow"}).json()["status"] == "Success"
    assert caller.progress(answer["id"])["model"] == {"who": "Łukasz & Sons"}


def test_an_unknown_flow_is_404(caller: Caller) -> None:
    for answer, name in (
        (caller.start("0000"), "There is no flow with the id '0000'."),
        (caller.get("/flows/Nothing"), "There is no flow 'Nothing'."),
        (
            caller.call("POST", "/flows/executions/start", params={"flow": "Nothing"}),
            "There is no flow 'Nothing'.",
        ),
    ):
        assert (answer.status_code, answer.json()["message"]) == (404, name)


def test_an_ambiguous_name_is_refused(caller: Caller) -> None:
    caller.server.add_flow(id="1", name="Twin")
    caller.server.add_flow(id="2", name="Twin")
    answer = caller.call("POST", "/flows/executions/start", params={"flow": "Twin"})
    assert (answer.status_code, answer.json()["message"]) == (400, "2 flows are named 'Twin'; use the id.")


def test_flows_are_listed_by_name(caller: Caller) -> None:
    panel_flow(caller.server, name="Zebra")
    names = [flow["displayName"] for flow in caller.get("/flows").json()]
    assert names == ["Sales report", "Zebra"]
    assert caller.get("/flows/Zebra").json()["type"] == "flow"


def test_executions_are_paged_sorted_and_filtered(caller: Caller) -> None:
    first = panel_flow(caller.server, {"duration": 60}, name="First")
    second = panel_flow(caller.server, name="Second")
    ids = [caller.started(flow) for flow in (first, second, first)]
    assert [entry["id"] for entry in caller.get("/flows/executions").json()] == ids[::-1]
    sorted_up = caller.get("/flows/executions", sort="createdAt,asc", page=1, size=2).json()
    assert [entry["id"] for entry in sorted_up] == ids[2:]
    by_status = caller.get("/flows/executions", filter="status:Success").json()
    assert [entry["id"] for entry in by_status] == [ids[1]]
    of_flow = caller.get(f"/flows/{first}/executions", sort="createdAt,asc").json()
    assert [entry["id"] for entry in of_flow] == [ids[0], ids[2]]
    node = {
        "group": {
            "type": "and",
            "nodes": [
                {"condition": {"key": "flow", "operator": "equalTo", "values": ["First"]}},
                {"condition": {"key": "id", "operator": "in", "values": ids[1:]}},
            ],
        }
    }
    found = caller.call("POST", "/flows/executions/filter", json=node, params={"size": 5}).json()
    assert [entry["id"] for entry in found] == [ids[2]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"size": "many"}, "'page' and 'size' must be whole numbers"),
        ({"page": "-1"}, "'page' starts at 0 and 'size' is 1 to 2000"),
        ({"filter": "status"}, "cannot filter by 'status': use 'field:value'"),
        ({"sort": "createdAt,up"}, "cannot sort by 'createdAt,up': use 'field,asc' or 'field,desc'"),
    ],
)
def test_a_list_that_cannot_be_understood_is_refused(
    caller: Caller, query: dict[str, str], message: str
) -> None:
    answer = caller.get("/flows/executions", **query)
    assert (answer.status_code, answer.json()["message"]) == (400, message)


def test_a_key_is_needed_everywhere_but_for_the_public_settings(caller: Caller) -> None:
    stranger = Caller(caller.server, "")
    for path in ("/users/me", "/flows", "/flows/executions", "/system/info", "/documents/x"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.json()["message"]) == (401, "The header X-API-Key is missing.")
    settings = requests.get(f"{caller.server.url}/api/v1/settings/public", timeout=10).json()
    assert settings == {
        "projectId": "devserver",
        "systemLanguage": "en",
        "projectConsoleUrl": f"{caller.server.url}/project",
        "flowExecutionPanelUrl": f"{caller.server.url}/client",
    }


def test_an_unknown_and_a_revoked_key_are_401(caller: Caller) -> None:
    unknown = Caller(caller.server, "guess").get("/users/me")
    assert (unknown.status_code, unknown.json()["message"]) == (401, "The API key is not valid.")
    assert caller.get("/users/me").json()["displayName"] == "Devserver super user"
    caller.server.revoke_key()
    assert caller.get("/users/me").status_code == 401
    caller.server.restart()
    assert caller.get("/users/me").status_code == 401


def test_roles_limit_what_a_key_may_do(caller: Caller) -> None:
    server = caller.server
    flow = panel_flow(server, {"duration": 60})
    server.add_key("mine", "user")
    server.add_key("other", "user")
    server.add_key("look", "reader")
    server.add_key("none", "no api licence")
    mine, other, look, none = (Caller(server, key) for key in ("mine", "other", "look", "none"))
    execution = mine.started(flow)

    assert other.get(f"/flows/executions/{execution}").status_code == 403
    assert other.get("/flows/executions").json() == []
    assert len(mine.get("/flows/executions").json()) == len(look.get("/flows/executions").json()) == 1
    refused = look.start(flow)
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        "The role 'reader' lacks the right to run flows.",
    )
    assert look.call("DELETE", f"/flows/executions/{execution}/progress").status_code == 403
    licence = none.get("/users/me")
    assert (licence.status_code, licence.json()["message"]) == (
        403,
        "The licence of this project does not include the API.",
    )


def test_unknown_ids_are_404_and_wrong_methods_405(caller: Caller) -> None:
    execution = caller.get("/flows/executions/nope")
    assert (execution.status_code, execution.json()["message"]) == (404, "There is no execution 'nope'.")
    assert caller.get("/flows/executions/nope/progress").status_code == 404
    assert caller.get("/documents/nope").json()["message"] == "There is no document 'nope'."
    assert caller.get("/nothing/here").status_code == 404
    assert caller.call("PUT", "/flows").status_code == 405


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
def test_an_id_with_an_encoded_slash_is_one_id(caller: Caller, slash: str) -> None:
    for path, what in (
        (f"/flows/executions/a{slash}b", "execution"),
        (f"/flows/executions/a{slash}b/progress", "execution"),
        (f"/flows/a{slash}b/executions", "flow"),
        (f"/documents/a{slash}b/content", "document"),
    ):
        answer = caller.get(path)
        assert (answer.status_code, answer.json()["message"]) == (404, f"There is no {what} 'a/b'.")
    panel_flow(caller.server, name="Sales/2026")
    assert caller.get(f"/flows/Sales{slash}2026").json()["displayName"] == "Sales/2026"
    assert caller.server.requests[-1].path == "/api/v1/flows/Sales/2026"


@pytest.mark.parametrize("levels", [200, 20_000])
def test_a_filter_nested_too_deeply_is_refused(caller: Caller, levels: int) -> None:
    body = '{"group":{"nodes":[' * levels + "]}}" * levels
    answer = caller.call("POST", "/flows/executions/filter", data=body)
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "The body cannot be used: it is nested more than 100 levels deep.",
    )


def test_a_number_that_no_float_holds_can_be_filtered_by(caller: Caller) -> None:
    caller.started(panel_flow(caller.server))
    condition = {"key": "createdAt", "operator": "lessThan", "values": [10**400]}
    answer = caller.call("POST", "/flows/executions/filter", json={"condition": condition})
    assert (answer.status_code, answer.json()) == (200, [])


def test_the_interface_describes_itself(caller: Caller) -> None:
    described = requests.get(f"{caller.server.url}/openapi.json", timeout=10).json()
    assert described["openapi"].startswith("3.")
    assert set(described["paths"]["/flows/executions/{id}/progress"]) == {"get", "post", "delete"}
    page = requests.get(f"{caller.server.url}/swagger-ui/", timeout=10)
    assert "/api/v1/flows/executions/{id}/progress" in page.text
    assert "//" not in re.sub(r"<!--.*?-->", "", page.text)


def test_the_pages_for_people_show_flows_and_executions_escaped(caller: Caller) -> None:
    flow = panel_flow(caller.server, name="<b>Bold</b>")
    execution = caller.started(flow)
    for path in ("/project", "/client", f"/client/executions/{execution}"):
        page = requests.get(caller.server.url + path, timeout=10)
        assert page.status_code == 200
        assert execution in page.text
        assert "&lt;b&gt;Bold&lt;/b&gt;" in page.text
        assert "<b>" not in page.text
