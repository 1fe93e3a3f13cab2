"""What a flow.yaml may say, and what it is told when it cannot be used."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import pytest
from devserver_calling import XSD

from smartflows_provider.devserver.flows import (
    DocumentStep,
    FlowDefinitionError,
    bundled_folder,
    load_flows,
    read_flow,
)

INCLUDE = "<xs:include schemaLocation='x.xsd'/><xs:element"
EXAMPLES = Path(__file__).parents[2] / "example_dags" / "flows"


def test_a_folder_is_read_with_schema_and_templates(tmp_path: Path) -> None:
    folder = tmp_path / "order"
    folder.mkdir()
    (folder / "order.xsd").write_text(XSD)
    (folder / "page.html.j2").write_text("<p>{{ data.Customer }}</p>")
    (folder / "flow.yaml").write_text(
        "name: Order\nstart_from: program\nxsd: order.xsd\nqueued: 1.5\n"
        "steps:\n  - {kind: document, template: page.html.j2, message: Writing, duration: 2}\n"
    )
    [flow] = load_flows(tmp_path)
    assert (flow.name, flow.start_from, flow.queued, flow.xsd) == ("Order", "program", 1.5, XSD)
    [step] = flow.steps
    assert isinstance(step, DocumentStep)
    assert (step.id, step.name, step.seconds, step.file_name) == ("step1", "Writing", 2.0, "Writing.pdf")
    assert (list(step.place), step.format) == (["step1"], "pdf")
    assert read_flow(json.loads(json.dumps(flow.source))) == flow


def test_an_id_follows_from_the_name_where_none_is_given() -> None:
    assert read_flow({"name": "A"}).id == read_flow({"name": "A"}).id != read_flow({"name": "B"}).id
    assert read_flow({"name": "A", "id": "x"}).id == "x"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "a flow is a mapping with a 'name'"),
        ({"steps": []}, "a flow is a mapping with a 'name'"),
        ({"name": "F", "colour": 1}, "flow 'F': a flow has no colour; it has id, name"),
        ({"name": "F", "start_from": "moon"}, "'start_from' is 'moon', but can be panel, plugin, program"),
        ({"name": "F", "start_from": "program"}, "starts from a 'program' has an 'xsd', and no other has"),
        ({"name": "F", "xsd": XSD}, "starts from a 'program' has an 'xsd', and no other has"),
        ({"name": "F", "start_from": "program", "xsd": "<a/>"}, "the XSD cannot be used: "),
        (
            {"name": "F", "start_from": "program", "xsd": XSD.replace("<xs:element", INCLUDE, 1)},
            "the XSD must stand alone, but has an xs:include",
        ),
        ({"name": "F", "queued": "long"}, "'queued' is a number of seconds, not 'long'"),
        ({"name": "F", "steps": "all"}, "'steps' is a list of mappings"),
        (
            {"name": "F", "steps": [{"kind": "dance"}]},
            "step 1: there is no kind 'dance'; there are work, form",
        ),
        ({"name": "F", "steps": [{"duration": -1}]}, r"step 1 \(step1\): 'duration' is a number of seconds"),
        ({"name": "F", "steps": [{"fields": []}]}, "a step of kind 'work' has no fields; it has duration"),
        ({"name": "F", "steps": [{"kind": "form"}]}, "a form needs 'fields', a list"),
        ({"name": "F", "steps": [{"kind": "form", "fields": [{}]}]}, "a form's field needs a 'key'"),
        (
            {"name": "F", "steps": [{"kind": "form", "fields": [{"key": "x", "type": "date"}]}]},
            "'type' is 'date', but can be string, integer, number, boolean",
        ),
        ({"name": "F", "steps": [{"kind": "output"}]}, "an output needs 'values', a mapping"),
        (
            {"name": "F", "steps": [{"kind": "document", "template": "x"}]},
            r"there is no template 'x'; there are \[\]",
        ),
        (
            {"name": "F", "steps": [{"kind": "status", "status": "Success"}]},
            "'status' that is no documented word",
        ),
        (
            {"name": "F", "steps": [{"kind": "status", "status": "user input"}]},
            "'status' that is no documented word",
        ),
        ({"name": "F", "steps": [{"id": "a"}, {"id": "a"}]}, "two steps have the same 'id'"),
        ({"name": ["F"]}, r"'name' is a text, not \['F'\]"),
        ({"name": "F", "xsd": [1]}, r"flow 'F': 'xsd' is a text, not \[1\]"),
        ({"name": "F", "templates": ["x"]}, r"'templates' is a mapping of texts, not \['x'\]"),
        ({"name": "F", "steps": [{"when": False}]}, "'when' is a text, not False"),
        ({"name": "F", "steps": [{"kind": "fail", "causes": 5}]}, "'causes' is a list of texts, not 5"),
        (
            {"name": "F", "steps": [{"kind": "form", "fields": [{"key": "x", "choices": 5}]}]},
            "'choices' is a list, not 5",
        ),
        (
            {"name": "F", "steps": [{"kind": "form", "fields": [{"key": "x", "required": "no"}]}]},
            "'required' is true or false, not 'no'",
        ),
        (
            {"name": "F", "steps": [{"kind": "output", "values": {}, "titles": [1]}]},
            r"'titles' is a mapping of texts, not \[1\]",
        ),
        ({"name": "F", "queued": math.nan}, "'queued' is a number of seconds, not nan"),
        ({"name": "F", "steps": [{"duration": 10**400}]}, "'duration' is a number of seconds, not 1000"),
        (
            {"name": "F", "steps": [{"kind": "output", "values": {"a": [datetime.date(2026, 1, 2)]}}]},
            r"steps\[0\]\.values\.a\[0\] is 2026-01-02 \(date\), which JSON cannot hold; put it in quotes",
        ),
        (
            {"name": "F", "steps": [{"kind": "output", "values": {1: "a", "b": "c"}}]},
            r"steps\[0\]\.values has the key 1, which is no text; put it in quotes",
        ),
        (
            {"name": "F", "steps": [{"kind": "output", "values": {"a": math.inf}}]},
            r"steps\[0\]\.values\.a is inf \(float\), which JSON cannot hold",
        ),
        (
            {"name": "F", "steps": [{"message": "\ud800"}]},
            r"steps\[0\]\.message holds half of a surrogate pair",
        ),
    ],
)
def test_a_definition_that_cannot_be_used_says_why(source: Any, message: str) -> None:
    with pytest.raises(FlowDefinitionError, match=message):
        read_flow(source)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlowDefinitionError, match=r"holds no flow: expected <name>/flow\.yaml in it"):
        load_flows(tmp_path)
    path = tmp_path / "broken" / "flow.yaml"
    path.parent.mkdir()
    for text, message in (
        ("name: [", "while parsing"),
        ("name: F\nstart_from: program\nxsd: no.xsd\n", "No such file"),
        ("- a list\n", "a flow is a mapping"),
        ("name: F\nxsd: [1]\n", "'xsd' is a text"),
        ("name: F\nqueued: 2026-13-45\n", "month must be in 1..12"),
        ("name: F\nsteps: [{kind: output, values: &loop {again: *loop}}]\n", "nested more than 100 levels"),
        ("[" * 20_000, "nested more than 100 levels"),
    ):
        path.write_text(text)
        with pytest.raises(FlowDefinitionError, match=message) as error:
            load_flows(tmp_path)
        assert str(error.value).startswith(str(path))


def test_the_bundled_and_the_example_flows_can_be_used() -> None:
    assert [flow.name for flow in load_flows(bundled_folder())] == ["Sales report"]
    names = [flow.name for flow in load_flows(EXAMPLES)]
    assert {"Flight report", "Carrier ranking", "Carrier letter"} <= set(names)
