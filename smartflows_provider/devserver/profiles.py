"""How the server behaves where the vendor's documents are silent.

A :class:`Profile` holds one choice per open question; :data:`PROFILES` names a handful that together take
every choice at least once, so that a suite which runs over them meets all of them. Invariant: a profile
changes only what is undocumented, never a documented fact.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One reading of everything the vendor leaves open."""

    create_status: Literal[200, 201, 202] = 200
    """HTTP status of a successful start."""
    lists: Literal["array", "page"] = "array"
    """Lists as a plain array, or as a page object with ``content``."""
    list_paging: Literal["honoured", "ignored"] = "honoured"
    """Whether ``page`` and ``size`` have an effect, or every page shows everything."""
    cancel_address: Literal["progress", "execution", "both"] = "progress"
    """Where ``DELETE`` cancels: ``…/{id}/progress``, ``…/{id}``; the other one answers 405."""
    cancel_answer: Literal["object", "empty"] = "object"
    """A cancellation answers with the progress, or with 204 and nothing."""
    cancel_seconds: float = 0.0
    """How long a cancelled execution goes on before its status is ``Canceled``."""
    hold: Literal["honoured", "ignored", "rejected"] = "honoured"
    """What ``timeout`` does to a progress call: hold it, nothing, or 400."""
    zero_hold: Literal["none", "default", "rejected"] = "none"
    """What ``timeout=0`` means: an answer at once, the hold of a call without ``timeout``, or 400."""
    filter_by_id: Literal["honoured", "ignored", "rejected"] = "honoured"
    """What a condition on ``id`` does to a filter: select, nothing, or 400."""
    long_poll_until: Literal["status", "change"] = "status"
    """What ends a held call early: another status, or also another message or percentage."""
    error_body: Literal["json", "html", "empty", "text"] = "json"
    """The form of an error's body."""
    purged: Literal[404, 410] = 404
    """HTTP status of an execution or document that the clean-up took."""
    status_spelling: Literal["wire", "manual", "lower", "upper"] = "wire"
    """``UserInput`` as in the SDK, ``User input`` as in the manuals, ``userinput``, or ``USERINPUT``."""
    document_transfer: Literal["length", "chunked"] = "length"
    """Documents with a ``Content-Length``, or in chunks without one."""
    speed: float = 1.0
    """Steps take their duration divided by this."""

    def __post_init__(self) -> None:
        for name, choices in _choices().items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} is {value!r}, but can be {', '.join(map(str, choices))}")
        if not _is_finite(self.speed) or self.speed <= 0:
            raise ValueError(f"speed is {self.speed!r}, but must be a finite number above 0")
        if not _is_finite(self.cancel_seconds) or self.cancel_seconds < 0:
            raise ValueError(f"cancel_seconds is {self.cancel_seconds!r}, but must be a finite number from 0")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _choices() -> dict[str, tuple[object, ...]]:
    hints = get_type_hints(Profile)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


PROFILES: Mapping[str, Profile] = {
    "default": Profile(),
    "created_page_html": Profile(
        create_status=201,
        lists="page",
        error_body="html",
        purged=410,
        cancel_address="execution",
        cancel_answer="empty",
    ),
    "accepted_unheld_silent": Profile(
        create_status=202,
        hold="ignored",
        list_paging="ignored",
        filter_by_id="ignored",
        error_body="empty",
        status_spelling="manual",
        document_transfer="chunked",
    ),
    "rejected_hold_lower_text": Profile(
        hold="rejected",
        zero_hold="rejected",
        filter_by_id="rejected",
        status_spelling="lower",
        error_body="text",
        cancel_address="both",
    ),
    "upper_change_paged": Profile(
        status_spelling="upper",
        zero_hold="default",
        long_poll_until="change",
        lists="page",
        list_paging="ignored",
    ),
}
"""Profiles that together take every choice at least once."""


def read_profile(settings: Iterable[str]) -> Profile:
    """
    Return the profile that command line settings describe.

    :param settings: each the name of one in :data:`PROFILES`, or ``key=value``; later ones win.
    :raises ValueError: for an unknown name, key or value; the message lists what there is.
    """
    profile = Profile()
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            if key not in PROFILES:
                raise ValueError(f"there is no profile {key!r}; there are {', '.join(PROFILES)}")
            profile = PROFILES[key]
            continue
        defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Profile)}
        if key not in defaults:
            raise ValueError(f"a profile has no {key!r}; it has {', '.join(defaults)}")
        try:
            value = type(defaults[key])(text)
        except ValueError:
            raise ValueError(f"{key} is {text!r}, but must be a number") from None
        profile = dataclasses.replace(profile, **{key: value})
    return profile
