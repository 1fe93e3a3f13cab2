"""Fixtures of this room's tests."""

from __future__ import annotations

from support.service import hook, server

__all__ = ["hook", "server"]
