"""Plain errors of taking a run's output along.

Each says what to change; hooks and operators turn them into the error tree that DAG authors see.
Invariant: no message holds more of the output than keys, paths and names.
"""

from __future__ import annotations

from typing import ClassVar

from smartflows_provider.wire.text import printable


class OutputError(Exception):
    """The output of a run could not be taken along as asked."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))

    retry_helps: ClassVar[bool] = False
    """Whether the same attempt may succeed later with nothing changed."""


class OutputTooDeep(OutputError):
    """The output is nested deeper than anything sensible. A retry does not help."""


class TitlesCollide(OutputError):
    """Several keys of one object have the same title. A retry does not help."""


class ExpressionInvalid(OutputError):
    """An expression of ``outputs`` cannot be read or applied. A retry does not help."""


class NothingSelected(OutputError):
    """An expression of ``outputs`` matches nothing in the run's values. A retry does not help."""


class ManifestTooLarge(OutputError):
    """The manifest is over the XCom limit and may not, or cannot, be made smaller. A retry does not help."""


class DocumentTooLarge(OutputError):
    """A document is over the size limit. A retry does not help."""


class DocumentIncomplete(OutputError):
    """A document's stream ended before, or after, its announced length. A retry helps."""

    retry_helps = True


class StorageFailed(OutputError):
    """The storage refused to take a file. A retry helps where the storage was only away."""

    retry_helps = True
