"""Connections of ``requests`` that tell whether they ever stood.

urllib3 raises the same errors for a TLS handshake that breaks off and for an answer that never comes, yet
only the first proves that the service has taken nothing. Invariant: an error that leaves ``connect`` is
marked, whatever wraps it later, and no other is.
"""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

_MARK = "smartflows_while_connecting"


def never_stood(error: BaseException) -> bool:
    """Tell whether an error left ``connect``; ask for each of its causes."""
    return getattr(error, _MARK, False)


class _PlainConnection(HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            setattr(error, _MARK, True)
            raise


class _TlsConnection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            setattr(error, _MARK, True)
            raise


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class MarkingAdapter(HTTPAdapter):
    """The adapter of ``requests`` with connections that mark their errors, also through proxies."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools for direct connections."""
        super().init_poolmanager(*args, **kwargs)
        _use_marking_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        """Return the pools for connections through a proxy."""
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        _use_marking_pools(manager)
        return manager


def _use_marking_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
