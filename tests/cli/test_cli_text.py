"""Foreign texts on a terminal, and numbers for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartflows_provider.cli.text import cells, count, cut, pad, printable, span


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bericht für März", "Bericht für März"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("ab\u202ecd", "ab\\u202ecd"),
        ("\x9b2J\x07\x00", "\\x9b2J\\x07\\x00"),
        ("lone \ud800", "lone \\ud800"),
        ("Rapport\u00a0: x", "Rapport : x"),
        ("見積もり", "見積もり"),
    ],
)
def test_what_is_no_plain_sign_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters()))
def test_no_text_can_act_on_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown


@given(st.text(max_size=40), st.integers(min_value=1, max_value=30))
def test_a_cut_text_takes_no_more_than_its_width(text: str, width: int) -> None:
    shown = printable(text)
    assert cells(cut(shown, width)) <= width
    assert cells(pad(cut(shown, width), width)) == width
    if cells(shown) <= width:
        assert cut(shown, width) == shown


def test_wide_signs_take_two_columns_and_combining_ones_none() -> None:
    assert (cells("見積"), cells("e\u0301"), cut("見積もり", 5)) == (4, 1, "見積…")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (11_520, "3 h 12 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
        (864_000 + 7200, "10 d 2 h"),
        (None, "unknown"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float | None, shown: str) -> None:
    assert span(seconds) == shown


def test_a_number_has_its_noun() -> None:
    assert [count(number, "execution") for number in (0, 1, 2)] == [
        "0 executions",
        "1 execution",
        "2 executions",
    ]
