"""How the PhixFlow section behaves where the vendor's documents are silent.

A :class:`PhixFlowProfile` holds one choice per open question; :data:`PROFILES` names some that together take
every choice at least once. Invariant: a profile changes only what is undocumented; :func:`terms_of` tells a
client all it needs to know of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from smartflows_provider.wire.messages import segment
from smartflows_provider.wire.phixflow_terms import ActionflowTerms


@dataclass(frozen=True, kw_only=True)
class PhixFlowProfile:
    """One reading of everything the vendor leaves open."""

    key_header: Literal["Authorization", "X-API-Key"] = "Authorization"
    """The header that the key comes in."""
    key_form: Literal["bearer", "plain"] = "bearer"
    """The header's value: ``Bearer <key>``, or the key alone."""
    id_field: Literal["processId", "id", "nested"] = "processId"
    """Where the first answer has the process id; ``nested`` is ``data.processId``."""
    id_kind: Literal["number", "text"] = "number"
    """Process ids as numbers, or as texts with a slash in them."""
    status_address: Literal["process", "endpoint", "query"] = "process"
    """
    Where a run's status is: ``/action/<id>/status``, ``/action/<application>/<actionflow>/status/<id>``, or
    ``/action/status?processId=<id>``.
    """
    words: Literal["documented", "other"] = "documented"
    """``Success``, ``Fail`` and ``Running``, or words of the author's own."""
    result_form: Literal["named", "nested"] = "named"
    """Returned data under the output's name, or under ``data`` and the output's name."""
    failure_code: Literal[200, 422, 500] = 200
    """HTTP status of the answer about a run that failed, where its endpoint has none of its own."""
    body_form: Literal["json", "text"] = "json"
    """Answers as JSON objects, or as plain texts with the word or the process id alone."""
    gone: Literal[404, 410] = 404
    """HTTP status of a run that is not there (any more)."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value, choices = getattr(self, name), get_args(hint)
            if value not in choices:
                raise ValueError(f"{name} is {value!r}, but can be {', '.join(map(str, choices))}")

    @property
    def success_word(self) -> str:
        """What the status says of a run that went well."""
        return "Success" if self.words == "documented" else "Completed OK"

    @property
    def failure_word(self) -> str:
        """What the status says of a run that failed."""
        return "Fail" if self.words == "documented" else "Stopped"

    @property
    def running_word(self) -> str:
        """What the status says of a run that goes on."""
        return "Running" if self.words == "documented" else "At work"


PROFILES: Mapping[str, PhixFlowProfile] = {
    "default": PhixFlowProfile(),
    "plain_nested_422": PhixFlowProfile(
        key_header="X-API-Key",
        key_form="plain",
        id_field="nested",
        id_kind="text",
        status_address="endpoint",
        result_form="nested",
        failure_code=422,
        gone=410,
    ),
    "other_words_query_500": PhixFlowProfile(
        id_field="id", status_address="query", words="other", failure_code=500
    ),
    "text": PhixFlowProfile(body_form="text", id_kind="text", key_form="plain"),
}
"""Profiles that together take every choice at least once."""


def terms_of(
    profile: PhixFlowProfile, *, application: str, actionflow: str, **choices: Any
) -> ActionflowTerms:
    """
    Return what a client must be told about an endpoint under a profile.

    :param application: of the endpoint; some status addresses hold it.
    :param actionflow: of the endpoint.
    :param choices: of the terms, as ``output_name``.
    """
    paths = {
        "process": "/action/{id}/status",
        "endpoint": f"/action/{segment(application)}/{segment(actionflow)}/status/{{id}}",
        "query": "/action/status?processId={id}",
    }
    output = choices.get("output_name")
    settings: dict[str, Any] = {
        "status_path": paths[profile.status_address],
        "id_field": "" if profile.body_form == "text" else id_path(profile),
        "success_words": (profile.success_word,),
        "failure_words": (profile.failure_word,),
        "running_words": (profile.running_word,),
        "result_path": "data.{output}" if output and profile.result_form == "nested" else None,
    }
    return ActionflowTerms(**{**settings, **choices})


def id_path(profile: PhixFlowProfile) -> str:
    """Return the path of the process id in a JSON answer."""
    return "data.processId" if profile.id_field == "nested" else profile.id_field
