"""The JSON that values become which JSON has no form for, and those that become none."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy
import pytest

from smartflows_provider.wire.errors import UnsendableValue
from smartflows_provider.wire.messages import json_body


class Colour(str, enum.Enum):  # noqa: UP042 - what it mixes in is the point
    RED = "red"


class Level(enum.Enum):
    HIGH = Decimal("3.0")
    DAY = date(2024, 5, 2)
    ODD = frozenset({1})


class NotATime(datetime):
    """Stands for pandas' NaT."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = datetime.__hash__

    def isoformat(self, *_: Any, **__: Any) -> str:
        return "NaT"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2024, 5, 2), '"2024-05-02"'),
        (datetime(2024, 5, 2, 7, 30, tzinfo=UTC), '"2024-05-02T07:30:00+00:00"'),
        (datetime(2024, 5, 2, 7, 30), '"2024-05-02T07:30:00"'),
        (time(7, 30), '"07:30:00"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("5.00"), "5"),
        (Decimal("0.1"), "0.1"),
        (Decimal("-1E+3"), "-1000"),
        (Colour.RED, '"red"'),
        (Level.HIGH, "3"),
        (Level.DAY, '"2024-05-02"'),
        ((1, 2), "[1, 2]"),
        (numpy.int64(7), "7"),
        (numpy.float32(0.5), "0.5"),
    ],
)
def test_a_value_with_one_usual_form_is_sent_in_it(value: Any, text: str) -> None:
    assert json_body({"a": [value]}, "the body") == f'{{"a": [{text}]}}'.encode()


@pytest.mark.parametrize(
    "value",
    [
        {1}, b"x", Fraction(1, 3), numpy.zeros(2),
        timedelta(1), object(), Path("x"), Level.ODD, Decimal("NaN"), Decimal("Infinity"),
        Decimal("0.10000000000000000000000001"), Decimal("1E+1000000"), NotATime(2024, 5, 2),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_without_one_is_an_error_that_names_its_place_and_type(value: Any) -> None:
    with pytest.raises(UnsendableValue) as refused:
        json_body({"fine": 1, "rows": [{"when": value}]}, "the body")
    assert str(refused.value) == (
        "the body cannot be sent as JSON: 'rows': JSON has no form for a value of type "
        f"{type(value).__name__}; give text, numbers, true, false, None, dates, times, lists and mappings "
        "with texts for keys"
    )
    assert str(refused.value.without_detail()) == "the body cannot be sent as JSON"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": float("nan")}, "'a': "),
        ([1, float("inf")], "number 2: "),
        ({"a": 10**5000}, "'a': "),
        ({(1, 2): 1}, ""),
        ({1}, ""),
        ({"x" * 500: {1}}, f"'{'x' * 79}…: "),
    ],
)
def test_what_is_wrong_is_named_by_its_place(value: Any, place: str) -> None:
    with pytest.raises(UnsendableValue) as refused:
        json_body(value, "it")
    rest = str(refused.value).removeprefix("it cannot be sent as JSON: ")
    assert rest.startswith(place)
    assert place or not rest.startswith(("'", "number"))


def test_deep_and_endless_values_are_errors() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for value in (deep, endless, {"a": deep}):
        with pytest.raises(UnsendableValue, match=r"^it cannot be sent as JSON"):
            json_body(value, "it")


def test_plain_json_is_sent_as_it_is() -> None:
    value = {"a": [1, 2.5, True, None, "Ü"], "b": {"c": {}}, "1": ""}
    assert json.loads(json_body(value, "it")) == value
