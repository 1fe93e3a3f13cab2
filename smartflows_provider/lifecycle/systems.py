"""Which hook speaks to which flow system.

A trigger's row in the database names its system by a short word; this is where the word becomes a hook.
Hooks are imported only when one is needed, because operators are imported at every DAG parse.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from smartflows_provider.systems import SMART_FLOWS

if TYPE_CHECKING:
    from smartflows_provider.hooks.base import FlowSystemHook

_HOOKS: dict[str, tuple[str, str]] = {
    SMART_FLOWS: ("smartflows_provider.hooks.smart_flows", "SmartFlowsHook"),
}


def hook_for(system: str, conn_id: str) -> FlowSystemHook:
    """
    Return the hook of a system for a connection.

    :param system: a :data:`smartflows_provider.systems.FlowSystem`.
    :param conn_id: the Airflow connection.
    :raises ValueError: if no such system is known.
    """
    if system not in _HOOKS:
        raise ValueError(f"unknown flow system {system!r}; known are {', '.join(sorted(_HOOKS))}")
    module, name = _HOOKS[system]
    return cast("FlowSystemHook", getattr(import_module(module), name)(conn_id))
