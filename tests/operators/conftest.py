"""Fixtures of this room's tests."""

from __future__ import annotations

from support.interruptions import stop
from support.service import hook, server

__all__ = ["hook", "server", "stop"]
