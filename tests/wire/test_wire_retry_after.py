"""Retry-After in every form that services have been seen to send."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartflows_provider.wire.retry_after import read_retry_after

NOON = "Thu, 02 May 2024 12:00:00 GMT"
NOON_EPOCH = 1714651200.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("-5", 0.0),
        ("1e308", 1e308),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Mon, 99 Foo 2024", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
    ],
)
def test_a_number_of_seconds_is_read_and_nonsense_is_none(text: str, seconds: float | None) -> None:
    assert read_retry_after({"retry-after": text}, now=NOON_EPOCH) == seconds


def test_a_missing_header_is_none() -> None:
    assert read_retry_after({}) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 02 May 2024 12:01:30 GMT", 90.0),
        ("Thu, 02 May 2024 12:01:30 -0000", 90.0),
        ("Thu, 02 May 2024 14:01:30 +0200", 90.0),
        ("Thu, 02 May 2024 11:00:00 GMT", 0.0),
    ],
)
def test_a_date_counts_from_now(text: str, seconds: float) -> None:
    assert read_retry_after({"retry-after": text}, now=NOON_EPOCH) == seconds


def test_the_answers_own_date_wins_over_this_machines_clock() -> None:
    headers = {"retry-after": "Thu, 02 May 2024 12:00:10 GMT", "date": NOON}
    assert read_retry_after(headers, now=NOON_EPOCH + 5000) == 10.0


def test_an_unreadable_date_of_the_answer_leaves_this_machines_clock() -> None:
    headers = {"retry-after": "Thu, 02 May 2024 12:00:10 GMT", "date": "today"}
    assert read_retry_after(headers, now=NOON_EPOCH) == 10.0


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,20} \d\d:\d\d:\d\d.{0,6}"))
def test_no_text_does_harm(text: str) -> None:
    seconds = read_retry_after({"retry-after": text, "date": text}, now=NOON_EPOCH)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
