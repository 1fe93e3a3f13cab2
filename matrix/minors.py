"""Which versions of Airflow are supported, each by the newest release of its minor and a day.

Why a day: Airflow's older releases do not run with the newest ones of what they depend on. A few days after a
release all that it needs was there, and nothing that came later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Minor:
    """A minor version of Airflow, as it is tested."""

    name: str
    """`3.1`, say; names the virtual environment `.venv-3.1`."""
    airflow: str
    """The exact version."""
    newest: str
    """The day, as `2026-03-15`, from which on nothing that was released is installed."""


MINORS = (
    Minor(name="3.1", airflow="3.1.8", newest="2026-03-15"),
    Minor(name="3.2", airflow="3.2.2", newest="2026-06-10"),
    Minor(name="3.3", airflow="3.3.2", newest="2026-10-10"),
    Minor(name="3.4", airflow="3.4.0b2", newest="2026-11-05"),
)
"""The supported ones, the oldest first."""


class UnknownMinorError(ValueError):
    """There is no such version in the list; the message names those that there are."""


def chosen(names: Sequence[str]) -> tuple[Minor, ...]:
    """
    Return the minors that are named, in the list's order; all where none is.

    :param names: `3.1`, say.
    :raises UnknownMinorError: if one is not in the list.
    """
    known = {minor.name: minor for minor in MINORS}
    if unknown := [name for name in names if name not in known]:
        raise UnknownMinorError(f"{', '.join(unknown)} is not in the list: {', '.join(known)}")
    return tuple(minor for minor in MINORS if not names or minor.name in names)


def version_named(name: str) -> Minor:
    """
    Return what to install for a minor, or for an exact version of one, which has that minor's day.

    :param name: `3.4` or `3.4.0b1`, say.
    :raises UnknownMinorError: if its minor is not in the list.
    """
    found = re.match(r"\d+\.\d+", name)
    (minor,) = chosen([found[0] if found else name])
    return minor if name == minor.name else replace(minor, name=name, airflow=name)
