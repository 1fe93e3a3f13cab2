"""Fixtures of this room's tests."""

from __future__ import annotations

from functools import partial

import pytest
from support.service import server

from smartflows_provider.transport import asynchronous
from smartflows_provider.transport.repetition import Repetition

__all__ = ["server"]


@pytest.fixture(autouse=True)
def repetitions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of the notifier send with the async client."""
    monkeypatch.setattr(asynchronous, "Repetition", partial(Repetition, first_pause=0.01, longest_pause=0.05))
