"""Arbitrary JSON of a vendor's vocabulary, and a service that answers every request alike."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import strategies as st

from smartflows_provider.wire.errors import WireError
from smartflows_provider.wire.messages import Exchange, Response


def scalars(*texts: str | int) -> st.SearchStrategy[Any]:
    """Return JSON values without parts; the given ones are among them."""
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    return plain | st.sampled_from(texts)


def json_values(keys: st.SearchStrategy[str], leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return JSON values whose objects have some of these keys."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
        max_leaves=12,
    )


def answer_all(exchange: Exchange[Any], *, status: int, body: bytes, location: str = "") -> None:
    """Answer every request of a call alike, and pass over its result and the wire's errors."""
    headers = {"content-type": "application/json", "location": location, "retry-after": location}
    with suppress(WireError, StopIteration):
        request = next(exchange)
        while True:
            request = exchange.send(Response(status=status, headers=headers, body=body, request=request))
