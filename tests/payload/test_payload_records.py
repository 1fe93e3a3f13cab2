"""Plug-in records as the service's JSON."""

from __future__ import annotations

import json

import pytest

from smartflows_provider.payload.errors import UnsupportedInput
from smartflows_provider.payload.records import records_json

EXAMPLE = '{"id": ["…"], "entity": "account", "userId": "…"}'
GOOD = {"id": ["1", "2"], "entity": "account", "userId": "u"}


@pytest.mark.parametrize(
    ("records", "body"),
    [
        (GOOD, GOOD),
        ({**GOOD, "id": "1"}, {**GOOD, "id": ["1"]}),
        ({**GOOD, "id": 5}, {**GOOD, "id": ["5"]}),
        ({**GOOD, "id": ("1",)}, {**GOOD, "id": ["1"]}),
        ({**GOOD, "organizationUniqueName": "örg"}, {**GOOD, "organizationUniqueName": "örg"}),
        ({**GOOD, "organizationUniqueName": None}, GOOD),
    ],
)
def test_ids_are_always_an_array_and_optional_keys_may_be_absent(records, body):
    assert json.loads(records_json(records)) == body


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([GOOD], f"records are a mapping such as {EXAMPLE}, not list"),
        ({"id": "1"}, f"records lack 'entity' and 'userId'; they look like {EXAMPLE}"),
        ({**GOOD, "id": []}, f"records lack 'id'; they look like {EXAMPLE}"),
        (
            {**GOOD, "user": "x"},
            "records have the unknown key 'user'; there are id, entity, userId, organizationUniqueName",
        ),
        ({**GOOD, "entity": ["a"]}, "records: 'entity' is a text, not list"),
        ({**GOOD, "id": [["1"]]}, "records: 'id' is a text, not list"),
        ({**GOOD, "id": ["1", ""]}, "records: 'id' is empty or holds characters that cannot be printed"),
        (
            {**GOOD, "userId": "\ud800"},
            "records: 'userId' is empty or holds characters that cannot be printed",
        ),
    ],
)
def test_records_that_the_service_would_not_take_are_named_with_what_to_change(records, message):
    with pytest.raises(UnsupportedInput) as caught:
        records_json(records)
    assert str(caught.value) == message
