"""What the server offers besides Smart Flows: one section for each further flow system.

A section is a small stand-in of its own below addresses of its own, with its own credential, memory and
profile; it shares with the others the socket, the clock, the faults and the journal. Invariant: adding a
section changes nothing outside of its module and the provider info, which names its class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, Protocol, TypeVar

from starlette.requests import Request
from starlette.routing import BaseRoute

from smartflows_provider.get_provider_info import DEVSERVER_SECTION, get_provider_info

P = TypeVar("P")


class Section(Protocol):
    """
    The stand-in of one further system.

    :param now: gives the server's epoch seconds, which tests put ahead.
    """

    name: ClassVar[str]
    """The connection type."""

    def __init__(self, now: Callable[[], float]) -> None: ...

    def routes(self) -> Sequence[BaseRoute]:
        """Return what it answers, each below an address of its own."""

    def connection(self, *, host: str, port: int) -> dict[str, Any]:
        """
        Return the Airflow connection that leads to it, as an object for ``AIRFLOW_CONN_…``.

        :param host: with its scheme.
        """

    def configure(self, **choices: Any) -> None:
        """
        Change some choices of its profile.

        :raises ValueError: for an unknown name or value; the message lists what there is.
        """


def known_sections() -> tuple[type[Section], ...]:
    """Return the sections of all systems that have one, in the order of the provider info."""
    systems = get_provider_info()["connection-types"]
    paths = [one[DEVSERVER_SECTION].rpartition(".") for one in systems if DEVSERVER_SECTION in one]
    return tuple(getattr(import_module(module), name) for module, _, name in paths)


def changed(profile: P, choices: Mapping[str, Any]) -> P:
    """
    Return a profile with other choices; texts, as a command line has them, become what the defaults are.

    :param profile: a dataclass that checks itself.
    :param choices: by the names of its fields.
    :raises ValueError: for an unknown name or value; the message lists what there is.
    """
    known: Any = profile
    values = {field.name: getattr(known, field.name) for field in dataclasses.fields(known)}
    read: dict[str, Any] = {}
    for name, value in choices.items():
        if name not in values:
            raise ValueError(f"a profile has no {name!r}; it has {', '.join(values)}")
        read[name] = _like(values[name], value, name)
    replaced: P = dataclasses.replace(known, **read)
    return replaced


def _like(default: Any, value: Any, name: str) -> Any:
    """Return a value of the type that the default has."""
    if not isinstance(value, str) or isinstance(default, str) or default is None:
        return value
    if isinstance(default, bool):
        if value.lower() in {"true", "false"}:
            return value.lower() == "true"
        raise ValueError(f"{name} is {value!r}, but must be true or false")
    try:
        return type(default)(value)
    except ValueError:
        raise ValueError(f"{name} is {value!r}, but must be a number") from None


def path_part(request: Request, name: str) -> str:
    """Return a part of a request's path as it was sent, slashes included."""
    return str(request.path_params[name]).replace("%2F", "/")
