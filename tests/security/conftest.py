"""Fixtures of the tests about keys, ids and addresses."""

from __future__ import annotations

from support.loopback import certificates, plain_environment, serve
from support.service import hook, server

__all__ = ["certificates", "hook", "plain_environment", "serve", "server"]
