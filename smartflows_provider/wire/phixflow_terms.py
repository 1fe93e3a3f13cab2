"""What an author of a PhixFlow endpoint chose, as one value: where the answers say what, and in which words.

PhixFlow lets the author of an actionflow's endpoint choose its mode, body, content type and HTTP codes, and
its documents leave open the poll address, the names of fields, the status words and the place of returned
data. Invariants: each of these is a field here with a documented default; terms hold no secret and travel
as a small JSON mapping; what they cannot mean is refused when they are made, not when an answer comes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from smartflows_provider.wire.phixflow_paths import check_status_path

PartialFailure = Literal["fail", "warn", "succeed"]
"""What records that failed in a run that succeeded make of it."""
PARTIAL_FAILURES: tuple[PartialFailure, ...] = get_args(PartialFailure)
StatusMethod = Literal["GET", "POST"]
Mode = Literal["wait", "poll"]
"""*Wait for result*, which answers at the end, or *Poll for result*, whose runs are asked for a status."""

ID_PLACE = "{id}"
OUTPUT_PLACE = "{output}"
DEFAULT_STATUS_FIELD = "status"


@dataclass(frozen=True, kw_only=True)
class ActionflowTerms:
    """
    How the answers of one endpoint are read.

    A field of the answer is named by a path of keys with dots between them; a number is a place in a list,
    and the empty path is the whole answer. Words are compared without regard to case and spaces around them.
    """

    endpoint: str = ""
    """What people call it: its names with a slash between them, or its path."""
    mode: Mode = "poll"
    """How it works; nobody can ask for a run in the mode ``wait``."""
    status_path: str = "/action/{id}/status"
    """Where a run's status is asked, below the connection's prefix; a query may follow (not documented)."""
    status_method: StatusMethod = "GET"
    """How it is asked (not documented)."""
    id_field: str = "processId"
    """Where the first answer of *Poll for result* has the process id (not documented)."""
    status_field: str | None = None
    """
    Where an answer has its status word (not documented). None is ``status``, which an answer of *Wait for
    result* need not have; a field that is named must be there.
    """
    success_words: tuple[str, ...] = ("Success",)
    """What the status says of a run that went well (documented: ``Success``)."""
    failure_words: tuple[str, ...] = ("Fail", "Failed", "Failure")
    """What it says of one that failed (documented: ``Fail``)."""
    running_words: tuple[str, ...] = ("Queued", "Pending", "Running", "In Progress")
    """What it says of one that goes on (not documented)."""
    success_codes: tuple[int, ...] = ()
    """HTTP codes the author chose for a success; none means any 2xx."""
    failure_codes: tuple[int, ...] = ()
    """HTTP codes the author chose for a failure, whatever the body says."""
    message_field: str = "message"
    """Where an answer has the author's message, if it has one."""
    output_name: str | None = None
    """Name of the output connection point, which is part of the path of returned data (documented)."""
    result_path: str | None = None
    """
    Where the returned data is; ``{output}`` stands for :attr:`output_name` (its form is not documented).
    None is the field named like the output, or the whole answer where no output is named.
    """
    records_field: str | None = None
    """Where an answer has the list of records with what became of each; None where it has none."""
    record_id_field: str = "id"
    """Where a record has its id; one without goes by its place in the list."""
    record_status_field: str = "status"
    """Where a record has its status word."""
    record_message_field: str = "message"
    """Where a record has its message, if it has one."""
    on_partial_failure: PartialFailure = "fail"
    """What records that failed make of a run that succeeded."""

    def __post_init__(self) -> None:
        check_status_path(self.status_path)
        _check_choice("mode", self.mode, get_args(Mode))
        _check_choice("status_method", self.status_method, get_args(StatusMethod))
        _check_choice("on_partial_failure", self.on_partial_failure, PARTIAL_FAILURES)
        for name in _PATHS:
            _check_field_path(name, getattr(self, name))
        for name in ("success_words", "failure_words", "running_words"):
            _check_words(name, getattr(self, name))
        for name in ("success_codes", "failure_codes"):
            _check_codes(name, getattr(self, name))
        _check_apart("success_codes", self.success_codes, "failure_codes", self.failure_codes)
        folded = {
            name: [fold(word) for word in getattr(self, name)]
            for name in ("success_words", "failure_words", "running_words")
        }
        _check_apart("success_words", folded["success_words"], "failure_words", folded["failure_words"])
        _check_apart("success_words", folded["success_words"], "running_words", folded["running_words"])
        _check_apart("failure_words", folded["failure_words"], "running_words", folded["running_words"])
        if self.output_name is not None and not (isinstance(self.output_name, str) and self.output_name):
            raise ValueError(f"output_name is {self.output_name!r}, but must be a text that is not empty")
        if self.result_path is not None and OUTPUT_PLACE in self.result_path and self.output_name is None:
            raise ValueError(f"result_path has {OUTPUT_PLACE}, but there is no output_name to put there")

    @property
    def result_steps(self) -> tuple[str, ...]:
        """The keys that lead to the returned data; a dot in the output's name parts nothing."""
        if self.result_path is None:
            return () if self.output_name is None else (self.output_name,)
        return tuple(step.replace(OUTPUT_PLACE, self.output_name or "") for step in steps(self.result_path))

    def as_dict(self) -> dict[str, Any]:
        """Return the terms as a JSON object."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> ActionflowTerms:
        """
        Return the terms of a JSON object, of this version or of another.

        :param mapping: keys that are not known are ignored, those that are missing have their defaults.
        :raises ValueError: for a value that no terms can have; no retry helps.
        """
        known = [field.name for field in dataclasses.fields(cls) if field.name in mapping]
        values: dict[str, Any] = {
            name: tuple(mapping[name]) if isinstance(mapping[name], list) else mapping[name] for name in known
        }
        return cls(**values)


_PATHS = (
    "id_field", "status_field", "message_field", "result_path", "records_field",
    "record_id_field", "record_status_field", "record_message_field",
)  # fmt: skip
_OPTIONAL_PATHS = frozenset({"status_field", "result_path", "records_field"})


def steps(path: str) -> tuple[str, ...]:
    """Return the keys that a path of a field has; none for the whole answer."""
    return tuple(path.split(".")) if path else ()


def fold(word: str) -> str:
    """Return a status word as it is compared."""
    return " ".join(word.split()).casefold()


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, but can be {', '.join(choices)}")


def _check_field_path(name: str, value: object) -> None:
    if value is None and name in _OPTIONAL_PATHS:
        return
    if not isinstance(value, str) or "" in steps(value):
        raise ValueError(f"{name} is {value!r}, but must be keys with dots between them, as in 'data.status'")


def _check_words(name: str, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(word, str) and word.strip() for word in value):
        raise ValueError(f"{name} is {value!r}, but must be a list of words")


def _check_codes(name: str, value: object) -> None:
    if not isinstance(value, tuple) or not all(
        isinstance(code, int) and not isinstance(code, bool) and 200 <= code < 600 for code in value
    ):
        raise ValueError(f"{name} is {value!r}, but must be a list of HTTP codes from 200 to 599")
    if 429 in value:
        raise ValueError(
            f"{name} has 429, by which a server refuses a call that it has not taken, so that it is sent "
            "again; have the endpoint answer with another code"
        )


def _check_apart(
    name: str, values: tuple[int, ...] | list[str], other: str, others: tuple[int, ...] | list[str]
) -> None:
    both = sorted(str(value) for value in set(values) & set(others))
    if both:
        raise ValueError(f"{name} and {other} both have {', '.join(both)}")
