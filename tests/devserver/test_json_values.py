"""JSON that comes in, and values that shall become JSON."""

from __future__ import annotations

from typing import Any

import pytest

from smartflows_provider.devserver.json_values import MAX_DEPTH, NotJson, check_json, read_json


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_plain_values_pass_and_come_back() -> None:
    assert read_json(b'{"a": [1, 2.5, "x", null, true]}') == {"a": [1, 2.5, "x", None, True]}
    check_json({"a": (1, _nested(MAX_DEPTH - 2))})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[,", r"is not JSON: Expecting value"),
        (b"\xff\xfe\xff", r"is not JSON: 'utf-16-le' codec can't decode"),
        (b'{"a": NaN}', r"cannot be used: a is nan \(float\), which JSON cannot hold"),
        (b"[1, -1e999]", r"cannot be used: \[1\] is -inf \(float\), which JSON cannot hold"),
        (b'{"a": "\\ud800"}', "cannot be used: a holds half of a surrogate pair"),
        (b'{"\\ud800": 1}', "cannot be used: the value has a key with half of a surrogate pair"),
        (b"[" * 101 + b"]" * 101, "cannot be used: it is nested more than 100 levels deep"),
        (b"[" * 20_000 + b"]" * 20_000, "cannot be used: it is nested more than 100 levels deep"),
    ],
)
def test_a_body_that_cannot_be_json_again_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(NotJson, match=f"^{message}"):
        read_json(body)
