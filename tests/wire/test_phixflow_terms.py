"""What can be said about an endpoint's answers, and that it survives a trigger's database row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smartflows_provider.wire.phixflow_terms import ActionflowTerms

OTHER = ActionflowTerms(
    endpoint="MyApp/My API",
    mode="wait",
    status_path="/jobs?id={id}",
    status_method="POST",
    id_field="data.id",
    status_field="data.state",
    success_words=("Done",),
    failure_words=("Broken",),
    running_words=(),
    success_codes=(200, 418),
    failure_codes=(422,),
    message_field="data.text",
    output_name="Order.Out",
    result_path="data.{output}",
    records_field="data.records",
    record_id_field="key",
    record_status_field="state",
    record_message_field="text",
    on_partial_failure="warn",
)


@pytest.mark.parametrize("terms", [ActionflowTerms(), OTHER])
def test_terms_survive_json(terms: ActionflowTerms) -> None:
    assert ActionflowTerms.from_dict(json.loads(json.dumps(terms.as_dict()))) == terms


def test_terms_of_another_version_are_read() -> None:
    read = ActionflowTerms.from_dict({"status_field": "state", "invented_later": [1]})
    assert read == ActionflowTerms(status_field="state")


@pytest.mark.parametrize(
    ("choices", "steps"),
    [
        ({}, ()),
        ({"output_name": "Order.Out"}, ("Order.Out",)),
        ({"output_name": "Order.Out", "result_path": "data.{output}.0"}, ("data", "Order.Out", "0")),
        ({"result_path": "data"}, ("data",)),
        ({"output_name": "Out", "result_path": ""}, ()),
    ],
)
def test_returned_data_is_found_by_the_outputs_name(choices: dict[str, Any], steps: tuple[str, ...]) -> None:
    assert ActionflowTerms(**choices).result_steps == steps


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"status_path": "/status"}, r"^status_path is '/status', but must be a path with \{id\} in it$"),
        ({"status_path": None}, "status_path is None"),
        ({"status_path": "/{name}/{id}"}, r"can have no place other than \{id\}"),
        ({"status_path": "status/{id}"}, "must start with one slash"),
        ({"status_path": "/../{id}"}, "consists of dots only"),
        ({"mode": "watch"}, "^mode is 'watch', but can be wait, poll$"),
        ({"status_method": "DELETE"}, "^status_method is 'DELETE', but can be GET, POST$"),
        (
            {"on_partial_failure": "ignore"},
            "^on_partial_failure is 'ignore', but can be fail, warn, succeed$",
        ),
        ({"id_field": None}, "^id_field is None, but must be keys with dots between them"),
        ({"status_field": "a..b"}, "^status_field is 'a..b', but must be keys"),
        ({"success_words": "Done"}, "^success_words is 'Done', but must be a list of words$"),
        ({"running_words": (" ",)}, "^running_words is .* but must be a list of words$"),
        ({"failure_codes": ("500",)}, "must be a list of HTTP codes from 200 to 599$"),
        ({"success_codes": (True,)}, "must be a list of HTTP codes"),
        ({"success_codes": (99,)}, "must be a list of HTTP codes"),
        (
            {"success_codes": (200, 429)},
            (
                "^success_codes has 429, by which a server refuses a call that it has not taken, so that it "
                "is sent again; have the endpoint answer with another code$"
            ),
        ),
        ({"failure_codes": (429,)}, "^failure_codes has 429, by which a server refuses"),
        (
            {"success_codes": (500,), "failure_codes": (500,)},
            "^success_codes and failure_codes both have 500$",
        ),
        ({"success_words": ("fail ",)}, "^success_words and failure_words both have fail$"),
        ({"success_words": ("running",)}, "^success_words and running_words both have running$"),
        ({"failure_words": ("RUNNING",)}, "^failure_words and running_words both have running$"),
        ({"output_name": ""}, "^output_name is '', but must be a text that is not empty$"),
        ({"result_path": "data.{output}"}, "there is no output_name to put there$"),
    ],
)
def test_what_no_answer_can_mean_is_refused_at_once(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ActionflowTerms(**choices)
