"""Python values in XSD lexical form."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

import numpy
import pytest

from smartflows_provider.payload.errors import UnsupportedInput, UnusableText
from smartflows_provider.payload.values import lexical, quick_lexical


class Colour(Enum):
    RED = "red"


class Scalar:
    """Looks like a NumPy scalar."""

    shape = ()

    def item(self) -> int:
        return 7


def here() -> str:
    return "row 3, field 'x'"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (True, "text", "true"),
        (False, "boolean", "false"),
        (True, "integer", "1"),
        (5, "text", "5"),
        (-7, "gYear", "-0007"),
        (2013, "gYear", "2013"),
        (2.5, "text", "2.5"),
        (5.0, "text", "5.0"),
        (5.0, "integer", "5"),
        (5.5, "integer", "5.5"),
        (1e-7, "decimal", "0.0000001"),
        (1e-7, "float", "1e-07"),
        (1e22, "decimal", "10000000000000000000000"),
        (float("nan"), "float", "NaN"),
        (float("inf"), "float", "INF"),
        (float("-inf"), "float", "-INF"),
        (Decimal("5.00"), "integer", "5"),
        (Decimal("5.00"), "decimal", "5.00"),
        (Decimal("1E+3"), "text", "1000"),
        (Decimal("NaN"), "text", "NaN"),
        (date(2013, 1, 5), "text", "2013-01-05"),
        (date(2013, 1, 5), "dateTime", "2013-01-05T00:00:00"),
        (date(2013, 1, 5), "gYearMonth", "2013-01"),
        (date(2013, 1, 5), "gYear", "2013"),
        (datetime(2013, 1, 5), "date", "2013-01-05"),
        (datetime(2013, 1, 5, 6), "date", "2013-01-05T06:00:00"),
        (datetime(2013, 1, 5, 6, tzinfo=UTC), "dateTime", "2013-01-05T06:00:00+00:00"),
        (time(6, 30), "text", "06:30:00"),
        (timedelta(days=1, seconds=90, microseconds=500_000), "text", "P1DT90.5S"),
        (timedelta(seconds=-100), "text", "-P0DT100S"),
        (b"\x01\xff", "text", "Af8="),
        (b"\x01\xff", "hexBinary", "01FF"),
        (UUID(int=1), "text", "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "text", "red"),
        (Scalar(), "integer", "7"),
        ("a\tb\n\u00e9\U0001f600", "text", "a\tb\n\u00e9\U0001f600"),
    ],
)
def test_value_is_rendered_in_the_lexical_form_of_its_type(value, kind, text):
    assert lexical(value, kind=kind, where=here) == text
    assert quick_lexical(value, kind) in {text, None}


def test_pandas_missing_time_is_an_error_and_not_a_text():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(
        UnusableText, match=r"row 3, field 'x': a missing time \(NaT\) has no XML form; give None"
    ):
        lexical(pandas.NaT, where=here)
    assert quick_lexical(pandas.NaT, "date") is None


@pytest.mark.parametrize("code", [0, 0xB, 0x1F, 0xFFFE, 0xFFFF, 0xD800, 0xDFFF])
def test_character_that_xml_cannot_carry_is_named_with_its_place(code):
    bad = chr(code)
    with pytest.raises(UnusableText) as caught:
        lexical(f"ab{bad}c", where=here)
    assert str(caught.value) == (
        f"row 3, field 'x': XML cannot carry the character U+{code:04X} at position 2; "
        "remove it from the data, or have it replaced by U+FFFD with bad_characters='replace'"
    )
    assert quick_lexical(f"ab{bad}c", "text") is None


def test_character_that_xml_cannot_carry_is_replaced_on_request():
    assert lexical("a\0b\x01", where=here, bad_characters="replace") == "a\ufffdb\ufffd"


@pytest.mark.parametrize("value", [object(), {"a": 1}, [1], 1j])
def test_value_without_xml_form_is_named_by_its_type(value):
    with pytest.raises(
        UnsupportedInput, match=rf"row 3, field 'x': a value of type {type(value).__name__} has no"
    ):
        lexical(value, where=here)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (numpy.datetime64("2026-02-28T08:30:00.000001", "ns"), "2026-02-28T08:30:00.000001"),
        (numpy.timedelta64(1_500_000_000, "ns"), "P0DT1.5S"),
    ],
)
def test_a_moment_or_a_span_of_numpy_is_no_bare_number(value, text):
    assert lexical(value, where=here) == text


@pytest.mark.parametrize(
    "value", [numpy.datetime64(1, "ns"), numpy.timedelta64(1, "ns"), numpy.timedelta64(1, "M")]
)
def test_a_moment_or_a_span_of_numpy_that_would_lose_something_is_refused(value):
    with pytest.raises(UnsupportedInput, match=r"row 3, field 'x': a value of type \w+64 has no XML form"):
        lexical(value, where=here)
