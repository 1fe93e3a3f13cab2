"""Which hook speaks to which flow system.

A trigger's row in the database names its system by its connection type; this is where the word becomes a
hook. The package's provider info says which class that is, so a further system needs no entry here. Hooks are
imported only when one is needed, because operators are imported at every DAG parse.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from smartflows_provider.get_provider_info import get_provider_info
from smartflows_provider.wire.run import NO_TERMS

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook
    from smartflows_provider.wire.run import Terms


def hook_for(system: str, conn_id: str, *, terms: Terms = NO_TERMS) -> FlowSystemHook:
    """
    Return the hook of a system for a connection.

    :param system: a connection type of this package's.
    :param conn_id: the Airflow connection.
    :param terms: of the run that the hook is for, where it is for one.
    :raises ValueError: if no such system is known.
    """
    hooks = {
        one["connection-type"]: one["hook-class-name"] for one in get_provider_info()["connection-types"]
    }
    if system not in hooks:
        raise ValueError(f"unknown flow system {system!r}; known are {', '.join(sorted(hooks))}")
    module, _, name = hooks[system].rpartition(".")
    hook = cast("FlowSystemHook", getattr(import_module(module), name)(conn_id))
    hook.terms = terms
    return hook
