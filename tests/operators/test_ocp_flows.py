"""The operators for OCP flows: by id or by name, idempotent where that is asked for, never a second flow."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from support.ocp import TOKEN, connect, ocp_section
from support.tasks import Attempt, run_task

from smartflows_provider.devserver.faults import Fault
from smartflows_provider.devserver.ocp import PROFILES, OcpSection
from smartflows_provider.devserver.server import DevServer
from smartflows_provider.exceptions import (
    FlowAmbiguousError,
    FlowAuthenticationError,
    FlowConfigurationError,
    FlowException,
    FlowNotFoundError,
    FlowRequestRefusedError,
    FlowServiceError,
    FlowSubmissionUnclearError,
)
from smartflows_provider.operators import on_ocp_flow
from smartflows_provider.operators.ocp import (
    OcpCreateFlowOperator,
    OcpDeleteFlowOperator,
    OcpGetFlowOperator,
    OcpUpdateFlowOperator,
)


@pytest.fixture
def section(smart_flows_server: DevServer, monkeypatch: pytest.MonkeyPatch) -> OcpSection:
    monkeypatch.setattr(on_ocp_flow, "LOOK_AFTER", (0.0, 0.01, 0.01))
    return ocp_section(smart_flows_server, monkeypatch)


@pytest.fixture
def reconnect(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Let ``ocp_default`` lead to the section as it is when this is called."""
    return partial(connect, monkeypatch, smart_flows_server)


get = partial(OcpGetFlowOperator, task_id="t")
create = partial(OcpCreateFlowOperator, task_id="t")
update = partial(OcpUpdateFlowOperator, task_id="t")
delete = partial(OcpDeleteFlowOperator, task_id="t")


# --- by id, by name ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_a_flow_is_read_by_its_id_or_its_name(
    section: OcpSection, reconnect: Callable[..., None], name: str
) -> None:
    section.profile = PROFILES[name]
    reconnect()
    flow_id = section.add_flow("my_flow", group="Sales", input_fields=["a"], output_fields=["b"])
    shown = section.flow(flow_id)
    found = run_task(get(flow_id=flow_id))
    assert found == {
        "flow_id": flow_id,
        "name": "my_flow",
        "group": "Sales" if section.profile.groups == "shown" else None,
        "input_fields": ["a"],
        "output_fields": ["b"],
        "canvas_id": shown["canvas_id"],
    }
    by_name = run_task(get(name="MY_FLOW", group="sales"))
    assert by_name == {**found, "flow_id": flow_id if section.profile.ids == "shown" else None}


ON_A_FLOW: list[Callable[..., Any]] = [get, partial(update, input_fields=["a"]), delete]


@pytest.mark.parametrize("make", ON_A_FLOW)
def test_no_flow_and_several_are_clear_errors(section: OcpSection, make: Callable[..., Any]) -> None:
    with pytest.raises(FlowNotFoundError, match="no flow is named 'x'") as missing:
        run_task(make(name="x"))
    assert "/orchestrator/api in newer installations" in str(missing.value)
    with pytest.raises(FlowNotFoundError, match="404"):
        run_task(make(flow_id="nope"))
    section.add_flow("x", group="Sales")
    section.add_flow("x", group="Support")
    with pytest.raises(FlowAmbiguousError, match="2 flows are named 'x'"):
        run_task(make(name="x"))
    assert section.updated == section.deleted == []
    run_task(make(name="x", group="Sales"))


@pytest.mark.parametrize("make", ON_A_FLOW[1:])
def test_a_flow_whose_id_is_not_shown_needs_flow_id(section: OcpSection, make: Callable[..., Any]) -> None:
    flow_id = section.add_flow("x")
    section.configure(ids="hidden")
    with pytest.raises(FlowConfigurationError, match=r"shows no id .* for the flow 'x'") as missing:
        run_task(make(name="x"))
    assert "Give flow_id instead of the name" in str(missing.value)
    assert section.updated == section.deleted == []
    run_task(make(flow_id=flow_id))
    assert section.updated == [flow_id] or section.deleted == [flow_id]


@pytest.mark.parametrize("make", ON_A_FLOW)
@pytest.mark.parametrize(
    "named", [{}, {"flow_id": "1", "name": "x"}, {"group": "g"}, {"flow_id": "1", "group": "g"}]
)
def test_a_flow_is_named_in_one_way(make: Callable[..., Any], named: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^t: (a flow is named by flow_id or by name|group narrows a name)"):
        make(**named)


@pytest.mark.parametrize("make", ON_A_FLOW)
@pytest.mark.parametrize(
    "named", [{"flow_id": ""}, {"name": " "}, {"name": "x", "group": ""}, {"flow_id": ".."}, {"flow_id": 5}]
)
def test_what_a_template_has_made_empty_is_named(
    section: OcpSection, make: Callable[..., Any], named: dict[str, Any]
) -> None:
    with pytest.raises(FlowConfigurationError, match=r"^The argument (flow_id|name|group) is "):
        run_task(make(**named))
    assert section.calls == []


# --- create ----------------------------------------------------------------------------------------------


def test_a_flow_is_created_with_its_fields(section: OcpSection) -> None:
    made = run_task(create(name="my_flow", input_fields=["a"], output_fields='["b", "c"]'))
    (flow_id,) = section.created
    assert (made["action"], made["flow_id"], made["name"]) == ("created", flow_id, "my_flow")
    flow = section.flow(flow_id)
    assert (flow["input_fields"], flow["output_fields"]) == (["a"], ["b", "c"])
    assert section.asked("GET") == ["/flows/"]


def test_a_flow_that_is_created_where_ids_are_hidden_has_none(section: OcpSection) -> None:
    section.configure(ids="hidden")
    made = run_task(create(name="x"))
    assert (made["action"], made["flow_id"]) == ("created", None)


@pytest.mark.parametrize("name", ["my flow", "my-flow", "naïve"])
def test_a_name_that_cannot_be_is_refused_before_anything_is_sent(section: OcpSection, name: str) -> None:
    with pytest.raises(
        FlowConfigurationError, match="letters A to Z, digits and underscores only"
    ) as refused:
        run_task(create(name=name))
    assert refused.value.advice.startswith("Check the argument that gives the id or name, ")
    assert section.calls == []


@pytest.mark.parametrize("fields", ["a", "{}", "[1]", [""], {"a": 1}, 5, "["])
def test_fields_that_are_no_names_are_refused_before_anything_is_sent(
    section: OcpSection, fields: Any
) -> None:
    for task in (create(name="x", output_fields=fields), update(flow_id="x", output_fields=fields)):
        with pytest.raises(FlowConfigurationError, match="The argument output_fields is no list of names"):
            run_task(task)
    assert section.calls == []


def test_a_name_that_is_taken_fails_by_default(section: OcpSection) -> None:
    section.configure(taken_name="allowed")
    flow_id = section.add_flow("My_Flow", group="Sales")
    with pytest.raises(FlowRequestRefusedError) as refused:
        run_task(create(name="my_flow"))
    assert f"if_exists='fail': 'My_Flow' (group Sales, id {flow_id})" in str(refused.value)
    assert "set if_exists to 'skip' or 'update'" in str(refused.value)
    assert section.asked("POST") == []


def test_a_flow_that_is_there_can_be_left_as_it_is(section: OcpSection) -> None:
    flow_id = section.add_flow("x", input_fields=["old"])
    for _ in range(2):
        found = run_task(create(name="x", input_fields=["new"], if_exists="skip"))
        assert (found["action"], found["flow_id"], found["input_fields"]) == ("skipped", flow_id, ["old"])
    section.configure(ids="hidden")
    assert run_task(create(name="x", if_exists="skip"))["flow_id"] is None
    assert section.created == section.updated == []


def test_a_flow_that_is_there_can_be_brought_up_to_date_once(section: OcpSection) -> None:
    flow_id = section.add_flow("x", input_fields=["old"], output_fields=["kept"])
    task = partial(create, name="x", input_fields=["new"], if_exists="update")
    assert run_task(task())["action"] == "updated"
    assert section.flow(flow_id)["input_fields"] == ["new"]
    assert section.flow(flow_id)["output_fields"] == ["kept"]
    assert run_task(task())["action"] == "skipped"
    assert section.updated == [flow_id]
    section.configure(ids="hidden")
    with pytest.raises(FlowConfigurationError, match="shows no id"):
        run_task(task())


def test_fields_that_are_not_shown_are_not_taken_for_the_wanted_ones(
    smart_flows_server: DevServer, section: OcpSection
) -> None:
    flow_id = section.add_flow("x", input_fields=["old"])
    smart_flows_server.inject(
        Fault(
            action="status",
            status=200,
            method="GET",
            path="/flows/$",
            count=2,
            body=json.dumps({"id": flow_id, "name": "x"}),
            headers={"content-type": "application/json"},
        )
    )
    changed = run_task(create(name="x", input_fields=[], output_fields=[], if_exists="update"))
    assert (changed["action"], section.flow(flow_id)["input_fields"]) == ("updated", [])


@pytest.mark.parametrize("if_exists", ["skip", "update"])
def test_several_flows_of_the_name_are_an_error_always(section: OcpSection, if_exists: Any) -> None:
    section.add_flow("x")
    section.add_flow("x")
    with pytest.raises(FlowAmbiguousError):
        run_task(create(name="x", if_exists=if_exists))
    assert section.created == section.updated == []


@pytest.mark.parametrize("if_exists", ["skip", "update"])
def test_a_task_that_is_repeated_creates_one_flow(section: OcpSection, if_exists: Any) -> None:
    section.configure(taken_name="allowed")
    for action in ("created", "skipped", "skipped"):
        task = create(name="x", input_fields=["a"], if_exists=if_exists)
        assert run_task(task, Attempt(try_number=2))["action"] == action
    assert len(section.created) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset"},
        {"action": "status", "status": 503},
        {"action": "status", "status": 504},
        {"action": "html"},
        {"action": "truncated"},
        {"action": "cut", "size": 5},
    ],
)
@pytest.mark.parametrize("if_exists", ["fail", "skip"])
def test_a_lost_answer_to_a_creation_makes_no_second_flow(
    smart_flows_server: DevServer, section: OcpSection, fault: dict[str, Any], if_exists: Any
) -> None:
    section.configure(taken_name="allowed")
    smart_flows_server.inject(Fault(method="POST", path="/flows/$", taken=True, **fault))
    made = run_task(create(name="x", input_fields=["a"], if_exists=if_exists))
    assert (made["action"], [made["flow_id"]]) == ("created", section.created)
    assert len(section.flows()) == 1


@pytest.mark.parametrize("fault", [{"action": "reset"}, {"action": "status", "status": 502}])
def test_a_creation_that_may_not_have_been_taken_is_left_to_a_retry_which_looks_first(
    smart_flows_server: DevServer, section: OcpSection, fault: dict[str, Any]
) -> None:
    smart_flows_server.inject(Fault(method="POST", path="/flows/$", **fault))
    with pytest.raises(FlowServiceError, match="It is open whether the flow was created") as unclear:
        run_task(create(name="x"))
    assert unclear.value.retry_helps
    assert "was asked several times since and has no flow of the name" in str(unclear.value)
    assert "A retry looks for the flow before it creates one" in str(unclear.value)
    assert len(section.asked("GET")) == 4
    assert run_task(create(name="x"), Attempt(try_number=2))["action"] == "created"
    assert len(section.created) == 1


def test_a_lost_answer_and_an_outage_after_it_are_told_together(
    smart_flows_server: DevServer, section: OcpSection
) -> None:
    smart_flows_server.inject(Fault(action="reset", method="POST", path="/flows/$", taken=True))
    smart_flows_server.inject(
        Fault(action="status", status=503, method="GET", path="/flows/$", after=1, count=None)
    )
    with pytest.raises(FlowServiceError, match="It is open whether the flow was created") as unclear:
        run_task(create(name="x"))
    assert "The platform could not be asked for it: GET /flows/ was answered with 503" in str(unclear.value)
    assert len(section.created) == 1


def test_another_flow_of_the_name_is_not_taken_for_the_one_that_was_created(
    smart_flows_server: DevServer, section: OcpSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    smart_flows_server.inject(Fault(action="reset", method="POST", path="/flows/$"))
    foreign: list[str] = []

    def sleep(seconds: float) -> None:
        if not foreign:
            foreign.append(section.add_flow("x", input_fields=["other"]))

    # Other threads sleep as ever.
    monkeypatch.setattr(on_ocp_flow, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(FlowSubmissionUnclearError) as unclear:
        run_task(create(name="x", input_fields=["a"]))
    assert not unclear.value.retry_helps
    assert f"now there are: 'x' (group default, id {foreign[0]})" in str(unclear.value)
    assert section.created == []


def test_a_refusal_of_the_platform_is_no_open_question(
    section: OcpSection, smart_flows_server: DevServer
) -> None:
    smart_flows_server.inject(
        Fault(
            action="status",
            status=400,
            method="POST",
            path="/flows/$",
            headers={"content-type": "application/json"},
            body='{"name": ["Reserved."]}',
        )
    )
    with pytest.raises(FlowRequestRefusedError, match="400: name: Reserved"):
        run_task(create(name="x"))
    assert len(section.asked("GET")) == 1


def test_a_throttled_creation_is_sent_again(smart_flows_server: DevServer, section: OcpSection) -> None:
    smart_flows_server.inject(Fault(action="status", status=429, method="POST", path="/flows/$", count=2))
    assert run_task(create(name="x"))["action"] == "created"
    assert len(section.created) == 1


# --- update ----------------------------------------------------------------------------------------------


def test_fields_are_replaced_and_those_not_given_are_kept(section: OcpSection) -> None:
    flow_id = section.add_flow("x", input_fields=["a"], output_fields=["b"])
    changed = run_task(update(flow_id=flow_id, output_fields=["c"]))
    assert (changed["input_fields"], changed["output_fields"]) == (["a"], ["c"])
    run_task(update(name="x", input_fields=[], output_fields=[]))
    flow = section.flow(flow_id)
    assert (flow["input_fields"], flow["output_fields"]) == ([], [])


def test_an_update_is_repeated_by_itself(smart_flows_server: DevServer, section: OcpSection) -> None:
    flow_id = section.add_flow("x")
    smart_flows_server.inject(Fault(action="reset", method="PUT", taken=True))
    assert run_task(update(flow_id=flow_id, input_fields=["a"], output_fields=[]))["input_fields"] == ["a"]
    assert section.updated == [flow_id, flow_id]


def test_an_update_without_fields_is_refused_at_parse_time() -> None:
    with pytest.raises(ValueError, match=r"^t: neither input_fields nor output_fields is given\.$"):
        update(flow_id="x")


# --- delete ----------------------------------------------------------------------------------------------


def test_a_flow_is_deleted_by_its_id_or_its_name(section: OcpSection) -> None:
    one, other = section.add_flow("one"), section.add_flow("other", group="Sales")
    assert run_task(delete(flow_id=one)) == {"flow_id": one, "deleted": True}
    assert run_task(delete(name="OTHER", group="sales")) == {"flow_id": other, "deleted": True}
    assert section.deleted == [one, other]


def test_a_missing_flow_can_be_no_matter(section: OcpSection) -> None:
    assert run_task(delete(flow_id="nope", if_missing="skip")) == {"flow_id": "nope", "deleted": False}
    assert run_task(delete(name="nope", if_missing="skip")) == {"flow_id": None, "deleted": False}
    assert section.deleted == []


@pytest.mark.parametrize("if_missing", ["fail", "skip"])
def test_a_flow_in_use_is_kept_and_the_message_lists_by_whom(section: OcpSection, if_missing: Any) -> None:
    flow_id = section.add_flow("x")
    section.use(flow_id, by=["some_app", "some_flow"])
    with pytest.raises(FlowRequestRefusedError) as refused:
        run_task(delete(name="x", if_missing=if_missing))
    assert "it is used by these apps/flows: some_app,some_flow" in str(refused.value)
    assert section.flow(flow_id)["name"] == "x"


@pytest.mark.parametrize("if_missing", ["fail", "skip"])
@pytest.mark.parametrize("fault", [{"action": "reset"}, {"action": "status", "status": 504}])
def test_a_lost_answer_to_a_deletion_is_cleared_up(
    smart_flows_server: DevServer, section: OcpSection, if_missing: Any, fault: dict[str, Any]
) -> None:
    flow_id = section.add_flow("x")
    smart_flows_server.inject(Fault(method="DELETE", taken=True, **fault))
    assert run_task(delete(flow_id=flow_id, if_missing=if_missing)) == {"flow_id": flow_id, "deleted": True}
    assert section.deleted == [flow_id]


def test_a_deletion_that_may_not_have_been_taken_is_left_to_a_retry(
    smart_flows_server: DevServer, section: OcpSection
) -> None:
    flow_id = section.add_flow("x")
    smart_flows_server.inject(Fault(action="reset", method="DELETE"))
    with pytest.raises(FlowServiceError, match="It is open whether the flow was deleted") as unclear:
        run_task(delete(flow_id=flow_id))
    assert "The flow is still there." in str(unclear.value)
    assert unclear.value.retry_helps
    smart_flows_server.inject(Fault(action="reset", method="DELETE"))
    smart_flows_server.inject(Fault(action="status", status=503, method="GET", count=None))
    with pytest.raises(FlowServiceError, match=r"could not be asked whether it is still there: .* 503"):
        run_task(delete(flow_id=flow_id))
    smart_flows_server.clear_faults()
    assert run_task(delete(flow_id=flow_id))["deleted"] is True


# --- what all share --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "option"),
    [(partial(create, name="x"), "if_exists"), (partial(delete, name="x"), "if_missing")],
)
def test_an_option_that_is_none_of_its_words_is_refused_at_parse_time(
    make: Callable[..., Any], option: str
) -> None:
    with pytest.raises(ValueError, match=rf"^t: {option} is 'ignore'; it takes one of 'fail', 'skip'"):
        make(**{option: "ignore"})


@pytest.mark.parametrize("make", [partial(create, name="x"), *(partial(one, name="x") for one in ON_A_FLOW)])
def test_a_refused_token_fails_the_task_for_good_and_is_not_shown(
    section: OcpSection, make: Callable[..., Any]
) -> None:
    section.rotate("another")
    with pytest.raises(FlowAuthenticationError) as refused:
        run_task(make())
    assert not refused.value.retry_helps
    assert TOKEN not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("make", [partial(create, name="x"), *(partial(one, name="x") for one in ON_A_FLOW)])
@pytest.mark.parametrize(
    "body",
    [b"[1]", b'{"name": 5}', b"[" * 5000, b"null", b'{"results": [{}]}', b'{"name": "x", "input_fields": 9}'],
)
def test_a_hostile_answer_is_an_error_of_the_tree(
    smart_flows_server: DevServer, section: OcpSection, make: Callable[..., Any], body: bytes
) -> None:
    smart_flows_server.inject(
        Fault(
            action="status",
            status=200,
            path="/flows/",
            count=None,
            body=body.decode(),
            headers={"content-type": "application/json"},
        )
    )
    with pytest.raises(FlowException):
        run_task(make())
    assert section.calls == []


@pytest.mark.parametrize(
    "kind", [OcpGetFlowOperator, OcpCreateFlowOperator, OcpUpdateFlowOperator, OcpDeleteFlowOperator]
)
def test_every_template_field_is_documented_as_one(kind: type[Any]) -> None:
    text = re.sub(r"\s+", " ", kind.__doc__ or "")
    for name in kind.template_fields:
        described = text.partition(f":param {name}:")[2].partition(":param")[0]
        assert "templated" in described or "likewise (templated)" in described, name
